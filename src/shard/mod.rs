//! What one core owns: the connections it accepted, and the rooms and users of its slots.
//!
//! `Shard::handle(input, now, &mut effects)` is the only way in, `Shard::next_deadline()` says when it wants to be called
//! again. It decides everything and does nothing: what is to be done stands in [`Effects`], which the shell carries out.
//!
//! | file | what it is about |
//! |---|---|
//! | `input.rs`, `message.rs` | what can happen, what crosses cores |
//! | `conns.rs` | connections: opening, time, bytes out, end |
//! | `frames.rs` | a client's frame becomes a message to an owner |
//! | `pages.rs` | large answers, one after the other |
//! | `arrive.rs` | from "who are you" to the `hello` |
//! | `hub.rs` | who listens here to which room; fan-out |
//! | `rooms.rs`, `listeners.rs` | rooms of this shard's slots; who listens to them elsewhere |
//! | `users.rs`, `person.rs`, `admit.rs` | users of this shard's slots |
//! | `asks.rs` | questions from outside the sockets |
//! | `outgoing.rs` | messages to other shards, and what happens when a lane is full |
//! | `bounds.rs` | what is held in memory beyond what is needed, and when it goes |
//! | `retention.rs` | old messages go, in small steps |

mod admit;
mod arrive;
mod asks;
mod bounds;
mod conns;
mod frames;
mod hub;
pub mod input;
mod listeners;
pub mod message;
mod outgoing;
mod pages;
mod person;
pub mod placement;
mod retention;
mod rooms;
mod users;

pub use input::{
    Ask, AskAnswer, AskId, Audit, Effects, Input, Opened, Output, StoreJob, StoreOp, StoreResult, StoreToken,
};
pub use message::ShardMessage;
pub use placement::Placement;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use ahash::HashMap;

use crate::auth::throttle::Throttle;
use crate::auth::token::Verifier;
use crate::base::limits::Limits;
use crate::base::time::Now;
use crate::base::{ConnId, Moment, RoomId, ShardId, UserId};
use crate::chat::Purpose;
use crate::metrics::Counters;
use crate::store::{NameKey, NameKind, Query, Write};

/// How names are keyed: the store's [`crate::store::Backend::name_key`].
#[derive(Clone)]
pub struct NameKeys(pub Arc<dyn Fn(NameKind, &str) -> NameKey + Send + Sync>);

impl std::fmt::Debug for NameKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NameKeys")
    }
}

/// What a shard is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Which shard this is.
    pub id: ShardId,
    /// Who owns what.
    pub placement: Placement,
    /// Limits as configured.
    pub limits: Limits,
    /// For tokens in first frames.
    pub verifier: Arc<Verifier>,
    /// For the names of external users.
    pub name_keys: NameKeys,
    /// Days that messages are kept where a room says nothing; `None`: for ever.
    pub retention_days: Option<u32>,
    /// How often old messages are looked for, in milliseconds.
    pub retention_sweep_ms: u64,
    /// Seed for all that needs chance (jitter).
    pub seed: u64,
}

/// What a store job is for.
#[derive(Debug)]
enum Job {
    RoomBatch { room: RoomId, batch: u64 },
    RoomRead { room: RoomId, life: u64, purpose: Box<Purpose> },
    RoomsLoad { rooms: Vec<RoomId> },
    RoomReload { room: RoomId },
    UserLoad { user: UserId },
    UserAgain { user: UserId, ask: Option<AskId> },
    UserCreate { user: UserId, attempt: u32 },
    StreamWrite { user: UserId },
    StreamRead { user: UserId, conn: ConnId, id: Option<crate::base::ClientId>, from: crate::base::Seq },
    StreamAsk { ask: AskId },
    SessionsWrite { ask: Option<AskId> },
    Sweep(retention::Step),
}

/// One shard: connections, rooms, users.
#[derive(Debug)]
pub struct Shard {
    setup: Setup,
    counters: Counters,
    conns: conns::Conns,
    hub: HashMap<RoomId, hub::HubRoom>,
    rates: HashMap<UserId, conns::LocalRate>,
    rooms: HashMap<RoomId, rooms::RoomSlot>,
    /// Comings and goings in rooms that were lost from memory before it was known whether they happened.
    doubtful: HashMap<RoomId, Vec<crate::chat::RoomEffect>>,
    next_life: u64,
    /// Rooms with an open batch, to be handed to the store at the end of the turn.
    touched: Vec<RoomId>,
    /// When rooms have presence or typing to tell.
    room_due: BTreeSet<(Moment, RoomId)>,
    subscriptions: HashMap<u64, listeners::Pending>,
    next_subscription: u64,
    users: HashMap<UserId, users::UserSlot>,
    /// When users have something to write.
    user_due: BTreeSet<(Moment, UserId)>,
    throttle: Throttle,
    jobs: HashMap<u64, Job>,
    next_job: u64,
    /// Messages to ourselves, handled before the input is done.
    local: VecDeque<ShardMessage>,
    lanes: Vec<outgoing::Lane>,
    bounds: bounds::Bounds,
    sweep: retention::Sweep,
    draining: Option<conns::Draining>,
    /// Connections that were closed since the last turn.
    ended: Vec<ConnId>,
    /// Connections whose outbox ran empty while pages wait.
    paged: Vec<ConnId>,
    next_tick: Moment,
    next_rest: Moment,
    ticks: u64,
}

/// Time of one connection is looked at once in ten ticks: once a second.
const TICK_MS: u64 = 100;
/// How often rooms and users that nobody uses are looked for.
const REST_EVERY_MS: u64 = 60_000;

impl Shard {
    /// An empty shard.
    #[must_use]
    pub fn new(setup: Setup, now: Now) -> Self {
        let shards = usize::from(setup.placement.shards());
        let sweep = retention::Sweep::new(now.mono.plus_ms(setup.retention_sweep_ms));
        Self {
            setup,
            counters: Counters::default(),
            conns: conns::Conns::default(),
            hub: HashMap::default(),
            rates: HashMap::default(),
            rooms: HashMap::default(),
            doubtful: HashMap::default(),
            next_life: 0,
            touched: Vec::new(),
            room_due: BTreeSet::new(),
            subscriptions: HashMap::default(),
            next_subscription: 0,
            users: HashMap::default(),
            user_due: BTreeSet::new(),
            throttle: Throttle::new(),
            jobs: HashMap::default(),
            next_job: 0,
            local: VecDeque::new(),
            lanes: (0..shards).map(|_| outgoing::Lane::default()).collect(),
            bounds: bounds::Bounds::default(),
            sweep,
            draining: None,
            ended: Vec::new(),
            paged: Vec::new(),
            next_tick: now.mono.plus_ms(TICK_MS),
            next_rest: now.mono.plus_ms(REST_EVERY_MS),
            ticks: 0,
        }
    }

    /// Something happened.
    pub fn handle(&mut self, input: Input, now: Now, effects: &mut Effects) {
        match input {
            Input::Text { conn, text } => self.text(conn, &text, now, effects),
            Input::Heard { conn } => self.heard(conn, now),
            Input::Writable { conn } => self.writable(conn, now, effects),
            Input::Gone { conn, why } => self.gone(conn, why, now, effects),
            Input::Lane { batch, .. } => {
                for message in batch {
                    self.message(message, now, effects);
                }
            }
            Input::LaneFull { to, batch } => self.lane_full(to, batch, now, effects),
            Input::Stored { token, result } => self.job_done(token, result, now, effects),
            Input::Ask { id, ask } => self.ask(id, ask, now, effects),
            Input::Keys(verifier) => self.setup.verifier = verifier,
            Input::Drain { window_ms } => self.drain(window_ms, now, effects),
            Input::Tick => {}
        }
        self.settle(now, effects);
    }

    /// The end of a turn: what was gathered goes to the store, what is due is told. To be called once after the turn's inputs.
    pub fn finish_turn(&mut self, now: Now, effects: &mut Effects) {
        self.forget_ended(now, effects);
        self.more_pages(now, effects);
        self.tick(now, effects);
        self.settle(now, effects);
        self.keep_bounds(now);
        self.flush_rooms(effects);
        self.retry_lanes(effects);
    }

    /// Messages to ourselves are handled like any other, until there are none.
    fn settle(&mut self, now: Now, effects: &mut Effects) {
        while let Some(message) = self.local.pop_front() {
            self.message(message, now, effects);
        }
    }

    fn message(&mut self, message: ShardMessage, now: Now, effects: &mut Effects) {
        match message {
            ShardMessage::Connect(connect) => self.user_connect(connect, now, effects),
            ShardMessage::Disconnect { user, conn } => self.user_disconnect(user, conn, now, effects),
            ShardMessage::Status { user, conn, status } => self.user_status(user, conn, status, now, effects),
            ShardMessage::Spent { user, n, by } => self.user_spent(user, n, by, now, effects),
            ShardMessage::Confirmed { user, device, room, seq } => {
                self.user_confirmed(user, device, room, seq, now, effects);
            }
            ShardMessage::Membership(change) => self.user_membership(*change, now, effects),
            ShardMessage::ReadMoved { user, room, number, at } => {
                self.user_read_moved(user, room, number, at, now, effects);
            }
            ShardMessage::StreamAsk { user, conn, id, from } => self.stream_ask(user, conn, id, from, now, effects),
            ShardMessage::Welcome(welcome) => self.welcome(welcome, now, effects),
            ShardMessage::End { conn, close, code } => self.end(conn, close, code, now, effects),
            ShardMessage::Debited { user, n } => self.debited(user, n, now),
            ShardMessage::Shared { user, shared } => self.shared(user, shared),
            ShardMessage::Stream { event } => self.stream_told(&event, now, effects),
            ShardMessage::StreamMissed(missed) => self.stream_missed(*missed, now, effects),
            ShardMessage::Command(command) => self.room_command(*command, now, effects),
            ShardMessage::Subscribe { conn, user, rooms, look } => {
                self.subscribe(conn, user, rooms, look, now, effects);
            }
            ShardMessage::Unsubscribe { room, shard, n } => self.unsubscribe(room, shard, n, now),
            ShardMessage::Watch { room, watcher, shard } => self.watch(room, watcher, shard, effects),
            ShardMessage::Statuses { user, status, last_seen, rooms } => {
                self.statuses(user, status, last_seen, rooms, now, effects);
            }
            ShardMessage::Subscribed { conn, entries, look } => self.subscribed(conn, entries, look, now, effects),
            ShardMessage::Deliver(delivery) => self.deliver(&delivery, now, effects),
            ShardMessage::Reply(reply) => self.reply(*reply, now, effects),
            ShardMessage::Presence { room, told } => self.presence_told(room, &told, now, effects),
            ShardMessage::PresenceAll { conn, room, told } => self.presence_all(conn, room, &told, now, effects),
            ShardMessage::Typing { room, user, active } => self.typing_told(room, user, active, now, effects),
            ShardMessage::Behind { room, seq } => self.behind(room, seq, now, effects),
            ShardMessage::RoomGone { room } => self.room_gone(room),
            ShardMessage::Lost { room } => self.room_lost(room, now, effects),
        }
    }

    fn tick(&mut self, now: Now, effects: &mut Effects) {
        if now.mono >= self.next_tick {
            self.next_tick = now.mono.plus_ms(TICK_MS);
            self.ticks += 1;
            self.conns_tick(now, effects);
        }
        self.rooms_due(now, effects);
        self.users_due(now, effects);
        if self.bounds.next_deadline().is_some_and(|at| at <= now.mono) {
            self.let_go(now);
        }
        if self.sweep.due(now.mono) {
            self.sweep_begin(effects);
        }
        if now.mono >= self.next_rest {
            self.next_rest = now.mono.plus_ms(REST_EVERY_MS);
            self.forget_answered(now);
            self.forget_rates(now);
            self.let_go(now);
            self.throttle.expire(now.mono);
            self.shrink();
        }
    }

    /// When [`Input::Tick`] (followed by [`Shard::finish_turn`]) is wanted at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        if !self.ended.is_empty() || !self.paged.is_empty() {
            return Some(Moment(0));
        }
        let ticking = !self.conns.is_empty() || self.draining.is_some() || self.lanes.iter().any(outgoing::Lane::waits);
        let tick = ticking.then_some(self.next_tick);
        let resting = (!self.rooms.is_empty() || !self.users.is_empty()).then_some(self.next_rest);
        let room = self.room_due.first().map(|&(due, _)| due);
        let user = self.user_due.first().map(|&(due, _)| due);
        [tick, resting, room, user, self.sweep.next(), self.bounds.next_deadline()].into_iter().flatten().min()
    }

    /// Whether nothing is in flight any more: no store job, no unanswered question, no open connection (for the drain).
    #[must_use]
    pub fn quiet(&self) -> bool {
        self.jobs.is_empty()
            && self.conns.is_empty()
            && self.touched.is_empty()
            && !self.lanes.iter().any(outgoing::Lane::waits)
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// The numbers, for `/metrics` and for the pump's own observations.
    pub fn counters(&mut self) -> &mut Counters {
        self.counters.connections_active = self.conns.len() as u64;
        self.counters.outbox_bytes = self.conns.outbox_bytes as u64;
        self.counters.rooms_loaded = self.rooms.len() as u64;
        self.counters.users_loaded = self.users.len() as u64;
        self.counters.timeline_events = self.bounds.held.events as u64;
        self.counters.timeline_bytes = self.bounds.held.event_bytes as u64;
        self.counters.answered_ids = self.bounds.held.answered as u64;
        self.counters.resting_bytes = self.bounds.resting as u64;
        self.counters.store_jobs = self.jobs.len() as u64;
        &mut self.counters
    }

    // ---- store jobs ----

    fn read(&mut self, job: Job, query: Query, effects: &mut Effects) {
        let token = self.new_job(job);
        effects.jobs.push(StoreJob { token, op: StoreOp::Read(query) });
    }

    fn write(&mut self, job: Job, write: Write, effects: &mut Effects) {
        let token = self.new_job(job);
        effects.jobs.push(StoreJob { token, op: StoreOp::Write(write) });
    }

    fn new_job(&mut self, job: Job) -> StoreToken {
        self.next_job += 1;
        self.jobs.insert(self.next_job, job);
        StoreToken(self.next_job)
    }

    fn job_done(&mut self, token: StoreToken, result: StoreResult, now: Now, effects: &mut Effects) {
        let Some(job) = self.jobs.remove(&token.0) else { return };
        match (job, result) {
            (Job::RoomBatch { room, batch }, StoreResult::Written(result)) => {
                self.room_stored(room, batch, result, now, effects);
            }
            (Job::RoomRead { room, life, purpose }, StoreResult::Read(result)) => {
                self.room_read(room, life, *purpose, result, now, effects);
            }
            (Job::RoomsLoad { rooms }, StoreResult::Read(result)) => self.rooms_loaded(rooms, result, now, effects),
            (Job::RoomReload { room }, StoreResult::Read(result)) => self.room_reloaded(room, result, now, effects),
            (Job::UserLoad { user }, StoreResult::Read(result)) => self.user_loaded(user, result, now, effects),
            (Job::UserAgain { user, ask }, StoreResult::Read(result)) => {
                self.user_again(user, ask, result, now, effects);
            }
            (Job::UserCreate { user, attempt }, StoreResult::Written(result)) => {
                self.user_created(user, attempt, result, now, effects);
            }
            (Job::StreamWrite { user }, StoreResult::Written(result)) => {
                self.stream_written(user, result, now, effects);
            }
            (Job::StreamRead { user, conn, id, from }, StoreResult::Read(result)) => {
                self.stream_read(user, conn, id, from, result, effects);
            }
            (Job::StreamAsk { ask }, StoreResult::Read(result)) => asks::stream_answer(ask, result, effects),
            (Job::SessionsWrite { ask }, StoreResult::Written(result)) => asks::sessions_written(ask, result, effects),
            (Job::Sweep(step), result) => self.sweep_step(step, result, now, effects),
            // The store answers a write as written and a read as read; anything else is a bug of the shell.
            (_, StoreResult::Written(_) | StoreResult::Read(_)) => debug_assert!(false, "answered the wrong way"),
        }
    }
}
