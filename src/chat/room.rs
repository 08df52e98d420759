//! One room: it numbers events, gathers them in batches, and tells of them when they are durable.
//!
//! Promises: seqs are given densely in the order commands come; what is told ([`RoomEffect::Deliver`], successful replies) was
//! stored before; after a failure nothing that was given is taken as stored or as not stored until the room was loaded anew.
//! Not here: who listens where (`shard/hub.rs`), how it is stored, what it looks like on the wire.
//!
//! Reading is in `reads.rs`, posting in `posting.rs`, coming and going in `membership.rs`, making and changing in `settings.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ahash::HashMap;

use crate::base::limits::Limits;
use crate::base::room::Head;
use crate::base::time::Now;
use crate::base::{
    Code, Event, EventKind, EventStatus, Member, Moment, Refusal, Room as Record, RoomId, RoomType, Seq, UserId,
};
use crate::store::{Failure, LoadedRoom, Outcome, RoomWrite};

use super::answered::AnsweredIds;
use super::effect::{ReplyTo, RoomEffect};
use super::parked::Parked;
use super::presence::Present;
use super::timeline::Timeline;
use super::{Actor, RoomCommand};

/// How long a sender should wait before trying again when the store cannot be used.
pub const STORE_RETRY_MS: u64 = 1000;

/// What one answered id takes of memory, about, in bytes.
const ANSWERED_BYTES: usize = 96;

/// What a room holds in memory although the store has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Events in its timeline.
    pub events: usize,
    /// What they weigh, in bytes.
    pub event_bytes: usize,
    /// Answered client ids.
    pub answered: usize,
}

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
    pub(super) parked: HashMap<UserId, VecDeque<Parked>>,
    /// Who is there and who is typing.
    pub present: Present,
    open: RoomWrite,
    after: Vec<RoomEffect>,
    in_flight: VecDeque<Batch>,
    batches: u64,
    /// A write that may be refused is in flight: what would come after it waits.
    pub(super) barrier: bool,
    pub(super) behind_barrier: VecDeque<Waiting>,
    broken: bool,
    /// Reads of the store that were not answered yet.
    pub(super) reads: usize,
    /// Events that were rewritten meanwhile: what such a read brings may be older.
    pub(super) fresh: BTreeMap<Seq, Arc<Event>>,
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

    // ---- batches ----

    /// Whether the event gets a new state by what is not durable yet.
    pub(super) fn is_rewritten(&self, seq: Seq) -> bool {
        self.open.rewritten.iter().any(|event| event.seq == seq)
            || self.in_flight.iter().any(|batch| batch.rewritten.iter().any(|event| event.seq == seq))
    }

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
        for waiting in waiting.into_iter().chain(self.unpark_all()) {
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

    /// What it holds that the store has as well.
    #[must_use]
    pub fn held(&self) -> Held {
        Held { events: self.timeline.len(), event_bytes: self.timeline.bytes(), answered: self.answered.held() }
    }

    /// How much memory it takes, about, in bytes, without its timeline.
    #[must_use]
    pub fn weight(&self) -> usize {
        // An entry of a tree takes half as much again as what is in it; a membership has one interval, mostly.
        let member = (size_of::<UserId>() + size_of::<Member>()) * 3 / 2 + 32;
        let text = self.record.name.len() + self.record.description.len() + self.record.metadata.len();
        size_of::<Self>() + text + self.members.len() * member + self.answered.held() * ANSWERED_BYTES
    }

    /// Its events are read from the store from now on.
    pub fn forget_timeline(&mut self) {
        self.timeline.give_back();
    }

    /// When the oldest answered id that it remembers was answered.
    #[must_use]
    pub fn oldest_answered(&self) -> Option<crate::base::WallTime> {
        self.answered.oldest()
    }

    /// Client ids that were answered before are forgotten before their time; without a time, who answered them.
    pub fn crowd_out_answered(&mut self, before: Option<crate::base::WallTime>) {
        match before {
            Some(before) => self.answered.crowd_out_before(before),
            None => self.answered.crowd_together(),
        }
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
