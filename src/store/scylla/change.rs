//! One changed row, as data: it can be sent to the database, and kept in a plan that is carried out again after a crash.
//!
//! Keys are joined bytes (`‖`), numbers big-endian, as the embedded store has them. A change is a whole value or a removal, so that it may
//! be carried out any number of times.

use rkyv::{Archive, Deserialize, Serialize};

use super::cql::{Trouble, Values, big, blob, damaged, small, stamp, uuid};
use super::event;
use super::statements::S;
use crate::base::{RoomId, Seq};
use crate::store::record::{self, StoredCursor, StoredEvent};

/// Events of a room in one partition. With the largest event a partition ends below 100 MB (`event.rs` checks it).
pub(super) const BUCKET_EVENTS: u64 = 4096;
/// Client ids of so many milliseconds stand in one partition.
const PERIOD_MS: u64 = 10 * 60 * 1000;
/// In so many parts the lists of all rooms and users are cut.
pub(super) const PARTS: i16 = 16;

/// The bucket of an event.
pub(super) fn bucket(seq: Seq) -> u64 {
    seq.0 / BUCKET_EVENTS
}

/// The period of a client id: by the time that it carries, which nobody can change later.
pub(super) fn period(client_id: &[u8; 16]) -> u64 {
    crate::base::ClientId(uuid::Uuid::from_bytes(*client_id)).unix_ms().unwrap_or(0) / PERIOD_MS
}

/// The part of the lists in which an id stands.
pub(super) fn part(id: &[u8; 16]) -> i16 {
    i16::try_from(crate::base::Slot::of(id).0 % PARTS.unsigned_abs()).unwrap_or(0)
}

/// What a change is about. Numbers stand in stored plans: they are never given anew.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Table {
    /// `room ‖ seq`: an event that was not there.
    NewEvent = 1,
    /// `room ‖ seq`: an event in its new state.
    Event = 2,
    /// `room ‖ seq`: all events of the bucket of `seq` up to it go.
    EventsUpTo = 3,
    /// `room ‖ user ‖ client id`: its event's seq.
    Answered = 4,
    /// `room ‖ user`.
    Member = 5,
    /// `user ‖ room`.
    RoomOf = 6,
    /// `room`.
    PublicRoom = 7,
    /// `room`.
    RoomId = 8,
    /// `user`.
    UserId = 9,
    /// `user ‖ session`.
    Session = 10,
    /// `user ‖ device`.
    Device = 11,
    /// `user ‖ seq`.
    Stream = 12,
    /// `user ‖ seq`: all entries before it go.
    StreamBefore = 13,
    /// `user ‖ device ‖ room`: a seq.
    Cursor = 14,
}

/// One changed row.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) table: Table,
    pub(super) key: Vec<u8>,
    /// `None` removes it.
    pub(super) value: Option<Vec<u8>>,
}

/// Joins keys.
pub(super) fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// `owner ‖ seq`.
pub(super) fn numbered(owner: &[u8; 16], seq: Seq) -> Vec<u8> {
    joined(&[owner, &seq.0.to_be_bytes()])
}

/// The id at a place of a key.
fn id(key: &[u8], at: usize) -> Result<&[u8; 16], Trouble> {
    let found = key.get(at..).and_then(|rest| rest.first_chunk::<16>());
    found.ok_or_else(|| damaged("a stored plan", "a key is too short"))
}

fn seq(key: &[u8]) -> Result<u64, Trouble> {
    let found = key.get(16..).and_then(|rest| rest.first_chunk::<8>());
    found.map(|bytes| u64::from_be_bytes(*bytes)).ok_or_else(|| damaged("a stored plan", "a key is too short"))
}

impl Change {
    pub(super) fn put(table: Table, key: Vec<u8>, value: Vec<u8>) -> Self {
        Self { table, key, value: Some(value) }
    }

    pub(super) fn remove(table: Table, key: Vec<u8>) -> Self {
        Self { table, key, value: None }
    }

    /// Put where `there`, removed otherwise, without a value.
    pub(super) fn listed(table: Table, key: Vec<u8>, there: bool) -> Self {
        Self { table, key, value: there.then(Vec::new) }
    }

    /// What tells its partition from others; equal for changes that may go together.
    pub(super) fn partition(&self) -> Result<Vec<u8>, Trouble> {
        let key = &self.key[..];
        Ok(match self.table {
            Table::NewEvent | Table::Event | Table::EventsUpTo => {
                joined(&[&[1], id(key, 0)?, &bucket(Seq(seq(key)?)).to_be_bytes()])
            }
            Table::Answered => joined(&[&[2], id(key, 0)?, &period(id(key, 32)?).to_be_bytes()]),
            Table::PublicRoom => joined(&[&[3], &part(id(key, 0)?).to_be_bytes()]),
            Table::RoomId => joined(&[&[4], &part(id(key, 0)?).to_be_bytes()]),
            Table::UserId => joined(&[&[5], &part(id(key, 0)?).to_be_bytes()]),
            Table::Stream | Table::StreamBefore => joined(&[&[6], id(key, 0)?]),
            Table::Member | Table::RoomOf | Table::Session | Table::Device | Table::Cursor => {
                joined(&[&[self.table as u8], id(key, 0)?])
            }
        })
    }

    /// The statement that makes it so, at this time.
    pub(super) fn statement(&self, at: i64) -> Result<(S, Values), Trouble> {
        let key = &self.key[..];
        let one = || id(key, 0);
        let value = || self.value.clone().unwrap_or_default();
        let gone = || damaged("a stored plan", format!("rows of {:?} are never removed one by one", self.table));
        Ok(match (self.table, &self.value) {
            (Table::NewEvent | Table::Event, Some(bytes)) => {
                let (room, seq) = (*one()?, Seq(seq(key)?));
                let stored: StoredEvent = record::decode(key, bytes).map_err(|e| damaged("a stored plan", e))?;
                let new = self.table == Table::NewEvent;
                (S::MessagePut, event::values(RoomId(uuid::Uuid::from_bytes(room)), seq, &stored, new, at)?)
            }
            (Table::EventsUpTo, _) => {
                let (seq, bucket) = (seq(key)?, bucket(Seq(seq(key)?)));
                if seq % BUCKET_EVENTS == BUCKET_EVENTS - 1 {
                    // All of it: one mark instead of one for each range.
                    (S::BucketGone, vec![stamp(at), uuid(one()?), big(bucket)])
                } else {
                    (S::MessagesUpTo, vec![stamp(at), uuid(one()?), big(bucket), big(seq)])
                }
            }
            (Table::Answered, value) => {
                let (user, client) = (id(key, 16)?, id(key, 32)?);
                let place = [uuid(one()?), big(period(client)), uuid(user), uuid(client)];
                match value {
                    Some(bytes) => {
                        let seq = bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                        (S::AnsweredPut, place.into_iter().chain([big(seq), stamp(at)]).collect())
                    }
                    None => (S::AnsweredGone, [stamp(at)].into_iter().chain(place).collect()),
                }
            }
            (Table::Member, Some(_)) => {
                (S::MemberPut, vec![uuid(one()?), uuid(id(key, 16)?), blob(value()), stamp(at)])
            }
            (Table::RoomOf, Some(_)) => (S::RoomOfPut, vec![uuid(one()?), uuid(id(key, 16)?), stamp(at)]),
            (Table::RoomOf, None) => (S::RoomOfGone, vec![stamp(at), uuid(one()?), uuid(id(key, 16)?)]),
            (Table::PublicRoom, Some(_)) => (S::PublicPut, vec![small(part(one()?)), blob(*one()?), stamp(at)]),
            (Table::PublicRoom, None) => (S::PublicGone, vec![stamp(at), small(part(one()?)), blob(*one()?)]),
            (Table::RoomId, Some(_)) => (S::RoomIdPut, vec![small(part(one()?)), blob(*one()?), stamp(at)]),
            (Table::UserId, Some(_)) => (S::UserIdPut, vec![small(part(one()?)), blob(*one()?), stamp(at)]),
            (Table::Session, Some(_)) => {
                (S::SessionPut, vec![uuid(one()?), uuid(id(key, 16)?), blob(value()), stamp(at)])
            }
            (Table::Session, None) => (S::SessionGone, vec![stamp(at), uuid(one()?), uuid(id(key, 16)?)]),
            (Table::Device, Some(_)) => {
                (S::DevicePut, vec![uuid(one()?), uuid(id(key, 16)?), blob(value()), stamp(at)])
            }
            (Table::Stream, Some(_)) => (S::StreamPut, vec![uuid(one()?), big(seq(key)?), blob(value()), stamp(at)]),
            (Table::StreamBefore, _) => (S::StreamBefore, vec![stamp(at), uuid(one()?), big(seq(key)?)]),
            (Table::Cursor, Some(bytes)) => {
                let stored: StoredCursor = record::decode(key, bytes).map_err(|e| damaged("a stored plan", e))?;
                let place = [uuid(one()?), uuid(id(key, 16)?), uuid(id(key, 32)?)];
                (S::CursorPut, place.into_iter().chain([big(stored.seq), stamp(at)]).collect())
            }
            (
                Table::NewEvent
                | Table::Event
                | Table::Member
                | Table::RoomId
                | Table::UserId
                | Table::Device
                | Table::Stream
                | Table::Cursor,
                None,
            ) => return Err(gone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_one_partition_go_together_and_others_do_not() {
        let (a, b) = ([1; 16], [2; 16]);
        let event =
            |room, seq| Change::put(Table::NewEvent, numbered(room, Seq(seq)), Vec::new()).partition().expect("a key");
        assert_eq!(event(&a, 1), event(&a, BUCKET_EVENTS - 1));
        assert_ne!(event(&a, BUCKET_EVENTS - 1), event(&a, BUCKET_EVENTS));
        assert_ne!(event(&a, 1), event(&b, 1));
        let member = Change::put(Table::Member, joined(&[&a, &b]), Vec::new()).partition().expect("a key");
        let room_of = Change::put(Table::RoomOf, joined(&[&a, &b]), Vec::new()).partition().expect("a key");
        assert_ne!(member, room_of);
        assert!(Change::put(Table::Member, vec![1], Vec::new()).statement(1).is_err());
        assert!(Change::remove(Table::Member, joined(&[&a, &b])).statement(1).is_err());
    }

    #[test]
    fn a_bucket_that_goes_as_a_whole_is_one_mark() {
        let room = [1; 16];
        let upto =
            |seq| Change::remove(Table::EventsUpTo, numbered(&room, Seq(seq))).statement(1).expect("a statement").0;
        assert_eq!(upto(BUCKET_EVENTS - 1), S::BucketGone);
        assert_eq!(upto(BUCKET_EVENTS), S::MessagesUpTo);
    }
}
