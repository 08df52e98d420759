//! Shards, lanes, sockets, store and time. The call order is the pump's (`runtime/pump.rs`): inputs, `finish_turn`, jobs, sends, bytes.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::auth::claims::Rules;
use crate::auth::keyset::{Algorithm, Key};
use crate::auth::token::{KeyId, Verifier, sign_with_secret};
use crate::base::limits::Limits;
use crate::base::limits::{OUTBOX_RESERVE_BYTES, SILENT_MS, WRITE_BYTES_MAX};
use crate::base::time::Now;
use crate::base::{Close, ConnId, Moment, Refusal, ShardId, UserId, WallTime};
use crate::shard::{
    Ask, AskAnswer, AskId, Effects, Input, NameKeys, Opened, Placement, Setup, Shard, ShardMessage, StoreOp,
    StoreResult, StoreToken,
};
use crate::store::memory::Memory;
use crate::store::{Answer, Backend as _, Failure, Query, Write};

use super::Rng;

const SECRET: &str = "a secret that only this simulated world knows";

/// What a world is like.
#[derive(Clone, Debug)]
pub struct Config {
    /// Shards.
    pub shards: u16,
    /// Batches that a lane takes.
    pub lane_batches: usize,
    /// The server's limits.
    pub limits: Limits,
    /// Bytes that a socket takes before it blocks.
    pub socket_bytes: usize,
    /// The store takes at most so long for a write, in microseconds; reads take up to three times that.
    pub store_us: u64,
    /// A batch is on its lane at most so long, in microseconds.
    pub lane_us: u64,
}

/// The two ends of a connection.
#[derive(Debug, Default)]
pub struct Socket {
    /// Bytes that the client may read.
    pub bytes: VecDeque<u8>,
    /// The server has closed it; what is in `bytes` comes first.
    pub closed: Option<Close>,
    blocked: bool,
    /// The reader took nothing since then.
    still_since: Moment,
    wants: bool,
    listed: bool,
}

#[derive(Debug)]
struct Node {
    shard: Shard,
    effects: Effects,
    returned: Vec<(ShardId, Vec<ShardMessage>)>,
    inbox: VecDeque<Input>,
    dirty: VecDeque<ConnId>,
    answered: VecDeque<(Moment, StoreToken, StoreResult)>,
}

#[derive(Debug)]
struct PendingRead {
    shard: usize,
    token: StoreToken,
    query: Query,
    /// When the store looks, and when it answers.
    looks: Moment,
    answers: Moment,
    found: Option<Result<Answer, Failure>>,
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// How it is.
    pub config: Config,
    /// Chance of everything that is not a client's choice.
    pub rng: Rng,
    /// The store, which outlives crashes.
    pub store: Arc<Memory>,
    /// Who owns what.
    pub placement: Placement,
    /// Sockets that a client holds.
    pub sockets: BTreeMap<ConnId, Socket>,
    /// Answers to questions.
    pub answers: BTreeMap<u64, Result<AskAnswer, Refusal>>,
    /// What was wrong with the server, if anything.
    pub wrong: Option<String>,
    /// How often a lane was full.
    pub lanes_full: u64,
    /// How often the store was asked something.
    pub looked: u64,
    /// The store fails until then.
    pub fails_until: Moment,
    verifier: Arc<Verifier>,
    nodes: Vec<Node>,
    lanes: BTreeMap<(u16, u16), VecDeque<(Moment, Vec<ShardMessage>)>>,
    writes: VecDeque<(usize, StoreToken, Write, Moment)>,
    reads: Vec<PendingRead>,
    mono: Moment,
    next_ask: u64,
}

const WALL: u64 = 1_795_000_000_000;

impl World {
    /// A new world.
    #[must_use]
    pub fn new(config: Config, mut rng: Rng) -> Self {
        let key = Key::secret(SECRET).expect("a secret");
        let verifier = Verifier::external(Rules::default(), KeyId::Header, &[Algorithm::Hs256], vec![key]);
        let mut world = Self {
            store: Arc::new(Memory::new([7; 32])),
            placement: Placement::even(config.shards),
            config,
            sockets: BTreeMap::new(),
            answers: BTreeMap::new(),
            wrong: None,
            lanes_full: 0,
            looked: 0,
            fails_until: Moment(0),
            verifier: Arc::new(verifier.expect("a verifier")),
            nodes: Vec::new(),
            lanes: BTreeMap::new(),
            writes: VecDeque::new(),
            reads: Vec::new(),
            mono: Moment(rng.below(1_000_000)),
            next_ask: 0,
            rng,
        };
        world.boot();
        world
    }

    fn boot(&mut self) {
        let store = Arc::clone(&self.store);
        let keys = NameKeys(Arc::new(move |kind, name| store.name_key(kind, name)));
        let now = self.now();
        self.nodes = (0..self.config.shards)
            .map(|id| {
                let setup = Setup {
                    id: ShardId(id),
                    placement: self.placement.clone(),
                    limits: self.config.limits.clone(),
                    verifier: Arc::clone(&self.verifier),
                    name_keys: keys.clone(),
                    retention_days: None,
                    retention_sweep_ms: 3_600_000,
                    seed: 1,
                };
                Node {
                    shard: Shard::new(setup, now),
                    effects: Effects::default(),
                    returned: Vec::new(),
                    inbox: VecDeque::new(),
                    dirty: VecDeque::new(),
                    answered: VecDeque::new(),
                }
            })
            .collect();
    }

    /// A shard.
    ///
    /// # Panics
    /// When there is none of this number.
    pub fn shard(&mut self, number: usize) -> &mut Shard {
        &mut self.nodes[number].shard
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { mono: self.mono, wall: WallTime(WALL + self.mono.0 / 1000) }
    }

    /// Time goes on.
    pub fn pass(&mut self, us: u64) {
        self.mono.0 += us;
    }

    /// A token of this user; `login` says which session.
    #[must_use]
    pub fn token(&self, user: UserId, login: &str) -> String {
        let mut payload = crate::auth::claims::Payload::new();
        payload.insert("sub".to_owned(), user.to_string().into());
        payload.insert("sid".to_owned(), login.into());
        payload.insert("iat".to_owned(), (WALL / 1000 - 60).into());
        payload.insert("exp".to_owned(), (WALL / 1000 + 30 * 86_400).into());
        sign_with_secret(SECRET, KeyId::Header, payload).expect("a token")
    }

    /// A client opens a socket at this shard.
    pub fn open(&mut self, shard: u16) -> Option<ConnId> {
        let now = self.now();
        let node = &mut self.nodes[usize::from(shard)];
        let opened = Opened { peer: IpAddr::V4(Ipv4Addr::LOCALHOST), claims: None, agent: "sim".to_owned() };
        let conn = node.shard.open(opened, now, &mut node.effects).ok()?;
        self.sockets.insert(conn, Socket::default());
        Some(conn)
    }

    /// A client says something.
    pub fn say(&mut self, conn: ConnId, text: String) {
        if self.sockets.get(&conn).is_some_and(|socket| socket.closed.is_none()) {
            let inbox = &mut self.nodes[conn.shard.index()].inbox;
            inbox.push_back(Input::Heard { conn });
            inbox.push_back(Input::Text { conn, text });
        }
    }

    /// A client takes bytes that have arrived.
    pub fn read(&mut self, conn: ConnId, max: usize) -> Vec<u8> {
        let Some(socket) = self.sockets.get_mut(&conn) else { return Vec::new() };
        let n = max.min(socket.bytes.len());
        let bytes: Vec<u8> = socket.bytes.drain(..n).collect();
        if n > 0 && socket.closed.is_none() {
            self.nodes[conn.shard.index()].inbox.push_back(Input::Heard { conn });
        }
        if socket.blocked && socket.bytes.is_empty() {
            socket.blocked = false;
            self.nodes[conn.shard.index()].inbox.push_back(Input::Writable { conn });
        }
        bytes
    }

    /// A client lets go of its socket.
    pub fn drop_socket(&mut self, conn: ConnId) {
        if let Some(socket) = self.sockets.remove(&conn)
            && socket.closed.is_none()
        {
            self.nodes[conn.shard.index()].inbox.push_back(Input::Gone { conn, why: "peer" });
        }
    }

    /// A question from outside; the answer comes in `answers`.
    pub fn ask(&mut self, shard: ShardId, ask: Ask) -> u64 {
        self.next_ask += 1;
        self.nodes[shard.index()].inbox.push_back(Input::Ask { id: AskId(self.next_ask), ask });
        self.next_ask
    }

    /// Everything but the store is gone. Writes on their way are there or not, in order.
    pub fn crash(&mut self) {
        let there = self.rng.below(self.writes.len() as u64 + 1);
        for (_, _, write, _) in std::mem::take(&mut self.writes).into_iter().take(usize::try_from(there).unwrap_or(0)) {
            let _ = self.store.write_each(vec![write]);
        }
        self.reads.clear();
        self.lanes.clear();
        // Connections of the next life have the same names.
        self.sockets.clear();
        self.boot();
    }

    /// Whether nothing is on its way anywhere.
    #[must_use]
    pub fn quiet(&mut self) -> bool {
        self.writes.is_empty()
            && self.reads.is_empty()
            && self.lanes.values().all(VecDeque::is_empty)
            && self.nodes.iter_mut().all(|node| {
                // That a client has read something, a ping too, asks for nothing.
                node.inbox.iter().all(|input| matches!(input, Input::Heard { .. }))
                    && node.answered.is_empty()
                    && node.returned.is_empty()
                    && node.dirty.is_empty()
                    && node.shard.counters().store_jobs == 0
            })
    }

    /// Each shard has a turn, in any order; some are held up.
    pub fn turn(&mut self, held_up: u64) {
        self.work_store();
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        for place in (1..order.len()).rev() {
            order.swap(place, usize::try_from(self.rng.below(place as u64 + 1)).unwrap_or(0));
        }
        for shard in order {
            if held_up == 0 || !self.rng.one_in(held_up) {
                self.shard_turn(shard);
            }
        }
    }

    fn shard_turn(&mut self, index: usize) {
        let now = self.now();
        let me = u16::try_from(index).unwrap_or(0);
        let mut inputs: Vec<Input> = Vec::new();
        let node = &mut self.nodes[index];
        inputs.extend(std::mem::take(&mut node.returned).into_iter().map(|(to, batch)| Input::LaneFull { to, batch }));
        if node.shard.next_deadline().is_some_and(|at| at <= now.mono) {
            inputs.push(Input::Tick);
        }
        while node.answered.front().is_some_and(|(at, _, _)| *at <= now.mono) {
            if let Some((_, token, result)) = node.answered.pop_front() {
                inputs.push(Input::Stored { token, result });
            }
        }
        for from in 0..self.config.shards {
            let Some(lane) = self.lanes.get_mut(&(from, me)) else { continue };
            while lane.front().is_some_and(|(at, _)| *at <= now.mono) {
                if let Some((_, batch)) = lane.pop_front() {
                    inputs.push(Input::Lane { from: ShardId(from), batch });
                }
            }
        }
        inputs.append(&mut node.inbox.drain(..).collect());
        for input in inputs {
            let writable = if let Input::Writable { conn } = &input { Some(*conn) } else { None };
            node.shard.handle(input, now, &mut node.effects);
            if let Some(conn) = writable
                && let Some(socket) = self.sockets.get_mut(&conn)
                && socket.wants
                && !std::mem::replace(&mut socket.listed, true)
            {
                node.dirty.push_back(conn);
            }
        }
        node.shard.finish_turn(now, &mut node.effects);
        self.carry_out(index, now);
        self.write_out(index);
        let node = &mut self.nodes[index];
        let stuck = |socket: &Socket| {
            socket.closed.is_none() && socket.blocked && now.mono.0 > socket.still_since.0 + 2 * SILENT_MS * 1000
        };
        if let Some((conn, _)) = self.sockets.iter().find(|(conn, socket)| conn.shard.0 == me && stuck(socket)) {
            self.wrong = Some(format!("{conn} reads nothing and is not closed"));
        }
        let counters = node.shard.counters();
        let most = self.config.limits.outbox_bytes + OUTBOX_RESERVE_BYTES + 1024 * 1024;
        if counters.outbox_bytes > counters.connections_active * most as u64 {
            self.wrong = Some(format!("shard {index} holds {} bytes for its readers", counters.outbox_bytes));
        }
    }

    fn carry_out(&mut self, index: usize, now: Now) {
        let node = &mut self.nodes[index];
        let from = u16::try_from(index).unwrap_or(0);
        let us = self.config.store_us;
        for job in node.effects.jobs.drain(..) {
            match job.op {
                StoreOp::Write(write) => {
                    let before = self.writes.back().map_or(Moment(0), |(_, _, _, at)| *at);
                    let at = before.max(Moment(now.mono.0 + self.rng.below(us)));
                    self.writes.push_back((index, job.token, write, at));
                }
                StoreOp::Read(query) => {
                    self.looked += 1;
                    let looks = Moment(now.mono.0 + self.rng.below(us));
                    let answers = Moment(looks.0 + self.rng.below(us * 2));
                    let token = job.token;
                    self.reads.push(PendingRead { shard: index, token, query, looks, answers, found: None });
                }
            }
        }
        let mut batches: BTreeMap<u16, Vec<ShardMessage>> = BTreeMap::new();
        for (to, message) in node.effects.sends.drain(..) {
            batches.entry(to.0).or_default().push(message);
        }
        for (to, batch) in batches {
            let lane = self.lanes.entry((from, to)).or_default();
            if lane.len() >= self.config.lane_batches {
                self.lanes_full += 1;
                node.returned.push((ShardId(to), batch));
                continue;
            }
            let before = lane.back().map_or(Moment(0), |(at, _)| *at);
            lane.push_back((before.max(Moment(now.mono.0 + self.rng.below(self.config.lane_us))), batch));
        }
        for (id, answer) in node.effects.answers.drain(..) {
            self.answers.insert(id.0, answer);
        }
        node.effects.audit.clear();
        for conn in node.effects.dirty.drain(..) {
            if let Some(socket) = self.sockets.get_mut(&conn)
                && !std::mem::replace(&mut socket.listed, true)
            {
                node.dirty.push_back(conn);
            }
        }
    }

    fn write_out(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        for _ in 0..node.dirty.len() {
            let Some(conn) = node.dirty.pop_front() else { break };
            let Some(socket) = self.sockets.get_mut(&conn).filter(|socket| socket.closed.is_none()) else { continue };
            socket.listed = false;
            socket.wants = false;
            let mut bytes = Vec::new();
            let max = if socket.blocked { 0 } else { WRITE_BYTES_MAX.min(self.config.socket_bytes) };
            let output = node.shard.take_output(conn, max, &mut bytes);
            if socket.blocked && !bytes.is_empty() {
                self.wrong = Some("bytes came that nobody asked for".to_owned());
            }
            socket.bytes.extend(&bytes);
            if let Some(code) = output.close {
                socket.closed = Some(code);
                continue;
            }
            if socket.blocked {
                socket.wants = true;
            } else if socket.bytes.len() > self.config.socket_bytes {
                socket.blocked = true;
                socket.still_since = self.mono;
                socket.wants = output.more;
            } else if output.more {
                socket.listed = true;
                node.dirty.push_back(conn);
            }
        }
    }

    fn work_store(&mut self) {
        let now = self.mono;
        let failing = now < self.fails_until;
        let failure = || Failure::Unavailable("the disk is full".to_owned());
        while self.writes.front().is_some_and(|(_, _, _, at)| *at <= now) {
            let Some((shard, token, write, _)) = self.writes.pop_front() else { break };
            let result = if failing {
                // Nobody knows whether it is there.
                if self.rng.one_in(3) {
                    let _ = self.store.write_each(vec![write]);
                }
                Err(failure())
            } else {
                self.store
                    .write_each(vec![write])
                    .and_then(|mut results| results.pop().unwrap_or_else(|| Err(failure())))
            };
            if let Err(Failure::Misuse(what) | Failure::Damaged(what)) = &result {
                self.wrong = Some(format!("the store was used wrongly: {what}"));
            }
            let at = Moment(now.0 + self.rng.below(500));
            let node = &mut self.nodes[shard];
            let before = node.answered.back().map_or(Moment(0), |(at, _, _)| *at);
            node.answered.push_back((before.max(at), token, StoreResult::Written(result)));
        }
        for read in &mut self.reads {
            if read.found.is_none() && read.looks <= now {
                let fails = failing && self.rng.one_in(2);
                read.found = Some(if fails { Err(failure()) } else { self.store.read(&read.query) });
            }
        }
        let mut place = 0;
        while place < self.reads.len() {
            if self.reads[place].answers <= now && self.reads[place].found.is_some() {
                let read = self.reads.remove(place);
                let node = &mut self.nodes[read.shard];
                let at = node.answered.back().map_or(now, |(at, _, _)| *at);
                let result = StoreResult::Read(read.found.unwrap_or_else(|| Err(failure())));
                node.answered.push_back((at, read.token, result));
            } else {
                place += 1;
            }
        }
    }
}
