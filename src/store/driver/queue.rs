//! A bounded queue whose takers sleep. A channel that spins and yields before it sleeps costs a writer that is woken for every commit more than the
//! queue itself; and one lock for the jobs, the bytes and the end leaves no moment between them.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};

use super::{Full, locked};

#[derive(Debug)]
struct State<T> {
    jobs: VecDeque<(usize, T)>,
    /// Of what waits and of what was taken and not [`Queue::release`]d.
    bytes: usize,
    /// Threads that sleep.
    asleep: usize,
    ended: bool,
}

/// A queue with room for so many jobs and so many bytes.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    /// Something was queued, or it ended.
    news: Condvar,
    jobs_max: usize,
    bytes_max: usize,
}

impl<T> Queue<T> {
    pub(super) fn new(jobs_max: usize, bytes_max: usize) -> Self {
        let state = State { jobs: VecDeque::new(), bytes: 0, asleep: 0, ended: false };
        Self { state: Mutex::new(state), news: Condvar::new(), jobs_max: jobs_max.max(1), bytes_max }
    }

    /// Queues a job of about `bytes` bytes. One always fits, however large: a queue that can never take it would not be "full".
    pub(super) fn push(&self, bytes: usize, job: T) -> Result<(), Full> {
        let mut state = locked(&self.state);
        if state.ended {
            return Err(Full::Stopped);
        }
        let too_many_bytes = state.bytes > 0 && state.bytes.saturating_add(bytes) > self.bytes_max;
        if state.jobs.len() >= self.jobs_max || too_many_bytes {
            return Err(Full::Queue);
        }
        state.bytes += bytes;
        state.jobs.push_back((bytes, job));
        let wake = state.asleep > 0;
        drop(state);
        if wake {
            self.news.notify_one();
        }
        Ok(())
    }

    /// Waits for jobs and moves them to `into`, oldest first: one, and as many more as keep within both bounds. Gives their bytes; `None` when
    /// the queue has ended and nothing is left.
    pub(super) fn take(&self, jobs_max: usize, bytes_max: usize, into: &mut Vec<T>) -> Option<usize> {
        let mut state = locked(&self.state);
        while state.jobs.is_empty() {
            if state.ended {
                return None;
            }
            state.asleep += 1;
            state = self.news.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
            state.asleep -= 1;
        }
        let (mut taken, mut bytes) = (0, 0);
        while let Some(&(next, _)) = state.jobs.front() {
            if taken > 0 && (taken >= jobs_max || bytes + next > bytes_max) {
                break;
            }
            let Some((_, job)) = state.jobs.pop_front() else { break };
            into.push(job);
            taken += 1;
            bytes += next;
        }
        Some(bytes)
    }

    /// Jobs of so many bytes are done.
    pub(super) fn release(&self, bytes: usize) {
        let mut state = locked(&self.state);
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Takes nothing more; what is in it can still be taken.
    pub(super) fn end(&self) {
        locked(&self.state).ended = true;
        self.news.notify_all();
    }

    /// Jobs that wait.
    pub(super) fn len(&self) -> usize {
        locked(&self.state).jobs.len()
    }
}
