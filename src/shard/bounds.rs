//! What a shard holds in memory beyond what it needs, and when it lets go of it.
//!
//! | what | why it is held | bound |
//! |---|---|---|
//! | timelines: the newest events of rooms | resume and history without the store | 128 events and 64 KiB a room; `limits.timeline_budget_bytes` together: those of the rooms that were not used for longest go |
//! | answered client ids | a repeated send is known without the store | ten minutes; 8,192 a room; [`ANSWERED_IDS_SHARD`] together: the oldest go |
//! | users and rooms that nobody is connected to | they come back soon, most of them | [`REST_AFTER_MS`]; `limits.resting_bytes` together: those that were not used for longest go, though none within [`REST_AT_LEAST_MS`] |
//!
//! All of it is in the store, so that letting go costs a read and loses nothing. The sums are kept up to date where a room or user is
//! used; they are held against the bounds once a turn.

use std::collections::{BTreeSet, VecDeque};

use crate::base::limits::{ANSWERED_IDS_SHARD, REST_AFTER_MS, REST_AT_LEAST_MS};
use crate::base::time::Now;
use crate::base::{Moment, RoomId, UserId, WallTime};
use crate::chat::room::Held;

use super::Shard;
use super::rooms::RoomSlot;
use super::users::UserSlot;

/// So many are taken out of memory in one turn.
const GO_A_TURN: usize = 256;
/// When more has to go, the next ones go after this time, in milliseconds.
const GO_ON_MS: u64 = 20;

/// Who rests: nobody is connected to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Resting {
    User(UserId),
    Room(RoomId),
}

/// What a user or room that rests counts for; nothing while somebody is connected.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    /// How much memory it takes, about, in bytes.
    bytes: usize,
    /// As when it stands in the list.
    since: Option<Moment>,
}

/// What one room counts for.
#[derive(Debug, Default)]
pub(super) struct RoomShare {
    resting: Share,
    /// When it was used, as it came into the list of those with a timeline.
    recent: Option<Moment>,
    held: Held,
}

/// The sums, and who goes first.
#[derive(Debug)]
pub(super) struct Bounds {
    /// What all rooms hold.
    pub(super) held: Held,
    /// Bytes of users and rooms that rest, about.
    pub(super) resting: usize,
    /// Those that rest, by their last use.
    rests: BTreeSet<(Moment, Resting)>,
    /// Rooms with a timeline, about by their last use.
    recent: VecDeque<RoomId>,
    /// More has to go then.
    go_on: Option<Moment>,
    /// [`ANSWERED_IDS_SHARD`].
    ids_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            held: Held::default(),
            resting: 0,
            rests: BTreeSet::new(),
            recent: VecDeque::new(),
            go_on: None,
            ids_max: ANSWERED_IDS_SHARD,
        }
    }
}

impl Bounds {
    /// It rests since it was last used, with so many bytes; with none it does not.
    fn rest(&mut self, who: Resting, share: &mut Share, bytes: usize, used: Moment) {
        self.resting = self.resting - share.bytes + bytes;
        share.bytes = bytes;
        let since = (bytes > 0).then_some(used);
        if share.since == since {
            return;
        }
        if let Some(since) = share.since {
            self.rests.remove(&(since, who));
        }
        share.since = since;
        if let Some(since) = since {
            self.rests.insert((since, who));
        }
    }

    fn hold(&mut self, share: &mut RoomShare, held: Held) {
        self.held.events = self.held.events - share.held.events + held.events;
        self.held.event_bytes = self.held.event_bytes - share.held.event_bytes + held.event_bytes;
        self.held.answered = self.held.answered - share.held.answered + held.answered;
        share.held = held;
    }

    /// When [`Shard::keep_bounds`] has more to do.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.go_on
    }
}

impl Shard {
    /// A room was used, or its listeners changed: what it holds is counted anew.
    pub(super) fn count_room(&mut self, room: RoomId) {
        let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) else { return };
        let held = owned.room.held();
        if held.events > 0 && owned.share.recent.is_none() {
            owned.share.recent = Some(owned.used);
            self.bounds.recent.push_back(room);
        }
        self.bounds.hold(&mut owned.share, held);
        let bytes = if owned.listeners.is_empty() { owned.room.weight() } else { 0 };
        self.bounds.rest(Resting::Room(room), &mut owned.share.resting, bytes, owned.used);
    }

    /// A room has left memory.
    pub(super) fn uncount_room(&mut self, room: RoomId, mut share: RoomShare) {
        self.bounds.hold(&mut share, Held::default());
        self.bounds.rest(Resting::Room(room), &mut share.resting, 0, Moment(0));
    }

    /// A user was used, or somebody came or went.
    pub(super) fn count_user(&mut self, user: UserId) {
        let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { return };
        let bytes = if person.conns.is_empty() { person.weight() } else { 0 };
        self.bounds.rest(Resting::User(user), &mut person.share, bytes, person.used);
    }

    /// Lets go of what is beyond the bounds, or rested long enough.
    pub(super) fn keep_bounds(&mut self, now: Now) {
        if self.bounds.held.event_bytes > self.setup.limits.timeline_budget_bytes {
            self.trim_timelines();
        }
        if self.bounds.held.answered > self.bounds.ids_max {
            self.crowd_out(now.wall);
        }
        if self.bounds.resting > self.setup.limits.resting_bytes {
            self.let_go(now);
        }
    }

    /// Timelines of the rooms that were not used for longest go, until the others fit.
    fn trim_timelines(&mut self) {
        // Each is looked at twice at most: who was used since it came into the list has another turn.
        for _ in 0..self.bounds.recent.len() * 2 {
            if self.bounds.held.event_bytes <= self.setup.limits.timeline_budget_bytes {
                return;
            }
            let Some(room) = self.bounds.recent.pop_front() else { return };
            let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) else { continue };
            if owned.share.recent.is_some_and(|since| since < owned.used) {
                owned.share.recent = Some(owned.used);
                self.bounds.recent.push_back(room);
                continue;
            }
            owned.share.recent = None;
            owned.room.forget_timeline();
            let held = owned.room.held();
            self.bounds.hold(&mut owned.share, held);
        }
    }

    /// The oldest answered ids of all rooms go, until a quarter is free, so that this is rarely done.
    fn crowd_out(&mut self, now: WallTime) {
        while self.bounds.held.answered > self.bounds.ids_max / 4 * 3 {
            let oldest = self.rooms.values().filter_map(|slot| match slot {
                RoomSlot::Ready(owned) => owned.room.oldest_answered(),
                RoomSlot::Loading(_) => None,
            });
            // The oldest quarter of the time that they span. Without any, what is left are users that are told apart.
            let keep_from = oldest.min().map(|since| since.plus_ms((now.0.saturating_sub(since.0) / 4).max(1)));
            let rooms: Vec<RoomId> = self.rooms.keys().copied().collect();
            for room in rooms {
                let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) else { continue };
                owned.room.crowd_out_answered(keep_from);
                let held = owned.room.held();
                self.bounds.hold(&mut owned.share, held);
            }
            if keep_from.is_none() {
                return;
            }
        }
    }

    /// Takes those out of memory that rested longest: while there is no room for them, or when they did for [`REST_AFTER_MS`].
    pub(super) fn let_go(&mut self, now: Now) {
        self.bounds.go_on = None;
        for _ in 0..GO_A_TURN {
            let Some(&(since, who)) = self.bounds.rests.first() else { return };
            let over = self.bounds.resting > self.setup.limits.resting_bytes;
            let due = since.plus_ms(if over { REST_AT_LEAST_MS } else { REST_AFTER_MS });
            if due > now.mono {
                self.bounds.go_on = over.then_some(due);
                return;
            }
            let busy = match who {
                Resting::User(user) => self.let_user_go(user, now.mono),
                Resting::Room(room) => self.let_room_go(room, now.mono),
            };
            self.bounds.rests.remove(&(since, who));
            if busy {
                // Something of it is on its way to the store: it is looked at again later.
                self.bounds.rests.insert((now.mono, who));
            }
        }
        self.bounds.go_on = Some(now.mono.plus_ms(GO_ON_MS));
    }

    /// Answers whether they must stay.
    fn let_user_go(&mut self, user: UserId, now: Moment) -> bool {
        let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { return false };
        if !person.is_quiet() {
            person.share.since = Some(now);
            return true;
        }
        self.bounds.resting -= person.share.bytes;
        self.users.remove(&user);
        false
    }

    /// Answers whether it must stay.
    fn let_room_go(&mut self, room: RoomId, now: Moment) -> bool {
        let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) else { return false };
        if !owned.room.is_quiet() {
            owned.share.resting.since = Some(now);
            return true;
        }
        self.drop_room(room);
        false
    }

    /// Tables that were large and hold little now give their memory back.
    pub(super) fn shrink(&mut self) {
        macro_rules! shrink {
            ($($table:expr),*) => {
                $(if $table.len() < $table.capacity() / 4 { $table.shrink_to($table.len() * 2); })*
            };
        }
        shrink!(self.rooms, self.users, self.rates, self.hub, self.jobs, self.bounds.recent);
        self.conns.shrink();
    }
}

#[cfg(test)]
mod tests;
