//! The tables of the embedded store and the keys in them. `schema/embedded.md` says the same in words.
//!
//! Keys are fixed-width bytes, ids as they are and numbers big-endian, so that the order of bytes is the order wanted.

use std::cell::OnceCell;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use redb::{
    AccessGuard, Database, Range, ReadOnlyTable, ReadTransaction, ReadableDatabase as _, ReadableTable as _,
    TableDefinition, TableError, WriteTransaction,
};

use super::layer::{Held, Layer};
use super::trouble::{Trouble, damaged};
use crate::base::{ClientId, DeviceId, RoomId, Seq, SessionId, UserId};
use crate::store::record::{self, Stored};
use crate::store::{Failure, NameKey};

pub(super) type Value = &'static [u8];

/// A type of keys, made of the bytes that stand in the log.
trait Key: redb::Key + 'static {
    fn of(bytes: &[u8]) -> Option<Self::SelfType<'_>>;
}

impl<const N: usize> Key for &'static [u8; N] {
    fn of(bytes: &[u8]) -> Option<&[u8; N]> {
        bytes.try_into().ok()
    }
}

impl Key for &'static str {
    fn of(bytes: &[u8]) -> Option<&str> {
        std::str::from_utf8(bytes).ok()
    }
}

macro_rules! tables {
    (
        { $($(#[$text_doc:meta])* $text_number:literal $text:ident: &'static str;)* }
        { $($(#[$doc:meta])* $number:literal $field:ident: $bytes:literal;)* }
    ) => {
        mod name {
            use super::*;
            $(#[allow(non_upper_case_globals)] pub(super) const $text: TableDefinition<'static, &'static str, Value> = TableDefinition::new(stringify!($text));)*
            $(#[allow(non_upper_case_globals)] pub(super) const $field: TableDefinition<'static, &'static [u8; $bytes], Value> = TableDefinition::new(stringify!($field));)*
        }

        /// Numbers of the tables, as they stand in the log.
        #[allow(non_upper_case_globals)]
        pub(super) mod number {
            $(pub(in super::super) const $text: u8 = $text_number;)*
            $(pub(in super::super) const $field: u8 = $number;)*
        }

        /// Makes all tables that are not there.
        pub(super) fn make_all(transaction: &WriteTransaction) -> Result<(), TableError> {
            $(transaction.open_table(name::$text)?;)*
            $(transaction.open_table(name::$field)?;)*
            Ok(())
        }

        /// Puts (or removes) rows of one table, given as bytes.
        pub(super) fn put<'a>(
            transaction: &WriteTransaction,
            table: u8,
            rows: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
        ) -> Result<(), Trouble> {
            match table {
                $($text_number => put_in(transaction, name::$text, rows),)*
                $($number => put_in(transaction, name::$field, rows),)*
                _ => Err(damaged("the log", &format!("table {table} is not known to this program"))),
            }
        }

        impl View<'_> {
            $($(#[$text_doc])* pub(super) fn $text(&self) -> Texts<'_> {
                Texts { view: self, number: $text_number, definition: name::$text }
            })*
            $($(#[$doc])* pub(super) fn $field(&self) -> Kept<'_, $bytes> {
                Kept { view: self, number: $number, definition: name::$field }
            })*
        }
    };
}

tables! {
    {
    /// Name of the mark → format, server key, number of the newest commit, first segment of the log.
    0 meta: &'static str;
    /// Hash of a setting's name → sealed value.
    1 settings: &'static str;
    }
    {
    /// Room → record.
    2 rooms: 16;
    /// Room → head, first seq, number of members, present key.
    3 states: 16;
    /// Room → nothing: the public rooms that were not removed.
    4 public_rooms: 16;
    /// Room ‖ seq → event.
    5 events: 24;
    /// Room ‖ user ‖ client id → seq.
    6 answered: 48;
    /// Room ‖ user → member.
    7 members: 32;
    /// User ‖ room → nothing: the rooms a user is in.
    8 user_rooms: 32;
    /// Keyed hash of a name → who holds it.
    9 names: 32;
    /// User → record.
    10 users: 16;
    /// User ‖ session → session.
    11 sessions: 32;
    /// User ‖ device → device.
    12 devices: 32;
    /// User ‖ seq → entry of the user stream.
    13 streams: 24;
    /// User ‖ device ‖ room → position.
    14 cursors: 48;
    /// Room ‖ key id → wrapped room key.
    15 room_keys: 20;
    /// User → wrapped salt.
    16 salts: 16;
    }
}

fn put_in<'a, K: Key>(
    transaction: &WriteTransaction,
    definition: TableDefinition<'static, K, Value>,
    rows: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
) -> Result<(), Trouble> {
    let mut table = transaction.open_table(definition)?;
    for (key, value) in rows {
        let key = K::of(key).ok_or_else(|| damaged("the log", &"a key does not fit its table"))?;
        match value {
            Some(value) => table.insert(key, value)?,
            None => table.remove(key)?,
        };
    }
    Ok(())
}

/// One state of everything that is kept: the database and the layers above it, up to one commit.
pub(super) struct View<'d> {
    database: Option<&'d Database>,
    below: OnceCell<ReadTransaction>,
    /// The older one first.
    layers: [Option<Arc<Layer>>; 2],
    number: u64,
}

impl<'d> View<'d> {
    /// The state at commit `number`. The database is first looked at when something is asked that the layers do not know: for the
    /// one who writes, and who alone can take layers away.
    pub(super) fn lazy(database: &'d Database, layers: [Option<Arc<Layer>>; 2], number: u64) -> Self {
        Self { database: Some(database), below: OnceCell::new(), layers, number }
    }

    /// Only what the database itself holds.
    pub(super) fn below(transaction: ReadTransaction) -> View<'static> {
        let below = OnceCell::new();
        let _ = below.set(transaction);
        View { database: None, below, layers: [None, None], number: 0 }
    }

    /// Looks at the database now. From here on the view stays as it is, whatever others do.
    pub(super) fn pin(&self) -> Result<&ReadTransaction, Trouble> {
        if let Some(below) = self.below.get() {
            return Ok(below);
        }
        let database = self.database.ok_or_else(|| Trouble::Disk("the database is not open".to_owned()))?;
        let transaction = database.begin_read()?;
        Ok(self.below.get_or_init(|| transaction))
    }

    fn held(&self, table: u8, key: &[u8]) -> Option<Held> {
        self.layers.iter().rev().flatten().find_map(|layer| layer.get(table, key, self.number))
    }
}

/// A value that was found.
pub(super) enum Found {
    Below(AccessGuard<'static, Value>),
    Above(Arc<[u8]>),
}

impl Found {
    pub(super) fn value(&self) -> &[u8] {
        match self {
            Self::Below(guard) => guard.value(),
            Self::Above(bytes) => bytes,
        }
    }
}

/// A table with texts as keys, in a view.
pub(super) struct Texts<'v> {
    view: &'v View<'v>,
    number: u8,
    definition: TableDefinition<'static, &'static str, Value>,
}

impl Texts<'_> {
    pub(super) fn get(&self, key: &str) -> Result<Option<Found>, Trouble> {
        if let Some(held) = self.view.held(self.number, key.as_bytes()) {
            return Ok(held.map(Found::Above));
        }
        Ok(self.view.pin()?.open_table(self.definition)?.get(key)?.map(Found::Below))
    }

    /// All keys.
    pub(super) fn keys(&self) -> Result<BTreeSet<String>, Trouble> {
        let mut keys = BTreeSet::new();
        for entry in self.raw()?.iter()? {
            keys.insert(entry?.0.value().to_owned());
        }
        let View { layers, number, .. } = self.view;
        for layer in layers.iter().flatten() {
            // No text holds this byte.
            for (key, held) in layer.range(self.number, &[], &[0xff], *number) {
                let key = std::str::from_utf8(&key)
                    .map_err(|_| Trouble::Own(Failure::Misuse("a key does not fit its table".to_owned())))?;
                if held.is_some() {
                    keys.insert(key.to_owned());
                } else {
                    keys.remove(key);
                }
            }
        }
        Ok(keys)
    }

    /// The table in the database alone.
    pub(super) fn raw(&self) -> Result<ReadOnlyTable<&'static str, Value>, Trouble> {
        Ok(self.view.pin()?.open_table(self.definition)?)
    }
}

/// A table with keys of `N` bytes, in a view.
pub(super) struct Kept<'v, const N: usize> {
    view: &'v View<'v>,
    number: u8,
    definition: TableDefinition<'static, &'static [u8; N], Value>,
}

impl<'v, const N: usize> Kept<'v, N> {
    pub(super) fn get(&self, key: &[u8; N]) -> Result<Option<Found>, Trouble> {
        if let Some(held) = self.view.held(self.number, key) {
            return Ok(held.map(Found::Above));
        }
        Ok(self.raw()?.get(key)?.map(Found::Below))
    }

    /// The rows from `from` to `to`, both included, ascending.
    pub(super) fn range(&self, from: &[u8; N], to: &[u8; N]) -> Result<Merged<'v, N>, Trouble> {
        let View { layers, number, .. } = self.view;
        let mut rows = layers.iter().flatten().map(|layer| layer.range(self.number, from, to, *number));
        let above = merge(rows.next().unwrap_or_default(), rows.next().unwrap_or_default());
        let below = self.raw()?.range::<&[u8; N]>(from..=to)?;
        Ok(Merged { above, below, front: None, back: None, _view: self.view })
    }

    pub(super) fn all(&self) -> Result<Merged<'v, N>, Trouble> {
        self.range(&[0; N], &[0xff; N])
    }

    /// The table in the database alone.
    pub(super) fn raw(&self) -> Result<ReadOnlyTable<&'static [u8; N], Value>, Trouble> {
        Ok(self.view.pin()?.open_table(self.definition)?)
    }
}

type Row = (Box<[u8]>, Held);

/// Two ascending lists become one; what stands in both is taken from the newer one.
fn merge(older: Vec<Row>, newer: Vec<Row>) -> VecDeque<Row> {
    if older.is_empty() || newer.is_empty() {
        return if newer.is_empty() { older.into() } else { newer.into() };
    }
    let mut rows = VecDeque::with_capacity(older.len() + newer.len());
    let mut older = older.into_iter().peekable();
    for row in newer {
        while let Some(before) = older.next_if(|old| old.0 < row.0) {
            rows.push_back(before);
        }
        older.next_if(|old| old.0 == row.0);
        rows.push_back(row);
    }
    rows.extend(older);
    rows
}

/// A key that was found.
pub(super) struct FoundKey<const N: usize>([u8; N]);

impl<const N: usize> FoundKey<N> {
    pub(super) fn value(&self) -> &[u8; N] {
        &self.0
    }
}

type Below<const N: usize> = ([u8; N], AccessGuard<'static, Value>);
type Entry<const N: usize> = Result<(FoundKey<N>, Found), Trouble>;

/// Rows of the database and of the layers above it in one order, from both ends.
pub(super) struct Merged<'v, const N: usize> {
    above: VecDeque<Row>,
    below: Range<'static, &'static [u8; N], Value>,
    /// What was taken from one end of `below` and not given yet.
    front: Option<Below<N>>,
    back: Option<Below<N>>,
    /// Its transaction must outlive `below`.
    _view: &'v View<'v>,
}

fn opened<const N: usize>(
    entry: Option<redb::Result<(AccessGuard<'static, &'static [u8; N]>, AccessGuard<'static, Value>)>>,
) -> Result<Option<Below<N>>, Trouble> {
    Ok(entry.transpose()?.map(|(key, value)| (*key.value(), value)))
}

impl<const N: usize> Merged<'_, N> {
    fn step(&mut self, backwards: bool) -> Result<Option<(FoundKey<N>, Found)>, Trouble> {
        loop {
            let mut below = if backwards { self.back.take() } else { self.front.take() };
            if below.is_none() {
                below = opened(if backwards { self.below.next_back() } else { self.below.next() })?;
            }
            if below.is_none() {
                // The last one may wait at the other end.
                below = if backwards { self.front.take() } else { self.back.take() };
            }
            let above = if backwards { self.above.back() } else { self.above.front() };
            let order = match (&below, above) {
                (None, None) => return Ok(None),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(below), Some(above)) => {
                    let order = below.0.as_slice().cmp(&above.0);
                    if backwards { order.reverse() } else { order }
                }
            };
            if order.is_lt()
                && let Some((key, value)) = below.take()
            {
                return Ok(Some((FoundKey(key), Found::Below(value))));
            }
            if order.is_gt() {
                *(if backwards { &mut self.back } else { &mut self.front }) = below;
            }
            // Where both have it, the layer's is the newer.
            let row = if backwards { self.above.pop_back() } else { self.above.pop_front() };
            if let Some((key, Some(value))) = row {
                let key = <[u8; N]>::try_from(&*key);
                let key = key.map_err(|_| Trouble::Own(Failure::Misuse("a key does not fit its table".to_owned())))?;
                return Ok(Some((FoundKey(key), Found::Above(value))));
            }
        }
    }
}

impl<const N: usize> Iterator for Merged<'_, N> {
    type Item = Entry<N>;

    fn next(&mut self) -> Option<Entry<N>> {
        self.step(false).transpose()
    }
}

impl<const N: usize> DoubleEndedIterator for Merged<'_, N> {
    fn next_back(&mut self) -> Option<Entry<N>> {
        self.step(true).transpose()
    }
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
    table: &Kept<'_, N>,
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
