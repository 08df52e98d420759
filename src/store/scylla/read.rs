//! Reads of rooms: pages of a log across buckets, members, answered ids. What does not pass its checks is named, never skipped; the log is
//! dense, so an event that is not found between `first_seq` and the head is damage too.

use std::collections::HashSet;

use scylla::value::CqlTimestamp;
use uuid::Uuid;

use super::change::{BUCKET_EVENTS, bucket, joined, period};
use super::core::Core;
use super::cql::{Trouble, big, damaged, unsigned, uuid};
use super::event;
use super::room::{self, Facts};
use super::statements::S;
use crate::base::{ClientId, Event, Member, Room, RoomId, Seq, UserId, WallTime};
use crate::store::record::{self, StoredEvent, StoredMember, StoredRoom, StoredText};
use crate::store::seal::{Field, Place, Unsealable};
use crate::store::{Answered, LoadedRoom, Span, rules};

/// Rows of the log read at once where more may be wanted than is.
const CHUNK: u64 = 512;

fn opened_member(room: RoomId, user: UserId, bytes: &[u8]) -> Result<Member, Trouble> {
    let what = || format!("member {user} of room {room}");
    let stored = record::decode::<StoredMember>(&joined(&[room.bytes(), user.bytes()]), bytes);
    stored.and_then(|stored| stored.member(room, user)).map_err(|e| damaged(what(), e))
}

/// One member, as it stands.
pub(super) async fn member(core: &Core, room: RoomId, user: UserId) -> Result<Option<Member>, Trouble> {
    let row = core.cql.row::<(Vec<u8>,)>(S::Member, vec![uuid(room.bytes()), uuid(user.bytes())]).await?;
    row.map(|(bytes,)| opened_member(room, user, &bytes)).transpose()
}

/// All members, by their ids.
pub(super) async fn members(core: &Core, room: RoomId) -> Result<Vec<Member>, Trouble> {
    let rows = core.cql.rows::<(Uuid, Vec<u8>)>(S::Members, vec![uuid(room.bytes())]).await?;
    let members = rows.into_iter().map(|(user, bytes)| opened_member(room, UserId(user), &bytes));
    let mut members = members.collect::<Result<Vec<_>, _>>()?;
    members.sort_by_key(|member| member.user);
    Ok(members)
}

/// A room's record, with its texts opened.
pub(super) async fn open_room(core: &Core, id: RoomId, stored: &StoredRoom) -> Result<Room, Trouble> {
    let keys = match &stored.name {
        StoredText::Plain(_) => None,
        StoredText::Sealed(_) => Some(core.ring.room(&core.cql, id, stored.key_id).await?),
    };
    let open = |field, text: &StoredText| match (text, &keys) {
        (StoredText::Plain(text), _) => Ok(text.clone()),
        (StoredText::Sealed(bytes), Some(keys)) => {
            let place = Place { owner: *id.bytes(), seq: Seq(0), field };
            keys.own().open(place, bytes).map_err(|e| damaged(format!("room {id}"), e))
        }
        (StoredText::Sealed(_), None) => {
            Err(damaged(format!("room {id}"), "some of its texts are sealed and some are not"))
        }
    };
    let name = open(Field::RoomName, &stored.name)?;
    let description = open(Field::RoomDescription, &stored.description)?;
    let metadata = open(Field::RoomMetadata, &stored.metadata)?;
    stored.room(id, name, description, metadata).map_err(|e| damaged(format!("room {id}"), e))
}

async fn open_event(core: &Core, room: RoomId, seq: Seq, stored: &StoredEvent) -> Result<Event, Trouble> {
    let what = || event::name(room, seq);
    let (mut content, mut metadata) = (String::new(), String::new());
    if !stored.content.is_empty() || !stored.metadata.is_empty() {
        let author = UserId(Uuid::from_bytes(stored.user));
        let key = core.ring.author(&core.cql, room, stored.key_id, author).await?;
        let open = |field, sealed: &[u8]| -> Result<String, Unsealable> {
            key.open(Place { owner: *room.bytes(), seq, field }, sealed)
        };
        content = open(Field::Content, &stored.content).map_err(|e| damaged(what(), e))?;
        metadata = open(Field::Metadata, &stored.metadata).map_err(|e| damaged(what(), e))?;
    }
    stored.event(room, seq, content, metadata).map_err(|e| damaged(what(), e))
}

/// Rows of one bucket from `from` to `to`, ascending or descending, all of them.
pub(super) async fn stored(
    core: &Core,
    room: RoomId,
    from: u64,
    to: u64,
    backwards: bool,
) -> Result<Vec<(Seq, StoredEvent)>, Trouble> {
    let values = vec![uuid(room.bytes()), big(bucket(Seq(from))), big(from), big(to)];
    let rows = core.cql.rows::<event::Row>(if backwards { S::Page } else { S::PageUp }, values).await?;
    let mut expected = if backwards { to } else { from };
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let (seq, stored) = event::read(room, row)?;
        if seq.0 != expected {
            return Err(damaged(event::name(room, Seq(expected)), "it is missing"));
        }
        expected = if backwards { expected.saturating_sub(1) } else { expected + 1 };
        found.push((seq, stored));
    }
    if found.len() as u64 != to - from + 1 {
        return Err(damaged(event::name(room, Seq(expected)), "it is missing"));
    }
    Ok(found)
}

/// A page of the log.
pub(super) async fn events(
    core: &Core,
    id: RoomId,
    facts: &Facts,
    span: Span,
    limit: usize,
    bytes_max: usize,
) -> Result<Vec<Event>, Trouble> {
    let Some((mut low, mut high, backwards)) = rules::reach(span, limit, facts.record.first_seq, facts.head.seq.0)
    else {
        return Ok(Vec::new());
    };
    let mut page: Vec<Event> = Vec::new();
    let mut bytes = 0;
    'all: while low <= high {
        // As far as the bucket goes, and not so much at once that a page bounded in bytes reads far too much.
        let (from, to) = if backwards {
            ((high / BUCKET_EVENTS * BUCKET_EVENTS).max(high.saturating_sub(CHUNK - 1)).max(low), high)
        } else {
            (low, ((low / BUCKET_EVENTS + 1) * BUCKET_EVENTS - 1).min(low + CHUNK - 1).min(high))
        };
        for (seq, stored) in stored(core, id, from, to, backwards).await? {
            let event = open_event(core, id, seq, &stored).await?;
            bytes += event.weight();
            if bytes > bytes_max && !page.is_empty() {
                break 'all;
            }
            page.push(event);
        }
        if backwards {
            if from == low {
                break;
            }
            high = from - 1;
        } else {
            low = to + 1;
        }
    }
    if backwards {
        page.reverse();
    }
    Ok(page)
}

/// A room as its owner's shard needs it.
pub(super) async fn loaded(
    core: &Core,
    id: RoomId,
    facts: &Facts,
    since: WallTime,
    max: usize,
) -> Result<LoadedRoom, Trouble> {
    let (room, members, (answered, answered_since)) = tokio::try_join!(
        open_room(core, id, &facts.record),
        members(core, id),
        recent_answers(core, id, facts, since, max)
    )?;
    Ok(LoadedRoom { room, head: facts.head, members, answered, answered_since })
}

type AnswersRow = (i64, Uuid, i32, Option<Uuid>, CqlTimestamp, Option<Vec<u8>>);

/// Client ids answered since a time, the newest `max`, oldest first, and since when that is all of them.
async fn recent_answers(
    core: &Core,
    id: RoomId,
    facts: &Facts,
    since: WallTime,
    max: usize,
) -> Result<(Vec<Answered>, WallTime), Trouble> {
    let mut answered = Vec::new();
    let mut seen = HashSet::new();
    let first = facts.record.first_seq;
    let mut high = facts.head.seq.0;
    'all: while first <= high {
        let from = (high / BUCKET_EVENTS * BUCKET_EVENTS).max(high.saturating_sub(CHUNK - 1)).max(first);
        let values = vec![uuid(id.bytes()), big(bucket(Seq(high))), big(from), big(high)];
        let rows = core.cql.rows::<AnswersRow>(S::Answers, values).await?;
        let mut expected = high;
        for (seq, user, key_id, client, created, own) in rows {
            let (seq, at) = (Seq(unsigned(seq)), unsigned(created.0));
            if seq.0 != expected {
                break;
            }
            expected = expected.saturating_sub(1);
            if WallTime(at) < since || answered.len() > max {
                break 'all;
            }
            let own = event::unpack(&own.unwrap_or_default(), user.into_bytes(), client.map(Uuid::into_bytes), at);
            let own = own.ok_or_else(|| damaged(event::name(id, seq), "its answered ids cannot be told apart"))?;
            let key_id = u32::from_ne_bytes(key_id.to_ne_bytes());
            for answer in own.iter().filter(|answer| WallTime(answer.at) >= since) {
                // The same id may have been answered again by a later event: that one counts.
                if seen.insert((answer.user, answer.client_id)) {
                    answered.push(room::unmask(core, id, key_id, seq, answer).await?);
                }
            }
        }
        if expected + 1 != from && !(from == 0 && expected == 0) {
            return Err(damaged(event::name(id, Seq(expected)), "it is missing"));
        }
        if from == first {
            break;
        }
        high = from - 1;
    }
    answered.sort_by_key(|answer| (answer.seq, answer.user, answer.client_id));
    let dropped = answered.len().saturating_sub(max);
    let complete = dropped.checked_sub(1).and_then(|last| answered.get(last)).map_or(since, |a| a.at.plus_ms(1));
    answered.drain(..dropped);
    Ok((answered, complete))
}

/// What `chat_answered` says of a client id; to be believed only when the event says so too.
pub(super) async fn hint(
    core: &Core,
    room: RoomId,
    user: &[u8; 16],
    client_id: &[u8; 16],
) -> Result<Option<Seq>, Trouble> {
    let values = vec![uuid(room.bytes()), big(period(client_id)), uuid(user), uuid(client_id)];
    let row = core.cql.row::<(i64,)>(S::AnsweredAt, values).await?;
    Ok(row.map(|(seq,)| Seq(unsigned(seq))))
}

/// What was answered to a client id. A hint whose event is not there, or says nothing of the id, was written by a process that ended before
/// the event was: it counts for nothing.
pub(super) async fn answered(
    core: &Core,
    room: RoomId,
    facts: &Facts,
    user: UserId,
    client_id: ClientId,
) -> Result<Option<Answered>, Trouble> {
    let Some(seq) = hint(core, room, user.bytes(), client_id.bytes()).await? else { return Ok(None) };
    if seq.0 < facts.record.first_seq || seq > facts.head.seq {
        return Ok(None);
    }
    let event = room::stored_event(core, room, seq).await?;
    let found = event.answered.iter().find(|a| a.user == *user.bytes() && a.client_id == *client_id.bytes());
    match found {
        Some(answer) => room::unmask(core, room, event.key_id, seq, answer).await.map(Some),
        None => Ok(None),
    }
}

/// The last event written before a time, 0 when there is none.
pub(super) async fn seq_before(core: &Core, room: RoomId, facts: &Facts, at: WallTime) -> Result<Seq, Trouble> {
    // All before `low` are older than `at`, all from `high` on are not.
    let (mut low, mut high) = (facts.record.first_seq, facts.head.seq.0.saturating_add(1));
    while low < high {
        let middle = Seq(low + (high - low) / 2);
        let values = vec![uuid(room.bytes()), big(bucket(middle)), big(middle.0)];
        let row = core.cql.row::<(CqlTimestamp,)>(S::TimeOf, values).await?;
        let (time,) = row.ok_or_else(|| damaged(event::name(room, middle), "it is missing"))?;
        if unsigned(time.0) < at.0 {
            low = middle.0 + 1;
        } else {
            high = middle.0;
        }
    }
    Ok(if low > facts.record.first_seq { Seq(low - 1) } else { Seq(0) })
}
