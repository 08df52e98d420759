//! Bringing the log into the database: in turns by a thread of its own, at the end, and after a failure of the disk.
//!
//! When a file of the log is nearly full, or was begun long ago, the writer goes on in the other one and hands its layer over. The thread brings that into redb
//! in one durable transaction, and only then the layer is dropped and the file may be used again. If the thread does not
//! keep up, the files grow a little and then the writer waits: the log, the memory and the time of a next start stay bounded.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use redb::Database;

use super::layer::Layer;
use super::log::{Log, Replay};
use super::opening::{PROBE_PAUSE, close, forget_pages, open_database, pour, probe, read_marks};
use super::trouble::Trouble;
use super::{Core, Layers, Opened, Sick, Writer, mark, overlay};
use crate::store::Failure;
use crate::store::driver::priority;

/// So full is a file of the log when the other one is begun: the rest is for the batches that come before that.
const TURN_AT: f64 = 0.75;
/// So full may it be while the database is still busy with the layer before.
const WAIT_AT: f64 = 2.0;
/// The shards and the writer come first; what this thread does nobody waits for.
const NICE: i32 = 5;

/// What is handed to the thread.
#[derive(Debug, Default)]
pub(super) struct Filling {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The older layer is to be brought in: up to which commit, and the first segment that is then live. There until it is done.
    work: Option<(u64, u64)>,
    stop: bool,
}

impl Filling {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> bool {
        self.state().work.is_some()
    }

    fn wait_until_idle(&self) {
        let mut state = self.state();
        while state.work.is_some() {
            state = self.wait(state);
        }
    }

    fn give(&self, number: u64, segment: u64) {
        self.state().work = Some((number, segment));
        self.changed.notify_all();
    }

    fn done(&self) {
        self.state().work = None;
        self.changed.notify_all();
    }

    /// The next piece of work; `None` when it is to end and nothing is left.
    fn next(&self) -> Option<(u64, u64)> {
        let mut state = self.state();
        loop {
            match state.work {
                Some(work) => return Some(work),
                None if state.stop => return None,
                None => state = self.wait(state),
            }
        }
    }

    /// Has the thread end when it has nothing to do.
    pub(super) fn stop(&self) {
        self.state().stop = true;
        self.changed.notify_all();
    }
}

/// Starts the thread.
pub(super) fn start(core: &Arc<Core>) -> std::io::Result<JoinHandle<()>> {
    let core = Arc::clone(core);
    std::thread::Builder::new().name("store-filler".to_owned()).spawn(move || {
        priority::nice(NICE);
        while let Some((number, segment)) = core.filling.next() {
            let filled = catch_unwind(AssertUnwindSafe(|| core.fill(number, segment)));
            let filled =
                filled.unwrap_or_else(|_| Err(Trouble::Disk("the database broke off while it was filled".into())));
            if let Err(trouble) = filled {
                let why = trouble.failure().to_string();
                tracing::error!("the log cannot be brought into the database: {why}");
                core.fall_sick(&why);
            }
            core.filling.done();
        }
    })
}

impl Replay {
    /// Brings what the log held into the database.
    pub(super) fn pour(&self, database: &Database) -> Result<(), Trouble> {
        let layer = Layer::default();
        for changes in &self.commits {
            layer.take(self.newest, changes);
        }
        pour(database, [&layer], self.newest, self.next_segment)
    }
}

impl Core {
    /// Brings the older layer into the database.
    fn fill(&self, number: u64, segment: u64) -> Result<(), Trouble> {
        let opened = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = opened.database.as_ref().filter(|_| opened.in_earnest);
        let database = database.ok_or_else(|| Trouble::Disk("the database cannot be written".to_owned()))?;
        let layer = self.layers.read().unwrap_or_else(PoisonError::into_inner).older.clone();
        pour(database, layer.as_deref(), number, segment)?;
        self.poured.store(number, Ordering::Release);
        // A read that began before this looks into the layer and finds the same.
        self.layers.write().unwrap_or_else(PoisonError::into_inner).older = None;
        Ok(())
    }

    /// Goes on in the other file when the present one is nearly full and the other one is free.
    pub(super) fn make_room(&self, writer: &mut Writer) -> Result<(), Failure> {
        let full = writer.log.fill();
        let due = full >= TURN_AT || (full > 0.0 && writer.begun.elapsed() >= self.settings.log_age);
        if !due || (self.filling.busy() && full < WAIT_AT) {
            return Ok(());
        }
        self.filling.wait_until_idle();
        if let Some(sick) = &*self.sick() {
            return Err(Failure::Unavailable(sick.why.clone()));
        }
        let turned = writer.dice.number().and_then(|salt| {
            let turned = writer.log.turn(salt);
            turned.map_err(|e| Trouble::Disk(format!("the log cannot be begun anew: {e}")))
        });
        let segment = turned.map_err(|trouble| self.broke_off(trouble))?;
        writer.begun = Instant::now();
        {
            let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
            layers.older = Some(std::mem::take(&mut layers.newer));
        }
        self.filling.give(self.published.load(Ordering::Acquire), segment);
        Ok(())
    }

    fn sick(&self) -> MutexGuard<'_, Option<Sick>> {
        self.sick.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is written until the store is well again; reads go on from what can still be read.
    pub(super) fn fall_sick(&self, why: &str) {
        self.sick().get_or_insert_with(|| Sick { why: why.to_owned(), next_try: Instant::now() });
        self.retreat();
    }

    /// Opens everything anew after a failure, when there is reason to think that it works again.
    pub(super) fn heal(&self, writer: &mut Writer) -> Result<(), Failure> {
        {
            let mut sick = self.sick();
            let Some(sick) = sick.as_mut() else { return Ok(()) };
            if Instant::now() < sick.next_try {
                return Err(Failure::Unavailable(sick.why.clone()));
            }
            sick.next_try = Instant::now() + PROBE_PAUSE;
        }
        // It may still be about to fail, too.
        self.filling.wait_until_idle();
        let healed = match probe(&self.dir.path) {
            Ok(()) => self.begin_anew(writer).inspect_err(|_| self.retreat()),
            Err(e) => {
                let why = format!("the data directory {} cannot be written: {e}", self.dir.path.display());
                Err(Failure::Unavailable(why))
            }
        };
        let mut sick = self.sick();
        match healed {
            Ok(()) => {
                *sick = None;
                tracing::warn!("the store can be written again");
                Ok(())
            }
            Err(failure) => {
                let why = failure.to_string();
                if let Some(sick) = sick.as_mut() {
                    sick.why.clone_from(&why);
                }
                Err(Failure::Unavailable(why))
            }
        }
    }

    /// Opens the database in earnest, brings both layers into it and begins the log anew. What the old log holds is void then, also what
    /// stands in it by a commit that failed.
    fn begin_anew(&self, writer: &mut Writer) -> Result<(), Failure> {
        let mut opened = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // Closed first: two handles of one file would not see each other's pages.
        close(opened.database.take());
        opened.in_earnest = false;
        let database = open_database(&self.database_path(), &self.settings)?;
        let begun = self.check_standing(&database).and_then(|()| self.pour_all(&database, writer));
        match begun {
            Ok(()) => {
                *opened = Opened { database: Some(database), in_earnest: true };
                Ok(())
            }
            Err(failure) => {
                close(Some(database));
                Err(failure)
            }
        }
    }

    fn pour_all(&self, database: &Database, writer: &mut Writer) -> Result<(), Failure> {
        let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
        let (number, segment) = (self.published.load(Ordering::Acquire), writer.log.segment() + 1);
        let both = layers.both();
        pour(database, both.iter().flatten().map(|layer| &**layer), number, segment).map_err(Trouble::failure)?;
        self.poured.store(number, Ordering::Release);
        *layers = Layers::default();
        drop(layers);
        let salt = writer.dice.number().map_err(Trouble::failure)?;
        let log = Log::remake(&self.dir.path, self.settings.log_bytes, segment, salt);
        writer.log = log.map_err(|e| Failure::Unavailable(format!("the log cannot be made: {e}")))?;
        Ok(())
    }

    /// Whether a database that was opened anew has all that was brought into it.
    fn check_standing(&self, database: &Database) -> Result<(), Failure> {
        let standing = read_marks(database)?.map_or(0, |marks| marks.commit);
        mark::check(&self.dir.path, standing, self.poured.load(Ordering::Acquire))
    }

    /// Opens what is on disk for reading alone, if it has all that was brought into it.
    fn retreat(&self) {
        let mut opened = self.database.write().unwrap_or_else(PoisonError::into_inner);
        close(opened.database.take());
        opened.in_earnest = false;
        let again = catch_unwind(AssertUnwindSafe(|| -> Result<Database, Failure> {
            let unavailable = |e: std::io::Error| Failure::Unavailable(e.to_string());
            let file = fs::File::open(self.database_path()).map_err(unavailable)?;
            forget_pages(&file);
            let overlay = overlay::Overlay::new(file).map_err(unavailable)?;
            let mut builder = Database::builder();
            builder.set_cache_size(self.settings.cache_bytes);
            let database = builder.create_with_backend(overlay).map_err(|e| Trouble::from(e).failure())?;
            self.check_standing(&database)?;
            Ok(database)
        }));
        match again {
            Ok(Ok(database)) => opened.database = Some(database),
            Ok(Err(failure)) => tracing::error!("the store cannot even be read: {failure}"),
            Err(_) => tracing::error!("the store cannot even be read: its pages do not fit each other"),
        }
    }

    /// The end: everything goes into the database, so that the next start has nothing to mend. May be called again.
    pub(super) fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut opened = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let Opened { database, in_earnest } = &mut *opened;
        if let Some(database) = database.as_ref().filter(|_| *in_earnest && self.sick().is_none()) {
            let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
            let both = layers.both();
            let layers_left = both.iter().flatten().filter(|layer| !layer.is_empty()).map(|layer| &**layer);
            if layers_left.clone().next().is_some() {
                let number = self.published.load(Ordering::Acquire);
                let segment = writer.log.segment() + 1;
                let poured = catch_unwind(AssertUnwindSafe(|| pour(database, layers_left, number, segment)));
                match poured.unwrap_or_else(|_| Err(Trouble::Disk("the database broke off".to_owned()))) {
                    Ok(()) => *layers = Layers::default(),
                    Err(e) => {
                        let why = e.failure();
                        tracing::warn!("the log stays as it is for the next start, it cannot be brought in: {why}");
                    }
                }
            }
        }
        close(database.take());
    }
}
