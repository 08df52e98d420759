//! Rooms: listed, made, looked at, changed, removed; coming in and going out.

use axum::extract::State;
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::base::limits::ROOM_NAME_CHARS_MAX;
use crate::base::text::{check_line, fold_name};
use crate::base::{ClientId, Code, Epoch, Number, Role, RoomId, RoomType, UserId};
use crate::chat::{Actor, RoomChange, RoomCommand, RoomEntry, RoomReply, RoomSpec};
use crate::store::{Answer, NameKey, NameKind, Query};
use crate::wire::native::check_metadata;
use crate::wire::native::json::{Object, Stamp};
use crate::wire::native::shape::RoomShape;

use super::extract::{Caller, Ids, JsonBody, OptionalKey, Params};
use super::page::{PageParams, cut};
use super::{Problem, Reply, RestState, users};

/// Members that may be named when a room is made.
const FIRST_MEMBERS_MAX: usize = 100;
/// Days that a room may ask its messages to be kept.
const RETENTION_DAYS_MAX: u32 = 36_500;
/// Questions to rooms that one request has under way.
const ASKS_AT_ONCE: usize = 16;

/// The routes of rooms.
pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(describe, change, destroy))
        .routes(routes!(join))
        .routes(routes!(leave))
}

/// A room in a list: what stands in its record. The state of its log is in the room itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListedRoom<'a> {
    #[schema(value_type = Uuid)]
    room_id: RoomId,
    /// Absent in a direct room.
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schema(required = false)]
    name: &'a str,
    #[serde(rename = "type")]
    kind: RoomType,
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schema(required = false)]
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Map<String, serde_json::Value>>)]
    metadata: Option<Object<'a>>,
    /// Your own role; absent when you are not in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    /// The other one, in a direct room.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    peer: Option<UserId>,
    /// How many are in it.
    members: usize,
    #[schema(value_type = u32)]
    epoch: Epoch,
    /// Your own read marker.
    #[schema(value_type = u64)]
    read_number: Number,
    #[schema(value_type = String, format = DateTime)]
    created_at: Stamp,
    /// Days that messages are kept here; absent: as the server is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_days: Option<u32>,
}

/// A page of rooms.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoomPage<'a> {
    rooms: Vec<ListedRoom<'a>>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    cursor: Option<RoomId>,
}

/// Public rooms and your own, ascending by id.
#[utoipa::path(get, path = "/api/v1/chat/rooms", operation_id = "list_rooms", tag = "rooms", params(PageParams),
    responses((status = 200, description = "A page of rooms.", body = RoomPage<'_>)))]
async fn list(
    State(state): State<RestState>,
    caller: Caller,
    Params(page): Params<PageParams>,
) -> Result<Reply, Problem> {
    let (limit, after) = page.get()?;
    let query = Query::ListRooms { user: caller.actor.user, after: after.map(RoomId), limit: limit + 1 };
    let Answer::RoomList(mut found) = state.gateway.read(query).await? else {
        return Err(Problem::unexpected("the store"));
    };
    let more = cut(&mut found, limit);
    // Only a direct room's members say who the other one is.
    let direct: Vec<_> = found.iter().map(|(room, ..)| (room.kind == RoomType::Direct).then_some(room.id)).collect();
    let actor = caller.actor;
    let peers: Vec<Option<UserId>> = stream::iter(direct)
        .map(|direct| {
            let state = state.clone();
            async move { entry(&state, direct?, actor).await.ok()?.peer }
        })
        .buffered(ASKS_AT_ONCE)
        .collect()
        .await;
    let rooms = found
        .iter()
        .zip(peers)
        .map(|((room, member, members), peer)| ListedRoom {
            room_id: room.id,
            name: &room.name,
            kind: room.kind,
            description: &room.description,
            metadata: (!room.metadata.is_empty()).then_some(Object(&room.metadata)),
            role: member.as_ref().filter(|member| member.active()).map(|member| member.role),
            peer,
            members: *members,
            epoch: room.epoch,
            read_number: member.as_ref().map_or(Number(0), |member| member.read_number),
            created_at: Stamp(room.created_at),
            retention_days: room.retention_days,
        })
        .collect();
    let cursor = found.last().filter(|_| more).map(|(room, _, _)| room.id);
    Ok(Reply::ok(&RoomPage { rooms, cursor }))
}

/// A room to be made.
#[derive(Debug, Deserialize, ToSchema)]
pub struct NewRoom {
    #[serde(rename = "type")]
    kind: RoomType,
    /// Unique on this server; 1 to 80 characters on one line. Not for a direct room.
    #[schema(max_length = 80)]
    name: Option<String>,
    /// At most 1,000 characters.
    #[schema(max_length = 1000)]
    description: Option<String>,
    /// Who is in it from the start beside yourself; exactly one for a direct room.
    #[schema(value_type = Option<Vec<Uuid>>, max_items = 100)]
    members: Option<Vec<UserId>>,
    /// An object of at most 4 KiB, kept as it is.
    #[schema(value_type = Option<serde_json::Map<String, serde_json::Value>>)]
    metadata: Option<Box<RawValue>>,
}

/// Makes a room. There is one direct room a pair, whoever starts: an existing one is answered with 200. With an
/// `Idempotency-Key` a repeated request answers with the room that the first one made.
#[utoipa::path(post, path = "/api/v1/chat/rooms", operation_id = "create_room", tag = "rooms", request_body = NewRoom,
    params(("Idempotency-Key" = Option<Uuid>, Header, description = "A fresh UUIDv7; the same for a retry.")),
    responses((status = 201, description = "The new room.", body = RoomShape<'_>),
        (status = 200, description = "The room, which was there already.", body = RoomShape<'_>)))]
async fn create(
    State(state): State<RestState>,
    caller: Caller,
    OptionalKey(key): OptionalKey,
    JsonBody(new): JsonBody<NewRoom>,
) -> Result<Reply, Problem> {
    let me = caller.actor.user;
    let mut members = new.members.unwrap_or_default();
    if members.len() > FIRST_MEMBERS_MAX {
        let detail = format!("members: at most {FIRST_MEMBERS_MAX} at once; add the others afterwards.");
        return Err(Problem::because(Code::BadRequest, detail).field("members"));
    }
    members.retain(|member| *member != me);
    members.sort_unstable();
    members.dedup();
    let spec = RoomSpec {
        kind: new.kind,
        name: String::new(),
        name_key: None,
        description: new.description.unwrap_or_default(),
        metadata: metadata(new.metadata.as_deref())?,
        members,
    };
    let (id, spec) = match new.kind {
        RoomType::Direct => {
            if new.name.is_some_and(|name| !name.is_empty()) {
                return Err(Problem::because(Code::BadName, "name: a direct room has none.").field("name"));
            }
            let [other] = spec.members[..] else {
                let detail = "members: a direct room needs exactly one, who is not yourself.";
                return Err(Problem::because(Code::BadRequest, detail).field("members"));
            };
            (RoomId(Uuid::new_v8(state.gateway.backend().pair_key(me, other))), spec)
        }
        RoomType::Public | RoomType::Private => {
            let (name, name_key) = room_name(&state, new.name.unwrap_or_default())?;
            let id = key.map_or_else(Uuid::now_v7, |key| keyed_id(me, key));
            (RoomId(id), RoomSpec { name, name_key: Some(name_key), ..spec })
        }
    };
    users::must_exist(&state, spec.members.clone(), "members").await?;
    let (kind, folded) = (spec.kind, fold_name(&spec.name));
    let reply = match state.gateway.room(id, caller.actor, RoomCommand::Create(Box::new(spec))).await {
        // Taken by the very room that this request made before?
        Err(problem) if key.is_some() && problem.code() == Code::NameTaken => {
            let Ok(entry) = entry(&state, id, caller.actor).await else { return Err(problem) };
            RoomReply::Entry { entry: Box::new(entry), created: false, joined: false }
        }
        other => other?,
    };
    let RoomReply::Entry { entry, created, .. } = reply else { return Err(Problem::unexpected("a room")) };
    if entry.kind != kind || fold_name(&entry.name) != folded {
        return Err(Problem::from(Code::IdReused).field("Idempotency-Key"));
    }
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let reply = Reply::new(status, &RoomShape::from(&*entry));
    Ok(match HeaderValue::from_str(&format!("/api/v1/chat/rooms/{id}")) {
        Ok(location) if created => reply.header(header::LOCATION, location),
        _ => reply,
    })
}

/// The id of the room that `user` makes with this key: always the same one.
fn keyed_id(user: UserId, key: ClientId) -> Uuid {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(b"room\0");
    context.update(user.bytes());
    context.update(key.bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&context.finish().as_ref()[..16]);
    Uuid::new_v8(bytes)
}

/// A checked name with the key it is unique by.
fn room_name(state: &RestState, name: String) -> Result<(String, NameKey), Problem> {
    check_line(&name, ROOM_NAME_CHARS_MAX)
        .map_err(|why| Problem::because(Code::BadName, format!("name: {why}.")).field("name"))?;
    let key = name_key(state, &name);
    Ok((name, key))
}

fn name_key(state: &RestState, name: &str) -> NameKey {
    state.gateway.backend().name_key(NameKind::Room, &fold_name(name))
}

/// Checked metadata as text; empty for none.
pub(super) fn metadata(raw: Option<&RawValue>) -> Result<String, Problem> {
    Ok(raw.map_or(Ok(String::new()), |raw| check_metadata(raw.get()))?)
}

/// The room as the actor sees it.
///
/// # Errors
/// `room_not_found`, for a private room that the actor is not in as well.
pub(super) async fn entry(state: &RestState, room: RoomId, actor: Actor) -> Result<RoomEntry, Problem> {
    let RoomReply::Entry { entry, .. } = state.gateway.room(room, actor, RoomCommand::Describe).await? else {
        return Err(Problem::unexpected("a room"));
    };
    Ok(*entry)
}

/// The room as it is now: from the answer, or asked for.
async fn shown(state: &RestState, room: RoomId, actor: Actor, reply: RoomReply) -> Result<Reply, Problem> {
    let now = if let RoomReply::Entry { entry, .. } = reply { *entry } else { entry(state, room, actor).await? };
    Ok(Reply::ok(&RoomShape::from(&now)))
}

/// A room, as you see it.
#[utoipa::path(get, path = "/api/v1/chat/rooms/{room_id}", operation_id = "get_room", tag = "rooms",
    params(("room_id" = Uuid, Path, description = "The room.")),
    responses((status = 200, description = "The room.", body = RoomShape<'_>)))]
async fn describe(State(state): State<RestState>, caller: Caller, Ids(room): Ids<RoomId>) -> Result<Reply, Problem> {
    Ok(Reply::ok(&RoomShape::from(&entry(&state, room, caller.actor).await?)))
}

/// What is to be different in a room.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ChangeRoom {
    /// Unique on this server; 1 to 80 characters on one line.
    #[schema(max_length = 80)]
    name: Option<String>,
    /// At most 1,000 characters; empty takes it away.
    #[schema(max_length = 1000)]
    description: Option<String>,
    /// An object of at most 4 KiB, kept as it is; `{}` takes it away.
    #[schema(value_type = Option<serde_json::Map<String, serde_json::Value>>)]
    metadata: Option<Box<RawValue>>,
    /// Days that messages are kept here; `null`: as the server is configured.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 36500)]
    #[allow(clippy::option_option)] // As it was, as configured, or so many days.
    retention_days: Option<Option<u32>>,
}

/// Tells `null` from a field that is not there.
#[allow(clippy::option_option)]
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(reader).map(Some)
}

/// Changes a room. What is left out stays as it is. For owners.
#[utoipa::path(patch, path = "/api/v1/chat/rooms/{room_id}", operation_id = "change_room", tag = "rooms",
    request_body = ChangeRoom, params(("room_id" = Uuid, Path, description = "The room.")),
    responses((status = 200, description = "The room as it is now.", body = RoomShape<'_>)))]
async fn change(
    State(state): State<RestState>,
    caller: Caller,
    Ids(room): Ids<RoomId>,
    JsonBody(change): JsonBody<ChangeRoom>,
) -> Result<Reply, Problem> {
    if let Some(Some(days)) = change.retention_days
        && !(1..=RETENTION_DAYS_MAX).contains(&days)
    {
        let detail = format!("retention_days: from 1 to {RETENTION_DAYS_MAX}, or null.");
        return Err(Problem::because(Code::BadRequest, detail).field("retention_days"));
    }
    // The key of the present name goes with the change: nobody may rename the room between.
    let _alone = state.alone(room.bytes()).await;
    let present = entry(&state, room, caller.actor).await?;
    let name = change.name.map(|name| room_name(&state, name)).transpose()?;
    if name.is_some() && present.kind == RoomType::Direct {
        return Err(Problem::because(Code::BadName, "name: a direct room has none.").field("name"));
    }
    let wanted = RoomChange {
        old_name_key: name.as_ref().map(|_| name_key(&state, &present.name)),
        name,
        description: change.description,
        metadata: change.metadata.as_deref().map(|raw| metadata(Some(raw))).transpose()?,
        retention_days: change.retention_days,
    };
    if wanted == RoomChange::default() {
        return Ok(Reply::ok(&RoomShape::from(&present)));
    }
    let reply = state.gateway.room(room, caller.actor, RoomCommand::Change(Box::new(wanted))).await?;
    shown(&state, room, caller.actor, reply).await
}

/// Removes a room with all that was said in it. For owners, and for administrators where the room is public.
#[utoipa::path(delete, path = "/api/v1/chat/rooms/{room_id}", operation_id = "delete_room", tag = "rooms",
    params(("room_id" = Uuid, Path, description = "The room.")),
    responses((status = 204, description = "It is gone.")))]
async fn destroy(State(state): State<RestState>, caller: Caller, Ids(room): Ids<RoomId>) -> Result<Reply, Problem> {
    let _alone = state.alone(room.bytes()).await;
    let present = entry(&state, room, caller.actor).await?;
    let name_key = (present.kind != RoomType::Direct).then(|| name_key(&state, &present.name));
    state.gateway.room(room, caller.actor, RoomCommand::Destroy { name_key }).await?;
    tracing::info!(target: "audit", what = "room_removed", user = %caller.actor.user, %room, admin = caller.actor.admin);
    Ok(Reply::empty())
}

/// Comes into a public room. Being in it already is fine.
#[utoipa::path(post, path = "/api/v1/chat/rooms/{room_id}/join", operation_id = "join_room", tag = "rooms",
    params(("room_id" = Uuid, Path, description = "The room.")),
    responses((status = 200, description = "The room, with your role.", body = RoomShape<'_>)))]
async fn join(State(state): State<RestState>, caller: Caller, Ids(room): Ids<RoomId>) -> Result<Reply, Problem> {
    let reply = state.gateway.room(room, caller.actor, RoomCommand::Join).await?;
    shown(&state, room, caller.actor, reply).await
}

/// Goes out of a room.
#[utoipa::path(post, path = "/api/v1/chat/rooms/{room_id}/leave", operation_id = "leave_room", tag = "rooms",
    params(("room_id" = Uuid, Path, description = "The room.")),
    responses((status = 204, description = "You are out.")))]
async fn leave(State(state): State<RestState>, caller: Caller, Ids(room): Ids<RoomId>) -> Result<Reply, Problem> {
    state.gateway.room(room, caller.actor, RoomCommand::Leave).await?;
    Ok(Reply::empty())
}
