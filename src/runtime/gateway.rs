//! How everything that is not a socket reaches shards, store and blocking pool: a handle that may be cloned and sent anywhere.
//!
//! Promises that no call hangs: a full queue is `busy`, a shard or store that is gone is `draining` or unavailable.

use std::cell::OnceCell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_channel::oneshot;
use futures_util::future::join_all;

use crate::auth::token::Verifier;
use crate::base::time::Now;
use crate::base::{Code, Refusal, RoomId, ShardId, Slot, UserId};
use crate::metrics::Snapshot;
use crate::shard::{Ask, AskAnswer, Placement, StoreOp, StoreResult};
use crate::store::{Answer, Backend, Failure, Outcome, Query, Write};

use super::clock::Clock;
use super::mesh::{Mailbox, Mesh, NotAsked, Order, Question};
use super::pool::Pool;
use super::seam::StorePort;

/// What `busy` tells to wait, in milliseconds.
const BUSY_RETRY_MS: u64 = 1000;

thread_local! {
    /// The mailbox of the shard that runs on this thread.
    static HERE: OnceCell<Arc<Mailbox>> = const { OnceCell::new() };
}

/// This thread runs the shard with this mailbox.
pub(super) fn here(mailbox: &Arc<Mailbox>) {
    HERE.with(|here| {
        // One shard a thread, ever.
        let _ = here.set(mailbox.clone());
    });
}

/// Wakes a task of a shard from another thread. The shard may sleep where its executor does not know of it, so its bell is rung too.
struct WakeShard {
    task: Waker,
    mailbox: Arc<Mailbox>,
}

impl Wake for WakeShard {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.task.wake_by_ref();
        self.mailbox.bell.ring_for_task();
    }
}

/// Something that another thread completes, awaited on a shard (or anywhere else).
struct OnShard<F>(F);

impl<F: Future + Unpin> Future for OnShard<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mailbox = HERE.with(|here| here.get().cloned());
        match mailbox {
            Some(mailbox) => {
                let waker = Waker::from(Arc::new(WakeShard { task: cx.waker().clone(), mailbox }));
                Pin::new(&mut self.0).poll(&mut Context::from_waker(&waker))
            }
            None => Pin::new(&mut self.0).poll(cx),
        }
    }
}

/// A handle to the running server. Cheap to clone; its futures need no runtime of their own.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    mesh: Mesh,
    placement: Placement,
    store: Arc<dyn StorePort>,
    backend: Arc<dyn Backend>,
    pool: Pool,
    clock: Clock,
    draining: AtomicBool,
}

/// What a gateway is made of.
pub struct GatewayParts {
    /// The shards' mailboxes.
    pub mesh: Mesh,
    /// Who owns what.
    pub placement: Placement,
    /// The store's driver.
    pub store: Arc<dyn StorePort>,
    /// The store itself.
    pub backend: Arc<dyn Backend>,
    /// Blocking threads.
    pub pool: Pool,
    /// The process' clock.
    pub clock: Clock,
}

/// Numbers of what the shards share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedFigures {
    /// Jobs that the store has taken and not finished.
    pub store_depth: usize,
    /// Bytes that the store occupies.
    pub store_bytes: u64,
    /// Pieces of work that wait for a blocking thread.
    pub pool_waiting: usize,
}

fn busy() -> Refusal {
    Refusal::new(Code::Busy).retry_after(BUSY_RETRY_MS)
}

fn draining() -> Refusal {
    Refusal::new(Code::Draining).retry_after(BUSY_RETRY_MS)
}

impl Gateway {
    /// A gateway to these parts.
    #[must_use]
    pub fn new(parts: GatewayParts) -> Self {
        let GatewayParts { mesh, placement, store, backend, pool, clock } = parts;
        let inner = Inner { mesh, placement, store, backend, pool, clock, draining: AtomicBool::new(false) };
        Self { inner: Arc::new(inner) }
    }

    /// Asks a shard and waits for its answer. A full inbox is `busy`.
    ///
    /// # Errors
    /// The shard's refusal, `busy`, or `draining` when the shard is gone.
    pub async fn ask(&self, to: ShardId, ask: Ask) -> Result<AskAnswer, Refusal> {
        let mailbox = self.inner.mesh.mailbox(to).ok_or_else(|| Refusal::new(Code::Internal))?;
        let (answer, answered) = oneshot::channel();
        mailbox.ask(Question { ask, answer }).map_err(|why| match why {
            NotAsked::Full => busy(),
            NotAsked::Gone => draining(),
        })?;
        OnShard(answered).await.unwrap_or_else(|_| Err(draining()))
    }

    /// Asks the owner of a room.
    ///
    /// # Errors
    /// As [`Gateway::ask`].
    pub async fn ask_room(&self, room: RoomId, ask: Ask) -> Result<AskAnswer, Refusal> {
        self.ask(self.placement().of_room(room), ask).await
    }

    /// Asks the owner of a user.
    ///
    /// # Errors
    /// As [`Gateway::ask`].
    pub async fn ask_user(&self, user: UserId, ask: Ask) -> Result<AskAnswer, Refusal> {
        self.ask(self.placement().of_user(user), ask).await
    }

    /// Asks the owner of a key's slot (see [`Ask::Attempt`]).
    ///
    /// # Errors
    /// As [`Gateway::ask`].
    pub async fn ask_key(&self, key: &str, ask: Ask) -> Result<AskAnswer, Refusal> {
        self.ask(self.placement().owner(Slot::of(key.as_bytes())), ask).await
    }

    /// Which shard owns what.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.inner.placement
    }

    /// Writes through the group commit; durable on return.
    ///
    /// # Errors
    /// When the store could not.
    pub async fn write(&self, write: Write) -> Result<Outcome, Failure> {
        match self.store(StoreOp::Write(write)).await? {
            StoreResult::Written(result) => result,
            StoreResult::Read(_) => Err(Failure::Misuse("a write was answered as a read".to_owned())),
        }
    }

    /// Reads on one of the store's reader threads.
    ///
    /// # Errors
    /// When the store could not.
    pub async fn read(&self, query: Query) -> Result<Answer, Failure> {
        match self.store(StoreOp::Read(query)).await? {
            StoreResult::Read(result) => result,
            StoreResult::Written(_) => Err(Failure::Misuse("a read was answered as a write".to_owned())),
        }
    }

    async fn store(&self, op: StoreOp) -> Result<StoreResult, Failure> {
        let (done, result) = oneshot::channel();
        let called = self.inner.store.submit(op, Box::new(move |result| drop(done.send(result))));
        if called.is_err() {
            return Err(Failure::Unavailable("the queue of the store is full".to_owned()));
        }
        OnShard(result).await.map_err(|_| Failure::Unavailable("the store has stopped".to_owned()))
    }

    /// The store itself, for its keyed hashes ([`Backend::name_key`], [`Backend::pair_key`]). Never call its blocking verbs on a shard.
    #[must_use]
    pub fn backend(&self) -> &dyn Backend {
        &*self.inner.backend
    }

    /// Runs something long (argon2) on one of a few blocking threads. A full queue is `busy`.
    ///
    /// # Errors
    /// `busy`, or `internal` when it panicked.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let (done, result) = oneshot::channel();
        self.inner.pool.run(move || drop(done.send(work()))).map_err(|_| busy())?;
        OnShard(result).await.map_err(|_| Refusal::new(Code::Internal))
    }

    /// Both clocks, read now.
    #[must_use]
    pub fn now(&self) -> Now {
        self.inner.clock.now()
    }

    /// The numbers of all shards that answer, in their order.
    pub async fn metrics(&self) -> Vec<Snapshot> {
        let asked = (0..self.inner.mesh.shards()).map(|n| self.ask(ShardId(n), Ask::Metrics));
        let answers = join_all(asked).await;
        let snapshots = answers.into_iter().filter_map(|answer| match answer {
            Ok(AskAnswer::Metrics(snapshot)) => Some(*snapshot),
            _ => None,
        });
        snapshots.collect()
    }

    /// The numbers of what the shards share.
    #[must_use]
    pub fn shared_figures(&self) -> SharedFigures {
        SharedFigures {
            store_depth: self.inner.store.depth(),
            store_bytes: self.inner.backend.size_bytes(),
            pool_waiting: self.inner.pool.waiting(),
        }
    }

    /// Hands new keys to all shards.
    pub fn set_keys(&self, verifier: &Arc<Verifier>) {
        self.order_all(|| Order::Keys(verifier.clone()));
    }

    /// Whether the server is about to stop (`/readyz` is off).
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::Acquire)
    }

    pub(super) fn set_draining(&self) {
        self.inner.draining.store(true, Ordering::Release);
    }

    pub(super) fn order_all(&self, mut order: impl FnMut() -> Order) {
        for mailbox in self.inner.mesh.all() {
            mailbox.order(order());
        }
    }

    pub(super) fn mailboxes(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.inner.mesh.all()
    }

    pub(super) fn mesh(&self) -> &Mesh {
        &self.inner.mesh
    }

    pub(super) fn clock(&self) -> Clock {
        self.inner.clock
    }

    pub(super) fn driver(&self) -> &Arc<dyn StorePort> {
        &self.inner.store
    }
}
