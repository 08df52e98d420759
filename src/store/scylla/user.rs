//! Users: loaded and fenced by their owner as rooms are, written by a plan where more than one table changes.

use futures_util::future::try_join_all;
use uuid::Uuid;

use super::change::{Change, Table, joined, numbered};
use super::core::Core;
use super::cql::{Trouble, Values, big, blob, damaged, int, stamp, unsigned, uuid};
use super::keys::nonce;
use super::names;
use super::plan::{self, OwnRow, StoredPlan, write_rows};
use super::statements::S;
use crate::base::limits::STREAM_EVENTS_MAX;
use crate::base::{Device, DeviceId, RoomId, Seq, Session, SessionId, User, UserId, WallTime};
use crate::store::record::{self, StoredCursor, StoredDevice, StoredName, StoredSession, StoredStream, StoredUser};
use crate::store::seal::{Field, Place};
use crate::store::{Cursor, LoadedUser, Outcome, UserWrite, rules};

/// A user that exists, as the owner knows it.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) record: StoredUser,
    pub(super) stream_first: Seq,
    pub(super) stream_head: Seq,
}

type UserRow = (Option<Vec<u8>>, Option<Vec<u8>>);

fn name(user: UserId) -> String {
    format!("user {user}")
}

/// The record as it stands.
pub(super) async fn stored(core: &Core, user: UserId) -> Result<Option<StoredUser>, Trouble> {
    let row = core.cql.row::<UserRow>(S::UserRow, vec![uuid(user.bytes())]).await?;
    let Some((Some(record), _)) = row else { return Ok(None) };
    record::decode(user.bytes(), &record).map(Some).map_err(|e| damaged(name(user), e))
}

/// Loads a user for the owner: carries out a plan that was left behind, and hides what an earlier owner may still bring in.
pub(super) async fn load(core: &Core, user: UserId) -> Result<Option<Facts>, Trouble> {
    let row = core.cql.row::<UserRow>(S::UserRow, vec![uuid(user.bytes())]).await?;
    if let Some((_, Some(pending))) = &row {
        let what = format!("the plan of user {user}");
        let plan = plan::read(user.bytes(), pending, &what)?;
        tracing::info!("{what} is carried out again");
        plan.go_on(core).await?;
    }
    let Some(record) = stored(core, user).await? else { return Ok(None) };
    let (stream_first, stream_head) = stream_ends(core, user).await?;
    let facts = Facts { record, stream_first, stream_head };
    if core.users_fenced.borrow_mut().insert(user) {
        let fenced = fence(core, user, &facts).await;
        core.unfence_user_on_error(user, fenced)?;
    }
    core.lease.check()?;
    Ok(Some(facts))
}

/// A user who is to be made; see `room::fence_absent`.
async fn fence_absent(core: &Core, user: UserId) -> Result<(), Trouble> {
    if core.users_fenced.borrow_mut().insert(user) {
        let fenced = core.cql.run(S::UserGone, vec![stamp(core.lease.stamp()?), uuid(user.bytes())]).await;
        core.unfence_user_on_error(user, fenced)?;
    }
    Ok(())
}

/// Sessions are written anew over a mark that hides all others; devices and positions may come late without harm.
async fn fence(core: &Core, user: UserId, facts: &Facts) -> Result<(), Trouble> {
    let (at, id) = (core.lease.stamp()?, user.bytes());
    let rows = core.cql.rows::<(Uuid, Vec<u8>)>(S::Sessions, vec![uuid(id)]).await?;
    let mut sessions: Vec<(S, Values)> = vec![(S::SessionsGone, vec![stamp(at), uuid(id)])];
    for (session, bytes) in rows {
        sessions.push((S::SessionPut, vec![uuid(id), uuid(session.as_bytes()), blob(bytes), stamp(at + 1)]));
    }
    let bytes = record::encode(id, &facts.record).map_err(|e| damaged(name(user), e))?;
    let row = vec![uuid(id), blob(bytes), stamp(at)];
    let behind = vec![stamp(at), uuid(id), big(facts.stream_head.0)];
    tokio::try_join!(core.cql.run(S::UserPut, row), core.cql.run(S::StreamAfter, behind), core.cql.together(sessions))
        .map(drop)
}

/// First and last seq of a user stream; `(1, 0)` for an empty one.
async fn stream_ends(core: &Core, user: UserId) -> Result<(Seq, Seq), Trouble> {
    let (first, last) = tokio::try_join!(
        core.cql.row::<(i64,)>(S::StreamFirst, vec![uuid(user.bytes())]),
        core.cql.row::<(i64,)>(S::StreamLast, vec![uuid(user.bytes())])
    )?;
    Ok(match (first, last) {
        (Some((first,)), Some((last,))) => (Seq(unsigned(first)), Seq(unsigned(last))),
        _ => (Seq(1), Seq(0)),
    })
}

/// Carries out a write on a user that is known.
pub(super) async fn write(core: &Core, known: &mut Option<Facts>, write: UserWrite) -> Result<Outcome, Trouble> {
    let id = write.user;
    match (write.create, known.is_some()) {
        (true, true) => return Ok(Outcome::Exists),
        (false, false) => return Ok(Outcome::NotFound),
        _ => {}
    }
    let holder = StoredName { holder: *id.bytes(), user: true };
    let (take, release) = (write.name.take.map(|key| key.0), write.name.release.map(|key| key.0));
    if let Some(name) = &take
        && names::holder(core, name).await?.is_some_and(|by| by != holder)
    {
        return Ok(Outcome::NameTaken);
    }
    let old = known.clone();
    let (mut first, head) = old.as_ref().map_or((Seq(1), Seq(0)), |facts| (facts.stream_first, facts.stream_head));
    match write.stream.first() {
        Some(entry) if write.create => first = entry.seq,
        Some(entry) if entry.seq != head.next() => return Ok(Outcome::Conflict),
        Some(_) | None => {}
    }
    let mut changes = Vec::new();
    for entry in &write.stream {
        let key = numbered(id.bytes(), entry.seq);
        let bytes = record::encode(&key, &StoredStream::from(entry)).map_err(|e| damaged(name(id), e))?;
        changes.push(Change::put(Table::Stream, key, bytes));
    }
    let new_head = write.stream.last().map_or(head, |entry| entry.seq);
    let keep_from = rules::stream_first(new_head, STREAM_EVENTS_MAX);
    if keep_from > first && !write.stream.is_empty() {
        first = keep_from;
        changes.push(Change::remove(Table::StreamBefore, numbered(id.bytes(), first)));
    }
    let first_user = write.admin_if_first && names::first_user(core, id).await?;
    let record = match (write.record, &old) {
        (Some(mut new), _) => {
            new.admin |= first_user;
            Some(seal(core, &new).await?)
        }
        (None, Some(facts)) if first_user => Some(StoredUser { admin: true, ..facts.record.clone() }),
        (None, _) => None,
    };
    if old.is_none() {
        fence_absent(core, id).await?;
        changes.push(Change::listed(Table::UserId, id.bytes().to_vec(), true));
    }
    plan_sessions(core, id, &write.sessions, &mut changes).await?;
    for device in &write.devices {
        let key = joined(&[id.bytes(), device.id.bytes()]);
        let bytes = record::encode(&key, &StoredDevice::from(device)).map_err(|e| damaged(name(id), e))?;
        changes.push(Change::put(Table::Device, key, bytes));
    }
    plan_cursors(core, &write.cursors, &mut changes).await?;

    let mut partitions = changes.iter().map(Change::partition).collect::<Result<Vec<_>, _>>()?;
    partitions.sort_unstable();
    partitions.dedup();
    if record.is_none() && (take, release) == (None, None) && partitions.len() <= 1 {
        if !changes.is_empty() {
            write_rows(core, &changes, core.lease.stamp()?).await?;
        }
    } else {
        let row = match &record {
            Some(record) => {
                OwnRow::User(*id.bytes(), record::encode(id.bytes(), record).map_err(|e| damaged(name(id), e))?)
            }
            None => OwnRow::SameUser(*id.bytes()),
        };
        let plan = StoredPlan { at: core.lease.stamp()?, take, release, changes, row };
        if !plan.carry_out(core).await? {
            return Ok(Outcome::NameTaken);
        }
    }
    core.lease.check()?;
    let record = record.or_else(|| old.map(|facts| facts.record));
    *known = record.map(|record| Facts { record, stream_first: first, stream_head: new_head });
    Ok(Outcome::Done { first_user })
}

async fn plan_sessions(core: &Core, id: UserId, new: &[Session], changes: &mut Vec<Change>) -> Result<(), Trouble> {
    if new.is_empty() {
        return Ok(());
    }
    let now = rules::latest(new);
    let key = |session: SessionId| joined(&[id.bytes(), session.bytes()]);
    let replaced = |old: &Session| new.iter().any(|session| session.id == old.id);
    for old in sessions(core, id).await? {
        if rules::forgotten(&old, now) && !replaced(&old) {
            changes.push(Change::remove(Table::Session, key(old.id)));
        }
    }
    // Of two states of one session in a write the last one counts: all rows of a write carry the same time.
    for (at, session) in new.iter().enumerate() {
        if new.iter().skip(at + 1).any(|later| later.id == session.id) {
            continue;
        }
        if rules::forgotten(session, now) {
            changes.push(Change::remove(Table::Session, key(session.id)));
        } else {
            let bytes =
                record::encode(&key(session.id), &StoredSession::from(session)).map_err(|e| damaged(name(id), e))?;
            changes.push(Change::put(Table::Session, key(session.id), bytes));
        }
    }
    Ok(())
}

async fn plan_cursors(core: &Core, cursors: &[Cursor], changes: &mut Vec<Change>) -> Result<(), Trouble> {
    let mut furthest = std::collections::BTreeMap::new();
    for cursor in cursors {
        let place = furthest.entry((cursor.user, cursor.device, cursor.room)).or_insert(cursor.seq);
        *place = cursor.seq.max(*place);
    }
    let old = furthest.keys().map(|(user, device, room)| {
        core.cql.row::<(i64,)>(S::CursorAt, vec![uuid(user.bytes()), uuid(device.bytes()), uuid(room.bytes())])
    });
    let old = try_join_all(old).await?;
    for (((user, device, room), seq), old) in furthest.into_iter().zip(old) {
        if old.is_none_or(|(old,)| unsigned(old) < seq.0) {
            let key = joined(&[user.bytes(), device.bytes(), room.bytes()]);
            let bytes = record::encode(&key, &StoredCursor { seq: seq.0 }).map_err(|e| damaged(name(user), e))?;
            changes.push(Change::put(Table::Cursor, key, bytes));
        }
    }
    Ok(())
}

async fn seal(core: &Core, user: &User) -> Result<StoredUser, Trouble> {
    let id = user.id;
    let key = core.ring.person_or_new(&core.cql, id).await?;
    let seal = |field, text: &str| {
        let place = Place { owner: *id.bytes(), seq: Seq(0), field };
        key.seal(place, nonce()?, text).map_err(|e| damaged(name(id), e))
    };
    let username = seal(Field::Username, &user.username)?;
    let display_name = seal(Field::DisplayName, &user.display_name)?;
    let external = match &user.external {
        Some((issuer, subject)) => Some((seal(Field::Issuer, issuer)?, seal(Field::Subject, subject)?)),
        None => None,
    };
    Ok(StoredUser::of(user, username, display_name, external))
}

/// A user's record, with the names opened.
pub(super) async fn open(core: &Core, id: UserId, stored: &StoredUser) -> Result<User, Trouble> {
    let key = core.ring.person(&core.cql, id).await?;
    let open = |field, sealed: &[u8]| {
        let place = Place { owner: *id.bytes(), seq: Seq(0), field };
        key.open(place, sealed).map_err(|e| damaged(name(id), e))
    };
    let username = open(Field::Username, &stored.username)?;
    let display_name = open(Field::DisplayName, &stored.display_name)?;
    let external = match &stored.external {
        Some((issuer, subject)) => Some((open(Field::Issuer, issuer)?, open(Field::Subject, subject)?)),
        None => None,
    };
    Ok(stored.user(id, username, display_name, external))
}

/// A user's own record.
pub(super) async fn record_of(core: &Core, id: UserId) -> Result<Option<User>, Trouble> {
    match stored(core, id).await? {
        Some(stored) => open(core, id, &stored).await.map(Some),
        None => Ok(None),
    }
}

/// All sessions, by their ids.
pub(super) async fn sessions(core: &Core, id: UserId) -> Result<Vec<Session>, Trouble> {
    let rows = core.cql.rows::<(Uuid, Vec<u8>)>(S::Sessions, vec![uuid(id.bytes())]).await?;
    let session = |(session, bytes): (Uuid, Vec<u8>)| {
        let session = SessionId(session);
        let stored = record::decode::<StoredSession>(&joined(&[id.bytes(), session.bytes()]), &bytes);
        stored.map(|stored| stored.session(id, session)).map_err(|e| damaged(format!("session {session}"), e))
    };
    let mut sessions = rows.into_iter().map(session).collect::<Result<Vec<_>, _>>()?;
    sessions.sort_by_key(|session| session.id);
    Ok(sessions)
}

async fn devices(core: &Core, id: UserId) -> Result<Vec<Device>, Trouble> {
    let rows = core.cql.rows::<(Uuid, Vec<u8>)>(S::Devices, vec![uuid(id.bytes())]).await?;
    let device = |(device, bytes): (Uuid, Vec<u8>)| {
        let device = DeviceId(device);
        let stored = record::decode::<StoredDevice>(&joined(&[id.bytes(), device.bytes()]), &bytes);
        stored.map(|stored| stored.device(id, device)).map_err(|e| damaged(format!("device {device}"), e))
    };
    let mut devices = rows.into_iter().map(device).collect::<Result<Vec<_>, _>>()?;
    devices.sort_by_key(|device| device.id);
    Ok(devices)
}

async fn rooms(core: &Core, id: UserId) -> Result<Vec<RoomId>, Trouble> {
    let rows = core.cql.rows::<(Uuid,)>(S::RoomsOf, vec![uuid(id.bytes())]).await?;
    let mut rooms: Vec<_> = rows.into_iter().map(|(room,)| RoomId(room)).collect();
    rooms.sort_unstable();
    Ok(rooms)
}

/// The rooms a user is in, by their ids.
pub(super) async fn rooms_of(core: &Core, id: UserId) -> Result<Vec<RoomId>, Trouble> {
    rooms(core, id).await
}

/// A user as the owner's shard needs it.
pub(super) async fn loaded(core: &Core, id: UserId, facts: &Facts) -> Result<LoadedUser, Trouble> {
    let (user, sessions, devices, rooms) =
        tokio::try_join!(open(core, id, &facts.record), sessions(core, id), devices(core, id), rooms(core, id))?;
    let (stream_head, stream_first) = (facts.stream_head, facts.stream_first);
    Ok(LoadedUser { user, sessions, devices, rooms, stream_head, stream_first })
}

/// Exchanges a refresh token.
pub(super) async fn rotate(
    core: &Core,
    known: Option<&Facts>,
    (user, id): (UserId, SessionId),
    (presented, next): ([u8; 32], [u8; 32]),
    (at, expires_at): (WallTime, WallTime),
) -> Result<Outcome, Trouble> {
    let Some(facts) = known else { return Ok(Outcome::NotFound) };
    let found = sessions(core, user).await?.into_iter().find(|session| session.id == id);
    let Some(session) = found else { return Ok(Outcome::NotFound) };
    let valid_from = WallTime(facts.record.sessions_valid_from);
    let outcome = rules::rotate(valid_from, session, presented, next, at, expires_at);
    if let Outcome::Rotated(session) | Outcome::Reused(session) = &outcome {
        let key = joined(&[user.bytes(), id.bytes()]);
        let bytes = record::encode(&key, &StoredSession::from(&**session)).map_err(|e| damaged(name(user), e))?;
        write_rows(core, &[Change::put(Table::Session, key, bytes)], core.lease.stamp()?).await?;
        core.lease.check()?;
    }
    Ok(outcome)
}

/// Entries of a user stream.
pub(super) async fn stream(
    core: &Core,
    user: UserId,
    after: Seq,
    limit: usize,
) -> Result<Vec<crate::base::StreamEvent>, Trouble> {
    let limit = i32::try_from(limit.min(usize::try_from(STREAM_EVENTS_MAX).unwrap_or(usize::MAX))).unwrap_or(i32::MAX);
    if limit == 0 {
        return Ok(Vec::new());
    }
    let rows = core.cql.rows::<(i64, Vec<u8>)>(S::Stream, vec![uuid(user.bytes()), big(after.0), int(limit)]).await?;
    let mut entries: Vec<crate::base::StreamEvent> = Vec::with_capacity(rows.len());
    for (seq, bytes) in rows {
        let seq = Seq(unsigned(seq));
        let what = || format!("entry {seq} of the stream of user {user}");
        let stored = record::decode::<StoredStream>(&numbered(user.bytes(), seq), &bytes);
        let entry = stored.and_then(|stored| stored.event(user, seq)).map_err(|e| damaged(what(), e))?;
        // Dense among themselves; what comes before the first may have been removed.
        if entries.last().is_some_and(|before| before.seq.next() != seq) {
            return Err(damaged(what(), "the one before it is missing"));
        }
        entries.push(entry);
    }
    Ok(entries)
}
