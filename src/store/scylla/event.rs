//! An event as a row of `chat_messages`: one column a field, so that an operator can see who wrote when, with the text sealed, and a sum over
//! all of it, so that a damaged or exchanged row is named and never shown.

use scylla::value::CqlTimestamp;
use uuid::Uuid;

use super::change::{bucket, numbered};
use super::cql::{Trouble, Value, Values, big, blob, damaged, int, left, null, stamp, time, tiny, unsigned, uuid};
use crate::base::{RoomId, Seq};
use crate::store::record::{self, StoredAnswer, StoredEvent, StoredKind};

/// The columns as `S::Page` asks for them.
pub(super) type Row = (
    i64,
    i32,
    i64,
    Uuid,
    i8,
    Option<i64>,
    Option<Uuid>,
    Option<i8>,
    i32,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Uuid>,
    CqlTimestamp,
    Option<CqlTimestamp>,
    Option<Vec<u8>>,
    i64,
);

/// Names an event in messages about damage.
pub(super) fn name(room: RoomId, seq: Seq) -> String {
    format!("event {seq} of room {room}")
}

/// The values of `S::MessagePut`. In a `new` row what is empty is not written at all; in one that replaces another it is emptied.
pub(super) fn values(room: RoomId, seq: Seq, stored: &StoredEvent, new: bool, at: i64) -> Result<Values, Trouble> {
    let none = || if new { left() } else { null() };
    let bytes = |bytes: &[u8]| if bytes.is_empty() { none() } else { blob(bytes) };
    let (kind, mut target, mut subject, mut role): (u8, Value, Value, Value) =
        (kind_of(&stored.kind), none(), none(), none());
    match &stored.kind {
        StoredKind::Deletion(of) => target = big(*of),
        StoredKind::Joined(who) | StoredKind::Left(who) => subject = uuid(who),
        StoredKind::RoleChanged(who, new_role) => (subject, role) = (uuid(who), tiny(*new_role)),
        StoredKind::Message | StoredKind::Settings | StoredKind::Void => {}
    }
    let sum = record::sum(&numbered(room.bytes(), seq), stored).map_err(|e| damaged(name(room, seq), e))?;
    Ok(vec![
        uuid(room.bytes()),
        big(bucket(seq)),
        big(seq.0),
        int(i32::from_ne_bytes(stored.epoch.to_ne_bytes())),
        big(stored.number),
        uuid(&stored.user),
        tiny(kind),
        target,
        subject,
        role,
        int(i32::from_ne_bytes(stored.key_id.to_ne_bytes())),
        bytes(&stored.content),
        bytes(&stored.metadata),
        stored.client_id.as_ref().map_or_else(none, uuid),
        time(stored.at),
        stored.deleted_at.map_or_else(none, time),
        bytes(&pack(stored)),
        stamp(i64::from_ne_bytes(sum.to_ne_bytes())),
        stamp(at),
    ])
}

/// The event of a row, which passes its sum.
pub(super) fn read(room: RoomId, row: Row) -> Result<(Seq, StoredEvent), Trouble> {
    let (
        seq,
        epoch,
        number,
        user,
        kind,
        target,
        subject,
        role,
        key_id,
        content,
        metadata,
        client,
        created,
        deleted,
        answered,
        sum,
    ) = row;
    let seq = Seq(unsigned(seq));
    let broken = |how: &str| damaged(name(room, seq), how);
    let target = target.map(unsigned);
    let subject = subject.map(Uuid::into_bytes);
    let kind = match (kind, target, subject, role) {
        (0, None, None, None) => StoredKind::Message,
        (1, Some(target), None, None) => StoredKind::Deletion(target),
        (2, None, Some(who), None) => StoredKind::Joined(who),
        (3, None, Some(who), None) => StoredKind::Left(who),
        (4, None, Some(who), Some(role)) => StoredKind::RoleChanged(who, role.unsigned_abs()),
        (5, None, None, None) => StoredKind::Settings,
        (6, None, None, None) => StoredKind::Void,
        _ => return Err(broken("its type and columns do not fit each other")),
    };
    let (user, client_id, at) = (user.into_bytes(), client.map(Uuid::into_bytes), unsigned(created.0));
    let stored = StoredEvent {
        epoch: u32::from_ne_bytes(epoch.to_ne_bytes()),
        number: unsigned(number),
        user,
        at,
        kind,
        key_id: u32::from_ne_bytes(key_id.to_ne_bytes()),
        content: content.unwrap_or_default(),
        metadata: metadata.unwrap_or_default(),
        client_id,
        deleted_at: deleted.map(|time| unsigned(time.0)),
        answered: unpack(&answered.unwrap_or_default(), user, client_id, at)
            .ok_or_else(|| broken("its answered ids cannot be told apart"))?,
    };
    let expected = record::sum(&numbered(room.bytes(), seq), &stored).map_err(|e| damaged(name(room, seq), e))?;
    if i64::from_ne_bytes(expected.to_ne_bytes()) != sum {
        return Err(broken("its columns do not fit its sum"));
    }
    Ok((seq, stored))
}

fn kind_of(kind: &StoredKind) -> u8 {
    match kind {
        StoredKind::Message => 0,
        StoredKind::Deletion(_) => 1,
        StoredKind::Joined(_) => 2,
        StoredKind::Left(_) => 3,
        StoredKind::RoleChanged(..) => 4,
        StoredKind::Settings => 5,
        StoredKind::Void => 6,
    }
}

/// One answer, of the event's own id: nearly always so. Then only the masked hash is written.
const OWN: u8 = 1;
/// Whole answers follow.
const LIST: u8 = 2;
const ANSWER_BYTES: usize = 48;

/// The answered ids as a column.
fn pack(event: &StoredEvent) -> Vec<u8> {
    match &event.answered[..] {
        [] => Vec::new(),
        [one] if one.user == event.user && Some(one.client_id) == event.client_id && one.at == event.at => {
            [&[OWN][..], &one.masked_hash.to_be_bytes()].concat()
        }
        many => {
            let mut bytes = vec![LIST];
            for answer in many {
                bytes.extend_from_slice(&answer.user);
                bytes.extend_from_slice(&answer.client_id);
                bytes.extend_from_slice(&answer.masked_hash.to_be_bytes());
                bytes.extend_from_slice(&answer.at.to_be_bytes());
            }
            bytes
        }
    }
}

/// Back again; `None`: nobody wrote this.
pub(super) fn unpack(bytes: &[u8], user: [u8; 16], client_id: Option<[u8; 16]>, at: u64) -> Option<Vec<StoredAnswer>> {
    let number = |bytes: &[u8]| bytes.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
    match bytes.split_first() {
        None => Some(Vec::new()),
        Some((&OWN, rest)) if rest.len() == 8 => {
            Some(vec![StoredAnswer { user, client_id: client_id?, masked_hash: number(rest)?, at }])
        }
        Some((&LIST, rest)) if rest.len().is_multiple_of(ANSWER_BYTES) => rest
            .chunks_exact(ANSWER_BYTES)
            .map(|answer| {
                Some(StoredAnswer {
                    user: *answer.first_chunk()?,
                    client_id: *answer.get(16..)?.first_chunk()?,
                    masked_hash: number(answer.get(32..)?)?,
                    at: number(answer.get(40..)?)?,
                })
            })
            .collect(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use scylla::value::{CqlValue, MaybeUnset};

    use super::super::change::BUCKET_EVENTS;
    use super::*;
    use crate::base::limits::{CONTENT_CHARS_MAX, METADATA_BYTES_MAX};

    const ROOM: RoomId = RoomId(Uuid::from_u128(7));

    fn event() -> StoredEvent {
        StoredEvent {
            epoch: 1,
            number: 5,
            user: [3; 16],
            at: 1_700_000_000_000,
            kind: StoredKind::Message,
            key_id: 1,
            content: vec![9; 40],
            metadata: Vec::new(),
            client_id: Some([4; 16]),
            deleted_at: None,
            answered: vec![StoredAnswer { user: [3; 16], client_id: [4; 16], masked_hash: 77, at: 1_700_000_000_000 }],
        }
    }

    /// As the database would answer.
    fn row(stored: &StoredEvent) -> Row {
        let mut values =
            values(ROOM, Seq(9), stored, true, 1).expect("values").into_iter().skip(2).map(|value| match value {
                MaybeUnset::Set(value) => value,
                MaybeUnset::Unset => None,
            });
        let mut next = || values.next().expect("a column");
        macro_rules! column {
            ($kind:ident) => {
                match next() {
                    Some(CqlValue::$kind(value)) => Some(value),
                    None => None,
                    other => panic!("{other:?}"),
                }
            };
        }
        (
            column!(BigInt).expect("seq"),
            column!(Int).expect("epoch"),
            column!(BigInt).expect("number"),
            column!(Uuid).expect("user"),
            column!(TinyInt).expect("type"),
            column!(BigInt),
            column!(Uuid),
            column!(TinyInt),
            column!(Int).expect("key"),
            column!(Blob),
            column!(Blob),
            column!(Uuid),
            column!(Timestamp).expect("created"),
            column!(Timestamp),
            column!(Blob),
            column!(BigInt).expect("sum"),
        )
    }

    #[test]
    fn events_of_every_kind_come_back_from_their_row() {
        let mut events = vec![event()];
        for kind in [
            StoredKind::Deletion(4),
            StoredKind::Joined([1; 16]),
            StoredKind::Left([2; 16]),
            StoredKind::RoleChanged([2; 16], 2),
            StoredKind::Settings,
            StoredKind::Void,
        ] {
            events.push(StoredEvent { kind, content: Vec::new(), client_id: None, answered: Vec::new(), ..event() });
        }
        let other = StoredAnswer { user: [8; 16], client_id: [4; 16], masked_hash: 1, at: 2 };
        events.push(StoredEvent { deleted_at: Some(5), metadata: vec![1], answered: vec![other, other], ..event() });
        for stored in events {
            assert_eq!(read(ROOM, row(&stored)), Ok((Seq(9), stored)));
        }
    }

    #[test]
    fn a_changed_column_is_named() {
        let whole = row(&event());
        let changes: [fn(&mut Row); 8] = [
            |row| row.0 = 10,
            |row| row.2 = 6,
            |row| row.3 = Uuid::from_u128(1),
            |row| row.4 = 6,
            |row| row.9 = Some(vec![9; 39]),
            |row| row.11 = None,
            |row| row.12.0 += 1,
            |row| row.14 = None,
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let mut row = whole.clone();
            change(&mut row);
            assert!(matches!(read(ROOM, row), Err(Trouble::Own(crate::store::Failure::Damaged(_)))), "change {n}");
        }
    }

    #[test]
    fn a_partition_of_the_largest_events_stays_below_a_hundred_megabytes() {
        let mut largest = event();
        // Nonce and tag of the seal come to the text.
        largest.content = vec![0xa5; CONTENT_CHARS_MAX * 4 + 28];
        largest.metadata = vec![0xa5; METADATA_BYTES_MAX + 28];
        largest.deleted_at = Some(1);
        let row: usize = values(ROOM, Seq(9), &largest, true, 1)
            .expect("values")
            .iter()
            // A column's value, its length and its share of the row's head.
            .map(|value| match value {
                MaybeUnset::Set(Some(CqlValue::Blob(bytes))) => bytes.len() + 8,
                _ => 24,
            })
            .sum();
        let bucket = row as u64 * BUCKET_EVENTS;
        assert!(bucket < 100_000_000, "{row} bytes a row make {bucket} bytes");
    }
}
