//! Who listens here to which room, wherever that room is owned; fan-out to local outboxes.
//!
//! Logs are dense, so a delivery that does not follow the last one shows that some were lost on the way: then every listener of
//! the room here is told to resume from where it stands. No gap is silent.

use bytes::Bytes;

use crate::base::time::Now;
use crate::base::{ConnId, EventKind, Position, RoomId, Seq, StreamEvent, StreamKind, UserId};
use crate::chat::presence::Told;
use crate::connection::gate::Gate;
use crate::connection::outbox::{Class, Push};
use crate::connection::{Phase, frame};
use crate::metrics::Counters;
use crate::wire::frame::ServerFrame;

use super::conns::mark_dirty;
use super::message::{Delivery, ShardMessage};
use super::{Effects, Shard};

/// The listeners of one room on this shard.
#[derive(Debug, Default)]
pub(super) struct HubRoom {
    /// Places in the table of connections.
    pub(super) conns: Vec<u32>,
    /// The last event that came.
    pub(super) last: Option<Position>,
    /// How many of them watch.
    pub(super) watchers: u32,
}

impl Shard {
    /// A connection gets a room's events from now on. Answers whether it did not before.
    pub(super) fn attach(
        &mut self,
        conn: ConnId,
        room: RoomId,
        stands: Position,
        now: Now,
        effects: &mut Effects,
    ) -> bool {
        let Some(connection) = self.conns.get_mut(conn) else { return false };
        if connection.rooms.contains(&room) {
            return false;
        }
        connection.rooms.push(room);
        if connection.hold {
            connection.gates.close(room, Gate::Held);
        }
        let hub = self.hub.entry(room).or_default();
        hub.conns.push(conn.index);
        let last = hub.last;
        hub.last = Some(stands);
        // The owner stands further than what came here: something was lost for those who listened before.
        if let Some(last) = last
            && last.epoch == stands.epoch
            && last.seq < stands.seq
            && hub.conns.len() > 1
        {
            self.resync_all(room, last, Some(conn), now, effects);
        }
        true
    }

    /// A connection does not get a room's events any more. Answers whether it did before.
    pub(super) fn detach(&mut self, conn: ConnId, room: RoomId, effects: &mut Effects) -> bool {
        let Some(connection) = self.conns.get_mut(conn) else { return false };
        let Some(place) = connection.rooms.iter().position(|&other| other == room) else { return false };
        connection.rooms.swap_remove(place);
        connection.gates.open(room);
        let watched = connection.watch.iter().position(|&other| other == room);
        if let Some(place) = watched {
            connection.watch.swap_remove(place);
        }
        self.hub_leave(conn.index, room, watched.is_some(), effects);
        self.unlisten(room, effects);
        true
    }

    /// Takes a connection out of a room's listeners.
    pub(super) fn hub_leave(&mut self, index: u32, room: RoomId, watched: bool, effects: &mut Effects) {
        let Some(hub) = self.hub.get_mut(&room) else { return };
        if let Some(place) = hub.conns.iter().position(|&other| other == index) {
            hub.conns.swap_remove(place);
        }
        let mut unwatched = false;
        if watched {
            hub.watchers = hub.watchers.saturating_sub(1);
            unwatched = hub.watchers == 0;
        }
        if hub.conns.is_empty() {
            self.hub.remove(&room);
        }
        if unwatched {
            let message = ShardMessage::Watch { room, watcher: None, shard: self.setup.id };
            self.send(self.setup.placement.of_room(room), message, effects);
        }
    }

    /// Tells a room's owner that one connection less listens.
    pub(super) fn unlisten(&mut self, room: RoomId, effects: &mut Effects) {
        let message = ShardMessage::Unsubscribe { room, shard: self.setup.id, n: 1 };
        self.send(self.setup.placement.of_room(room), message, effects);
    }

    /// An event is durable: to every listener here but its author's own connection.
    pub(super) fn deliver(&mut self, delivery: &Delivery, now: Now, effects: &mut Effects) {
        let event = &delivery.event;
        let room = event.room;
        let Some(hub) = self.hub.get_mut(&room) else { return };
        let stands = Position { epoch: event.epoch, seq: event.seq };
        if let Some(last) = hub.last
            && last.epoch == event.epoch
        {
            if event.seq <= last.seq {
                return;
            }
            if event.seq != last.seq.next() {
                hub.last = Some(stands);
                self.resync_all(room, last, None, now, effects);
                return;
            }
        }
        hub.last = Some(stands);
        let listeners = std::mem::take(&mut hub.conns);
        // The author's other devices learn the client's id too; nobody else does.
        let authors = self.conns.of_user(event.user);
        let mut with_id: Option<Bytes> = None;
        let mut delivered = 0;
        for &index in &listeners {
            let author = authors.iter().find(|conn| conn.index == index);
            if author.is_some() && author == delivery.conn.as_ref() {
                continue;
            }
            let bytes = if author.is_some() && event.client_id.is_some() {
                with_id
                    .get_or_insert_with(|| frame(&ServerFrame::Event { event: event.clone(), id: event.client_id }))
                    .clone()
            } else {
                delivery.frame.clone()
            };
            delivered += u64::from(self.push_event(index, room, event.seq, bytes, now, effects));
        }
        if let Some(hub) = self.hub.get_mut(&room) {
            hub.conns = listeners;
        }
        self.counters.deliveries += delivered;
        if let EventKind::Left { subject } = event.kind {
            self.put_out(subject, room, effects);
        }
    }

    /// Who has left hears nothing of what follows, on any connection.
    fn put_out(&mut self, user: UserId, room: RoomId, effects: &mut Effects) {
        let listeners = self.hub.get(&room).map(|hub| hub.conns.clone()).unwrap_or_default();
        for index in listeners {
            if let Some(conn) = self.conns.id_at(index)
                && self.conns.get(conn).and_then(|c| c.user()) == Some(user)
            {
                self.detach(conn, room, effects);
            }
        }
    }

    /// Puts an event into the outbox at this place of the table, which is looked at once: there are very many deliveries. Answers
    /// whether it waits there now.
    fn push_event(
        &mut self,
        index: u32,
        room: RoomId,
        seq: Seq,
        bytes: Bytes,
        now: Now,
        effects: &mut Effects,
    ) -> bool {
        let bound = self.outbox_bound();
        let Some(connection) = self.conns.at_mut(index) else { return false };
        if connection.gates.get(room).is_some() {
            return false;
        }
        // What `push` does when nothing is in its way. Going by `push` alone made 25 to 66 instructions more of a delivery's 150 to 230.
        if !matches!(connection.phase, Phase::Over) && connection.outbox.fits(bytes.len(), bound) {
            let len = bytes.len();
            connection.outbox.push(Class::Event, bytes, bound, now.mono);
            mark_dirty(connection, effects);
            self.conns.outbox_bytes += len;
            return true;
        }
        let conn = connection.id;
        match self.push(conn, Class::Event, bytes, now, effects) {
            Push::Queued => true,
            Push::Slow | Push::Shed => {
                let epoch = self.hub.get(&room).and_then(|hub| hub.last).map_or(crate::base::Epoch(1), |p| p.epoch);
                Counters::count(&mut self.counters.shed, ("event", "slow_reader"));
                self.gate(conn, room, Position { epoch, seq: seq.previous() }, now, effects);
                false
            }
            Push::Full => false,
        }
    }

    /// Closes a room's gate for a connection and tells it from where to resume.
    fn gate(&mut self, conn: ConnId, room: RoomId, position: Position, now: Now, effects: &mut Effects) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if !matches!(connection.phase, Phase::Over) && connection.gates.close(room, Gate::Shed) {
            let bytes = frame(&ServerFrame::Resync { room, position });
            self.push(conn, Class::Control, bytes, now, effects);
        }
    }

    /// Everybody here resumes from where this shard stood.
    fn resync_all(&mut self, room: RoomId, stood: Position, but: Option<ConnId>, now: Now, effects: &mut Effects) {
        let listeners = self.hub.get(&room).map(|hub| hub.conns.clone()).unwrap_or_default();
        for index in listeners {
            if let Some(conn) = self.conns.id_at(index)
                && Some(conn) != but
            {
                Counters::count(&mut self.counters.shed, ("event", "lane_full"));
                self.gate(conn, room, stood, now, effects);
            }
        }
    }

    /// The owner says where a room stands: deliveries may have been lost on the way.
    pub(super) fn behind(&mut self, room: RoomId, seq: Seq, now: Now, effects: &mut Effects) {
        let Some(hub) = self.hub.get_mut(&room) else { return };
        let Some(last) = hub.last else { return };
        if last.seq < seq {
            hub.last = Some(Position { epoch: last.epoch, seq });
            self.resync_all(room, last, None, now, effects);
        }
    }

    /// A room is gone: nobody listens any more, and its owner has forgotten who did.
    pub(super) fn room_gone(&mut self, room: RoomId) {
        let Some(hub) = self.hub.remove(&room) else { return };
        for index in hub.conns {
            if let Some(conn) = self.conns.id_at(index)
                && let Some(connection) = self.conns.get_mut(conn)
            {
                connection.rooms.retain(|&other| other != room);
                connection.watch.retain(|&other| other != room);
                connection.gates.open(room);
            }
        }
    }

    /// The owner has forgotten who listens here: its listeners come back and resume.
    pub(super) fn room_lost(&mut self, room: RoomId, now: Now, effects: &mut Effects) {
        let Some(hub) = self.hub.remove(&room) else { return };
        for index in hub.conns {
            if let Some(conn) = self.conns.id_at(index) {
                if let Some(connection) = self.conns.get_mut(conn) {
                    connection.rooms.retain(|&other| other != room);
                }
                self.end(conn, crate::base::Close::TooSlow, Some(crate::base::Code::StorageUnavailable), now, effects);
            }
        }
    }

    // ---- what is not stored ----

    /// Presence of a room: names to who watches, counts to the others.
    pub(super) fn presence_told(&mut self, room: RoomId, told: &Told, now: Now, effects: &mut Effects) {
        let Some(hub) = self.hub.get(&room) else { return };
        let names = (hub.watchers > 0).then(|| {
            frame(&ServerFrame::Presence { room: Some(room), users: told.users.clone(), online: told.online })
        });
        let counts = told
            .counts
            .then(|| frame(&ServerFrame::Presence { room: Some(room), users: Vec::new(), online: told.online }));
        for index in hub.conns.clone() {
            let Some(conn) = self.conns.id_at(index) else { continue };
            let watches = self.conns.get(conn).is_some_and(|c| c.watch.contains(&room));
            if let Some(bytes) = if watches { &names } else { &counts } {
                self.push(conn, Class::Ephemeral, bytes.clone(), now, effects);
            }
        }
    }

    /// All who are there, for somebody who begins to watch.
    pub(super) fn presence_all(&mut self, conn: ConnId, room: RoomId, told: &Told, now: Now, effects: &mut Effects) {
        let bytes = frame(&ServerFrame::Presence { room: Some(room), users: told.users.clone(), online: told.online });
        self.push(conn, Class::Ephemeral, bytes, now, effects);
    }

    /// A typing mark, to everybody but who types.
    pub(super) fn typing_told(&mut self, room: RoomId, user: UserId, active: bool, now: Now, effects: &mut Effects) {
        let Some(hub) = self.hub.get(&room) else { return };
        let bytes = frame(&ServerFrame::Typing { room, user, active });
        for index in hub.conns.clone() {
            let Some(conn) = self.conns.id_at(index) else { continue };
            if self.conns.get(conn).and_then(|c| c.user()) != Some(user) {
                self.push(conn, Class::Ephemeral, bytes.clone(), now, effects);
            }
        }
    }

    /// An entry of the user stream: to all the user's connections here, since its position moves for all of them.
    pub(super) fn stream_told(&mut self, event: &StreamEvent, now: Now, effects: &mut Effects) {
        let bytes = frame(&ServerFrame::Stream(Box::new(event.clone())));
        for conn in self.conns.of_user(event.user) {
            let Some(connection) = self.conns.get(conn) else { continue };
            match event.kind {
                StreamKind::Added { room, .. } => {
                    if !connection.rooms.contains(&room) {
                        let message =
                            ShardMessage::Subscribe { conn, user: event.user, rooms: vec![room], look: false };
                        self.send(self.setup.placement.of_room(room), message, effects);
                    }
                }
                StreamKind::Removed { room, .. } => {
                    self.detach(conn, room, effects);
                }
                StreamKind::Read { .. } => {}
            }
            if self.push(conn, Class::Event, bytes.clone(), now, effects) == Push::Slow {
                Counters::count(&mut self.counters.shed, ("stream", "slow_reader"));
                self.end(conn, crate::base::Close::TooSlow, None, now, effects);
            }
        }
    }
}
