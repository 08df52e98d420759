//! The tables of the embedded store and the keys in them. `schema/embedded.md` says the same in words.
//!
//! Keys are fixed-width bytes, ids as they are and numbers big-endian, so that the order of bytes is the order wanted.

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};

use super::trouble::{Trouble, damaged};
use crate::base::{ClientId, DeviceId, RoomId, Seq, SessionId, UserId};
use crate::store::NameKey;
use crate::store::record::{self, Stored};

type Id = &'static [u8; 16];
type Pair = &'static [u8; 32];
type Triple = &'static [u8; 48];
type Numbered = &'static [u8; 24];
type Value = &'static [u8];

macro_rules! tables {
    ($($(#[$doc:meta])* $field:ident: $key:ty;)*) => {
        mod name {
            use super::*;
            $(#[allow(non_upper_case_globals)] pub(super) const $field: TableDefinition<'static, $key, Value> = TableDefinition::new(stringify!($field));)*
        }

        /// All tables, open in a transaction that changes them.
        pub(super) struct Writing<'t> {
            $($(#[$doc])* pub(super) $field: Table<'t, $key, Value>,)*
        }

        impl<'t> Writing<'t> {
            pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, TableError> {
                Ok(Self { $($field: transaction.open_table(name::$field)?,)* })
            }
        }

        /// All tables, as they were when a read began.
        pub(super) struct Reading {
            transaction: ReadTransaction,
        }

        impl Reading {
            pub(super) fn new(transaction: ReadTransaction) -> Self {
                Self { transaction }
            }
            $(pub(super) fn $field(&self) -> Result<redb::ReadOnlyTable<$key, Value>, TableError> {
                self.transaction.open_table(name::$field)
            })*
        }
    };
}

tables! {
    /// Name of the mark → format, server key.
    meta: &'static str;
    /// Room → record.
    rooms: Id;
    /// Room → head, first seq, number of members, present key.
    states: Id;
    /// Room → nothing: the public rooms that were not removed.
    public_rooms: Id;
    /// Room ‖ seq → event.
    events: Numbered;
    /// Room ‖ user ‖ client id → seq.
    answered: Triple;
    /// Room ‖ user → member.
    members: Pair;
    /// User ‖ room → nothing: the rooms a user is in.
    user_rooms: Pair;
    /// Keyed hash of a name → who holds it.
    names: Pair;
    /// User → record.
    users: Id;
    /// User ‖ session → session.
    sessions: Pair;
    /// User ‖ device → device.
    devices: Pair;
    /// User ‖ seq → entry of the user stream.
    streams: Numbered;
    /// User ‖ device ‖ room → position.
    cursors: Triple;
    /// Hash of a setting's name → sealed value.
    settings: &'static str;
    /// Room ‖ key id → wrapped room key.
    room_keys: &'static [u8; 20];
    /// User → wrapped salt.
    salts: Id;
}

/// Two ids, one behind the other.
pub(super) fn pair(a: &[u8; 16], b: &[u8; 16]) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(a);
    key[16..].copy_from_slice(b);
    key
}

/// Three ids, one behind the other.
pub(super) fn triple(a: &[u8; 16], b: &[u8; 16], c: &[u8; 16]) -> [u8; 48] {
    let mut key = [0; 48];
    key[..16].copy_from_slice(a);
    key[16..32].copy_from_slice(b);
    key[32..].copy_from_slice(c);
    key
}

/// An id and a seq.
pub(super) fn numbered(a: &[u8; 16], seq: Seq) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(a);
    key[16..].copy_from_slice(&seq.0.to_be_bytes());
    key
}

/// A room and the number of one of its keys.
pub(super) fn key_of_room(room: RoomId, key_id: u32) -> [u8; 20] {
    let mut key = [0; 20];
    key[..16].copy_from_slice(room.bytes());
    key[16..].copy_from_slice(&key_id.to_be_bytes());
    key
}

/// The second half of a pair.
pub(super) fn second(key: &[u8; 32]) -> uuid::Uuid {
    uuid::Uuid::from_bytes(key.last_chunk::<16>().copied().unwrap_or_default())
}

/// The last third of a triple.
pub(super) fn third(key: &[u8; 48]) -> uuid::Uuid {
    uuid::Uuid::from_bytes(key.last_chunk::<16>().copied().unwrap_or_default())
}

/// The seq in a numbered key.
pub(super) fn seq_of(key: &[u8; 24]) -> Seq {
    Seq(u64::from_be_bytes(key.last_chunk::<8>().copied().unwrap_or_default()))
}

/// All pairs that begin with `a`.
pub(super) fn pairs_of(a: &[u8; 16]) -> ([u8; 32], [u8; 32]) {
    (pair(a, &[0; 16]), pair(a, &[0xff; 16]))
}

/// What is being looked at, for the text of a failure.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub(super) enum What<'a> {
    Event(RoomId, Seq),
    Room(RoomId),
    State(RoomId),
    Answered(RoomId, UserId, ClientId),
    Member(RoomId, UserId),
    RoomKey(RoomId, u32),
    User(UserId),
    Session(UserId, SessionId),
    Device(UserId, DeviceId),
    Stream(UserId, Seq),
    Cursor(UserId, DeviceId, RoomId),
    Salt(UserId),
    Name(NameKey),
    Setting(&'a str),
    Meta(&'a str),
}

impl std::fmt::Display for What<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Event(room, seq) => write!(f, "room {room}, seq {seq}"),
            Self::Room(room) => write!(f, "room {room}, its record"),
            Self::State(room) => write!(f, "room {room}, its state"),
            Self::Answered(room, user, id) => write!(f, "room {room}, user {user}, answered id {id}"),
            Self::Member(room, user) => write!(f, "room {room}, member {user}"),
            Self::RoomKey(room, key_id) => write!(f, "room {room}, its key {key_id}"),
            Self::User(user) => write!(f, "user {user}, the record"),
            Self::Session(user, session) => write!(f, "user {user}, session {session}"),
            Self::Device(user, device) => write!(f, "user {user}, device {device}"),
            Self::Stream(user, seq) => write!(f, "user {user}, stream entry {seq}"),
            Self::Cursor(user, device, room) => write!(f, "user {user}, device {device}, position in room {room}"),
            Self::Salt(user) => write!(f, "user {user}, the salt"),
            Self::Name(key) => write!(f, "name {:02x}{:02x}…", key.0[0], key.0[1]),
            Self::Setting(name) => write!(f, "setting {name}"),
            Self::Meta(name) => write!(f, "the store's own mark {name}"),
        }
    }
}

/// What is kept under `key`, which is also its place.
pub(super) fn get<const N: usize, T: Stored>(
    table: &impl ReadableTable<&'static [u8; N], Value>,
    key: &[u8; N],
    what: What<'_>,
) -> Result<Option<T>, Trouble> {
    match table.get(key)? {
        Some(bytes) => record::decode(key, bytes.value()).map(Some).map_err(|e| damaged(what, &e)),
        None => Ok(None),
    }
}

/// The bytes to keep under `key`.
pub(super) fn encode<T: Stored>(key: &[u8], value: &T, what: What<'_>) -> Result<Vec<u8>, Trouble> {
    record::encode(key, value).map_err(|e| damaged(what, &e))
}
