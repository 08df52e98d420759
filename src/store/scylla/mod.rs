//! History in `ScyllaDB` (or Apache Cassandra): the store port over the `scylla` driver, laid out as `schema/README.md` says, sealed as
//! [`super::seal`] says.
//!
//! One process owns all slots and is the only one that writes ([`lease`]); what the port promises rests on that. A room's or user's write is
//! one batch on one partition, or a plan that is kept before it is carried out ([`plan`]). All of it happens on the bridge's thread, in lanes
//! that keep the order of each room and user ([`core`]). When the database is away, writes and reads are refused at once until the lease can
//! be renewed again. Nothing is answered as done that was not confirmed under a valid lease.

mod ask;
mod change;
mod connect;
mod core;
mod cql;
mod driver;
mod event;
mod keys;
mod lease;
mod listing;
mod lists;
mod migrate;
mod names;
mod people;
mod plan;
mod read;
mod room;
mod room_plan;
mod statements;
mod tls;
mod user;

pub use connect::{ReadWrite, Replication, ScyllaSettings, TlsFiles, is_keyspace_name};
pub use driver::Bounds;
pub use migrate::{MIGRATIONS, Migration, Status};

use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use self::core::Core;
use self::cql::{Cql, Trouble};
use self::driver::Numbers;
use self::keys::KeyRing;
use self::lease::Lease;
use super::driver::{Done, DriverNumbers, Full, weight};
use super::master::{DataDir, MasterKeySource};
use super::seal::{Secret, ServerKeys};
use super::{Answer, Backend, Failure, NameChange, NameKey, NameKind, Outcome, Query, Write};
use crate::base::UserId;
use crate::runtime::bridge::{Bridge, Gone};
use crate::shard::{StoreOp, StoreResult};

/// What is done when another process has taken our slots: from then on nothing more can be written.
pub type Lost = Box<dyn FnOnce() + Send>;

enum Request {
    Write(Write, u64, Done),
    Read(Query, Done),
    /// Finish what is under way and give the slots back.
    Leave(mpsc::SyncSender<()>),
}

/// How the store is opened.
#[derive(Clone, Copy)]
struct Opening {
    /// For a keyspace that has none yet.
    server_key: Option<Secret>,
    /// Whether another owner is waited for.
    wait: bool,
    /// Whether the directory is locked here; otherwise this process has it already.
    lock: bool,
}

/// The store on `ScyllaDB`.
pub struct Scylla {
    requests: UnboundedSender<Request>,
    numbers: Arc<Numbers>,
    server: ServerKeys,
    bridge: Bridge,
    closed: AtomicBool,
    /// Ours alone: whoever finds our slots taken and holds this knows that we are gone.
    dir: Mutex<Option<DataDir>>,
}

impl std::fmt::Debug for Scylla {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scylla").finish_non_exhaustive()
    }
}

fn gone(_: Gone) -> Failure {
    Failure::Unavailable("the store has stopped".to_owned())
}

/// Runs one job on a thread of its own for it, such as a migration.
fn once<T, F>(make: impl FnOnce() -> F + Send + 'static) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + 'static,
{
    let bridge = Bridge::start("store-schema").map_err(|e| Failure::Unavailable(e.to_string()))?;
    bridge.call(make).map_err(gone)?
}

/// Makes the keyspace and all tables as far as they are missing; names the steps that were applied.
///
/// # Errors
/// [`Failure::Unavailable`]: the database cannot be reached or refuses, or its schema is newer than this program.
pub fn migrate(settings: &ScyllaSettings) -> Result<Vec<&'static str>, Failure> {
    let settings = settings.clone().unbundled()?;
    once(move || async move { migrate::migrate(&settings).await })
}

/// What of the schema is there.
///
/// # Errors
/// [`Failure::Unavailable`]: the database cannot be reached.
pub fn migration_status(settings: &ScyllaSettings) -> Result<Status, Failure> {
    let settings = settings.clone().unbundled()?;
    once(move || async move { migrate::status(&settings).await })
}

/// Notes a step as applied without applying it: for who brought the tables in by hand, and for tests.
///
/// # Errors
/// [`Failure::Unavailable`]: the database cannot be reached or refuses.
pub fn mark_as_applied(settings: &ScyllaSettings, version: i32, name: &str) -> Result<(), Failure> {
    let (settings, name) = (settings.clone().unbundled()?, name.to_owned());
    once(
        move || async move { migrate::note(&settings.connect_to_one().await?, &settings.keyspace, version, &name).await },
    )
}

/// Whether the database can be reached.
///
/// # Errors
/// [`Failure::Unavailable`]: no node answers, or not to us.
pub fn reach(settings: &ScyllaSettings) -> Result<(), Failure> {
    let settings = settings.clone().unbundled()?;
    once(move || async move { settings.reach().await })
}

/// Removes the keyspace and all that is in it. There is no way back; for tests.
///
/// # Errors
/// [`Failure::Unavailable`]: the database cannot be reached or refuses.
pub fn drop_keyspace(settings: &ScyllaSettings) -> Result<(), Failure> {
    let settings = settings.clone().unbundled()?;
    once(move || async move { migrate::drop_keyspace(&settings).await })
}

impl Scylla {
    /// Opens the store. `dir` holds the master key (unless it comes from elsewhere) and who we were; it is locked. Waits as long as another
    /// process owns the slots. `lost` is called when one has taken them from us.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] with what to do: the database cannot be reached, its schema is missing or newer, the master key is another
    /// one, the directory is in use.
    pub fn open(dir: &Path, source: &MasterKeySource, settings: ScyllaSettings, lost: Lost) -> Result<Self, Failure> {
        Self::open_with(dir, source, settings, lost, Opening { server_key: None, wait: true, lock: true })
    }

    /// Opens the store to copy everything out of it or into it: does not wait for another process that owns the slots. In a keyspace that
    /// has no server key yet the one that is given is put there. `lock`: whether the directory is still to be locked.
    ///
    /// # Errors
    /// As [`Scylla::open`]; [`Failure::Unavailable`] also when another process uses the keyspace.
    pub fn open_to_copy(
        dir: &Path,
        source: &MasterKeySource,
        settings: ScyllaSettings,
        lost: Lost,
        server_key: Option<Secret>,
        lock: bool,
    ) -> Result<Self, Failure> {
        Self::open_with(dir, source, settings, lost, Opening { server_key, wait: false, lock })
    }

    fn open_with(
        dir: &Path,
        source: &MasterKeySource,
        settings: ScyllaSettings,
        lost: Lost,
        opening: Opening,
    ) -> Result<Self, Failure> {
        let path = dir.to_owned();
        let dir = opening.lock.then(|| DataDir::lock(dir, true)).transpose()?;
        let settings = settings.unbundled()?;
        let bridge = Bridge::start("store-bridge").map_err(|e| Failure::Unavailable(e.to_string()))?;
        let (requests, waiting) = unbounded_channel();
        let numbers = Arc::new(Numbers::new(settings.bounds));
        let (source, counting) = (source.clone(), Arc::clone(&numbers));
        let opened = bridge.call(move || async move {
            migrate::demand(&settings).await?;
            let session = settings.connect().await?;
            let (patience, consistencies, reading) =
                (settings.patience(), settings.consistencies(), settings.reading());
            let cql =
                Cql::prepare(session, &settings.keyspace, patience, settings.in_flight, &consistencies, &reading).await;
            let cql = cql.map_err(Trouble::failure)?;
            let ring = KeyRing::open(&cql, &source, &path, opening.server_key).await.map_err(Trouble::failure)?;
            let lease = Lease::take(&cql, settings.lease, &path, opening.wait).await.map_err(Trouble::failure)?;
            let secret = ring.server_secret;
            let core = Rc::new(Core::new(cql, Rc::clone(&lease), ring, counting));
            tokio::task::spawn_local(lease.keep(Rc::clone(&core), lost));
            tokio::task::spawn_local(serve(core, waiting));
            Ok::<_, Failure>(secret)
        });
        let server = ServerKeys::new(opened.map_err(gone)??);
        let dir = Mutex::new(dir);
        Ok(Self { requests, numbers, server, bridge, closed: AtomicBool::new(false), dir })
    }

    /// Queues a job. `done` is called once, on the bridge's thread; it must be short.
    ///
    /// # Errors
    /// As much waits as may wait, or the store is closed: `done` will not be called.
    pub fn submit(&self, op: StoreOp, done: Done) -> Result<(), Full> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Full::Stopped);
        }
        let request = match op {
            StoreOp::Write(write) => {
                let bytes = weight(&write) as u64;
                if !self.numbers.take_write(bytes) {
                    return Err(Full::Queue);
                }
                Request::Write(write, bytes, done)
            }
            StoreOp::Read(query) => {
                if !self.numbers.take_read() {
                    return Err(Full::Queue);
                }
                Request::Read(query, done)
            }
        };
        self.requests.send(request).map_err(|_| Full::Stopped)
    }

    /// The numbers as they are now.
    #[must_use]
    pub fn numbers(&self) -> DriverNumbers {
        self.numbers.now()
    }

    /// Jobs that are not answered yet.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.numbers.waiting()
    }

    /// Returns when all jobs were answered. Blocks. New ones are refused from now on.
    pub fn drain(&self) {
        self.closed.store(true, Ordering::Release);
        let (tell, told) = mpsc::sync_channel(1);
        if self.requests.send(Request::Leave(tell)).is_ok() {
            // An error says that the thread ended, and with it all that waited.
            let _ = told.recv();
        }
    }

    /// Hands a job over, waiting while the queue is full: for callers that may block.
    fn hand_over(
        &self,
        op: StoreOp,
        answer: &mpsc::Sender<(usize, StoreResult)>,
        number: usize,
    ) -> Result<(), Failure> {
        let stopped = || Failure::Unavailable("the store is shutting down".to_owned());
        let answer = answer.clone();
        let done: Done = Box::new(move |result| drop(answer.send((number, result))));
        if self.closed.load(Ordering::Acquire) {
            return Err(stopped());
        }
        let request = match op {
            StoreOp::Write(write) => {
                let bytes = weight(&write) as u64;
                while !self.numbers.take_write(bytes) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Request::Write(write, bytes, done)
            }
            StoreOp::Read(query) => {
                while !self.numbers.take_read() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Request::Read(query, done)
            }
        };
        self.requests.send(request).map_err(|_| stopped())
    }
}

/// Whether what others do may decide over a write, or the other way round: then it is not carried out beside them.
fn stands_alone(write: &Write) -> bool {
    match write {
        Write::Room(write) => write.name != NameChange::default(),
        Write::User(write) => write.name != NameChange::default() || write.admin_if_first,
        Write::RotateRefresh { .. } | Write::Trim { .. } | Write::Setting { .. } => false,
    }
}

impl Backend for Scylla {
    fn write_each(&self, batch: Vec<Write>) -> Result<Vec<Result<Outcome, Failure>>, Failure> {
        let (tell, told) = mpsc::channel();
        let mut results: Vec<Option<Result<Outcome, Failure>>> = batch.iter().map(|_| None).collect();
        let mut under_way = 0;
        let mut wait = |under_way: &mut usize| {
            for (number, result) in told.iter().take(std::mem::take(under_way)) {
                if let (Some(place), StoreResult::Written(result)) = (results.get_mut(number), result) {
                    *place = Some(result);
                }
            }
        };
        for (number, write) in batch.into_iter().enumerate() {
            let alone = stands_alone(&write);
            if alone {
                wait(&mut under_way);
            }
            self.hand_over(StoreOp::Write(write), &tell, number)?;
            under_way += 1;
            if alone {
                wait(&mut under_way);
            }
        }
        drop(tell);
        wait(&mut under_way);
        let lost = || Err(Failure::Unavailable("the store has stopped".to_owned()));
        let results: Vec<_> = results.into_iter().map(|result| result.unwrap_or_else(lost)).collect();
        // Of a write that may have happened or not nobody is told anything: nor of its batch.
        match results.iter().find(|result| matches!(result, Err(failure) if failure.ambiguous())) {
            Some(Err(failure)) => Err(failure.clone()),
            _ => Ok(results),
        }
    }

    fn read(&self, query: &Query) -> Result<Answer, Failure> {
        let (tell, told) = mpsc::channel();
        self.hand_over(StoreOp::Read(query.clone()), &tell, 0)?;
        drop(tell);
        match told.recv() {
            Ok((_, StoreResult::Read(answer))) => answer,
            Ok((_, StoreResult::Written(_))) => Err(Failure::Misuse("a read was answered as a write".to_owned())),
            Err(_) => Err(Failure::Unavailable("the store has stopped".to_owned())),
        }
    }

    fn name_key(&self, kind: NameKind, folded: &str) -> NameKey {
        self.server.name_key(kind, folded)
    }

    fn pair_key(&self, a: UserId, b: UserId) -> [u8; 16] {
        self.server.pair_key(a, b)
    }

    fn server_key(&self) -> Secret {
        self.server.secret()
    }

    /// The database is not on this machine: its own metrics say it.
    fn size_bytes(&self) -> u64 {
        0
    }

    fn close(&self) {
        self.drain();
        self.bridge.close();
        drop(self.dir.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Scylla {
    fn drop(&mut self) {
        self.close();
    }
}

/// Takes requests, on the bridge's thread, until the store is left.
async fn serve(core: Rc<Core>, mut waiting: tokio::sync::mpsc::UnboundedReceiver<Request>) {
    while let Some(request) = waiting.recv().await {
        match request {
            Request::Write(write, bytes, done) => {
                let numbers = Arc::clone(&core.numbers);
                core.write(
                    write,
                    Box::new(move |result| {
                        numbers.wrote(bytes, result.is_err());
                        done(StoreResult::Written(result));
                    }),
                );
            }
            Request::Read(query, done) => {
                let core = Rc::clone(&core);
                tokio::task::spawn_local(async move {
                    let began = Instant::now();
                    let result = core.read(&query).await.map_err(Trouble::failure);
                    if let Err(failure @ Failure::Damaged(_)) = &result {
                        tracing::error!("{failure}");
                    }
                    core.numbers.looked(began, result.is_err());
                    done(StoreResult::Read(result));
                });
            }
            Request::Leave(tell) => {
                let core = Rc::clone(&core);
                // What came in at the last moment is still behind this request.
                tokio::task::spawn_local(async move {
                    while core.busy() || core.numbers.waiting() > 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    if let Err(trouble) = core.lease.leave(&core.cql).await {
                        let why = trouble.failure();
                        tracing::warn!(
                            "the slots could not be given back: {why}; another directory's start waits for the lease"
                        );
                    }
                    // Whoever asked may have gone.
                    let _ = tell.send(());
                });
            }
        }
    }
}
