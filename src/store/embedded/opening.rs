//! Opening and closing the database: the file itself, what it says of itself, and its keys.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use redb::{Database, ReadableDatabase as _, TableHandle as _, WriteTransaction};

use super::keys::{Dice, KeyRing};
use super::layer::Layer;
use super::tables::{self, View, What};
use super::trouble::{Trouble, damaged};
use super::{EmbeddedSettings, FORMAT, mark};
use crate::store::Failure;
use crate::store::master::{self, MasterKeySource};
use crate::store::record::{self, StoredBytes};
use crate::store::seal::{MasterKey, Secret, ServerKeys, Wrapped};

const FORMAT_MARK: &str = "format";
const SERVER_KEY_MARK: &str = "server_key";
/// The number of the newest commit.
const COMMIT_MARK: &str = "commit";
/// The first segment of the log that the database does not hold.
const LOG_MARK: &str = "log";
/// So much must be writable before the database is opened anew after a failure.
const PROBE_BYTES: usize = 1024 * 1024;
/// Between two tries to get well.
pub(super) const PROBE_PAUSE: Duration = Duration::from_millis(200);

/// Closes a database; one with damaged pages may go astray in doing so.
pub(super) fn close(database: Option<Database>) {
    let closed = catch_unwind(AssertUnwindSafe(|| database.map_or(Ok(()), Database::close)));
    match closed {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::warn!("the database did not close in order, which its next start mends: {e}"),
        Err(_) => tracing::error!("the database did not close in order: its pages do not fit each other"),
    }
}

/// After a sync that failed, memory may hold pages that the disk does not have: look at what the disk has.
pub(super) fn forget_pages(file: &fs::File) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

/// Whether something can be written and made durable in `dir`.
pub(super) fn probe(dir: &Path) -> std::io::Result<()> {
    let path = dir.join("probe");
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(&vec![0; PROBE_BYTES])?;
        file.sync_data()
    })();
    let removed = fs::remove_file(&path);
    written.and(removed)
}

pub(super) fn open_database(path: &Path, settings: &EmbeddedSettings) -> Result<Database, Failure> {
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
pub(super) struct Marks {
    pub(super) server_key: Vec<u8>,
    /// Number of the newest commit; 0 in data of a program that did not count yet.
    pub(super) commit: u64,
    /// The first segment of the log that it does not hold.
    pub(super) log: u64,
}

/// Number of the commit that makes the tables.
pub(super) const FIRST_COMMIT: u64 = 1;

/// A number with its checksum, as a row in `meta` says it; 0 where there is none.
fn number_in(row: Option<redb::AccessGuard<'_, &'static [u8]>>, name: &str) -> Result<u64, Trouble> {
    let what = What::Meta(name);
    row.map_or(Ok(0), |row| mark::decode(row.value()).ok_or_else(|| damaged(what, &"it does not pass its checksum")))
}

/// Looks at format, server key and number; `None` in a database that was just made.
pub(super) fn read_marks(database: &Database) -> Result<Option<Marks>, Failure> {
    let marks = catch_unwind(AssertUnwindSafe(|| -> Result<Option<Marks>, Trouble> {
        let transaction = database.begin_read()?;
        let names: Vec<_> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let view = View::below(transaction);
        let meta = view.meta().raw()?;
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
        let commit = number_in(meta.get(COMMIT_MARK)?, COMMIT_MARK)?;
        let log = number_in(meta.get(LOG_MARK)?, LOG_MARK)?;
        Ok(Some(Marks { server_key, commit, log }))
    }));
    let lost = |_| Err(Trouble::Own(Failure::Damaged("the database's list of tables".to_owned())));
    marks.unwrap_or_else(lost).map_err(Trouble::failure)
}

pub(super) fn open_ring(wrapped: &[u8], source: &MasterKeySource, dir: &Path) -> Result<KeyRing, Failure> {
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

/// First start: makes all tables, the format mark and the server key (a new one unless one is given), in one transaction.
pub(super) fn make_ring(
    database: &Database,
    source: &MasterKeySource,
    dir: &Path,
    dice: &mut Dice,
    server_key: Option<Secret>,
) -> Result<KeyRing, Trouble> {
    let master = MasterKey::new(&source.load(dir, true).map_err(Trouble::Own)?);
    let server = match server_key {
        Some(server) => server,
        None => dice.secret()?,
    };
    let what = What::Meta(SERVER_KEY_MARK);
    let bytes = master.wrap(Wrapped::Server, dice.nonce()?, &server).map_err(|e| damaged(what, &e))?;
    let wrapped = tables::encode(SERVER_KEY_MARK.as_bytes(), &StoredBytes { bytes }, what)?;
    let format = u64::from(FORMAT) | (u64::from(!FORMAT) << 32);
    let transaction = durable(database)?;
    tables::make_all(&transaction)?;
    put_marks(
        &transaction,
        &[
            (FORMAT_MARK, format.to_le_bytes().as_slice()),
            (SERVER_KEY_MARK, &wrapped),
            (COMMIT_MARK, &mark::encode(FIRST_COMMIT)),
            (LOG_MARK, &mark::encode(0)),
        ],
    )?;
    transaction.commit()?;
    Ok(KeyRing::new(master, ServerKeys::new(server)))
}

fn durable(database: &Database) -> Result<WriteTransaction, Trouble> {
    let mut transaction = database.begin_write()?;
    // What redb does unless told otherwise; said here because the log is overwritten after it.
    let set = transaction.set_durability(redb::Durability::Immediate);
    set.map_err(|e| Trouble::Disk(e.to_string()))?;
    Ok(transaction)
}

fn put_marks(transaction: &WriteTransaction, marks: &[(&str, &[u8])]) -> Result<(), Trouble> {
    let rows = marks.iter().map(|(name, value)| (name.as_bytes(), Some(*value)));
    tables::put(transaction, tables::number::meta, rows)
}

/// Brings layers (the older one first) into the database, durably: it then stands at commit `number`, and segments of the log below
/// `segment` are void.
pub(super) fn pour<'a>(
    database: &Database,
    layers: impl IntoIterator<Item = &'a Layer>,
    number: u64,
    segment: u64,
) -> Result<(), Trouble> {
    let transaction = durable(database)?;
    let poured = (|| {
        for layer in layers {
            layer.each_table(number, |table, rows| tables::put(&transaction, table, rows.iter().copied()))?;
        }
        put_marks(&transaction, &[(COMMIT_MARK, &mark::encode(number)), (LOG_MARK, &mark::encode(segment))])
    })();
    // Half of it may stand in the transaction.
    poured.map_err(Trouble::while_changing)?;
    Ok(transaction.commit()?)
}
