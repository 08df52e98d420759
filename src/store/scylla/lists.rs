//! Reads over many users and rooms: look-ups, lists, the server's own settings.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::core::{Core, SIDE_BY_SIDE};
use super::cql::{Trouble, damaged, text, unsigned, uuid};
use super::names;
use super::statements::S;
use super::{read, room, user};
use crate::base::{DeviceId, Member, Profile, Room, RoomId, Seq, User, UserId};
use crate::store::record::{self, StoredBytes};
use crate::store::{Cursor, NameKey};

/// The user who holds a name.
pub(super) async fn user_by_name(core: &Core, name: &NameKey) -> Result<Option<User>, Trouble> {
    match names::holder(core, &name.0).await? {
        // Taken for somebody who is just being made, or was not: then there is no such user.
        Some(holder) if holder.user => user::record_of(core, UserId(Uuid::from_bytes(holder.holder))).await,
        Some(_) | None => Ok(None),
    }
}

/// What others may see of these users.
pub(super) async fn profiles(core: &Core, users: &[UserId]) -> Result<Vec<Option<Profile>>, Trouble> {
    let profile = |user: UserId| async move { Ok(user::record_of(core, user).await?.map(|user| user.profile())) };
    stream::iter(users.iter().copied().map(profile)).buffered(SIDE_BY_SIDE).try_collect().await
}

/// Public rooms and the user's own.
pub(super) async fn rooms(
    core: &Core,
    user: UserId,
    after: Option<RoomId>,
    limit: usize,
) -> Result<Vec<(Room, Option<Member>, usize)>, Trouble> {
    let public = core.ids(S::PublicRooms, after.map(|id| *id.bytes()), limit);
    let (public, own) = tokio::try_join!(public, user::rooms_of(core, user))?;
    let public = public.into_iter().map(|id| RoomId(Uuid::from_bytes(id)));
    let own = own.into_iter().filter(|room| after.is_none_or(|after| *room > after));
    let ids: BTreeSet<RoomId> = public.chain(own).collect();
    let entry = |id: RoomId| async move {
        let (row, member) = tokio::try_join!(room::row(core, id), read::member(core, id, user))?;
        // Listed by a change that is under way: it is not there yet, or not any more.
        let Some((stored, members, _)) = row.filter(|(stored, ..)| !stored.removed) else { return Ok(None) };
        let room = read::open_room(core, id, &stored).await?;
        Ok::<_, Trouble>(Some((room, member, usize::try_from(members).unwrap_or(usize::MAX))))
    };
    let entries = stream::iter(ids.into_iter().take(limit).map(entry)).buffered(SIDE_BY_SIDE);
    let entries: Vec<Option<_>> = entries.try_collect().await?;
    Ok(entries.into_iter().flatten().collect())
}

/// Positions of a device, by their rooms.
pub(super) async fn cursors(core: &Core, user: UserId, device: DeviceId) -> Result<Vec<Cursor>, Trouble> {
    let rows = core.cql.rows::<(Uuid, i64)>(S::Cursors, vec![uuid(user.bytes()), uuid(device.bytes())]).await?;
    let cursor = |(room, seq): (Uuid, i64)| Cursor { user, device, room: RoomId(room), seq: Seq(unsigned(seq)) };
    let mut cursors: Vec<_> = rows.into_iter().map(cursor).collect();
    cursors.sort_by_key(|cursor| cursor.room);
    Ok(cursors)
}

/// A setting of the server itself.
pub(super) async fn setting(core: &Core, name: &str) -> Result<Option<Vec<u8>>, Trouble> {
    let row = core.cql.row::<(Option<Vec<u8>>,)>(S::Setting, vec![text(name)]).await?;
    let Some(kept) = row.and_then(|(value,)| value) else { return Ok(None) };
    let what = || format!("setting {name}");
    let kept = record::decode::<StoredBytes>(name.as_bytes(), &kept).map_err(|e| damaged(what(), e))?;
    core.ring.server.open_setting(name, &kept.bytes).map(Some).map_err(|e| damaged(what(), e))
}
