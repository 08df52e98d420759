//! A few threads for what is long and blocks: argon2, reading key sets. Nothing of it runs on a shard.
//!
//! Promises a bounded queue (full is an answer) and that work which panics harms nobody else.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crossbeam_channel::{Sender, bounded};

/// A piece of work. Whoever waits for its result holds the other end of a channel that it closes over.
type Work = Box<dyn FnOnce() + Send>;

/// The threads. They end when the pool is dropped and its queue is empty.
#[derive(Debug)]
pub struct Pool {
    queue: Sender<Work>,
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Pool {
    /// Starts `threads` threads before a queue of `waiting` places.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(threads: NonZeroUsize, waiting: NonZeroUsize) -> std::io::Result<Self> {
        let (queue, work) = bounded::<Work>(waiting.get());
        for n in 0..threads.get() {
            let work = work.clone();
            thread::Builder::new().name(format!("pool-{n}")).spawn(move || {
                for job in work {
                    // What the job closed over is dropped by the panic, so whoever waits for it learns of it.
                    if catch_unwind(AssertUnwindSafe(job)).is_err() {
                        tracing::error!("work on a blocking thread panicked; the message stands above on stderr");
                    }
                }
            })?;
        }
        Ok(Self { queue })
    }

    /// Gives work to the next free thread.
    ///
    /// # Errors
    /// [`Full`]: too much is waiting. The work is dropped, not done.
    pub fn run(&self, work: impl FnOnce() + Send + 'static) -> Result<(), Full> {
        self.queue.try_send(Box::new(work)).map_err(|_| Full)
    }

    /// How many pieces of work wait for a thread.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const HANG: Duration = Duration::from_mins(1);

    fn pool(threads: usize, waiting: usize) -> Pool {
        Pool::start(NonZeroUsize::new(threads).unwrap(), NonZeroUsize::new(waiting).unwrap()).unwrap()
    }

    #[test]
    fn a_panic_in_one_job_leaves_the_thread_for_the_next() {
        let pool = pool(1, 4);
        let (tx, rx) = mpsc::channel::<()>();
        pool.run(move || {
            let _tx = tx;
            panic!("on purpose");
        })
        .unwrap();
        assert_eq!(rx.recv_timeout(HANG), Err(mpsc::RecvTimeoutError::Disconnected), "who waits learns of the panic");
        let (tx, rx) = mpsc::channel();
        pool.run(move || tx.send(7).unwrap()).unwrap();
        assert_eq!(rx.recv_timeout(HANG), Ok(7));
    }

    #[test]
    fn a_full_queue_is_an_answer() {
        let pool = pool(1, 2);
        let (started, on_thread) = mpsc::channel();
        let (release, gate) = mpsc::channel::<()>();
        pool.run(move || {
            started.send(()).unwrap();
            gate.recv().unwrap();
        })
        .unwrap();
        on_thread.recv_timeout(HANG).unwrap();
        pool.run(|| ()).unwrap();
        pool.run(|| ()).unwrap();
        assert_eq!(pool.waiting(), 2);
        assert_eq!(pool.run(|| ()), Err(Full));
        release.send(()).unwrap();
    }
}
