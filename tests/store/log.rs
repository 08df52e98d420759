//! The life of the log: whatever moment a process ends at, everything that was acked is there afterwards, once, and nothing that was not; what
//! cannot be there any more is named.
//!
//! A crash is a copy of the files as they are at that moment; some are put together of files of two moments.

use std::path::Path;

use causerie::base::{RoomType, Seq};
use causerie::store::embedded::{
    self, COMMIT_MARK_FILE, DATABASE_FILE, Embedded, KEY_FILE, LOG_FILES, MasterKeySource,
};
use causerie::store::{Backend as _, Failure, RoomWrite, Span, Write};
use tempfile::TempDir;

use crate::embedded::{fill, look};
use crate::kit::*;

const LOG: &str = LOG_FILES[0];

/// All files of a store at one moment.
#[derive(Clone)]
struct Image(Vec<(&'static str, Vec<u8>)>);

impl Image {
    fn of(dir: &Path) -> Self {
        let names = [KEY_FILE, COMMIT_MARK_FILE, LOG_FILES[0], LOG_FILES[1], DATABASE_FILE];
        Self(names.map(|name| (name, std::fs::read(dir.join(name)).unwrap())).to_vec())
    }

    fn file(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.0.iter_mut().find(|(own, _)| *own == name).unwrap().1
    }

    /// The same with one file of another moment.
    fn with(&self, name: &str, mut from: Self) -> Self {
        let mut image = self.clone();
        image.file(name).clone_from(from.file(name));
        image
    }

    fn laid_down(&self) -> TempDir {
        let dir = TempDir::new().unwrap();
        for (name, bytes) in &self.0 {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        dir
    }

    /// What is there when it is opened, after the check found it sound.
    fn shows(&self) -> String {
        assert_eq!(self.problems(), [""; 0]);
        let store = open(&self.laid_down()).unwrap();
        look(&store).unwrap()
    }

    /// Why it is refused, in words that the check uses as well.
    fn refused(&self) -> String {
        let Err(Failure::Damaged(text)) = open(&self.laid_down()) else { panic!("it opened") };
        // The texts differ in the folder alone.
        let problems = self.problems();
        let words = |text: &str| text.split(' ').filter(|word| !word.contains('/')).collect::<Vec<_>>().join(" ");
        assert!(problems.iter().any(|problem| words(problem) == words(&text)), "{text}: {problems:?}");
        text
    }

    /// What the check says, of a copy of its own: where tests run side by side a lock is let go of a moment late.
    fn problems(&self) -> Vec<String> {
        embedded::inspect(self.laid_down().path(), &MasterKeySource::DataDir).unwrap().problems
    }
}

/// A store whose log is so long that the database is filled at the end only.
fn patient(dir: &TempDir) -> Embedded {
    let settings = causerie::store::embedded::EmbeddedSettings { log_bytes: 1024 * 1024, ..settings() };
    Embedded::open(dir.path(), &MasterKeySource::DataDir, settings).unwrap()
}

/// The bytes in which two moments of one file differ.
fn changed(before: &[u8], after: &[u8]) -> std::ops::Range<usize> {
    let from = before.iter().zip(after).position(|(a, b)| a != b).unwrap();
    let to = before.iter().zip(after).rposition(|(a, b)| a != b).unwrap();
    from..to + 1
}

/// A store with one more commit than before.
struct Two {
    before: Image,
    after: Image,
    shown: [String; 2],
}

fn two() -> Two {
    let dir = TempDir::new().unwrap();
    let store = patient(&dir);
    fill(&store);
    let (before, shown_before) = (Image::of(dir.path()), look(&store).unwrap());
    assert_eq!(store.one(messages(room_id(1), 21, 21)), DONE);
    Two { before, after: Image::of(dir.path()), shown: [shown_before, look(&store).unwrap()] }
}

#[test]
fn a_process_that_ends_at_any_moment_of_a_commit_leaves_all_of_it_or_nothing() {
    let Two { before, after, shown } = two();
    assert_eq!([before.shows(), after.shows()], shown);
    assert_eq!(before.clone().file(DATABASE_FILE), after.clone().file(DATABASE_FILE), "only the log was written");
    let (old, new) = (before.clone().file(LOG).clone(), after.clone().file(LOG).clone());
    let record = changed(&old, &new);
    // Before the mark was written nobody was told: a torn record (each byte of it in the unit tests) is as good as none…
    for cut in record.clone().step_by(41) {
        let mut torn = before.clone();
        torn.file(LOG)[record.start..cut].copy_from_slice(&new[record.start..cut]);
        assert_eq!(torn.shows(), shown[0], "cut at {cut}");
        // …and its place is used again.
        let dir = torn.laid_down();
        let store = patient(&dir);
        assert_eq!(store.one(messages(room_id(1), 21, 21)), DONE);
        assert_eq!(Image::of(dir.path()).shows(), look(&store).unwrap());
    }
    // …and a whole one counts.
    assert_eq!(after.with(COMMIT_MARK_FILE, before.clone()).shows(), shown[1]);
    // After it a torn one is a loss.
    for cut in record.clone().step_by(41) {
        let mut torn = after.clone();
        torn.file(LOG)[cut..record.end].copy_from_slice(&old[cut..record.end]);
        assert!(torn.refused().contains("was acknowledged"), "cut at {cut}");
    }
}

#[test]
fn a_flipped_byte_anywhere_in_the_log_is_named() {
    let Two { before, after, shown } = two();
    let end = changed(before.clone().file(LOG), after.clone().file(LOG)).end;
    let mut named = 0;
    for at in (0..end).step_by(97) {
        let mut flipped = after.clone();
        flipped.file(LOG)[at] ^= 0x41;
        let dir = flipped.laid_down();
        match open(&dir) {
            // Between two records.
            Ok(store) => assert_eq!(look(&store).unwrap(), shown[1], "byte {at}"),
            Err(Failure::Damaged(_)) => {
                flipped.refused();
                named += 1;
            }
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(named * 97 > end * 9 / 10, "named for {named} of {} bytes", end / 97);
    // Also the mark alone can say that the log is gone.
    let mut gone = after;
    gone.file(LOG).fill(0);
    assert!(gone.refused().contains("was acknowledged"));
}

/// Writes, removes and rewrites until both files of the log were begun, with an image after each commit.
fn turned() -> (Vec<Image>, Vec<String>) {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).unwrap();
    fill(&store);
    let (mut images, mut shown) = (Vec::new(), Vec::new());
    let mut seq = 20;
    let mut write = |write: Write| {
        store.write(vec![write]).unwrap();
        images.push(Image::of(dir.path()));
        shown.push(look(&store).unwrap());
    };
    for round in 0..8 {
        let mut more = messages(room_id(1), seq + 1, seq + 4);
        more.events.iter_mut().for_each(|event| event.content = "x".repeat(3_000));
        write(write_of(more));
        let rewritten = vec![message(room_id(1), seq + 2, user_id(7), "rewritten")];
        write(write_of(RoomWrite { rewritten, ..RoomWrite::new(room_id(1)) }));
        write(Write::Trim { room: room_id(1), up_to: Seq(seq - 15 + round), limit: 9 });
        seq += 4;
    }
    (images, shown)
}

#[test]
fn a_process_that_ends_while_files_change_loses_nothing_and_applies_nothing_twice() {
    let (images, shown) = turned();
    let first = images.first().unwrap().clone().file(DATABASE_FILE).clone();
    let filled: Vec<_> = images.iter().map(|image| *image.clone().file(DATABASE_FILE) != first).collect();
    assert!(filled.contains(&true), "the database was never filled");
    for (n, (image, shown)) in images.iter().zip(&shown).enumerate() {
        // Some of these were taken while the database was being written: redb's own crash.
        assert_eq!(&image.shows(), shown, "after commit {n}");
    }
    // The log went on and the database was not brought up to it: the files change, and then the machine stops.
    let unfilled = filled.iter().position(|filled| *filled).unwrap();
    let mut whole = 0;
    for (image, shown) in images.iter().zip(&shown).skip(unfilled) {
        let late = image.with(DATABASE_FILE, images[0].clone());
        let dir = late.laid_down();
        match open(&dir) {
            Ok(store) => {
                assert_eq!(&look(&store).unwrap(), shown);
                whole += 1;
            }
            // Once the first file is used again, that database is too old, and it is said.
            Err(Failure::Damaged(text)) => assert!(text.contains("follows on commit"), "{text}"),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(whole > 0, "the database was always filled before the next commit");
}

#[test]
fn a_log_that_was_begun_long_ago_is_brought_in_however_little_it_holds() {
    let dir = TempDir::new().unwrap();
    let settings = causerie::store::embedded::EmbeddedSettings { log_age: std::time::Duration::ZERO, ..settings() };
    let store = Embedded::open(dir.path(), &MasterKeySource::DataDir, settings).unwrap();
    fill(&store);
    let first = Image::of(dir.path()).file(DATABASE_FILE).clone();
    let mut seq = 20;
    // At each write, unless the one before is still being brought in.
    while Image::of(dir.path()).file(DATABASE_FILE) == &first || seq < 40 {
        seq += 1;
        assert_eq!(store.one(messages(room_id(1), seq, seq)), DONE);
        assert_eq!(Image::of(dir.path()).shows(), look(&store).unwrap());
    }
}

#[test]
fn a_log_that_was_brought_in_may_be_brought_in_again() {
    let Two { after, shown, .. } = two();
    let dir = after.laid_down();
    // Brought in at the start, and again with a database that does not know of it.
    let store = open(&dir).unwrap();
    let replayed = Image::of(dir.path());
    assert_eq!(look(&store).unwrap(), shown[1]);
    drop(store);
    assert_eq!(replayed.shows(), shown[1]);
    assert_eq!(replayed.with(DATABASE_FILE, after.clone()).shows(), shown[1]);
    // Many ends in a row, none of them in order.
    let mut image = after;
    for seq in 22..27 {
        let dir = image.laid_down();
        let store = patient(&dir);
        assert_eq!(store.one(messages(room_id(1), seq, seq)), DONE);
        image = Image::of(dir.path());
    }
    let dir = image.laid_down();
    assert_eq!(open(&dir).unwrap().seqs(room_id(1), Span::Newest, 99), (1..=26).collect::<Vec<_>>());
}

#[test]
fn a_file_of_the_log_that_is_missing_is_named_or_harms_nothing() {
    let (images, shown) = turned();
    let mut named = 0;
    for (image, shown) in images.iter().zip(&shown) {
        for name in LOG_FILES {
            let dir = image.laid_down();
            std::fs::remove_file(dir.path().join(name)).unwrap();
            match open(&dir) {
                Ok(store) => assert_eq!(&look(&store).unwrap(), shown),
                Err(Failure::Damaged(_)) => named += 1,
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(named >= images.len() / 2, "named {named} times of {}", images.len());
}

#[test]
fn what_the_log_holds_is_seen_in_one_order_with_what_the_database_holds() {
    let dir = TempDir::new().unwrap();
    // Odd users are in the database, even ones in the log; some of the odd ones are changed there, and all are looked for from both ends.
    let store = patient(&dir);
    for n in (1..20).step_by(2) {
        assert_eq!(store.one(create_room(room_id(n), RoomType::Public)), DONE);
    }
    drop(store);
    let store = patient(&dir);
    for n in (2..20).step_by(2) {
        assert_eq!(store.one(create_room(room_id(n), RoomType::Public)), DONE);
    }
    let mut gone = room(room_id(7), RoomType::Public);
    gone.removed = true;
    assert_eq!(store.one(RoomWrite { record: Some(gone), ..RoomWrite::new(room_id(7)) }), DONE);
    let ids: Vec<_> = (1..20).map(room_id).collect();
    for limit in [1, 2, 5, 18, 19, 99] {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let query = causerie::store::Query::RoomIds { after, limit };
            let Ok(causerie::store::Answer::RoomIds(page)) = store.read(&query) else { panic!("no ids") };
            after = page.last().copied();
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(found, ids, "pages of {limit}");
    }
    let query = causerie::store::Query::ListRooms { user: user_id(9), after: None, limit: 99 };
    let Ok(causerie::store::Answer::RoomList(list)) = store.read(&query) else { panic!("no list") };
    let listed: Vec<_> = list.iter().map(|(room, ..)| room.id).collect();
    assert_eq!(listed, ids.iter().copied().filter(|id| *id != room_id(7)).collect::<Vec<_>>());
    // Events of one room in both, backwards and forwards.
    assert_eq!(store.one(messages(room_id(1), 1, 10)), DONE);
    drop(store);
    let store = patient(&dir);
    assert_eq!(store.one(messages(room_id(1), 11, 20)), DONE);
    assert_eq!(store.one(Write::Trim { room: room_id(1), up_to: Seq(4), limit: 99 }).clone(), trimmed(&store, 4));
    for (span, limit, expected) in [
        (Span::Newest, 99, 5..21),
        (Span::Newest, 12, 9..21),
        (Span::After(Seq(7)), 8, 8..16),
        (Span::Before(Seq(14)), 6, 8..14),
        (Span::Between(Seq(2), Seq(13)), 99, 5..13),
    ] {
        assert_eq!(store.seqs(room_id(1), span, limit), expected.collect::<Vec<_>>(), "{span:?}");
    }
}

fn trimmed(store: &Embedded, count: usize) -> causerie::store::Outcome {
    causerie::store::Outcome::Trimmed(count, Box::new(store.room(room_id(1)).unwrap().room))
}
