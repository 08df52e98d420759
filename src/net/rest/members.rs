//! Who is in a room: listed, added, given another role, put out.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::base::{Role, RoomId, Status, UserId};
use crate::chat::{RoomCommand, RoomReply};

use super::extract::{Caller, Ids, JsonBody, Params};
use super::page::PageParams;
use super::{Problem, Reply, RestState, rooms, users};

/// The routes of participants.
pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(set_role, remove))
}

/// Somebody in a room.
#[derive(Debug, Serialize, ToSchema)]
pub struct Participant {
    #[schema(value_type = Uuid)]
    user_id: UserId,
    username: String,
    display_name: String,
    role: Role,
    status: Status,
}

/// A page of participants.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParticipantPage {
    participants: Vec<Participant>,
    /// How many are in the room in all.
    total: usize,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    cursor: Option<UserId>,
}

/// Who is in the room, ascending by user, with role and presence.
#[utoipa::path(get, path = "/api/v1/chat/rooms/{room_id}/participants", operation_id = "list_participants",
    tag = "participants", params(("room_id" = Uuid, Path, description = "The room."), PageParams),
    responses((status = 200, description = "A page of participants.", body = ParticipantPage)))]
async fn list(
    State(state): State<RestState>,
    caller: Caller,
    Ids(room): Ids<RoomId>,
    Params(page): Params<PageParams>,
) -> Result<Reply, Problem> {
    let (limit, after) = page.get()?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let command = RoomCommand::Participants { after: after.map(UserId), limit };
    let RoomReply::Participants { members, total, more } = state.gateway.room(room, caller.actor, command).await?
    else {
        return Err(Problem::unexpected("a room"));
    };
    let profiles = users::profiles(&state, members.iter().map(|(user, ..)| *user).collect()).await?;
    let cursor = members.last().filter(|_| more).map(|(user, ..)| *user);
    let participants = members
        .into_iter()
        .zip(profiles)
        .map(|((user_id, role, status), profile)| {
            // A member without a record has no names, but is in the room all the same.
            let (username, display_name) = profile.map(|p| (p.username, p.display_name)).unwrap_or_default();
            Participant { user_id, username, display_name, role, status }
        })
        .collect();
    Ok(Reply::ok(&ParticipantPage { participants, total, cursor }))
}

/// Somebody to be brought in.
#[derive(Debug, Deserialize, ToSchema)]
pub struct NewParticipant {
    #[schema(value_type = Uuid)]
    user_id: UserId,
    /// `member` when left out.
    role: Option<Role>,
}

/// Somebody's place in a room.
#[derive(Debug, Serialize, ToSchema)]
pub struct Membership {
    #[schema(value_type = Uuid)]
    room_id: RoomId,
    #[schema(value_type = Uuid)]
    user_id: UserId,
    role: Role,
}

/// Brings somebody into the room. For owners and moderators. Being in it already is fine.
#[utoipa::path(post, path = "/api/v1/chat/rooms/{room_id}/participants", operation_id = "add_participant",
    tag = "participants", request_body = NewParticipant, params(("room_id" = Uuid, Path, description = "The room.")),
    responses((status = 200, description = "They are in.", body = Membership)))]
async fn add(
    State(state): State<RestState>,
    caller: Caller,
    Ids(room): Ids<RoomId>,
    JsonBody(new): JsonBody<NewParticipant>,
) -> Result<Reply, Problem> {
    // First the room: whether a user exists is nobody's business who may not know of the room.
    rooms::entry(&state, room, caller.actor).await?;
    users::must_exist(&state, vec![new.user_id], "user_id").await?;
    let role = new.role.unwrap_or(Role::Member);
    state.gateway.room(room, caller.actor, RoomCommand::Add { user: new.user_id, role }).await?;
    Ok(Reply::ok(&Membership { room_id: room, user_id: new.user_id, role }))
}

/// Another role.
#[derive(Debug, Deserialize, ToSchema)]
pub struct NewRole {
    role: Role,
}

/// Gives somebody another role. For owners.
#[utoipa::path(patch, path = "/api/v1/chat/rooms/{room_id}/participants/{user_id}", operation_id = "set_role",
    tag = "participants", request_body = NewRole,
    params(("room_id" = Uuid, Path, description = "The room."), ("user_id" = Uuid, Path, description = "Who.")),
    responses((status = 200, description = "The new role.", body = Membership)))]
async fn set_role(
    State(state): State<RestState>,
    caller: Caller,
    Ids((room, user)): Ids<(RoomId, UserId)>,
    JsonBody(NewRole { role }): JsonBody<NewRole>,
) -> Result<Reply, Problem> {
    state.gateway.room(room, caller.actor, RoomCommand::SetRole { user, role }).await?;
    tracing::info!(target: "audit", what = "role_changed", user = %caller.actor.user, %room, subject = %user, ?role);
    Ok(Reply::ok(&Membership { room_id: room, user_id: user, role }))
}

/// Puts somebody out; oneself is the same as leaving. For owners and moderators.
#[utoipa::path(delete, path = "/api/v1/chat/rooms/{room_id}/participants/{user_id}",
    operation_id = "remove_participant", tag = "participants",
    params(("room_id" = Uuid, Path, description = "The room."), ("user_id" = Uuid, Path, description = "Who.")),
    responses((status = 204, description = "They are out.")))]
async fn remove(
    State(state): State<RestState>,
    caller: Caller,
    Ids((room, user)): Ids<(RoomId, UserId)>,
) -> Result<Reply, Problem> {
    let me = user == caller.actor.user;
    let command = if me { RoomCommand::Leave } else { RoomCommand::Remove { user } };
    state.gateway.room(room, caller.actor, command).await?;
    if !me {
        tracing::info!(target: "audit", what = "member_removed", user = %caller.actor.user, %room, subject = %user);
    }
    Ok(Reply::empty())
}
