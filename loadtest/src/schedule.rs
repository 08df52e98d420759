//! When things are meant to happen: times of arrivals, worked out before anything is sent, so that nothing that happens can delay them. Pure.

use crate::plan::split_mix;
use crate::scenario::{Messages, Shape};

/// A second, in the unit of all times here: nanoseconds.
pub const SECOND: u64 = 1_000_000_000;

/// The times of a kind of arrival within a phase, ascending, in nanoseconds after its start.
#[derive(Clone, Debug)]
pub struct Arrivals {
    how: How,
    seconds: f64,
    /// How many came.
    count: u64,
    /// The last one, in seconds.
    last: f64,
    state: u64,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Even { rate: f64 },
    Poisson { rate: f64 },
    Ramp { from: f64, to: f64 },
    Burst { size: u32, every: f64 },
}

impl Arrivals {
    /// Messages of a phase of so many seconds.
    #[must_use]
    pub fn of(messages: &Messages, seconds: f64, seed: u64) -> Self {
        let how = match messages.shape {
            Shape::Constant => How::Even { rate: messages.rate },
            Shape::Poisson => How::Poisson { rate: messages.rate },
            Shape::Ramp => How::Ramp { from: messages.rate, to: messages.to.unwrap_or_default() },
            Shape::Burst => {
                How::Burst { size: messages.burst.unwrap_or(1), every: messages.every.unwrap_or(1.0).max(1e-6) }
            }
        };
        Self { how, seconds, count: 0, last: 0.0, state: seed }
    }

    /// What other requests do: they come as from independent people.
    #[must_use]
    pub fn poisson(rate: f64, seconds: f64, seed: u64) -> Self {
        Self { how: How::Poisson { rate }, seconds, count: 0, last: 0.0, state: seed }
    }
}

impl Iterator for Arrivals {
    type Item = u64;

    #[allow(clippy::cast_precision_loss)] // far fewer arrivals than 2^52
    fn next(&mut self) -> Option<u64> {
        let count = self.count as f64;
        let at = match self.how {
            How::Even { rate } if rate > 0.0 => count / rate,
            How::Poisson { rate } if rate > 0.0 => {
                self.state = split_mix(self.state);
                // Above 0 and at most 1, so that the logarithm is finite.
                let chance = ((self.state >> 11) + 1) as f64 / (1u64 << 53) as f64;
                self.last - chance.ln() / rate
            }
            // The area below the line from the start to the moment is how many came by then.
            How::Ramp { from, to } => {
                let slope = (to - from) / self.seconds;
                if slope.abs() < 1e-9 {
                    count / from
                } else {
                    let root = from * from + 2.0 * slope * count;
                    if root < 0.0 {
                        return None;
                    }
                    (root.sqrt() - from) / slope
                }
            }
            How::Burst { size, every } => (self.count / u64::from(size)) as f64 * every,
            How::Even { .. } | How::Poisson { .. } => return None,
        };
        // Not a number: a ramp from 0 to 0.
        if at.is_nan() || at >= self.seconds {
            return None;
        }
        self.count += 1;
        self.last = at;
        Some(nanos(at))
    }
}

/// Seconds as nanoseconds.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked to be positive, and saturating
pub fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(messages: &Messages, seconds: f64) -> Vec<u64> {
        let all: Vec<u64> = Arrivals::of(messages, seconds, 7).collect();
        assert!(all.is_sorted(), "{messages:?}");
        assert!(all.iter().all(|&at| at < nanos(seconds)));
        all
    }

    #[test]
    fn constant_arrivals_are_even() {
        let all = times(&Messages::constant(200.0), 60.0);
        assert_eq!((all.len(), all[0], all[200]), (12_000, 0, SECOND));
    }

    #[test]
    fn independent_arrivals_spread_as_the_seed_says() {
        let messages = Messages { shape: Shape::Poisson, ..Messages::constant(1000.0) };
        let all = times(&messages, 100.0);
        // The standard deviation of the count is √100,000 = 316; five of them.
        assert!((98_400..101_600).contains(&all.len()), "{}", all.len());
        // e⁻¹ of the distances are longer than their mean.
        let long = all.windows(2).filter(|pair| pair[1] - pair[0] > SECOND / 1000).count();
        #[allow(clippy::cast_precision_loss)]
        let share = long as f64 / all.len() as f64;
        assert!((share - 0.3679).abs() < 0.01, "{share}");
        assert_eq!(all, times(&messages, 100.0));
        let other: Vec<u64> = Arrivals::of(&messages, 100.0, 8).collect();
        assert_ne!(all, other);
    }

    #[test]
    fn a_ramp_grows_evenly_both_ways() {
        let ramp = |from, to| Messages { shape: Shape::Ramp, to: Some(to), ..Messages::constant(from) };
        let up = times(&ramp(0.0, 100.0), 10.0);
        // Half the base times the height, and a quarter of it in the first half.
        assert_eq!((up.len(), up.iter().filter(|&&at| at < 5 * SECOND).count()), (500, 125));
        let down = times(&ramp(100.0, 0.0), 10.0);
        assert!((499..=501).contains(&down.len()), "{}", down.len());
        assert!((374..=376).contains(&down.iter().filter(|&&at| at < 5 * SECOND).count()));
        assert_eq!(times(&ramp(50.0, 50.0), 10.0).len(), 500);
        assert_eq!(times(&ramp(0.0, 0.0), 10.0).len(), 0);
    }

    #[test]
    fn bursts_come_at_once() {
        let burst = Messages { shape: Shape::Burst, burst: Some(50), every: Some(2.0), ..Messages::constant(0.0) };
        let all = times(&burst, 5.0);
        assert_eq!((all.len(), all[0], all[49], all[50], all[149]), (150, 0, 0, 2 * SECOND, 4 * SECOND));
    }

    #[test]
    fn without_a_rate_nothing_comes() {
        assert_eq!(Arrivals::poisson(0.0, 10.0, 1).count(), 0);
    }
}
