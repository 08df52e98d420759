//! The embedded store by itself: appends in batches of several sizes, pages, loading rooms. Prints a table; not a test.
//!
//! `cargo bench --bench store`. Runs in a temporary directory (`TMPDIR` chooses the disk).

use std::hint::black_box;
use std::io::{Write as _, stdout};
use std::time::Instant;

use causerie::base::room::Head;
use causerie::base::{
    ClientId, Epoch, Event, EventKind, EventStatus, Interval, Member, Number, Role, Room, RoomId, RoomType, Seq,
    UserId, WallTime,
};
use causerie::store::embedded::{Embedded, EmbeddedSettings, MasterKeySource};
use causerie::store::{Answered, Backend, Query, RoomWrite, Span, Write};
use uuid::Uuid;

const ROOMS: u128 = 500;
const MEMBERS: u128 = 20;
const TEXT_BYTES: usize = 100;

fn room_id(n: u128) -> RoomId {
    RoomId(Uuid::from_u128((n + 1) << 100 | n))
}

fn user_id(n: u128) -> UserId {
    UserId(Uuid::from_u128((n + 1) << 96 | n))
}

fn room(id: RoomId) -> Room {
    Room {
        id,
        kind: RoomType::Private,
        name: format!("room {id}"),
        description: "what it is about".to_owned(),
        metadata: String::new(),
        created_by: user_id(0),
        created_at: WallTime(1),
        epoch: Epoch(1),
        first_seq: Seq(1),
        trimmed: Head::default(),
        retention_days: None,
        removed: false,
    }
}

fn member(room: RoomId, user: UserId) -> Member {
    let intervals = vec![Interval { from: Seq(1), to: None }];
    Member { room, user, role: Role::Member, intervals, read_number: Number(0) }
}

/// One message as a shard writes it.
fn message(room: RoomId, seq: u64, n: u128) -> Write {
    let client_id = ClientId(Uuid::from_u128(n << 64 | u128::from(seq)));
    let user = user_id(n % MEMBERS);
    let event = Event {
        room,
        epoch: Epoch(1),
        seq: Seq(seq),
        number: Number(seq),
        user,
        at: WallTime(seq),
        kind: EventKind::Message,
        content: "x".repeat(TEXT_BYTES),
        metadata: String::new(),
        client_id: Some(client_id),
        status: EventStatus::Live,
    };
    let answered = vec![Answered { user, client_id, seq: Seq(seq), body_hash: 7, at: WallTime(seq) }];
    Write::Room(Box::new(RoomWrite { events: vec![event], answered, ..RoomWrite::new(room) }))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::TempDir::new()?;
    let store = Embedded::open(dir.path(), &MasterKeySource::DataDir, EmbeddedSettings::default())?;
    let mut out = stdout();
    for n in 0..ROOMS {
        let id = room_id(n);
        let members = (0..MEMBERS).map(|n| member(id, user_id(n))).collect();
        let write = RoomWrite { record: Some(room(id)), create: true, members, ..RoomWrite::new(id) };
        store.write(vec![Write::Room(Box::new(write))])?;
    }
    let mut heads = vec![0; usize::try_from(ROOMS)?];
    let mut n = 0u128;
    for batch in [1usize, 16, 64, 256, 1024] {
        let total = (batch * 40).max(400);
        let mut spent = std::time::Duration::ZERO;
        let mut longest = std::time::Duration::ZERO;
        for _ in 0..total / batch {
            let writes = (0..batch).map(|_| {
                n += 1;
                let index = n % 50;
                let head: &mut u64 = &mut heads[usize::try_from(index).unwrap_or(0)];
                *head += 1;
                message(room_id(index), *head, n)
            });
            let writes: Vec<_> = writes.collect();
            let began = Instant::now();
            black_box(store.write(writes)?);
            spent += began.elapsed();
            longest = longest.max(began.elapsed());
        }
        let (each, rate) = (spent / u32::try_from(total)?, f64::from(u32::try_from(total)?) / spent.as_secs_f64());
        writeln!(
            out,
            "append, batches of {batch:>4}: {each:>10.1?} a message, {rate:>8.0} a second, longest {longest:.1?}"
        )?;
    }
    let mut time = |what: &str, rounds: u32, query: &Query| -> Result<(), Box<dyn std::error::Error>> {
        store.read(query)?;
        let began = Instant::now();
        for _ in 0..rounds {
            black_box(store.read(query)?);
        }
        writeln!(out, "{what}: {:.1?}", began.elapsed() / rounds)?;
        Ok(())
    };
    let room = room_id(3);
    for (what, span) in [("the last 50 of a room", Span::Newest), ("50 after a position", Span::After(Seq(10)))] {
        time(what, 500, &Query::Events { room, span, limit: 50, bytes_max: usize::MAX })?;
    }
    let rooms: Vec<_> = (0..ROOMS).map(room_id).collect();
    time("500 rooms of 20", 20, &Query::Rooms { rooms, answered_since: WallTime(u64::MAX), answered_max: 8192 })?;
    let rooms = vec![room];
    time("one room with all its ids", 50, &Query::Rooms { rooms, answered_since: WallTime(0), answered_max: 8192 })?;
    time("list of 100 rooms", 50, &Query::ListRooms { user: user_id(1), after: None, limit: 100 })?;
    time(
        "an answered id",
        500,
        &Query::Answered { room, user: user_id(3), client_id: ClientId(Uuid::from_u128(3 << 64 | 1)) },
    )?;
    writeln!(out, "events in room 3: {}, bytes on disk: {}", heads[3], store.size_bytes())?;
    Ok(())
}
