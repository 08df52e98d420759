//! Saying something and taking it back: checks, retried sends, numbering.

use crate::base::limits::{CLIENT_ID_AHEAD_MS, METADATA_BYTES_MAX};
use crate::base::time::Now;
use crate::base::{ClientId, Code, Event, EventKind, EventStatus, Moment, Number, Refusal, Role, Seq, text};
use crate::store::{Answered, Query, Span};

use super::answered::Known;
use super::effect::{Purpose, ReplyTo, RoomEffect};
use super::room::{Room, Waiting};
use super::{Actor, RoomCommand, RoomReply};

/// What identifies the body of a send, so that the same id with another body is found out.
pub(super) fn body_hash(content: &str, metadata: &str) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::with_seed(1);
    hasher.update(&(content.len() as u64).to_le_bytes());
    hasher.update(content.as_bytes());
    hasher.update(metadata.as_bytes());
    hasher.digest()
}

impl Room {
    /// A send. Waits behind earlier sends of the same user whose id is being looked up.
    pub(super) fn post(&mut self, send: Waiting, now: Now, effects: &mut Vec<RoomEffect>) {
        if self.parked.contains_key(&send.actor.user) {
            self.park(send, effects);
            return;
        }
        let RoomCommand::Post { client_id, content, metadata } = &send.command else { return };
        if let Err(refusal) = self.may_post(&send.actor, *client_id, content, metadata, now) {
            effects.push(RoomEffect::Reply { to: send.to, result: Err(refusal) });
            return;
        }
        match self.answered.look_up(send.actor.user, *client_id) {
            Known::Yes(answered) => self.answer_again(&send, answered, effects),
            Known::No => self.accept(send, now),
            Known::AskStore => self.park(send, effects),
        }
    }

    pub(super) fn may_post(
        &self,
        actor: &Actor,
        id: ClientId,
        content: &str,
        metadata: &str,
        now: Now,
    ) -> Result<(), Refusal> {
        self.member(actor.user)?;
        let Some(ms) = id.unix_ms() else { return Err(Refusal::new(Code::BadId).field("id")) };
        if ms > now.wall.0 + CLIENT_ID_AHEAD_MS {
            let why = "The id's time lies more than five minutes ahead of the server's clock.";
            return Err(Refusal::because(Code::BadId, why).field("id"));
        }
        text::check_content(content).map_err(|wrong| {
            Refusal::because(Code::BadContent, format!("The text cannot be sent: {wrong}.")).field("content")
        })?;
        if metadata.len() > METADATA_BYTES_MAX {
            return Err(Refusal::new(Code::BadMetadata).field("metadata"));
        }
        Ok(())
    }

    pub(super) fn accept(&mut self, send: Waiting, now: Now) {
        let Waiting { actor, command, to, taken } = send;
        let RoomCommand::Post { client_id, content, metadata } = command else { return };
        let body_hash = body_hash(&content, &metadata);
        let mut event = self.number(actor.user, EventKind::Message, content, metadata, now);
        event.client_id = Some(client_id);
        let answered = Answered { user: actor.user, client_id, seq: event.seq, body_hash, at: event.at };
        self.answered.insert(answered);
        self.open().answered.push(answered);
        let reply = RoomReply::Posted {
            epoch: event.epoch,
            seq: event.seq,
            number: event.number,
            at: event.at,
            duplicate: false,
        };
        self.append(event, to, taken);
        self.then(RoomEffect::Reply { to, result: Ok(reply) });
    }

    pub(super) fn answer_again(&mut self, send: &Waiting, answered: Answered, effects: &mut Vec<RoomEffect>) {
        let RoomCommand::Post { content, metadata, .. } = &send.command else { return };
        let to = send.to;
        if answered.body_hash != body_hash(content, metadata) {
            effects.push(RoomEffect::Reply { to, result: Err(Refusal::new(Code::IdReused).field("id")) });
            return;
        }
        let reply = RoomReply::Posted {
            epoch: self.record.epoch,
            seq: answered.seq,
            // The number of an old message is not known without a read; a sender has no use for it.
            number: self.timeline.get(answered.seq).map_or(Number(0), |event| event.number),
            at: answered.at,
            duplicate: true,
        };
        // The first one may still be on its way to the disk: the answer is not given before it is there.
        self.once_stored(RoomEffect::Reply { to, result: Ok(reply) }, effects);
    }

    /// Takes a message back: one's own, or anybody's for a moderator.
    pub(super) fn delete(
        &mut self,
        actor: Actor,
        seq: Seq,
        client_id: Option<ClientId>,
        to: ReplyTo,
        now: Now,
        effects: &mut Vec<RoomEffect>,
    ) -> Result<Option<RoomReply>, Refusal> {
        let member = self.member(actor.user)?;
        if seq > self.stored.seq || !member.may_read(seq) || seq < self.record.first_seq {
            return Err(Code::MessageNotFound.into());
        }
        if let Some(event) = self.timeline.get(seq).cloned() {
            return self.delete_event(&actor, &event, client_id, to, now);
        }
        let read = self.one_event(seq, Purpose::Target { actor, client_id, to });
        effects.push(read);
        Ok(None)
    }

    fn one_event(&mut self, seq: Seq, purpose: Purpose) -> RoomEffect {
        let span = Span::Between(seq.previous(), seq.next());
        let query = Query::Events { room: self.record.id, span, limit: 1, bytes_max: 1 };
        self.ask(purpose, query)
    }

    pub(super) fn delete_event(
        &mut self,
        actor: &Actor,
        event: &Event,
        client_id: Option<ClientId>,
        to: ReplyTo,
        now: Now,
    ) -> Result<Option<RoomReply>, Refusal> {
        let role = self.member(actor.user)?.role;
        if !matches!(event.kind, EventKind::Message) {
            return Err(Code::MessageNotFound.into());
        }
        if event.user != actor.user && role < Role::Moderator {
            return Err(Refusal::because(Code::NotAllowed, "Only its author or a moderator may take a message back."));
        }
        if self.newest(event.seq).map_or(event.status, |newer| newer.status) != EventStatus::Live {
            return Ok(Some(RoomReply::Done { at: now.wall }));
        }
        if self.is_rewritten(event.seq) {
            // Somebody takes it back already: done when that is durable.
            self.then(RoomEffect::Reply { to, result: Ok(RoomReply::Done { at: now.wall }) });
            return Ok(None);
        }
        let target = event.seq;
        let deletion = Event {
            client_id,
            ..self.number(actor.user, EventKind::Deletion { target }, String::new(), String::new(), now)
        };
        let gone = Event {
            content: String::new(),
            metadata: String::new(),
            status: EventStatus::Deleted(deletion.at),
            ..event.clone()
        };
        self.open().rewritten.push(gone);
        let reply = RoomReply::Posted {
            epoch: deletion.epoch,
            seq: deletion.seq,
            number: deletion.number,
            at: deletion.at,
            duplicate: false,
        };
        self.append(deletion, to, Moment(now.mono.0));
        self.then(RoomEffect::Reply { to, result: Ok(reply) });
        Ok(None)
    }

    /// Moves the read marker up to the number that an event has.
    pub(super) fn mark_read(
        &mut self,
        actor: Actor,
        seq: Seq,
        to: ReplyTo,
        now: Now,
        effects: &mut Vec<RoomEffect>,
    ) -> Result<Option<RoomReply>, Refusal> {
        self.member(actor.user)?;
        if seq > self.stored.seq {
            return Err(Code::MessageNotFound.into());
        }
        if seq == self.stored.seq {
            return Ok(self.move_marker(&actor, self.stored.number, to, now));
        }
        if let Some(number) = self.timeline.get(seq).map(|event| event.number) {
            return Ok(self.move_marker(&actor, number, to, now));
        }
        let read = self.one_event(seq, Purpose::Marker { actor, to });
        effects.push(read);
        Ok(None)
    }

    pub(super) fn move_marker(&mut self, actor: &Actor, number: Number, to: ReplyTo, now: Now) -> Option<RoomReply> {
        let done = RoomReply::Done { at: now.wall };
        let Some(member) = self.members.get_mut(&actor.user).filter(|m| m.active()) else { return Some(done) };
        if number <= member.read_number {
            return Some(done);
        }
        member.read_number = number;
        let member = member.clone();
        let open = self.open();
        open.members.retain(|other| other.user != member.user);
        open.members.push(member);
        self.then(RoomEffect::ReadMoved { user: actor.user, number, at: now.wall });
        self.then(RoomEffect::Reply { to, result: Ok(done) });
        None
    }
}
