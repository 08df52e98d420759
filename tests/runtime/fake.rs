//! A machine, sockets and a store that do what a test tells them. Texts are commands; see [`Fake::handle`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use causerie::base::time::Now;
use causerie::base::{Close, ConnId, Moment, ShardId, UserId};
use causerie::metrics::{Counters, Snapshot};
use causerie::runtime::port::{Sent, Socket};
use causerie::runtime::{Machine, StoreDone, StoreFull, StorePort};
use causerie::shard::{Ask, AskAnswer, Effects, Input, Opened, Output, StoreJob, StoreOp, StoreResult, StoreToken};
use causerie::store::{Answer, Backend, Failure, NameKey, NameKind, Outcome, Query, Write};

#[derive(Default)]
struct Conn {
    out: VecDeque<Vec<u8>>,
    close: Option<Close>,
}

/// A machine that obeys.
pub struct Fake {
    id: ShardId,
    conns: Vec<Option<Conn>>,
    counters: Counters,
    deadline: Option<Moment>,
    jobs: Vec<(u64, ConnId)>,
    next_job: u64,
    busy: bool,
}

impl Fake {
    pub fn new(id: ShardId) -> Self {
        Self {
            id,
            conns: Vec::new(),
            counters: Counters::default(),
            deadline: None,
            jobs: Vec::new(),
            next_job: 0,
            busy: false,
        }
    }

    fn say(&mut self, conn: ConnId, text: &str, effects: &mut Effects) {
        if let Some(Some(open)) = self.conns.get_mut(conn.index as usize) {
            open.out.push_back(text.as_bytes().to_vec());
            effects.dirty.push(conn);
        }
    }

    fn say_all(&mut self, text: &str, effects: &mut Effects) {
        for index in 0..self.conns.len() {
            let conn = ConnId { shard: self.id, index: index as u32, generation: 1 };
            self.say(conn, text, effects);
        }
    }
}

impl Machine for Fake {
    fn open(&mut self, opened: Opened, _: Now, _: &mut Effects) -> Result<ConnId, Close> {
        if opened.agent == "unwanted" {
            return Err(Close::TooManyConnections);
        }
        let index = self.conns.len() as u32;
        self.conns.push(Some(Conn::default()));
        Ok(ConnId { shard: self.id, index, generation: 1 })
    }

    fn handle(&mut self, input: Input, now: Now, effects: &mut Effects) {
        match input {
            Input::Text { conn, text } => {
                let (verb, rest) = text.split_once(' ').unwrap_or((&text, ""));
                match verb {
                    "say" => self.say(conn, rest, effects),
                    "say_all" => self.say_all(rest, effects),
                    "big" => {
                        for _ in 0..3 {
                            self.say(conn, &"x".repeat(60_000), effects);
                        }
                    }
                    "store" => {
                        self.next_job += 1;
                        self.jobs.push((self.next_job, conn));
                        let op = match rest {
                            "read" => StoreOp::Read(Query::RoomIds { after: None, limit: 1 }),
                            name => StoreOp::Write(Write::Setting { name: name.to_owned(), value: None }),
                        };
                        effects.jobs.push(StoreJob { token: StoreToken(self.next_job), op });
                    }
                    "close" => {
                        if let Some(Some(open)) = self.conns.get_mut(conn.index as usize) {
                            open.close = Some(Close::TooSlow);
                            effects.dirty.push(conn);
                        }
                    }
                    "burn" => {
                        let end = Instant::now() + Duration::from_millis(rest.parse().unwrap());
                        while Instant::now() < end {}
                    }
                    "tick" => self.deadline = Some(now.mono.plus_ms(rest.parse().unwrap())),
                    "busy" => self.busy = rest == "on",
                    "panic" => panic!("told to"),
                    other => panic!("unknown verb {other}"),
                }
            }
            Input::Tick => {
                let deadline = self.deadline.take().expect("a tick only at a deadline");
                let word = if now.mono >= deadline { "tick" } else { "early" };
                self.say_all(word, effects);
            }
            Input::Stored { token, result } => {
                let at = self.jobs.iter().position(|(n, _)| *n == token.0).expect("an answer only to a job, and once");
                let (_, conn) = self.jobs.remove(at);
                let word = match result {
                    StoreResult::Written(Ok(_)) => "written",
                    StoreResult::Written(Err(Failure::Unavailable(_))) => "unavailable",
                    StoreResult::Read(Ok(_)) => "read",
                    other => panic!("{other:?}"),
                };
                self.say(conn, word, effects);
            }
            Input::Ask { id, ask } => {
                let answer = match ask {
                    Ask::Metrics => {
                        let counters = self.counters.clone();
                        AskAnswer::Metrics(Box::new(Snapshot { counters, ..Snapshot::default() }))
                    }
                    Ask::Attempt { key } if key == "never" => return,
                    _ => AskAnswer::Allowed,
                };
                effects.answers.push((id, Ok(answer)));
            }
            Input::Gone { conn, why } => {
                self.conns[conn.index as usize] = None;
                self.say_all(&format!("gone {why}"), effects);
            }
            Input::Writable { .. } => {}
            Input::Heard { .. } => self.counters.deliveries += 1,
            Input::Drain { window_ms } => {
                self.say_all(&format!("drain {window_ms}"), effects);
                for (index, conn) in self.conns.iter_mut().enumerate() {
                    if let Some(conn) = conn
                        && !self.busy
                    {
                        conn.close = Some(Close::Draining);
                        effects.dirty.push(ConnId { shard: self.id, index: index as u32, generation: 1 });
                    }
                }
            }
            Input::Lane { from, batch } => self.say_all(&format!("lane {} {}", from.0, batch.len()), effects),
            Input::LaneFull { .. } | Input::Keys(_) => {}
        }
    }

    fn next_deadline(&self) -> Option<Moment> {
        self.deadline
    }

    fn take_output(&mut self, conn: ConnId, bytes_max: usize, into: &mut Vec<u8>) -> Output {
        let place = &mut self.conns[conn.index as usize];
        let Some(open) = place else { return Output { more: false, close: None } };
        if open.close == Some(Close::TooSlow) {
            *place = None;
            return Output { more: false, close: Some(Close::TooSlow) };
        }
        let mut taken = 0;
        while let Some(frame) = open.out.front() {
            if bytes_max == 0 || (taken > 0 && taken + frame.len() > bytes_max) {
                return Output { more: true, close: None };
            }
            taken += frame.len();
            into.extend_from_slice(frame);
            into.push(b'|');
            open.out.pop_front();
        }
        let close = open.close;
        if close.is_some() {
            *place = None;
        }
        Output { more: false, close }
    }

    fn connections(&self) -> usize {
        self.conns.iter().flatten().count()
    }

    fn quiet(&self) -> bool {
        self.jobs.is_empty()
    }

    fn counters(&mut self) -> &mut Counters {
        &mut self.counters
    }
}

/// A socket that keeps what it was sent.
pub struct FakeSocket {
    /// One entry a write.
    pub writes: RefCell<Vec<String>>,
    /// What the next write answers.
    pub answer: Cell<Sent>,
    /// How long a write keeps the core, in microseconds.
    pub takes_us: Cell<u64>,
    pub closed: Cell<Option<Close>>,
}

impl FakeSocket {
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            writes: RefCell::default(),
            answer: Cell::new(Sent::All),
            takes_us: Cell::new(0),
            closed: Cell::new(None),
        })
    }

    pub fn all(&self) -> String {
        self.writes.borrow().concat()
    }
}

impl Socket for FakeSocket {
    fn send(&self, bytes: &[u8]) -> Sent {
        assert!(!bytes.is_empty() && self.closed.get().is_none());
        self.writes.borrow_mut().push(String::from_utf8(bytes.to_vec()).unwrap());
        let begun = std::time::Instant::now();
        while begun.elapsed().as_micros() < u128::from(self.takes_us.get()) {
            std::hint::spin_loop();
        }
        self.answer.get()
    }

    fn close(&self, code: Close) {
        assert!(self.closed.replace(Some(code)).is_none(), "closed twice");
    }
}

pub fn opened(agent: &str) -> Opened {
    Opened { peer: "127.0.0.1".parse().unwrap(), claims: None, agent: agent.to_owned() }
}

/// A store that answers on a thread of its own: `slow…` after a while, and is full for what is called `full`.
pub struct FakeStore {
    jobs: Mutex<Vec<std::thread::JoinHandle<()>>>,
    /// Names of settings written, in the order in which they were given.
    pub seen: Arc<Mutex<Vec<String>>>,
}

impl FakeStore {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { jobs: Mutex::default(), seen: Arc::default() })
    }
}

impl StorePort for FakeStore {
    fn submit(&self, op: StoreOp, done: StoreDone) -> Result<(), StoreFull> {
        let mut wait = Duration::ZERO;
        let result = match op {
            StoreOp::Write(Write::Setting { name, .. }) => {
                if name == "full" {
                    return Err(StoreFull);
                }
                if name == "slow" {
                    wait = Duration::from_millis(200);
                }
                self.seen.lock().unwrap().push(name);
                StoreResult::Written(Ok(Outcome::Done { first_user: false }))
            }
            StoreOp::Write(other) => panic!("{other:?}"),
            StoreOp::Read(_) => StoreResult::Read(Ok(Answer::RoomIds(Vec::new()))),
        };
        let job = std::thread::spawn(move || {
            std::thread::sleep(wait);
            done(result);
        });
        self.jobs.lock().unwrap().push(job);
        Ok(())
    }

    fn drain(&self) {
        for job in self.jobs.lock().unwrap().drain(..) {
            job.join().unwrap();
        }
    }
}

/// A backend that nobody asks.
pub struct NoBackend;

impl Backend for NoBackend {
    fn write_each(&self, _: Vec<Write>) -> Result<Vec<Result<Outcome, Failure>>, Failure> {
        Err(Failure::Misuse("not here".to_owned()))
    }
    fn read(&self, _: &Query) -> Result<Answer, Failure> {
        Err(Failure::Misuse("not here".to_owned()))
    }
    fn name_key(&self, _: NameKind, _: &str) -> NameKey {
        NameKey([0; 32])
    }
    fn pair_key(&self, _: UserId, _: UserId) -> [u8; 16] {
        [0; 16]
    }
    fn server_key(&self) -> [u8; 32] {
        [0; 32]
    }
    fn size_bytes(&self) -> u64 {
        7
    }
}
