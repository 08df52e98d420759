//! The connections of this shard: their table, their time, their bytes, their end.

use ahash::HashMap;
use bytes::Bytes;
use slab::Slab;
use smallvec::SmallVec;

use crate::base::limits::{AUTH_FRAME_MS, STUCK_MS, TOKEN_NOTICE_MS};
use crate::base::time::Now;
use crate::base::{ClientId, Close, Code, ConnId, Moment, Refusal, RoomId, Status, UserId, WallTime};
use crate::chat::rate::Bucket;
use crate::connection::gate::Gates;
use crate::connection::heartbeat::{Beat, Heartbeat};
use crate::connection::outbox::{Class, Outbox, Push};
use crate::connection::{Connection, Pages, Phase, frame};
use crate::metrics::Counters;
use crate::wire::frame::ServerFrame;
use crate::wire::websocket;

use super::message::ShardMessage;
use super::{Effects, Opened, Output, Shard};

/// The table of connections.
#[derive(Debug, Default)]
pub(super) struct Conns {
    table: Slab<Connection>,
    generations: Vec<u32>,
    by_user: HashMap<UserId, SmallVec<[u32; 2]>>,
    /// Bytes waiting in all outboxes.
    pub(super) outbox_bytes: usize,
}

/// What a user may still send from here.
#[derive(Debug)]
pub(super) struct LocalRate {
    pub(super) bucket: Bucket,
    /// The user is connected elsewhere too: what is spent here is told.
    pub(super) shared: bool,
}

/// The server is about to stop.
#[derive(Debug)]
pub(super) struct Draining {
    /// Sockets are closed when nothing is in flight, not before this …
    earliest: Moment,
    /// … and in any case then.
    latest: Moment,
}

/// A client is told of the drain and has this long to be answered what it asked.
const DRAIN_GRACE_MS: u64 = 250;
const DRAIN_LATEST_MS: u64 = 3000;

impl Conns {
    pub(super) fn get(&self, conn: ConnId) -> Option<&Connection> {
        self.table.get(conn.index as usize).filter(|c| c.id == conn)
    }

    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.table.get_mut(conn.index as usize).filter(|c| c.id == conn)
    }

    /// The connection at this place, whoever's it is.
    pub(super) fn at_mut(&mut self, index: u32) -> Option<&mut Connection> {
        self.table.get_mut(index as usize)
    }

    /// The name of the connection at this place.
    pub(super) fn id_at(&self, index: u32) -> Option<ConnId> {
        self.table.get(index as usize).map(|c| c.id)
    }

    /// The user's connections here.
    pub(super) fn of_user(&self, user: UserId) -> SmallVec<[ConnId; 4]> {
        let places = self.by_user.get(&user).into_iter().flatten();
        places.filter_map(|&index| self.id_at(index)).collect()
    }

    /// A connection is this user's.
    pub(super) fn belongs(&mut self, conn: ConnId, user: UserId) {
        self.by_user.entry(user).or_default().push(conn.index);
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Gives memory of connections that are gone back, as far as none that is open lies behind them.
    pub(super) fn shrink(&mut self) {
        if self.table.len() < self.table.capacity() / 4 {
            self.table.shrink_to_fit();
        }
        if self.by_user.len() < self.by_user.capacity() / 4 {
            self.by_user.shrink_to(self.by_user.len() * 2);
        }
    }

    fn all(&self) -> Vec<ConnId> {
        self.table.iter().map(|(_, c)| c.id).collect()
    }
}

impl Shard {
    /// A WebSocket is open.
    ///
    /// # Errors
    /// There is no place for it: close it with this code.
    pub fn open(&mut self, opened: Opened, now: Now, effects: &mut Effects) -> Result<ConnId, Close> {
        if self.draining.is_some() {
            return Err(Close::Draining);
        }
        let entry = self.conns.table.vacant_entry();
        let place = entry.key();
        let Ok(index) = u32::try_from(place) else { return Err(Close::TooManyConnections) };
        if self.conns.generations.len() <= place {
            self.conns.generations.resize(place + 1, 0);
        }
        self.conns.generations[place] = self.conns.generations[place].wrapping_add(1);
        let id = ConnId { shard: self.setup.id, index, generation: self.conns.generations[place] };
        let requests = self.setup.limits.requests_per_second;
        entry.insert(Connection {
            id,
            phase: Phase::Greeting { until: now.mono.plus_ms(AUTH_FRAME_MS) },
            actor: None,
            claimed: None,
            peer: opened.peer,
            expires: WallTime(u64::MAX),
            expiry_told: false,
            hold: false,
            outbox: Outbox::default(),
            gates: Gates::default(),
            rooms: Vec::new(),
            watch: Vec::new(),
            status: Status::Online,
            heartbeat: Heartbeat::new(now.mono),
            requests: Bucket::new(requests, requests * 3, now.mono),
            dirty: false,
            close: None,
            agent: opened.agent,
            strikes: 0,
            paging: None,
            told: Vec::new(),
            pages: Pages::default(),
        });
        self.counters.connections_opened += 1;
        if let Some(claims) = opened.claims {
            self.introduce(id, claims, None, now, effects);
            self.settle(now, effects);
        }
        Ok(id)
    }

    /// Bytes came in.
    pub(super) fn heard(&mut self, conn: ConnId, now: Now) {
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.heartbeat.heard(now.mono);
        }
    }

    /// All that was handed out has left.
    pub(super) fn writable(&mut self, conn: ConnId, now: Now, effects: &mut Effects) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.outbox.moved(now.mono);
        if !connection.outbox.is_empty() || connection.close.is_some() {
            mark_dirty(connection, effects);
        }
    }

    /// The socket is gone.
    pub(super) fn gone(&mut self, conn: ConnId, why: &'static str, now: Now, effects: &mut Effects) {
        if self.conns.get(conn).is_none() {
            return;
        }
        Counters::count(&mut self.counters.connections_closed, why);
        self.forget(conn, now, effects);
    }

    /// Takes a connection out of everything.
    fn forget(&mut self, conn: ConnId, now: Now, effects: &mut Effects) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let rooms = std::mem::take(&mut connection.rooms);
        let watch = std::mem::take(&mut connection.watch);
        let claimed = connection.claimed;
        for room in rooms {
            self.hub_leave(conn.index, room, watch.contains(&room), effects);
            self.unlisten(room, effects);
        }
        if let Some(connection) = self.conns.table.try_remove(conn.index as usize) {
            self.conns.outbox_bytes = self.conns.outbox_bytes.saturating_sub(connection.outbox.bytes());
        }
        if let Some(user) = claimed {
            if let Some(places) = self.conns.by_user.get_mut(&user) {
                places.retain(|index| *index != conn.index);
                if places.is_empty() {
                    self.conns.by_user.remove(&user);
                    if self.rates.get(&user).is_some_and(|rate| rate.bucket.full(now.mono)) {
                        self.rates.remove(&user);
                    }
                }
            }
            let message = ShardMessage::Disconnect { user, conn };
            self.send(self.setup.placement.of_user(user), message, effects);
        }
    }

    /// Ends a connection: an error frame (if there is something to say), then the close frame.
    pub(super) fn end(&mut self, conn: ConnId, close: Close, code: Option<Code>, now: Now, effects: &mut Effects) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if connection.close.is_some() {
            return;
        }
        connection.close = Some(close);
        let arriving = matches!(connection.phase, Phase::Arriving(_));
        connection.phase = Phase::Over;
        if arriving {
            // What waited for the hello must not be heard without it.
            let waiting = std::mem::take(&mut connection.outbox).bytes();
            self.conns.outbox_bytes = self.conns.outbox_bytes.saturating_sub(waiting);
        }
        if let Some(code) = code {
            let bytes = frame(&ServerFrame::Error { id: None, room: None, refusal: code.into() });
            self.push(conn, Class::Control, bytes, now, effects);
        }
        if let Some(connection) = self.conns.get_mut(conn) {
            mark_dirty(connection, effects);
        }
    }

    /// Tells a client that something was not done.
    pub(super) fn error(
        &mut self,
        conn: ConnId,
        id: Option<ClientId>,
        room: Option<RoomId>,
        refusal: Refusal,
        now: Now,
        effects: &mut Effects,
    ) {
        Counters::count(&mut self.counters.refused, refusal.code.name());
        if matches!(refusal.code, Code::NotAllowed | Code::Suspended) {
            let user = self.conns.get(conn).and_then(Connection::user);
            effects.audit.push(super::Audit {
                what: "refused",
                user,
                room,
                conn: Some(conn),
                code: Some(refusal.code.name()),
            });
        }
        self.control(conn, &ServerFrame::Error { id, room, refusal }, now, effects);
    }

    /// Puts an answer into an outbox.
    pub(super) fn control(&mut self, conn: ConnId, server_frame: &ServerFrame, now: Now, effects: &mut Effects) {
        if self.conns.get(conn).is_some() {
            self.push(conn, Class::Control, frame(server_frame), now, effects);
        }
    }

    /// Short of memory for all: nobody gets ephemeral frames, and the fullest outboxes are full earlier.
    fn outbox_tight(&self) -> bool {
        self.conns.outbox_bytes > self.setup.limits.outbox_budget_bytes
    }

    /// How many bytes may wait for one connection.
    pub(super) fn outbox_bound(&self) -> usize {
        let bytes = self.setup.limits.outbox_bytes;
        if self.outbox_tight() { bytes / 8 } else { bytes }
    }

    /// Puts a frame into an outbox, within the connection's bound and the shard's budget.
    pub(super) fn push(&mut self, conn: ConnId, class: Class, bytes: Bytes, now: Now, effects: &mut Effects) -> Push {
        let tight = self.outbox_tight();
        let bound = self.outbox_bound();
        let Some(connection) = self.conns.get_mut(conn) else { return Push::Shed };
        if matches!(connection.phase, Phase::Over) && class != Class::Control {
            // It hears why it is over, and nothing more.
            return Push::Full;
        }
        if tight && class == Class::Ephemeral {
            Counters::count(&mut self.counters.shed, ("ephemeral", "budget"));
            return Push::Shed;
        }
        let before = connection.outbox.bytes();
        let pushed = connection.outbox.push(class, bytes, bound, now.mono);
        let after = connection.outbox.bytes();
        let shed = connection.outbox.take_shed();
        if pushed == Push::Queued {
            mark_dirty(connection, effects);
        }
        self.conns.outbox_bytes = self.conns.outbox_bytes + after - before.min(self.conns.outbox_bytes + after);
        if shed > 0 {
            *self.counters.shed.entry(("ephemeral", "slow_reader")).or_default() += shed;
        }
        if pushed == Push::Full
            && let Some(connection) = self.conns.get_mut(conn)
            && connection.close.is_none()
        {
            connection.close = Some(Close::TooSlow);
            connection.phase = Phase::Over;
            mark_dirty(connection, effects);
        }
        pushed
    }

    /// Appends what `conn` has to write, whole frames, about `bytes_max` at most (a larger frame goes alone; with 0 nothing does, and
    /// only the end is told). When it says [`Output::close`] the connection is over for this shard.
    pub fn take_output(&mut self, conn: ConnId, bytes_max: usize, into: &mut Vec<u8>) -> Output {
        let nothing = Output { more: false, close: None };
        let Some(connection) = self.conns.get_mut(conn) else { return nothing };
        connection.dirty = false;
        if !connection.may_write() {
            return nothing;
        }
        let before = connection.outbox.bytes();
        let more = if bytes_max == 0 { !connection.outbox.is_empty() } else { connection.outbox.take(bytes_max, into) };
        let left = connection.outbox.bytes();
        let close = if more { None } else { connection.close };
        // Who asked with 0 took nothing and does not look again by itself: news (an end above all) must be told again.
        connection.dirty = more && bytes_max > 0;
        if !more && !connection.pages.asked && !connection.pages.waiting.is_empty() {
            self.paged.push(conn);
        }
        self.conns.outbox_bytes = self.conns.outbox_bytes.saturating_sub(before - left);
        if let Some(close) = close {
            Counters::count(&mut self.counters.connections_closed, close.reason());
            self.ended.push(conn);
        }
        Output { more, close }
    }

    /// Connections that were closed by [`Shard::take_output`] are taken out of everything.
    pub(super) fn forget_ended(&mut self, now: Now, effects: &mut Effects) {
        for conn in std::mem::take(&mut self.ended) {
            self.forget(conn, now, effects);
        }
    }

    // ---- time ----

    /// Looks at a tenth of the connections.
    pub(super) fn conns_tick(&mut self, now: Now, effects: &mut Effects) {
        // By their places, without a look at the other nine tenths: thousands of idle connections are thousands of lines of cache.
        let part = usize::try_from(self.ticks % 10).unwrap_or_default();
        let places: Vec<ConnId> = (part..self.conns.generations.len())
            .step_by(10)
            .filter_map(|place| self.conns.table.get(place).map(|connection| connection.id))
            .collect();
        for conn in places {
            self.conn_tick(conn, now, effects);
        }
        if let Some(draining) = &self.draining {
            let quiet = self.jobs.is_empty() && now.mono >= draining.earliest;
            if quiet || now.mono >= draining.latest {
                for conn in self.conns.all() {
                    self.end(conn, Close::Draining, None, now, effects);
                }
            }
        }
    }

    fn conn_tick(&mut self, conn: ConnId, now: Now, effects: &mut Effects) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        match connection.heartbeat.beat(now.mono) {
            Beat::Fine => {}
            Beat::Ping => {
                let ping = websocket::ping_frame();
                self.push(conn, Class::Control, ping, now, effects);
            }
            Beat::Silent => return self.cut(conn, Close::Silent, now, effects),
        }
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if connection.outbox.waiting_since().is_some_and(|since| now.mono >= since.plus_ms(STUCK_MS)) {
            return self.cut(conn, Close::TooSlow, now, effects);
        }
        match &connection.phase {
            Phase::Greeting { until } if now.mono >= *until => {
                self.end(conn, Close::NotAuthenticated, Some(Code::NotAuthenticated), now, effects);
            }
            Phase::Arriving(arrival) if now.mono >= arrival.until => {
                self.end(conn, Close::TooSlow, Some(Code::Busy), now, effects);
            }
            Phase::Live if now.wall >= connection.expires => {
                self.end(conn, Close::NotAuthenticated, Some(Code::TokenExpired), now, effects);
            }
            Phase::Live if !connection.expiry_told && now.wall.plus_ms(TOKEN_NOTICE_MS) >= connection.expires => {
                connection.expiry_told = true;
                let notice = ServerFrame::Notice { code: "token_expiring", reconnect_after_ms: None };
                self.control(conn, &notice, now, effects);
            }
            Phase::Greeting { .. } | Phase::Arriving(_) | Phase::Live | Phase::Over => {}
        }
    }

    /// Ends a connection whose reader takes nothing: what waits is not waited for.
    fn cut(&mut self, conn: ConnId, close: Close, now: Now, effects: &mut Effects) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let waiting = connection.outbox.bytes();
        connection.outbox = Outbox::default();
        connection.close = None;
        // Its socket is blocked and nobody looks at it before it moves: the end must be told.
        connection.dirty = false;
        self.conns.outbox_bytes = self.conns.outbox_bytes.saturating_sub(waiting);
        self.end(conn, close, None, now, effects);
    }

    /// The server is about to stop.
    pub(super) fn drain(&mut self, window_ms: u64, now: Now, effects: &mut Effects) {
        if self.draining.is_some() {
            return;
        }
        self.draining =
            Some(Draining { earliest: now.mono.plus_ms(DRAIN_GRACE_MS), latest: now.mono.plus_ms(DRAIN_LATEST_MS) });
        for conn in self.conns.all() {
            // Spread evenly over the window by a hash of the connection: nobody comes back at the same time.
            let mix = xxhash_rust::xxh3::xxh3_64_with_seed(&conn.index.to_le_bytes(), self.setup.seed);
            let notice = ServerFrame::Notice { code: "draining", reconnect_after_ms: Some(mix % window_ms.max(1)) };
            self.control(conn, &notice, now, effects);
        }
    }

    // ---- rates ----

    /// Takes one message off the user's rate.
    pub(super) fn spend(&mut self, user: UserId, now: Now, effects: &mut Effects) -> Result<(), Refusal> {
        let limits = &self.setup.limits;
        let (per_second, burst) = (limits.messages_per_second, limits.messages_burst);
        let rate = self
            .rates
            .entry(user)
            .or_insert_with(|| LocalRate { bucket: Bucket::new(per_second, burst, now.mono), shared: false });
        rate.bucket.take(now.mono).map_err(|wait_ms| Refusal::new(Code::RateLimited).retry_after(wait_ms))?;
        if rate.shared {
            let message = ShardMessage::Spent { user, n: 1, by: self.setup.id };
            self.send(self.setup.placement.of_user(user), message, effects);
        }
        Ok(())
    }

    /// Messages were taken from the user's rate elsewhere.
    pub(super) fn debited(&mut self, user: UserId, n: u32, now: Now) {
        if let Some(rate) = self.rates.get_mut(&user) {
            rate.bucket.debit(n, now.mono);
        }
    }

    /// Whether the user is connected on other shards too.
    pub(super) fn shared(&mut self, user: UserId, shared: bool) {
        if let Some(rate) = self.rates.get_mut(&user) {
            rate.shared = shared;
        }
    }

    /// Begins to look after what a user may send from here.
    pub(super) fn rate_from(&mut self, user: UserId, shared: bool, now: Now) {
        let limits = &self.setup.limits;
        let (per_second, burst) = (limits.messages_per_second, limits.messages_burst);
        self.rates
            .entry(user)
            .or_insert_with(|| LocalRate { bucket: Bucket::new(per_second, burst, now.mono), shared })
            .shared = shared;
    }
}

/// The connection has something to write.
pub(super) fn mark_dirty(connection: &mut Connection, effects: &mut Effects) {
    if !connection.dirty && connection.may_write() {
        connection.dirty = true;
        effects.dirty.push(connection.id);
    }
}
