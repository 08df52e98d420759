//! Old messages go: a slow walk over all rooms of this shard's slots, one small step at a time, one job in flight.

use crate::base::time::Now;
use crate::base::{Moment, Room, RoomId, Seq, WallTime};
use crate::store::{Answer, Failure, Outcome, Query, Write};

use super::rooms::RoomSlot;
use super::{Effects, Job, Shard, StoreResult};

/// Rooms looked at in one step.
const ROOMS_PER_STEP: usize = 100;
/// Events removed in one step.
const EVENTS_PER_STEP: usize = 500;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// When the walk begins again.
#[derive(Debug)]
pub(super) struct Sweep {
    next: Option<Moment>,
}

/// A step of the walk that the store is carrying out.
#[derive(Debug)]
pub(super) enum Step {
    /// The next rooms, after this one.
    Ids,
    /// Their records.
    Records { last: RoomId },
    /// Up to where one of them is too old; the others follow.
    Cut { room: Room, rest: Vec<Room>, last: RoomId },
    /// It is being removed.
    Trim { room: Room, up_to: Seq, rest: Vec<Room>, last: RoomId },
}

impl Sweep {
    pub(super) fn new(first: Moment) -> Self {
        Self { next: Some(first) }
    }

    pub(super) fn due(&self, now: Moment) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.next
    }
}

impl Shard {
    pub(super) fn sweep_begin(&mut self, effects: &mut Effects) {
        // No second walk before this one is over.
        self.sweep.next = None;
        self.sweep_ids(None, effects);
    }

    fn sweep_ids(&mut self, after: Option<RoomId>, effects: &mut Effects) {
        self.read(Job::Sweep(Step::Ids), Query::RoomIds { after, limit: ROOMS_PER_STEP }, effects);
    }

    fn sweep_over(&mut self, now: Now) {
        self.sweep.next = Some(now.mono.plus_ms(self.setup.retention_sweep_ms));
    }

    /// The store has carried out a step.
    pub(super) fn sweep_step(&mut self, step: Step, result: StoreResult, now: Now, effects: &mut Effects) {
        match (step, result) {
            (Step::Ids, StoreResult::Read(Ok(Answer::RoomIds(ids)))) => {
                let Some(&last) = ids.last() else {
                    self.sweep_over(now);
                    return;
                };
                let own: Vec<RoomId> =
                    ids.into_iter().filter(|&id| self.setup.placement.of_room(id) == self.setup.id).collect();
                let query = Query::Rooms { rooms: own, answered_since: now.wall, answered_max: 0 };
                self.read(Job::Sweep(Step::Records { last }), query, effects);
            }
            (Step::Records { last }, StoreResult::Read(Ok(Answer::Rooms(rooms)))) => {
                let rooms = rooms.into_iter().flatten().map(|loaded| loaded.room).collect();
                self.sweep_room(rooms, last, now, effects);
            }
            (Step::Cut { room, rest, last }, StoreResult::Read(Ok(Answer::SeqAt(up_to)))) => {
                if up_to < room.first_seq {
                    self.sweep_room(rest, last, now, effects);
                } else {
                    let write = Write::Trim { room: room.id, up_to, limit: EVENTS_PER_STEP };
                    self.write(Job::Sweep(Step::Trim { room, up_to, rest, last }), write, effects);
                }
            }
            (Step::Trim { room, up_to, rest, last }, StoreResult::Written(Ok(Outcome::Trimmed(n, record)))) => {
                if let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room.id) {
                    owned.room.trimmed(&record);
                }
                self.count_room(room.id);
                if n > 0 && record.first_seq <= up_to {
                    let write = Write::Trim { room: room.id, up_to, limit: EVENTS_PER_STEP };
                    self.write(Job::Sweep(Step::Trim { room: *record, up_to, rest, last }), write, effects);
                } else {
                    tracing::info!(room = %room.id, first_seq = record.first_seq.0, "old messages were removed");
                    self.sweep_room(rest, last, now, effects);
                }
            }
            (Step::Cut { rest, last, .. } | Step::Trim { rest, last, .. }, result) => {
                report(&result);
                self.sweep_room(rest, last, now, effects);
            }
            (Step::Ids | Step::Records { .. }, result) => {
                report(&result);
                self.sweep_over(now);
            }
        }
    }

    /// The next room of a step; after the last one, the next step.
    fn sweep_room(&mut self, mut rooms: Vec<Room>, last: RoomId, now: Now, effects: &mut Effects) {
        while let Some(room) = rooms.pop() {
            let Some(days) = room.retention_days.or(self.setup.retention_days) else { continue };
            let at = WallTime(now.wall.0.saturating_sub(u64::from(days) * DAY_MS));
            let query = Query::SeqBefore { room: room.id, at };
            self.read(Job::Sweep(Step::Cut { room, rest: rooms, last }), query, effects);
            return;
        }
        self.sweep_ids(Some(last), effects);
    }
}

fn report(result: &StoreResult) {
    let failure: Option<&Failure> = match result {
        StoreResult::Written(Err(failure)) | StoreResult::Read(Err(failure)) => Some(failure),
        StoreResult::Written(Ok(_)) | StoreResult::Read(Ok(_)) => None,
    };
    if let Some(failure) = failure {
        tracing::warn!(%failure, "old messages could not be removed; tried again later");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::auth::token::{Signer, Verifier};
    use crate::base::limits::Limits;
    use crate::base::room::Head;
    use crate::base::{Epoch, Event, EventKind, EventStatus, Number, RoomType, ShardId, UserId};
    use crate::shard::{Input, NameKeys, Placement, Setup, StoreOp, StoreResult};
    use crate::store::memory::Memory;
    use crate::store::{Backend, NameKind, RoomWrite};

    const NOW: u64 = 200 * DAY_MS;

    fn event(room: RoomId, seq: u64, at: u64) -> Event {
        Event {
            room,
            epoch: Epoch(1),
            seq: Seq(seq),
            number: Number(seq),
            user: UserId(Uuid::from_u128(9)),
            at: WallTime(at),
            kind: EventKind::Message,
            content: format!("message {seq}"),
            metadata: String::new(),
            client_id: None,
            status: EventStatus::Live,
        }
    }

    /// A room with 1,300 messages: 1,200 of 100 days ago, 100 of today.
    fn room(store: &Memory, n: u128, days: Option<u32>) -> RoomId {
        let id = RoomId(Uuid::from_u128(n));
        let record = Room {
            id,
            kind: RoomType::Public,
            name: format!("room {n}"),
            description: String::new(),
            metadata: String::new(),
            created_by: UserId(Uuid::from_u128(9)),
            created_at: WallTime(1),
            epoch: Epoch(1),
            first_seq: Seq(1),
            trimmed: Head::default(),
            retention_days: days,
            removed: false,
        };
        let at = |seq| if seq <= 1200 { NOW - 100 * DAY_MS + seq } else { NOW - DAY_MS / 2 + seq };
        let write = RoomWrite {
            create: true,
            record: Some(record),
            events: (1..=1300).map(|seq| event(id, seq, at(seq))).collect(),
            ..RoomWrite::new(id)
        };
        store.write(vec![Write::Room(Box::new(write))]).unwrap();
        id
    }

    fn first_kept(store: &Memory, room: RoomId) -> u64 {
        let query = Query::Events { room, span: crate::store::Span::After(Seq(0)), limit: 1, bytes_max: 1 };
        let Answer::Events(events) = store.read(&query).unwrap() else { panic!("not events") };
        events[0].seq.0
    }

    #[test]
    fn old_messages_go_in_small_steps_and_each_room_by_its_own_rule() {
        let store = Memory::new([1; 32]);
        let usual = room(&store, 1, None);
        let short = room(&store, 2, Some(30));
        let long = room(&store, 3, Some(365));
        let signer = Signer::from_seed([3; 32], 1000).unwrap();
        let setup = Setup {
            id: ShardId(0),
            placement: Placement::even(1),
            limits: Limits::default(),
            verifier: Arc::new(Verifier::own(vec![signer.public().unwrap()]).unwrap()),
            name_keys: NameKeys(Arc::new(|_: NameKind, _| crate::store::NameKey([0; 32]))),
            retention_days: Some(90),
            retention_sweep_ms: 1000,
            seed: 1,
        };
        let mut now = Now { mono: Moment(0), wall: WallTime(NOW) };
        let mut shard = Shard::new(setup, now);
        let mut effects = Effects::default();
        now.mono = shard.next_deadline().expect("the walk is due");
        shard.handle(Input::Tick, now, &mut effects);
        shard.finish_turn(now, &mut effects);
        let (mut steps, mut largest) = (0, 0);
        while let Some(job) = effects.jobs.pop() {
            assert!(effects.jobs.is_empty(), "one job in flight");
            let result = match job.op {
                StoreOp::Write(write) => {
                    let mut outcomes = store.write(vec![write]).unwrap();
                    if let Some(Outcome::Trimmed(n, _)) = outcomes.first() {
                        largest = largest.max(*n);
                    }
                    StoreResult::Written(Ok(outcomes.remove(0)))
                }
                StoreOp::Read(query) => StoreResult::Read(store.read(&query)),
            };
            shard.handle(Input::Stored { token: job.token, result }, now, &mut effects);
            steps += 1;
            assert!(steps < 100);
        }
        assert_eq!([first_kept(&store, usual), first_kept(&store, short), first_kept(&store, long)], [1201, 1201, 1]);
        assert!(largest <= EVENTS_PER_STEP && largest > 0);
        assert!(shard.next_deadline().is_some_and(|next| next > now.mono), "the next walk comes");
    }
}
