//! Any sequence of batches has the same outcomes and leaves the same data in all backends, also after the store was opened anew.
//!
//! Two tests, since a history takes the embedded store milliseconds and the database seconds.

use causerie::base::{EventStatus, RoomType, Seq, WallTime};
use causerie::store::embedded::{self, MasterKeySource};
use causerie::store::memory::Memory;
use causerie::store::{Answer, Backend, Cursor, Failure, NameChange, Query, RoomWrite, Span, UserWrite, Write};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::kit::*;

const ROOMS: u128 = 3;
const USERS: u128 = 3;

fn names() -> impl Strategy<Value = NameChange> {
    let key = || proptest::option::weighted(0.3, (0..4u8).prop_map(name));
    (key(), key()).prop_map(|(release, take)| NameChange { release, take })
}

prop_compose! {
    fn room_write()(
        n in 0..ROOMS, create in any::<bool>(), kind in 0..3usize, removed in prop::bool::weighted(0.2),
        record in any::<bool>(), change in names(), from in 1..12u64, count in 0..4u64,
        members in prop::collection::vec((0..USERS, any::<bool>()), 0..3),
        rewritten in proptest::option::weighted(0.3, 1..12u64), id in 1..30u128,
    ) -> Write {
        let room_id = room_id(n);
        let mut write = if count == 0 { RoomWrite::new(room_id) } else { messages(room_id, from, from + count - 1) };
        // Ids repeat now and then, as they would from a client that forgot what it sent.
        for (event, answer) in write.events.iter_mut().zip(&mut write.answered) {
            event.user = user_id(id % USERS);
            answer.user = event.user;
            answer.client_id = client_id(id + u128::from(event.seq.0));
        }
        if create || record {
            let mut record = room(room_id, [RoomType::Public, RoomType::Private, RoomType::Direct][kind]);
            record.removed = removed;
            write.record = Some(record);
        }
        (write.create, write.name) = (create, change);
        write.members =
            members.into_iter().map(|(user, active)| member(room_id, user_id(user), 1, (!active).then_some(3))).collect();
        if let Some(seq) = rewritten {
            let mut event = message(room_id, seq, user_id(id % USERS), "rewritten");
            event.status = EventStatus::Deleted(WallTime(7));
            write.rewritten.push(event);
        }
        write_of(write)
    }
}

prop_compose! {
    fn user_write()(
        n in 0..USERS, create in any::<bool>(), record in any::<bool>(), admin_if_first in any::<bool>(),
        change in names(), sessions in prop::collection::vec((0..4u128, 0..400_000_000u64), 0..3),
        devices in prop::collection::vec(0..3u128, 0..2), stream in (1..6u64, 0..3u64),
        cursors in prop::collection::vec((0..2u128, 0..ROOMS, 0..9u64), 0..3),
    ) -> Write {
        let id = user_id(n);
        write_of(UserWrite {
            record: (create || record).then(|| user(id)),
            create,
            admin_if_first,
            name: change,
            sessions: sessions.into_iter().map(|(n, at)| session(id, n, at)).collect(),
            devices: devices.into_iter().map(|n| device(id, n)).collect(),
            stream: (stream.0..stream.0 + stream.1).map(|seq| entry(id, seq)).collect(),
            cursors: cursors
                .into_iter()
                .map(|(device, room, seq)| Cursor { user: id, device: device_id(device), room: room_id(room), seq: Seq(seq) })
                .collect(),
            ..UserWrite::new(id)
        })
    }
}

/// Any write, of few rooms and users.
pub fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        6 => room_write(),
        4 => user_write(),
        1 => (0..ROOMS, 0..12u64, 0..5usize).prop_map(|(n, up_to, limit)| Write::Trim { room: room_id(n), up_to: Seq(up_to), limit }),
        1 => (0..USERS, 0..4u128, 0..3u8, 0..3u8, 0..2_000_000u64).prop_map(|(user, session, presented, next, at)| {
            Write::RotateRefresh {
                user: user_id(user),
                session: session_id(session),
                presented: [presented; 32],
                next: [next; 32],
                at: WallTime(at),
                expires_at: WallTime(at + 50),
            }
        }),
        1 => (0..2u8, proptest::option::of(any::<u8>())).prop_map(|(name, value)| Write::Setting {
            name: format!("setting {name}"),
            value: value.map(|byte| vec![byte]),
        }),
    ]
}

/// Everything that can be asked.
pub fn everything(store: &dyn Backend) -> Vec<(Query, Result<Answer, Failure>)> {
    let mut queries = vec![
        Query::RoomIds { after: None, limit: 99 },
        Query::FindUsers { text: "name".to_owned(), after: None, limit: 99 },
        Query::Profiles((0..USERS).map(user_id).collect()),
        Query::SettingNames,
    ];
    for (since, max) in [(0, 99), (5000, 99), (0, 2)] {
        let rooms = (0..ROOMS).map(room_id).collect();
        queries.push(Query::Rooms { rooms, answered_since: WallTime(since), answered_max: max });
    }
    for room in (0..ROOMS).map(room_id) {
        for span in [Span::Newest, Span::After(Seq(2)), Span::Before(Seq(4)), Span::Between(Seq(1), Seq(7))] {
            queries.push(Query::Events { room, span, limit: 4, bytes_max: 700 });
        }
        for (after, before) in [(0, 99), (3, 7), (5, 6)] {
            queries.push(Query::AnsweredIn { room, after: Seq(after), before: Seq(before) });
        }
        for at in [0, 3000, 5500, 99_000] {
            queries.push(Query::SeqBefore { room, at: WallTime(at) });
        }
        for (user, id) in (0..USERS).flat_map(|user| (1..40).map(move |id| (user, id))) {
            queries.push(Query::Answered { room, user: user_id(user), client_id: client_id(id) });
        }
    }
    for user in (0..=USERS).map(user_id) {
        queries.push(Query::User(user));
        queries.push(Query::ListRooms { user, after: None, limit: 99 });
        queries.push(Query::Stream { user, after: Seq(1), limit: 99 });
        for device in 0..2 {
            queries.push(Query::Cursors { user, device: device_id(device) });
        }
    }
    queries.extend((0..4).map(|n| Query::UserByName(name(n))));
    queries.extend((0..2).map(|n| Query::Setting(format!("setting {n}"))));
    queries.into_iter().map(|query| (query.clone(), store.read(&query))).collect()
}

/// Outcomes, and failures by their kind.
fn told(results: Vec<Result<causerie::store::Outcome, Failure>>) -> Vec<String> {
    let kind = |result: Result<_, Failure>| match result {
        Ok(outcome) => format!("{outcome:?}"),
        Err(Failure::Misuse(_)) => "misuse".to_owned(),
        Err(other) => format!("{other:?}"),
    };
    results.into_iter().map(kind).collect()
}

fn histories(batches: usize) -> impl Strategy<Value = Vec<(Vec<Write>, bool)>> {
    prop::collection::vec((prop::collection::vec(write(), 1..12), prop::bool::weighted(0.1)), 1..batches)
}

/// Both did the same with a batch, and give the same answers afterwards.
fn agree(store: &dyn Backend, memory: &Memory, batch: Vec<Write>) -> Result<(), TestCaseError> {
    let expected = told(memory.write_each(batch.clone()).unwrap());
    prop_assert_eq!(told(store.write_each(batch).unwrap()), expected);
    Ok(())
}

fn answer_alike(store: &dyn Backend, memory: &Memory) -> Result<(), TestCaseError> {
    for (found, expected) in everything(store).into_iter().zip(everything(memory)) {
        prop_assert_eq!(found, expected);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn embedded_and_memory_agree_about_any_history(batches in histories(8)) {
        let dir = TempDir::new().unwrap();
        let memory = Memory::new([0; 32]);
        let mut store = open(&dir).unwrap();
        for (batch, reopen) in batches {
            agree(&store, &memory, batch)?;
            if reopen {
                drop(store);
                store = open(&dir).unwrap();
            }
            answer_alike(&store, &memory)?;
        }
        drop(store);
        let report = embedded::inspect(dir.path(), &MasterKeySource::DataDir).unwrap();
        prop_assert_eq!(report.problems, Vec::<String>::new());
    }
}

proptest! {
    // A failing history is made smaller a few times only: each try has a keyspace of its own.
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 24, ..ProptestConfig::default() })]
    #[test]
    fn scylla_and_memory_agree_about_any_history(batches in histories(6)) {
        let (keyspace, dir) = (Keyspace::new(), TempDir::new().unwrap());
        let memory = Memory::new([0; 32]);
        let mut store = keyspace.open(&dir).unwrap();
        for (batch, reopen) in batches {
            agree(&store, &memory, batch)?;
            if reopen {
                drop(store);
                store = keyspace.open(&dir).unwrap();
            }
            answer_alike(&store, &memory)?;
        }
    }
}
