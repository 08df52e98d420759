//! What a deposed owner sent before it was deposed, and what arrives only after its successor has read and written: it counts for nothing.
//!
//! The late arrivals are written by the test itself, with times that the first owner was granted: for the database that is the same.

use std::path::Path;
use std::time::Duration;

use ::scylla::client::session::Session;
use ::scylla::client::session_builder::SessionBuilder;
use ::scylla::value::{CqlValue, Row};
use causerie::base::room::Head;
use causerie::base::{
    ClientId, Epoch, Event, EventKind, EventStatus, Number, Room, RoomId, RoomType, Seq, UserId, WallTime,
};
use causerie::store::embedded::MasterKeySource;
use causerie::store::scylla::{self, Replication, Scylla, ScyllaSettings};
use causerie::store::{
    Answer, Answered, Backend as _, Failure, LoadedRoom, Outcome, Query, RoomWrite, Span, Write as StoreWrite,
};
use uuid::Uuid;

use super::support::database;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const DONE: Outcome = Outcome::Done { first_user: false };
const ANN: UserId = UserId(Uuid::from_u128(7));

fn settings(keyspace: &str) -> ScyllaSettings {
    ScyllaSettings {
        nodes: vec![database::shared().contact.clone()],
        keyspace: keyspace.to_owned(),
        replication: Replication::Everywhere(1),
        request_timeout: Duration::from_secs(20),
        give_up: Duration::from_secs(40),
        lease: Duration::from_secs(60),
        ..ScyllaSettings::default()
    }
}

fn open(folder: &Path, name: &str, keyspace: &str) -> Scylla {
    let key = MasterKeySource::File(folder.join("key"));
    Scylla::open(&folder.join(name), &key, settings(keyspace), Box::new(|| {})).expect("a store")
}

/// Statements of the test's own, past the store.
struct Raw {
    runtime: tokio::runtime::Runtime,
    session: Session,
}

impl Raw {
    fn new(keyspace: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let builder = SessionBuilder::new().known_node(&database::shared().contact).use_keyspace(keyspace, false);
        let session = runtime.block_on(builder.build()).unwrap();
        Self { runtime, session }
    }

    fn rows(&self, text: &str) -> Vec<Row> {
        let result = self.runtime.block_on(self.session.query_unpaged(text, ())).unwrap();
        result
            .into_rows_result()
            .map_or_else(|_| Vec::new(), |rows| rows.rows::<Row>().unwrap().map(Result::unwrap).collect())
    }

    /// The time of an event's row.
    fn time_of(&self, room: RoomId, seq: u64) -> i64 {
        let text = format!(
            "SELECT WRITETIME(number) FROM chat_messages WHERE room_id = {room} AND bucket = 0 AND seq = {seq}"
        );
        match self.rows(&text)[0].columns[0] {
            Some(CqlValue::BigInt(time)) => time,
            ref other => panic!("{other:?}"),
        }
    }

    fn late_event(&self, room: RoomId, seq: u64, time: i64) {
        self.rows(&format!(
            "INSERT INTO chat_messages (room_id, bucket, seq, epoch, number, user_id, type, key_id, created, sum) \
             VALUES ({room}, 0, {seq}, 1, {seq}, {ANN}, 0, 1, 4000, 1) USING TIMESTAMP {time}"
        ));
    }

    fn events(&self, room: RoomId) -> usize {
        self.rows(&format!("SELECT seq FROM chat_messages WHERE room_id = {room} AND bucket = 0")).len()
    }
}

fn room(n: u128) -> RoomId {
    RoomId(Uuid::from_u128(n))
}

fn made(id: RoomId, description: &str) -> StoreWrite {
    StoreWrite::Room(record(id, description))
}

fn record(id: RoomId, description: &str) -> Box<RoomWrite> {
    let record = Room {
        id,
        kind: RoomType::Private,
        name: "room".to_owned(),
        description: description.to_owned(),
        metadata: String::new(),
        created_by: ANN,
        created_at: WallTime(1),
        epoch: Epoch(1),
        first_seq: Seq(1),
        trimmed: Head::default(),
        retention_days: None,
        removed: false,
    };
    Box::new(RoomWrite { record: Some(record), create: true, ..RoomWrite::new(id) })
}

fn said(id: RoomId, seqs: std::ops::RangeInclusive<u64>, text: &str) -> StoreWrite {
    let event = |seq: u64| Event {
        room: id,
        epoch: Epoch(1),
        seq: Seq(seq),
        number: Number(seq),
        user: ANN,
        at: WallTime(seq * 1000),
        kind: EventKind::Message,
        content: format!("{text} {seq}"),
        metadata: String::new(),
        client_id: Some(ClientId(Uuid::from_u128(u128::from(seq)))),
        status: EventStatus::Live,
    };
    let events: Vec<Event> = seqs.map(event).collect();
    let answer = |event: &Event| {
        let client_id = event.client_id.unwrap();
        Answered { user: ANN, client_id, seq: event.seq, body_hash: 1, at: event.at }
    };
    let answered = events.iter().map(answer).collect();
    StoreWrite::Room(Box::new(RoomWrite { events, answered, ..RoomWrite::new(id) }))
}

fn one(store: &Scylla, write: StoreWrite) -> Result<Outcome, Failure> {
    store.write(vec![write]).map(|mut outcomes| outcomes.pop().unwrap())
}

fn texts(store: &Scylla, room: RoomId) -> Vec<String> {
    let query = Query::Events { room, span: Span::Newest, limit: 100, bytes_max: usize::MAX };
    match store.read(&query).unwrap() {
        Answer::Events(events) => events.into_iter().map(|event| event.content).collect(),
        other => panic!("{other:?}"),
    }
}

fn loaded(store: &Scylla, room: RoomId) -> Option<LoadedRoom> {
    let query = Query::Rooms { rooms: vec![room], answered_since: WallTime(0), answered_max: 100 };
    match store.read(&query).unwrap() {
        Answer::Rooms(mut rooms) => rooms.pop().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn answered(store: &Scylla, room: RoomId, n: u64) -> bool {
    let client_id = ClientId(Uuid::from_u128(u128::from(n)));
    match store.read(&Query::Answered { room, user: ANN, client_id }).unwrap() {
        Answer::Answered(found) => found.is_some(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_arrives_late_of_an_earlier_owner_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key"), KEY).expect("a key");
    let keyspace = database::keyspace();
    scylla::migrate(&settings(&keyspace)).expect("a schema");
    let first = open(folder.path(), "first", &keyspace);
    for n in 1..=4 {
        assert_eq!(one(&first, made(room(n), "of the first")), Ok(DONE));
        assert_eq!(one(&first, said(room(n), 1..=3, "acked")), Ok(DONE));
    }
    drop(first);
    let raw = Raw::new(&keyspace);
    // A time that only the first could give.
    let time = raw.time_of(room(4), 3) + 1;

    let second = open(folder.path(), "second", &keyspace);
    assert_eq!(texts(&second, room(1)), ["acked 1", "acked 2", "acked 3"]);
    assert_eq!(one(&second, said(room(2), 4..=4, "of the second")), Ok(DONE));
    assert_eq!(loaded(&second, room(3)).unwrap().room.description, "of the first");
    assert_eq!(one(&second, made(room(5), "of the second")), Ok(DONE));

    for n in [1, 2, 4] {
        raw.late_event(room(n), 4, time);
        raw.late_event(room(n), 5, time);
    }
    for n in [3, 5] {
        let id = room(n);
        raw.rows(&format!(
            "UPDATE chat_rooms USING TIMESTAMP {time} SET record = 0x00, pending = 0x00 WHERE room_id = {id}"
        ));
    }
    // It did arrive: where the second owner has not been yet, it is seen…
    assert_eq!(raw.events(room(4)), 5);
    // …and where it was, it is not.
    assert_eq!((raw.events(room(1)), raw.events(room(2))), (3, 4));
    drop(second);

    // Nothing in memory any more: what the database itself holds.
    let third = open(folder.path(), "third", &keyspace);
    assert_eq!(texts(&third, room(1)), ["acked 1", "acked 2", "acked 3"]);
    assert_eq!(loaded(&third, room(1)).unwrap().head.seq, Seq(3));
    assert_eq!(texts(&third, room(2)), ["acked 1", "acked 2", "acked 3", "of the second 4"]);
    assert_eq!(loaded(&third, room(3)).unwrap().room.description, "of the first");
    assert_eq!(loaded(&third, room(5)).unwrap().room.description, "of the second");
    assert!(answered(&third, room(1), 3) && !answered(&third, room(1), 4));
    assert_eq!(one(&third, said(room(1), 4..=4, "at last")), Ok(DONE));
    drop(third);
    database::forget(&keyspace);
}
