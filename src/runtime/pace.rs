//! How soon a connection that was just written to is written to again.
//!
//! A write costs some microseconds however much is in it, so frames that share a write are nearly free. While a shard has little to write
//! nothing waits: its share of time spent writing is small and [`Pace::wait_us`] is 0. As that share grows, a connection that was
//! written to a moment ago waits for a few milliseconds, and what comes for it meanwhile goes out in the same record and write. Only
//! connections with many messages a second ever meet it; one with ten a second has not been written to for long. Promises that the wait is
//! 0 below a quarter of the core, never above the bound it was given, and changes by half at most from window to window. Does no IO.

use crate::base::Moment;

/// The share of time is measured over so long, in microseconds.
const WINDOW_US: u64 = 50_000;
/// Below this share of time spent writing, in thousandths, nobody waits.
const FREE_SHARE: u64 = 250;

/// The pace of one shard's writes.
#[derive(Debug)]
pub(super) struct Pace {
    max_us: u64,
    begun: Moment,
    spent_us: u64,
    wait_us: u64,
}

impl Pace {
    /// Waits of at most `max_us` microseconds; 0 switches it off.
    pub(super) fn new(max_us: u64) -> Self {
        Self { max_us, begun: Moment(0), spent_us: 0, wait_us: 0 }
    }

    /// A turn that ended `now` spent `us` microseconds writing.
    pub(super) fn spent(&mut self, us: u64, now: Moment) {
        self.spent_us += us;
        let window = now.micros_since(self.begun);
        if window < WINDOW_US {
            return;
        }
        let share = (self.spent_us.saturating_mul(1000) / window).min(1000);
        // The whole bound when nothing but writing is done.
        let wanted = if share <= FREE_SHARE { 0 } else { self.max_us * share / 1000 };
        // An idle time in between says nothing of now: half of it is forgotten, as by any other window.
        self.wait_us = u64::midpoint(self.wait_us, wanted);
        if self.wait_us < 1000 {
            // A timer would not be more exact.
            self.wait_us = 0;
        }
        self.spent_us = 0;
        self.begun = now;
    }

    /// So long after its last write a connection is written to again, in microseconds.
    pub(super) fn wait_us(&self) -> u64 {
        self.wait_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows in which this share (in percent) is spent writing.
    fn after(pace: &mut Pace, now: &mut u64, percent: u64, windows: u64) -> u64 {
        for _ in 0..windows {
            *now += WINDOW_US;
            pace.spent(WINDOW_US * percent / 100, Moment(*now));
        }
        pace.wait_us()
    }

    #[test]
    fn nobody_waits_while_there_is_little_to_write_and_the_wait_grows_with_the_load() {
        let (mut pace, mut now) = (Pace::new(40_000), 0);
        assert_eq!(after(&mut pace, &mut now, 20, 20), 0);
        let half = after(&mut pace, &mut now, 50, 20);
        assert!((19_000..=20_000).contains(&half), "{half}");
        let all = after(&mut pace, &mut now, 100, 20);
        assert!((39_000..=40_000).contains(&all), "{all}");
        assert_eq!(after(&mut pace, &mut now, 0, 20), 0, "and goes away with it");
    }

    #[test]
    fn a_single_long_write_makes_nobody_wait_for_long() {
        let (mut pace, mut now) = (Pace::new(40_000), 0);
        after(&mut pace, &mut now, 0, 5);
        assert_eq!(after(&mut pace, &mut now, 100, 1), 20_000);
        assert_eq!(after(&mut pace, &mut now, 0, 5), 0);
    }

    #[test]
    fn switched_off_it_is_off() {
        let (mut pace, mut now) = (Pace::new(0), 0);
        assert_eq!(after(&mut pace, &mut now, 100, 20), 0);
    }
}
