//! `/api/openapi.json`: made from the handlers and types themselves, with what holds for all of them added in one place.

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;
use utoipa::{PartialSchema as _, ToSchema};
use uuid::Uuid;

use crate::base::{Code, Seq};
use crate::wire::native::json::to_string;

use super::problem::ProblemBody;

/// A message (or another event of the room's log), as it stands in frames.
#[derive(Debug, ToSchema)]
#[schema(as = Message)]
#[allow(dead_code)] // Stands for what `wire` writes in one pass; a test holds the two together.
pub struct MessageSchema {
    /// `chat` for messages; `join`, `leave`, `delete` and `system` for the rest.
    #[schema(rename = "type")]
    kind: String,
    /// The client's own id of the send; in the answer to a send only.
    id: Option<Uuid>,
    /// RFC 3339 in UTC with milliseconds.
    #[schema(format = DateTime)]
    timestamp: String,
    /// Who did it; of `join` and `leave` who came or went.
    user_id: Uuid,
    room_id: Uuid,
    /// A UUIDv8 that carries the seq.
    message_id: Uuid,
    /// The event's place in the room's log.
    #[schema(minimum = 1)]
    seq: u64,
    /// The text, exactly as written; absent when the message was taken back.
    content: Option<String>,
    metadata: MessageMetadata,
}

/// What else is known of an event: the sender's own keys beside those of the server.
#[derive(Debug, ToSchema)]
#[allow(dead_code)]
pub struct MessageMetadata {
    /// Number of the newest message up to this event.
    number: u64,
    epoch: u32,
    /// `text` or `system`.
    message_type: String,
    /// Taken back.
    deleted: Option<bool>,
}

/// What a page of a room's log looks like.
#[derive(Debug, ToSchema)]
#[schema(as = MessagePage)]
#[allow(dead_code)]
pub struct PageSchema {
    /// Ascending by seq.
    messages: Vec<MessageSchema>,
    /// The first event you may read.
    first_seq: u64,
    /// The newest event.
    last_seq: u64,
    /// Changes only when history was lost or restored.
    epoch: u32,
    /// Whether there are more in the direction asked for.
    more: bool,
}

/// What can be refused by an operation, beside what follows from its form (see [`document`]).
fn refusals(operation: &str) -> &'static [Code] {
    use Code::{
        AuthExternal, BadContent, BadCredentials, BadId, BadMetadata, BadName, BadOrigin, BadPassword, IdReused,
        LastOwner, MessageNotFound, NameTaken, NotAllowed, NotAuthenticated, NotFound, NotMember, RateLimited,
        RoomFull, RoomNotFound, SessionEnded, SignupClosed, Suspended, TooManyAttempts, TooManyRooms, UserNotFound,
    };
    match operation {
        "change_me" => &[BadName, UserNotFound],
        "get_user" => &[UserNotFound],
        "create_room" => {
            &[BadName, BadMetadata, BadId, NameTaken, IdReused, UserNotFound, TooManyRooms, RoomFull, NotAllowed]
        }
        "get_room" => &[RoomNotFound],
        "change_room" => &[RoomNotFound, BadName, BadMetadata, NameTaken, NotAllowed, NotMember],
        "delete_room" => &[RoomNotFound, NotAllowed, NotMember],
        "join_room" => &[RoomNotFound, NotAllowed, TooManyRooms, RoomFull],
        "leave_room" => &[RoomNotFound, NotAllowed, NotMember, LastOwner],
        "list_participants" | "get_messages" => &[RoomNotFound, NotMember],
        "add_participant" => &[RoomNotFound, UserNotFound, NotAllowed, NotMember, LastOwner, TooManyRooms, RoomFull],
        "set_role" | "remove_participant" => &[RoomNotFound, UserNotFound, NotAllowed, NotMember, LastOwner],
        "send_message" => &[RoomNotFound, NotMember, BadContent, BadMetadata, BadId, IdReused, RateLimited],
        "delete_message" => &[RoomNotFound, MessageNotFound, NotMember, NotAllowed, BadId, IdReused],
        "signup" => &[AuthExternal, SignupClosed, BadName, BadPassword, NameTaken, TooManyAttempts, BadOrigin],
        "login" => &[AuthExternal, BadCredentials, Suspended, TooManyAttempts, BadOrigin],
        "refresh" => &[AuthExternal, NotAuthenticated, SessionEnded, Suspended, TooManyAttempts, BadOrigin],
        "change_password" => &[AuthExternal, BadCredentials, BadPassword, TooManyAttempts],
        "end_session" => &[NotFound],
        "create_invite" => &[AuthExternal, NotAllowed],
        _ => &[],
    }
}

/// Operations for people who are not signed in yet.
pub(super) const OPEN: &[&str] = &["signup", "login", "refresh"];

/// A document as text. A mistake in a type's schema would make it impossible to write; then the log says so and there is none.
pub(super) fn text(document: Result<Value, serde_json::Error>) -> Option<String> {
    document
        .and_then(|document| to_string(&document))
        .inspect_err(|error| tracing::error!(%error, "the contract cannot be written"))
        .ok()
}

/// The document, from what the routes say of themselves.
///
/// # Errors
/// When it cannot be written as JSON, which would be a mistake in a type's schema.
pub fn document(api: OpenApi) -> Result<Value, serde_json::Error> {
    let mut doc = serde_json::to_value(api)?;
    doc["info"] = json!({
        "title": "Causerie",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Real-time chat. Sign in with `auth/login`, send the access token as `Authorization: Bearer`. Live events come over the WebSocket at `/ws/chat`, described in `/api/asyncapi.json`. Every answer that is not a success is `application/problem+json` with a stable `code`.",
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    doc["servers"] = json!([{ "url": "/" }]);
    doc["security"] = json!([{ "bearer": [] }]);
    doc["components"]["securitySchemes"] =
        json!({ "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } });
    // The sender's own keys stand beside the server's.
    doc["components"]["schemas"]["MessageMetadata"]["additionalProperties"] = json!(true);
    refine(&mut doc["components"]["schemas"]);
    let mut problem = serde_json::to_value(ProblemBody::schema())?;
    problem["properties"]["code"]["enum"] = Code::ALL.iter().map(|code| code.name()).collect();
    doc["components"]["schemas"]["Problem"] = problem;
    let paths = doc["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        complete(operation);
    }
    Ok(doc)
}

/// A UUIDv7 in its usual form.
const UUID_V7: &str = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";
/// One line that is not only white space, without control characters.
const LINE: &str = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";
/// The same over several lines: newlines and tabs are allowed.
const TEXT: &str = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x08\x0b-\x1f\x7f-\x9f]*$";

/// What the checks of texts hold and derived schemas cannot say.
fn refine(schemas: &mut Value) {
    for (schema, field, pattern) in [
        ("NewRoom", "name", LINE),
        ("ChangeRoom", "name", LINE),
        ("ChangeMe", "display_name", LINE),
        ("NewMessage", "content", TEXT),
    ] {
        let field = &mut schemas[schema]["properties"][field];
        field["pattern"] = json!(pattern);
        field["minLength"] = json!(1);
    }
    for schema in ["SignupBody", "LoginBody"] {
        schemas[schema]["properties"]["device_id"]["format"] = json!("uuid");
    }
    schemas["NewRoom"]["if"] = json!({ "properties": { "type": { "const": "direct" } } });
    schemas["NewRoom"]["then"] = json!({
        "required": ["members"],
        "properties": { "members": { "type": "array", "minItems": 1, "maxItems": 1 }, "name": { "maxLength": 0 } },
    });
    schemas["NewRoom"]["else"] = json!({ "required": ["name"], "properties": { "name": { "type": "string" } } });
}

/// Adds to one operation what follows from its form and what it may refuse.
fn complete(operation: &mut Value) {
    let name = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let mut codes = vec![Code::Busy, Code::Draining, Code::StorageUnavailable, Code::Internal];
    codes.extend(refusals(&name));
    if OPEN.contains(&name.as_str()) {
        operation["security"] = json!([]);
    } else {
        codes.extend([Code::NotAuthenticated, Code::TokenExpired, Code::SessionEnded, Code::Suspended]);
    }
    if operation.get("requestBody").is_some() {
        codes.extend([Code::BadJson, Code::BadRequest, Code::TooLarge, Code::UnsupportedMediaType, Code::Timeout]);
    } else if operation.get("parameters").is_some() {
        codes.push(Code::BadRequest);
    }
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        match parameter["name"].as_str() {
            Some("Idempotency-Key") => {
                parameter["schema"] = json!({ "type": "string", "format": "uuid", "pattern": UUID_V7 });
            }
            Some("message_id") => {
                let seq = json!({ "type": "integer", "minimum": 1, "maximum": Seq::MAX.0 });
                parameter["schema"] = json!({ "anyOf": [{ "type": "string", "format": "uuid" }, seq] });
            }
            _ => {}
        }
    }
    codes.sort_by_key(|code| (code.status(), code.name()));
    codes.dedup();
    for group in codes.chunk_by(|a, b| a.status() == b.status()) {
        let names: Vec<String> = group.iter().map(|code| format!("`{}`: {}", code.name(), code.sentence())).collect();
        operation["responses"][group[0].status().to_string()] = json!({
            "description": names.join("\n\n"),
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
        });
    }
}
