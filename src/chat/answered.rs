//! Client ids already answered: a send is stored once, however often it is tried.
//!
//! The key is (user, id), in one room. An id carries its time (UUIDv7) and is refused when that lies more than
//! [`CLIENT_ID_AHEAD_MS`] ahead. So an id whose time is later than `covered_since` plus that allowance can only have been answered
//! within the time that is remembered here: it is decided without a read. An older one is looked up in the store.

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
}

impl AnsweredIds {
    /// Holds every id answered at or after `covered_since` ([`WallTime`] 0: all there ever were).
    #[must_use]
    pub fn new(covered_since: WallTime, answered: impl IntoIterator<Item = Answered>) -> Self {
        let mut ids = Self { map: HashMap::default(), order: VecDeque::new(), covered_since };
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
        let newer_than_memory = id.unix_ms().is_some_and(|ms| ms > self.covered_since.0 + CLIENT_ID_AHEAD_MS);
        if newer_than_memory || self.covered_since.0 == 0 { Known::No } else { Known::AskStore }
    }

    /// An id was given a seq. The oldest is forgotten when there are too many, and the time covered shrinks with it.
    pub fn insert(&mut self, answered: Answered) {
        let key = (answered.user, answered.client_id);
        if self.map.insert(key, answered).is_none() {
            self.order.push_back((key.0, key.1, answered.at));
        }
        while self.order.len() > ANSWERED_IDS {
            if let Some((user, id, at)) = self.order.pop_front() {
                self.map.remove(&(user, id));
                self.covered_since = self.covered_since.max(at.plus_ms(1));
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
        if self.order.is_empty() {
            self.order.shrink_to_fit();
            self.map.shrink_to_fit();
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
    fn what_is_forgotten_is_asked_of_the_store_again() {
        let mut ids = AnsweredIds::new(WallTime(0), [answered(1000, 1)]);
        let user = UserId(Uuid::nil());
        ids.forget_before(WallTime(1001 + 2 * CLIENT_ID_AHEAD_MS));
        assert_eq!(ids.look_up(user, v7(1000, 1)), Known::AskStore);
        // An id made by a clock that is as far ahead as allowed, answered at 1000, was forgotten too: it is asked for as well.
        assert_eq!(ids.look_up(user, v7(1000 + CLIENT_ID_AHEAD_MS, 9)), Known::AskStore);
    }
}
