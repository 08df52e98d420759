//! The store: appends with real syncs and reads of the embedded one, and what one event costs to be sealed and written down.
//!
//! `TMPDIR` chooses the disk. Times with a sync in them are times of that disk.

use causerie::base::{ClientId, Event, RoomId, WallTime};
use causerie::store::embedded::{Embedded, EmbeddedSettings, MasterKeySource};
use causerie::store::record::{self, StoredEvent};
use causerie::store::seal::{Field, Place, RoomKeys};
use causerie::store::{Answer, Answered, Backend, Query, Span, Write};
use uuid::Uuid;

use crate::meter::{Meter, Res, Round, Subject, ensure};
use crate::rows;
use crate::world::{room_id, user_id};

const fn subject(name: &'static str, unit: &'static str, make: fn() -> Res<Round>) -> Subject {
    Subject { name, unit, rounds_max: 400, counted: false, make }
}

pub const ALL: &[Subject] = &[
    Subject {
        counted: true,
        rounds_max: 10_000,
        ..subject("store/seal and write down an event", "event", || Ok(seal()))
    },
    subject("store/append, 1 a batch", "message", || append(1)),
    subject("store/append, 64 a batch", "message", || append(64)),
    subject("store/append, 1,024 a batch", "message", || append(1024)),
    subject("store/the last 50 of a room", "read", || {
        read(&last_50(), |answer| matches!(answer, Answer::Events(e) if e.len() == 50))
    }),
    subject("store/500 rooms of 20", "read", || {
        let rooms = (0..ROOMS).map(room_id).collect();
        let query = Query::Rooms { rooms, answered_since: WallTime(u64::MAX), answered_max: 8192 };
        read(&query, |answer| matches!(answer, Answer::Rooms(rooms) if rooms.iter().flatten().count() == 500))
    }),
    subject("store/one room with its ids", "read", || {
        let query = Query::Rooms { rooms: vec![room_id(3)], answered_since: WallTime(0), answered_max: 8192 };
        read(&query, |answer| matches!(answer, Answer::Rooms(r) if r.iter().flatten().any(|r| r.answered.len() == 200)))
    }),
    subject("store/list of 100 rooms", "read", || {
        let query = Query::ListRooms { user: user_id(1), after: None, limit: 100 };
        read(&query, |answer| matches!(answer, Answer::RoomList(rooms) if rooms.len() == 100))
    }),
    subject("store/an answered id", "read", || {
        let query = Query::Answered { room: room_id(3), user: user_id(3), client_id: client_id(3, 1) };
        read(&query, |answer| matches!(answer, Answer::Answered(Some(_))))
    }),
];

const ROOMS: u64 = 500;
const MEMBERS: u64 = 20;

fn last_50() -> Query {
    Query::Events { room: room_id(3), span: Span::Newest, limit: 50, bytes_max: usize::MAX }
}

fn client_id(n: u64, seq: u64) -> ClientId {
    ClientId(Uuid::from_u128(u128::from(n) << 64 | u128::from(seq)))
}

/// One message as a shard writes it.
fn message(room: RoomId, seq: u64, n: u64) -> (Event, Answered) {
    rows::message(room, seq, user_id(n % MEMBERS), client_id(n, seq), 120)
}

fn write(room: RoomId, seq: u64, n: u64) -> Write {
    rows::said(message(room, seq, n))
}

fn open() -> Res<(tempfile::TempDir, Embedded)> {
    let dir = tempfile::tempdir()?;
    let store = Embedded::open(dir.path(), &MasterKeySource::DataDir, EmbeddedSettings::default())?;
    let rooms = (0..ROOMS).map(|n| {
        let id = room_id(n);
        Write::Room(Box::new(rows::create(id, user_id(0), (0..MEMBERS).map(user_id))))
    });
    store.write(rooms.collect())?;
    Ok((dir, store))
}

fn seal() -> Round {
    let keys = RoomKeys::new([5; 32], 1);
    let (event, _) = message(room_id(1), 1, 1);
    let author = keys.author(&[9; 32]);
    Box::new(move |meter: &mut Meter| {
        let mut bytes = Ok(Vec::new());
        let place = Place { field: Field::Content, owner: *event.room.bytes(), seq: event.seq };
        meter.section(|| {
            for n in 0..50u8 {
                let sealed = author.seal(place, [n; 12], &event.content).unwrap_or_default();
                let stored = StoredEvent::of(&event, keys.key_id(), sealed, Vec::new(), Vec::new());
                bytes = record::encode(b"a place", &stored);
            }
        });
        let stored: StoredEvent = record::decode(b"a place", &bytes?)?;
        ensure(author.open(place, &stored.content)? == event.content, || "another text came back".to_owned())?;
        Ok(50)
    })
}

fn append(batch: u64) -> Res<Round> {
    let (dir, store) = open()?;
    let (mut heads, mut n) = ([0; 50], 0);
    Ok(Box::new(move |meter: &mut Meter| {
        let _stays = &dir;
        let writes = (0..batch).map(|_| {
            n += 1;
            let head = &mut heads[n % heads.len()];
            *head += 1;
            write(room_id((n % 50) as u64), *head, n as u64)
        });
        let writes: Vec<_> = writes.collect();
        let outcomes = meter.section(|| store.write(writes))?;
        ensure(outcomes.len() as u64 == batch, || format!("{} of {batch} were written", outcomes.len()))?;
        Ok(batch)
    }))
}

fn read(query: &Query, right: fn(&Answer) -> bool) -> Res<Round> {
    let (dir, store) = open()?;
    let writes = (1..=200).map(|seq| write(room_id(3), seq, 3));
    store.write(writes.collect())?;
    let query = query.clone();
    Ok(Box::new(move |meter: &mut Meter| {
        let _stays = &dir;
        let answer = meter.section(|| store.read(&query))?;
        ensure(right(&answer), || "the answer is not what was asked for".to_owned())?;
        Ok(1)
    }))
}
