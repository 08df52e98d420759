//! How far two clocks lie apart, from an exchange of times. Pure.
//!
//! A asks, B answers with its time: B read its clock somewhere between A's asking and A's hearing. Taken as the middle, the error is
//! at most half of the time that the exchange took; so of many exchanges the shortest says most.

use std::time::Duration;

/// One exchange; each time in nanoseconds of whoever's clock it is.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// When A asked, by A's clock.
    pub asked: u64,
    /// What B's clock said.
    pub theirs: u64,
    /// When A heard it, by A's clock.
    pub heard: u64,
}

/// How B's clock stands to A's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offset {
    /// What has to be added to A's time to get B's, in nanoseconds.
    pub nanos: i64,
    /// How far that may be wrong, in nanoseconds, either way.
    pub error: u64,
}

impl Offset {
    /// From the shortest of some exchanges. `None` when there is none.
    #[must_use]
    pub fn of(exchanges: &[Exchange]) -> Option<Self> {
        let best = exchanges.iter().min_by_key(|one| one.heard.saturating_sub(one.asked))?;
        let round_trip = best.heard.saturating_sub(best.asked);
        let middle = best.asked + round_trip / 2;
        let nanos = i128::from(best.theirs) - i128::from(middle);
        // Rounded up: the half of an odd number, too.
        Some(Self { nanos: i64::try_from(nanos).unwrap_or_default(), error: round_trip.div_ceil(2) })
    }

    /// A's moment by B's clock.
    #[must_use]
    pub fn to_theirs(self, ours: u64) -> u64 {
        ours.saturating_add_signed(self.nanos)
    }

    /// How far the clocks moved against each other between this and a later look, at most: what is seen and what both may be wrong.
    #[must_use]
    pub fn moved(self, later: Self) -> Duration {
        let seen = self.nanos.abs_diff(later.nanos);
        Duration::from_nanos(seen.saturating_add(self.error).saturating_add(later.error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_exchange_says_most() {
        let (near, far) = (
            Exchange { asked: 1_000, theirs: 501_100, heard: 1_200 },
            Exchange { asked: 5_000, theirs: 509_000, heard: 15_000 },
        );
        assert_eq!(Offset::of(&[far, near, far]), Some(Offset { nanos: 500_000, error: 100 }));
        assert_eq!(Offset::of(&[]), None);
    }

    #[test]
    fn the_truth_lies_within_the_error() {
        // B is 700 behind; the ways there and back take what they take.
        for (there, back) in [(1, 1), (1, 999), (999, 1), (0, 7)] {
            let asked = 10_000;
            let one = Exchange { asked, theirs: asked + there - 700, heard: asked + there + back };
            let offset = Offset::of(&[one]).unwrap();
            assert!(offset.nanos.abs_diff(-700) <= offset.error, "{there}/{back}: {offset:?}");
            assert!(offset.to_theirs(asked).abs_diff(asked - 700) <= offset.error);
        }
    }

    #[test]
    fn a_drift_is_what_is_seen_and_what_may_be_wrong() {
        let (first, last) = (Offset { nanos: -50, error: 10 }, Offset { nanos: 950, error: 20 });
        assert_eq!(first.moved(last), Duration::from_nanos(1_030));
    }
}
