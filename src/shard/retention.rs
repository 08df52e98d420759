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
    pub(super) fn sweep_begin(&mut self, now: Now, effects: &mut Effects) {
        // No second walk before this one is over.
        self.sweep.next = None;
        self.sweep_ids(None, now, effects);
    }

    fn sweep_ids(&mut self, after: Option<RoomId>, _now: Now, effects: &mut Effects) {
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
        self.sweep_ids(Some(last), now, effects);
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
