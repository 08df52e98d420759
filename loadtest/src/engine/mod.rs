//! The engine: threads that hold the connections, each with one epoll, and do at each moment what the agenda says.
//!
//! | file | what it is |
//! |---|---|
//! | this one | what the threads share, and the crew that the run talks to |
//! | [`agenda`] | everything that is to happen, in the order of time. Pure |
//! | [`wire`] | WebSocket frames. Pure |
//! | [`conn`] | one user and its connection |
//! | [`worker`] | one thread: its loop and its clock |
//! | `socket` | opening, reading, writing, losing a connection |
//! | `comings` | who is to be there: connecting, storms, churn, stalls |
//! | `hear` | what the servers' words mean for clock and checker |
//! | `talk` | sending messages and requests |
//! | [`tally`] | what is counted |

pub mod agenda;
mod comings;
pub mod conn;
mod hear;
mod socket;
mod talk;
pub mod tally;
pub mod wire;
pub mod worker;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::adapter::{Adapter, Can};
use crate::ledger::Ledger;
use crate::plan::{Part, Plan};
use crate::scenario::Scenario;
use crate::schedule::nanos;
use crate::world::World;
use crate::{Context as _, Failure};

pub use tally::{Interval, Tally};
use worker::Worker;

/// What all threads know and none changes.
pub struct Setup {
    /// What the server speaks.
    pub adapter: Box<dyn Adapter>,
    /// What it promises.
    pub can: Can,
    /// Users and rooms.
    pub world: World,
    /// What is done.
    pub scenario: Scenario,
    /// What is known of the rooms.
    pub ledger: Ledger,
    /// Addresses of the server.
    pub addresses: Vec<SocketAddr>,
    /// `host:port`, for the upgrade.
    pub host: String,
    /// Path of the socket.
    pub path: String,
    /// How TLS is done, if it is.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Which users are here.
    pub part: Part,
    /// Threads.
    pub workers: u32,
    /// The moment from which all nanoseconds count.
    pub zero: Instant,
    /// When the first phase begins, in nanoseconds after `zero`. Set once.
    pub start: OnceLock<u64>,
    /// Ends of the phases, in nanoseconds after the start.
    pub ends: Vec<u64>,
    /// Counts over all threads.
    pub totals: Totals,
}

/// Counts over all threads, for the progress and for knowing when all is in.
#[derive(Debug, Default)]
pub struct Totals {
    /// Connections whose user is there.
    pub open: AtomicU64,
    /// Users who are to catch up yet.
    pub behind: AtomicU64,
    /// Messages and requests that await an answer.
    pub pending: AtomicU64,
    /// Messages sent.
    pub sent: AtomicU64,
    /// Deliveries that came.
    pub delivered: AtomicU64,
    /// Deliveries that must come.
    pub expected: AtomicU64,
}

impl Totals {
    /// One more.
    pub fn add(of: &AtomicU64, count: u64) {
        of.fetch_add(count, Ordering::Relaxed);
    }

    /// One less.
    pub fn less(of: &AtomicU64, count: u64) {
        of.fetch_sub(count, Ordering::Relaxed);
    }

    /// How many.
    #[must_use]
    pub fn get(of: &AtomicU64) -> u64 {
        of.load(Ordering::Relaxed)
    }
}

impl Setup {
    /// Everything for a plan whose rooms are made.
    ///
    /// # Errors
    /// When the target's name has no address.
    pub fn new(plan: &Plan, adapter: Box<dyn Adapter>, world: World) -> Result<Self, Failure> {
        let tls = match &plan.target.tls {
            Some(config) => {
                let name = ServerName::try_from(plan.target.host().to_owned()).context("the target's name")?;
                Some((config.clone(), name))
            }
            None => None,
        };
        let mut end = 0;
        let ends = plan.scenario.phases.iter().map(|phase| {
            end += nanos(phase.seconds);
            end
        });
        Ok(Self {
            can: adapter.can(),
            adapter,
            ledger: Ledger::new(world.layout.rooms()),
            world,
            ends: ends.collect(),
            scenario: plan.scenario.clone(),
            addresses: plan.target.addresses()?,
            host: plan.target.address.clone(),
            path: plan.target.path.clone(),
            tls,
            part: plan.part,
            workers: u32::try_from(plan.workers.max(1)).unwrap_or(1),
            zero: Instant::now(),
            start: OnceLock::new(),
            totals: Totals::default(),
        })
    }

    /// Nanoseconds since zero.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The phase that a moment (after the start) belongs to; what comes later belongs to the last.
    #[must_use]
    pub fn phase_at(&self, due: u64) -> usize {
        self.ends.partition_point(|&end| end <= due).min(self.ends.len().saturating_sub(1))
    }

    /// Whether this thread of this process holds the user.
    #[must_use]
    pub fn holds(&self, worker: u32, user: u32) -> bool {
        self.part.holds(user) && user / self.part.of.max(1) % self.workers == worker
    }

    /// Where in its thread's list a user stands who is held there.
    #[must_use]
    pub fn slot(&self, user: u32) -> usize {
        (user / self.part.of.max(1) / self.workers) as usize
    }

    /// How many users are held here.
    #[must_use]
    pub fn held(&self) -> u64 {
        (0..self.world.layout.users()).filter(|&user| self.part.holds(user)).count() as u64
    }
}

/// What a thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Bring everybody in.
    Connect,
    /// Let everybody leave.
    Leave,
    /// The clock of the phases is set: go.
    Go,
    /// Enough: report.
    Stop,
}

/// What a thread tells.
pub enum Told {
    /// Everybody is in (after [`Order::Connect`]) or out (after [`Order::Leave`]).
    Ready,
    /// What a second showed.
    Second(Box<Interval>),
    /// It cannot go on.
    Failed(Failure),
    /// Everything it counted, after [`Order::Stop`].
    Done(Box<Tally>),
}

/// The threads.
pub struct Crew {
    /// What they share.
    pub setup: Arc<Setup>,
    orders: Vec<Sender<Order>>,
    told: Receiver<Told>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Starts them.
    ///
    /// # Errors
    /// When the kernel gives no thread or no epoll.
    pub fn start(setup: Setup) -> Result<Self, Failure> {
        let setup = Arc::new(setup);
        let (tell, told) = mpsc::channel();
        let (mut orders, mut threads) = (Vec::new(), Vec::new());
        for number in 0..setup.workers {
            let (order, ordered) = mpsc::channel();
            let worker = Worker::new(setup.clone(), number, ordered, tell.clone())?;
            let name = format!("load-{number}");
            let thread = thread::Builder::new().name(name).spawn(move || worker.run());
            threads.push(thread.context("starting a thread")?);
            orders.push(order);
        }
        Ok(Self { setup, orders, told, threads })
    }

    /// Tells all of them.
    pub fn order(&self, order: Order) {
        for to in &self.orders {
            // One that is gone has said why.
            let _ = to.send(order);
        }
    }

    /// What one of them tells, if any does within this time.
    ///
    /// # Errors
    /// When one could not go on.
    pub fn hear(&self, within: Duration) -> Result<Option<Told>, Failure> {
        match self.told.recv_timeout(within) {
            Ok(Told::Failed(why)) => Err(why),
            Ok(told) => Ok(Some(told)),
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(None),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(Failure::new("the engine", "its threads are gone")),
        }
    }

    /// How many threads there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.orders.len()
    }

    /// Waits for all threads to end, after [`Order::Stop`].
    pub fn join(self) {
        drop(self.orders);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}
