//! From "who are you" to the `hello`: the token is checked here, the session by the user's owner, the rooms by theirs.

use std::collections::BTreeMap;

use crate::auth::Claims;
use crate::base::limits::{
    CONTENT_CHARS_MAX, FRAME_BYTES_MAX, HEARTBEAT_MS, METADATA_BYTES_MAX, PAGE_ROWS_MAX, ROOMS_PER_FRAME,
    ROOMS_PER_REQUEST_MAX,
};
use crate::base::time::Now;
use crate::base::{ClientId, Close, Code, ConnId, DeviceId, Position, Refusal, RoomId, ShardId};
use crate::chat::RoomEntry;
use crate::connection::{Arrival, Paging, Phase, Welcome, frame};
use crate::wire::frame::{Hello, HelloLimits, ServerFrame};

use super::message::{Connect, ShardMessage};
use super::{Effects, Shard};

/// How long the owners have to answer before the client is sent away to try again.
const ARRIVAL_MS: u64 = 15_000;

/// What this server can do beyond protocol 1.
const CAPABILITIES: &[&str] = &["delete", "read", "stream", "hold"];

impl Shard {
    /// The first frame, or a new token on a live connection.
    #[allow(clippy::too_many_arguments, reason = "the fields of the frame")]
    pub(super) fn authenticate(
        &mut self,
        conn: ConnId,
        id: Option<ClientId>,
        token: &str,
        device: Option<DeviceId>,
        hold: bool,
        now: Now,
        effects: &mut Effects,
    ) {
        let claims = self.setup.verifier.verify(token, now.wall);
        let Some(connection) = self.conns.get_mut(conn) else { return };
        match (&connection.phase, claims) {
            (Phase::Greeting { .. }, Ok(claims)) => {
                connection.hold = hold;
                self.introduce(conn, claims, device, now, effects);
            }
            (Phase::Greeting { .. }, Err(refusal)) => {
                self.end(conn, Close::NotAuthenticated, Some(refusal.code), now, effects);
            }
            (Phase::Live, Ok(claims)) => {
                if connection.claimed != Some(claims.user) {
                    let refusal = Refusal::because(Code::NotAuthenticated, "This token is another user's.");
                    self.error(conn, id, None, refusal.field("content"), now, effects);
                    return;
                }
                connection.expires = claims.expires_at;
                connection.expiry_told = false;
                let ack = ServerFrame::Ack { id, room: None, event: None, at: now.wall, duplicate: false, entry: None };
                self.control(conn, &ack, now, effects);
            }
            (Phase::Live, Err(refusal)) => self.error(conn, id, None, refusal, now, effects),
            (Phase::Arriving(_) | Phase::Over, _) => {}
        }
    }

    /// A valid token was shown: its owner says whether the session lives.
    pub(super) fn introduce(
        &mut self,
        conn: ConnId,
        claims: Claims,
        device: Option<DeviceId>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.claimed = Some(claims.user);
        connection.expires = claims.expires_at;
        connection.phase = Phase::Arriving(Box::new(Arrival {
            welcome: None,
            awaited: 0,
            entries: Vec::new(),
            until: now.mono.plus_ms(ARRIVAL_MS),
        }));
        let user = claims.user;
        let (agent, peer) = (std::mem::take(&mut connection.agent), connection.peer);
        self.conns.belongs(conn, user);
        let connect = Connect { conn, claims, device, agent, peer };
        self.send(self.setup.placement.of_user(user), ShardMessage::Connect(Box::new(connect)), effects);
    }

    /// The user's owner accepts the connection: now the rooms.
    pub(super) fn welcome(&mut self, welcome: Box<Welcome>, now: Now, effects: &mut Effects) {
        let conn = welcome.conn;
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let Phase::Arriving(arrival) = &mut connection.phase else { return };
        let (user, shared) = (welcome.actor.user, welcome.shared);
        connection.actor = Some(welcome.actor);
        let groups = by_owner(&self.setup.placement, &welcome.rooms);
        arrival.awaited = groups.len();
        arrival.welcome = Some(welcome);
        self.rate_from(user, shared, now);
        if groups.is_empty() {
            self.hello(conn, now, effects);
            return;
        }
        for (owner, rooms) in groups {
            self.send(owner, ShardMessage::Subscribe { conn, user, rooms, look: false }, effects);
        }
    }

    /// A room owner has answered: the connection listens to these rooms from here on.
    pub(super) fn subscribed(
        &mut self,
        conn: ConnId,
        entries: Vec<RoomEntry>,
        look: bool,
        now: Now,
        effects: &mut Effects,
    ) {
        if look {
            self.paged(conn, entries, now, effects);
            return;
        }
        let mut new = Vec::new();
        for entry in entries {
            let stands = Position { epoch: entry.epoch, seq: entry.last_seq };
            if self.attach(conn, entry.room_id, stands, now, effects) {
                new.push(entry);
            } else {
                // Counted by the owner, but gone or listening already: one less.
                self.unlisten(entry.room_id, effects);
            }
        }
        let Some(connection) = self.conns.get_mut(conn) else { return };
        match &mut connection.phase {
            Phase::Arriving(arrival) => {
                arrival.entries.append(&mut new);
                arrival.awaited = arrival.awaited.saturating_sub(1);
                if arrival.awaited == 0 {
                    self.hello(conn, now, effects);
                }
            }
            Phase::Live if !new.is_empty() => {
                let rooms = ServerFrame::Rooms { id: None, rooms: new, cursor: None };
                self.control(conn, &rooms, now, effects);
            }
            Phase::Live | Phase::Greeting { .. } | Phase::Over => {}
        }
    }

    fn hello(&mut self, conn: ConnId, now: Now, effects: &mut Effects) {
        let limits = &self.setup.limits;
        let limits = HelloLimits {
            content_chars: narrow(CONTENT_CHARS_MAX),
            metadata_bytes: narrow(METADATA_BYTES_MAX),
            frame_bytes: narrow(FRAME_BYTES_MAX),
            messages_per_second: limits.messages_per_second,
            messages_burst: limits.messages_burst,
            page_rows: narrow(PAGE_ROWS_MAX),
            rooms_per_request: narrow(ROOMS_PER_REQUEST_MAX),
        };
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let Phase::Arriving(arrival) = &mut connection.phase else { return };
        let Some(welcome) = arrival.welcome.take() else { return };
        let mut rooms = std::mem::take(&mut arrival.entries);
        rooms.sort_unstable_by_key(|entry| (std::cmp::Reverse(entry.last_at), entry.room_id));
        let more_rooms = rooms.len() > ROOMS_PER_FRAME;
        rooms.truncate(ROOMS_PER_FRAME);
        connection.told = if more_rooms { rooms.iter().map(|entry| entry.room_id).collect() } else { Vec::new() };
        let hello = Hello {
            user: welcome.profile,
            session_id: welcome.actor.session,
            device_id: welcome.actor.device,
            capabilities: CAPABILITIES.to_vec(),
            limits,
            heartbeat_ms: HEARTBEAT_MS,
            rooms,
            more_rooms,
            cursor: more_rooms.then(String::new),
            stream: welcome.stream,
            at: now.wall,
        };
        connection.phase = Phase::Live;
        let bytes = frame(&ServerFrame::Hello(Box::new(hello)));
        self.conns.outbox_bytes += bytes.len();
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.outbox.push_front(bytes, now.mono);
        super::conns::mark_dirty(connection, effects);
    }

    /// A page of the rooms that did not fit the `hello`, ascending by id after the cursor.
    pub(super) fn rooms_page(
        &mut self,
        conn: ConnId,
        id: Option<ClientId>,
        cursor: Option<&str>,
        now: Now,
        effects: &mut Effects,
    ) {
        let after = match cursor {
            None | Some("") => None,
            Some(text) => {
                let Ok(room) = text.parse::<RoomId>() else {
                    let why = "This is not a cursor that the server gave.";
                    let refusal = Refusal::because(Code::BadFrame, why).field("metadata.cursor");
                    self.error(conn, id, None, refusal, now, effects);
                    return;
                };
                Some(room)
            }
        };
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let Some(user) = connection.user() else { return };
        if connection.paging.is_some() {
            let refusal = Refusal::because(Code::Busy, "One page at a time: wait for the answer.").retry_after(100);
            self.error(conn, id, None, refusal, now, effects);
            return;
        }
        let mut rooms: Vec<RoomId> =
            connection.rooms.iter().copied().filter(|room| after.is_none_or(|after| *room > after)).collect();
        // Newer rooms stood in the `hello` already.
        rooms.retain(|room| !connection.told.contains(room));
        rooms.sort_unstable();
        let more = rooms.len() > ROOMS_PER_FRAME;
        rooms.truncate(ROOMS_PER_FRAME);
        let cursor = if more { rooms.last().map(ToString::to_string) } else { None };
        let groups = by_owner(&self.setup.placement, &rooms);
        let paging = Paging { id, awaited: groups.len(), entries: Vec::new(), cursor };
        connection.paging = Some(Box::new(paging));
        if groups.is_empty() {
            self.paged_done(conn, now, effects);
        }
        for (owner, rooms) in groups {
            self.send(owner, ShardMessage::Subscribe { conn, user, rooms, look: true }, effects);
        }
    }

    fn paged(&mut self, conn: ConnId, mut entries: Vec<RoomEntry>, now: Now, effects: &mut Effects) {
        let Some(paging) = self.conns.get_mut(conn).and_then(|c| c.paging.as_mut()) else { return };
        paging.entries.append(&mut entries);
        paging.awaited = paging.awaited.saturating_sub(1);
        if paging.awaited == 0 {
            self.paged_done(conn, now, effects);
        }
    }

    fn paged_done(&mut self, conn: ConnId, now: Now, effects: &mut Effects) {
        let Some(paging) = self.conns.get_mut(conn).and_then(|c| c.paging.take()) else { return };
        let Paging { id, mut entries, cursor, .. } = *paging;
        entries.sort_unstable_by_key(|entry| entry.room_id);
        self.control(conn, &ServerFrame::Rooms { id, rooms: entries, cursor }, now, effects);
    }
}

/// Rooms by who owns them, in a fixed order.
pub(super) fn by_owner(placement: &super::Placement, rooms: &[RoomId]) -> BTreeMap<ShardId, Vec<RoomId>> {
    let mut groups: BTreeMap<ShardId, Vec<RoomId>> = BTreeMap::new();
    for &room in rooms {
        groups.entry(placement.of_room(room)).or_default().push(room);
    }
    groups
}

fn narrow(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}
