//! The threads in front of a backend: one writer with group commit, a few readers, bounded queues between.
//!
//! The writer takes all that is queued (up to a bound), has the backend make it durable in one go, and answers each job; what
//! arrives meanwhile is the next batch. So batches grow with the load and nobody waits for a timer. Promises: the jobs of one
//! submitter take effect in the order submitted (reads among themselves and against writes do not: a read sees what was durable
//! when it began); every accepted job is answered exactly once, also when the backend panics; a full queue answers
//! [`Full`] at once. Answers are called on the driver's threads and must be short.

pub mod priority;
mod queue;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use hdrhistogram::Histogram;

use self::queue::Queue;
use super::{Answer, Backend, Failure, HeldBytes, Outcome, Query, Write};
use crate::metrics::counters::Latency;
use crate::shard::{StoreOp, StoreResult};

/// Needs a right that most processes do not have; without it everything works, with a longer tail.
const WRITER_NICE: i32 = -5;

/// How an answer leaves. Called once, on a thread of the driver; a short call that does not block.
pub type Done = Box<dyn FnOnce(StoreResult) + Send>;

/// Why a job was not accepted; its `done` will not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// As much is waiting as may wait. The same may go through a moment later.
    #[error("the store's queue is full")]
    Queue,
    /// [`Driver::drain`] was called.
    #[error("the store is shutting down")]
    Stopped,
}

/// Bounds of queues and batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverSettings {
    /// Writes that may wait.
    pub write_jobs: usize,
    /// Bytes (about) that may wait in writes.
    pub write_bytes: usize,
    /// Writes in one commit.
    pub batch_jobs: usize,
    /// Bytes (about) in one commit; a larger write goes alone.
    pub batch_bytes: usize,
    /// Reads that may wait.
    pub read_jobs: usize,
    /// Threads that read.
    pub readers: usize,
}

impl Default for DriverSettings {
    fn default() -> Self {
        Self {
            write_jobs: 65_536,
            write_bytes: 64 * 1024 * 1024,
            batch_jobs: 4096,
            batch_bytes: 4 * 1024 * 1024,
            read_jobs: 16_384,
            readers: 2,
        }
    }
}

/// What the driver has counted since the start.
#[derive(Clone, Debug)]
pub struct DriverNumbers {
    /// Commits that became durable.
    pub commits: u64,
    /// Commits that failed as a whole.
    pub commits_failed: u64,
    /// Writes answered with an outcome.
    pub writes: u64,
    /// Writes answered with a failure.
    pub writes_failed: u64,
    /// Writes in a commit.
    pub batch_size: Histogram<u64>,
    /// From the batch being closed to its being durable.
    pub commit_time: Latency,
    /// Reads answered.
    pub reads: u64,
    /// Reads that failed.
    pub reads_failed: u64,
    /// Time of a read, without its waiting.
    pub read_time: Latency,
    /// Jobs refused because a queue was full.
    pub refused: u64,
    /// Writes waiting now.
    pub writes_waiting: u64,
    /// Reads waiting now.
    pub reads_waiting: u64,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// What the backend holds in memory.
    pub held: HeldBytes,
}

#[derive(Clone, Debug)]
struct Counted {
    commits: u64,
    commits_failed: u64,
    writes: u64,
    writes_failed: u64,
    batch_size: Histogram<u64>,
    commit_time: Latency,
}

#[derive(Clone, Debug, Default)]
struct Looked {
    reads: u64,
    reads_failed: u64,
    read_time: Latency,
}

struct Job<T> {
    what: T,
    done: Done,
}

struct Shared {
    backend: Arc<dyn Backend>,
    settings: DriverSettings,
    writes: Queue<Job<Write>>,
    reads: Queue<Job<Query>>,
    refused: AtomicU64,
    counted: Mutex<Counted>,
    looked: Mutex<Looked>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A handle to the store's threads. Cheap to clone, may be used from anywhere.
#[derive(Clone)]
pub struct Driver {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl Driver {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(backend: Arc<dyn Backend>, settings: DriverSettings) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            backend,
            settings,
            writes: Queue::new(settings.write_jobs, settings.write_bytes),
            reads: Queue::new(settings.read_jobs, usize::MAX),
            refused: AtomicU64::new(0),
            counted: Mutex::new(Counted::default()),
            looked: Mutex::new(Looked::default()),
            threads: Mutex::new(Vec::new()),
        });
        let driver = Self { shared: Arc::clone(&shared) };
        let started = driver.start_threads();
        if started.is_err() {
            driver.drain();
        }
        started.map(|()| driver)
    }

    fn start_threads(&self) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let writer = std::thread::Builder::new().name("store-writer".to_owned());
        self.keep(writer.spawn(move || {
            // When the cores are busy, the writer's turn decides how long everybody waits for an ack.
            priority::nice(WRITER_NICE);
            priority::slice(priority::Slice::Writer);
            shared.write_batches();
        })?);
        for n in 0..self.shared.settings.readers.max(1) {
            let shared = Arc::clone(&self.shared);
            let reader = std::thread::Builder::new().name(format!("store-reader-{n}"));
            self.keep(reader.spawn(move || shared.read_each())?);
        }
        Ok(())
    }

    fn keep(&self, thread: JoinHandle<()>) {
        locked(&self.shared.threads).push(thread);
    }

    /// Queues a job. `done` is called once, with a [`StoreResult::Written`] for a write and a [`StoreResult::Read`] for a read.
    ///
    /// # Errors
    /// The queue is full, or the driver is drained: `done` will not be called.
    pub fn submit(&self, op: StoreOp, done: Done) -> Result<(), Full> {
        let shared = &*self.shared;
        let result = match op {
            StoreOp::Write(what) => shared.writes.push(weight(&what), Job { what, done }),
            StoreOp::Read(what) => shared.reads.push(0, Job { what, done }),
        };
        if result == Err(Full::Queue) {
            shared.refused.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// Takes nothing new, finishes and answers all that is queued, and ends the threads. Blocks; may be called again.
    pub fn drain(&self) {
        let shared = &*self.shared;
        shared.writes.end();
        shared.reads.end();
        let threads: Vec<_> = locked(&shared.threads).drain(..).collect();
        let me = std::thread::current().id();
        for thread in threads {
            if thread.thread().id() != me && thread.join().is_err() {
                tracing::error!("a thread of the store ended in a panic");
            }
        }
    }

    /// The store itself, for its keyed hashes. Its blocking verbs are called by the driver only.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.shared.backend
    }

    /// The numbers as they are now.
    #[must_use]
    pub fn numbers(&self) -> DriverNumbers {
        let shared = &*self.shared;
        let size_bytes = shared.backend.size_bytes();
        let held = shared.backend.held_bytes();
        let counted = locked(&shared.counted).clone();
        let looked = locked(&shared.looked).clone();
        DriverNumbers {
            commits: counted.commits,
            commits_failed: counted.commits_failed,
            writes: counted.writes,
            writes_failed: counted.writes_failed,
            batch_size: counted.batch_size,
            commit_time: counted.commit_time,
            reads: looked.reads,
            reads_failed: looked.reads_failed,
            read_time: looked.read_time,
            refused: shared.refused.load(Ordering::Relaxed),
            writes_waiting: shared.writes.len() as u64,
            reads_waiting: shared.reads.len() as u64,
            size_bytes,
            held,
        }
    }
}

impl Shared {
    fn write_batches(&self) {
        let DriverSettings { batch_jobs, batch_bytes, .. } = self.settings;
        let (mut jobs, mut answers) = (Vec::new(), Vec::new());
        while let Some(bytes) = self.writes.take(batch_jobs, batch_bytes, &mut jobs) {
            let mut batch = Vec::with_capacity(jobs.len());
            for Job { what, done } in jobs.drain(..) {
                batch.push(what);
                answers.push(done);
            }
            self.commit(batch, &mut answers);
            self.writes.release(bytes);
        }
    }

    fn commit(&self, batch: Vec<Write>, answers: &mut Vec<Done>) {
        let size = batch.len();
        let began = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| self.backend.write_each(batch))).unwrap_or_else(|_| {
            Err(Failure::Unavailable("the store broke off in the middle of a batch; see the log".to_owned()))
        });
        let took = micros(began);
        let results: Vec<Result<Outcome, Failure>> = match result {
            Ok(results) if results.len() == size => {
                let failed = results.iter().filter(|result| result.is_err()).count() as u64;
                let mut counted = locked(&self.counted);
                counted.commits += 1;
                counted.writes += size as u64 - failed;
                counted.writes_failed += failed;
                counted.batch_size.saturating_record(size as u64);
                counted.commit_time.record(took);
                results
            }
            other => {
                let why =
                    other.err().unwrap_or_else(|| Failure::Misuse("the backend lost count of a batch".to_owned()));
                tracing::error!(writes = size, "a batch could not be made durable: {why}");
                let mut counted = locked(&self.counted);
                counted.commits_failed += 1;
                counted.writes_failed += size as u64;
                vec![Err(why); size]
            }
        };
        for (done, result) in answers.drain(..).zip(results) {
            answer(done, StoreResult::Written(result));
        }
    }

    fn read_each(&self) {
        let mut jobs = Vec::new();
        while self.reads.take(1, usize::MAX, &mut jobs).is_some() {
            let Some(job) = jobs.pop() else { continue };
            let began = Instant::now();
            let result: Result<Answer, Failure> = catch_unwind(AssertUnwindSafe(|| self.backend.read(&job.what)))
                .unwrap_or_else(|_| {
                    Err(Failure::Damaged("a read broke off; see the log, and run `causerie check --data`".to_owned()))
                });
            {
                let mut looked = locked(&self.looked);
                looked.reads += 1;
                looked.reads_failed += u64::from(result.is_err());
                looked.read_time.record(micros(began));
            }
            answer(job.done, StoreResult::Read(result));
        }
    }
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            commits: 0,
            commits_failed: 0,
            writes: 0,
            writes_failed: 0,
            // The bounds are constants that the crate accepts.
            batch_size: Histogram::new_with_bounds(1, 1_000_000, 2).unwrap_or_else(|_| unreachable!("constant bounds")),
            commit_time: Latency::default(),
        }
    }
}

fn answer(done: Done, result: StoreResult) {
    if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
        tracing::error!("whoever waited for the store panicked when it was answered");
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing under these locks can break off half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// About how many bytes a write holds.
pub(super) fn weight(write: &Write) -> usize {
    match write {
        Write::Room(room) => {
            256 + room.events.iter().chain(&room.rewritten).map(crate::base::Event::weight).sum::<usize>()
                + room.answered.len() * 64
                + room.members.iter().map(|member| 64 + member.intervals.len() * 24).sum::<usize>()
                + room.record.as_ref().map_or(0, |r| 160 + r.name.len() + r.description.len() + r.metadata.len())
        }
        Write::User(user) => {
            512 + user.sessions.len() * 400 + user.devices.len() * 64 + user.stream.len() * 80 + user.cursors.len() * 56
        }
        Write::RotateRefresh { .. } => 256,
        // Reads and removes about this much for every event.
        Write::Trim { limit, .. } => 64 + limit.saturating_mul(256),
        Write::Setting { name, value } => 64 + name.len() + value.as_ref().map_or(0, Vec::len),
    }
}

#[cfg(test)]
mod tests;
