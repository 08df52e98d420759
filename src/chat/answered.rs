//! Client ids already answered: a send is stored once, however often it is tried.
//!
//! The key is (user, id), in one room. An id carries its time (UUIDv7) and is refused when that lies more than
//! [`CLIENT_ID_AHEAD_MS`] ahead. So an id whose time is later than `covered_since` plus that allowance can only have been answered
//! within the time that is remembered here: it is decided without a read. An older one is looked up in the store. In a room with more
//! messages than are remembered, what is kept of the forgotten ones is the time in each user's newest id: a newer one is not among them.

use std::collections::VecDeque;

use ahash::HashMap;

use crate::base::limits::{ANSWERED_IDS, CLIENT_ID_AHEAD_MS};
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
    map: HashMap<(UserId, ClientId), Answered>,
    order: VecDeque<(UserId, ClientId, WallTime)>,
    covered_since: WallTime,
    /// Of those forgotten for want of space since then.
    crowded_out: HashMap<UserId, Newest>,
}

/// The newest of a user's ids that were forgotten for want of space.
#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    /// The time in the id, in milliseconds since 1970.
    id_ms: u64,
    /// When the last of them was answered.
    at: WallTime,
}

impl AnsweredIds {
    /// Holds every id answered at or after `covered_since` ([`WallTime`] 0: all there ever were).
    #[must_use]
    pub fn new(covered_since: WallTime, answered: impl IntoIterator<Item = Answered>) -> Self {
        let mut ids =
            Self { map: HashMap::default(), order: VecDeque::new(), covered_since, crowded_out: HashMap::default() };
        for one in answered {
            ids.insert(one);
        }
        ids
    }

    /// What is known of this id.
    #[must_use]
    pub fn look_up(&self, user: UserId, id: ClientId) -> Known {
        if let Some(answered) = self.map.get(&(user, id)) {
            return Known::Yes(*answered);
        }
        let made_ms = id.unix_ms().unwrap_or(0);
        let covered = self.covered_since.0 == 0 || made_ms > self.covered_since.0 + CLIENT_ID_AHEAD_MS;
        let crowded_out = self.crowded_out.get(&user).is_some_and(|newest| made_ms <= newest.id_ms);
        if covered && !crowded_out { Known::No } else { Known::AskStore }
    }

    /// An id was given a seq. The oldest is forgotten when there are too many.
    pub fn insert(&mut self, answered: Answered) {
        let key = (answered.user, answered.client_id);
        if self.map.insert(key, answered).is_none() {
            self.order.push_back((key.0, key.1, answered.at));
        }
        while self.order.len() > ANSWERED_IDS {
            if let Some((user, id, at)) = self.order.pop_front() {
                self.map.remove(&(user, id));
                let newest = self.crowded_out.entry(user).or_default();
                newest.id_ms = newest.id_ms.max(id.unix_ms().unwrap_or(u64::MAX));
                newest.at = newest.at.max(at);
            }
        }
    }

    /// Forgets what need not be remembered any more: older than twice the allowance.
    pub fn forget_before(&mut self, now: WallTime) {
        let keep_from = WallTime(now.0.saturating_sub(2 * CLIENT_ID_AHEAD_MS));
        while let Some(&(user, id, at)) = self.order.front()
            && at < keep_from
        {
            self.order.pop_front();
            self.map.remove(&(user, id));
            self.covered_since = self.covered_since.max(at.plus_ms(1));
        }
        let covered_since = &mut self.covered_since;
        self.crowded_out.retain(|_, newest| {
            let keep = newest.at >= keep_from;
            if !keep {
                *covered_since = (*covered_since).max(newest.at.plus_ms(1));
            }
            keep
        });
        if self.order.is_empty() {
            self.order.shrink_to_fit();
            self.map.shrink_to_fit();
            self.crowded_out.shrink_to_fit();
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
}
