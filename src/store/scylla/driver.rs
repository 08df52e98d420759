//! What takes jobs from the shards and hands them to the bridge's thread, and what is counted.
//!
//! Unlike the embedded store's driver there is no batch that waits for the one before: the lanes of `core.rs` keep the order of each room and
//! user, and all of them go on side by side. What waits is bounded in jobs and bytes; beyond that [`Full`] is the answer at once.
//! A job is answered exactly once, on the bridge's thread.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hdrhistogram::Histogram;

use super::cql::Trouble;
use crate::metrics::counters::Latency;
use crate::store::HeldBytes;
use crate::store::driver::DriverNumbers;

/// Bounds of what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Writes that may wait or be under way.
    pub write_jobs: u64,
    /// Bytes (about) in them.
    pub write_bytes: u64,
    /// Reads that may wait or be under way.
    pub read_jobs: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { write_jobs: 65_536, write_bytes: 64 * 1024 * 1024, read_jobs: 16_384 }
    }
}

#[derive(Clone, Debug)]
struct Counted {
    commits: u64,
    commits_failed: u64,
    batch_size: Histogram<u64>,
    commit_time: Latency,
    reads: u64,
    reads_failed: u64,
    read_time: Latency,
    writes: u64,
    writes_failed: u64,
}

/// What is counted, and what waits.
#[derive(Debug)]
pub(super) struct Numbers {
    bounds: Bounds,
    counted: Mutex<Counted>,
    refused: AtomicU64,
    writes_waiting: AtomicU64,
    bytes_waiting: AtomicU64,
    reads_waiting: AtomicU64,
}

impl Numbers {
    pub(super) fn new(bounds: Bounds) -> Self {
        // The bounds are constants that the crate accepts.
        let batch_size =
            Histogram::new_with_bounds(1, 1_000_000, 2).unwrap_or_else(|_| unreachable!("constant bounds"));
        let counted = Counted {
            commits: 0,
            commits_failed: 0,
            batch_size,
            commit_time: Latency::default(),
            reads: 0,
            reads_failed: 0,
            read_time: Latency::default(),
            writes: 0,
            writes_failed: 0,
        };
        Self {
            bounds,
            counted: Mutex::new(counted),
            refused: AtomicU64::new(0),
            writes_waiting: AtomicU64::new(0),
            bytes_waiting: AtomicU64::new(0),
            reads_waiting: AtomicU64::new(0),
        }
    }

    fn counted(&self) -> std::sync::MutexGuard<'_, Counted> {
        // Nothing under this lock can break off half-way.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes place for a write of about so many bytes, if there is some.
    pub(super) fn take_write(&self, bytes: u64) -> bool {
        let jobs = self.writes_waiting.fetch_add(1, Ordering::Relaxed);
        let before = self.bytes_waiting.fetch_add(bytes, Ordering::Relaxed);
        // One that is larger than all may be goes alone.
        let fits = jobs < self.bounds.write_jobs && (before == 0 || before + bytes <= self.bounds.write_bytes);
        if !fits {
            self.writes_waiting.fetch_sub(1, Ordering::Relaxed);
            self.bytes_waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        fits
    }

    /// A write was answered.
    pub(super) fn wrote(&self, bytes: u64, failed: bool) {
        self.writes_waiting.fetch_sub(1, Ordering::Relaxed);
        self.bytes_waiting.fetch_sub(bytes, Ordering::Relaxed);
        let mut counted = self.counted();
        if failed {
            counted.writes_failed += 1;
        } else {
            counted.writes += 1;
        }
    }

    /// Makes place for a read, if there is some.
    pub(super) fn take_read(&self) -> bool {
        let fits = self.reads_waiting.fetch_add(1, Ordering::Relaxed) < self.bounds.read_jobs;
        if !fits {
            self.reads_waiting.fetch_sub(1, Ordering::Relaxed);
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        fits
    }

    /// A read was answered.
    pub(super) fn looked(&self, began: Instant, failed: bool) {
        self.reads_waiting.fetch_sub(1, Ordering::Relaxed);
        let mut counted = self.counted();
        counted.reads += 1;
        counted.reads_failed += u64::from(failed);
        counted.read_time.record(micros(began));
    }

    /// So many writes went to the database together, and were confirmed or not.
    pub(super) fn committed(&self, writes: u64, began: Instant, error: Option<&Trouble>) {
        let mut counted = self.counted();
        match error {
            None => {
                counted.commits += 1;
                counted.batch_size.saturating_record(writes);
                counted.commit_time.record(micros(began));
            }
            Some(Trouble::Away(_)) => counted.commits_failed += 1,
            Some(Trouble::Own(_)) => {}
        }
    }

    /// The numbers as they are now.
    pub(super) fn now(&self) -> DriverNumbers {
        let counted = self.counted().clone();
        DriverNumbers {
            commits: counted.commits,
            commits_failed: counted.commits_failed,
            writes: counted.writes,
            writes_failed: counted.writes_failed,
            batch_size: counted.batch_size,
            commit_time: counted.commit_time,
            reads: counted.reads,
            reads_failed: counted.reads_failed,
            read_time: counted.read_time,
            refused: self.refused.load(Ordering::Relaxed),
            writes_waiting: self.writes_waiting.load(Ordering::Relaxed),
            reads_waiting: self.reads_waiting.load(Ordering::Relaxed),
            size_bytes: 0,
            held: HeldBytes::default(),
        }
    }

    /// Jobs that are not answered yet.
    pub(super) fn waiting(&self) -> u64 {
        self.writes_waiting.load(Ordering::Relaxed) + self.reads_waiting.load(Ordering::Relaxed)
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_what_was_refused_is_counted() {
        let numbers = Numbers::new(Bounds { write_jobs: 2, write_bytes: 100, read_jobs: 1 });
        assert!(numbers.take_write(1000), "a large one goes alone");
        assert!(!numbers.take_write(1));
        numbers.wrote(1000, false);
        assert!(numbers.take_write(50) && numbers.take_write(50));
        assert!(!numbers.take_write(0), "two are enough");
        assert!(numbers.take_read());
        assert!(!numbers.take_read());
        numbers.wrote(50, true);
        numbers.looked(Instant::now(), false);
        let now = numbers.now();
        assert_eq!((now.refused, now.writes, now.writes_failed, now.reads), (3, 1, 1, 1));
        assert_eq!((now.writes_waiting, now.reads_waiting, numbers.waiting()), (1, 0, 1));
    }
}
