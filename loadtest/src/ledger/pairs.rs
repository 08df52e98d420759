//! For servers that number nothing: what each receiver got of each sender, by the sender's own counter.
//!
//! With one room a user a sender's messages have dense numbers, so that a hole is a loss. With more rooms only doubles and disorder can
//! be told. There would be a hundred million pairs in a room of 10,000: above [`PAIRS_MAX`] only some receivers are looked at.

use std::collections::HashMap;

use crate::layout::Layout;

/// Pairs that are kept.
pub const PAIRS_MAX: u64 = 4_000_000;

/// What the receivers of one thread got.
#[derive(Debug, Default)]
pub struct Pairs {
    tracks: HashMap<(u32, u32), Track>,
    /// One receiver of so many is looked at.
    every: u32,
    dense: bool,
}

/// What one receiver got of one sender.
#[derive(Clone, Copy, Debug)]
struct Track {
    /// Of the receiver's connection.
    generation: u32,
    first: u32,
    newest: u32,
    count: u32,
    /// Which of the 64 numbers up to the newest came.
    window: u64,
}

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// For the first time, in order.
    New,
    /// After a later one of the same sender.
    Late(u32),
    /// A second time.
    Again,
}

impl Pairs {
    /// Nothing has come yet.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        let pairs: u64 = (0..layout.rooms()).map(|room| (layout.members(room).len() as u64).pow(2)).sum();
        let every = u32::try_from(pairs.div_ceil(PAIRS_MAX)).unwrap_or(u32::MAX).max(1);
        let dense = layout.users() == 0 || layout.rooms_of(0).len() == 1;
        Self { tracks: HashMap::new(), every, dense }
    }

    /// What cannot be found, in words.
    #[must_use]
    pub fn not_checked(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.every > 1 {
            all.push(format!("gaps, duplicates and disorder of all receivers: one in {} was looked at", self.every));
        }
        if !self.dense {
            all.push("single gaps: users are in several rooms and the server numbers nothing".to_owned());
        }
        all
    }

    /// A message came. `generation` counts the receiver's connections: without a promise to resume, a new one begins anew.
    pub fn came(&mut self, receiver: u32, generation: u32, sender: u32, number: u32) -> Came {
        if !receiver.is_multiple_of(self.every) {
            return Came::New;
        }
        let fresh = Track { generation, first: number, newest: number, count: 1, window: 1 };
        let track = match self.tracks.entry((receiver, sender)) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(fresh);
                return Came::New;
            }
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
        };
        if track.generation != generation {
            *track = fresh;
            return Came::New;
        }
        if number > track.newest {
            let step = number - track.newest;
            track.window = track.window.checked_shl(step).unwrap_or(0) | 1;
            track.newest = number;
            track.count += 1;
            return Came::New;
        }
        let back = track.newest - number;
        // Too far back to know: whoever comes so late did come late.
        if back < 64 {
            if track.window & (1 << back) != 0 {
                return Came::Again;
            }
            track.window |= 1 << back;
        }
        track.first = track.first.min(number);
        track.count += 1;
        Came::Late(track.newest)
    }

    /// At the end: for each pair what is missing, by `sent(sender)`, the number of messages that the sender sent (`None`: another
    /// process knows). Answers receiver, sender, how many.
    pub fn gaps(&self, sent: impl Fn(u32) -> Option<u32>) -> Vec<(u32, u32, u32)> {
        if !self.dense {
            return Vec::new();
        }
        let mut all: Vec<_> = self
            .tracks
            .iter()
            .filter_map(|(&(receiver, sender), track)| {
                // A connection that was there from the start had to get the first one too.
                let first = if track.generation <= 1 { 0 } else { track.first };
                let end = sent(sender).unwrap_or(track.newest + 1).max(track.newest + 1);
                let missing = (end - first).saturating_sub(track.count);
                (missing > 0).then_some((receiver, sender, missing))
            })
            .collect();
        all.sort_unstable();
        all
    }

    /// Who of the receivers is looked at.
    #[must_use]
    pub fn looks_at(&self, receiver: u32) -> bool {
        receiver.is_multiple_of(self.every)
    }

    /// Whether anything of this sender came to this receiver.
    #[must_use]
    pub fn has(&self, receiver: u32, sender: u32) -> bool {
        self.tracks.contains_key(&(receiver, sender))
    }

    /// Whether single gaps can be told.
    #[must_use]
    pub fn dense(&self) -> bool {
        self.dense
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Population;

    fn pairs(room_size: usize, rooms_per_user: usize) -> Pairs {
        let population = Population { connections: 20_000, room_size, rooms_per_user, payload: 200 };
        Pairs::new(&Layout::new(&population))
    }

    #[test]
    fn each_fault_has_its_name() {
        let mut all = pairs(10, 1);
        let mut come = |number| all.came(0, 1, 5, number);
        assert_eq!([0, 1, 4, 3, 3, 4, 90, 5].map(&mut come), {
            use Came::{Again, Late, New};
            [New, New, New, Late(4), Again, Again, New, Late(90)]
        });
        // 2 and 6 to 89 never came, and 91 neither.
        assert_eq!(all.gaps(|_| Some(92)), [(0, 5, 1 + 84 + 1)]);
        assert_eq!(all.gaps(|_| None), [(0, 5, 1 + 84)]);
    }

    #[test]
    fn the_first_is_missed_by_the_first_connection_only() {
        let mut all = pairs(10, 1);
        all.came(0, 1, 5, 2);
        all.came(1, 2, 5, 2);
        assert_eq!(all.gaps(|_| Some(3)), [(0, 5, 2)]);
    }

    #[test]
    fn a_new_connection_begins_anew() {
        let mut all = pairs(10, 1);
        all.came(0, 1, 5, 0);
        assert_eq!(all.came(0, 2, 5, 7), Came::New);
        assert_eq!(all.gaps(|_| None), []);
    }

    #[test]
    fn too_many_pairs_are_sampled_and_said_so() {
        let all = pairs(10_000, 1);
        assert_eq!((all.every, all.not_checked().len()), (50, 1));
        assert!(pairs(10, 3).not_checked()[0].contains("several rooms"));
    }
}
