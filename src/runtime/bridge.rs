//! The bridge to libraries that want tokio: one thread with a runtime of its own, beside the shards.
//!
//! Work is handed over as a closure that runs on that thread and may spawn tasks there; they share the thread, so their state needs no lock.
//! [`Bridge::call`] waits for an answer and is for threads that may block, never for shards. Nothing here knows what the work is.

use std::future::Future;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

type Job = Box<dyn FnOnce() + Send>;

/// The thread has ended (or never took the work), so there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the thread of the database's driver has ended")]
pub struct Gone;

/// A handle to the thread.
#[derive(Debug)]
pub struct Bridge {
    /// How much may wait is bounded by who hands work over, who knows what it weighs.
    jobs: Mutex<Option<UnboundedSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Bridge {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread, or no means to wait for sockets.
    pub fn start(name: &str) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (jobs, mut waiting) = unbounded_channel::<Job>();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let local = LocalSet::new();
            local.block_on(&runtime, async {
                while let Some(job) = waiting.recv().await {
                    job();
                }
            });
            // What was spawned and goes on by itself ends here.
            drop(local);
            runtime.shutdown_background();
        })?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)) })
    }

    /// Runs `job` on the thread, in a place where `tokio::task::spawn_local` works. Jobs run in the order given.
    ///
    /// # Errors
    /// [`Gone`]; the job was dropped.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Gone> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.as_ref().and_then(|jobs| jobs.send(Box::new(job)).ok()).ok_or(Gone)
    }

    /// Has a future run to its end on the thread, and waits for what it gives. Blocks.
    ///
    /// # Errors
    /// [`Gone`]; the future may have run or not.
    pub fn call<T, F>(&self, make: impl FnOnce() -> F + Send + 'static) -> Result<T, Gone>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (tell, told) = mpsc::sync_channel(1);
        self.run(move || {
            let future = make();
            tokio::task::spawn_local(async move {
                // Whoever asked may have ended.
                let _ = tell.send(future.await);
            });
        })?;
        told.recv().map_err(|_| Gone)
    }

    /// Takes no more work, drops what is under way, and waits until the thread has ended. May be called again.
    pub fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the database's driver ended in a panic");
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn work_runs_there_in_order_and_answers_come_back() {
        let bridge = Bridge::start("bridge").expect("a thread");
        let here = std::thread::current().id();
        let there = bridge.call(|| async { std::thread::current().id() }).expect("an answer");
        assert_ne!(here, there);
        let seen = Arc::new(AtomicUsize::new(0));
        for n in 0..10 {
            let seen = Arc::clone(&seen);
            bridge.run(move || assert_eq!(seen.swap(n + 1, Ordering::SeqCst), n)).expect("taken");
        }
        let answer = bridge.call(|| async {
            tokio::task::yield_now().await;
            17
        });
        assert_eq!((answer, seen.load(Ordering::SeqCst)), (Ok(17), 10));
    }

    #[test]
    fn who_asks_after_the_end_or_of_work_that_never_ends_is_told() {
        let bridge = Arc::new(Bridge::start("bridge").expect("a thread"));
        let (tell, told) = mpsc::channel();
        let asked = Arc::clone(&bridge);
        let waiting = std::thread::spawn(move || {
            asked.call(move || async move {
                tell.send(()).expect("heard");
                std::future::pending::<u8>().await
            })
        });
        told.recv().expect("it runs");
        bridge.close();
        assert_eq!(waiting.join().expect("no panic"), Err(Gone));
        assert_eq!(bridge.run(|| {}), Err(Gone));
        bridge.close();
    }
}
