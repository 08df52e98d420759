//! Both clocks of the process, read by the shell and handed to the pure half.
//!
//! Promises that the monotonic clock starts at 0 with the process and never goes back. The wall clock may jump; nothing measures with it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::base::time::Now;
use crate::base::{Moment, WallTime};

/// Both clocks. A copy counts from the same start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose [`Moment`] 0 is now. One a process: moments of two clocks cannot be compared.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The monotonic clock.
    #[must_use]
    pub fn mono(&self) -> Moment {
        Moment(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Both.
    #[must_use]
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: self.mono(), wall: WallTime(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_count_from_the_same_start_and_never_back() {
        let clock = Clock::start();
        let copy = clock;
        let mut last = clock.mono();
        for turn in 0..1000 {
            let now = if turn % 2 == 0 { clock.mono() } else { copy.mono() };
            assert!(now >= last);
            last = now;
        }
        assert!(clock.now().wall > WallTime(1_600_000_000_000), "milliseconds since 1970, not seconds");
    }
}
