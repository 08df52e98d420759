//! Damage is found and named: by what is read, by the check when the store opens, by `causerie check`.

use std::path::Path;

use causerie::base::{RoomType, Seq, WallTime};
use causerie::store::embedded::{self, Embedded, EmbeddedSettings, MasterKeySource};
use causerie::store::{Backend, Failure, Query, RoomWrite, Span, Write};
use redb::{ReadableTable as _, TableDefinition};
use tempfile::TempDir;

use crate::embedded::{fill, look};
use crate::kit::*;

const FILE: &str = "store.redb";
const EVENTS: TableDefinition<'_, &[u8; 24], &[u8]> = TableDefinition::new("events");
const STATES: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("states");
const USER_ROOMS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("user_rooms");
const ANSWERED: TableDefinition<'_, &[u8; 48], &[u8]> = TableDefinition::new("answered");
const NAMES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("names");

fn event_key(room: u128, seq: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(room_id(room).bytes());
    key[16..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// Changes tables behind the store's back, with pages that are in order.
fn tamper(dir: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = redb::Database::open(dir.join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

fn problems(dir: &Path) -> Vec<String> {
    embedded::inspect(dir, &MasterKeySource::DataDir).unwrap().problems
}

fn filled() -> TempDir {
    let dir = TempDir::new().unwrap();
    fill(&open(&dir).unwrap());
    dir
}

fn damaged_text(result: Result<causerie::store::Answer, Failure>) -> String {
    match result {
        Err(Failure::Damaged(text)) => text,
        other => panic!("not found: {other:?}"),
    }
}

fn page(span: Span) -> Query {
    Query::Events { room: room_id(1), span, limit: 3, bytes_max: usize::MAX }
}

#[test]
fn a_damaged_a_lost_and_a_swapped_event_are_named_with_room_and_seq() {
    type Change = fn(&mut redb::Table<'_, &'static [u8; 24], &'static [u8]>);
    let changes: [Change; 3] = [
        |events| {
            let mut value = events.get(&event_key(1, 7)).unwrap().unwrap().value().to_vec();
            let middle = value.len() / 2;
            value[middle] ^= 1;
            events.insert(&event_key(1, 7), value.as_slice()).unwrap();
        },
        |events| drop(events.remove(&event_key(1, 7)).unwrap()),
        |events| {
            let value = events.get(&event_key(1, 8)).unwrap().unwrap().value().to_vec();
            events.insert(&event_key(1, 7), value.as_slice()).unwrap();
        },
    ];
    for change in changes {
        let dir = filled();
        tamper(dir.path(), |transaction| change(&mut transaction.open_table(EVENTS).unwrap()));
        let named = |text: &str| {
            text.contains(&room_id(1).to_string()) && (text.contains("seq 7") || text.contains("events 7 to 7"))
        };
        let found = problems(dir.path());
        assert!(found.iter().any(|text| named(text)), "{found:?}");

        let store = open(&dir).unwrap();
        for span in [Span::After(Seq(5)), Span::Before(Seq(9)), Span::Between(Seq(6), Seq(9))] {
            let text = damaged_text(store.read(&page(span)));
            assert!(named(&text), "{text}");
        }
        // What does not touch it is served.
        assert_eq!(store.seqs(room_id(1), Span::Newest, 3), [18, 19, 20]);
        assert_eq!(store.seqs(room_id(1), Span::After(Seq(0)), 6), [1, 2, 3, 4, 5, 6]);
        assert_eq!(store.one(messages(room_id(1), 21, 21)), DONE);
    }
}

#[test]
fn a_lost_head_is_noticed_though_the_log_has_no_hole() {
    let dir = filled();
    tamper(dir.path(), |transaction| drop(transaction.open_table(EVENTS).unwrap().remove(&event_key(1, 20)).unwrap()));
    assert!(problems(dir.path()).iter().any(|text| text.contains("its log goes from 1 to 20")));
    let store = open(&dir).unwrap();
    assert!(damaged_text(store.read(&page(Span::Newest))).contains("seq 20"));
    let rooms = Query::Rooms { rooms: vec![room_id(1)], answered_since: WallTime(0), answered_max: 9 };
    assert!(damaged_text(store.read(&rooms)).contains("seq 20"));
}

#[test]
fn a_write_to_what_is_damaged_fails_alone() {
    let dir = filled();
    tamper(dir.path(), |transaction| {
        let mut states = transaction.open_table(STATES).unwrap();
        let mut value = states.get(room_id(1).bytes()).unwrap().unwrap().value().to_vec();
        value[20] ^= 4;
        states.insert(room_id(1).bytes(), value.as_slice()).unwrap();
    });
    let store = open(&dir).unwrap();
    let batch = vec![
        write_of(messages(room_id(2), 1, 2)),
        write_of(messages(room_id(1), 21, 22)),
        write_of(messages(room_id(2), 3, 4)),
    ];
    let results = store.write_each(batch).unwrap();
    assert_eq!((&results[0], &results[2]), (&Ok(DONE), &Ok(DONE)));
    let Err(Failure::Damaged(text)) = &results[1] else { panic!("{results:?}") };
    assert!(text.contains(&room_id(1).to_string()), "{text}");
    assert_eq!(store.seqs(room_id(2), Span::Newest, 9), [1, 2, 3, 4]);
}

#[test]
fn what_is_kept_twice_and_does_not_agree_is_found() {
    type Change = fn(&redb::WriteTransaction);
    let changes: [(Change, &str); 5] = [
        (|t| drop(t.open_table(USER_ROOMS).unwrap().pop_first().unwrap()), "the list of rooms is wrong"),
        (
            |t| drop(t.open_table(USER_ROOMS).unwrap().insert(&[5; 32], [].as_slice()).unwrap()),
            "lists of rooms name rooms",
        ),
        (|t| drop(t.open_table(ANSWERED).unwrap().pop_first().unwrap()), "its answered id is not in the index"),
        (|t| drop(t.open_table(STATES).unwrap().pop_last().unwrap()), "its state is missing"),
        (
            |t| {
                let mut names = t.open_table(NAMES).unwrap();
                let value = names.get(&[1; 32]).unwrap().unwrap().value().to_vec();
                names.insert(&[99; 32], value.as_slice()).unwrap();
            },
            "the checksum",
        ),
    ];
    for (change, said) in changes {
        let dir = filled();
        tamper(dir.path(), change);
        let found = problems(dir.path());
        let said = if said == "the checksum" { "checksum" } else { said };
        assert!(found.iter().any(|text| text.contains(said)), "{said}: {found:?}");
    }
}

/// redb panics on some damage, which the store catches; its backtraces would take most of this test's time.
pub fn hush_redb() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.location().is_some_and(|at| at.file().contains("redb-")) {
            usual(info);
        }
    }));
}

/// Every so many bytes of a whole database, one is flipped. Either it is found, or all that is kept is still there unchanged.
#[test]
fn one_flipped_byte_anywhere_is_found_or_harms_nothing() {
    hush_redb();
    let dir = filled();
    let store = open(&dir).unwrap();
    // Some history, so that there are pages that were used and are free now.
    store.one(Write::Trim { room: room_id(1), up_to: Seq(2), limit: 9 });
    assert_eq!(store.one(RoomWrite { name: take(name(50)), ..create_room(room_id(3), RoomType::Private) }), DONE);
    // Most pages shall hold what is alive.
    assert_eq!(store.one(messages(room_id(2), 1, 1000)), DONE);
    let before = look(&store).unwrap();
    drop(store);
    let bytes = std::fs::read(dir.path().join(FILE)).unwrap();
    let (mut found, mut at_open, mut by_reading, mut harmless) = (0, 0, 0, 0);
    let copy = TempDir::new().unwrap();
    let key = embedded::KEY_FILE;
    std::fs::copy(dir.path().join(key), copy.path().join(key)).unwrap();
    let unchecked = EmbeddedSettings { check_on_open_bytes: 0, ..settings() };
    // Most of a young file is zeroes that nothing refers to.
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    for &at in used.iter().step_by(used.len() / 100) {
        let flip = || {
            let mut changed = bytes.clone();
            changed[at] ^= 0x41;
            std::fs::write(copy.path().join(FILE), changed).unwrap();
        };
        flip();
        let report = embedded::inspect(copy.path(), &MasterKeySource::DataDir);
        let sound = report.as_ref().is_ok_and(embedded::Report::sound);
        assert!(sound || report.is_ok_and(|report| !report.problems.is_empty()), "byte {at}");
        match Embedded::open(copy.path(), &MasterKeySource::DataDir, settings()) {
            Ok(store) => {
                assert_eq!(look(&store), Ok(before.clone()), "byte {at} passed the check and changed something");
            }
            Err(Failure::Damaged(_)) => {
                assert!(!sound, "byte {at}: the check when opening finds more than the whole check");
                at_open += 1;
            }
            Err(other) => panic!("byte {at}: {other}"),
        }
        flip();
        match Embedded::open(copy.path(), &MasterKeySource::DataDir, unchecked.clone()).and_then(|store| look(&store)) {
            Err(Failure::Damaged(_)) => by_reading += 1,
            Err(other) => panic!("byte {at}: {other}"),
            Ok(_) => {}
        }
        if sound { harmless += 1 } else { found += 1 }
    }
    println!(
        "{} bytes, {} of them used; found {found} (when opening {at_open}, by reading alone {by_reading}), harmless {harmless}",
        bytes.len(),
        used.len()
    );
    assert!(found >= 35, "only {found} of all flips were found");
    assert_eq!(at_open, found);
    assert!(by_reading >= found / 2, "{by_reading} of {found}");
}
