//! For servers that number nothing: what each receiver got of each sender in each room, by the sender's own counter of that room.
//!
//! A sender's messages into one room have dense numbers (they stand in the text), so that a hole is a loss, and is named. There would
//! be a hundred million pairs in a room of 10,000: above [`PAIRS_MAX`] only some receivers are looked at.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

pub use super::spot::Came;
use super::spot::Spot;
use crate::layout::Layout;

/// Pairs that are kept, some sixty bytes each.
pub const PAIRS_MAX: u64 = 3_000_000;

/// What the receivers of one thread got.
#[derive(Debug, Default)]
pub struct Pairs {
    tracks: HashMap<Pair, Track>,
    /// One receiver of so many is looked at.
    every: u32,
}

/// Whose messages to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    /// Who gets them.
    pub receiver: u32,
    /// Number of the room.
    pub room: u32,
    /// Whose they are.
    pub sender: u32,
}

/// What one receiver got of one sender in one room. The places are the sender's numbers and one more.
#[derive(Clone, Debug)]
struct Track {
    spot: Spot,
    /// Of the receiver's connection.
    generation: u32,
    /// What was before this number is not awaited.
    first: u32,
}

/// Messages that never came: numbers of the sender in the room, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// Whose to whom.
    pub pair: Pair,
    /// The first.
    pub first: u32,
    /// The last.
    pub last: u32,
}

impl Track {
    /// A track on which `number` comes next. The first connection of a receiver had to get all, one that came later what came after.
    fn new(generation: u32, number: u32) -> Self {
        let first = if generation <= 1 { 0 } else { number };
        let mut spot = Spot::default();
        spot.begin(u64::from(first), 0);
        Self { spot, generation, first }
    }

    fn came(&mut self, number: u32) -> Came {
        if number < self.first {
            return Came::Late(u64::from(self.first));
        }
        match self.spot.event(u64::from(number) + 1) {
            Came::Late(after) => Came::Late(after - 1),
            other => other,
        }
    }
}

impl Pairs {
    /// Nothing has come yet.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        let pairs: u64 = (0..layout.rooms()).map(|room| (layout.members(room).len() as u64).pow(2)).sum();
        let every = u32::try_from(pairs.div_ceil(PAIRS_MAX)).unwrap_or(u32::MAX).max(1);
        Self { tracks: HashMap::new(), every }
    }

    /// What cannot be found, in words.
    #[must_use]
    pub fn not_checked(&self) -> Option<String> {
        let some = self.every > 1;
        some.then(|| format!("gaps, duplicates and disorder of all receivers: one in {} was looked at", self.every))
    }

    /// A message came. `generation` counts the receiver's connections: without a promise to resume, a new one begins anew. `number`
    /// counts what the sender sent into the room, and so does what [`Came::Late`] names.
    pub fn came(&mut self, receiver: u32, generation: u32, sender: u32, room: u32, number: u32) -> Came {
        if !self.looks_at(receiver) {
            return Came::New;
        }
        match self.tracks.entry(Pair { receiver, room, sender }) {
            Entry::Vacant(entry) => entry.insert(Track::new(generation, number)).came(number),
            Entry::Occupied(entry) => {
                let track = entry.into_mut();
                if track.generation != generation {
                    *track = Track::new(generation, number);
                }
                track.came(number)
            }
        }
    }

    /// What of a sender's first `sent` messages in a room never came to this receiver (0: what is missing before the last that came,
    /// where nobody here knows how many there were).
    pub fn gaps(&self, pair: Pair, sent: u32) -> Vec<Gap> {
        let gap = |(first, last): (u64, u64)| {
            let number = |place: u64| u32::try_from(place - 1).unwrap_or(u32::MAX);
            Gap { pair, first: number(first), last: number(last) }
        };
        match self.tracks.get(&pair) {
            Some(track) => track.spot.missing(u64::from(sent).max(track.spot.newest())).map(gap).collect(),
            None if sent > 0 => vec![gap((1, u64::from(sent)))],
            None => Vec::new(),
        }
    }

    /// Who of the receivers is looked at.
    #[must_use]
    pub fn looks_at(&self, receiver: u32) -> bool {
        receiver.is_multiple_of(self.every)
    }

    /// Whether anything of this sender came to this receiver in this room.
    #[must_use]
    pub fn has(&self, pair: Pair) -> bool {
        self.tracks.contains_key(&pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Population;

    /// What user 5 said to user 0.
    const PAIR: Pair = Pair { receiver: 0, room: 7, sender: 5 };

    fn pairs(room_size: usize) -> Pairs {
        let population = Population { connections: 20_000, room_size, rooms_per_user: 1, payload: 200 };
        Pairs::new(&Layout::new(&population))
    }

    fn missing(all: &Pairs, sent: u32) -> Vec<(u32, u32)> {
        all.gaps(PAIR, sent).into_iter().map(|gap| (gap.first, gap.last)).collect()
    }

    #[test]
    fn each_fault_has_its_name() {
        let mut all = pairs(10);
        let mut come = |number| all.came(0, 1, 5, 7, number);
        assert_eq!([0, 1, 4, 3, 3, 4, 90, 5].map(&mut come), {
            use Came::{Again, Late, New};
            [New, New, New, Late(4), Again, Again, New, Late(90)]
        });
        assert_eq!(missing(&all, 92), [(2, 2), (6, 89), (91, 91)]);
        assert_eq!(missing(&all, 0), [(2, 2), (6, 89)]);
    }

    #[test]
    fn each_room_is_counted_by_itself() {
        let mut all = pairs(10);
        assert_eq!([0, 1, 3].map(|number| all.came(0, 1, 5, 7, number)), [Came::New; 3]);
        assert_eq!([0, 1].map(|number| all.came(0, 1, 5, 8, number)), [Came::New; 2]);
        assert_eq!(missing(&all, 4), [(2, 2)]);
        assert_eq!(all.gaps(Pair { room: 8, ..PAIR }, 2), []);
        assert!(all.has(PAIR) && !all.has(Pair { room: 9, ..PAIR }));
        assert_eq!(all.gaps(Pair { room: 9, ..PAIR }, 3).iter().map(|gap| gap.last).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn the_first_is_missed_by_the_first_connection_only() {
        let mut all = pairs(10);
        all.came(0, 1, 5, 7, 2);
        all.came(1, 2, 5, 7, 2);
        assert_eq!(missing(&all, 3), [(0, 1)]);
        assert_eq!(all.gaps(Pair { receiver: 1, ..PAIR }, 3), []);
    }

    #[test]
    fn a_new_connection_begins_anew() {
        let mut all = pairs(10);
        all.came(0, 1, 5, 7, 0);
        assert_eq!(all.came(0, 2, 5, 7, 7), Came::New);
        assert_eq!(missing(&all, 0), []);
        assert_eq!(all.came(0, 2, 5, 7, 6), Came::Late(7), "what it began with was not the next");
    }

    #[test]
    fn too_many_pairs_are_sampled_and_said_so() {
        let all = pairs(10_000);
        assert_eq!((all.every, all.not_checked().is_some()), (67, true));
        assert_eq!(pairs(10).not_checked(), None);
    }
}
