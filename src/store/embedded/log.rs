//! The log: what was committed since the database was last brought up to it, in two preallocated files that are filled in turns.
//!
//! A *segment* is one filling of a file. The database names the first segment that it does not hold; records of older ones are void,
//! and their file may be overwritten. Within a segment and from one to the next the numbers of commits rise by one, so that
//! nothing can be missing unnoticed: only the end of the newest segment may be torn. A record that does not pass its checksum with a
//! live one behind it, or a number that is missing, is damage. Files are written once in full length when they are made: a later sync
//! then has only the record's own blocks to bring to the disk. They go there past the page cache, in whole blocks, where the file system can
//! do that; the last block of one record is written again with the next.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rkyv::util::AlignedVec;

use super::layer::Change;
use super::logged::{self, ALIGN, Draft, HEAD, Stamp};
use crate::store::Failure;
use crate::store::master::sync_parent;

/// Names of the two files of the log in the data directory.
pub const LOG_FILES: [&str; 2] = ["store.log.0", "store.log.1"];

/// Files are written in blocks of so many bytes, at multiples of it.
const BLOCK: usize = 4096;
/// So much memory for blocks is kept from one record to the next.
const BLOCKS_KEPT: usize = 64 * BLOCK;

/// What the files held behind the database.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// Changes of each commit, in their order.
    pub(super) commits: Vec<Vec<Change>>,
    /// Number of the newest commit, those of the database included.
    pub(super) newest: u64,
    /// A segment that was never used.
    pub(super) next_segment: u64,
}

fn damage(path: &Path, at: usize, how: &str) -> Failure {
    Failure::Damaged(format!(
        "{}, byte {at}: {how}; commits that were acknowledged are lost. Restore a backup; or keep a copy, remove the log's files and \
         {} and start again, which goes back to what the database itself holds",
        path.display(),
        super::COMMIT_MARK_FILE
    ))
}

/// Reads what segments from `from` on hold behind commit `standing`.
///
/// # Errors
/// [`Failure::Damaged`] with the place when something is missing before the end; [`Failure::Unavailable`] when a file cannot be read.
pub(super) fn replay(dir: &Path, from: u64, standing: u64) -> Result<Replay, Failure> {
    let mut segments = Vec::new();
    for name in LOG_FILES {
        let path = dir.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Failure::Unavailable(format!("{} cannot be read: {e}", path.display()))),
        };
        if let Some(segment) = read_segment(&path, &bytes, from)? {
            segments.push((segment, path));
        }
    }
    segments.sort_by_key(|(segment, _)| segment.id);
    let mut replay = Replay { commits: Vec::new(), newest: standing, next_segment: from };
    for (segment, path) in segments {
        for (number, changes) in segment.commits {
            if number != replay.newest + 1 {
                let how = format!("commit {number} follows on commit {}", replay.newest);
                return Err(damage(&path, 0, &how));
            }
            replay.newest = number;
            replay.commits.push(changes);
        }
        replay.next_segment = segment.id + 1;
    }
    Ok(replay)
}

struct Segment {
    id: u64,
    commits: Vec<(u64, Vec<Change>)>,
}

/// The live segment in a file, if there is one.
fn read_segment(path: &Path, bytes: &[u8], from: u64) -> Result<Option<Segment>, Failure> {
    let mut at = 0;
    let mut first: Option<Stamp> = None;
    let mut commits = Vec::new();
    while let Some((stamp, body, length)) = bytes.get(at..).and_then(logged::read) {
        let follows = first.is_none_or(|first| (stamp.segment, stamp.salt) == (first.segment, first.salt));
        if stamp.segment < from || !follows {
            break;
        }
        let rows = logged::rows(body);
        commits.push((stamp.number, rows.ok_or_else(|| damage(path, at, "a record's rows cannot be told apart"))?));
        first.get_or_insert(stamp);
        at += length;
    }
    // Behind the end only what is older may stand, and what was torn off and never acknowledged. (Older and live all the same: then the
    // numbers do not fit.)
    for place in (at..bytes.len().saturating_sub(HEAD)).step_by(ALIGN) {
        if let Some((stamp, ..)) = bytes.get(place..).and_then(logged::read)
            && stamp.segment >= first.map_or(from, |first| first.segment)
        {
            let how = format!("a record does not pass its checksum, and commit {} stands behind it", stamp.number);
            return Err(damage(path, at, &how));
        }
    }
    Ok(first.map(|first| Segment { id: first.segment, commits }))
}

/// The log as it is written.
#[derive(Debug)]
pub(super) struct Log {
    files: [File; 2],
    paths: [PathBuf; 2],
    /// The records since the last whole block, and room for the next one.
    blocks: AlignedVec<BLOCK>,
    current: usize,
    segment: u64,
    salt: u64,
    /// Where the next record begins.
    used: u64,
    /// Length of a file that is new or begun anew.
    capacity: u64,
}

impl Log {
    /// Opens the files, making them where they are missing, and begins segment `segment`. Nothing in them may be live.
    pub(super) fn open(dir: &Path, capacity: u64, segment: u64, salt: u64) -> io::Result<Self> {
        let paths = LOG_FILES.map(|name| dir.join(name));
        let files = [file(&paths[0], capacity)?, file(&paths[1], capacity)?];
        let blocks = AlignedVec::with_capacity(BLOCK);
        Ok(Self { files, paths, blocks, current: 0, segment, salt, used: 0, capacity })
    }

    /// Like [`Self::open`], with new files: for when it is not known what the disk made of the old ones.
    pub(super) fn remake(dir: &Path, capacity: u64, segment: u64, salt: u64) -> io::Result<Self> {
        for name in LOG_FILES {
            match fs::remove_file(dir.join(name)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Self::open(dir, capacity, segment, salt)
    }

    /// Makes a commit durable. After an error nothing may be appended any more: what the disk has is not known.
    pub(super) fn append(&mut self, number: u64, draft: &mut Draft) -> io::Result<()> {
        let record = draft.sealed(Stamp { segment: self.segment, salt: self.salt, number });
        let before = self.blocks.len();
        let from = self.used - before as u64;
        self.blocks.extend_from_slice(record);
        let length = self.blocks.len();
        self.blocks.resize(length.next_multiple_of(BLOCK), 0);
        let file = &self.files[self.current];
        let written = file.write_all_at(&self.blocks, from).and_then(|()| file.sync_data());
        if let Err(e) = written {
            // It was answered to nobody: a process that dies now shall not find it. If this fails too, opening anew decides.
            self.blocks[before..].fill(0);
            let _ = file.write_all_at(&self.blocks, from);
            let path = self.paths[self.current].display();
            return Err(io::Error::new(e.kind(), format!("{path} cannot be written: {e}")));
        }
        self.used += (length - before) as u64;
        // The block that is not full goes to the front.
        let whole = length / BLOCK * BLOCK;
        self.blocks.copy_within(whole..length, 0);
        self.blocks.resize(length - whole, 0);
        // A large batch does not hold its memory for ever.
        if self.blocks.capacity() > BLOCKS_KEPT {
            self.blocks.shrink_to_fit();
        }
        Ok(())
    }

    /// How full the file is: 1.0 when it has its length.
    pub(super) fn fill(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let fill = self.used as f64 / self.capacity.max(1) as f64;
        fill
    }

    /// Goes on with a new segment in the other file, in which nothing may be live. Gives the new segment.
    pub(super) fn turn(&mut self, salt: u64) -> io::Result<u64> {
        let other = 1 - self.current;
        let file = &self.files[other];
        let capacity = self.capacity.next_multiple_of(BLOCK as u64);
        if file.metadata()?.len() > capacity {
            // Grown by batches that did not fit.
            file.set_len(capacity)?;
        }
        (self.current, self.used, self.salt) = (other, 0, salt);
        self.blocks.clear();
        self.segment += 1;
        Ok(self.segment)
    }

    /// The segment being written.
    pub(super) fn segment(&self) -> u64 {
        self.segment
    }
}

/// A file of full length, all of which has its place on the disk, opened to be written past the page cache if that can be done.
fn file(path: &Path, capacity: u64) -> io::Result<File> {
    let say = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    let open = || -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let length = file.metadata()?.len();
        if length < capacity {
            let mut at = length / BLOCK as u64 * BLOCK as u64;
            while at < capacity {
                file.write_all_at(&[0; BLOCK], at)?;
                at += BLOCK as u64;
            }
            file.sync_all()?;
            sync_parent(path)?;
        }
        Ok(file)
    };
    let file = open().map_err(say)?;
    let past_the_cache = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap_or_default();
    let direct = OpenOptions::new().read(true).write(true).custom_flags(past_the_cache).open(path);
    // Some take the flag and then not the write: so the first block is written as it stands.
    let mut block = AlignedVec::<BLOCK>::with_capacity(BLOCK);
    block.resize(BLOCK, 0);
    let tried = direct.and_then(|direct| {
        file.read_exact_at(&mut block, 0)?;
        direct.write_all_at(&block, 0)?;
        Ok(direct)
    });
    match tried {
        Ok(direct) => Ok(direct),
        Err(refused) => {
            tracing::debug!("{} goes through the page cache: {refused}", path.display());
            Ok(file)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const CAPACITY: u64 = 4096;
    const STANDING: u64 = 10;

    fn changes(number: u64) -> Vec<Change> {
        let value = Arc::from(vec![0xa5; usize::try_from(number % 5).expect("small") * 9]);
        vec![Change { table: 5, key: Box::from(number.to_be_bytes()), value: Some(value) }]
    }

    fn append(log: &mut Log, number: u64) {
        let mut draft = Draft::default();
        draft.clear();
        draft.add(&changes(number)).expect("small");
        log.append(number, &mut draft).expect("appended");
    }

    /// A folder whose log holds commits 11 to 20 in segment 3, behind older ones in both files.
    fn filled() -> (tempfile::TempDir, Log, Vec<u64>) {
        let dir = tempfile::tempdir().expect("a folder");
        let mut log = Log::open(dir.path(), CAPACITY, 1, 77).expect("made");
        for segment in 1..3 {
            for number in segment * 4 - 1..segment * 4 + 3 {
                append(&mut log, number);
            }
            assert_eq!(log.turn(segment).expect("turned"), segment + 1);
        }
        let mut ends = vec![0];
        for number in STANDING + 1..=STANDING + 10 {
            append(&mut log, number);
            ends.push(log.used);
        }
        (dir, log, ends)
    }

    fn numbers(dir: &Path) -> Result<u64, String> {
        let replay = replay(dir, 3, STANDING).map_err(|e| e.to_string())?;
        let expected: Vec<_> = (STANDING + 1..=replay.newest).map(changes).collect();
        assert_eq!(replay.commits, expected);
        Ok(replay.newest)
    }

    #[test]
    fn what_was_appended_is_replayed_and_older_segments_are_not() {
        let (dir, mut log, _) = filled();
        let whole = replay(dir.path(), 3, STANDING).expect("whole");
        assert_eq!((whole.newest, whole.next_segment, whole.commits.len()), (20, 4, 10));
        // The next segment, in the other file.
        assert_eq!(log.turn(9).expect("turned"), 4);
        append(&mut log, 21);
        assert_eq!(numbers(dir.path()), Ok(21));
        let void = replay(dir.path(), 5, 21).expect("whole");
        assert_eq!((void.newest, void.next_segment, void.commits), (21, 5, vec![]));
        // Without the older one there is a hole.
        fs::write(dir.path().join(LOG_FILES[0]), []).expect("written");
        assert!(numbers(dir.path()).expect_err("a hole").contains("commit 21 follows on commit 10"));
    }

    #[test]
    fn a_record_torn_at_any_byte_is_dropped_and_its_place_is_used_again() {
        let (dir, log, ends) = filled();
        let path = dir.path().join(LOG_FILES[0]);
        let whole = fs::read(&path).expect("read");
        let older = {
            let other = fs::read(dir.path().join(LOG_FILES[1])).expect("read");
            vec![other[..100].to_vec(), vec![0; 100], vec![0xff; 100]]
        };
        let (from, to) = (ends[9], ends[10]);
        let length = usize::try_from(to - from).expect("small");
        let from = usize::try_from(from).expect("small");
        for cut in 0..length {
            for under in &older {
                // What was not written shows what stood there before.
                let mut torn = whole.clone();
                torn[from + cut..from + length].copy_from_slice(&under[cut..length]);
                fs::write(&path, &torn).expect("written");
                let last = if torn[from..from + length] == whole[from..from + length] { 20 } else { 19 };
                assert!(last == 19 || cut + ALIGN > length, "cut at {cut}");
                // Padding may be missing.
                let found = numbers(dir.path()).expect("no damage");
                assert!(found == last || (found == 20 && cut + ALIGN > length), "cut at {cut}: {found}");
            }
        }
        // Cut off with the file, at each byte.
        for cut in 0..=from + length {
            fs::write(&path, &whole[..cut]).expect("written");
            let complete = ends.iter().filter(|end| **end <= cut as u64).count() as u64 - 1;
            let found = numbers(dir.path()).expect("no damage");
            assert!(found == STANDING + complete || cut + ALIGN > from + length || found == STANDING + complete + 1);
        }
        drop(log);
    }

    #[test]
    fn a_flipped_bit_before_the_last_record_is_damage_at_every_byte() {
        let (dir, _log, ends) = filled();
        let path = dir.path().join(LOG_FILES[0]);
        let whole = fs::read(&path).expect("read");
        let mut found = 0;
        for at in 0..usize::try_from(ends[9]).expect("small") {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            fs::write(&path, &flipped).expect("written");
            match numbers(dir.path()) {
                Err(text) => {
                    assert!(text.contains("does not pass its checksum, and commit"), "byte {at}: {text}");
                    assert!(text.contains("log.0") && text.contains("Restore a backup"), "{text}");
                    found += 1;
                }
                // Between two records.
                Ok(newest) => assert_eq!(newest, 20, "byte {at}"),
            }
        }
        let padding: usize = (11..20u64)
            .map(|n| (HEAD + 15 + usize::try_from(n % 5 * 9).expect("small")) % ALIGN)
            .map(|n| (ALIGN - n) % ALIGN)
            .sum();
        assert_eq!(found + padding, usize::try_from(ends[9]).expect("small"));
    }

    #[test]
    fn a_file_grows_for_what_does_not_fit_and_is_short_again_when_it_is_begun_anew() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut log = Log::open(dir.path(), CAPACITY, 1, 5).expect("made");
        let length = |n: usize| fs::metadata(dir.path().join(LOG_FILES[n])).expect("there").len();
        assert_eq!((length(0), length(1)), (CAPACITY, CAPACITY));
        let mut draft = Draft::default();
        draft.clear();
        draft.add(&[Change { table: 1, key: Box::from([1]), value: Some(Arc::from(vec![1; 9000])) }]).expect("small");
        log.append(1, &mut draft).expect("appended");
        assert!(length(0) > CAPACITY && log.fill() > 2.0);
        assert_eq!(replay(dir.path(), 1, 0).expect("whole").newest, 1);
        log.turn(6).expect("turned");
        append(&mut log, 2);
        log.turn(7).expect("turned");
        assert_eq!((length(0), length(1)), (CAPACITY, CAPACITY));
        assert_eq!(Log::remake(dir.path(), CAPACITY, 4, 8).expect("made").segment(), 4);
        assert_eq!(replay(dir.path(), 0, 0).expect("whole").newest, 0);
    }
}
