//! What reaches a shard from other threads: lanes from the other shards, completions of the store, questions, orders.
//!
//! Promises: no lock; every lane bounded (full is an answer and gives the batch back); the order within a lane is kept; all lanes
//! wake one task, with one wake however much was put in before it ran; nothing that was put in before the wake is overlooked.
//! Does not decide what happens to a batch that found no place: the shard does.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use atomic_waker::AtomicWaker;
use crossbeam_queue::{ArrayQueue, SegQueue};
use futures_channel::oneshot;

use crate::auth::token::Verifier;
use crate::base::limits::LANE_BATCHES;
use crate::base::{Moment, Refusal, ShardId};
use crate::shard::message::ShardMessage;
use crate::shard::{Ask, AskAnswer, StoreResult, StoreToken};

use super::stall::Beat;

/// Questions from outside the sockets that wait for one shard.
const ASKS_WAITING: usize = 1024;

/// Wakes one task for many reasons. The task looks at everything once it was rung, so one ring serves all.
#[derive(Debug, Default)]
pub struct Doorbell {
    rung: AtomicBool,
    waker: AtomicWaker,
    /// Rings where the shard sleeps in its [`Watch`](super::watch::Watch).
    wire: OnceLock<OwnedFd>,
    /// It does so now, or is about to.
    asleep: AtomicBool,
    /// A task of the shard's executor was woken from another thread.
    task_woken: AtomicBool,
}

impl Doorbell {
    /// Says that there is something to look at. Put it where it will be seen first, then ring. Cheap when already rung.
    pub fn ring(&self) {
        // In one order with `fall_asleep`: one of the two sees the other.
        if !self.rung.swap(true, Ordering::SeqCst) {
            if self.asleep.swap(false, Ordering::SeqCst)
                && let Some(wire) = self.wire.get()
            {
                // Fails only when it was written to 2^64 times.
                let _ = rustix::io::write(wire, &1u64.to_ne_bytes());
            }
            self.waker.wake();
        }
    }

    /// Rings because a task of the shard's executor was woken, which then looks for such tasks.
    pub fn ring_for_task(&self) {
        self.task_woken.store(true, Ordering::SeqCst);
        self.ring();
    }

    /// Whether a task was woken from another thread since the last call.
    pub(super) fn take_task_woken(&self) -> bool {
        self.task_woken.load(Ordering::Relaxed) && self.task_woken.swap(false, Ordering::SeqCst)
    }

    /// Something that a sleeper can watch, which becomes readable when a sleeping shard is rung for.
    pub(super) fn wire(&self) -> std::io::Result<BorrowedFd<'_>> {
        if self.wire.get().is_none() {
            let flags = rustix::event::EventfdFlags::NONBLOCK | rustix::event::EventfdFlags::CLOEXEC;
            // Only the shard itself comes here.
            let _ = self.wire.set(rustix::event::eventfd(0, flags)?);
        }
        self.wire.get().map(|wire| wire.as_fd()).ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    /// Before sleeping in a watch. Answers `false` when it was rung: then there is to be no sleep.
    pub(super) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let may = !self.rung.load(Ordering::SeqCst);
        if !may {
            self.asleep.store(false, Ordering::SeqCst);
        }
        may
    }

    /// After that sleep.
    pub(super) fn wake_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Whether it was rung since the last [`Doorbell::answer`].
    #[must_use]
    pub fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// Called before looking: what is put in after this call rings again.
    pub fn answer(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }

    /// Leaves the waker before sleeping. Look at [`Doorbell::is_rung`] after it, never before. Who is woken without a ring (a late
    /// wake of the ring before) must leave it again: it is used up.
    pub fn leave(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Takes the waker back, so that rings during a turn cost no foreign wake.
    pub fn take_back(&self) {
        drop(self.waker.take());
    }
}

/// The lanes into one shard, one a source, each bounded.
#[derive(Debug)]
pub struct Lanes<T> {
    lanes: Box<[ArrayQueue<T>]>,
    /// A bit a source, set after something was put into its lane: the reader looks at those alone.
    filled: Box<[AtomicU64]>,
}

impl<T> Lanes<T> {
    /// Lanes from `sources` shards with room for `batches` each.
    #[must_use]
    pub fn new(sources: u16, batches: usize) -> Self {
        let words = usize::from(sources).div_ceil(64);
        Self {
            lanes: (0..sources).map(|_| ArrayQueue::new(batches.max(1))).collect(),
            filled: (0..words).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Puts a batch into the lane from `from`. The caller rings the bell.
    ///
    /// # Errors
    /// The batch itself, when the lane is full (or there is none from this source).
    pub fn push(&self, from: ShardId, batch: T) -> Result<(), T> {
        let Some(lane) = self.lanes.get(from.index()) else { return Err(batch) };
        lane.push(batch)?;
        if let Some(word) = self.filled.get(from.index() / 64) {
            word.fetch_or(1 << (from.index() % 64), Ordering::Release);
        }
        Ok(())
    }

    /// Takes up to `per_lane` batches from each lane that has some. Answers whether some may be left.
    pub fn drain(&self, per_lane: usize, mut each: impl FnMut(ShardId, T)) -> bool {
        let mut left = false;
        for (n, word) in self.filled.iter().enumerate() {
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut bits = word.swap(0, Ordering::Acquire);
            while bits != 0 {
                let index = n * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let (Some(lane), Ok(from)) = (self.lanes.get(index), u16::try_from(index)) else { continue };
                for _ in 0..per_lane {
                    let Some(batch) = lane.pop() else { break };
                    each(ShardId(from), batch);
                }
                if !lane.is_empty() {
                    word.fetch_or(1 << (index % 64), Ordering::Relaxed);
                    left = true;
                }
            }
        }
        left
    }

    /// Batches waiting in all lanes.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lanes.iter().map(ArrayQueue::len).sum()
    }
}

/// What the store answered to a shard's job.
#[derive(Debug)]
pub struct Completion {
    /// Which job.
    pub token: StoreToken,
    /// What.
    pub result: StoreResult,
    /// When it was done.
    pub at: Moment,
}

/// A question with the way back.
#[derive(Debug)]
pub struct Question {
    /// What is asked.
    pub ask: Ask,
    /// Where the answer goes. Dropped without an answer, it says that the shard is gone.
    pub answer: oneshot::Sender<Result<AskAnswer, Refusal>>,
}

/// Why a question was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAsked {
    /// As many wait as may wait.
    Full,
    /// The shard is gone.
    Gone,
}

/// An order of the process to a shard. Few, and each is obeyed.
#[derive(Debug)]
pub enum Order {
    /// Keys have changed.
    Keys(Arc<Verifier>),
    /// Accept nothing new, tell everybody to come back within a window of so many milliseconds.
    Drain {
        /// Width of the window.
        window_ms: u64,
    },
    /// Close what is still open.
    CloseAll,
    /// End the pump.
    Stop,
}

/// Everything that reaches one shard from other threads.
#[derive(Debug)]
pub struct Mailbox {
    /// Wakes the shard's pump.
    pub bell: Doorbell,
    /// What the other shards say.
    pub lanes: Lanes<Vec<ShardMessage>>,
    /// What the store answered. Its length is bounded by the jobs that the store's own queue admits.
    completions: SegQueue<Completion>,
    asks: ArrayQueue<Question>,
    orders: SegQueue<Order>,
    closed: AtomicBool,
    /// What the watchdog and the drain look at.
    pub beat: Beat,
    /// Batches that found this shard's lane full, since the start.
    pub lane_full: AtomicU64,
    /// Sockets and requests that `net` holds open on this shard.
    pub held: AtomicUsize,
}

impl Mailbox {
    fn new(shards: u16, batches: usize) -> Self {
        Self {
            bell: Doorbell::default(),
            lanes: Lanes::new(shards, batches),
            completions: SegQueue::new(),
            asks: ArrayQueue::new(ASKS_WAITING),
            orders: SegQueue::new(),
            closed: AtomicBool::new(false),
            beat: Beat::default(),
            lane_full: AtomicU64::new(0),
            held: AtomicUsize::new(0),
        }
    }

    /// The store answered.
    pub fn complete(&self, completion: Completion) {
        self.completions.push(completion);
        self.bell.ring();
    }

    /// Asks.
    ///
    /// # Errors
    /// [`NotAsked`]; the question is dropped.
    pub fn ask(&self, question: Question) -> Result<(), NotAsked> {
        if self.is_closed() {
            return Err(NotAsked::Gone);
        }
        self.asks.push(question).map_err(|_| NotAsked::Full)?;
        self.bell.ring();
        if self.is_closed() {
            // The pump ended meanwhile and may not have seen it: drop the way back, so that nobody waits for ever.
            while self.asks.pop().is_some() {}
        }
        Ok(())
    }

    /// Orders.
    pub fn order(&self, order: Order) {
        self.orders.push(order);
        self.bell.ring();
    }

    /// The next completion.
    pub fn next_completion(&self) -> Option<Completion> {
        self.completions.pop()
    }

    /// The next question.
    pub fn next_ask(&self) -> Option<Question> {
        self.asks.pop()
    }

    /// The next order.
    pub fn next_order(&self) -> Option<Order> {
        self.orders.pop()
    }

    /// Whether there is a question.
    #[must_use]
    pub fn has_asks(&self) -> bool {
        !self.asks.is_empty()
    }

    /// All that waits to be handled.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.lanes.waiting() + self.completions.len() + self.asks.len() + self.orders.len()
    }

    /// Takes no question any more and drops those that wait.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        while self.asks.pop().is_some() {}
    }

    /// Whether the shard is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

/// The mailboxes of all shards.
#[derive(Clone, Debug)]
pub struct Mesh {
    mailboxes: Arc<[Arc<Mailbox>]>,
}

impl Mesh {
    /// Mailboxes for `shards` shards (at least one).
    #[must_use]
    pub fn new(shards: u16) -> Self {
        let shards = shards.max(1);
        // With many shards there are shards² lanes: keep their memory (32 bytes a batch) in the tens of MiB.
        let batches = (LANE_BATCHES * 8 / usize::from(shards)).clamp(LANE_BATCHES / 16, LANE_BATCHES);
        Self { mailboxes: (0..shards).map(|_| Arc::new(Mailbox::new(shards, batches))).collect() }
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u16 {
        u16::try_from(self.mailboxes.len()).unwrap_or(u16::MAX)
    }

    /// The mailbox of a shard.
    #[must_use]
    pub fn mailbox(&self, shard: ShardId) -> Option<&Arc<Mailbox>> {
        self.mailboxes.get(shard.index())
    }

    /// All mailboxes, in the order of the shards.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.mailboxes.iter()
    }

    /// Sends a batch and wakes its reader.
    ///
    /// # Errors
    /// The batch itself: the lane is full.
    pub fn send(&self, from: ShardId, to: ShardId, batch: Vec<ShardMessage>) -> Result<(), Vec<ShardMessage>> {
        let Some(mailbox) = self.mailbox(to) else { return Err(batch) };
        let sent = mailbox.lanes.push(from, batch);
        if sent.is_err() {
            mailbox.lane_full.fetch_add(1, Ordering::Relaxed);
        }
        // A full lane rings as well: its reader is wanted.
        mailbox.bell.ring();
        sent
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::task::Wake;
    use std::thread;

    use super::*;

    struct Count(AtomicUsize, thread::Thread);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            self.1.unpark();
        }
    }

    #[test]
    fn a_full_lane_gives_the_batch_back_and_keeps_its_order() {
        let lanes = Lanes::new(2, 4);
        for n in 0..4 {
            lanes.push(ShardId(1), n).unwrap();
        }
        assert_eq!(lanes.push(ShardId(1), 4), Err(4));
        assert_eq!(lanes.push(ShardId(7), 9), Err(9), "no such source");
        lanes.push(ShardId(0), 10).unwrap();
        let mut seen = Vec::new();
        assert!(lanes.drain(3, |from, n| seen.push((from.0, n))), "one is left");
        assert_eq!(seen, [(0, 10), (1, 0), (1, 1), (1, 2)]);
        assert!(!lanes.drain(3, |from, n| seen.push((from.0, n))), "what was left is found without a new push");
        assert_eq!(seen.last(), Some(&(1, 3)));
        assert_eq!(lanes.waiting(), 0);
    }

    #[test]
    fn many_sources_use_many_words() {
        let lanes = Lanes::new(130, 1);
        for from in [0u16, 63, 64, 129] {
            lanes.push(ShardId(from), from).unwrap();
        }
        let mut seen = Vec::new();
        lanes.drain(1, |from, n| seen.push((from.0, n)));
        assert_eq!(seen, [(0, 0), (63, 63), (64, 64), (129, 129)]);
    }

    #[test]
    fn many_rings_before_an_answer_wake_once() {
        let bell = Doorbell::default();
        let count = Arc::new(Count(AtomicUsize::new(0), thread::current()));
        let waker = Waker::from(count.clone());
        bell.leave(&waker);
        for _ in 0..10 {
            bell.ring();
        }
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        bell.leave(&waker);
        assert!(bell.is_rung(), "who leaves the waker late still sees the ring");
        bell.answer();
        bell.ring();
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        bell.answer();
        bell.leave(&waker);
        bell.take_back();
        bell.ring();
        assert_eq!(count.0.load(Ordering::SeqCst), 2, "no wake during a turn");
    }

    #[test]
    fn no_wake_is_lost_under_load_from_foreign_threads() {
        const SENDERS: u16 = 3;
        const EACH: u64 = 30_000;
        let lanes = Arc::new(Lanes::new(SENDERS, 16));
        let bell = Arc::new(Doorbell::default());
        let start = Arc::new(Barrier::new(usize::from(SENDERS) + 1));
        let senders: Vec<_> = (0..SENDERS)
            .map(|n| {
                let (lanes, bell, start) = (lanes.clone(), bell.clone(), start.clone());
                thread::spawn(move || {
                    start.wait();
                    for value in 0..EACH {
                        let mut value = value;
                        while let Err(back) = lanes.push(ShardId(n), value) {
                            value = back;
                            thread::yield_now();
                        }
                        bell.ring();
                    }
                })
            })
            .collect();
        let waker = Waker::from(Arc::new(Count(AtomicUsize::new(0), thread::current())));
        let mut next = [0u64; SENDERS as usize];
        start.wait();
        let hang = std::time::Instant::now() + std::time::Duration::from_mins(1);
        while next.iter().any(|&n| n < EACH) {
            bell.answer();
            let left = lanes.drain(4, |from, value| {
                assert_eq!(value, next[from.index()], "in order, once each");
                next[from.index()] += 1;
            });
            if left {
                continue;
            }
            loop {
                bell.leave(&waker);
                if bell.is_rung() || next.iter().all(|&n| n == EACH) {
                    break;
                }
                assert!(std::time::Instant::now() < hang, "a wake was lost at {next:?}");
                thread::park_timeout(std::time::Duration::from_mins(1));
            }
            bell.take_back();
        }
        for sender in senders {
            sender.join().unwrap();
        }
    }

    #[test]
    fn a_question_to_a_closed_mailbox_comes_back_or_its_way_back_is_dropped() {
        let mesh = Mesh::new(1);
        let mailbox = mesh.mailbox(ShardId(0)).unwrap();
        let (answer, mut asked) = oneshot::channel();
        mailbox.ask(Question { ask: Ask::Metrics, answer }).unwrap();
        mailbox.close();
        assert!(asked.try_recv().is_err(), "canceled, not pending for ever");
        let (answer, _asked) = oneshot::channel();
        assert_eq!(mailbox.ask(Question { ask: Ask::Metrics, answer }), Err(NotAsked::Gone));
    }
}
