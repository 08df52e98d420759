//! The newest commit is there, or its loss is named: the log by itself takes a damaged newest record for one that was torn off, and redb a
//! damaged newest commit for one that was cut off.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use causerie::base::RoomType;
use causerie::store::embedded::{
    self, COMMIT_MARK_FILE, DATABASE_FILE, Embedded, KEY_FILE, LOG_FILES, MasterKeySource,
};
use causerie::store::{Backend as _, Failure, Span};
use tempfile::TempDir;

use crate::damage::hush_redb;
use crate::embedded::{SmallDisk, fill, look};
use crate::kit::*;

const CHILD: &str = "CAUSERIE_STORE_TEST_TOLD_CHILD";

/// Not a test by itself: a process that writes an event for each line that it reads.
#[test]
fn child_that_writes_when_it_is_told() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let store = Embedded::open(Path::new(&dir), &MasterKeySource::DataDir, settings()).unwrap();
    assert_eq!(store.one(create_room(room_id(1), RoomType::Private)), DONE);
    let mut out = std::io::stdout();
    for (seq, _) in (1..).zip(std::io::stdin().lines()) {
        assert_eq!(store.one(messages(room_id(1), seq, seq)), DONE);
        writeln!(out, "acked {seq}").unwrap();
        out.flush().unwrap();
    }
}

struct Told {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Told {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["mark::child_that_writes_when_it_is_told", "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, lines) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        Self { child, input, lines }
    }

    /// Has one more event written and waits until it is acked.
    fn write(&mut self, seq: u64) {
        writeln!(self.input).unwrap();
        let acked = |line: &str| line.split("acked ").nth(1).is_some_and(|n| n == seq.to_string());
        assert!(self.lines.any(|line| acked(&line.unwrap())), "it ended before seq {seq}");
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn bytes_of(dir: &Path, file: &str) -> Vec<u8> {
    std::fs::read(dir.join(file)).unwrap()
}

/// The number in a mark that is whole, by the words of `schema/embedded.md`.
fn number_in(mark: &[u8]) -> u64 {
    assert_eq!(mark.len(), 16);
    assert_eq!(mark[8..], xxhash_rust::xxh3::xxh3_64(&mark[..8]).to_le_bytes());
    u64::from_le_bytes(mark[..8].try_into().unwrap())
}

fn mark_of(number: u64) -> Vec<u8> {
    let number = number.to_le_bytes();
    [number, xxhash_rust::xxh3::xxh3_64(&number).to_le_bytes()].concat()
}

fn inspected(dir: &Path) -> embedded::Report {
    embedded::inspect(dir, &MasterKeySource::DataDir).unwrap()
}

fn opened(dir: &Path) -> Result<Embedded, Failure> {
    Embedded::open(dir, &MasterKeySource::DataDir, settings())
}

/// A process was killed while it had nothing to do, after its last write was acked.
struct Killed {
    dir: TempDir,
    /// The log before the last write and after it.
    before: Vec<u8>,
    after: Vec<u8>,
    /// The number of the last commit.
    number: u64,
}

const EVENTS: u64 = 12;

fn killed() -> Killed {
    let dir = TempDir::new().unwrap();
    let mut child = Told::start(dir.path());
    for seq in 1..EVENTS {
        child.write(seq);
    }
    let before = bytes_of(dir.path(), LOG_FILES[0]);
    child.write(EVENTS);
    child.kill();
    let after = bytes_of(dir.path(), LOG_FILES[0]);
    let number = number_in(&bytes_of(dir.path(), COMMIT_MARK_FILE));
    // The tables, the room, the events.
    assert_eq!(number, 2 + EVENTS);
    Killed { dir, before, after, number }
}

impl Killed {
    /// A copy of the data with one byte of a file flipped.
    fn flipped(&self, file: &str, at: usize) -> TempDir {
        let copy = TempDir::new().unwrap();
        for name in [KEY_FILE, COMMIT_MARK_FILE, DATABASE_FILE, LOG_FILES[0], LOG_FILES[1]] {
            std::fs::copy(self.dir.path().join(name), copy.path().join(name)).unwrap();
        }
        let mut changed = bytes_of(copy.path(), file);
        changed[at] ^= 0x41;
        std::fs::write(copy.path().join(file), changed).unwrap();
        copy
    }

    /// The bytes of the last record.
    fn record(&self) -> std::ops::Range<usize> {
        let differ = |at: &usize| self.before[*at] != self.after[*at];
        let (from, to) = ((0..self.after.len()).find(differ), (0..self.after.len()).rfind(differ));
        from.unwrap()..to.unwrap() + 1
    }
}

#[test]
fn a_newest_commit_that_was_acked_and_is_damaged_is_named_and_not_skipped() {
    hush_redb();
    let killed = killed();
    let number = killed.number;
    let lost = format!("stands at commit {}, but commit {number} was acknowledged", number - 1);
    let copy = killed.flipped(LOG_FILES[0], killed.record().start + 60);
    let problems = inspected(copy.path()).problems;
    assert!(problems.iter().any(|text| text.contains(&lost)), "{problems:?}");
    // Again and again, until somebody decides.
    for _ in 0..2 {
        let Err(Failure::Damaged(text)) = opened(copy.path()) else { panic!("it opened without its newest commit") };
        assert!(text.contains(&lost) && text.contains("Restore a backup") && text.contains("unknown"), "{text}");
        assert!(text.contains(&copy.path().join(COMMIT_MARK_FILE).display().to_string()), "{text}");
    }
    assert!(inspected(copy.path()).problems.iter().any(|text| text.contains(&lost)));

    // The way that the text names.
    std::fs::remove_file(copy.path().join(COMMIT_MARK_FILE)).unwrap();
    let store = opened(copy.path()).unwrap();
    assert_eq!(store.room(room_id(1)).unwrap().head.seq.0, EVENTS - 1);
    assert_eq!(store.one(messages(room_id(1), EVENTS, EVENTS)), DONE);
    drop(store);
    assert_eq!(inspected(copy.path()).problems, [""; 0]);
    assert_eq!(number_in(&bytes_of(copy.path(), COMMIT_MARK_FILE)), number);
}

#[test]
fn a_damaged_byte_of_the_newest_commit_is_found_wherever_it_is() {
    let killed = killed();
    for at in killed.record().step_by(13) {
        let [report, copy] = [0, 1].map(|_| killed.flipped(LOG_FILES[0], at));
        let report = inspected(report.path());
        assert!(
            report.problems.iter().any(|text| text.contains("was acknowledged")),
            "byte {at}: {:?}",
            report.problems
        );
        assert!(matches!(opened(copy.path()), Err(Failure::Damaged(_))), "byte {at}");
    }
}

/// The byte of redb's header at which the slot of the newest commit begins.
fn newest_slot(database: &[u8]) -> usize {
    const TRANSACTION: usize = 104;
    let id = |slot: usize| u64::from_le_bytes(database[slot + TRANSACTION..][..8].try_into().unwrap());
    if id(64) > id(192) { 64 } else { 192 }
}

/// redb goes back by one commit without a word when its newest one is damaged. What that held stands in the log as long as its files were not
/// used again, and then the numbers do not fit.
#[test]
fn a_damaged_newest_commit_of_the_database_is_made_good_by_the_log_or_named() {
    hush_redb();
    let dir = TempDir::new().unwrap();
    let store = opened(dir.path()).unwrap();
    assert_eq!(store.one(create_room(room_id(1), RoomType::Private)), DONE);
    let (mut restored, mut named) = (0, 0);
    let mut head = 0;
    for _ in 0..24 {
        let mut write = messages(room_id(1), head + 1, head + 3);
        write.events.iter_mut().for_each(|event| event.content = "x".repeat(3_000));
        assert_eq!(store.one(write), DONE);
        head += 3;
        let killed =
            Killed { dir: TempDir::new().unwrap(), before: Vec::new(), after: Vec::new(), number: head / 3 + 2 };
        for name in [KEY_FILE, COMMIT_MARK_FILE, LOG_FILES[0], LOG_FILES[1], DATABASE_FILE] {
            std::fs::copy(dir.path().join(name), killed.dir.path().join(name)).unwrap();
        }
        let slot = newest_slot(&bytes_of(killed.dir.path(), DATABASE_FILE));
        // One copy each: where tests run side by side a lock is let go of a moment late.
        let [report, copy] = [0, 1].map(|_| killed.flipped(DATABASE_FILE, slot + 20));
        let report = inspected(report.path());
        match opened(copy.path()) {
            Ok(store) => {
                assert_eq!(store.seqs(room_id(1), Span::Newest, 999), (1..=head).collect::<Vec<_>>());
                assert!(report.sound(), "{:?}", report.problems);
                restored += 1;
            }
            Err(Failure::Damaged(text)) => {
                assert!(!report.sound(), "{text}");
                named += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    println!("made good {restored} times, named {named} times");
    assert!(restored > 0 && named > 0, "made good {restored} times, named {named} times");
}

#[test]
fn a_killed_process_and_an_end_in_order_leave_a_mark_that_fits() {
    let killed = killed();
    let dir = killed.dir.path();
    assert_eq!(inspected(dir).problems, [""; 0]);
    for round in 0..3 {
        let store = opened(dir).unwrap();
        let next = EVENTS + round + 1;
        assert_eq!(store.one(messages(room_id(1), next, next)), DONE);
        assert_eq!(number_in(&bytes_of(dir, COMMIT_MARK_FILE)), killed.number + round + 1);
        drop(store);
        assert_eq!(inspected(dir).problems, [""; 0]);
    }
    let mode = std::fs::metadata(dir.join(COMMIT_MARK_FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn only_a_mark_above_the_database_is_refused() {
    let dir = TempDir::new().unwrap();
    let store = opened(dir.path()).unwrap();
    fill(&store);
    let before = look(&store).unwrap();
    drop(store);
    let path = dir.path().join(COMMIT_MARK_FILE);
    let whole = std::fs::read(&path).unwrap();
    let number = number_in(&whole);
    let mut torn = mark_of(number + 9);
    torn[12] ^= 1;
    for mark in [None, Some(torn), Some(vec![]), Some(whole[..9].to_vec()), Some(mark_of(number - 1)), Some(mark_of(0))]
    {
        match &mark {
            None => std::fs::remove_file(&path).unwrap(),
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
        }
        assert_eq!(inspected(dir.path()).problems, [""; 0], "{mark:?}");
        let store = opened(dir.path()).unwrap_or_else(|e| panic!("{mark:?}: {e}"));
        assert_eq!(look(&store).unwrap(), before, "{mark:?}");
        drop(store);
        assert_eq!(std::fs::read(&path).unwrap(), whole, "it is whole again after {mark:?}");
    }
    std::fs::write(&path, mark_of(number + 1)).unwrap();
    assert!(matches!(opened(dir.path()), Err(Failure::Damaged(_))));
    assert!(!inspected(dir.path()).sound());

    // Where the database itself is gone, no empty one takes its place.
    let database = dir.path().join(DATABASE_FILE);
    std::fs::remove_file(&database).unwrap();
    assert!(matches!(opened(dir.path()), Err(Failure::Damaged(text)) if text.contains("stands at commit 0")));
    assert!(!database.exists());
}

#[test]
fn data_that_did_not_count_yet_and_a_backup_without_a_mark_are_taken_on() {
    let dir = TempDir::new().unwrap();
    fill(&opened(dir.path()).unwrap());
    std::fs::remove_file(dir.path().join(COMMIT_MARK_FILE)).unwrap();
    let backup = TempDir::new().unwrap();
    for file in [KEY_FILE, DATABASE_FILE] {
        std::fs::copy(dir.path().join(file), backup.path().join(file)).unwrap();
    }
    let database = redb::Database::open(dir.path().join(DATABASE_FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut meta = transaction.open_table(redb::TableDefinition::<&str, &[u8]>::new("meta")).unwrap();
        assert!(meta.remove("commit").unwrap().is_some());
    }
    transaction.commit().unwrap();
    drop(database);
    for dir in [&dir, &backup] {
        assert_eq!(inspected(dir.path()).problems, [""; 0]);
        let store = opened(dir.path()).unwrap();
        assert_eq!(store.one(messages(room_id(1), 21, 21)), DONE);
        drop(store);
        assert!(number_in(&bytes_of(dir.path(), COMMIT_MARK_FILE)) >= 1);
        assert_eq!(inspected(dir.path()).problems, [""; 0]);
        drop(opened(dir.path()).unwrap());
    }
}

#[test]
fn a_failed_commit_does_not_raise_the_mark_and_an_older_database_is_not_taken_on_within_the_process() {
    let Some(disk) = SmallDisk::new(6 * 1024 * 1024) else {
        eprintln!("skipped: no right to mount a small file system (run as root)");
        return;
    };
    let dir = disk.path();
    let store = opened(dir).unwrap();
    fill(&store);
    let older = bytes_of(dir, DATABASE_FILE);
    // So much that the database was surely filled from the log meanwhile.
    let mut next = 21;
    let long = |seq| {
        let mut write = messages(room_id(1), seq, seq + 20);
        write.events.iter_mut().for_each(|event| event.content = "x".repeat(4000));
        write_of(write)
    };
    for _ in 0..6 {
        assert_eq!(store.one(long(next)), DONE);
        next += 21;
    }
    let ballast = dir.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    drop(file);
    let refused = loop {
        let mark = bytes_of(dir, COMMIT_MARK_FILE);
        let result = store.write_each(vec![long(next)]);
        let now = number_in(&bytes_of(dir, COMMIT_MARK_FILE));
        match result {
            Ok(_) => assert_eq!(now, number_in(&mark) + 1, "a full disk does not keep the mark from rising"),
            Err(failure) => {
                assert_eq!(now, number_in(&mark));
                break failure;
            }
        }
        next += 21;
    };
    assert!(refused.ambiguous(), "{refused}");
    assert_eq!(store.room(room_id(1)).unwrap().head.seq.0, next - 1);

    // An earlier state of the same data in its place: what a disk that lost writes would show.
    std::fs::remove_file(&ballast).unwrap();
    std::fs::write(dir.join(DATABASE_FILE), older).unwrap();
    let failure = loop {
        let failure = store.write_each(vec![write_of(messages(room_id(1), 21, 21))]).unwrap_err();
        // Between two tries it repeats why it refused before.
        if failure.to_string() != refused.to_string() {
            break failure;
        }
        std::thread::yield_now();
    };
    assert!(failure.to_string().contains("was acknowledged"), "{failure}");
    assert!(look(&store).is_err(), "it serves what lacks something");
}
