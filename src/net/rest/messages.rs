//! What is said in a room: read in pages, said, taken back. A message looks as it does in a frame.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::base::limits::{FRAME_BYTES_MAX, PAGE_ROWS_MAX};
use crate::base::text::check_content;
use crate::base::{Code, Event, EventKind, EventStatus, MessageId, RoomId, Seq};
use crate::chat::{RoomCommand, RoomReply, UserCommand};
use crate::wire::native::server::{EventJson, page_shape};

use super::extract::{Caller, IdempotencyKey, Ids, JsonBody, OptionalKey, Params};
use super::{Problem, Reply, RestState, page, rooms};

/// The routes of messages.
pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(history, send))
        .routes(routes!(delete))
        .layer(DefaultBodyLimit::max(FRAME_BYTES_MAX))
}

/// Which part of a room's log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryParams {
    /// Events before this seq, the newest of them.
    #[param(minimum = 0, maximum = 281_474_976_710_655_u64)]
    before: Option<u64>,
    /// Events after this seq, the oldest of them.
    #[param(minimum = 0, maximum = 281_474_976_710_655_u64)]
    after: Option<u64>,
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<u32>,
}

/// A page of the room's log, ascending by seq; without `before` and `after` the newest.
#[utoipa::path(get, path = "/api/v1/chat/rooms/{room_id}/messages", operation_id = "get_messages", tag = "messages",
    params(("room_id" = Uuid, Path, description = "The room."), HistoryParams),
    responses((status = 200, description = "A page.", body = super::contract::PageSchema)))]
async fn history(
    State(state): State<RestState>,
    caller: Caller,
    Ids(room): Ids<RoomId>,
    Params(asked): Params<HistoryParams>,
) -> Result<Reply, Problem> {
    let limit = u32::try_from(page::limit(asked.limit, PAGE_ROWS_MAX)?).unwrap_or(u32::MAX);
    let before = asked.before.map(|n| seq(n, "before")).transpose()?;
    let after = asked.after.map(|n| seq(n, "after")).transpose()?;
    let command = RoomCommand::History { before, after, limit };
    let RoomReply::Page(page) = state.gateway.room(room, caller.actor, command).await? else {
        return Err(Problem::unexpected("a room"));
    };
    Ok(Reply::ok(&page_shape(&page)))
}

/// A seq that can be.
fn seq(number: u64, field: &str) -> Result<Seq, Problem> {
    if number <= Seq::MAX.0 {
        return Ok(Seq(number));
    }
    Err(Problem::because(Code::BadRequest, format!("{field}: no seq is that large.")).field(field))
}

/// Something to be said.
#[derive(Debug, Deserialize, ToSchema)]
pub struct NewMessage {
    /// 1 to 4,096 characters, not only white space, without control characters but newline and tab.
    #[schema(min_length = 1, max_length = 4096)]
    content: String,
    /// An object of at most 4 KiB, kept as it is.
    #[schema(value_type = Option<serde_json::Map<String, serde_json::Value>>)]
    metadata: Option<Box<RawValue>>,
}

/// Says something: durable when answered. The `Idempotency-Key` is the message's own id; a retry with the same key and the
/// same body gets the first answer again, with status 200.
#[utoipa::path(post, path = "/api/v1/chat/rooms/{room_id}/messages", operation_id = "send_message", tag = "messages",
    request_body = NewMessage,
    params(("room_id" = Uuid, Path, description = "The room."),
        ("Idempotency-Key" = Uuid, Header, description = "A fresh UUIDv7 for each message; the same for a retry.")),
    responses((status = 201, description = "It is said, in the form of a frame.", body = super::contract::MessageSchema),
        (status = 200, description = "It had been said before.", body = super::contract::MessageSchema)))]
async fn send(
    State(state): State<RestState>,
    caller: Caller,
    Ids(room): Ids<RoomId>,
    IdempotencyKey(client_id): IdempotencyKey,
    JsonBody(new): JsonBody<NewMessage>,
) -> Result<Reply, Problem> {
    let content = new.content;
    check_content(&content)
        .map_err(|why| Problem::because(Code::BadContent, format!("content: {why}.")).field("content"))?;
    let metadata = rooms::metadata(new.metadata.as_deref())?;
    let user = caller.actor.user;
    state.gateway.user(user, UserCommand::Spend).await?;
    let command = RoomCommand::Post { client_id, content: content.clone(), metadata: metadata.clone() };
    let RoomReply::Posted { epoch, seq, number, at, duplicate } =
        state.gateway.room(room, caller.actor, command).await.map_err(keyed)?
    else {
        return Err(Problem::unexpected("a room"));
    };
    let event = Arc::new(Event {
        room,
        epoch,
        seq,
        number,
        user,
        at,
        kind: EventKind::Message,
        content,
        metadata,
        client_id: Some(client_id),
        status: EventStatus::Live,
    });
    let status = if duplicate { StatusCode::OK } else { StatusCode::CREATED };
    Ok(Reply::new(status, &EventJson { event: &event, id: Some(client_id) }))
}

/// What a room calls the id of a request is a header here.
fn keyed(problem: Problem) -> Problem {
    if matches!(problem.code(), Code::BadId | Code::IdReused) { problem.field("Idempotency-Key") } else { problem }
}

/// Takes a message back. One's own, or anybody's for owners and moderators. Its text is gone for good.
#[utoipa::path(delete, path = "/api/v1/chat/rooms/{room_id}/messages/{message_id}", operation_id = "delete_message",
    tag = "messages",
    params(("room_id" = Uuid, Path, description = "The room."),
        ("message_id" = String, Path, description = "The message's id, or its seq."),
        ("Idempotency-Key" = Option<Uuid>, Header, description = "A fresh UUIDv7; the same for a retry.")),
    responses((status = 204, description = "It is taken back.")))]
async fn delete(
    State(state): State<RestState>,
    caller: Caller,
    Ids((room, message)): Ids<(RoomId, String)>,
    OptionalKey(client_id): OptionalKey,
) -> Result<Reply, Problem> {
    let target = if let Ok(number) = message.parse::<u64>() {
        Some(number).filter(|n| (1..=Seq::MAX.0).contains(n)).map(Seq)
    } else if let Ok(id) = message.parse::<Uuid>() {
        MessageId(id).seq_in(room)
    } else {
        let detail = "The message's id in the address is neither a UUID nor a seq.";
        return Err(Problem::because(Code::BadRequest, detail).field("message_id"));
    };
    let Some(seq) = target else {
        // First the room: who may not know of it learns nothing of its messages either.
        rooms::entry(&state, room, caller.actor).await?;
        return Err(Code::MessageNotFound.into());
    };
    state.gateway.room(room, caller.actor, RoomCommand::Delete { seq, client_id }).await.map_err(keyed)?;
    Ok(Reply::empty())
}
