//! People come, talk and leave; what is left of them in memory afterwards is what the bounds allow.

use serde_json::json;
use uuid::Uuid;

use crate::base::limits::{Limits, REST_AFTER_MS, REST_AT_LEAST_MS};
use crate::base::{ConnId, DeviceId, RoomId, RoomType, SessionId, UserId};
use crate::chat::{Actor, RoomCommand, RoomReply, RoomSpec};
use crate::metrics::Counters;
use crate::shard::{Ask, AskAnswer};
use crate::sim::Rng;
use crate::sim::world::{Config, World};
use crate::store::{Backend as _, NameKind};

fn user(n: u128) -> UserId {
    // Names are made of the first digits.
    UserId(Uuid::from_u128((n + 1) << 96))
}

/// One shard and those who are connected to it.
struct Town {
    world: World,
    conns: Vec<ConnId>,
    said: u64,
}

impl Town {
    fn new(limits: Limits) -> Self {
        let limits = Limits { messages_per_second: 100_000, messages_burst: 100_000, ..limits };
        let config =
            Config { shards: 1, lane_batches: 1000, limits, socket_bytes: 1 << 30, store_us: 100, lane_us: 100 };
        Self { world: World::new(config, Rng::new(3)), conns: Vec::new(), said: 0 }
    }

    fn counters(&mut self) -> Counters {
        self.world.shard(0).counters().clone()
    }

    /// Goes on until nothing is on its way.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            self.world.pass(500);
            self.world.turn(0);
            assert_eq!(self.world.wrong, None);
            if self.world.quiet() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Time goes by in steps, and the shard has its turns.
    fn wait(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(1000) {
            self.world.pass(1_000_000);
            self.world.turn(0);
        }
        self.settle();
    }

    fn ask(&mut self, room: RoomId, by: UserId, command: RoomCommand) -> RoomReply {
        let nobody = Uuid::from_u128(9);
        let actor = Actor { user: by, session: SessionId(nobody), device: DeviceId(nobody), admin: false };
        let owner = self.world.placement.of_room(room);
        let number = self.world.ask(owner, Ask::Room { room, actor, command });
        self.settle();
        match self.world.answers.remove(&number) {
            Some(Ok(AskAnswer::Room(reply))) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn room(&mut self, n: u128) -> RoomId {
        let room = RoomId(Uuid::from_u128(0x4000 + n));
        let name = format!("room {n}");
        let spec = RoomSpec {
            kind: RoomType::Public,
            name_key: Some(self.world.store.name_key(NameKind::Room, &name)),
            name,
            description: String::new(),
            metadata: String::new(),
            members: Vec::new(),
        };
        self.ask(room, user(0), RoomCommand::Create(Box::new(spec)));
        room
    }

    /// The users come in, and into all these rooms.
    fn come(&mut self, users: u128, rooms: &[RoomId]) {
        for n in 0..users {
            let conn = self.world.open(0).expect("there is place");
            let token = self.world.token(user(n), "login");
            let device = Uuid::from_u128(n).to_string();
            let auth = json!({"type": "auth", "content": token, "metadata": {"device_id": device, "hold": false}});
            self.world.say(conn, auth.to_string());
            self.conns.push(conn);
            self.settle();
            for room in rooms {
                let id = self.id();
                self.world.say(conn, json!({"type": "join", "id": id, "room_id": room}).to_string());
            }
            self.settle();
        }
    }

    fn id(&mut self) -> String {
        self.said += 1;
        let at = self.world.now().wall.0;
        self.world.rng.uuid_v7(at).to_string()
    }

    fn say(&mut self, conn: ConnId, room: RoomId, text: &str) {
        let id = self.id();
        self.world.say(conn, json!({"type": "chat", "id": id, "room_id": room, "content": text}).to_string());
        self.settle();
    }

    fn leave(&mut self) {
        for conn in std::mem::take(&mut self.conns) {
            self.world.drop_socket(conn);
        }
        self.settle();
    }

    /// What a history of the room gives.
    fn history(&mut self, room: RoomId) -> Vec<u64> {
        let command = RoomCommand::History { before: None, after: None, limit: 100 };
        match self.ask(room, user(0), command) {
            RoomReply::Page(page) => page.events.iter().map(|event| event.seq.0).collect(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_left_and_where_nobody_is_leaves_memory_after_a_while_and_is_there_again_when_asked_for() {
    let mut town = Town::new(Limits::default());
    let rooms: Vec<RoomId> = (0..3).map(|n| town.room(n)).collect();
    town.come(20, &rooms);
    for n in 0..10 {
        town.say(town.conns[n], rooms[n % 3], "good morning");
    }
    let held = town.counters();
    assert_eq!((held.users_loaded, held.rooms_loaded, held.answered_ids), (20, 3, 10));
    assert!(held.timeline_events >= 10 && held.timeline_bytes > held.timeline_events * 160, "{held:?}");
    assert_eq!(held.resting_bytes, 0, "all are connected");
    let before: Vec<_> = rooms.iter().map(|&room| town.history(room)).collect();

    town.leave();
    let held = town.counters();
    assert_eq!((held.users_loaded, held.rooms_loaded), (20, 3), "they may come back soon");
    assert!((10_000..200_000).contains(&held.resting_bytes), "{}", held.resting_bytes);

    town.wait(REST_AFTER_MS + 61_000);
    let held = town.counters();
    let left = [held.users_loaded, held.rooms_loaded, held.timeline_events, held.timeline_bytes];
    assert_eq!((left, held.answered_ids, held.resting_bytes), ([0; 4], 0, 0));

    let after: Vec<_> = rooms.iter().map(|&room| town.history(room)).collect();
    assert_eq!(after, before, "nothing is lost");
    town.come(20, &rooms);
    assert_eq!(town.counters().users_loaded, 20);
    assert_eq!(town.counters().resting_bytes, 0);
}

#[test]
fn those_who_rest_share_a_budget_and_who_was_away_longest_goes_first() {
    let mut town = Town::new(Limits { resting_bytes: 0, ..Limits::default() });
    let room = town.room(1);
    town.come(600, &[room]);
    town.leave();
    town.wait(REST_AT_LEAST_MS - 2000);
    assert_eq!(town.counters().users_loaded, 600, "what they wrote may not be durable yet");
    town.wait(3000);
    let held = town.counters();
    assert_eq!((held.users_loaded, held.rooms_loaded, held.resting_bytes), (0, 0, 0));

    // With room for some of them the last ones stay.
    let mut town = Town::new(Limits { resting_bytes: 40_000, ..Limits::default() });
    let room = town.room(1);
    town.come(100, &[room]);
    let last = town.conns.split_off(90);
    town.leave();
    town.wait(5000);
    town.conns = last;
    town.leave();
    town.wait(REST_AT_LEAST_MS + 1000);
    let held = town.counters();
    assert!((20_000..=40_000).contains(&held.resting_bytes) && (10..100).contains(&held.users_loaded), "{held:?}");
    // Who went last is still there: their coming back asks the store for nothing.
    let reads = town.world.looked;
    let conn = town.world.open(0).expect("there is place");
    let token = town.world.token(user(99), "login");
    let auth = json!({"type": "auth", "content": token, "metadata": {"device_id": Uuid::from_u128(99).to_string()}});
    town.world.say(conn, auth.to_string());
    town.settle();
    assert_eq!(town.world.looked, reads);
}

#[test]
fn timelines_share_a_budget_and_the_rooms_that_were_not_used_for_longest_are_read_from_the_store() {
    let budget = 40_000;
    let mut town = Town::new(Limits { timeline_budget_bytes: budget, ..Limits::default() });
    let rooms: Vec<RoomId> = (0..20).map(|n| town.room(n)).collect();
    town.come(1, &rooms);
    let conn = town.conns[0];
    let long = "long ".repeat(100);
    for round in 0..10 {
        for &room in &rooms {
            town.say(conn, room, &long);
            let held = town.counters();
            assert!(held.timeline_bytes <= budget as u64, "round {round}: {}", held.timeline_bytes);
        }
    }
    let held = town.counters();
    assert!(held.timeline_bytes > budget as u64 / 2 && held.timeline_events > 30, "{held:?}");
    let reads = town.world.looked;
    let of_last = town.history(rooms[19]);
    assert_eq!(town.world.looked, reads, "the last one used is at hand");
    let of_first = town.history(rooms[1]);
    assert!(town.world.looked > reads, "an earlier one is not");
    assert_eq!((of_first.len(), of_first.first()), (of_last.len(), of_last.first()));
    assert!(town.counters().timeline_bytes <= budget as u64, "what was read counts too");
}

#[test]
fn ids_of_all_rooms_share_a_bound_and_a_repeated_send_is_still_known() {
    let mut town = Town::new(Limits::default());
    let rooms: Vec<RoomId> = (0..10).map(|n| town.room(n)).collect();
    town.come(1, &rooms);
    town.world.shard(0).bounds.ids_max = 40;
    let conn = town.conns[0];
    let id = town.id();
    let frame = json!({"type": "chat", "id": id, "room_id": rooms[0], "content": "once"}).to_string();
    town.world.say(conn, frame.clone());
    town.settle();
    for n in 0..200 {
        town.say(conn, rooms[n % 10], "more");
        let held = town.counters();
        assert!(held.answered_ids <= 40, "{}", held.answered_ids);
    }
    assert!(town.counters().answered_ids > 10);
    let before = town.counters();
    let reads = town.world.looked;
    town.say(conn, rooms[0], "a new one");
    assert_eq!(town.world.looked, reads, "a new id is known as new without the store");
    town.world.say(conn, frame);
    town.settle();
    let now = town.counters();
    assert_eq!(now.messages_stored - before.messages_stored, 1, "only the new one");
    assert_eq!((now.messages_duplicate - before.messages_duplicate, town.world.looked - reads), (1, 1));
}
