//! Which frames there are, and which fields each holds. The types of `metadata` are those of [`crate::wire::native::shape`]; the
//! `metadata` of events, which is written by hand in one pass, stands here as types beside it (a test holds the two together).

use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, schema::Schema};

use crate::base::Role;
use crate::base::id::Seq;
use crate::wire::native::shape;

/// One type of frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Its `type`.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub says: &'static str,
    /// Fields that are always there, beside `type`.
    pub required: &'static [&'static str],
    /// Fields that may be there.
    pub optional: &'static [&'static str],
    /// The type of `metadata`.
    pub metadata: Option<Metadata>,
}

/// Answers the schema of `metadata` and adds what it refers to to the named schemas.
pub type Metadata = fn(&mut Map<String, Value>) -> Value;

/// A reference to a named schema.
#[must_use]
pub fn ref_to(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn of<T: ToSchema>(named: &mut Map<String, Value>) -> Value {
    let mut all: Vec<(String, RefOr<Schema>)> = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut all);
    for (name, schema) in all {
        // A schema is plain data: it cannot fail to become JSON.
        named.insert(name, serde_json::to_value(schema).unwrap_or_default());
    }
    ref_to(&T::name())
}

/// A field of the envelope with what makes its schema.
type Field = (&'static str, fn() -> Value);

/// The fields of the envelope, beside `type` and `metadata`.
pub const FIELDS: &[Field] = &[
    (
        "id",
        || json!({ "type": "string", "format": "uuid", "description": "The client's own request id; comes back in the answer. A UUIDv7 for a chat." }),
    ),
    (
        "timestamp",
        || json!({ "type": "string", "format": "date-time", "description": "RFC 3339 in UTC with milliseconds and Z." }),
    ),
    ("user_id", || json!({ "type": "string", "format": "uuid" })),
    ("room_id", || json!({ "type": "string", "format": "uuid" })),
    (
        "message_id",
        || json!({ "type": "string", "format": "uuid", "description": "A UUIDv8 that carries the room's seq." }),
    ),
    ("seq", || json!({ "type": "integer", "minimum": 0, "maximum": Seq::MAX.0 })),
    ("content", || json!({ "type": "string" })),
];

const fn frame(
    name: &'static str,
    says: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    metadata: Option<Metadata>,
) -> Frame {
    Frame { name, says, required, optional, metadata }
}

/// Frames of clients. Any of them may carry an `id`.
pub const CLIENT: &[Frame] = &[
    frame(
        "auth",
        "First frame: the access token as content; later a new one.",
        &["content"],
        &["id", "metadata"],
        Some(of::<shape::AuthMetadata>),
    ),
    frame(
        "chat",
        "Say something in a room. The id is a UUIDv7, the same for every retry.",
        &["id", "room_id", "content"],
        &["metadata"],
        None,
    ),
    frame("ack", "Delivered up to here.", &["room_id", "seq"], &["id"], None),
    frame("join", "Come into a room.", &["room_id"], &["id"], None),
    frame("leave", "Go out of a room.", &["room_id"], &["id"], None),
    frame(
        "presence",
        "One's own status, and for which rooms names are wanted.",
        &[],
        &["id", "metadata"],
        Some(of::<shape::PresenceRequest>),
    ),
    frame("typing", "Typing, or no more.", &["room_id"], &["id", "metadata"], Some(of::<shape::TypingRequest>)),
    frame("history", "A page of a room's log.", &["room_id"], &["id", "metadata"], Some(of::<shape::HistoryRequest>)),
    frame(
        "resume",
        "What was missed since these positions.",
        &[],
        &["id", "metadata"],
        Some(of::<shape::ResumeRequest>),
    ),
    frame("rooms", "The next page of one's rooms.", &[], &["id", "metadata"], Some(of::<shape::RoomsRequest>)),
    frame("delete", "Take a message back; by message_id or seq.", &["room_id"], &["id", "message_id", "seq"], None),
    frame("read", "Read up to here; by message_id or seq.", &["room_id"], &["id", "message_id", "seq"], None),
];

const EVENT: &[&str] = &["timestamp", "user_id", "room_id", "message_id", "seq", "metadata"];

/// Types of frames that are events of a room, live or in a page.
pub const EVENTS: &[&str] = &["chat", "delete", "join", "leave", "system"];

/// Frames of the server.
pub const SERVER: &[Frame] = &[
    frame(
        "hello",
        "First frame after authentication.",
        &["timestamp", "user_id", "metadata"],
        &[],
        Some(of::<shape::HelloMetadata<'static>>),
    ),
    frame(
        "chat",
        "A message; without content and with metadata.deleted when it was taken back.",
        EVENT,
        &["id", "content"],
        Some(of::<MessageMetadata>),
    ),
    frame("delete", "A message was taken back.", EVENT, &["id"], Some(of::<DeletionMetadata>)),
    frame("join", "user_id came in.", EVENT, &["id"], Some(of::<MembershipMetadata>)),
    frame("leave", "user_id went out.", EVENT, &["id"], Some(of::<MembershipMetadata>)),
    frame(
        "system",
        "The room or a role in it was changed, or a number stayed empty.",
        EVENT,
        &["id", "content"],
        Some(of::<SystemMetadata>),
    ),
    frame(
        "ack",
        "Done and durable.",
        &["timestamp", "metadata"],
        &["id", "room_id", "message_id", "seq"],
        Some(of::<shape::AckMetadata<'static>>),
    ),
    frame("presence", "Who is there.", &["metadata"], &["room_id"], Some(of::<shape::PresenceMetadata>)),
    frame(
        "typing",
        "Somebody types, or no more.",
        &["user_id", "room_id", "metadata"],
        &[],
        Some(of::<shape::TypingMetadata>),
    ),
    frame(
        "history",
        "A page of a room's log.",
        &["room_id", "metadata"],
        &["id"],
        Some(of::<shape::PageShape<'static>>),
    ),
    frame(
        "resumed",
        "All up to seq was sent; without room_id: of the user stream.",
        &["seq", "metadata"],
        &["id", "room_id"],
        Some(of::<shape::ResumedMetadata>),
    ),
    frame(
        "reload",
        "Cannot be resumed: load it anew; without room_id: the user stream.",
        &["metadata"],
        &["id", "room_id"],
        Some(of::<shape::ReloadMetadata>),
    ),
    frame(
        "resync",
        "Live frames of this room were shed for you: resume from the position.",
        &["room_id", "metadata"],
        &[],
        Some(of::<shape::ResyncMetadata>),
    ),
    frame("rooms", "A page of one's rooms.", &["metadata"], &["id"], Some(of::<shape::RoomsMetadata<'static>>)),
    frame(
        "stream",
        "An entry of the user stream.",
        &["timestamp", "user_id", "room_id", "seq", "metadata"],
        &[],
        Some(of::<shape::StreamMetadata>),
    ),
    frame("notice", "Something to know.", &["metadata"], &[], Some(of::<shape::NoticeMetadata>)),
    frame(
        "error",
        "Something was not done.",
        &["content", "metadata"],
        &["id", "room_id"],
        Some(of::<shape::ErrorMetadata>),
    ),
];

/// `metadata` of a message: the sender's own keys, and these.
#[derive(Debug, ToSchema)]
#[allow(dead_code)]
pub struct MessageMetadata {
    /// The message's number in its room.
    number: u64,
    /// The room's epoch when it was written.
    epoch: u32,
    /// `text`.
    message_type: String,
    /// It was taken back.
    deleted: Option<bool>,
    /// When it was taken back.
    #[schema(format = DateTime)]
    deleted_at: Option<String>,
}

/// `metadata` of `delete`.
#[derive(Debug, ToSchema)]
#[allow(dead_code)]
pub struct DeletionMetadata {
    /// The message that was taken back.
    #[schema(format = Uuid)]
    target: String,
    /// Its seq.
    target_seq: u64,
    /// Number of the newest message up to here.
    number: u64,
    /// The room's epoch when it was written.
    epoch: u32,
    /// `system`.
    message_type: String,
}

/// `metadata` of `join` and `leave`.
#[derive(Debug, ToSchema)]
#[allow(dead_code)]
pub struct MembershipMetadata {
    /// `joined`, `added`, `left`, `removed`.
    reason: String,
    /// Who came or went.
    #[schema(format = Uuid)]
    subject: String,
    /// Who did it.
    #[schema(format = Uuid)]
    by: String,
    /// Number of the newest message up to here.
    number: u64,
    /// The room's epoch when it was written.
    epoch: u32,
    /// `system`.
    message_type: String,
}

/// `metadata` of `system`.
#[derive(Debug, ToSchema)]
#[allow(dead_code)]
pub struct SystemMetadata {
    /// `role`, `settings`, `void`; others may come.
    event: String,
    /// `role`: whose.
    #[schema(format = Uuid)]
    subject: Option<String>,
    /// `role`: which.
    role: Option<Role>,
    /// Number of the newest message up to here.
    number: u64,
    /// The room's epoch when it was written.
    epoch: u32,
    /// `system`.
    message_type: String,
}
