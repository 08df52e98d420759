//! Writes to a room that are more than appending: making it, changing its record or members, rewriting events, retention. Each becomes a plan.

use std::collections::BTreeMap;

use super::change::{BUCKET_EVENTS, Change, Table, bucket, joined, numbered};
use super::core::Core;
use super::cql::{Trouble, blob, damaged, stamp, uuid};
use super::event;
use super::keys::{FIRST_KEY, nonce};
use super::names;
use super::plan::{OwnRow, StoredPlan};
use super::read;
use super::room::{self, Facts};
use super::statements::S;
use crate::base::room::Head;
use crate::base::{Member, Number, Room, RoomId, RoomType, Seq, UserId, WallTime};
use crate::store::record::{self, StoredMember, StoredName, StoredRoom, StoredText};
use crate::store::seal::{Field, Place};
use crate::store::{Outcome, RoomWrite, rules};

const DONE: Outcome = Outcome::Done { first_user: false };

/// Carries out a write on a room that is known. The facts follow only when all of it is confirmed.
pub(super) async fn write(core: &Core, known: &mut Option<Facts>, write: RoomWrite) -> Result<Outcome, Trouble> {
    let id = write.room;
    match (write.create, known.is_some()) {
        (true, true) => return Ok(Outcome::Exists),
        (false, false) => return Ok(Outcome::NotFound),
        _ => {}
    }
    let holder = StoredName { holder: *id.bytes(), user: false };
    let (take, release) = (write.name.take.map(|key| key.0), write.name.release.map(|key| key.0));
    if let Some(name) = &take
        && names::holder(core, name).await?.is_some_and(|by| by != holder)
    {
        return Ok(Outcome::NameTaken);
    }
    let old = known.clone();
    let head = match (&old, &write.record) {
        (Some(facts), _) => facts.head,
        (None, Some(new)) => new.trimmed,
        // `check_room_write` refused it.
        (None, None) => return Ok(Outcome::NotFound),
    };
    if write.events.first().is_some_and(|first| first.seq != head.seq.next()) {
        return Ok(Outcome::Conflict);
    }
    let last = write.events.last().map_or(head, |event| Head { seq: event.seq, number: event.number, at: event.at });
    if write.rewritten.iter().any(|event| event.seq > last.seq) {
        return Err(room::not_written(id));
    }
    if let Some(facts) = &old
        && write.record.is_none()
        && write.events.is_empty()
        && write.rewritten.is_empty()
        && (take, release) == (None, None)
        && markers(core, facts, &write.members).await?
    {
        return Ok(DONE);
    }

    let mut changes = Vec::new();
    let was_removed = old.as_ref().is_some_and(|facts| facts.record.removed);
    let record = match (write.record, &old) {
        (Some(new), old) => plan_record(core, new, old.as_ref().map(|facts| &facts.record), &mut changes).await?,
        (None, Some(facts)) => facts.record.clone(),
        (None, None) => return Ok(Outcome::NotFound),
    };
    if old.is_none() {
        room::fence_absent(core, id).await?;
        changes.push(Change::listed(Table::RoomId, id.bytes().to_vec(), true));
    }
    let mut facts = Facts {
        record,
        head: last,
        members: old.as_ref().map_or(0, |facts| facts.members),
        last_bucket: old.as_ref().map_or(0, |facts| facts.last_bucket).max(bucket(last.seq)),
    };
    let mut events = write.events;
    for event in write.rewritten {
        let seq = event.seq;
        if let Some(new) = events.iter_mut().find(|new| new.seq == seq) {
            *new = event;
        } else if seq.0 >= facts.record.first_seq && seq <= head.seq {
            let before = room::stored_event(core, id, seq).await?;
            changes.push(room::seal_event(core, &event, before.answered, Table::Event).await?);
        }
    }
    room::seal_events(core, &events, &write.answered, &mut changes).await?;
    plan_members(core, id, write.members, was_removed, &mut facts, &mut changes).await?;

    let bytes = record::encode(id.bytes(), &facts.record).map_err(|e| damaged(format!("room {id}"), e))?;
    let row = OwnRow::Room(*id.bytes(), bytes, facts.members, facts.last_bucket);
    let plan = StoredPlan { at: core.lease.stamp()?, take, release, changes, row };
    if !plan.carry_out(core).await? {
        return Ok(Outcome::NameTaken);
    }
    core.lease.check()?;
    *known = Some(facts);
    Ok(DONE)
}

/// Read markers and the like: members that stay what they are, in or out. One partition, so no plan. `false`: it is more than that.
async fn markers(core: &Core, facts: &Facts, members: &[Member]) -> Result<bool, Trouble> {
    let mut rows = Vec::with_capacity(members.len());
    for member in members {
        let old = read::member(core, member.room, member.user).await?;
        let stays = old.is_some_and(|old| {
            old.active() == member.active() && old.role == member.role && old.intervals == member.intervals
        });
        if !stays || facts.record.removed {
            return Ok(false);
        }
        let key = joined(&[member.room.bytes(), member.user.bytes()]);
        let bytes = record::encode(&key, &StoredMember::from(member)).map_err(|e| damaged("a member", e))?;
        rows.push((member, bytes));
    }
    let at = core.lease.stamp()?;
    let statement = |(member, bytes): (&Member, Vec<u8>)| {
        (S::MemberPut, vec![uuid(member.room.bytes()), uuid(member.user.bytes()), blob(bytes), stamp(at)])
    };
    core.cql.together(rows.into_iter().map(statement).collect()).await?;
    core.lease.check()?;
    Ok(true)
}

async fn plan_record(
    core: &Core,
    mut new: Room,
    old: Option<&StoredRoom>,
    changes: &mut Vec<Change>,
) -> Result<StoredRoom, Trouble> {
    let id = new.id;
    let what = || format!("room {id}");
    if let Some(old) = old {
        // The texts do not matter here.
        let old = old.room(id, String::new(), String::new(), String::new()).map_err(|e| damaged(what(), e))?;
        rules::keep_trimmed(&mut new, &old);
    }
    let listed = new.kind == RoomType::Public && !new.removed;
    changes.push(Change::listed(Table::PublicRoom, id.bytes().to_vec(), listed));
    if new.kind == RoomType::Public {
        let [name, description, metadata] =
            [&new.name, &new.description, &new.metadata].map(|text| StoredText::Plain(text.clone()));
        return Ok(StoredRoom::of(&new, FIRST_KEY, name, description, metadata));
    }
    let keys = core.ring.room_or_new(core, id, FIRST_KEY).await?;
    let seal = |field, text: &str| {
        let place = Place { owner: *id.bytes(), seq: Seq(0), field };
        keys.own().seal(place, nonce()?, text).map(StoredText::Sealed).map_err(|e| damaged(what(), e))
    };
    let name = seal(Field::RoomName, &new.name)?;
    let description = seal(Field::RoomDescription, &new.description)?;
    let metadata = seal(Field::RoomMetadata, &new.metadata)?;
    Ok(StoredRoom::of(&new, FIRST_KEY, name, description, metadata))
}

async fn plan_members(
    core: &Core,
    id: RoomId,
    members: Vec<Member>,
    was_removed: bool,
    facts: &mut Facts,
    changes: &mut Vec<Change>,
) -> Result<(), Trouble> {
    let removed = facts.record.removed;
    let mut listed: BTreeMap<UserId, bool> = BTreeMap::new();
    if was_removed != removed {
        for member in read::members(core, id).await? {
            listed.insert(member.user, member.active() && !removed);
        }
    }
    // Of two states of one member in a write the last one counts.
    let members: BTreeMap<UserId, Member> = members.into_iter().map(|member| (member.user, member)).collect();
    for (user, member) in members {
        let was_in = read::member(core, id, user).await?.is_some_and(|old| old.active());
        match (was_in, member.active()) {
            (false, true) => facts.members += 1,
            (true, false) => facts.members = facts.members.saturating_sub(1),
            _ => {}
        }
        let key = joined(&[id.bytes(), user.bytes()]);
        let bytes = record::encode(&key, &StoredMember::from(&member)).map_err(|e| damaged("a member", e))?;
        changes.push(Change::put(Table::Member, key, bytes));
        listed.insert(user, member.active() && !removed);
    }
    let list =
        |(user, there): (UserId, bool)| Change::listed(Table::RoomOf, joined(&[user.bytes(), id.bytes()]), there);
    changes.extend(listed.into_iter().map(list));
    Ok(())
}

/// Retention: removes the oldest events with the hints of the ids that they answered.
pub(super) async fn trim(
    core: &Core,
    known: &mut Option<Facts>,
    id: RoomId,
    up_to: Seq,
    limit: usize,
) -> Result<Outcome, Trouble> {
    let Some(facts) = known.as_ref() else { return Ok(Outcome::NotFound) };
    let first = Seq(facts.record.first_seq);
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    let end = up_to.0.min(facts.head.seq.0).min(first.0.saturating_add(most).saturating_sub(1));
    let mut record = read::open_room(core, id, &facts.record).await?;
    if most == 0 || end < first.0 {
        return Ok(Outcome::Trimmed(0, Box::new(record)));
    }
    let mut changes = Vec::new();
    let mut last = record.trimmed;
    let mut from = first.0;
    while from <= end {
        let to = end.min((from / BUCKET_EVENTS + 1) * BUCKET_EVENTS - 1);
        for (seq, stored) in read::stored(core, id, from, to, false).await? {
            for answer in &stored.answered {
                // The same id may have been answered again by a later event.
                if read::hint(core, id, &answer.user, &answer.client_id).await? == Some(seq) {
                    let key = joined(&[id.bytes(), &answer.user, &answer.client_id]);
                    changes.push(Change::remove(Table::Answered, key));
                }
            }
            last = Head { seq, number: Number(stored.number), at: WallTime(stored.at) };
        }
        if last.seq.0 != to {
            return Err(damaged(event::name(id, Seq(to)), "it is missing"));
        }
        changes.push(Change::remove(Table::EventsUpTo, numbered(id.bytes(), Seq(to))));
        from = to + 1;
    }
    rules::trim_to(&mut record, last);
    let stored = StoredRoom {
        first_seq: record.first_seq.0,
        trimmed_seq: last.seq.0,
        trimmed_number: last.number.0,
        trimmed_at: last.at.0,
        ..facts.record.clone()
    };
    let bytes = record::encode(id.bytes(), &stored).map_err(|e| damaged(format!("room {id}"), e))?;
    let row = OwnRow::Room(*id.bytes(), bytes, facts.members, facts.last_bucket);
    let plan = StoredPlan { at: core.lease.stamp()?, take: None, release: None, changes, row };
    plan.carry_out(core).await?;
    core.lease.check()?;
    let removed = usize::try_from(end - first.0 + 1).unwrap_or(usize::MAX);
    if let Some(facts) = known.as_mut() {
        facts.record = stored;
    }
    Ok(Outcome::Trimmed(removed, Box::new(record)))
}
