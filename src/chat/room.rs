//! One room: it numbers events, gathers them in batches, and tells of them when they are durable.
//!
//! Promises: seqs are given densely in the order commands come; what is told ([`RoomEffect::Deliver`], successful replies) was
//! stored before; after a failure nothing that was given is taken as stored or as not stored until the room was loaded anew.
//! Not here: who listens where (`shard/hub.rs`), how it is stored, what it looks like on the wire.
//!
//! Posting is in `posting.rs`, coming and going in `membership.rs`, making and changing in `settings.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ahash::HashMap;

use crate::base::limits::Limits;
use crate::base::room::Head;
use crate::base::time::Now;
use crate::base::{
    Code, Event, EventKind, EventStatus, Member, Moment, Refusal, Role, Room as Record, RoomId, RoomType, Seq, UserId,
};
use crate::store::{Answer, Failure, LoadedRoom, Outcome, Query, RoomWrite};

use super::answered::AnsweredIds;
use super::effect::{Purpose, ReplyTo, RoomEffect};
use super::presence::Present;
use super::timeline::Timeline;
use super::{Actor, HistoryPage, RoomCommand, RoomEntry, RoomReply, reading};

/// How long a sender should wait before trying again when the store cannot be used.
pub const STORE_RETRY_MS: u64 = 1000;

/// A command that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) actor: Actor,
    pub(super) command: RoomCommand,
    pub(super) to: ReplyTo,
    pub(super) taken: Moment,
}

/// What was given and is not durable yet: what follows once it is.
#[derive(Debug)]
struct Batch {
    number: u64,
    after: Vec<RoomEffect>,
    rewritten: Vec<Arc<Event>>,
    undo: Option<Box<(Head, Record, BTreeMap<UserId, Member>)>>,
    creates: bool,
}

/// One room in the memory of its owner.
#[derive(Debug)]
pub struct Room {
    pub(super) record: Record,
    /// The newest event that was given.
    pub(super) head: Head,
    /// The newest event that is durable.
    pub(super) stored: Head,
    pub(super) members: BTreeMap<UserId, Member>,
    pub(super) active: usize,
    pub(super) timeline: Timeline,
    pub(super) answered: AnsweredIds,
    /// Sends of users whose client id is being looked up, in order.
    pub(super) parked: HashMap<UserId, VecDeque<Waiting>>,
    /// Who is there and who is typing.
    pub present: Present,
    open: RoomWrite,
    after: Vec<RoomEffect>,
    in_flight: VecDeque<Batch>,
    batches: u64,
    /// A write that may be refused is in flight: what would come after it waits.
    barrier: bool,
    behind_barrier: VecDeque<Waiting>,
    broken: bool,
    /// Reads of the store that were not answered yet.
    reads: usize,
    /// Events that were rewritten meanwhile: what such a read brings may be older.
    fresh: BTreeMap<Seq, Arc<Event>>,
    /// Comings and goings of which nobody knows whether they are durable.
    doubtful: Vec<RoomEffect>,
}

impl Room {
    /// A room as it was stored.
    #[must_use]
    pub fn loaded(loaded: LoadedRoom) -> Self {
        let mut room = Self::bare(loaded.room, loaded.head);
        room.answered = AnsweredIds::new(loaded.answered_since, loaded.answered);
        room.members = loaded.members.into_iter().map(|member| (member.user, member)).collect();
        room.active = room.members.values().filter(|m| m.active()).count();
        room
    }

    pub(super) fn bare(record: Record, head: Head) -> Self {
        Self {
            open: RoomWrite::new(record.id),
            record,
            head,
            stored: head,
            members: BTreeMap::new(),
            active: 0,
            timeline: Timeline::default(),
            answered: AnsweredIds::new(crate::base::WallTime(0), []),
            parked: HashMap::default(),
            present: Present::default(),
            after: Vec::new(),
            in_flight: VecDeque::new(),
            batches: 0,
            barrier: false,
            behind_barrier: VecDeque::new(),
            broken: false,
            reads: 0,
            fresh: BTreeMap::new(),
            doubtful: Vec::new(),
        }
    }

    /// The room.
    #[must_use]
    pub fn id(&self) -> RoomId {
        self.record.id
    }

    /// Its record.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Where its durable log ends.
    #[must_use]
    pub fn stored(&self) -> Head {
        self.stored
    }

    /// Whether the user is in it now.
    #[must_use]
    pub fn has(&self, user: UserId) -> bool {
        self.members.get(&user).is_some_and(Member::active)
    }

    /// Whether the user is in it as far as its durable log says: who is being let in hears nothing yet, who is being put out still
    /// hears all up to that event.
    #[must_use]
    pub fn may_listen(&self, user: UserId) -> bool {
        self.members.get(&user).is_some_and(|member| member.active_at(self.stored.seq))
    }

    /// Whether nothing waits or is in flight, so that it may leave memory.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.in_flight.is_empty()
            && self.after.is_empty()
            && self.parked.is_empty()
            && self.behind_barrier.is_empty()
            && self.present.is_idle()
            && !self.broken
    }

    /// Handles a command. What is not told yet stands in a batch that [`Room::flush`] hands to the store.
    #[allow(clippy::too_many_arguments, reason = "one line of context for each")]
    pub fn handle(
        &mut self,
        actor: Actor,
        command: RoomCommand,
        to: ReplyTo,
        taken: Moment,
        now: Now,
        limits: &Limits,
        effects: &mut Vec<RoomEffect>,
    ) {
        if self.record.removed && !matches!(command, RoomCommand::Create(_)) {
            effects.push(RoomEffect::Reply { to, result: Err(Code::RoomNotFound.into()) });
            return;
        }
        let reads = matches!(
            command,
            RoomCommand::Describe
                | RoomCommand::History { .. }
                | RoomCommand::Resume { .. }
                | RoomCommand::Participants { .. }
                | RoomCommand::Typing { .. }
        );
        if !reads {
            if self.broken {
                effects.push(RoomEffect::Reply { to, result: Err(storage_unavailable()) });
                return;
            }
            if self.barrier {
                self.behind_barrier.push_back(Waiting { actor, command, to, taken });
                return;
            }
        }
        let result = match command {
            RoomCommand::Post { .. } => {
                self.post(Waiting { actor, command, to, taken }, now, effects);
                return;
            }
            RoomCommand::Create(_) => self.create_again(&actor),
            RoomCommand::Describe => self.describe(&actor),
            RoomCommand::Delete { seq, client_id } => self.delete(actor, seq, client_id, to, now, effects),
            RoomCommand::Join => self.join(&actor, to, now, limits),
            RoomCommand::Leave => self.leave(&actor, to, now),
            RoomCommand::Add { user, role } => self.add(&actor, user, role, to, now, limits),
            RoomCommand::Remove { user } => self.remove(&actor, user, to, now),
            RoomCommand::SetRole { user, role } => self.set_role(&actor, user, role, to, now),
            RoomCommand::Change(change) => self.change(&actor, *change, to, now, effects),
            RoomCommand::Destroy { name_key } => self.destroy(&actor, name_key, to, now, effects),
            RoomCommand::History { before, after, limit } => self.history(&actor, before, after, limit, to, effects),
            RoomCommand::Resume { from } => self.resume(&actor, from, to, effects),
            RoomCommand::Read { seq } => self.mark_read(actor, seq, to, now, effects),
            RoomCommand::Typing { active } => self.typing(&actor, active, now, effects),
            RoomCommand::Participants { after, limit } => self.participants(&actor, after, limit),
        };
        match result {
            Ok(Some(reply)) => effects.push(RoomEffect::Reply { to, result: Ok(reply) }),
            Ok(None) => {}
            Err(refusal) => effects.push(RoomEffect::Reply { to, result: Err(refusal) }),
        }
    }

    /// The refusal for somebody who is not in the room: a room that is not public does not exist for them.
    pub(super) fn not_member(&self) -> Refusal {
        match self.record.kind {
            RoomType::Public => Code::NotMember.into(),
            RoomType::Private | RoomType::Direct => Code::RoomNotFound.into(),
        }
    }

    /// The membership of somebody who must be in the room.
    pub(super) fn member(&self, user: UserId) -> Result<&Member, Refusal> {
        self.members.get(&user).filter(|member| member.active()).ok_or_else(|| self.not_member())
    }

    // ---- what is told without the store ----

    fn describe(&self, actor: &Actor) -> Result<Option<RoomReply>, Refusal> {
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

    fn participants(&self, actor: &Actor, after: Option<UserId>, limit: u32) -> Result<Option<RoomReply>, Refusal> {
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

    fn typing(
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

    fn history(
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

    fn resume(
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
            Purpose::LookUp { user } => self.looked_up(user, result, now, effects),
            Purpose::Target { actor, client_id, to } => {
                let result = only_event(result).and_then(|event| {
                    let event = event.ok_or(Code::MessageNotFound)?;
                    self.delete_event(&actor, &event, client_id, to, now)
                });
                reply(to, result, effects);
            }
            Purpose::Marker { actor, to } => {
                let result = only_event(result).and_then(|event| {
                    let event = event.ok_or(Code::MessageNotFound)?;
                    Ok(self.move_marker(&actor, event.number, to, now))
                });
                reply(to, result, effects);
            }
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

    /// Whether the event gets a new state by what is not durable yet.
    pub(super) fn is_rewritten(&self, seq: Seq) -> bool {
        self.open.rewritten.iter().any(|event| event.seq == seq)
            || self.in_flight.iter().any(|batch| batch.rewritten.iter().any(|event| event.seq == seq))
    }

    // ---- batches ----

    /// Gives the next event its place.
    pub(super) fn number(
        &mut self,
        user: UserId,
        kind: EventKind,
        content: String,
        metadata: String,
        now: Now,
    ) -> Event {
        let number = if matches!(kind, EventKind::Message) { self.head.number.0 + 1 } else { self.head.number.0 };
        // Wall clocks may step back; a log's times do not.
        let at = now.wall.max(self.head.at);
        self.head = Head { seq: self.head.seq.next(), number: crate::base::Number(number), at };
        Event {
            room: self.record.id,
            epoch: self.record.epoch,
            seq: self.head.seq,
            number: self.head.number,
            user,
            at,
            kind,
            content,
            metadata,
            client_id: None,
            status: EventStatus::Live,
        }
    }

    /// Puts an event into the open batch, to be delivered once it is durable.
    pub(super) fn append(&mut self, event: Event, to: ReplyTo, taken: Moment) {
        let shared = Arc::new(event.clone());
        self.open.events.push(event);
        self.after.push(RoomEffect::Deliver { event: shared, conn: to.conn(), taken });
    }

    /// What else the open batch changes.
    pub(super) fn open(&mut self) -> &mut RoomWrite {
        &mut self.open
    }

    /// Says something once the open batch is durable.
    pub(super) fn then(&mut self, effect: RoomEffect) {
        self.after.push(effect);
    }

    /// Says something once all that was given so far is durable: now, if it is.
    pub(super) fn once_stored(&mut self, effect: RoomEffect, effects: &mut Vec<RoomEffect>) {
        if !self.after.is_empty() {
            self.after.push(effect);
        } else if let Some(last) = self.in_flight.back_mut() {
            last.after.push(effect);
        } else {
            effects.push(effect);
        }
    }

    /// The open batch may be refused as a whole (a name may be taken): it goes alone, what follows waits, and it can be undone.
    pub(super) fn close_conditional(
        &mut self,
        before: (Head, Record, BTreeMap<UserId, Member>),
        effects: &mut Vec<RoomEffect>,
    ) {
        self.flush(effects);
        self.barrier = true;
        if let Some(last) = self.in_flight.back_mut() {
            last.undo = Some(Box::new(before));
        }
    }

    /// Hands the open batch to the store. To be called at the end of each turn in which the room was used.
    pub fn flush(&mut self, effects: &mut Vec<RoomEffect>) {
        if self.after.is_empty() {
            return;
        }
        let write = std::mem::replace(&mut self.open, RoomWrite::new(self.record.id));
        self.batches += 1;
        self.in_flight.push_back(Batch {
            number: self.batches,
            after: std::mem::take(&mut self.after),
            rewritten: write.rewritten.iter().cloned().map(Arc::new).collect(),
            undo: None,
            creates: write.create,
        });
        effects.push(RoomEffect::Store { batch: self.batches, write: Box::new(write) });
    }

    /// The store has answered a [`RoomEffect::Store`].
    pub fn stored_batch(
        &mut self,
        batch: u64,
        result: Result<Outcome, Failure>,
        now: Now,
        limits: &Limits,
        effects: &mut Vec<RoomEffect>,
    ) {
        let Some(done) = self.in_flight.pop_front() else { return };
        debug_assert_eq!(done.number, batch, "the store answers in order");
        match result {
            Ok(Outcome::Done { .. }) if !self.broken => self.release(done, effects),
            Ok(Outcome::NameTaken) if done.undo.is_some() => self.undo(done, effects),
            // Somebody made it since: for a direct room that is just as well.
            _ => {
                self.broken = true;
                fail(done.after, &mut self.doubtful, effects);
            }
        }
        if self.broken {
            if self.in_flight.is_empty() {
                let open = std::mem::take(&mut self.after);
                // What was never given to the store surely did not happen.
                fail(open, &mut Vec::new(), effects);
                self.open = RoomWrite::new(self.record.id);
                self.send_away(effects);
                effects.push(RoomEffect::Reload);
            }
            return;
        }
        if self.barrier && self.in_flight.is_empty() {
            self.barrier = false;
            while let Some(next) = self.behind_barrier.pop_front() {
                self.handle(next.actor, next.command, next.to, next.taken, now, limits, effects);
                if self.barrier {
                    break;
                }
            }
        }
    }

    fn release(&mut self, done: Batch, effects: &mut Vec<RoomEffect>) {
        for event in &done.rewritten {
            self.timeline.replace(event);
            if self.reads > 0 {
                self.fresh.insert(event.seq, Arc::clone(event));
            }
        }
        for effect in done.after {
            if let RoomEffect::Deliver { event, .. } = &effect {
                self.stored = Head { seq: event.seq, number: event.number, at: event.at };
                self.timeline.push(Arc::clone(event));
            }
            effects.push(effect);
        }
    }

    fn undo(&mut self, done: Batch, effects: &mut Vec<RoomEffect>) {
        if let Some(before) = done.undo {
            (self.head, self.record, self.members) = *before;
            self.active = self.members.values().filter(|m| m.active()).count();
        }
        for effect in done.after {
            if let RoomEffect::Reply { to, .. } = effect {
                let refusal = Refusal::new(Code::NameTaken).field("name");
                effects.push(RoomEffect::Reply { to, result: Err(refusal) });
            }
        }
        if done.creates {
            self.record.removed = true;
            effects.push(RoomEffect::Removed);
        }
    }

    /// Whoever waits for something is told to try again.
    pub fn send_away(&mut self, effects: &mut Vec<RoomEffect>) {
        let waiting = std::mem::take(&mut self.behind_barrier);
        let parked: BTreeMap<_, _> = std::mem::take(&mut self.parked).into_iter().collect();
        for waiting in waiting.into_iter().chain(parked.into_values().flatten()) {
            effects.push(RoomEffect::Reply { to: waiting.to, result: Err(storage_unavailable()) });
        }
    }

    /// The room was loaded anew after a failure. Answers whether it has events that were never told.
    pub fn reloaded(&mut self, loaded: LoadedRoom, effects: &mut Vec<RoomEffect>) -> bool {
        let told = self.stored;
        self.send_away(effects);
        let present = std::mem::take(&mut self.present);
        let doubtful = self.take_doubtful();
        *self = Self::loaded(loaded);
        self.present = present;
        self.resolve(doubtful, effects);
        self.stored.seq > told.seq
    }

    /// Comings and goings of which nobody knows yet whether they happened: for [`Room::resolve`] when the room is known again.
    pub fn take_doubtful(&mut self) -> Vec<RoomEffect> {
        std::mem::take(&mut self.doubtful)
    }

    /// Of what was in doubt, tells what did happen.
    pub fn resolve(&self, doubtful: Vec<RoomEffect>, effects: &mut Vec<RoomEffect>) {
        for effect in doubtful {
            if let RoomEffect::Membership { user, role, .. } = &effect
                && self.has(*user) == role.is_some()
            {
                effects.push(effect);
            }
        }
    }

    /// Loading anew failed: it stays broken, and reads go on.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Client ids that need not be remembered any more are forgotten.
    pub fn forget_answered(&mut self, now: crate::base::WallTime) {
        self.answered.forget_before(now);
    }

    /// Retention has removed what lay before.
    pub fn trimmed(&mut self, record: &Record) {
        self.record.first_seq = self.record.first_seq.max(record.first_seq);
        self.record.trimmed = record.trimmed;
        self.timeline.trim(self.record.first_seq);
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

/// Tells those who wait for what could not be stored. Comings and goings may have happened all the same.
fn fail(after: Vec<RoomEffect>, doubtful: &mut Vec<RoomEffect>, effects: &mut Vec<RoomEffect>) {
    for effect in after {
        if let RoomEffect::Membership { .. } = effect {
            doubtful.push(effect);
        } else if let RoomEffect::Reply { to, result } = effect {
            effects.push(RoomEffect::Reply { to, result: result.and_then(|_| Err(storage_unavailable())) });
        }
    }
}

/// The store cannot be used now.
#[must_use]
pub fn storage_unavailable() -> Refusal {
    Refusal::new(Code::StorageUnavailable).retry_after(STORE_RETRY_MS)
}

#[cfg(test)]
pub(crate) mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::base::{Epoch, Number, WallTime};

    /// A message event for tests.
    pub(crate) fn message(seq: u64, text: &str) -> Arc<Event> {
        Arc::new(Event {
            room: RoomId(Uuid::from_u128(1)),
            epoch: Epoch(1),
            seq: Seq(seq),
            number: Number(seq),
            user: UserId(Uuid::from_u128(2)),
            at: WallTime(seq),
            kind: EventKind::Message,
            content: text.to_owned(),
            metadata: String::new(),
            client_id: None,
            status: EventStatus::Live,
        })
    }
}
