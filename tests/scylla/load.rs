//! Load on a server whose database has troubles: people who send all the time, send again what was refused, come back when they are cut off,
//! and remember everything that they were told; and the judge who holds it against the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use causerie_load::check::{self, Evidence, Sent};
use causerie_load::client::{self, Client, Got};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::socket::chat;
use crate::support::transcript::{answers, view};
use crate::support::{Person, Server, WATCHDOG, wait_out};

/// Between two sends of one person who is not waiting for anything.
const PACE: Duration = Duration::from_millis(10);

/// What was told so far, by all.
#[derive(Debug, Default)]
pub struct Tally {
    pub acks: AtomicU64,
    pub refusals: AtomicU64,
    /// Codes of errors other than that the storage cannot be used, with their number.
    pub other: Mutex<BTreeMap<String, u64>>,
    /// The longest that anybody waited for the answer to one try, in milliseconds.
    pub slowest_ms: AtomicU64,
    stop: AtomicBool,
}

impl Tally {
    /// Waits until so many more acks came than there are now.
    pub fn more_acks(&self, what: &str, more: u64) {
        let (before, end) = (self.acks.load(Ordering::Relaxed), Instant::now() + 2 * WATCHDOG);
        while self.acks.load(Ordering::Relaxed) < before + more {
            assert!(Instant::now() < end, "no {more} acks {what}: {:?}", self.other.lock());
            wait_out(Duration::from_millis(20));
        }
    }

    /// Waits until so many more sends were refused than were up to now.
    pub fn more_refusals(&self, what: &str, more: u64) {
        let (before, end) = (self.refusals.load(Ordering::Relaxed), Instant::now() + 2 * WATCHDOG);
        while self.refusals.load(Ordering::Relaxed) < before + more {
            assert!(Instant::now() < end, "no {more} refusals {what}: {:?}", self.other.lock());
            wait_out(Duration::from_millis(20));
        }
    }

    pub fn acked(&self) -> u64 {
        self.acks.load(Ordering::Relaxed)
    }

    pub fn refused(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }
}

/// Somebody who sends, or only reads.
struct Talker<'a> {
    person: Person,
    room: Uuid,
    sends: bool,
    tally: &'a Tally,
    /// Ids in the order in which they were first sent.
    order: Vec<Uuid>,
    /// Everything up to here was seen, in this epoch.
    seq: u64,
    epoch: Value,
    /// Seen beyond a hole: an own ack may come before the frames of others.
    beyond: BTreeSet<u64>,
    evidence: Evidence,
}

impl Talker<'_> {
    /// Talks until it is told to stop, over as many connections as it takes.
    fn live(mut self) -> Evidence {
        while !self.stopped() {
            let began = self.seq;
            let mut frames = Vec::new();
            if let Ok(client) = client::open(&self.person.address(), "/ws/chat", &[], &self.person.config()) {
                self.talk(client, &mut frames);
            }
            if !self.stopped() {
                // As a client does that was cut off: not at once.
                wait_out(Duration::from_millis(200));
            }
            self.evidence.answers.extend(answers(&frames));
            self.evidence.views.push(view(&self.person.name, self.room, began, None, &frames));
        }
        let keys = std::mem::take(&mut self.order);
        self.evidence.sent.push(Sent { who: self.person.name.clone(), room: self.room, keys });
        self.evidence
    }

    fn stopped(&self) -> bool {
        self.tally.stop.load(Ordering::Relaxed)
    }

    /// One connection.
    fn talk(&mut self, mut client: Client, frames: &mut Vec<Value>) {
        let hello = json!({"type": "auth", "content": self.person.token, "metadata": {"hold": true}});
        if client.send(&hello).is_err() || self.until(&mut client, frames, |f| f["type"] == "hello").is_none() {
            return;
        }
        loop {
            let place = json!({"room_id": self.room, "epoch": self.epoch, "seq": self.seq});
            if client.send(&json!({"type": "resume", "metadata": {"rooms": [place]}})).is_err() {
                return;
            }
            let Some(answer) = self.until(&mut client, frames, |f| f["type"] == "resumed" || f["type"] == "error")
            else {
                return;
            };
            match (answer["type"] == "resumed", answer["metadata"]["more"] == true) {
                (true, false) => break,
                (true, true) => {}
                // A resume needs the store too.
                (false, _) => self.put_off(&answer),
            }
            if self.stopped() {
                return;
            }
        }
        while !self.stopped() {
            if !self.sends {
                if let Got::Cut(_) | Got::Closed(..) = self.take(&mut client, frames, PACE * 10) {
                    return;
                }
                continue;
            }
            if !self.send_one(&mut client, frames) {
                return;
            }
            let pause = Instant::now() + PACE;
            while let Some(left) = pause.checked_duration_since(Instant::now()) {
                if let Got::Cut(_) | Got::Closed(..) = self.take(&mut client, frames, left) {
                    return;
                }
            }
        }
    }

    /// One message, sent until it is acked. `false`: the connection ended before.
    fn send_one(&mut self, client: &mut Client, frames: &mut Vec<Value>) -> bool {
        // What an earlier connection did not see acked goes first: a new one comes only after an ack.
        let acked = |id: &Uuid| self.evidence.answers.iter().any(|answer| answer.key == *id);
        let id = match self.order.last() {
            Some(last) if !acked(last) && !frames.iter().any(|f| f["type"] == "ack" && f["id"] == json!(last)) => *last,
            _ => {
                self.order.push(Uuid::now_v7());
                self.order[self.order.len() - 1]
            }
        };
        loop {
            let began = Instant::now();
            if client.send(&chat(self.room, id, &format!("{id} from {}", self.person.name))).is_err() {
                return false;
            }
            let is_answer = |f: &Value| f["id"] == json!(id) && f["type"] != "chat";
            let Some(answer) = self.until(client, frames, is_answer) else { return false };
            let waited = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.tally.slowest_ms.fetch_max(waited, Ordering::Relaxed);
            if answer["type"] == "ack" {
                self.tally.acks.fetch_add(1, Ordering::Relaxed);
                return true;
            }
            self.put_off(&answer);
            if self.stopped() {
                return false;
            }
        }
    }

    /// Counts an error, and waits as it says.
    fn put_off(&self, error: &Value) {
        assert_eq!(error["type"], "error", "{error}");
        let code = error["metadata"]["code"].as_str().unwrap_or_default();
        if code == "storage_unavailable" {
            self.tally.refusals.fetch_add(1, Ordering::Relaxed);
        } else {
            *self.tally.other.lock().unwrap().entry(code.to_owned()).or_default() += 1;
        }
        let wait = error["metadata"]["retry_after_ms"].as_u64();
        let wait = wait.unwrap_or_else(|| panic!("{} is told nothing of when: {error}", self.person.name));
        wait_out(Duration::from_millis(wait.min(1000)));
    }

    /// Reads until a frame fits; `None` when the connection ended.
    fn until(&mut self, client: &mut Client, frames: &mut Vec<Value>, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let end = Instant::now() + WATCHDOG;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.take(client, frames, left) {
                Got::Frame(frame) if fits(&frame) => return Some(frame),
                Got::Frame(_) => {}
                Got::Cut(_) | Got::Closed(..) => return None,
                Got::Nothing => panic!("{} has no answer within {WATCHDOG:?}", self.person.name),
            }
        }
    }

    /// What comes within this time, remembered.
    fn take(&mut self, client: &mut Client, frames: &mut Vec<Value>, within: Duration) -> Got {
        let got = client.recv(within);
        if let Got::Frame(frame) = &got {
            client.take_raw();
            let own_ack = frame["type"] == "ack" && frame["metadata"]["duplicate"] != true;
            let ours = frame["room_id"] == json!(self.room);
            if let Some(seq) = frame["seq"].as_u64()
                && ours
                && (crate::support::socket::is_event(frame) || own_ack)
            {
                self.beyond.insert(seq);
                while self.beyond.remove(&(self.seq + 1)) {
                    self.seq += 1;
                }
                self.beyond = self.beyond.split_off(&self.seq);
            }
            frames.push(frame.clone());
        }
        got
    }
}

/// Runs `meanwhile` under the load of `writers` people in one room each and one who only reads in each; then holds everything against the
/// logs, which are read after `heal` was called and the server has them again.
pub fn under_load(server: &Server, writers: usize, meanwhile: impl FnOnce(&Tally, &Server)) -> (Tally, u64) {
    let tally = Tally::default();
    let owner = server.person("owner");
    let rooms: Vec<Uuid> = (0..2).map(|n| owner.room(&format!("room {n}"), "public")).collect();
    let mut evidence = Evidence::default();
    thread::scope(|scope| {
        let talkers: Vec<ScopedJoinHandle<'_, Evidence>> = (0..writers + rooms.len())
            .map(|n| {
                let person = server.person(&format!("talker {n}"));
                let room = rooms[n % rooms.len()];
                person.join(room);
                let page = person.page(room, "limit=1");
                let (seq, epoch) = (page["last_seq"].as_u64().expect("last_seq"), page["epoch"].clone());
                let (order, evidence) = (Vec::new(), Evidence::default());
                let (sends, beyond) = (n < writers, BTreeSet::new());
                let talker = Talker { person, room, sends, tally: &tally, order, seq, epoch, beyond, evidence };
                scope.spawn(move || talker.live())
            })
            .collect();
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| meanwhile(&tally, server)));
        tally.stop.store(true, Ordering::Relaxed);
        for talker in talkers {
            let own = talker.join().expect("a talker");
            evidence.answers.extend(own.answers);
            evidence.views.extend(own.views);
            evidence.sent.extend(own.sent);
        }
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    let mut http = server.http();
    let log = |&room: &Uuid| (room, causerie_load::run::read_log(&mut http, &owner.token, room).expect("the log"));
    evidence.logs = rooms.iter().map(log).collect();
    let stored = evidence.logs.values().map(|log| log.entries.len() as u64).sum();
    let faults = check::check(&evidence);
    let shown: Vec<String> = faults.iter().take(20).map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), shown.join("\n"));
    eprintln!(
        "{} acks, {} refusals, other errors {:?}, {stored} events stored, longest wait for an answer {} ms, no fault",
        tally.acked(),
        tally.refused(),
        tally.other.lock().unwrap(),
        tally.slowest_ms.load(Ordering::Relaxed)
    );
    (tally, stored)
}
