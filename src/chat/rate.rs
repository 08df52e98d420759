//! A token bucket that may be told of what was spent elsewhere.
//!
//! Each shard on which a user is connected holds a whole bucket and is told of what the others took from theirs, so that a
//! user cannot send faster by opening more connections: the overshoot is at most one burst a shard.

use crate::base::Moment;

/// A token bucket. Times are handed in; they may not run backwards (an earlier one counts as the latest seen).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Millionths of a token. Below zero when more was spent elsewhere than was here.
    micro: i64,
    at: Moment,
    per_second: u32,
    burst: u32,
}

const ONE: i64 = 1_000_000;

impl Bucket {
    /// A full bucket: `per_second` tokens flow in each second, `burst` fit.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, now: Moment) -> Self {
        Self { micro: i64::from(burst) * ONE, at: now, per_second, burst }
    }

    fn refill(&mut self, now: Moment) {
        let passed = i64::try_from(now.micros_since(self.at)).unwrap_or(i64::MAX);
        // A token a second is one millionth a microsecond.
        let came = passed.saturating_mul(i64::from(self.per_second));
        self.micro = self.micro.saturating_add(came).min(i64::from(self.burst) * ONE);
        self.at = self.at.max(now);
    }

    /// Takes one token.
    ///
    /// # Errors
    /// There is none; one will be there in so many milliseconds.
    pub fn take(&mut self, now: Moment) -> Result<(), u64> {
        self.refill(now);
        if self.micro >= ONE {
            self.micro -= ONE;
            return Ok(());
        }
        let missing = u64::try_from(ONE - self.micro).unwrap_or(0);
        Err(missing.div_ceil(u64::from(self.per_second.max(1))).div_ceil(1000).max(1))
    }

    /// `n` tokens were taken elsewhere. The debt is at most one burst.
    pub fn debit(&mut self, n: u32, now: Moment) {
        self.refill(now);
        self.micro = self.micro.saturating_sub(i64::from(n) * ONE).max(-i64::from(self.burst) * ONE);
    }

    /// Whether it is full, so that forgetting it changes nothing.
    #[must_use]
    pub fn full(&self, now: Moment) -> bool {
        let mut copy = *self;
        copy.refill(now);
        copy.micro >= i64::from(self.burst) * ONE
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = Bucket::new(10, 20, Moment(0));
        for _ in 0..20 {
            assert_eq!(bucket.take(Moment(0)), Ok(()));
        }
        assert_eq!(bucket.take(Moment(0)), Err(100));
        assert_eq!(bucket.take(Moment(50_000)), Err(50));
        assert_eq!(bucket.take(Moment(100_000)), Ok(()));
    }

    #[test]
    fn what_was_spent_elsewhere_is_missing_here_but_at_most_a_burst() {
        let mut bucket = Bucket::new(10, 20, Moment(0));
        bucket.debit(1000, Moment(0));
        assert_eq!(bucket.take(Moment(0)), Err(2100));
        assert_eq!(bucket.take(Moment(2_100_000)), Ok(()));
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate(steps in proptest::collection::vec(0u64..300_000, 1..200)) {
            let mut bucket = Bucket::new(10, 20, Moment(0));
            let (mut now, mut taken) = (0u64, 0u64);
            for step in steps {
                now += step;
                if bucket.take(Moment(now)).is_ok() {
                    taken += 1;
                }
                prop_assert!(taken <= 20 + now * 10 / 1_000_000);
            }
        }

        #[test]
        fn the_wait_told_is_enough(before in 0u64..40, pause in 0u64..500_000) {
            let mut bucket = Bucket::new(10, 20, Moment(0));
            for _ in 0..before {
                let _ = bucket.take(Moment(0));
            }
            if let Err(wait_ms) = bucket.take(Moment(pause)) {
                prop_assert_eq!(bucket.take(Moment(pause).plus_ms(wait_ms)), Ok(()));
            }
        }
    }
}
