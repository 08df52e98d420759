//! Starts the shards: one thread and executor each, pinned, with its task queues, its pump and what `net` runs on it.
//!
//! Promises that a shard which cannot start is an error with its reason, and that a panic on a shard's thread ends the whole process
//! with exit code 1: half a server that hangs would be worse. Does not know what the tasks it is given do.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Once, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use glommio::{Latency, LocalExecutor, LocalExecutorBuilder, Placement as Cpu, Shares, TaskQueueHandle};

use crate::base::ShardId;
use crate::base::time::Now;
use crate::metrics::counters::ShellCounters;
use crate::shard::Placement;
use crate::store::Backend;
use crate::store::driver::priority;

use super::clock::Clock;
use super::gate::Gate;
use super::gateway::{Gateway, GatewayParts};
use super::mesh::{Mailbox, Mesh, Order};
use super::pool::Pool;
use super::port::Port;
use super::portions::Portions;
use super::pump::{LocalPort, Pump, PumpParts};
use super::seam::{Machine, StorePort};
use super::stall::Watchdog;
use super::watch::making_rings;

/// Memory that each executor registers with the kernel. The default of 10 MiB does not fit into the usual 8 MiB of lockable memory.
const IO_MEMORY: usize = 1024 * 1024;
/// Entries of each ring's submission queue. The kernel files waiting polls under hashes, and has as many places for them as the ring
/// is large (at most 256, reached from 4,096 entries on). Each socket that waits to be read from is such a poll, and the executor
/// takes timers back in every round, for which the kernel walks such a place from end to end: with the default of 128 entries and
/// 10,000 connections this was 14 % of a shard's CPU time.
const RING_DEPTH: usize = 4096;
/// Tasks that are ready are interrupted after this time for a look at the sockets. Those that may run long look by themselves
/// ([`breathe`]), for a short time here would make the fault below likely; so would `Latency::Matters`, which ends the run of all
/// queues with every single event.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// glommio 0.9 falls asleep over tasks that are ready when its preemption timer, or a late wake-up from another thread, comes between
/// its look at the sockets and the first task it would run (glommio/glommio, pull request 53). Only another event ends that sleep, so
/// each executor gets one this often. Costs about 0.1 % of a core when idle. Several, since the one that ends a sleep may be lost to the
/// same fault, and then the next one is there. Where the pump sleeps in its own watch the executor may still fall asleep over the pump, in one of its
/// passes; that is rarer, and each heartbeat costs passes, so the most frequent one is left out there ([`WATCHED_SKIP`]).
const HEARTBEATS: [Duration; 4] =
    [Duration::from_millis(20), Duration::from_millis(70), Duration::from_millis(230), Duration::from_secs(1)];
/// So many of the [`HEARTBEATS`] are left out where the pump sleeps in its own watch.
const WATCHED_SKIP: usize = 1;
/// A shard that has not begun in this time will not (the same fault, before its heartbeat runs).
const BEGIN_WITHIN: Duration = Duration::from_secs(10);

/// Bounds the time that an executor sleeps over tasks that are ready.
async fn heartbeat(every: Duration) {
    loop {
        glommio::timer::sleep(every).await;
    }
}

/// Lets all other tasks of this shard run that are ready, and the executor look at its sockets. For tasks that do much in a row: after
/// each few hundred microseconds of work. (`yield_now` lets other tasks run, but nobody looks at the sockets.)
pub async fn breathe() {
    /// Counts who is in it.
    struct In;
    impl Drop for In {
        fn drop(&mut self) {
            BREATHING.set(BREATHING.get() - 1);
        }
    }
    BREATHING.set(BREATHING.get() + 1);
    let _in = In;
    // Timers are looked at after the sockets, and not before nothing else is ready.
    glommio::timer::sleep(Duration::from_micros(1)).await;
}

/// Lets the other tasks of this one's queue run that are ready.
pub(super) async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Whether a task of this shard is in [`breathe`].
pub(super) fn breathing() -> bool {
    BREATHING.get() > 0
}

/// On which cores the shards run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pinning {
    /// The first cores that the process may use, one a shard; not pinned when there are fewer cores than shards.
    #[default]
    Auto,
    /// These, in the order of the shards. There must be one for each.
    Cores(Vec<usize>),
    /// Wherever the kernel likes.
    Off,
}

/// How the shards are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchSettings {
    /// Where.
    pub pinning: Pinning,
    /// A turn longer than this is counted and logged, in milliseconds.
    pub stall_ms: u64,
    /// A turn that does not end, or does not begin, for this time raises an alarm, in milliseconds.
    pub watchdog_ms: u64,
    /// An idle shard spins so long before it sleeps, in microseconds. Costs a core each; saves the wake-up.
    pub spin_us: u64,
    /// The longest time for which a busy shard lets a connection wait that was just written to, so that more frames share its next write,
    /// in milliseconds. 0: never.
    pub pace_ms: u64,
    /// Writes that a shard hands to the kernel together at most. 0: one by one.
    pub send_batch: usize,
    /// How long handshakes and requests are worked on before those who talk have their turn, in microseconds. 0: as long as there are any.
    pub handshake_us: u64,
    /// Tasks that are ready are interrupted after this time for a look at the sockets. The shorter, the more often executors fall asleep over
    /// tasks that are ready, until a heartbeat wakes them (decision 0008).
    pub look_every: Duration,
    /// Threads for argon2 and the like.
    pub pool_threads: usize,
    /// Work that may wait for them.
    pub pool_waiting: usize,
}

impl Default for LaunchSettings {
    fn default() -> Self {
        Self {
            pinning: Pinning::Auto,
            stall_ms: 20,
            watchdog_ms: 2000,
            spin_us: 0,
            pace_ms: 40,
            send_batch: 256,
            handshake_us: 1000,
            look_every: LOOK_EVERY,
            pool_threads: 2,
            pool_waiting: 256,
        }
    }
}

/// What the shards are started with.
pub struct Parts {
    /// Who owns what. It says how many shards there are.
    pub placement: Placement,
    /// The store's driver.
    pub store: Arc<dyn StorePort>,
    /// The store itself.
    pub backend: Arc<dyn Backend>,
    /// The process' clock.
    pub clock: Clock,
}

/// Why the shards were not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// There are fewer cores in the list than shards.
    #[error("server.cores names {given} cores for {shards} shards: name one for each, or leave it out")]
    FewCores {
        /// Cores named.
        given: usize,
        /// Shards wanted.
        shards: u16,
    },
    /// A thread or executor could not be made.
    #[error("shard {shard} cannot start: {why}. `causerie doctor` may tell more")]
    Executor {
        /// Which.
        shard: u16,
        /// Why.
        why: String,
    },
    /// What was to run on a shard (its listener) could not start.
    #[error("{why}")]
    Start {
        /// On which shard.
        shard: u16,
        /// Why.
        why: String,
    },
    /// The system gives no thread.
    #[error("the system gives no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Kinds of work on a shard, by their share of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Sockets of people who talk, and the pump itself.
    Live,
    /// TLS handshakes and sign-in: many at once must not be felt by those who talk.
    Handshake,
    /// What nobody waits for.
    Background,
}

#[derive(Clone, Copy, Debug)]
struct Queues {
    live: TaskQueueHandle,
    handshake: TaskQueueHandle,
    background: TaskQueueHandle,
}

impl Queues {
    fn make() -> Self {
        let executor = glommio::executor();
        let make = |shares, name| executor.create_task_queue(Shares::Static(shares), Latency::NotImportant, name);
        Self { live: make(1000, "live"), handshake: make(250, "handshake"), background: make(50, "background") }
    }
}

/// What a task on a shard works with. Stays on its core.
#[derive(Clone)]
pub struct ShardHandle {
    /// Which shard.
    pub id: ShardId,
    /// For WebSockets.
    pub port: Rc<dyn Port>,
    /// For everything else.
    pub gateway: Gateway,
    /// Numbers of the shell on this shard. Never hold the borrow over an await or a call to the port.
    pub shell: Rc<RefCell<ShellCounters>>,
    /// Closed when the server is about to stop: accept nothing new, end idle HTTP connections.
    pub gate: Gate,
    /// Handshakes and requests are done in these.
    pub portions: Rc<Portions>,
    queues: Queues,
    mailbox: Arc<Mailbox>,
}

impl ShardHandle {
    /// Runs a task on this shard.
    pub fn spawn(&self, work: Work, task: impl Future<Output = ()> + 'static) {
        match glommio::spawn_local_into(task, self.queue(work)) {
            Ok(task) => drop(task.detach()),
            // The queues live as long as the executor.
            Err(why) => tracing::error!(%why, "a task could not be started"),
        }
    }

    /// The queue for a kind of work, for who needs the task itself.
    #[must_use]
    pub fn queue(&self, work: Work) -> TaskQueueHandle {
        match work {
            Work::Live => self.queues.live,
            Work::Handshake => self.queues.handshake,
            Work::Background => self.queues.background,
        }
    }

    /// Makes the drain wait (until its deadline) for what holds this: one a socket, from accept to the end of its TCP.
    #[must_use]
    pub fn hold(&self) -> Held {
        self.mailbox.held.fetch_add(1, Ordering::AcqRel);
        Held { mailbox: self.mailbox.clone() }
    }
}

/// Something that is not over yet (see [`ShardHandle::hold`]).
pub struct Held {
    mailbox: Arc<Mailbox>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.mailbox.held.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The running shards.
pub struct Server {
    gateway: Gateway,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Server {
    /// How everything that is not a socket reaches them.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Ends the shards now, without telling anybody (see `drain` for the polite way), and waits for their threads.
    pub fn stop(self) {
        self.gateway.set_draining();
        self.gateway.order_all(|| Order::Stop);
        for thread in self.threads {
            // A panic would have ended the process.
            let _ = thread.join();
        }
    }
}

thread_local! {
    static ON_SHARD: Cell<bool> = const { Cell::new(false) };
    static BREATHING: Cell<u64> = const { Cell::new(0) };
}

/// A panic on a shard ends the process at once. Not by unwinding: dropping an executor in a panic may hang or abort.
fn end_process_on_shard_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            before(info);
            if ON_SHARD.get() {
                tracing::error!("a shard panicked; the server ends. This is a bug: please report the message above");
                std::process::exit(1);
            }
        }));
    });
}

fn cpus(pinning: &Pinning, shards: u16) -> Result<Vec<Cpu>, LaunchError> {
    let wanted = usize::from(shards);
    let cores = match pinning {
        Pinning::Off => Vec::new(),
        Pinning::Cores(cores) if cores.len() < wanted => {
            return Err(LaunchError::FewCores { given: cores.len(), shards });
        }
        Pinning::Cores(cores) => cores.clone(),
        Pinning::Auto => {
            let usable = super::doctor::usable_cores();
            if usable.len() < wanted {
                tracing::warn!(shards, cores = usable.len(), "fewer cores than shards: nothing is pinned");
                Vec::new()
            } else {
                usable
            }
        }
    };
    Ok((0..wanted).map(|n| cores.get(n).map_or(Cpu::Unbound, |&core| Cpu::Fixed(core))).collect())
}

/// Starts all shards and returns when each runs and its `start` is over.
///
/// `machine` makes the shard's machine, `start` its listeners and other tasks; both are called once on each shard's own thread. An
/// `Err` of `start` is what went wrong, for people; nothing runs any more then.
///
/// # Errors
/// See [`LaunchError`].
pub fn launch<M, F, S, Fut>(
    settings: &LaunchSettings,
    parts: Parts,
    machine: F,
    start: S,
) -> Result<Server, LaunchError>
where
    M: Machine,
    F: Fn(ShardId, Now) -> M + Send + Sync + 'static,
    S: Fn(ShardHandle) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), String>> + 'static,
{
    let Parts { placement, store, backend, clock } = parts;
    let shards = placement.shards();
    let cpus = cpus(&settings.pinning, shards)?;
    end_process_on_shard_panic();
    let mesh = Mesh::new(shards);
    let threads = NonZeroUsize::new(settings.pool_threads).unwrap_or(NonZeroUsize::MIN);
    let waiting = NonZeroUsize::new(settings.pool_waiting).unwrap_or(NonZeroUsize::MIN);
    let pool = Pool::start(threads, waiting)?;
    let gateway = Gateway::new(GatewayParts { mesh: mesh.clone(), placement, store, backend, pool, clock });
    let mut server = Server { gateway: gateway.clone(), threads: Vec::new() };
    let (machine, start) = (Arc::new(machine), Arc::new(start));
    let (begun, all_begun) = mpsc::channel();
    let (started, all_started) = mpsc::channel();
    for (n, cpu) in (0..shards).zip(cpus) {
        let Some(mailbox) = mesh.mailbox(ShardId(n)).cloned() else { continue };
        let (gateway, machine, start) = (gateway.clone(), machine.clone(), start.clone());
        let (begun, started) = (begun.clone(), started.clone());
        let settings = settings.clone();
        let run = move || {
            ON_SHARD.set(true);
            priority::slice(priority::Slice::Shard);
            let (made, rings) = making_rings(|| executor(n, cpu, &settings));
            match made {
                Ok(executor) => {
                    super::gateway::here(&mailbox);
                    executor.run(async {
                        let _ = begun.send(Ok(()));
                        shard(ShardId(n), mailbox, rings, gateway, &settings, &*machine, &*start, &started).await;
                    });
                }
                Err(why) => {
                    mailbox.close();
                    let _ = begun.send(Err(LaunchError::Executor { shard: n, why }));
                }
            }
        };
        match thread::Builder::new().name(format!("shard-{n}")).spawn(run) {
            Ok(thread) => server.threads.push(thread),
            Err(why) => {
                server.stop();
                return Err(why.into());
            }
        }
    }
    let mut failed = None;
    let mut running = 0;
    for _ in 0..shards {
        match all_begun.recv_timeout(BEGIN_WITHIN) {
            Ok(Ok(())) => running += 1,
            Ok(Err(why)) => {
                failed.get_or_insert(why);
            }
            Err(_) => {
                let why = "its executor was made, but does not run; start again".to_owned();
                // Its thread does not end either: left to the end of the process.
                return Err(LaunchError::Executor { shard: running, why });
            }
        }
    }
    for _ in 0..running {
        // A shard that ends without a word has panicked, which ends the process.
        if let Ok(Err(why)) = all_started.recv() {
            failed.get_or_insert(why);
        }
    }
    if let Some(why) = failed {
        server.stop();
        return Err(why);
    }
    Watchdog::new(mesh, settings.watchdog_ms).start(clock)?;
    Ok(server)
}

fn executor(shard: u16, cpu: Cpu, settings: &LaunchSettings) -> Result<LocalExecutor, String> {
    LocalExecutorBuilder::new(cpu)
        .name(&format!("shard-{shard}"))
        .io_memory(IO_MEMORY)
        .ring_depth(RING_DEPTH)
        .preempt_timer(settings.look_every)
        .spin_before_park(Duration::from_micros(settings.spin_us))
        .make()
        .map_err(|why| why.to_string())
}

#[allow(clippy::too_many_arguments)]
async fn shard<M, F, S, Fut>(
    id: ShardId,
    mailbox: Arc<Mailbox>,
    rings: Vec<RawFd>,
    gateway: Gateway,
    settings: &LaunchSettings,
    machine: &F,
    start: &S,
    started: &mpsc::Sender<Result<(), LaunchError>>,
) where
    M: Machine,
    F: Fn(ShardId, Now) -> M,
    S: Fn(ShardHandle) -> Fut,
    Fut: Future<Output = Result<(), String>>,
{
    let queues = Queues::make();
    let shell = Rc::new(RefCell::new(ShellCounters::default()));
    let gate = Gate::default();
    let clock = gateway.clock();
    let parts = PumpParts {
        id,
        mesh: gateway.mesh().clone(),
        mailbox: mailbox.clone(),
        store: gateway.driver().clone(),
        clock,
        shell: shell.clone(),
        gate: gate.clone(),
        stall_ms: settings.stall_ms,
        pace_ms: settings.pace_ms,
        send_batch: settings.send_batch,
        spin_us: settings.spin_us,
        rings,
    };
    let pump = Pump::new(machine(id, clock.now()), parts);
    let skip = if pump.watching() { WATCHED_SKIP } else { 0 };
    let running = match glommio::spawn_local_into(pump.clone().run(), queues.live) {
        Ok(task) => task.detach(),
        Err(why) => {
            let _ = started.send(Err(LaunchError::Executor { shard: id.0, why: why.to_string() }));
            return;
        }
    };
    let port = Rc::new(LocalPort(pump));
    let portions = Portions::new(settings.handshake_us, shell.clone());
    let handle = ShardHandle { id, port, gateway, shell, gate, portions: portions.clone(), queues, mailbox };
    handle.spawn(Work::Live, portions.open());
    for every in HEARTBEATS.into_iter().skip(skip) {
        handle.spawn(Work::Background, heartbeat(every));
    }
    let result = start(handle).await.map_err(|why| LaunchError::Start { shard: id.0, why });
    let failed = result.is_err();
    let _ = started.send(result);
    if !failed {
        running.await;
    }
}
