//! The commit mark: a note beside the database that says which commit was the newest one to be answered.
//!
//! After an end that was not in order redb takes a newest commit whose pages do not pass their checksums for one that was cut off, and
//! goes back to the one before, without a word. That is right for a commit nobody was told of and loses messages otherwise. So each commit carries a
//! rising number in the database, and once it is durable, and before anybody is answered, the number is written here; a database
//! that stands below it has lost something and is refused. Without a sync: a process that dies leaves its written pages with the
//! kernel, and a power loss can only bring back an older mark, which says less and nothing wrong. Never stands above what was
//! durable. Does not say what a lost commit held.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::store::Failure;
use crate::store::master::sync_parent;

/// Name of the commit mark in the data directory.
pub const COMMIT_MARK_FILE: &str = "commit.mark";

const BYTES: usize = 16;

/// `number ‖ xxh3_64 of its 8 bytes`, both little-endian: the mark, and the row in the database.
pub(super) fn encode(number: u64) -> [u8; BYTES] {
    let number = number.to_le_bytes();
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&number);
    bytes[8..].copy_from_slice(&xxh3_64(&number).to_le_bytes());
    bytes
}

/// The number in such bytes; `None` when they are not whole.
pub(super) fn decode(bytes: &[u8]) -> Option<u64> {
    let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
    let number = u64::from_le_bytes(*bytes.first_chunk()?);
    (encode(number) == *bytes).then_some(number)
}

/// Whether what stands at commit `standing` has all up to commit `newest`, which was answered.
///
/// # Errors
/// [`Failure::Damaged`] with what to do when it has not.
pub(super) fn check(dir: &Path, standing: u64, newest: u64) -> Result<(), Failure> {
    if standing >= newest {
        return Ok(());
    }
    let mark = dir.join(COMMIT_MARK_FILE);
    let mark = mark.display();
    Err(Failure::Damaged(format!(
        "the database stands at commit {standing}, but commit {newest} was acknowledged: the newest commit is damaged, and what it \
         held is lost; which rooms and users that affects is unknown. Restore a backup; or, to accept the loss, remove {mark} and start again"
    )))
}

/// The mark of a data directory, and the newest commit that this process knows to be durable.
#[derive(Debug)]
pub(super) struct Mark {
    dir: PathBuf,
    path: PathBuf,
    /// `None` until it could be opened for writing.
    file: Option<File>,
    newest: u64,
    /// That it cannot be written was said.
    told: bool,
}

impl Mark {
    /// Reads the mark. A missing one is from older data or a restored backup; one that is not whole says nothing.
    pub(super) fn load(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join(COMMIT_MARK_FILE);
        let newest = match fs::read(&path) {
            Ok(bytes) if bytes.is_empty() => 0,
            Ok(bytes) => decode(&bytes).unwrap_or_else(|| {
                let path = path.display();
                tracing::warn!(
                    "{path} does not pass its checksum: a lost newest commit would not be noticed this time"
                );
                0
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
            Err(e) => return Err(Failure::Unavailable(format!("{} cannot be read: {e}", path.display()))),
        };
        Ok(Self { dir: dir.to_owned(), path, file: None, newest, told: false })
    }

    /// Whether a database whose newest commit is `standing` has all that was answered.
    ///
    /// # Errors
    /// [`Failure::Damaged`] with what to do when it has not.
    pub(super) fn check(&self, standing: u64) -> Result<(), Failure> {
        check(&self.dir, standing, self.newest)
    }

    /// Writes down that commit `number` is durable. That it cannot be written is no reason to fail a batch which is durable: the mark then
    /// says less than it could.
    pub(super) fn raise(&mut self, number: u64) {
        self.newest = self.newest.max(number);
        match self.write() {
            Ok(()) => self.told = false,
            Err(e) if !self.told => {
                self.told = true;
                let path = self.path.display();
                tracing::warn!("{path} cannot be written ({e}): until it can, a lost newest commit may go unnoticed");
            }
            Err(_) => {}
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let bytes = encode(self.newest);
        if let Some(file) = &self.file {
            return file.write_all_at(&bytes, 0);
        }
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        let in_place = file.metadata()?.len() == BYTES as u64;
        file.set_len(BYTES as u64)?;
        file.write_all_at(&bytes, 0)?;
        if !in_place {
            // Now it gets its place on the disk, so that later a full one does not matter.
            file.sync_all()?;
            sync_parent(&self.path)?;
        }
        self.file = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_written_and_not_at_all_when_one_bit_is_wrong() {
        for number in [0, 1, 77, u64::MAX] {
            let bytes = encode(number);
            assert_eq!(decode(&bytes), Some(number));
            for bit in 0..BYTES * 8 {
                let mut changed = bytes;
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(decode(&changed), None, "bit {bit}");
            }
            assert_eq!(decode(&bytes[..15]), None);
        }
    }

    #[test]
    fn a_mark_only_rises_and_one_that_cannot_be_written_still_counts_in_the_process() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut mark = Mark::load(dir.path()).expect("no mark");
        assert_eq!(mark.check(0), Ok(()));
        mark.raise(5);
        mark.raise(3);
        assert_eq!(Mark::load(dir.path()).expect("a mark").newest, 5);
        assert!(mark.check(4).is_err() && mark.check(5).is_ok() && mark.check(6).is_ok());

        let mut nowhere = Mark::load(&dir.path().join("nothing")).expect("no mark");
        nowhere.raise(7);
        nowhere.raise(8);
        assert!(nowhere.check(7).is_err() && nowhere.check(8).is_ok());
    }
}
