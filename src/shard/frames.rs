//! A client's frame becomes a message to the owner of what it is about; an owner's answer becomes a frame.

use crate::base::limits::ROOMS_PER_REQUEST_MAX;
use crate::base::time::Now;
use crate::base::{ClientId, Close, Code, ConnId, Position, Refusal, RoomId, Seq};
use crate::chat::{Actor, ReplyTo, RoomCommand, RoomReply, What};
use crate::connection::{PageWanted, Phase, frame};
use crate::metrics::Counters;
use crate::wire::frame::{ClientBody, ClientFrame, ServerFrame};
use crate::wire::native;

use super::message::{Command, Reply, ShardMessage, StreamMissed, StreamRefused};
use super::{AskAnswer, AskId, Effects, Shard};

/// So many frames in a row that could not be read end the connection.
const STRIKES_MAX: u32 = 20;

impl Shard {
    /// A text message of a client.
    pub(super) fn text(&mut self, conn: ConnId, text: &str, now: Now, effects: &mut Effects) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if matches!(connection.phase, Phase::Over) {
            return;
        }
        let ClientFrame { id, body } = match native::parse(text) {
            Ok(frame) => {
                connection.strikes = 0;
                frame
            }
            Err(malformed) => {
                connection.strikes += 1;
                let ends = connection.strikes >= STRIKES_MAX || matches!(connection.phase, Phase::Greeting { .. });
                self.error(conn, malformed.id, None, malformed.refusal, now, effects);
                if ends {
                    self.end(conn, Close::Protocol, None, now, effects);
                }
                return;
            }
        };
        Counters::count(&mut self.counters.frames_received, kind(&body));
        match (&connection.phase, body) {
            (_, ClientBody::Auth { token, device, hold }) => {
                self.authenticate(conn, id, &token, device, hold, now, effects);
            }
            (Phase::Live, body) => self.live_frame(conn, id, body, now, effects),
            (Phase::Greeting { .. }, _) => {
                self.end(conn, Close::NotAuthenticated, Some(Code::NotAuthenticated), now, effects);
            }
            (Phase::Arriving(_), _) => {
                let refusal =
                    Refusal::because(Code::Busy, "Wait for the hello before the next frame.").retry_after(100);
                // Told after the hello: nothing is written before it.
                self.error(conn, id, None, refusal, now, effects);
            }
            (Phase::Over, _) => {}
        }
    }

    fn live_frame(&mut self, conn: ConnId, id: Option<ClientId>, body: ClientBody, now: Now, effects: &mut Effects) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let Some(actor) = connection.actor else { return };
        // Confirmations cost nearly nothing and come with every message.
        if !matches!(body, ClientBody::Chat { .. } | ClientBody::Ack { .. })
            && let Err(wait_ms) = connection.requests.take(now.mono)
        {
            let refusal = Refusal::new(Code::RateLimited).retry_after(wait_ms);
            self.error(conn, id, None, refusal, now, effects);
            return;
        }
        if self.draining.is_some() && !matches!(body, ClientBody::Ack { .. }) {
            self.error(conn, id, None, Refusal::new(Code::Draining).retry_after(1000), now, effects);
            return;
        }
        let mut ask = |what: What, room: RoomId, command: RoomCommand, shard: &mut Self| {
            let to = ReplyTo::Conn { conn, id, what, taken: now.mono };
            shard.command(room, actor, command, to, now, effects);
        };
        match body {
            ClientBody::Auth { .. } => {}
            ClientBody::Chat { room, content, metadata } => {
                let Some(client_id) = id else { return };
                if let Err(refusal) = self.spend(actor.user, now, effects) {
                    self.error(conn, id, Some(room), refusal, now, effects);
                    return;
                }
                let to = ReplyTo::Conn { conn, id, what: What::Chat, taken: now.mono };
                self.command(room, actor, RoomCommand::Post { client_id, content, metadata }, to, now, effects);
            }
            ClientBody::Ack { room, seq } => {
                let message = ShardMessage::Confirmed { user: actor.user, device: actor.device, room, seq };
                self.send(self.setup.placement.of_user(actor.user), message, effects);
            }
            ClientBody::Join { room } => {
                if connection.rooms.len() >= self.setup.limits.rooms_per_user {
                    self.error(conn, id, Some(room), Code::TooManyRooms.into(), now, effects);
                    return;
                }
                ask(What::Join, room, RoomCommand::Join, self);
            }
            ClientBody::Leave { room } => ask(What::Leave, room, RoomCommand::Leave, self),
            ClientBody::Typing { room, active } => ask(What::Typing, room, RoomCommand::Typing { active }, self),
            ClientBody::History { room, before, after, limit } => {
                let limit = limit.unwrap_or(100);
                let command = RoomCommand::History { before, after, limit };
                self.page(conn, PageWanted { id, room, command, taken: now.mono }, now, effects);
            }
            ClientBody::Delete { room, seq } => {
                ask(What::Delete, room, RoomCommand::Delete { seq, client_id: id }, self);
            }
            ClientBody::Read { room, seq } => ask(What::Read, room, RoomCommand::Read { seq }, self),
            ClientBody::Rooms { cursor } => self.rooms_page(conn, id, cursor.as_deref(), now, effects),
            ClientBody::Presence { status, watch } => self.presence(conn, id, status, watch, now, effects),
            ClientBody::Resume { rooms, stream } => self.resume(conn, id, actor, rooms, stream, now, effects),
        }
    }

    pub(super) fn command(
        &mut self,
        room: RoomId,
        actor: Actor,
        command: RoomCommand,
        to: ReplyTo,
        now: Now,
        effects: &mut Effects,
    ) {
        let command = Command { room, actor, command, to, taken: now.mono };
        self.send(self.setup.placement.of_room(room), ShardMessage::Command(Box::new(command)), effects);
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of the frame")]
    fn resume(
        &mut self,
        conn: ConnId,
        id: Option<ClientId>,
        actor: Actor,
        rooms: Vec<(RoomId, Position)>,
        stream: Option<Position>,
        now: Now,
        effects: &mut Effects,
    ) {
        if rooms.len() > ROOMS_PER_REQUEST_MAX {
            let refusal = Refusal::because(Code::TooLarge, format!("At most {ROOMS_PER_REQUEST_MAX} rooms at once."));
            self.error(conn, id, None, refusal.field("metadata.rooms"), now, effects);
            return;
        }
        if let Some(from) = stream {
            let message = ShardMessage::StreamAsk { user: actor.user, conn, id, from };
            self.send(self.setup.placement.of_user(actor.user), message, effects);
        }
        for (room, from) in rooms {
            let command = RoomCommand::Resume { from };
            self.page(conn, PageWanted { id, room, command, taken: now.mono }, now, effects);
        }
    }

    fn presence(
        &mut self,
        conn: ConnId,
        id: Option<ClientId>,
        status: Option<crate::base::Status>,
        watch: Option<Vec<RoomId>>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let Some(actor) = connection.actor else { return };
        if let Some(status) = status
            && status != connection.status
        {
            connection.status = status;
            let message = ShardMessage::Status { user: actor.user, conn, status };
            self.send(self.setup.placement.of_user(actor.user), message, effects);
        }
        if let Some(watch) = watch {
            self.watch_rooms(conn, actor, &watch, effects);
        }
        let ack = ServerFrame::Ack { id, room: None, event: None, at: now.wall, duplicate: false, entry: None };
        self.control(conn, &ack, now, effects);
    }

    /// Replaces the list of rooms that a connection watches; rooms it is not in are left out.
    fn watch_rooms(&mut self, conn: ConnId, actor: Actor, watch: &[RoomId], effects: &mut Effects) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let mut wanted: Vec<RoomId> =
            watch.iter().copied().take(ROOMS_PER_REQUEST_MAX).filter(|room| connection.rooms.contains(room)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let before = std::mem::replace(&mut connection.watch, wanted.clone());
        for &room in &wanted {
            if !before.contains(&room)
                && let Some(hub) = self.hub.get_mut(&room)
            {
                hub.watchers += 1;
            }
            // Also for one that was watched before: it asks for the present state.
            let message = ShardMessage::Watch { room, watcher: Some((conn, actor.user)), shard: self.setup.id };
            self.send(self.setup.placement.of_room(room), message, effects);
        }
        for room in before {
            if wanted.contains(&room) {
                continue;
            }
            let Some(hub) = self.hub.get_mut(&room) else { continue };
            hub.watchers = hub.watchers.saturating_sub(1);
            if hub.watchers == 0 {
                let message = ShardMessage::Watch { room, watcher: None, shard: self.setup.id };
                self.send(self.setup.placement.of_room(room), message, effects);
            }
        }
    }

    // ---- answers ----

    /// A room's owner has answered.
    pub(super) fn reply(&mut self, reply: Reply, now: Now, effects: &mut Effects) {
        let Reply { room, to, result, subscribed } = reply;
        match to {
            ReplyTo::Nobody => {}
            ReplyTo::Ask { shard, id } if shard == self.setup.id => {
                effects.answers.push((AskId(id), result.map(AskAnswer::Room)));
            }
            ReplyTo::Ask { shard, .. } => {
                self.send(shard, ShardMessage::Reply(Box::new(Reply { room, to, result, subscribed })), effects);
            }
            ReplyTo::Conn { conn, id, what, taken } => {
                if conn.shard != self.setup.id {
                    self.send(
                        conn.shard,
                        ShardMessage::Reply(Box::new(Reply { room, to, result, subscribed })),
                        effects,
                    );
                    return;
                }
                if self.conns.get(conn).is_none() {
                    if subscribed {
                        self.unlisten(room, effects);
                    }
                    return;
                }
                let page = matches!(what, What::History | What::Resume);
                match result {
                    Ok(answer) => {
                        if what == What::Chat {
                            self.counters.received_to_acked.record(now.mono.micros_since(taken));
                        }
                        self.answer(conn, id, room, answer, subscribed, now, effects);
                    }
                    Err(refusal) => {
                        if what == What::Resume && matches!(refusal.code, Code::RoomNotFound | Code::NotMember) {
                            // The event that said so may have been lost on the way: nothing of this room is for them any more.
                            self.detach(conn, room, effects);
                            let reload = ServerFrame::Reload { id, room: Some(room), reason: "not_member" };
                            self.control(conn, &reload, now, effects);
                        } else {
                            self.error(conn, id, Some(room), refusal, now, effects);
                        }
                    }
                }
                if page {
                    self.page_answered(conn, now, effects);
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of an answer")]
    fn answer(
        &mut self,
        conn: ConnId,
        id: Option<ClientId>,
        room: RoomId,
        answer: RoomReply,
        subscribed: bool,
        now: Now,
        effects: &mut Effects,
    ) {
        let done = |event, at, duplicate, entry| ServerFrame::Ack { id, room: Some(room), event, at, duplicate, entry };
        let answer = match answer {
            RoomReply::Done { at } => done(None, at, false, None),
            RoomReply::Posted { epoch, seq, number, at, duplicate } => {
                done(Some((epoch, seq, number)), at, duplicate, None)
            }
            RoomReply::Entry { entry, .. } => {
                let stands = Position { epoch: entry.epoch, seq: entry.last_seq };
                if subscribed {
                    if self.attach(conn, room, stands, now, effects) {
                        // Who has just come in has missed nothing: no need to resume first.
                        self.open_gate(conn, room);
                    } else {
                        self.unlisten(room, effects);
                    }
                } else if entry.role.is_some()
                    && let Some(connection) = self.conns.get(conn)
                    && !connection.rooms.contains(&room)
                    && let Some(user) = connection.user()
                {
                    let message = ShardMessage::Subscribe { conn, user, rooms: vec![room], look: false };
                    self.send(self.setup.placement.of_room(room), message, effects);
                }
                done(None, entry.last_at, false, Some(entry))
            }
            RoomReply::Page(page) => ServerFrame::History { id, page },
            RoomReply::Reload { reason } => {
                self.open_gate(conn, room);
                ServerFrame::Reload { id, room: Some(room), reason }
            }
            RoomReply::Missed { events, upto, more } => {
                self.resumed(conn, id, room, &events, upto, more, now, effects);
                return;
            }
            // Participants are asked over REST only.
            RoomReply::Participants { .. } => return,
        };
        self.control(conn, &answer, now, effects);
    }

    fn open_gate(&mut self, conn: ConnId, room: RoomId) {
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.gates.open(room);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of an answer")]
    fn resumed(
        &mut self,
        conn: ConnId,
        id: Option<ClientId>,
        room: RoomId,
        events: &[std::sync::Arc<crate::base::Event>],
        upto: Seq,
        mut more: bool,
        now: Now,
        effects: &mut Effects,
    ) {
        use crate::connection::outbox::{Class, Push};
        let Some(connection) = self.conns.get(conn) else { return };
        let own = connection.user();
        let mut stands = upto;
        for event in events {
            let with_id = event.client_id.filter(|_| own == Some(event.user));
            let bytes = frame(&ServerFrame::Event { event: event.clone(), id: with_id });
            if self.push(conn, Class::Event, bytes, now, effects) != Push::Queued {
                // No space now: the rest is asked for again, from here.
                (stands, more) = (event.seq.previous(), true);
                break;
            }
        }
        // Answers and deliveries of one room come by one lane, in order: what came live so far is not newer than the answer. Should an
        // answer have waited for a full lane, the rest is asked for again.
        if let Some(last) = self.hub.get(&room).and_then(|hub| hub.last)
            && last.seq > stands
            && self.conns.get(conn).is_some_and(|c| c.gates.get(room).is_some())
        {
            more = true;
        }
        if !more {
            self.open_gate(conn, room);
        }
        self.control(conn, &ServerFrame::Resumed { id, room: Some(room), seq: stands, more }, now, effects);
    }

    /// The user's owner has answered a resume of the user stream.
    pub(super) fn stream_missed(&mut self, missed: StreamMissed, now: Now, effects: &mut Effects) {
        let StreamMissed { conn, id, result } = missed;
        match result {
            Ok((events, upto, more)) => {
                for event in events {
                    self.control(conn, &ServerFrame::Stream(Box::new(event)), now, effects);
                }
                self.control(conn, &ServerFrame::Resumed { id, room: None, seq: upto, more }, now, effects);
            }
            Err(StreamRefused::Reload(reason)) => {
                self.control(conn, &ServerFrame::Reload { id, room: None, reason }, now, effects);
            }
            Err(StreamRefused::Unavailable) => {
                self.error(conn, id, None, crate::chat::room::storage_unavailable(), now, effects);
            }
        }
    }
}

/// The type of a frame, as a label of the metrics.
fn kind(body: &ClientBody) -> &'static str {
    match body {
        ClientBody::Auth { .. } => "auth",
        ClientBody::Chat { .. } => "chat",
        ClientBody::Ack { .. } => "ack",
        ClientBody::Join { .. } => "join",
        ClientBody::Leave { .. } => "leave",
        ClientBody::Presence { .. } => "presence",
        ClientBody::Typing { .. } => "typing",
        ClientBody::History { .. } => "history",
        ClientBody::Resume { .. } => "resume",
        ClientBody::Rooms { .. } => "rooms",
        ClientBody::Delete { .. } => "delete",
        ClientBody::Read { .. } => "read",
    }
}
