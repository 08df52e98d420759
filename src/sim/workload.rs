//! What happens in a run, chosen by the seed: who says what, who goes and comes, when the store fails and when everything crashes.

use uuid::Uuid;

use crate::base::limits::Limits;
use crate::base::{DeviceId, Moment, Role, RoomId, RoomType, SessionId, UserId};
use crate::chat::{Actor, RoomCommand, RoomSpec};
use crate::shard::Ask;
use crate::store::{Backend as _, NameKind};

use super::Rng;
use super::client::Client;
use super::model::Model;
use super::world::{Config, World};

/// What a run was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages that were acknowledged.
    pub acks: u64,
    /// Events that clients saw.
    pub events: u64,
    /// How often a client had to resume because something was dropped for it.
    pub resyncs: u64,
    /// How often a lane was full.
    pub lanes_full: u64,
    /// Crashes of everything.
    pub crashes: u64,
}

const CLIENTS: usize = 8;
const USERS: usize = 5;

fn user(n: usize) -> UserId {
    let mut rng = Rng::new(n as u64);
    UserId(Uuid::from_u64_pair(rng.any(), rng.any()))
}

/// A run: `steps` of something happening, then all comes to rest and is compared.
///
/// # Errors
/// What was wrong first.
pub fn run(seed: u64, steps: u64) -> Result<Report, String> {
    let mut rng = Rng::new(seed);
    let limits = Limits {
        outbox_bytes: usize::try_from(rng.range(2, 24)).unwrap_or(4) * 1024,
        messages_per_second: 200,
        requests_per_second: 500,
        // In some worlds hardly anything is at hand: what is not needed at the moment is read from the store.
        timeline_budget_bytes: if seed.is_multiple_of(5) { 500 } else { 1 << 20 },
        resting_bytes: if seed.is_multiple_of(5) { 0 } else { 1 << 20 },
        ..Limits::default()
    };
    let config = Config {
        shards: u16::try_from(rng.range(1, 4)).unwrap_or(2),
        lane_batches: usize::try_from(rng.range(1, 6)).unwrap_or(4),
        lane_us: rng.range(1, 15_000),
        socket_bytes: usize::try_from(rng.range(1, 32)).unwrap_or(8) * 512,
        store_us: rng.range(100, 30_000),
        limits,
    };
    let mut run = Run {
        world: World::new(config, Rng::new(rng.any())),
        model: Model::default(),
        clients: Vec::new(),
        public: Vec::new(),
        private: Vec::new(),
        report: Report::default(),
        said: 0,
        rng,
    };
    run.begin()?;
    for _ in 0..steps {
        run.something();
        run.step(6)?;
    }
    run.rest()?;
    run.report.acks = run.model.acks;
    run.report.events = run.model.events;
    run.report.resyncs = run.model.resyncs;
    run.report.lanes_full = run.world.lanes_full;
    Ok(run.report)
}

struct Run {
    world: World,
    model: Model,
    clients: Vec<Client>,
    public: Vec<RoomId>,
    private: Vec<RoomId>,
    report: Report,
    said: u64,
    rng: Rng,
}

impl Run {
    /// Everybody connects; the first user makes the rooms.
    fn begin(&mut self) -> Result<(), String> {
        for n in 0..CLIENTS {
            let client = Client::new(n, user(n % USERS), &self.world, &mut self.rng);
            self.clients.push(client);
        }
        for _ in 0..200 {
            self.step(0)?;
        }
        for n in 0..4u64 {
            let room = RoomId(Uuid::from_u128(u128::from(self.rng.any())));
            let name = format!("room {n}");
            let name_key = self.world.store.name_key(NameKind::Room, &name);
            let kind = if n < 2 { RoomType::Public } else { RoomType::Private };
            let spec = RoomSpec {
                kind,
                name,
                name_key: Some(name_key),
                description: String::new(),
                metadata: String::new(),
                members: Vec::new(),
            };
            self.ask(room, 0, RoomCommand::Create(Box::new(spec)));
            if n < 2 { self.public.push(room) } else { self.private.push(room) }
        }
        for _ in 0..200 {
            self.step(0)?;
        }
        Ok(())
    }

    fn ask(&mut self, room: RoomId, by: usize, command: RoomCommand) {
        let actor = Actor {
            user: user(by),
            session: SessionId(Uuid::from_u128(9)),
            device: DeviceId(Uuid::from_u128(9)),
            admin: false,
        };
        let owner = self.world.placement.of_room(room);
        self.world.ask(owner, Ask::Room { room, actor, command });
    }

    fn step(&mut self, held_up: u64) -> Result<(), String> {
        let us = if self.rng.one_in(400) { self.rng.below(3_000_000) } else { self.rng.range(50, 6000) };
        self.world.pass(us);
        self.world.turn(held_up);
        for client in &mut self.clients {
            client.step(&mut self.world, &mut self.rng, &mut self.model);
        }
        match self.model.first.take().or_else(|| self.world.wrong.take()) {
            Some(wrong) => Err(wrong),
            None => Ok(()),
        }
    }

    fn something(&mut self) {
        let rng = &mut self.rng;
        let at = self.world.now().mono.0;
        let place = usize::try_from(rng.below(self.clients.len() as u64)).unwrap_or(0);
        let client = &mut self.clients[place];
        let rooms = client.member_of();
        let room = rng.pick(&rooms);
        let what = rng.below(100);
        match (what, room) {
            (0..=44, Some(room)) => {
                for _ in 0..rng.range(1, 4) {
                    self.said += 1;
                    let text = format!("{}{}", self.said, " word".repeat(usize::try_from(rng.below(40)).unwrap_or(0)));
                    client.post(room, &text, &mut self.world, rng, &mut self.model);
                }
            }
            (45..=52, Some(room)) => {
                let seqs: Vec<u64> = client.rooms[&room].shown.keys().copied().collect();
                if let Some(seq) = rng.pick(&seqs) {
                    client.request("delete", room, seq, &mut self.world, rng);
                }
            }
            (53..=60, Some(room)) => {
                let before = rng.below(client.rooms[&room].pos + 2);
                client.request("history", room, before, &mut self.world, rng);
            }
            (61..=63, Some(room)) => client.request("typing", room, 0, &mut self.world, rng),
            (64..=65, Some(room)) => client.request("presence", room, 0, &mut self.world, rng),
            (66..=67, Some(room)) => client.request("read", room, client.rooms[&room].pos, &mut self.world, rng),
            (68..=69, Some(room)) => client.request("leave", room, 0, &mut self.world, rng),
            (70..=74, _) => {
                if let Some(room) = rng.pick(&self.public) {
                    client.request("join", room, 0, &mut self.world, rng);
                }
            }
            (75..=80, _) => {
                let whom = user(usize::try_from(rng.range(1, USERS as u64 - 1)).unwrap_or(1));
                // The last room is the first user's own: nobody else ever comes in.
                let room = self.private[0];
                let command = if rng.one_in(3) {
                    RoomCommand::Remove { user: whom }
                } else {
                    RoomCommand::Add { user: whom, role: Role::Member }
                };
                self.ask(room, 0, command);
            }
            (81..=84, _) if client.user != user(0) => client.probe(self.private[1], &mut self.world, rng),
            (85..=88, _) => client.paused_until = at + rng.range(10_000, 800_000),
            (89, _) if rng.one_in(8) => client.paused_until = at + 20_000_000,
            (90..=91, _) => {
                let wait = rng.range(1000, 500_000);
                client.hang_up(&mut self.world, wait);
            }
            (92, _) if rng.one_in(3) => {
                self.world.fails_until = Moment(at + rng.range(1000, 400_000));
            }
            (93, _) if rng.one_in(6) => {
                self.report.crashes += 1;
                // What the clients have is read to the end by some.
                for client in &mut self.clients {
                    if rng.one_in(2) {
                        client.step(&mut self.world, rng, &mut self.model);
                    }
                }
                self.world.crash();
                for client in &mut self.clients {
                    client.cut_off(&self.world, rng.range(1000, 300_000));
                }
            }
            _ => {}
        }
    }

    /// Nothing new happens; what is on its way arrives. Then everything is compared.
    fn rest(&mut self) -> Result<(), String> {
        self.world.fails_until = Moment(0);
        for client in &mut self.clients {
            client.paused_until = 0;
        }
        let mut calm = 0;
        for _ in 0..20_000 {
            self.step(0)?;
            let settled = self.world.quiet() && self.clients.iter().all(Client::settled);
            calm = if settled { calm + 1 } else { 0 };
            // Entries of a user stream are tried again after a second.
            if calm > 1200 {
                let rooms: Vec<RoomId> = self.public.iter().chain(&self.private).copied().collect();
                self.model.at_the_end(&self.world, &rooms, &self.clients);
                return self.model.first.take().map_or(Ok(()), Err);
            }
        }
        let who: Vec<_> = self.clients.iter().filter(|c| !c.settled()).collect();
        Err(format!(
            "it never came to rest (quiet: {}): {:?}",
            self.world.quiet(),
            who.iter().map(|c| c.waits_for()).collect::<Vec<_>>()
        ))
    }
}
