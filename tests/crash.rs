//! The server is killed with SIGKILL at random moments under load, again and again, and a checker holds what every client was
//! told against the log: no acked message lost, none twice, none out of order, no gap after a resume.
//!
//! `CAUSERIE_CRASH_ROUNDS` (5) and `CAUSERIE_CRASH_SEED` (1) change how often and when. SIGKILL leaves the page cache alive: that acked means *on disk*
//! is shown by `sync.rs`.

// A test may fail loudly, and prints what it measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::unwrap_in_result, clippy::panic, clippy::print_stderr)]
#![allow(clippy::wildcard_enum_match_arm, clippy::needless_pass_by_value, clippy::needless_for_each)]
#![allow(missing_docs)]

mod support;

use std::collections::{BTreeSet, VecDeque};
use std::thread;
use std::time::Duration;

use causerie_load::check::{self, Evidence, Sent};
use causerie_load::client::{self, Client, Got};
use causerie_load::plan::split_mix;
use serde_json::{Value, json};
use support::socket::{chat, is_event};
use support::transcript::{answers, view};
use support::{Person, Server, Setup};
use uuid::Uuid;

const WRITERS: usize = 5;
const READERS: usize = 2;
const ROOMS: usize = 2;
/// Sends of one writer that wait for their ack at the same time.
const WINDOW: usize = 4;

#[test]
fn nothing_acked_is_lost_doubled_or_moved_by_sigkill() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |v| v.parse().expect("a number"));
    let (rounds, mut random) = (number("CAUSERIE_CRASH_ROUNDS", 5), number("CAUSERIE_CRASH_SEED", 1));
    // A database on the same cores needs longer until anything is acked.
    let stretch = if std::env::var("CAUSERIE_TEST_STORE").is_ok_and(|store| store == "scylla") { 10 } else { 1 };
    let mut server =
        Setup::default().set("limits.messages_per_second", 100_000).set("limits.messages_burst", 100_000).start();
    let owner = server.person("owner");
    let rooms: Vec<Uuid> = (0..ROOMS).map(|n| owner.room(&format!("room {n}"), "public")).collect();
    let mut clients: Vec<Talker> = (0..WRITERS + READERS)
        .map(|n| Talker::new(&server, &format!("client {n}"), &rooms, if n < WRITERS { WINDOW } else { 0 }))
        .collect();

    let mut evidence = Evidence::default();
    for round in 1..=rounds {
        random = split_mix(random);
        let until_kill = Duration::from_millis(20 + random % 400) * stretch;
        thread::scope(|scope| {
            let threads: Vec<_> = clients.iter_mut().map(|client| scope.spawn(|| client.live())).collect();
            support::wait_out(until_kill);
            server.kill();
            for thread in threads {
                thread.join().expect("a client");
            }
        });
        random = split_mix(random);
        if random % 4 == 0 {
            server.stumble(Duration::from_millis(random / 4 % 200));
        }
        server.restart();
        for client in &mut clients {
            client.testify(&mut evidence);
        }
        if round % 10 == 0 || round == rounds {
            judge(&server, &owner, &rooms, &clients, &mut evidence, round);
        }
    }
    assert!(evidence.answers.len() as u64 > rounds * 10, "only {} acks: that was no load", evidence.answers.len());
}

/// Reads the logs back and holds everything against them.
fn judge(server: &Server, owner: &Person, rooms: &[Uuid], clients: &[Talker], evidence: &mut Evidence, round: u64) {
    let mut http = server.http();
    evidence.logs = rooms
        .iter()
        .map(|&room| (room, causerie_load::run::read_log(&mut http, &owner.token, room).expect("the log")))
        .collect();
    evidence.sent = clients.iter().flat_map(Talker::sent).collect();
    let faults = check::check(evidence);
    assert!(
        faults.is_empty(),
        "after round {round}, {} faults:\n{}",
        faults.len(),
        faults.iter().take(20).map(ToString::to_string).collect::<Vec<_>>().join("\n")
    );
    let stored: usize = evidence.logs.values().map(|log| log.entries.len()).sum();
    eprintln!(
        "round {round}: {} acks, {} views, {stored} events stored, no fault",
        evidence.answers.len(),
        evidence.views.len()
    );
}

/// Where a client stands in a room.
struct Stand {
    room: Uuid,
    epoch: Value,
    /// Everything up to here was seen.
    seq: u64,
    /// Seen beyond a hole: an own ack may come before the frames of others.
    beyond: BTreeSet<u64>,
}

impl Stand {
    fn saw(&mut self, seq: u64) {
        self.beyond.insert(seq);
        while self.beyond.remove(&(self.seq + 1)) {
            self.seq += 1;
        }
        self.beyond = self.beyond.split_off(&self.seq);
    }
}

/// A client as the protocol page wants it: keeps its position, resumes with `hold`, sends again what was not acked.
struct Talker {
    person: Person,
    stands: Vec<Stand>,
    window: usize,
    /// Sent or to be sent again, not acked: id and room.
    open: VecDeque<(Uuid, Uuid)>,
    /// All ids, by room, in the order they were first sent.
    order: Vec<Vec<Uuid>>,
    count: u64,
    /// Of the last connection: where it began, and all frames.
    began: Vec<u64>,
    frames: Vec<Value>,
}

impl Talker {
    fn new(server: &Server, name: &str, rooms: &[Uuid], window: usize) -> Self {
        let person = server.person(name);
        let stand = |&room: &Uuid| {
            person.join(room);
            let page = person.page(room, "limit=1");
            let seq = page["last_seq"].as_u64().expect("last_seq");
            Stand { room, epoch: page["epoch"].clone(), seq, beyond: BTreeSet::new() }
        };
        let stands = rooms.iter().map(stand).collect();
        let order = vec![Vec::new(); rooms.len()];
        let (open, frames) = (VecDeque::new(), Vec::new());
        Self { person, stands, window, open, order, count: 0, began: Vec::new(), frames }
    }

    /// One connection, from opening to being cut.
    fn live(&mut self) {
        self.began = self.stands.iter().map(|s| s.seq).collect();
        let Ok(mut client) = client::open(&self.person.address(), "/ws/chat", &[], &self.person.config()) else {
            return;
        };
        let hello = json!({"type": "auth", "content": self.person.token, "metadata": {"hold": true}});
        let mut waiting = self.stands.len();
        if client.send(&hello).is_err() {
            return;
        }
        let mut in_flight = 0;
        loop {
            if waiting == 0 && self.window > 0 && self.fill(&mut client, &mut in_flight).is_err() {
                return;
            }
            let frame = match client.recv(support::WATCHDOG) {
                Got::Frame(frame) => frame,
                Got::Cut(_) | Got::Closed(..) => return,
                Got::Nothing => {
                    assert!(waiting == 0 && in_flight == 0, "{}: no answer within a minute", self.person.name);
                    continue;
                }
            };
            client.take_raw();
            self.heard(&frame);
            match frame["type"].as_str() {
                Some("hello") if self.resume(&mut client, None).is_err() => return,
                Some("resumed") if frame["metadata"]["more"] != true => waiting -= 1,
                Some("resumed") if self.resume(&mut client, Some(&frame["room_id"])).is_err() => return,
                Some("ack") => {
                    let had = self.open.len();
                    self.open.retain(|(id, _)| frame["id"] != json!(id));
                    if self.open.len() < had {
                        in_flight -= 1;
                    }
                }
                Some("reload" | "error" | "resync") => panic!("{}: {frame}", self.person.name),
                _ => {}
            }
            self.frames.push(frame);
        }
    }

    fn heard(&mut self, frame: &Value) {
        let place = frame["room_id"].as_str().and_then(|id| Uuid::try_parse(id).ok());
        let Some(stand) = self.stands.iter_mut().find(|s| Some(s.room) == place) else { return };
        if let Some(seq) = frame["seq"].as_u64().filter(|_| is_event(frame) || frame["type"] == "ack") {
            stand.saw(seq);
        }
    }

    fn resume(&self, client: &mut Client, only: Option<&Value>) -> Result<(), causerie_load::Failure> {
        let wanted = self.stands.iter().filter(|s| only.is_none_or(|room| *room == json!(s.room)));
        let places: Vec<Value> = wanted.map(|s| json!({"room_id": s.room, "epoch": s.epoch, "seq": s.seq})).collect();
        client.send(&json!({"type": "resume", "metadata": {"rooms": places}}))
    }

    /// Sends what was not acked, in its order, then new messages, as far as the window goes.
    fn fill(&mut self, client: &mut Client, in_flight: &mut usize) -> Result<(), causerie_load::Failure> {
        while *in_flight < self.window {
            if self.open.len() <= *in_flight {
                let (id, which) = (Uuid::now_v7(), usize::try_from(self.count).expect("few") % self.stands.len());
                self.count += 1;
                self.order[which].push(id);
                self.open.push_back((id, self.stands[which].room));
            }
            let (id, room) = self.open[*in_flight];
            *in_flight += 1;
            client.send(&chat(room, id, &format!("{id} from {}", self.person.name)))?;
        }
        Ok(())
    }

    /// Gives what the last connection was told to the evidence.
    fn testify(&mut self, evidence: &mut Evidence) {
        let frames = std::mem::take(&mut self.frames);
        evidence.answers.extend(answers(&frames));
        for (stand, &began) in self.stands.iter().zip(&self.began) {
            evidence.views.push(view(&self.person.name, stand.room, began, None, &frames));
        }
    }

    fn sent(&self) -> Vec<Sent> {
        let of = |(stand, keys): (&Stand, &Vec<Uuid>)| Sent {
            who: self.person.name.clone(),
            room: stand.room,
            keys: keys.clone(),
        };
        self.stands.iter().zip(&self.order).map(of).collect()
    }
}
