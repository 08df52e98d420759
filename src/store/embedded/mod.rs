//! The embedded store: one redb file in the data directory and a log in front of it, sealed as [`super::seal`] says, laid out as
//! `schema/embedded.md` says.
//!
//! A batch is planned against all that is kept ([`tables`]), so a refused write leaves no trace; its changed rows go as one record to the
//! log ([`log`]), and when that is synced they are seen by reads, from a layer in memory ([`layer`]), and reported. When a file of the
//! log is nearly full, a thread brings its layer into redb in one durable transaction ([`filling`]), after which that file is free.
//! After a failure of the disk (no space, an I/O error) writes are refused while reads go on: from the layers, and from the database, which
//! is opened for reading alone if it was redb that failed ([`overlay`]). As soon as something can be written the database takes up the
//! layers and the log begins anew. Damage is named and never skipped, also where redb would skip it and where the end of the log is
//! missing ([`mark`]). One process at a time: the directory is locked.

mod filling;
mod inspect;
mod keys;
mod layer;
mod listing;
mod log;
mod logged;
mod mark;
mod opening;
mod overlay;
mod reading;
mod room_plan;
mod tables;
mod trouble;
mod user_plan;
mod writing;

pub use super::master::{KEY_FILE, MasterKeySource};
pub use inspect::{Report, inspect};
pub use log::LOG_FILES;
pub use mark::COMMIT_MARK_FILE;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase as _};

use self::filling::Filling;
use self::keys::{Dice, Fresh, KeyRing};
use self::layer::Layer;
use self::log::Log;
use self::logged::Draft;
use self::mark::Mark;
use self::opening::{FIRST_COMMIT, open_database, open_ring, read_marks};
use self::reading::Reader;
use self::tables::View;
use self::trouble::Trouble;
use self::writing::Batch;
use super::master::DataDir;
use super::seal::Secret;
use super::{Answer, Backend, Failure, HeldBytes, NameKey, NameKind, Outcome, Query, Write};
use crate::base::UserId;

/// Name of the database in the data directory.
pub const DATABASE_FILE: &str = "store.redb";
/// The format this program writes and reads. A newer one is refused.
pub const FORMAT: u32 = 1;

/// What may be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedSettings {
    /// Bytes of memory for pages.
    pub cache_bytes: usize,
    /// A database up to so many bytes is checked page by page when it is opened (about a second a GiB when it is in memory).
    pub check_on_open_bytes: u64,
    /// Length of each of the log's two files. What is in them is in memory as well, in about three times as many bytes.
    pub log_bytes: u64,
    /// A write that finds the log begun so long ago has it brought into the database, however little it holds.
    pub log_age: Duration,
}

impl Default for EmbeddedSettings {
    fn default() -> Self {
        Self {
            cache_bytes: 16 * 1024 * 1024,
            check_on_open_bytes: 512 * 1024 * 1024,
            log_bytes: 2 * 1024 * 1024,
            log_age: Duration::from_mins(1),
        }
    }
}

/// The embedded backend.
#[derive(Debug)]
pub struct Embedded {
    core: Arc<Core>,
    filler: Mutex<Option<JoinHandle<()>>>,
}

/// What the callers' threads and the filling one share.
#[derive(Debug)]
struct Core {
    dir: DataDir,
    settings: EmbeddedSettings,
    ring: KeyRing,
    database: RwLock<Opened>,
    layers: RwLock<Layers>,
    /// The newest commit that is durable: reads see all up to it.
    published: AtomicU64,
    /// The newest commit that is durable in the database itself.
    poured: AtomicU64,
    writer: Mutex<Writer>,
    filling: Filling,
    sick: Mutex<Option<Sick>>,
}

/// The database, as far as it could be opened.
#[derive(Debug)]
struct Opened {
    database: Option<Database>,
    /// Whether it may be written. Otherwise what is written to it goes nowhere.
    in_earnest: bool,
}

/// What is durable in the log and not, or not known to be, in the database.
#[derive(Debug, Default)]
struct Layers {
    /// Being brought into the database.
    older: Option<Arc<Layer>>,
    newer: Arc<Layer>,
}

impl Layers {
    fn both(&self) -> [Option<Arc<Layer>>; 2] {
        [self.older.clone(), Some(Arc::clone(&self.newer))]
    }
}

#[derive(Debug)]
struct Writer {
    dice: Dice,
    mark: Mark,
    log: Log,
    draft: Draft,
    /// When the log's present segment was begun.
    begun: Instant,
}

#[derive(Debug)]
struct Sick {
    why: String,
    next_try: Instant,
}

impl Embedded {
    /// Opens the store in `dir`, making it at the first start.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] with what to do: another process has it, the master key is missing or another one, the format is
    /// newer than this program, the disk refuses. [`Failure::Damaged`] when the database or the log does not pass its checks or lacks a
    /// commit that was answered.
    pub fn open(dir: &Path, source: &MasterKeySource, settings: EmbeddedSettings) -> Result<Self, Failure> {
        Self::open_with(dir, source, settings, None)
    }

    /// As [`Embedded::open`]; a store that is made now gets this server key instead of a new one (for a copy of another store).
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn open_as(
        dir: &Path,
        source: &MasterKeySource,
        settings: EmbeddedSettings,
        server_key: Secret,
    ) -> Result<Self, Failure> {
        Self::open_with(dir, source, settings, Some(server_key))
    }

    fn open_with(
        dir: &Path,
        source: &MasterKeySource,
        settings: EmbeddedSettings,
        server_key: Option<Secret>,
    ) -> Result<Self, Failure> {
        let dir = DataDir::lock(dir, true)?;
        let path = dir.path.join(DATABASE_FILE);
        let mut mark = Mark::load(&dir.path)?;
        if fs::metadata(&path).map_or(0, |meta| meta.len()) == 0 {
            // No new database in the place of one that was lost.
            mark.check(0)?;
        }
        let database = open_database(&path, &settings)?;
        let mut dice = Dice::new();
        let marks = read_marks(&database)?;
        let (standing, from) = marks.as_ref().map_or((0, 0), |marks| (marks.commit, marks.log));
        let replay = log::replay(&dir.path, from, standing)?;
        mark.check(replay.newest)?;
        let ring = match &marks {
            Some(marks) => open_ring(&marks.server_key, source, &dir.path)?,
            None => {
                opening::make_ring(&database, source, &dir.path, &mut dice, server_key).map_err(Trouble::failure)?
            }
        };
        let newest = if marks.is_none() { FIRST_COMMIT } else { replay.newest };
        if !replay.commits.is_empty() {
            tracing::info!("{} commits of the log are brought into the database", replay.commits.len());
            replay.pour(&database).map_err(Trouble::failure)?;
        }
        let salt = dice.number().map_err(Trouble::failure)?;
        let log = Log::open(&dir.path, settings.log_bytes, replay.next_segment, salt);
        let log = log.map_err(|e| Failure::Unavailable(format!("the log cannot be made: {e}")))?;
        // It is durable, and from now on it is served.
        mark.raise(newest);
        let core = Arc::new(Core {
            dir,
            settings,
            ring,
            database: RwLock::new(Opened { database: Some(database), in_earnest: true }),
            layers: RwLock::default(),
            published: AtomicU64::new(newest),
            poured: AtomicU64::new(newest),
            writer: Mutex::new(Writer { dice, mark, log, draft: Draft::default(), begun: Instant::now() }),
            filling: Filling::default(),
            sick: Mutex::new(None),
        });
        let filler = filling::start(&core);
        let filler = filler.map_err(|e| Failure::Unavailable(format!("a thread cannot be started: {e}")))?;
        Ok(Self { core, filler: Mutex::new(Some(filler)) })
    }
}

impl Core {
    fn database_path(&self) -> PathBuf {
        self.dir.path.join(DATABASE_FILE)
    }

    /// Carries out a batch: one record of the log.
    fn commit(&self, writer: &mut Writer, batch: Vec<Write>) -> Result<Vec<Result<Outcome, Failure>>, Trouble> {
        let number = self.published.load(Ordering::Acquire) + 1;
        let opened = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = opened.database.as_ref().ok_or_else(|| Trouble::Disk("the database is not open".to_owned()))?;
        let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner).both();
        let layer = layers.last().cloned().flatten().unwrap_or_default();
        let view = View::lazy(database, layers, number);
        let Writer { dice, mark, log, draft, .. } = writer;
        draft.clear();
        let mut results = Vec::with_capacity(batch.len());
        let fresh = {
            let (ring, fresh) = (&self.ring, Fresh::default());
            let mut open = Batch { view: &view, layer: &layer, draft, number, ring, dice, fresh };
            for write in batch {
                match open.write(write) {
                    Ok(outcome) => results.push(Ok(outcome)),
                    Err(Trouble::Own(failure)) => results.push(Err(failure)),
                    Err(disk) => return Err(disk),
                }
            }
            open.fresh
        };
        if draft.is_empty() {
            // Nothing changes, and what was found is durable.
            return Ok(results);
        }
        log.append(number, draft).map_err(|e| Trouble::Disk(e.to_string()))?;
        self.published.store(number, Ordering::Release);
        // Only here: a commit that failed, or may have, was answered to nobody.
        mark.raise(number);
        fresh.remember(&self.ring);
        Ok(results)
    }

    /// A commit broke off: nothing of it is seen, and nothing is written until the store is well again.
    fn broke_off(&self, trouble: Trouble) -> Failure {
        // No read looks so far, and getting well begins a new layer; what is not to be seen is not kept all the same.
        let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
        layers.newer.forget_after(self.published.load(Ordering::Acquire));
        drop(layers);
        let why = trouble.failure().to_string();
        tracing::error!("the store cannot be written: {why}");
        self.fall_sick(&why);
        Failure::Unavailable(why)
    }
}

impl Backend for Embedded {
    fn write_each(&self, batch: Vec<Write>) -> Result<Vec<Result<Outcome, Failure>>, Failure> {
        let core = &*self.core;
        let mut writer = core.writer.lock().unwrap_or_else(PoisonError::into_inner);
        core.heal(&mut writer)?;
        core.make_room(&mut writer)?;
        // A page that is damaged may lead redb astray; what was planned is then taken out again.
        let result = catch_unwind(AssertUnwindSafe(|| core.commit(&mut writer, batch)))
            .unwrap_or_else(|_| Err(Trouble::Disk("the database broke off in the middle of a batch".to_owned())));
        result.map_err(|trouble| core.broke_off(trouble))
    }

    fn read(&self, query: &Query) -> Result<Answer, Failure> {
        let core = &*self.core;
        let opened = core.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = opened.database.as_ref() else {
            return Err(Failure::Unavailable("the database could not be opened again; see the log".to_owned()));
        };
        let answer = catch_unwind(AssertUnwindSafe(|| -> Result<Answer, Trouble> {
            let tables = {
                // Under the lock no layer is taken away between the look at the layers and that at the database.
                let layers = core.layers.read().unwrap_or_else(PoisonError::into_inner);
                let view = View::lazy(database, layers.both(), core.published.load(Ordering::Acquire));
                view.pin()?;
                view
            };
            Reader { tables, ring: &core.ring }.answer(query)
        }));
        let lost =
            |_| Err(Trouble::Own(Failure::Damaged("a page of the database; run `causerie check --data`".into())));
        answer.unwrap_or_else(lost).map_err(|trouble| {
            let failure = trouble.failure();
            if matches!(failure, Failure::Damaged(_)) {
                tracing::error!("{failure}");
            }
            failure
        })
    }

    fn name_key(&self, kind: NameKind, folded: &str) -> NameKey {
        self.core.ring.server.name_key(kind, folded)
    }

    fn pair_key(&self, a: UserId, b: UserId) -> [u8; 16] {
        self.core.ring.server.pair_key(a, b)
    }

    fn server_key(&self) -> Secret {
        self.core.ring.server.secret()
    }

    fn size_bytes(&self) -> u64 {
        // Blocks and not length: the database may have holes.
        let on_disk = |name: &str| fs::metadata(self.core.dir.path.join(name)).map_or(0, |meta| meta.blocks() * 512);
        on_disk(DATABASE_FILE) + LOG_FILES.iter().map(|name| on_disk(name)).sum::<u64>()
    }

    fn held_bytes(&self) -> HeldBytes {
        let core = &*self.core;
        let layers = core.layers.read().unwrap_or_else(PoisonError::into_inner);
        let layer_bytes: usize = layers.both().iter().flatten().map(|layer| layer.bytes()).sum();
        drop(layers);
        let opened = core.database.read().unwrap_or_else(PoisonError::into_inner);
        let cache_bytes = opened.database.as_ref().map_or(0, |database| database.cache_stats().used_bytes());
        HeldBytes { cache_bytes: cache_bytes as u64, layer_bytes: layer_bytes as u64 }
    }

    fn close(&self) {
        let filler = self.filler.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(filler) = filler {
            self.core.filling.stop();
            if filler.join().is_err() {
                tracing::error!("the thread that fills the database ended in a panic");
            }
        }
        self.core.close();
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}
