//! What a room answers without changing: what it is, who is in it, what was said; from memory, or from the store.
//!
//! Which pages a request wants is reckoned in `reading.rs`. Promises that nobody reads what was said while they were out, and that a page
//! from the store shows each event in its newest durable state.

use std::sync::Arc;

use crate::base::room::Head;
use crate::base::time::Now;
use crate::base::{Code, Event, Refusal, Role, RoomType, Seq, UserId};
use crate::store::{Answer, Failure, Query};

use super::command::RoomCommand;
use super::effect::{Purpose, ReplyTo, RoomEffect};
use super::room::{Room, Waiting, storage_unavailable};
use super::{Actor, HistoryPage, RoomEntry, RoomReply, reading};

impl Room {
    pub(super) fn describe(&self, actor: &Actor) -> Result<Option<RoomReply>, Refusal> {
        if self.record.kind != RoomType::Public && !self.has(actor.user) {
            return Err(Code::RoomNotFound.into());
        }
        Ok(Some(RoomReply::Entry { entry: Box::new(self.entry(actor.user)), created: false, joined: false }))
    }

    /// The room as this user sees it, as far as it is durable.
    #[must_use]
    pub fn entry(&self, user: UserId) -> RoomEntry {
        self.entry_at(user, self.stored)
    }

    pub(super) fn entry_at(&self, user: UserId, head: Head) -> RoomEntry {
        let member = self.members.get(&user).filter(|member| member.active_at(head.seq));
        let from = member.and_then(|m| m.intervals.first()).map_or(Seq(1), |i| i.from);
        RoomEntry {
            room_id: self.record.id,
            name: self.record.name.clone(),
            description: self.record.description.clone(),
            metadata: self.record.metadata.clone(),
            kind: self.record.kind,
            role: member.map(|m| m.role),
            peer: match self.record.kind {
                RoomType::Direct => self.members.keys().copied().find(|&other| other != user),
                RoomType::Public | RoomType::Private => None,
            },
            members: u32::try_from(self.active).unwrap_or(u32::MAX),
            epoch: self.record.epoch,
            first_seq: self.record.first_seq.max(from),
            last_seq: head.seq,
            last_number: head.number,
            read_number: member.map_or(crate::base::Number(0), |m| m.read_number),
            last_at: head.at,
            created_at: self.record.created_at,
            retention_days: self.record.retention_days,
        }
    }

    pub(super) fn participants(
        &self,
        actor: &Actor,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Option<RoomReply>, Refusal> {
        if self.record.kind != RoomType::Public {
            self.member(actor.user)?;
        }
        let limit = usize::try_from(limit).unwrap_or(100).clamp(1, 500);
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut rest = self.members.range((from, std::ops::Bound::Unbounded)).filter(|(_, m)| m.active());
        let members: Vec<(UserId, Role, _)> =
            rest.by_ref().take(limit).map(|(&user, m)| (user, m.role, self.present.status(user))).collect();
        let more = rest.next().is_some();
        Ok(Some(RoomReply::Participants { members, total: self.active, more }))
    }

    pub(super) fn typing(
        &mut self,
        actor: &Actor,
        active: bool,
        now: Now,
        effects: &mut Vec<RoomEffect>,
    ) -> Result<Option<RoomReply>, Refusal> {
        self.member(actor.user)?;
        if self.present.typing(actor.user, active, now.mono) {
            effects.push(RoomEffect::Typing { user: actor.user, active });
        }
        Ok(None)
    }

    // ---- reading ----

    pub(super) fn history(
        &mut self,
        actor: &Actor,
        before: Option<Seq>,
        after: Option<Seq>,
        limit: u32,
        to: ReplyTo,
        effects: &mut Vec<RoomEffect>,
    ) -> Result<Option<RoomReply>, Refusal> {
        let member = self.member(actor.user)?;
        let want = reading::history(member, self.record.first_seq, self.stored.seq, before, after, limit);
        let (from, upto) = want.page();
        if let Some(events) = self.timeline.range(from, upto) {
            let (events, more) = want.cut(events);
            return Ok(Some(RoomReply::Page(Box::new(self.page(actor.user, events, more)))));
        }
        let purpose = Purpose::Page { user: actor.user, to, want };
        let read = self.ask(purpose, want.query(self.record.id));
        effects.push(read);
        Ok(None)
    }

    fn page(&self, user: UserId, events: Vec<Arc<Event>>, more: bool) -> HistoryPage {
        let first = self.members.get(&user).and_then(|m| m.intervals.first()).map_or(Seq(1), |i| i.from);
        HistoryPage {
            room: self.record.id,
            epoch: self.record.epoch,
            first_seq: self.record.first_seq.max(first),
            last_seq: self.stored.seq,
            more,
            events,
        }
    }

    pub(super) fn resume(
        &mut self,
        actor: &Actor,
        from: crate::base::Position,
        to: ReplyTo,
        effects: &mut Vec<RoomEffect>,
    ) -> Result<Option<RoomReply>, Refusal> {
        let member = self.member(actor.user)?;
        if from.epoch != self.record.epoch {
            return Ok(Some(RoomReply::Reload { reason: "epoch" }));
        }
        let want = match reading::missed(member, self.record.first_seq, self.stored.seq, from) {
            Ok(want) => want,
            Err(reason) => return Ok(Some(RoomReply::Reload { reason })),
        };
        let (first, last) = want.page();
        if let Some(events) = self.timeline.range(first, last) {
            let (events, more) = want.cut(events);
            return Ok(Some(missed(events, more, &want)));
        }
        let purpose = Purpose::Missed { user: actor.user, to, want };
        let read = self.ask(purpose, want.query(self.record.id));
        effects.push(read);
        Ok(None)
    }

    /// The store has answered a [`RoomEffect::Read`].
    pub fn read(&mut self, purpose: Purpose, result: Result<Answer, Failure>, now: Now, effects: &mut Vec<RoomEffect>) {
        self.handle_read(purpose, result, now, effects);
        self.reads = self.reads.saturating_sub(1);
        if self.reads == 0 {
            self.fresh.clear();
        }
    }

    fn handle_read(
        &mut self,
        purpose: Purpose,
        result: Result<Answer, Failure>,
        now: Now,
        effects: &mut Vec<RoomEffect>,
    ) {
        match purpose {
            Purpose::LookUp { user, client_id } => self.looked_up(user, client_id, result, now, effects),
            Purpose::Target { actor, client_id, to } => match self.to_be_changed(result) {
                Ok(event) if self.barrier => {
                    let command = RoomCommand::Delete { seq: event.seq, client_id };
                    self.behind_barrier.push_back(Waiting { actor, command, to, taken: now.mono });
                }
                Ok(event) => reply(to, self.delete_event(&actor, &event, client_id, to, now), effects),
                Err(refusal) => reply(to, Err(refusal), effects),
            },
            Purpose::Marker { actor, to } => match self.to_be_changed(result) {
                Ok(event) if self.barrier => {
                    let command = RoomCommand::Read { seq: event.seq };
                    self.behind_barrier.push_back(Waiting { actor, command, to, taken: now.mono });
                }
                Ok(event) => reply(to, Ok(self.move_marker(&actor, event.number, to, now)), effects),
                Err(refusal) => reply(to, Err(refusal), effects),
            },
            Purpose::Page { user, to, want } => {
                let result = self.events_for(user, result).map(|events| {
                    self.timeline.fill(&events, self.stored.seq);
                    let (events, more) = want.cut(events.iter());
                    Some(RoomReply::Page(Box::new(self.page(user, events, more))))
                });
                reply(to, result, effects);
            }
            Purpose::Missed { user, to, want } => {
                let result = self.events_for(user, result).map(|mut events| {
                    // What became durable since the question was asked is here: with it the asker stands at the present.
                    let (mut want, mut last) = (want, events.last().map_or(want.lo.previous(), |e| e.seq));
                    if !want.beyond && last >= want.hi && last < self.stored.seq {
                        // Who went out and came back since does not read what was said between.
                        if let Some(newer) = self.timeline.range(last.next(), self.stored.seq)
                            && let Ok(member) = self.member(user)
                        {
                            events.extend(newer.filter(|event| member.may_read(event.seq)).cloned());
                            last = self.stored.seq;
                        }
                        want.beyond = last < self.stored.seq;
                        want.hi = want.hi.max(last);
                        want.upto = last;
                    }
                    let (events, more) = want.cut(events.iter());
                    Some(missed(events, more, &want))
                });
                reply(to, result, effects);
            }
        }
    }

    /// The event of which something is to be written. While it was read the room may have lost track of what is stored: then nothing may be
    /// written before it was loaded anew.
    fn to_be_changed(&self, result: Result<Answer, Failure>) -> Result<Event, Refusal> {
        let event = only_event(result)?;
        if self.is_broken() {
            return Err(storage_unavailable());
        }
        event.ok_or_else(|| Code::MessageNotFound.into())
    }

    /// Events for somebody who still must be in the room, each in its present state.
    fn events_for(&self, user: UserId, result: Result<Answer, Failure>) -> Result<Vec<Arc<Event>>, Refusal> {
        let member = self.member(user)?;
        let Ok(Answer::Events(events)) = result else { return Err(storage_unavailable()) };
        let readable = events.into_iter().filter(|event| member.may_read(event.seq));
        Ok(readable.map(|event| self.newest(event.seq).cloned().unwrap_or_else(|| Arc::new(event))).collect())
    }

    /// Asks the store.
    pub(super) fn ask(&mut self, purpose: Purpose, query: Query) -> RoomEffect {
        self.reads += 1;
        RoomEffect::Read { purpose, query }
    }

    /// The event's present state, where memory has a newer one than a read may bring.
    pub(super) fn newest(&self, seq: Seq) -> Option<&Arc<Event>> {
        self.fresh.get(&seq).or_else(|| self.timeline.get(seq))
    }
}

fn missed(events: Vec<Arc<Event>>, more: bool, want: &reading::Want) -> RoomReply {
    let upto = if more { events.last().map_or(want.lo.previous(), |last| last.seq) } else { want.upto };
    RoomReply::Missed { events, upto, more }
}

fn reply(to: ReplyTo, result: Result<Option<RoomReply>, Refusal>, effects: &mut Vec<RoomEffect>) {
    match result {
        Ok(Some(reply)) => effects.push(RoomEffect::Reply { to, result: Ok(reply) }),
        Ok(None) => {}
        Err(refusal) => effects.push(RoomEffect::Reply { to, result: Err(refusal) }),
    }
}

fn only_event(result: Result<Answer, Failure>) -> Result<Option<Event>, Refusal> {
    match result {
        Ok(Answer::Events(events)) => Ok(events.into_iter().next()),
        _ => Err(storage_unavailable()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::base::limits::Limits;
    use crate::base::room::{Interval, Room as Record};
    use crate::base::{DeviceId, Epoch, Member, Moment, Number, RoomId, SessionId, UserId, WallTime};
    use crate::chat::room::tests::message;
    use crate::store::LoadedRoom;

    pub(crate) const HEAD: Head = Head { seq: Seq(5), number: Number(5), at: WallTime(5) };
    pub(crate) const NOW: Now = Now { mono: Moment(1), wall: WallTime(6) };

    pub(crate) fn actor() -> Actor {
        let nobody = Uuid::from_u128(9);
        let user = UserId(Uuid::from_u128(2));
        Actor { user, session: SessionId(nobody), device: DeviceId(nobody), admin: false }
    }

    /// A room with five messages, none of them in memory.
    fn room() -> Room {
        room_that_knows_ids_since(WallTime(0))
    }

    /// The same, of which only the ids answered since this time are in memory.
    pub(crate) fn room_that_knows_ids_since(answered_since: WallTime) -> Room {
        let (id, user) = (RoomId(Uuid::from_u128(1)), actor().user);
        let intervals = vec![Interval { from: Seq(1), to: None }];
        let record = Record {
            id,
            kind: RoomType::Public,
            name: "room".to_owned(),
            description: String::new(),
            metadata: String::new(),
            created_by: user,
            created_at: WallTime(1),
            epoch: Epoch(1),
            first_seq: Seq(1),
            trimmed: Head::default(),
            retention_days: None,
            removed: false,
        };
        let members = vec![Member { room: id, user, role: Role::Owner, intervals, read_number: Number(0) }];
        Room::loaded(LoadedRoom { room: record, head: HEAD, members, answered: Vec::new(), answered_since })
    }

    pub(crate) fn told(room: &mut Room, command: RoomCommand) -> Vec<RoomEffect> {
        let mut effects = Vec::new();
        room.handle(actor(), command, ReplyTo::Nobody, NOW.mono, NOW, &Limits::default(), &mut effects);
        effects
    }

    #[test]
    fn what_was_read_while_a_write_failed_is_not_written_before_the_room_is_loaded_anew() {
        for command in [RoomCommand::Read { seq: Seq(3) }, RoomCommand::Delete { seq: Seq(3), client_id: None }] {
            for fails in [false, true] {
                let mut room = room();
                let Some(RoomEffect::Read { purpose, .. }) = told(&mut room, command.clone()).pop() else {
                    panic!("the message is read from the store")
                };
                told(&mut room, RoomCommand::Add { user: UserId(Uuid::from_u128(3)), role: Role::Member });
                let mut effects = Vec::new();
                room.flush(&mut effects);
                let Some(RoomEffect::Store { batch, .. }) = effects.pop() else { panic!("one has come in") };
                let why = Failure::Unavailable("the disk is full".to_owned());
                let result = if fails { Err(why) } else { Ok(crate::store::Outcome::Done { first_user: false }) };
                room.stored_batch(batch, result, NOW, &Limits::default(), &mut effects);
                effects.clear();
                let found = Answer::Events(vec![(*message(3, "three")).clone()]);
                room.read(purpose, Ok(found), NOW, &mut effects);
                let refused = effects.iter().any(|effect| {
                    matches!(effect, RoomEffect::Reply { result: Err(why), .. } if why.code == Code::StorageUnavailable)
                });
                assert_eq!(refused, fails, "{command:?}: {effects:?}");
                effects.clear();
                room.flush(&mut effects);
                assert!(!fails || effects.is_empty(), "{command:?}: {effects:?}");
            }
        }
    }
}
