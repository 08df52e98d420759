//! What all store tests use: backends to try, and short ways to make rooms, events and users.

use std::sync::Arc;
use std::time::Duration;

use causerie::base::room::Head;
use causerie::base::{
    ClientId, Device, DeviceId, Epoch, Event, EventKind, EventStatus, Interval, Member, Number, Role, Room, RoomId,
    RoomType, Seq, Session, SessionId, StreamEvent, StreamKind, User, UserId, WallTime,
};
use causerie::store::embedded::{Embedded, EmbeddedSettings, MasterKeySource};
use causerie::store::memory::Memory;
use causerie::store::scylla::{self, Replication, Scylla, ScyllaSettings};
use causerie::store::{
    Answer, Answered, Backend, Failure, LoadedRoom, LoadedUser, NameChange, NameKey, Outcome, Query, RoomWrite, Span,
    UserWrite, Write,
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::database;

pub const DONE: Outcome = Outcome::Done { first_user: false };

/// A backend and, where it has one, its directory or keyspace.
pub struct Bench {
    pub name: &'static str,
    pub store: Arc<dyn Backend>,
    _dir: Option<TempDir>,
    _keyspace: Option<Keyspace>,
}

/// A keyspace of a test's own in the database that all tests share. It is removed in the end: so many tables take memory.
pub struct Keyspace {
    pub settings: ScyllaSettings,
}

impl Keyspace {
    /// A new one, with its tables.
    pub fn new() -> Self {
        let settings = ScyllaSettings {
            nodes: vec![database::shared().contact.clone()],
            keyspace: database::keyspace(),
            replication: Replication::Everywhere(1),
            // Many tests share two cores and one database.
            request_timeout: Duration::from_secs(20),
            give_up: Duration::from_secs(50),
            lease: Duration::from_secs(60),
            ..ScyllaSettings::default()
        };
        scylla::migrate(&settings).unwrap();
        Self { settings }
    }

    /// A store in it.
    pub fn open(&self, dir: &TempDir) -> Result<Scylla, Failure> {
        Scylla::open(dir.path(), &MasterKeySource::DataDir, self.settings.clone(), Box::new(|| {}))
    }
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        if let Err(failure) = scylla::drop_keyspace(&self.settings) {
            eprintln!("the keyspace {} stays: {failure}", self.settings.keyspace);
        }
    }
}

/// One of each backend, empty.
pub fn benches() -> Vec<Bench> {
    let dir = TempDir::new().unwrap();
    let embedded = open(&dir).unwrap();
    let (keyspace, place) = (Keyspace::new(), TempDir::new().unwrap());
    let scylla = keyspace.open(&place).unwrap();
    vec![
        Bench { name: "memory", store: Arc::new(Memory::new([7; 32])), _dir: None, _keyspace: None },
        Bench { name: "embedded", store: Arc::new(embedded), _dir: Some(dir), _keyspace: None },
        Bench { name: "scylla", store: Arc::new(scylla), _dir: Some(place), _keyspace: Some(keyspace) },
    ]
}

pub fn settings() -> EmbeddedSettings {
    EmbeddedSettings { cache_bytes: 4 * 1024 * 1024, log_bytes: 64 * 1024, ..EmbeddedSettings::default() }
}

pub fn open(dir: &TempDir) -> Result<Embedded, Failure> {
    Embedded::open(dir.path(), &MasterKeySource::DataDir, settings())
}

pub fn room_id(n: u128) -> RoomId {
    RoomId(Uuid::from_u128(n << 64 | 0xa))
}

pub fn user_id(n: u128) -> UserId {
    UserId(Uuid::from_u128(n << 64 | 0xb))
}

pub fn client_id(n: u128) -> ClientId {
    ClientId(Uuid::from_u128(n << 64 | 0xc))
}

pub fn device_id(n: u128) -> DeviceId {
    DeviceId(Uuid::from_u128(n << 64 | 0xd))
}

pub fn session_id(n: u128) -> SessionId {
    SessionId(Uuid::from_u128(n << 64 | 0xe))
}

pub fn name(n: u8) -> NameKey {
    NameKey([n; 32])
}

pub fn room(id: RoomId, kind: RoomType) -> Room {
    Room {
        id,
        kind,
        name: format!("room {id}"),
        description: "what it is about".to_owned(),
        metadata: "{\"a\":1}".to_owned(),
        created_by: user_id(1),
        created_at: WallTime(1_000),
        epoch: Epoch(1),
        first_seq: Seq(1),
        trimmed: Head::default(),
        retention_days: None,
        removed: false,
    }
}

/// A message whose time is 1,000 ms a seq.
pub fn message(room: RoomId, seq: u64, user: UserId, text: &str) -> Event {
    Event {
        room,
        epoch: Epoch(1),
        seq: Seq(seq),
        number: Number(seq),
        user,
        at: WallTime(seq * 1_000),
        kind: EventKind::Message,
        content: text.to_owned(),
        metadata: String::new(),
        client_id: Some(client_id(u128::from(seq))),
        status: EventStatus::Live,
    }
}

pub fn answered(event: &Event) -> Answered {
    let client_id = event.client_id.unwrap();
    Answered { user: event.user, client_id, seq: event.seq, body_hash: event.seq.0 * 77, at: event.at }
}

pub fn member(room: RoomId, user: UserId, from: u64, to: Option<u64>) -> Member {
    let intervals = vec![Interval { from: Seq(from), to: to.map(Seq) }];
    Member { room, user, role: Role::Member, intervals, read_number: Number(0) }
}

pub fn user(id: UserId) -> User {
    User {
        id,
        username: format!("user.{}", id.0.as_u128() >> 64),
        display_name: format!("Display Name {}", id.0.as_u128() >> 64),
        password_hash: "$argon2id$v=19$m=1,t=1,p=1$c2FsdHNhbHQ$aGFzaA".to_owned(),
        external: None,
        admin: false,
        suspended: false,
        created_at: WallTime(5),
        sessions_valid_from: WallTime(0),
        last_seen: WallTime(0),
        stream_epoch: Epoch(1),
    }
}

pub fn session(user: UserId, n: u128, at: u64) -> Session {
    Session {
        id: session_id(n),
        user,
        device: device_id(n),
        created_at: WallTime(at),
        used_at: WallTime(at),
        expires_at: WallTime(at + 1_000_000),
        refresh_hash: [1; 32],
        previous_hash: [0; 32],
        ended_at: None,
        agent: "test".to_owned(),
    }
}

pub fn device(user: UserId, n: u128) -> Device {
    Device { id: device_id(n), user, created_at: WallTime(1), seen_at: WallTime(2) }
}

pub fn entry(user: UserId, seq: u64) -> StreamEvent {
    let kind = match seq % 3 {
        0 => StreamKind::Added { room: room_id(1), by: user, role: Role::Moderator },
        1 => StreamKind::Removed { room: room_id(1), by: user },
        _ => StreamKind::Read { room: room_id(1), number: Number(seq) },
    };
    StreamEvent { user, seq: Seq(seq), at: WallTime(seq), kind }
}

pub fn create_room(id: RoomId, kind: RoomType) -> RoomWrite {
    RoomWrite { record: Some(room(id, kind)), create: true, ..RoomWrite::new(id) }
}

pub fn create_user(id: UserId) -> UserWrite {
    UserWrite { record: Some(user(id)), create: true, ..UserWrite::new(id) }
}

pub fn take(key: NameKey) -> NameChange {
    NameChange { release: None, take: Some(key) }
}

/// `from..=to` as one write, each with its answered id.
pub fn messages(room: RoomId, from: u64, to: u64) -> RoomWrite {
    let events: Vec<_> = (from..=to).map(|seq| message(room, seq, user_id(1), &format!("text {seq}"))).collect();
    let answered = events.iter().map(answered).collect();
    RoomWrite { events, answered, ..RoomWrite::new(room) }
}

pub trait Short {
    fn one(&self, write: impl Into<AnyWrite>) -> Outcome;
    fn one_result(&self, write: impl Into<AnyWrite>) -> Result<Outcome, Failure>;
    fn events(&self, room: RoomId, span: Span, limit: usize) -> Vec<Event>;
    fn seqs(&self, room: RoomId, span: Span, limit: usize) -> Vec<u64>;
    fn room(&self, room: RoomId) -> Option<LoadedRoom>;
    fn user(&self, user: UserId) -> Option<LoadedUser>;
    fn answered(&self, room: RoomId, user: UserId, n: u128) -> Option<Answered>;
}

pub struct AnyWrite(Write);

impl From<Write> for AnyWrite {
    fn from(write: Write) -> Self {
        Self(write)
    }
}

impl From<RoomWrite> for AnyWrite {
    fn from(write: RoomWrite) -> Self {
        Self(Write::Room(Box::new(write)))
    }
}

impl From<UserWrite> for AnyWrite {
    fn from(write: UserWrite) -> Self {
        Self(Write::User(Box::new(write)))
    }
}

pub fn write_of(write: impl Into<AnyWrite>) -> Write {
    write.into().0
}

impl<B: Backend + ?Sized> Short for B {
    fn one(&self, write: impl Into<AnyWrite>) -> Outcome {
        self.one_result(write).unwrap()
    }

    fn one_result(&self, write: impl Into<AnyWrite>) -> Result<Outcome, Failure> {
        self.write_each(vec![write.into().0]).unwrap().pop().unwrap()
    }

    fn events(&self, room: RoomId, span: Span, limit: usize) -> Vec<Event> {
        match self.read(&Query::Events { room, span, limit, bytes_max: usize::MAX }).unwrap() {
            Answer::Events(events) => events,
            other => panic!("{other:?}"),
        }
    }

    fn seqs(&self, room: RoomId, span: Span, limit: usize) -> Vec<u64> {
        self.events(room, span, limit).iter().map(|event| event.seq.0).collect()
    }

    fn room(&self, room: RoomId) -> Option<LoadedRoom> {
        let query = Query::Rooms { rooms: vec![room], answered_since: WallTime(0), answered_max: 1000 };
        match self.read(&query).unwrap() {
            Answer::Rooms(mut rooms) => rooms.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn user(&self, user: UserId) -> Option<LoadedUser> {
        match self.read(&Query::User(user)).unwrap() {
            Answer::User(user) => user.map(|user| *user),
            other => panic!("{other:?}"),
        }
    }

    fn answered(&self, room: RoomId, user: UserId, n: u128) -> Option<Answered> {
        match self.read(&Query::Answered { room, user, client_id: client_id(n) }).unwrap() {
            Answer::Answered(answered) => answered,
            other => panic!("{other:?}"),
        }
    }
}
