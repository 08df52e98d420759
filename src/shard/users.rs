//! Users of this shard's slots: who is connected where, presence, rates over all shards, the user stream, sessions.

use crate::auth::Claims;
use crate::base::time::Now;
use crate::base::{
    ClientId, Close, Code, ConnId, DeviceId, Number, Position, RoomId, Seq, SessionId, ShardId, Status, StreamEvent,
    StreamKind, UserId, WallTime,
};
use crate::chat::UserCommand;
use crate::connection::Welcome;
use crate::store::{Answer, Failure, Outcome, Query, UserWrite, Write};

use super::arrive::by_owner;
use super::message::{Connect, MembershipChange, ShardMessage, StreamMissed, StreamRefused};
use super::person::{Denied, Person, PersonConn};
use super::{AskId, Effects, Job, Shard};

/// A user of ours: in memory, or on the way there.
#[derive(Debug)]
pub(super) enum UserSlot {
    /// The store was asked; what came since waits.
    Loading(Vec<UserWork>),
    /// In memory.
    Ready(Box<Person>),
}

/// What is to be done with a user.
#[derive(Debug)]
pub(super) enum UserWork {
    Connect(Box<Connect>),
    Authenticate(AskId, Box<Claims>),
    Ask(AskId, UserCommand),
    Membership(MembershipChange),
    ReadMoved { room: RoomId, number: Number, at: WallTime },
    Confirmed { device: DeviceId, room: RoomId, seq: Seq },
    StreamAsk { conn: ConnId, id: Option<ClientId>, from: Position },
}

impl UserWork {
    /// The token that came with it.
    pub(super) fn claims(&self) -> Option<&Claims> {
        match self {
            Self::Connect(connect) => Some(&connect.claims),
            Self::Authenticate(_, claims) => Some(claims),
            Self::Ask(..)
            | Self::Membership(_)
            | Self::ReadMoved { .. }
            | Self::Confirmed { .. }
            | Self::StreamAsk { .. } => None,
        }
    }

    /// Whether somebody waits for an answer who can try again.
    pub(super) fn may_be_refused(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Authenticate(..) | Self::Ask(..) | Self::StreamAsk { .. })
    }
}

/// Positions that devices confirm are written this much later, together.
const CURSOR_DELAY_MS: u64 = 1000;
/// A failed write of the stream is tried again after this time.
const STREAM_RETRY_MS: u64 = 1000;
/// Entries in one answer to a resume of the stream.
const STREAM_PAGE: usize = 500;

impl Shard {
    pub(super) fn user_connect(&mut self, connect: Box<Connect>, now: Now, effects: &mut Effects) {
        let user = connect.claims.user;
        self.with_user(user, UserWork::Connect(connect), now, effects);
    }

    pub(super) fn user_membership(&mut self, change: MembershipChange, now: Now, effects: &mut Effects) {
        self.with_user(change.user, UserWork::Membership(change), now, effects);
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of the message")]
    pub(super) fn user_read_moved(
        &mut self,
        user: UserId,
        room: RoomId,
        number: Number,
        at: WallTime,
        now: Now,
        effects: &mut Effects,
    ) {
        self.with_user(user, UserWork::ReadMoved { room, number, at }, now, effects);
    }

    pub(super) fn user_work(&mut self, user: UserId, work: UserWork, now: Now, effects: &mut Effects) {
        match work {
            UserWork::Connect(connect) => self.connect(*connect, now, effects),
            UserWork::Authenticate(id, claims) => self.authenticate_ask(id, user, &claims, now, effects),
            UserWork::Ask(id, command) => self.user_ask(id, user, command, now, effects),
            UserWork::Membership(change) => self.membership(change, now, effects),
            UserWork::ReadMoved { room, number, at } => {
                self.stream_append(user, StreamKind::Read { room, number }, at, effects);
            }
            UserWork::Confirmed { device, room, seq } => self.confirmed(user, device, room, seq, now),
            UserWork::StreamAsk { conn, id, from } => self.stream_resume(user, conn, id, from, effects),
        }
        self.count_user(user);
    }

    // ---- connections ----

    fn connect(&mut self, connect: Connect, now: Now, effects: &mut Effects) {
        let Connect { conn, claims, device, agent, peer } = connect;
        let user = claims.user;
        let most = usize::try_from(self.setup.limits.connections_per_user).unwrap_or(usize::MAX);
        let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { return };
        person.used = now.mono;
        let admitted = if person.conns.len() >= most {
            Err(Denied { close: Close::TooManyConnections, code: Code::TooManyConnections })
        } else {
            person.admit(&claims, device, &agent, now.wall)
        };
        let (actor, write) = match admitted {
            Ok(admitted) => admitted,
            Err(Denied { close, code }) => {
                effects.audit.push(super::Audit {
                    what: "connection_refused",
                    user: Some(user),
                    room: None,
                    conn: Some(conn),
                    code: Some(code.name()),
                });
                self.send(conn.shard, ShardMessage::End { conn, close, code: Some(code) }, effects);
                return;
            }
        };
        tracing::debug!(%conn, %peer, "a user connects");
        let before = person.shards();
        person.conns.push(PersonConn { conn, session: actor.session, device: actor.device, status: Status::Online });
        let after = person.shards();
        let welcome = Welcome {
            conn,
            actor,
            profile: person.user.profile(),
            rooms: person.rooms.iter().copied().collect(),
            stream: person.stream(),
            shared: after.len() > 1,
        };
        if let Some(write) = write {
            self.write(Job::SessionsWrite { ask: None }, Write::User(Box::new(write)), effects);
        }
        self.tell_shared(user, before.len(), effects);
        self.send(conn.shard, ShardMessage::Welcome(Box::new(welcome)), effects);
        self.tell_status(user, now, effects);
    }

    pub(super) fn user_disconnect(&mut self, user: UserId, conn: ConnId, now: Now, effects: &mut Effects) {
        let person = match self.users.get_mut(&user) {
            Some(UserSlot::Ready(person)) => person,
            Some(UserSlot::Loading(waiting)) => {
                waiting.retain(|work| !matches!(work, UserWork::Connect(connect) if connect.conn == conn));
                return;
            }
            None => return,
        };
        person.used = now.mono;
        let before = person.shards().len();
        let Some(place) = person.conns.iter().position(|c| c.conn == conn) else { return };
        let gone = person.conns.swap_remove(place);
        person.last_seen = now.wall;
        let mut write = UserWrite::new(user);
        if person.conns.is_empty()
            && let Some(device) = person.devices.iter_mut().find(|device| device.id == gone.device)
        {
            device.seen_at = now.wall;
            write.devices.push(device.clone());
        }
        if !write.devices.is_empty() {
            self.write(Job::SessionsWrite { ask: None }, Write::User(Box::new(write)), effects);
        }
        self.tell_shared(user, before, effects);
        self.tell_status(user, now, effects);
        self.count_user(user);
    }

    /// Tells the shards of a user's connections when there are several of them, or no longer.
    fn tell_shared(&mut self, user: UserId, before: usize, effects: &mut Effects) {
        let Some(UserSlot::Ready(person)) = self.users.get(&user) else { return };
        let shards = person.shards();
        if (before > 1) == (shards.len() > 1) {
            return;
        }
        let shared = shards.len() > 1;
        for shard in shards {
            self.send(shard, ShardMessage::Shared { user, shared }, effects);
        }
    }

    // ---- presence ----

    pub(super) fn user_status(&mut self, user: UserId, conn: ConnId, status: Status, now: Now, effects: &mut Effects) {
        let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { return };
        if let Some(own) = person.conns.iter_mut().find(|c| c.conn == conn) {
            own.status = status;
        }
        self.tell_status(user, now, effects);
    }

    /// Tells all rooms of a user when their status is not what was told last.
    fn tell_status(&mut self, user: UserId, now: Now, effects: &mut Effects) {
        let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { return };
        let status = person.status();
        if status == person.told {
            return;
        }
        person.told = status;
        let last_seen = if status == Status::Offline { now.wall } else { WallTime(0) };
        let rooms: Vec<RoomId> = person.rooms.iter().copied().collect();
        for (owner, rooms) in by_owner(&self.setup.placement, &rooms) {
            self.send(owner, ShardMessage::Statuses { user, status, last_seen, rooms }, effects);
        }
    }

    // ---- rates ----

    /// Messages were taken from the user's rate on one shard: the others, and we, take them off too.
    pub(super) fn user_spent(&mut self, user: UserId, n: u32, by: ShardId, now: Now, effects: &mut Effects) {
        let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { return };
        person.bucket.debit(n, now.mono);
        for shard in person.shards() {
            if shard != by {
                self.send(shard, ShardMessage::Debited { user, n }, effects);
            }
        }
    }

    // ---- rooms and the stream ----

    fn membership(&mut self, change: MembershipChange, now: Now, effects: &mut Effects) {
        let MembershipChange { user, room, role, by, at } = change;
        let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { return };
        person.used = now.mono;
        let kind = match role {
            Some(role) => {
                person.rooms.insert(room);
                StreamKind::Added { room, by, role }
            }
            None => {
                person.rooms.remove(&room);
                StreamKind::Removed { room, by }
            }
        };
        let status = person.told;
        if role.is_some() && status != Status::Offline {
            let message = ShardMessage::Statuses { user, status, last_seen: WallTime(0), rooms: vec![room] };
            self.send(self.setup.placement.of_room(room), message, effects);
        }
        self.stream_append(user, kind, at, effects);
    }

    fn stream_append(&mut self, user: UserId, kind: StreamKind, at: WallTime, effects: &mut Effects) {
        let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { return };
        person.stream_waiting.push_back((kind, at));
        self.stream_flush(user, effects);
    }

    fn stream_flush(&mut self, user: UserId, effects: &mut Effects) {
        let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { return };
        if let Some(write) = person.next_stream_write() {
            self.write(Job::StreamWrite { user }, Write::User(Box::new(write)), effects);
        }
    }

    pub(super) fn stream_written(
        &mut self,
        user: UserId,
        result: Result<Outcome, Failure>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { return };
        let events = std::mem::take(&mut person.stream_in_flight);
        if !matches!(result, Ok(Outcome::Done { .. })) {
            // Not known whether it is there: the entries wait, and where the stream stands is read before they are tried again.
            for event in events.into_iter().rev() {
                person.stream_waiting.push_front((event.kind, event.at));
            }
            self.user_wake(user, now.mono.plus_ms(STREAM_RETRY_MS));
            return;
        }
        person.stream_head = events.last().map_or(person.stream_head, |last| last.seq);
        self.tell_stream(user, events, effects);
        self.stream_flush(user, effects);
    }

    /// Entries are durable: all connections of the user learn of them.
    fn tell_stream(&mut self, user: UserId, events: Vec<StreamEvent>, effects: &mut Effects) {
        let Some(UserSlot::Ready(person)) = self.users.get(&user) else { return };
        let shards = person.shards();
        for event in events {
            for &shard in &shards {
                self.send(shard, ShardMessage::Stream { event: Box::new(event.clone()) }, effects);
            }
        }
    }

    pub(super) fn stream_ask(
        &mut self,
        user: UserId,
        conn: ConnId,
        id: Option<ClientId>,
        from: Position,
        now: Now,
        effects: &mut Effects,
    ) {
        self.with_user(user, UserWork::StreamAsk { conn, id, from }, now, effects);
    }

    fn stream_resume(
        &mut self,
        user: UserId,
        conn: ConnId,
        id: Option<ClientId>,
        from: Position,
        effects: &mut Effects,
    ) {
        let Some(UserSlot::Ready(person)) = self.users.get(&user) else { return };
        let result = if from.epoch != person.user.stream_epoch {
            Err(StreamRefused::Reload("epoch"))
        } else if from.seq > person.stream_head {
            Err(StreamRefused::Reload("future"))
        } else if from.seq.next() < person.stream_first {
            Err(StreamRefused::Reload("retention"))
        } else if from.seq == person.stream_head {
            Ok((Vec::new(), from.seq, false))
        } else {
            let query = Query::Stream { user, after: from.seq, limit: STREAM_PAGE };
            self.read(Job::StreamRead { user, conn, id, from: from.seq }, query, effects);
            return;
        };
        let missed = StreamMissed { conn, id, result };
        self.send(conn.shard, ShardMessage::StreamMissed(Box::new(missed)), effects);
    }

    pub(super) fn stream_read(
        &mut self,
        user: UserId,
        conn: ConnId,
        id: Option<ClientId>,
        from: Seq,
        result: Result<Answer, Failure>,
        effects: &mut Effects,
    ) {
        let result = match result {
            Ok(Answer::Stream(mut events)) => {
                // The store may have an entry of which we do not know yet that it is durable: it is told when we do.
                if let Some(UserSlot::Ready(person)) = self.users.get(&user) {
                    events.retain(|event| event.seq <= person.stream_head);
                }
                let upto = events.last().map_or(from, |last| last.seq);
                let head = match self.users.get(&user) {
                    Some(UserSlot::Ready(person)) => person.stream_head,
                    Some(UserSlot::Loading(_)) | None => upto,
                };
                Ok((events, upto, upto < head))
            }
            _ => Err(StreamRefused::Unavailable),
        };
        let missed = StreamMissed { conn, id, result };
        self.send(conn.shard, ShardMessage::StreamMissed(Box::new(missed)), effects);
    }

    // ---- positions of devices ----

    pub(super) fn user_confirmed(
        &mut self,
        user: UserId,
        device: DeviceId,
        room: RoomId,
        seq: Seq,
        now: Now,
        effects: &mut Effects,
    ) {
        self.with_user(user, UserWork::Confirmed { device, room, seq }, now, effects);
    }

    fn confirmed(&mut self, user: UserId, device: DeviceId, room: RoomId, seq: Seq, now: Now) {
        let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { return };
        // Only rooms one is in: whatever a client says, this stays small.
        if !person.rooms.contains(&room) {
            return;
        }
        let stands = person.cursors.entry((device, room)).or_default();
        *stands = seq.max(*stands);
        self.user_wake(user, now.mono.plus_ms(CURSOR_DELAY_MS));
    }

    fn user_wake(&mut self, user: UserId, at: crate::base::Moment) {
        let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { return };
        if person.due.is_none() {
            person.due = Some(at);
            self.user_due.insert((at, user));
        }
    }

    pub(super) fn users_due(&mut self, now: Now, effects: &mut Effects) {
        while let Some(&(due, user)) = self.user_due.first()
            && due <= now.mono
        {
            self.user_due.pop_first();
            let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { continue };
            person.due = None;
            let cursors = person.take_cursors();
            let retry = !person.stream_waiting.is_empty() && person.stream_in_flight.is_empty();
            if !cursors.is_empty() {
                let write = UserWrite { cursors, ..UserWrite::new(user) };
                self.write(Job::SessionsWrite { ask: None }, Write::User(Box::new(write)), effects);
            }
            if retry {
                // Where the stream really stands is read first.
                let query = Query::User(user);
                self.read(Job::UserAgain { user, ask: None }, query, effects);
            }
        }
    }

    /// The record and the stream's head as the store has them.
    pub(super) fn user_again(
        &mut self,
        user: UserId,
        ask: Option<AskId>,
        result: Result<Answer, Failure>,
        now: Now,
        effects: &mut Effects,
    ) {
        let mut durable = Vec::new();
        let done = match (self.users.get_mut(&user), result) {
            (Some(UserSlot::Ready(person)), Ok(Answer::User(Some(loaded)))) => {
                person.user = loaded.user;
                if person.stream_in_flight.is_empty() {
                    // Entries that did become durable are not written again; nobody was told of them yet.
                    while person.stream_head < loaded.stream_head {
                        person.stream_head = person.stream_head.next();
                        let Some((kind, at)) = person.stream_waiting.pop_front() else { continue };
                        durable.push(StreamEvent { user, seq: person.stream_head, at, kind });
                    }
                }
                person.sessions = loaded.sessions;
                true
            }
            _ => false,
        };
        if let Some(ask) = ask {
            let answer = if done {
                Ok(super::AskAnswer::User(crate::chat::UserReply::Done))
            } else {
                Err(Code::StorageUnavailable.into())
            };
            effects.answers.push((ask, answer));
        }
        if done {
            self.tell_stream(user, durable, effects);
            self.end_invalid(user, effects);
            self.stream_flush(user, effects);
        } else {
            self.user_wake(user, now.mono.plus_ms(STREAM_RETRY_MS));
        }
    }

    // ---- sessions ----

    /// Ends connections of sessions that do not live any more (or of a suspended user).
    fn end_invalid(&mut self, user: UserId, effects: &mut Effects) {
        let Some(UserSlot::Ready(person)) = self.users.get(&user) else { return };
        let valid_from = person.user.sessions_valid_from;
        let lives = |id: SessionId| {
            person.sessions.iter().any(|s| {
                s.id == id && s.ended_at.is_none() && (person.user.external.is_some() || s.created_at >= valid_from)
            })
        };
        let mut over = Vec::new();
        for own in &person.conns {
            if person.user.suspended {
                over.push((own.conn, Close::NotAllowed, Code::Suspended));
            } else if !lives(own.session) {
                over.push((own.conn, Close::SessionEnded, Code::SessionEnded));
            }
        }
        for (conn, close, code) in over {
            self.send(conn.shard, ShardMessage::End { conn, close, code: Some(code) }, effects);
        }
    }

    /// Ends sessions: their sockets close on all shards, and the end is stored.
    pub(super) fn end_sessions(
        &mut self,
        ask: AskId,
        user: UserId,
        which: impl Fn(SessionId) -> bool,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { return };
        let mut write = UserWrite::new(user);
        for session in &mut person.sessions {
            if which(session.id) && session.ended_at.is_none() {
                session.ended_at = Some(now.wall);
                write.sessions.push(session.clone());
            }
        }
        if write.sessions.is_empty() {
            effects.answers.push((ask, Ok(super::AskAnswer::User(crate::chat::UserReply::Done))));
            return;
        }
        for session in &write.sessions {
            tracing::debug!(session = %session.id, "a session ends");
        }
        effects.audit.push(super::Audit {
            what: "session_ended",
            user: Some(user),
            room: None,
            conn: None,
            code: None,
        });
        self.write(Job::SessionsWrite { ask: Some(ask) }, Write::User(Box::new(write)), effects);
        self.end_invalid(user, effects);
    }

    /// Rates of users who are not connected here are forgotten when they are full again.
    pub(super) fn forget_rates(&mut self, now: Now) {
        let conns = &self.conns;
        self.rates.retain(|&user, rate| !conns.of_user(user).is_empty() || !rate.bucket.full(now.mono));
    }
}
