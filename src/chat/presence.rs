//! Who of a room is there, and who is typing: told at most every so often, never stored.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::limits::{PRESENCE_INTERVAL_MS, PRESENCE_NAMES_MAX, TYPING_MS};
use crate::base::{Moment, Status, UserId, WallTime};

/// Marks of at most so many typing people are kept; more are not told.
const TYPING_MAX: usize = 50;
/// Counts alone change more often than they matter: told this much more rarely than names.
const COUNT_FACTOR: u64 = 8;
/// From this many people on, frames become rarer in proportion.
const DENSE: u64 = 500;

/// What is to be told of a room's presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// How many are there (away ones included).
    pub online: u32,
    /// Who changed, for who watches; empty above [`PRESENCE_NAMES_MAX`].
    pub users: Vec<(UserId, Status, WallTime)>,
    /// Whether those who do not watch are to learn the count.
    pub counts: bool,
}

/// The presence of one room.
#[derive(Debug, Default)]
pub struct Present {
    there: BTreeMap<UserId, Status>,
    changed: BTreeMap<UserId, (Status, WallTime)>,
    count_told: u32,
    names_due: Option<Moment>,
    counts_due: Option<Moment>,
    names_last: Option<Moment>,
    counts_last: Option<Moment>,
    typing: BTreeMap<UserId, Moment>,
}

impl Present {
    /// Somebody's status changed.
    pub fn set(&mut self, user: UserId, status: Status, last_seen: WallTime, now: Moment) {
        let before = match status {
            Status::Offline => self.there.remove(&user),
            Status::Online | Status::Away => self.there.insert(user, status),
        };
        if before.unwrap_or(Status::Offline) == status {
            return;
        }
        self.changed.insert(user, (status, last_seen));
        let interval = self.interval_ms();
        if self.names_due.is_none() {
            self.names_due = Some(self.names_last.map_or(now, |last| last.plus_ms(interval)).max(now));
        }
        if self.counts_due.is_none() && self.online() != self.count_told {
            let interval = interval * COUNT_FACTOR;
            self.counts_due = Some(self.counts_last.map_or(now, |last| last.plus_ms(interval)).max(now));
        }
    }

    fn interval_ms(&self) -> u64 {
        PRESENCE_INTERVAL_MS * (self.there.len() as u64).div_ceil(DENSE).max(1)
    }

    /// Somebody's status.
    #[must_use]
    pub fn status(&self, user: UserId) -> Status {
        self.there.get(&user).copied().unwrap_or(Status::Offline)
    }

    /// How many are there.
    #[must_use]
    pub fn online(&self) -> u32 {
        u32::try_from(self.there.len()).unwrap_or(u32::MAX)
    }

    /// All who are there, for somebody who begins to watch; empty above [`PRESENCE_NAMES_MAX`].
    #[must_use]
    pub fn all(&self) -> Vec<(UserId, Status, WallTime)> {
        if self.there.len() > PRESENCE_NAMES_MAX {
            return Vec::new();
        }
        self.there.iter().map(|(&user, &status)| (user, status, WallTime(0))).collect()
    }

    /// When [`Present::due`] has something to tell.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        let typing = self.typing.values().min().copied();
        [self.names_due, self.counts_due, typing].into_iter().flatten().min()
    }

    /// What is to be told now, if anything, and who stopped typing without saying so.
    pub fn due(&mut self, now: Moment) -> (Option<Told>, Vec<UserId>) {
        let names = self.names_due.is_some_and(|due| due <= now);
        let counts = self.counts_due.is_some_and(|due| due <= now);
        let mut told = None;
        if names || counts {
            let users = if names {
                self.names_due = None;
                self.names_last = Some(now);
                let changed = std::mem::take(&mut self.changed);
                if self.there.len() > PRESENCE_NAMES_MAX {
                    Vec::new()
                } else {
                    changed.into_iter().map(|(user, (status, seen))| (user, status, seen)).collect()
                }
            } else {
                Vec::new()
            };
            if counts {
                self.counts_due = None;
                self.counts_last = Some(now);
                self.count_told = self.online();
            }
            told = Some(Told { online: self.online(), users, counts });
        }
        let expired: BTreeSet<UserId> =
            self.typing.iter().filter(|&(_, &until)| until <= now).map(|(&user, _)| user).collect();
        self.typing.retain(|_, until| *until > now);
        (told, expired.into_iter().collect())
    }

    /// A typing mark. Answers whether others are to be told.
    pub fn typing(&mut self, user: UserId, active: bool, now: Moment) -> bool {
        if !active {
            return self.typing.remove(&user).is_some();
        }
        if self.typing.len() >= TYPING_MAX && !self.typing.contains_key(&user) {
            return false;
        }
        let until = now.plus_ms(TYPING_MS);
        let before = self.typing.insert(user, until);
        // Told again once half of the time has gone, so that receivers which let it expire by themselves keep it.
        before.is_none_or(|old| {
            let fresh = old.0 > now.plus_ms(TYPING_MS / 2).0;
            if fresh {
                self.typing.insert(user, old);
            }
            !fresh
        })
    }

    /// Somebody is not in the room any more.
    pub fn forget(&mut self, user: UserId, now: Moment) {
        self.set(user, Status::Offline, WallTime(0), now);
        self.typing.remove(&user);
    }

    /// Nobody is there and nothing is to be told.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.there.is_empty() && self.changed.is_empty() && self.typing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn user(n: u128) -> UserId {
        UserId(Uuid::from_u128(n))
    }

    #[test]
    fn ten_thousand_arrivals_make_few_frames() {
        let mut present = Present::default();
        let (mut frames, mut counts) = (0, 0);
        for n in 0..10_000u64 {
            let now = Moment(n * 1000); // One a millisecond: ten seconds in all.
            present.set(user(u128::from(n)), Status::Online, WallTime(0), now);
            if let (Some(told), _) = present.due(now) {
                frames += 1;
                counts += u32::from(told.counts);
                assert!(told.users.len() <= PRESENCE_NAMES_MAX);
            }
        }
        assert!(frames <= 40, "{frames}");
        assert!(counts <= 6, "{counts}");
        let end = present.next_deadline().unwrap();
        let mut last = present.due(end).0.unwrap();
        while let Some(next) = present.next_deadline() {
            last = present.due(next).0.unwrap();
        }
        assert!(last.online == 10_000 && present.count_told == 10_000);
    }

    #[test]
    fn typing_is_told_once_and_expires_by_itself() {
        let mut present = Present::default();
        assert!(present.typing(user(1), true, Moment(0)));
        assert!(!present.typing(user(1), true, Moment(1_000_000)));
        assert!(present.typing(user(1), true, Moment(4_000_000)));
        assert_eq!(present.due(Moment(9_999_999)).1, []);
        assert_eq!(present.due(Moment(10_000_000)).1, [user(1)]);
        assert!(!present.typing(user(1), false, Moment(10_000_001)));
    }

    #[test]
    fn going_and_coming_back_between_two_frames_tells_the_last_state() {
        let mut present = Present::default();
        present.set(user(1), Status::Online, WallTime(0), Moment(0));
        assert_eq!(present.due(Moment(0)).0.unwrap().users, [(user(1), Status::Online, WallTime(0))]);
        present.set(user(1), Status::Offline, WallTime(5), Moment(1000));
        present.set(user(1), Status::Away, WallTime(0), Moment(2000));
        assert_eq!(present.due(Moment(2000)).0, None);
        assert_eq!(present.due(Moment(250_000)).0.unwrap().users, [(user(1), Status::Away, WallTime(0))]);
    }
}
