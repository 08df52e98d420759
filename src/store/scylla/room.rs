//! What an owner knows of a room, how it is loaded, and its everyday write: messages, appended.
//!
//! A room is loaded once by this process, and from then on its head is known here: nobody else may write it. Loading carries out a plan that
//! was left behind, and *fences*: it writes the room's row anew and hides everything behind the head, at a time later than anything an earlier
//! owner (or a write of our own whose answer was lost) can still bring in. A write that fails without an answer makes the room unknown again,
//! so the next one begins with loading. Appending writes two things at once: the events, in one partition, whole or not at all;
//! and the hints of `chat_answered`, which are believed only when the event says so too.

use std::rc::Rc;

use scylla::value::CqlTimestamp;

use super::change::{Change, Table, bucket, joined, numbered};
use super::core::Core;
use super::cql::{Trouble, big, blob, damaged, stamp, unsigned, uuid};
use super::event;
use super::keys::{FIRST_KEY, nonce};
use super::plan::{self, write_rows};
use super::statements::S;
use crate::base::room::Head;
use crate::base::{Event, Number, RoomId, Seq, WallTime};
use crate::store::record::{self, StoredAnswer, StoredEvent, StoredRoom};
use crate::store::seal::{Field, FieldKey, Place};
use crate::store::{Answered, Failure, RoomWrite};

/// A room that exists, as its owner knows it.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) record: StoredRoom,
    pub(super) head: Head,
    /// Who are in.
    pub(super) members: u64,
    /// The newest bucket that was begun.
    pub(super) last_bucket: u64,
}

type RoomRow = (Option<Vec<u8>>, Option<i64>, Option<i64>, Option<Vec<u8>>);

/// The row of a room as it stands, without a look at what is pending.
pub(super) async fn row(core: &Core, room: RoomId) -> Result<Option<(StoredRoom, u64, u64)>, Trouble> {
    let row = core.cql.row::<RoomRow>(S::RoomRow, vec![uuid(room.bytes())]).await?;
    let Some((Some(record), members, last, _)) = row else { return Ok(None) };
    let record = record::decode(room.bytes(), &record).map_err(|e| damaged(format!("room {room}"), e))?;
    Ok(Some((record, unsigned(members.unwrap_or(0)), unsigned(last.unwrap_or(0)))))
}

/// Loads a room for its owner; see the file's head.
pub(super) async fn load(core: &Core, room: RoomId) -> Result<Option<Facts>, Trouble> {
    let found = core.cql.row::<RoomRow>(S::RoomRow, vec![uuid(room.bytes())]).await?;
    if let Some((.., Some(pending))) = &found {
        let what = format!("the plan of room {room}");
        let plan = plan::read(room.bytes(), pending, &what)?;
        tracing::info!("{what} is carried out again");
        plan.go_on(core).await?;
    }
    let Some((record, members, last_bucket)) = row(core, room).await? else { return Ok(None) };
    let head = head(core, room, &record, last_bucket).await?;
    let facts = Facts { record, head, members, last_bucket: last_bucket.max(bucket(head.seq)) };
    if core.rooms_fenced.borrow_mut().insert(room) {
        let fenced = fence(core, room, &facts).await;
        core.unfence_on_error(room, fenced)?;
    }
    core.lease.check()?;
    Ok(Some(facts))
}

/// A room that is to be made: what an earlier owner was just making would come up later, and is hidden first.
pub(super) async fn fence_absent(core: &Core, room: RoomId) -> Result<(), Trouble> {
    if core.rooms_fenced.borrow_mut().insert(room) {
        let fenced = core.cql.run(S::RoomGone, vec![stamp(core.lease.stamp()?), uuid(room.bytes())]).await;
        core.unfence_on_error(room, fenced)?;
    }
    Ok(())
}

async fn fence(core: &Core, room: RoomId, facts: &Facts) -> Result<(), Trouble> {
    let (at, id) = (core.lease.stamp()?, room.bytes());
    let bytes = record::encode(id, &facts.record).map_err(|e| damaged(format!("room {room}"), e))?;
    let row = vec![uuid(id), blob(bytes), big(facts.members), big(facts.last_bucket), stamp(at)];
    // One append at a time is under way, within one bucket: that of the head, or the one after it.
    let here = bucket(facts.head.seq);
    let behind = vec![stamp(at), uuid(id), big(here), big(facts.head.seq.0)];
    let next = vec![stamp(at), uuid(id), big(here + 1)];
    tokio::try_join!(
        core.cql.run(S::RoomPut, row),
        core.cql.run(S::MessagesAfter, behind),
        core.cql.run(S::BucketGone, next)
    )
    .map(drop)
}

/// The newest event that is there, or what retention left of it.
async fn head(core: &Core, room: RoomId, record: &StoredRoom, last_bucket: u64) -> Result<Head, Trouble> {
    let trimmed =
        Head { seq: Seq(record.trimmed_seq), number: Number(record.trimmed_number), at: WallTime(record.trimmed_at) };
    let first = bucket(Seq(record.first_seq));
    // The last bucket may have been announced and not begun.
    for bucket in (first..=last_bucket).rev() {
        let newest = core.cql.row::<(i64, i64, CqlTimestamp)>(S::Newest, vec![uuid(room.bytes()), big(bucket)]).await?;
        if let Some((seq, number, at)) = newest
            && unsigned(seq) >= record.first_seq
        {
            return Ok(Head {
                seq: Seq(unsigned(seq)),
                number: Number(unsigned(number)),
                at: WallTime(unsigned(at.0)),
            });
        }
    }
    Ok(trimmed)
}

/// Whether a write only appends, within one bucket: then it needs no plan.
pub(super) fn appends(write: &RoomWrite) -> bool {
    let (Some(first), Some(last)) = (write.events.first(), write.events.last()) else { return false };
    write.record.is_none()
        && !write.create
        && write.name == crate::store::NameChange::default()
        && write.rewritten.is_empty()
        && write.members.is_empty()
        && bucket(first.seq) == bucket(last.seq)
}

/// Events as changes, sealed, with the hints of the ids that they answer.
pub(super) async fn seal_events(
    core: &Core,
    events: &[Event],
    answered: &[Answered],
    changes: &mut Vec<Change>,
) -> Result<(), Trouble> {
    let mut left = answered;
    for event in events {
        // Both are usually in the same order, one answer an event.
        let (mut own, alone) = match left.split_first() {
            Some((first, rest)) if first.seq == event.seq && rest.first().is_none_or(|next| next.seq > event.seq) => {
                left = rest;
                (vec![first], true)
            }
            _ => (Vec::new(), false),
        };
        if !alone {
            own = left.iter().filter(|answer| answer.seq == event.seq).collect();
        }
        let mut stored = Vec::with_capacity(own.len());
        for answer in own {
            let keys = core.ring.room_or_new(core, event.room, FIRST_KEY).await?;
            let (user, client_id) = (*answer.user.bytes(), *answer.client_id.bytes());
            let masked_hash = keys.mask(answer.user, answer.client_id, answer.seq, answer.body_hash);
            stored.push(StoredAnswer { user, client_id, masked_hash, at: answer.at.0 });
            let key = joined(&[event.room.bytes(), &user, &client_id]);
            changes.push(Change::put(Table::Answered, key, answer.seq.0.to_be_bytes().to_vec()));
        }
        changes.push(seal_event(core, event, stored, Table::NewEvent).await?);
    }
    Ok(())
}

/// One event as a change, sealed.
pub(super) async fn seal_event(
    core: &Core,
    event: &Event,
    answered: Vec<StoredAnswer>,
    table: Table,
) -> Result<Change, Trouble> {
    let what = || event::name(event.room, event.seq);
    let (mut content, mut metadata) = (Vec::new(), Vec::new());
    if !event.content.is_empty() || !event.metadata.is_empty() {
        let author = core.ring.author_or_new(core, event.room, FIRST_KEY, event.user).await?;
        let seal = |key: &FieldKey, field, text: &str| {
            if text.is_empty() {
                return Ok(Vec::new());
            }
            let place = Place { owner: *event.room.bytes(), seq: event.seq, field };
            key.seal(place, nonce()?, text).map_err(|e| damaged(what(), e))
        };
        content = seal(&author, Field::Content, &event.content)?;
        metadata = seal(&author, Field::Metadata, &event.metadata)?;
    }
    let stored = StoredEvent::of(event, FIRST_KEY, content, metadata, answered);
    let key = numbered(event.room.bytes(), event.seq);
    let bytes = record::encode(&key, &stored).map_err(|e| damaged(what(), e))?;
    Ok(Change::put(table, key, bytes))
}

/// Appends to a room that is known, and moves its head.
pub(super) async fn append(
    core: &Core,
    room: RoomId,
    facts: &mut Facts,
    changes: &[Change],
    head: Head,
) -> Result<(), Trouble> {
    let at = core.lease.stamp()?;
    let new_bucket = bucket(head.seq);
    if new_bucket > facts.last_bucket {
        // First announced, then begun: who looks for the head looks there too.
        core.cql.run(S::RoomBucket, vec![uuid(room.bytes()), big(new_bucket), stamp(at)]).await?;
        core.lease.check()?;
        facts.last_bucket = new_bucket;
    }
    write_rows(core, changes, at).await?;
    core.lease.check()?;
    facts.head = head;
    Ok(())
}

/// A row of `chat_messages`, whole.
pub(super) async fn stored_event(core: &Core, room: RoomId, seq: Seq) -> Result<StoredEvent, Trouble> {
    let values = vec![uuid(room.bytes()), big(bucket(seq)), big(seq.0), big(seq.0)];
    let row = core.cql.row::<event::Row>(S::Page, values).await?;
    let row = row.ok_or_else(|| damaged(event::name(room, seq), "it is missing"))?;
    event::read(room, row).map(|(_, stored)| stored)
}

/// An answer as it is told.
pub(super) async fn unmask(
    core: &Core,
    room: RoomId,
    key_id: u32,
    seq: Seq,
    answer: &StoredAnswer,
) -> Result<Answered, Trouble> {
    let user = crate::base::UserId(uuid::Uuid::from_bytes(answer.user));
    let client_id = crate::base::ClientId(uuid::Uuid::from_bytes(answer.client_id));
    let keys = core.ring.room(&core.cql, room, key_id).await?;
    let body_hash = keys.mask(user, client_id, seq, answer.masked_hash);
    Ok(Answered { user, client_id, seq, body_hash, at: WallTime(answer.at) })
}

/// Says that a rewritten event was never written.
pub(super) fn not_written(room: RoomId) -> Trouble {
    Trouble::Own(Failure::Misuse(format!("an event of room {room} is rewritten before it was written")))
}

/// A lane's facts, shared with who only reads.
pub(super) type Known = Option<Rc<Facts>>;
