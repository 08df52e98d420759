//! Client ids already answered: a send is stored once, however often it is tried.
//!
//! The key is (user, id), in one room. An id carries its time (UUIDv7) and is refused when that lies more than
//! [`CLIENT_ID_AHEAD_MS`] ahead. So an id whose time is later than `covered_since` plus that allowance can only have been answered
//! within the time that is remembered here: it is decided without a read. An older one is looked up in the store. In a room with more
//! messages than are remembered, what is kept of the forgotten ones is the time in each user's newest id: a newer one is not among them.
//!
//! Memory: one record an id, in the order in which they were answered, and four bytes that find it. Bounded three times: by time
//! ([`AnsweredIds::forget_before`]), by [`ANSWERED_IDS`] a room, and by what the shard has for all its rooms
//! ([`AnsweredIds::crowd_out_before`]). Of ids that were forgotten before their time at most [`CROWDED_OUT_USERS`] users are told apart;
//! of more the newest id of all stands for each.

use std::collections::VecDeque;

use ahash::{HashMap, RandomState};
use hashbrown::HashTable;

use crate::base::limits::{ANSWERED_IDS, CLIENT_ID_AHEAD_MS, CROWDED_OUT_USERS};
use crate::base::{ClientId, UserId, WallTime};
use crate::store::Answered;

/// What is known of a client id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It was answered so.
    Yes(Answered),
    /// It is surely new.
    No,
    /// Only the store knows.
    AskStore,
}

/// The ids answered since a time.
#[derive(Debug)]
pub struct AnsweredIds {
    /// The oldest first.
    order: VecDeque<Answered>,
    /// How many were taken off the front of `order` so far: what `places` counts from (both wrap).
    gone: u32,
    /// Where each stands: its place in `order`, plus `gone`.
    places: HashTable<u32>,
    hasher: RandomState,
    covered_since: WallTime,
    /// Of those forgotten for want of space since then, by user …
    crowded_out: HashMap<UserId, Newest>,
    /// … and of users who were too many to be told apart.
    crowd: Option<Newest>,
}

/// The newest of the ids that were forgotten for want of space.
#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    /// The time in the id, in milliseconds since 1970.
    id_ms: u64,
    /// When the last of them was answered.
    at: WallTime,
}

impl Newest {
    fn add(&mut self, other: Self) {
        self.id_ms = self.id_ms.max(other.id_ms);
        self.at = self.at.max(other.at);
    }
}

impl AnsweredIds {
    /// Holds every id answered at or after `covered_since` ([`WallTime`] 0: all there ever were).
    #[must_use]
    pub fn new(covered_since: WallTime, answered: impl IntoIterator<Item = Answered>) -> Self {
        let mut ids = Self {
            order: VecDeque::new(),
            gone: 0,
            places: HashTable::new(),
            hasher: RandomState::new(),
            covered_since,
            crowded_out: HashMap::default(),
            crowd: None,
        };
        for one in answered {
            ids.insert(one);
        }
        ids
    }

    fn find(&self, user: UserId, id: ClientId) -> Option<&Answered> {
        let is_it = |place: &u32| self.at(*place).is_some_and(|one| one.user == user && one.client_id == id);
        self.places.find(self.hasher.hash_one((user, id)), is_it).and_then(|place| self.at(*place))
    }

    fn at(&self, place: u32) -> Option<&Answered> {
        self.order.get(place.wrapping_sub(self.gone) as usize)
    }

    /// How many records are held: ids, and users of whom some were forgotten before their time.
    #[must_use]
    pub fn held(&self) -> usize {
        self.order.len() + self.crowded_out.len()
    }

    /// When the oldest that is held was answered.
    #[must_use]
    pub fn oldest(&self) -> Option<WallTime> {
        self.order.front().map(|one| one.at)
    }

    /// What is known of this id.
    #[must_use]
    pub fn look_up(&self, user: UserId, id: ClientId) -> Known {
        if let Some(answered) = self.find(user, id) {
            return Known::Yes(*answered);
        }
        let made_ms = id.unix_ms().unwrap_or(0);
        let covered = self.covered_since.0 == 0 || made_ms > self.covered_since.0 + CLIENT_ID_AHEAD_MS;
        let mut newest = self.crowd.iter().chain(self.crowded_out.get(&user));
        if covered && newest.all(|newest| made_ms > newest.id_ms) { Known::No } else { Known::AskStore }
    }

    /// An id was given a seq. The oldest is forgotten when there are too many.
    pub fn insert(&mut self, answered: Answered) {
        if self.find(answered.user, answered.client_id).is_some() {
            return;
        }
        let Self { order, gone, places, hasher, .. } = self;
        let place = gone.wrapping_add(u32::try_from(order.len()).unwrap_or(u32::MAX));
        order.push_back(answered);
        places.insert_unique(hasher.hash_one((answered.user, answered.client_id)), place, |place| {
            order.get(place.wrapping_sub(*gone) as usize).map_or(0, |one| hasher.hash_one((one.user, one.client_id)))
        });
        while self.order.len() > ANSWERED_IDS {
            self.crowd_out();
        }
    }

    /// The oldest leaves memory.
    fn pop(&mut self) -> Option<Answered> {
        let first = self.order.front().copied()?;
        let hash = self.hasher.hash_one((first.user, first.client_id));
        if let Ok(found) = self.places.find_entry(hash, |place| *place == self.gone) {
            found.remove();
        }
        self.order.pop_front();
        self.gone = self.gone.wrapping_add(1);
        Some(first)
    }

    /// The oldest is forgotten before its time.
    fn crowd_out(&mut self) {
        let Some(Answered { user, client_id, at, .. }) = self.pop() else { return };
        let newest = Newest { id_ms: client_id.unix_ms().unwrap_or(u64::MAX), at };
        self.crowded_out.entry(user).or_default().add(newest);
        if self.crowded_out.len() > CROWDED_OUT_USERS {
            self.crowd_together();
        }
    }

    /// Forgets, for want of space, what was answered before `keep_from`.
    pub fn crowd_out_before(&mut self, keep_from: WallTime) {
        while self.oldest().is_some_and(|at| at < keep_from) {
            self.crowd_out();
        }
        self.shrink();
    }

    /// Tells users whose ids were forgotten before their time not apart any more.
    pub fn crowd_together(&mut self) {
        #[allow(clippy::iter_over_hash_type, reason = "what is kept is the newest of all, in whatever order they come")]
        for newest in std::mem::take(&mut self.crowded_out).into_values() {
            self.crowd.get_or_insert_default().add(newest);
        }
    }

    /// Forgets what need not be remembered any more: older than twice the allowance.
    pub fn forget_before(&mut self, now: WallTime) {
        let keep_from = WallTime(now.0.saturating_sub(2 * CLIENT_ID_AHEAD_MS));
        while let Some(at) = self.oldest()
            && at < keep_from
        {
            self.pop();
            self.covered_since = self.covered_since.max(at.plus_ms(1));
        }
        let covered_since = &mut self.covered_since;
        let mut keep = |newest: &Newest| {
            let keep = newest.at >= keep_from;
            if !keep {
                *covered_since = (*covered_since).max(newest.at.plus_ms(1));
            }
            keep
        };
        self.crowded_out.retain(|_, newest| keep(newest));
        self.crowd = self.crowd.filter(&mut keep);
        self.shrink();
    }

    /// Memory of many ids is not held by few.
    fn shrink(&mut self) {
        let Self { order, gone, places, hasher, crowded_out, .. } = self;
        if order.len() < order.capacity() / 4 {
            order.shrink_to(order.len() * 2);
            places.shrink_to(order.len() * 2, |place| {
                order
                    .get(place.wrapping_sub(*gone) as usize)
                    .map_or(0, |one| hasher.hash_one((one.user, one.client_id)))
            });
        }
        if crowded_out.len() < crowded_out.capacity() / 4 {
            crowded_out.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::base::Seq;

    fn v7(ms: u64, n: u8) -> ClientId {
        let mut bytes = [0u8; 16];
        bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
        bytes[6] = 0x70;
        bytes[8] = 0x80;
        bytes[15] = n;
        ClientId(Uuid::from_bytes(bytes))
    }

    fn answered(ms: u64, n: u8) -> Answered {
        Answered {
            user: UserId(Uuid::nil()),
            client_id: v7(ms, n),
            seq: Seq(u64::from(n)),
            body_hash: 1,
            at: WallTime(ms),
        }
    }

    #[test]
    fn a_fresh_id_needs_no_store_and_an_old_one_does() {
        let ids = AnsweredIds::new(WallTime(1_000_000), [answered(1_000_500, 1)]);
        let user = UserId(Uuid::nil());
        assert!(matches!(ids.look_up(user, v7(1_000_500, 1)), Known::Yes(a) if a.seq == Seq(1)));
        assert_eq!(ids.look_up(user, v7(1_000_000 + CLIENT_ID_AHEAD_MS + 1, 2)), Known::No);
        assert_eq!(ids.look_up(user, v7(1_000_000 + CLIENT_ID_AHEAD_MS, 2)), Known::AskStore);
        assert_eq!(AnsweredIds::new(WallTime(0), []).look_up(user, v7(5, 2)), Known::No);
    }

    #[test]
    fn in_a_crowded_room_only_old_ids_are_asked_of_the_store() {
        let (crowd, quiet) = (UserId(Uuid::nil()), UserId(Uuid::from_u128(7)));
        let mut ids = AnsweredIds::new(WallTime(0), []);
        let start = 10_000_000;
        for n in 0..=ANSWERED_IDS as u64 + 10 {
            ids.insert(answered(start + n, 1));
        }
        // Forgotten: 0 to 10. An id from then may be one of them, whatever it ends in.
        assert_eq!(ids.look_up(crowd, v7(start, 1)), Known::AskStore);
        assert_eq!(ids.look_up(crowd, v7(start + 10, 2)), Known::AskStore);
        assert_eq!(ids.look_up(crowd, v7(start + 11, 2)), Known::No);
        assert!(matches!(ids.look_up(crowd, v7(start + 11, 1)), Known::Yes(_)));
        assert_eq!(ids.look_up(quiet, v7(start, 1)), Known::No, "who was not forgotten");
        // Long after, the time covered stands for them.
        ids.forget_before(WallTime(start + 20 + 2 * CLIENT_ID_AHEAD_MS));
        assert_eq!(ids.look_up(crowd, v7(start, 1)), Known::AskStore);
        assert_eq!(ids.look_up(quiet, v7(start, 1)), Known::AskStore);
        assert_eq!(ids.look_up(crowd, v7(start + 20 + 2 * CLIENT_ID_AHEAD_MS, 1)), Known::No);
    }

    #[test]
    fn what_is_forgotten_is_asked_of_the_store_again() {
        let mut ids = AnsweredIds::new(WallTime(0), [answered(1000, 1)]);
        let user = UserId(Uuid::nil());
        ids.forget_before(WallTime(1001 + 2 * CLIENT_ID_AHEAD_MS));
        assert_eq!(ids.look_up(user, v7(1000, 1)), Known::AskStore);
        // An id made by a clock that is as far ahead as allowed, answered at 1000, was forgotten too: it is asked for as well.
        assert_eq!(ids.look_up(user, v7(1000 + CLIENT_ID_AHEAD_MS, 9)), Known::AskStore);
    }

    #[test]
    fn what_the_shard_has_no_room_for_is_asked_of_the_store_and_of_a_crowd_nobody_is_told_apart() {
        let person = |n: u64| UserId(Uuid::from_u128(u128::from(n)));
        let mut ids = AnsweredIds::new(WallTime(0), []);
        let start = 10_000_000;
        let crowd = CROWDED_OUT_USERS as u64 + 2;
        for n in 0..crowd {
            ids.insert(Answered { user: person(n), ..answered(start + n, 1) });
        }
        ids.crowd_out_before(WallTime(start + 10));
        assert_eq!((ids.held() as u64, ids.oldest()), (crowd, Some(WallTime(start + 10))));
        assert_eq!(ids.look_up(person(3), v7(start + 3, 1)), Known::AskStore);
        assert_eq!(
            ids.look_up(person(3), v7(start + 4, 1)),
            Known::No,
            "newer than the one of theirs that was forgotten"
        );
        assert!(matches!(ids.look_up(person(10), v7(start + 10, 1)), Known::Yes(_)));
        ids.crowd_out_before(WallTime(start + crowd - 1));
        assert_eq!(ids.held(), 1, "one id, and nobody told apart");
        assert_eq!(ids.look_up(person(3), v7(start + 4, 1)), Known::AskStore);
        assert_eq!(ids.look_up(person(3), v7(start + crowd, 1)), Known::No);
        assert!(matches!(ids.look_up(person(crowd - 1), v7(start + crowd - 1, 1)), Known::Yes(_)));
        ids.forget_before(WallTime(start + crowd + 1 + 2 * CLIENT_ID_AHEAD_MS));
        assert_eq!(ids.look_up(person(3), v7(start + 4, 1)), Known::AskStore);
        assert_eq!(ids.look_up(person(3), v7(start + crowd + 1 + 2 * CLIENT_ID_AHEAD_MS, 1)), Known::No);
    }

    #[test]
    fn each_is_found_whatever_came_and_went_before_it_and_memory_follows() {
        let mut ids = AnsweredIds::new(WallTime(0), []);
        let user = UserId(Uuid::nil());
        // The counter of places wraps on the way.
        ids.gone = u32::MAX - 5000;
        let start = 10_000_000;
        for n in 0..30_000 {
            ids.insert(answered(start + n, 1));
        }
        assert_eq!(ids.order.len(), ANSWERED_IDS);
        for n in 30_000 - ANSWERED_IDS as u64..30_000 {
            assert!(
                matches!(ids.look_up(user, v7(start + n, 1)), Known::Yes(one) if one.at == WallTime(start + n)),
                "{n}"
            );
        }
        assert_eq!(ids.places.len(), ids.order.len());
        ids.forget_before(WallTime(start + 29_990 + 2 * CLIENT_ID_AHEAD_MS));
        assert_eq!((ids.order.len(), ids.places.len()), (10, 10));
        assert!(ids.order.capacity() < 100 && ids.places.capacity() < 100);
        assert!(matches!(ids.look_up(user, v7(start + 29_995, 1)), Known::Yes(_)));
    }
}
