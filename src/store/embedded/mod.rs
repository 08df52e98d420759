//! The embedded store: one redb file in the data directory, sealed as [`super::seal`] says, laid out as `schema/embedded.md` says.
//!
//! One transaction a batch, durable (`fdatasync`) before [`Backend::write_each`] returns. A write is planned before anything
//! changes, so a refused one leaves no trace. After a failure of the disk (no space, an I/O error) redb neither reads nor writes any
//! more; so the database is closed and opened for reading alone, with what redb would repair held in memory ([`overlay`]): writes are
//! refused while reads go on. As soon as something can be written it is opened in earnest again, which brings it back to what was
//! durable. Damage is named and never skipped, also where redb would skip it ([`mark`]). One process at a time: the directory is locked.

mod inspect;
mod keys;
mod mark;
mod master;
mod overlay;
mod reading;
mod room_plan;
mod tables;
mod trouble;
mod user_plan;
mod writing;

pub use inspect::{Report, inspect};
pub use mark::COMMIT_MARK_FILE;
pub use master::{KEY_FILE, MasterKeySource};

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableHandle as _};

use self::keys::{Dice, Fresh, KeyRing};
use self::mark::Mark;
use self::master::DataDir;
use self::reading::Reader;
use self::tables::{Reading, What, Writing};
use self::trouble::{Trouble, damaged};
use self::writing::Batch;
use super::record::{self, StoredBytes};
use super::seal::{MasterKey, ServerKeys, Wrapped};
use super::{Answer, Backend, Failure, NameKey, NameKind, Outcome, Query, Write};
use crate::base::UserId;

/// Name of the database in the data directory.
pub const DATABASE_FILE: &str = "store.redb";
/// The format this program writes and reads. A newer one is refused.
pub const FORMAT: u32 = 1;

const FORMAT_MARK: &str = "format";
const SERVER_KEY_MARK: &str = "server_key";
/// The number of the newest commit.
const COMMIT_MARK: &str = "commit";
/// So much must be writable before the database is opened anew after a failure.
const PROBE_BYTES: usize = 1024 * 1024;
/// Between two tries to get well.
const PROBE_PAUSE: Duration = Duration::from_millis(200);

/// What may be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedSettings {
    /// Bytes of memory for pages.
    pub cache_bytes: usize,
    /// A database up to so many bytes is checked page by page when it is opened (about a second a GiB when it is in memory).
    pub check_on_open_bytes: u64,
}

impl Default for EmbeddedSettings {
    fn default() -> Self {
        Self { cache_bytes: 256 * 1024 * 1024, check_on_open_bytes: 512 * 1024 * 1024 }
    }
}

/// The embedded backend.
#[derive(Debug)]
pub struct Embedded {
    dir: DataDir,
    settings: EmbeddedSettings,
    ring: KeyRing,
    /// While `Writer::sick` is set it is open for reading alone; `None` where not even that worked.
    database: RwLock<Option<Database>>,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    dice: Dice,
    mark: Mark,
    sick: Option<Sick>,
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
    /// newer than this program, the disk refuses. [`Failure::Damaged`] when the database does not pass its checks or lacks a commit that was
    /// answered.
    pub fn open(dir: &Path, source: &MasterKeySource, settings: EmbeddedSettings) -> Result<Self, Failure> {
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
        mark.check(Marks::commit(marks.as_ref()))?;
        let ring = match &marks {
            Some(marks) => open_ring(&marks.server_key, source, &dir.path)?,
            None => make_ring(&database, source, &dir.path, &mut dice).map_err(Trouble::failure)?,
        };
        // What redb opened is durable, and from now on it is served.
        mark.raise(Marks::commit(marks.as_ref()).max(FIRST_COMMIT));
        Ok(Self {
            dir,
            settings,
            ring,
            database: RwLock::new(Some(database)),
            writer: Mutex::new(Writer { dice, mark, sick: None }),
        })
    }

    fn database_path(&self) -> PathBuf {
        self.dir.path.join(DATABASE_FILE)
    }

    /// Carries out a batch in one transaction.
    fn commit(&self, writer: &mut Writer, batch: Vec<Write>) -> Result<Vec<Result<Outcome, Failure>>, Trouble> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| Trouble::Disk("the database is not open".to_owned()))?;
        let mut transaction = database.begin_write()?;
        // What redb does unless told otherwise; said here because every ack hangs on it.
        let durable = transaction.set_durability(redb::Durability::Immediate);
        durable.map_err(|e| Trouble::Disk(e.to_string()))?;
        let mut results = Vec::with_capacity(batch.len());
        let (number, fresh) = {
            let mut tables = Writing::open(&transaction)?;
            let number = next_commit(&mut tables).map_err(Trouble::while_changing)?;
            let dice = &mut writer.dice;
            let mut open = Batch { tables, ring: &self.ring, dice, fresh: Fresh::default() };
            for write in batch {
                match open.write(write) {
                    Ok(outcome) => results.push(Ok(outcome)),
                    Err(Trouble::Own(failure)) => results.push(Err(failure)),
                    Err(disk) => return Err(disk),
                }
            }
            (number, open.fresh)
        };
        transaction.commit()?;
        // Only here: a commit that failed, or may have, was answered to nobody.
        writer.mark.raise(number);
        fresh.remember(&self.ring);
        Ok(results)
    }

    /// Opens the database anew after a failure, when there is reason to think that it works again.
    fn heal(&self, writer: &mut Writer) -> Result<(), Failure> {
        let Writer { mark, sick: Some(sick), .. } = writer else { return Ok(()) };
        let refused = |why: &str| Failure::Unavailable(why.to_owned());
        if Instant::now() < sick.next_try {
            return Err(refused(&sick.why));
        }
        sick.next_try = Instant::now() + PROBE_PAUSE;
        if let Err(e) = probe(&self.dir.path) {
            sick.why = format!("the data directory {} cannot be written: {e}", self.dir.path.display());
            return Err(refused(&sick.why));
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // Closed first: two handles of one file would not see each other's pages.
        close(database.take());
        match self.open_checked(mark) {
            Ok(opened) => {
                *database = Some(opened);
                tracing::warn!("the store can be written again");
                writer.sick = None;
                Ok(())
            }
            Err(failure) => {
                sick.why = failure.to_string();
                drop(database);
                self.retreat(mark);
                Err(Failure::Unavailable(failure.to_string()))
            }
        }
    }

    /// Opens the database in earnest, if it has all that was answered.
    fn open_checked(&self, mark: &mut Mark) -> Result<Database, Failure> {
        let database = open_database(&self.database_path(), &self.settings)?;
        let standing = read_marks(&database).map(|marks| Marks::commit(marks.as_ref()));
        match standing.and_then(|standing| mark.check(standing).map(|()| standing)) {
            Ok(standing) => {
                mark.raise(standing);
                Ok(database)
            }
            Err(failure) => {
                close(Some(database));
                Err(failure)
            }
        }
    }

    /// Opens what is on disk for reading alone, if it has all that was answered.
    fn retreat(&self, mark: &Mark) {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        close(database.take());
        let opened = catch_unwind(AssertUnwindSafe(|| -> Result<Database, Failure> {
            let unavailable = |e: std::io::Error| Failure::Unavailable(e.to_string());
            let file = fs::File::open(self.database_path()).map_err(unavailable)?;
            forget_pages(&file);
            let overlay = overlay::Overlay::new(file).map_err(unavailable)?;
            let mut builder = Database::builder();
            builder.set_cache_size(self.settings.cache_bytes);
            let opened = builder.create_with_backend(overlay).map_err(|e| Trouble::from(e).failure())?;
            mark.check(Marks::commit(read_marks(&opened)?.as_ref()))?;
            Ok(opened)
        }));
        match opened {
            Ok(Ok(opened)) => *database = Some(opened),
            Ok(Err(failure)) => tracing::error!("the store cannot even be read: {failure}"),
            Err(_) => tracing::error!("the store cannot even be read: its pages do not fit each other"),
        }
    }
}

/// Closes a database; one with damaged pages may go astray in doing so.
fn close(database: Option<Database>) {
    let closed = catch_unwind(AssertUnwindSafe(|| database.map_or(Ok(()), Database::close)));
    match closed {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::warn!("the database did not close in order, which its next start mends: {e}"),
        Err(_) => tracing::error!("the database did not close in order: its pages do not fit each other"),
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        close(self.database.get_mut().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// After a sync that failed, memory may hold pages that the disk does not have: look at what the disk has.
fn forget_pages(file: &fs::File) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

impl Backend for Embedded {
    fn write_each(&self, batch: Vec<Write>) -> Result<Vec<Result<Outcome, Failure>>, Failure> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.heal(&mut writer)?;
        // A page that is damaged may lead redb astray; the transaction is then dropped, which undoes it.
        let result = catch_unwind(AssertUnwindSafe(|| self.commit(&mut writer, batch)))
            .unwrap_or_else(|_| Err(Trouble::Disk("the database broke off in the middle of a batch".to_owned())));
        result.map_err(|trouble| {
            let failure = trouble.failure();
            tracing::error!("the store cannot be written: {failure}");
            // Whether the batch is on disk is decided by opening anew: what is not there then never was.
            writer.sick = Some(Sick { why: failure.to_string(), next_try: Instant::now() });
            self.retreat(&writer.mark);
            Failure::Unavailable(failure.to_string())
        })
    }

    fn read(&self, query: &Query) -> Result<Answer, Failure> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else {
            return Err(Failure::Unavailable("the database could not be opened again; see the log".to_owned()));
        };
        let answer = catch_unwind(AssertUnwindSafe(|| -> Result<Answer, Trouble> {
            let tables = Reading::new(database.begin_read()?);
            Reader { tables, ring: &self.ring }.answer(query)
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
        self.ring.server.name_key(kind, folded)
    }

    fn pair_key(&self, a: UserId, b: UserId) -> [u8; 16] {
        self.ring.server.pair_key(a, b)
    }

    fn size_bytes(&self) -> u64 {
        // Blocks and not length: the file may have holes.
        fs::metadata(self.database_path()).map_or(0, |meta| meta.blocks() * 512)
    }

    fn close(&self) {
        close(self.database.write().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Whether something can be written and made durable in `dir`.
fn probe(dir: &Path) -> std::io::Result<()> {
    let path = dir.join("probe");
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(&vec![0; PROBE_BYTES])?;
        file.sync_data()
    })();
    let removed = fs::remove_file(&path);
    written.and(removed)
}

fn open_database(path: &Path, settings: &EmbeddedSettings) -> Result<Database, Failure> {
    let unavailable = |e: std::io::Error| Failure::Unavailable(format!("{} cannot be opened: {e}", path.display()));
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(unavailable)?;
    let bytes = file.metadata().map_err(unavailable)?.len();
    forget_pages(&file);
    drop(file);
    if bytes == 0 {
        master::sync_parent(path).map_err(unavailable)?;
    }
    let mut builder = Database::builder();
    builder.set_cache_size(settings.cache_bytes);
    builder.set_check_integrity_on_open(bytes > 0 && bytes <= settings.check_on_open_bytes);
    let opened = catch_unwind(AssertUnwindSafe(|| builder.create(path)));
    let damage = |what: &str| {
        let path = path.display();
        Failure::Damaged(format!("{path}: {what}; `causerie check --data` says more; restore a backup if there is one"))
    };
    match opened {
        Err(_) => Err(damage("its pages do not fit each other")),
        Ok(Ok(database)) => Ok(database),
        Ok(Err(redb::DatabaseError::Storage(redb::StorageError::Corrupted(text)))) => Err(damage(&text)),
        Ok(Err(redb::DatabaseError::Storage(redb::StorageError::Io(e))))
            if e.kind() == std::io::ErrorKind::InvalidData =>
        {
            Err(damage(&e.to_string()))
        }
        Ok(Err(e)) => Err(Failure::Unavailable(format!("{} cannot be opened: {e}", path.display()))),
    }
}

/// What the database says of itself.
struct Marks {
    server_key: Vec<u8>,
    /// Number of the newest commit; 0 in data of a program that did not count yet.
    commit: u64,
}

impl Marks {
    /// The number of the newest commit, 0 in a database that was just made.
    fn commit(marks: Option<&Self>) -> u64 {
        marks.map_or(0, |marks| marks.commit)
    }
}

/// Number of the commit that makes the tables.
const FIRST_COMMIT: u64 = 1;

/// The number of the newest commit, as the row in `meta` says it.
fn commit_number(row: Option<redb::AccessGuard<'_, &'static [u8]>>) -> Result<u64, Trouble> {
    let what = What::Meta(COMMIT_MARK);
    row.map_or(Ok(0), |row| mark::decode(row.value()).ok_or_else(|| damaged(what, &"it does not pass its checksum")))
}

/// Gives the transaction its number, one above that of the newest commit that is there.
fn next_commit(tables: &mut Writing<'_>) -> Result<u64, Trouble> {
    let number = commit_number(tables.meta.get(COMMIT_MARK)?)? + 1;
    tables.meta.insert(COMMIT_MARK, mark::encode(number).as_slice())?;
    Ok(number)
}

/// Looks at format, server key and number; `None` in a database that was just made.
fn read_marks(database: &Database) -> Result<Option<Marks>, Failure> {
    let marks = catch_unwind(AssertUnwindSafe(|| -> Result<Option<Marks>, Trouble> {
        let transaction = database.begin_read()?;
        let names: Vec<_> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let meta = Reading::new(transaction).meta()?;
        let format = meta.get(FORMAT_MARK)?.ok_or_else(|| damaged(What::Meta(FORMAT_MARK), &"it is missing"))?;
        let format: [u8; 8] =
            format.value().try_into().map_err(|_| damaged(What::Meta(FORMAT_MARK), &"it is not 8 bytes"))?;
        let (number, check) = (u64::from_le_bytes(format) & 0xffff_ffff, u64::from_le_bytes(format) >> 32);
        if number ^ check != 0xffff_ffff {
            return Err(damaged(What::Meta(FORMAT_MARK), &"its two halves do not fit"));
        }
        if number > u64::from(FORMAT) {
            return Err(Trouble::Own(Failure::Unavailable(format!(
                "the data were written by a newer causerie (format {number}, this one knows {FORMAT}): start that one"
            ))));
        }
        let what = What::Meta(SERVER_KEY_MARK);
        let wrapped = meta.get(SERVER_KEY_MARK)?.ok_or_else(|| damaged(what, &"it is missing"))?;
        let wrapped = record::decode::<StoredBytes>(SERVER_KEY_MARK.as_bytes(), wrapped.value());
        let server_key = wrapped.map_err(|e| damaged(what, &e))?.bytes;
        let commit = commit_number(meta.get(COMMIT_MARK)?)?;
        Ok(Some(Marks { server_key, commit }))
    }));
    let lost = |_| Err(Trouble::Own(Failure::Damaged("the database's list of tables".to_owned())));
    marks.unwrap_or_else(lost).map_err(Trouble::failure)
}

fn open_ring(wrapped: &[u8], source: &MasterKeySource, dir: &Path) -> Result<KeyRing, Failure> {
    let master = MasterKey::new(&source.load(dir, false)?);
    let server = master.unwrap(Wrapped::Server, wrapped).map_err(|_| {
        // The record's checksum fits, so these are the bytes that were written.
        Failure::Unavailable(format!(
            "this is not the master key that the data in {} were sealed with; give the right one (see store.master_key)",
            dir.display()
        ))
    })?;
    Ok(KeyRing::new(master, ServerKeys::new(server)))
}

/// First start: makes all tables, the format mark and the server key, in one transaction.
fn make_ring(database: &Database, source: &MasterKeySource, dir: &Path, dice: &mut Dice) -> Result<KeyRing, Trouble> {
    let master = MasterKey::new(&source.load(dir, true).map_err(Trouble::Own)?);
    let server = dice.secret()?;
    let what = What::Meta(SERVER_KEY_MARK);
    let bytes = master.wrap(Wrapped::Server, dice.nonce()?, &server).map_err(|e| damaged(what, &e))?;
    let wrapped = tables::encode(SERVER_KEY_MARK.as_bytes(), &StoredBytes { bytes }, what)?;
    let format = u64::from(FORMAT) | (u64::from(!FORMAT) << 32);
    let transaction = database.begin_write()?;
    {
        let mut tables = Writing::open(&transaction)?;
        tables.meta.insert(FORMAT_MARK, format.to_le_bytes().as_slice())?;
        tables.meta.insert(SERVER_KEY_MARK, wrapped.as_slice())?;
        tables.meta.insert(COMMIT_MARK, mark::encode(FIRST_COMMIT).as_slice())?;
    }
    transaction.commit()?;
    Ok(KeyRing::new(master, ServerKeys::new(server)))
}
