//! Moving house from one backend to another: everything is the same afterwards, it goes on after a break at any place, and what must not
//! be copied over is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use causerie::base::limits::STREAM_EVENTS_MAX;
use causerie::base::{EventStatus, Number, RoomType, Seq, UserId, WallTime};
use causerie::store::copy::{Copied, CopyError, copy, unfinished};
use causerie::store::embedded::{self, Embedded, MasterKeySource};
use causerie::store::memory::Memory;
use causerie::store::scylla::Scylla;
use causerie::store::{
    Answer, Backend, Cursor, Failure, NameKey, NameKind, Outcome, Query, RoomWrite, UserWrite, Write,
};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::kit::*;
use crate::model;

const KEY: [u8; 32] = [7; 32];
const ORIGIN: &str = "a test";

/// An embedded store that may become a copy of one with `KEY`.
fn embedded(dir: &TempDir) -> Embedded {
    Embedded::open_as(dir.path(), &MasterKeySource::DataDir, settings(), KEY).unwrap()
}

fn copied(from: &dyn Backend, to: &dyn Backend) -> Result<Copied, CopyError> {
    copy(from, to, ORIGIN, &mut |_| {})
}

/// Some of everything: several pages of events, retention, deletions, past members, removed rooms, a stream that lost its beginning.
fn furnish(store: &dyn Backend) {
    for n in 1..=12 {
        let id = user_id(n);
        let mut write = create_user(id);
        write.record.as_mut().unwrap().admin = n == 3;
        if n == 4 {
            write.record.as_mut().unwrap().external = Some(("issuer".to_owned(), "subject".to_owned()));
        }
        write.name = take(store.name_key(NameKind::User, &format!("user.{n}")));
        write.sessions = (0..3).map(|s| session(id, n * 10 + s, 10)).collect();
        write.devices = (0..3).map(|d| device(id, n * 10 + d)).collect();
        write.cursors =
            (1..=60).map(|r| Cursor { user: id, device: device_id(n * 10), room: room_id(r), seq: Seq(7) }).collect();
        assert_eq!(store.one(write), DONE);
    }
    let ann = user_id(1);
    for from in (1..STREAM_EVENTS_MAX + 400).step_by(500) {
        let stream = (from..from + 500).map(|seq| entry(ann, seq)).collect();
        assert_eq!(store.one(UserWrite { stream, ..UserWrite::new(ann) }), DONE);
    }
    for (n, kind) in [(1, RoomType::Public), (2, RoomType::Private), (3, RoomType::Direct), (4, RoomType::Public)] {
        let id = room_id(n);
        let mut write = create_room(id, kind);
        write.record.as_mut().unwrap().removed = n == 4;
        write.members = (1..=12).map(|u| member(id, user_id(u), 1, (u > 9).then_some(5))).collect();
        if kind != RoomType::Direct && n != 4 {
            write.name = take(store.name_key(NameKind::Room, &format!("room {n}")));
        }
        assert_eq!(store.one(write), DONE);
    }
    for from in (1..=2400).step_by(300) {
        assert_eq!(store.one(messages(room_id(1), from, from + 299)), DONE);
    }
    assert_eq!(store.one(messages(room_id(2), 1, 40)), DONE);
    let mut gone = message(room_id(2), 20, user_id(1), "");
    gone.status = EventStatus::Deleted(WallTime(9));
    assert_eq!(store.one(RoomWrite { rewritten: vec![gone], ..RoomWrite::new(room_id(2)) }), DONE);
    // The same client id once more: the later answer counts.
    let mut again = messages(room_id(2), 41, 41);
    again.answered[0].client_id = client_id(5);
    assert_eq!(store.one(again), DONE);
    let mut long = messages(room_id(3), 1, 30);
    for event in &mut long.events {
        event.content = "x".repeat(6000);
    }
    assert_eq!(store.one(long), DONE);
    for (room, up_to) in [(1, 700), (3, 30)] {
        store.one(Write::Trim { room: room_id(room), up_to: Seq(up_to), limit: 5000 });
    }
    let mut read = member(room_id(1), ann, 1, None);
    read.read_number = Number(1234);
    assert_eq!(store.one(RoomWrite { members: vec![read], ..RoomWrite::new(room_id(1)) }), DONE);
    for name in ["invites", "another"] {
        assert_eq!(store.one(Write::Setting { name: name.to_owned(), value: Some(name.into()) }), DONE);
    }
}

/// Everything that can be asked about what `furnish` made.
fn look(store: &dyn Backend) -> String {
    let mut queries = vec![
        Query::RoomIds { after: None, limit: 99 },
        Query::SettingNames,
        Query::Setting("invites".to_owned()),
        Query::FindUsers { text: String::new(), after: None, limit: 99 },
        Query::UserByName(store.name_key(NameKind::User, "user.7")),
    ];
    for n in 1..=4 {
        let room = room_id(n);
        queries.push(Query::Rooms { rooms: vec![room], answered_since: WallTime(0), answered_max: 9999 });
        for from in [0, 1000, 2000] {
            let span = causerie::store::Span::After(Seq(from));
            queries.push(Query::Events { room, span, limit: 1000, bytes_max: usize::MAX });
        }
        for id in [5, 20, 21, 1500] {
            queries.push(Query::Answered { room, user: user_id(1), client_id: client_id(id) });
        }
        queries.push(Query::SeqBefore { room, at: WallTime(900_000) });
    }
    for n in 1..=12 {
        let user = user_id(n);
        queries.push(Query::User(user));
        queries.push(Query::ListRooms { user, after: None, limit: 99 });
        queries.push(Query::Stream { user, after: Seq(0), limit: 20_000 });
        queries.push(Query::Cursors { user, device: device_id(n * 10) });
    }
    let answers: Vec<String> = queries.iter().map(|query| format!("{:?}", store.read(query).unwrap())).collect();
    answers.join("\n")
}

#[test]
fn everything_is_the_same_in_the_new_house_and_back_in_the_old_one() {
    let memory = Memory::new(KEY);
    furnish(&memory);
    let dir = TempDir::new().unwrap();
    let store = embedded(&dir);
    let mut events = 0;
    let there = copy(&memory, &store, ORIGIN, &mut |progress| events = events.max(progress.events)).unwrap();
    assert_eq!((there.users, there.rooms, there.settings, there.names), (12, 4, 2, 14));
    assert_eq!(there.events, 2400 - 700 + 41);
    assert_eq!(events, there.events);
    assert_eq!(look(&store), look(&memory));
    assert_eq!(unfinished(&store), Ok(None));

    // Names and pairs are found with the keys that they had.
    assert_eq!(store.pair_key(user_id(1), user_id(2)), memory.pair_key(user_id(1), user_id(2)));
    let name = take(store.name_key(NameKind::Room, "room 2"));
    assert_eq!(store.one(RoomWrite { name, ..create_room(room_id(77), RoomType::Public) }), Outcome::NameTaken);
    // A stream that lost its beginning goes on where it was.
    let head = store.user(user_id(1)).unwrap().stream_head;
    let stream = vec![entry(user_id(1), head.0 + 1)];
    let first = store.user(user_id(1)).unwrap().stream_first;
    assert!(first > Seq(1));
    drop(store);
    let report = embedded::inspect(dir.path(), &MasterKeySource::DataDir).unwrap();
    assert_eq!(report.problems, [""; 0]);

    let store = embedded(&dir);
    let back = Memory::new(KEY);
    assert_eq!(copied(&store, &back).unwrap(), there);
    assert_eq!(look(&back), look(&memory));
    assert_eq!(back.one(UserWrite { stream, ..UserWrite::new(user_id(1)) }), DONE);
}

#[test]
fn everything_is_the_same_in_scylla_and_back_and_a_break_does_no_harm() {
    let memory = Memory::new(KEY);
    furnish(&memory);
    let expected = look(&memory);
    let (keyspace, dir) = (Keyspace::new(), TempDir::new().unwrap());
    let open = || {
        let (source, lost) = (MasterKeySource::DataDir, Box::new(|| {}));
        Scylla::open_to_copy(dir.path(), &source, keyspace.settings.clone(), lost, Some(KEY), true).unwrap()
    };
    for (batches, after) in [(3, false), (5, true)] {
        // As if the process had been killed: nothing is put in order, and the next one opens the store anew.
        let target = Breaking { inner: Arc::new(open()), left: AtomicUsize::new(batches), after, forge: false };
        copied(&memory, &target).unwrap_err();
    }
    let store = open();
    let there = copied(&memory, &store).unwrap();
    assert!(look(&store) == expected, "the same in ScyllaDB");
    // As the owner's next process finds it.
    store.close();
    let store = open();
    assert!(look(&store) == expected, "the same after it was opened anew");
    let name = take(store.name_key(NameKind::Room, "room 2"));
    assert_eq!(store.one(RoomWrite { name, ..create_room(room_id(77), RoomType::Public) }), Outcome::NameTaken);

    let back = Memory::new(KEY);
    assert_eq!(copied(&store, &back).unwrap(), there);
    assert!(look(&back) == expected, "the same in the old house");
    let stream_head = back.user(user_id(1)).unwrap().stream_head;
    let stream = vec![entry(user_id(1), stream_head.0 + 1)];
    assert_eq!(store.one(UserWrite { stream, ..UserWrite::new(user_id(1)) }), DONE);
}

/// A store that breaks off at one batch of writes, before it or after it, or that keeps something else than it was given.
struct Breaking {
    inner: Arc<dyn Backend>,
    left: AtomicUsize,
    after: bool,
    forge: bool,
}

impl Backend for Breaking {
    fn write_each(&self, mut batch: Vec<Write>) -> Result<Vec<Result<Outcome, Failure>>, Failure> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            if self.after {
                self.inner.write_each(batch)?;
            }
            return Err(Failure::Unavailable("it broke off".to_owned()));
        }
        self.left.store(left - 1, Ordering::Relaxed);
        if self.forge {
            for write in &mut batch {
                if let Write::Room(write) = write
                    && let Some(event) = write.events.iter_mut().find(|event| event.seq == Seq(1234))
                {
                    event.at.0 += 1;
                }
            }
        }
        self.inner.write_each(batch)
    }
    fn read(&self, query: &Query) -> Result<Answer, Failure> {
        self.inner.read(query)
    }
    fn name_key(&self, kind: NameKind, folded: &str) -> NameKey {
        self.inner.name_key(kind, folded)
    }
    fn pair_key(&self, a: UserId, b: UserId) -> [u8; 16] {
        self.inner.pair_key(a, b)
    }
    fn server_key(&self) -> [u8; 32] {
        self.inner.server_key()
    }
    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }
}

#[test]
fn it_goes_on_after_a_break_at_any_place() {
    let from = Memory::new(KEY);
    furnish(&from);
    let expected = look(&from);
    let mut breaks = 0;
    for after in [false, true] {
        for batches in 0.. {
            let inner = Arc::new(Memory::new(KEY));
            let target = Breaking { inner: inner.clone(), left: AtomicUsize::new(batches), after, forge: false };
            let broke_off = match copied(&from, &target) {
                Ok(_) => false,
                Err(CopyError::Store { side: "the target", .. }) => true,
                Err(other) => panic!("{other}"),
            };
            if broke_off {
                breaks += 1;
                copied(&from, &*inner).unwrap();
            }
            assert!(look(&*inner) == expected, "broken off at batch {batches}");
            assert_eq!(unfinished(&*inner), Ok(None));
            if !broke_off {
                break;
            }
        }
    }
    assert!(breaks > 20, "only {breaks}");
}

#[test]
fn an_unfinished_copy_says_so_and_is_finished_by_its_own_source_alone() {
    let from = Memory::new(KEY);
    furnish(&from);
    let inner = Arc::new(Memory::new(KEY));
    let target = Breaking { inner: inner.clone(), left: AtomicUsize::new(3), after: false, forge: false };
    copied(&from, &target).unwrap_err();
    assert_eq!(unfinished(&*inner), Ok(Some(ORIGIN.to_owned())));
    let other = copy(&from, &*inner, "another place", &mut |_| {}).unwrap_err();
    assert_eq!(other, CopyError::OtherCopy(ORIGIN.to_owned()));
    let on = copied(&*inner, &Memory::new(KEY)).unwrap_err();
    assert_eq!(on, CopyError::UnfinishedSource(ORIGIN.to_owned()));

    // The source moved on meanwhile: a user who is copied already changed.
    let mut seen = create_user(user_id(1));
    seen.create = false;
    seen.record.as_mut().unwrap().last_seen = WallTime(99);
    assert_eq!(from.one(seen), DONE);
    assert_eq!(copied(&from, &*inner).unwrap_err(), CopyError::Changed(format!("user {}", user_id(1))));
}

#[test]
fn what_is_there_is_never_mixed_with_what_is_copied() {
    let from = Memory::new(KEY);
    furnish(&from);
    let fill: [Write; 3] = [
        write_of(create_user(user_id(900))),
        write_of(create_room(room_id(900), RoomType::Public)),
        Write::Setting { name: "invites".to_owned(), value: Some(vec![1]) },
    ];
    for write in fill {
        let to = Memory::new(KEY);
        assert_eq!(to.one(write), DONE);
        let before = to.size_bytes();
        assert_eq!(copied(&from, &to).unwrap_err(), CopyError::NotEmpty);
        assert_eq!((to.size_bytes(), unfinished(&to)), (before, Ok(None)));
    }
    assert_eq!(copied(&from, &Memory::new([8; 32])).unwrap_err(), CopyError::OtherKey);
    // A copy that is finished is not begun again.
    let to = Memory::new(KEY);
    copied(&from, &to).unwrap();
    assert_eq!(copied(&from, &to).unwrap_err(), CopyError::NotEmpty);
}

#[test]
fn a_difference_is_found_and_named_and_the_copy_stays_unfinished() {
    let from = Memory::new(KEY);
    furnish(&from);
    let inner = Arc::new(Memory::new(KEY));
    let forging = Breaking { inner: inner.clone(), left: AtomicUsize::new(usize::MAX), after: false, forge: true };
    let CopyError::Differs(differences) = copied(&from, &forging).unwrap_err() else { panic!("not found") };
    assert_eq!(differences.len(), 1, "{differences:?}");
    assert!(differences[0].starts_with(&format!("room {} has ", room_id(1))), "{differences:?}");
    assert_eq!(unfinished(&*inner), Ok(Some(ORIGIN.to_owned())));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_history_is_copied_whole(batches in prop::collection::vec(prop::collection::vec(model::write(), 1..12), 1..10)) {
        let from = Memory::new(KEY);
        for batch in batches {
            from.write_each(batch).unwrap();
        }
        let dir = TempDir::new().unwrap();
        let middle = embedded(&dir);
        let back = Memory::new(KEY);
        let there = copied(&from, &middle).unwrap();
        prop_assert_eq!(copied(&middle, &back).unwrap(), there);
        let asked = model::everything(&from);
        let copies = model::everything(&middle).into_iter().zip(model::everything(&back));
        for ((query, expected), ((_, in_middle), (_, at_end))) in asked.into_iter().zip(copies) {
            // Positions of devices that the store does not know and sessions long over are left behind.
            if !matches!(query, Query::Cursors { .. } | Query::User(_)) {
                prop_assert_eq!(&in_middle, &expected);
            }
            prop_assert_eq!(at_end, in_middle);
        }
    }
}
