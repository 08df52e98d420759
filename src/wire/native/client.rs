//! What clients send, read into typed frames; form only, no opinion on what may be done.
//!
//! The envelope is read once with its fields as slices of the text; then each field that the type needs is read. A text
//! without escapes is copied once. Only when something is wrong is it read again, to name what.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::json::{check_metadata, short};
use super::shape::{
    AuthMetadata, Envelope, HistoryRequest, PresenceRequest, ResumeRequest, RoomsRequest, TypingRequest,
};
use crate::base::limits::ROOMS_PER_REQUEST_MAX;
use crate::base::{ClientId, Code, MessageId, Position, Refusal, RoomId, Seq, Status};
use crate::wire::frame::{ClientBody, ClientFrame};
use uuid::Uuid;

/// A text that is no frame: what is wrong with it, and the request's id where it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// For the answer.
    pub id: Option<ClientId>,
    /// What is wrong.
    pub refusal: Refusal,
}

/// Reads one text message of a client.
///
/// # Errors
/// `bad_json`, `bad_frame`, `bad_id`, `bad_content`, `bad_metadata`, `too_large`, `message_not_found` or `unknown_type`, with the field that is
/// meant.
pub fn parse(text: &str) -> Result<ClientFrame, Malformed> {
    let envelope: Envelope<'_> = match serde_json::from_str(text) {
        Ok(envelope) => envelope,
        Err(error) => return Err(not_an_envelope(text, &error)),
    };
    let id = match envelope.id.map(uuid).transpose() {
        Ok(id) => id.map(ClientId),
        Err(what) => return Err(Malformed { id: None, refusal: refuse(Code::BadId, "id", what) }),
    };
    match body(&envelope, id) {
        Ok(body) => Ok(ClientFrame { id, body }),
        Err(refusal) => Err(Malformed { id, refusal }),
    }
}

fn body(envelope: &Envelope<'_>, id: Option<ClientId>) -> Result<ClientBody, Refusal> {
    let kind = envelope.kind.ok_or_else(|| missing("type"))?;
    let kind = string(kind).map_err(|what| refuse(Code::BadFrame, "type", what))?;
    match kind.as_ref() {
        "chat" => {
            if id.is_none_or(|id| id.unix_ms().is_none()) {
                return Err(refuse(Code::BadId, "id", "a chat needs an id that is a UUIDv7"));
            }
            let room = room(envelope)?;
            let content = envelope.content.ok_or_else(|| missing("content"))?;
            let content = string(content).map_err(|what| refuse(Code::BadContent, "content", what))?.into_owned();
            let metadata = envelope.metadata.map_or(Ok(String::new()), |raw| check_metadata(raw.get()))?;
            Ok(ClientBody::Chat { room, content, metadata })
        }
        "ack" => Ok(ClientBody::Ack { room: room(envelope)?, seq: seq(envelope)?.ok_or_else(|| missing("seq"))? }),
        "typing" => {
            let asked: TypingRequest = metadata(envelope, &["metadata.active"])?;
            Ok(ClientBody::Typing { room: room(envelope)?, active: asked.active.unwrap_or(true) })
        }
        "read" => Ok(ClientBody::Read { room: room(envelope)?, seq: target(envelope)? }),
        "presence" => {
            let asked: PresenceRequest = metadata(envelope, &["metadata.status", "metadata.watch"])?;
            bounded(asked.watch.as_ref().map_or(0, Vec::len), "metadata.watch")?;
            Ok(ClientBody::Presence { status: asked.status.map(Status::from), watch: asked.watch })
        }
        "join" => Ok(ClientBody::Join { room: room(envelope)? }),
        "leave" => Ok(ClientBody::Leave { room: room(envelope)? }),
        "delete" => Ok(ClientBody::Delete { room: room(envelope)?, seq: target(envelope)? }),
        "history" => {
            let asked: HistoryRequest = metadata(envelope, &["metadata.before", "metadata.after", "metadata.limit"])?;
            let before = asked.before.map(|seq| possible(seq, "metadata.before")).transpose()?;
            let after = asked.after.map(|seq| possible(seq, "metadata.after")).transpose()?;
            Ok(ClientBody::History { room: room(envelope)?, before, after, limit: asked.limit })
        }
        "resume" => {
            let asked: ResumeRequest = metadata(envelope, &["metadata.rooms", "metadata.stream"])?;
            bounded(asked.rooms.len(), "metadata.rooms")?;
            let mut rooms = Vec::with_capacity(asked.rooms.len());
            for place in &asked.rooms {
                let seq = possible(place.seq, "metadata.rooms")?;
                rooms.push((place.room_id, Position { epoch: place.epoch, seq }));
            }
            let stream = match asked.stream {
                Some(at) => Some(Position { epoch: at.epoch, seq: possible(at.seq, "metadata.stream")? }),
                None => None,
            };
            Ok(ClientBody::Resume { rooms, stream })
        }
        "rooms" => {
            let asked: RoomsRequest = metadata(envelope, &["metadata.cursor"])?;
            Ok(ClientBody::Rooms { cursor: asked.cursor })
        }
        "auth" => {
            let token = envelope.content.ok_or_else(|| missing("content"))?;
            let token = string(token).map_err(|what| refuse(Code::BadFrame, "content", what))?.into_owned();
            let asked: AuthMetadata = metadata(envelope, &["metadata.device_id", "metadata.hold"])?;
            Ok(ClientBody::Auth { token, device: asked.device_id, hold: asked.hold.unwrap_or(false) })
        }
        _ => Err(Refusal::new(Code::UnknownType).field("type")),
    }
}

fn refuse(code: Code, field: &'static str, what: impl std::fmt::Display) -> Refusal {
    Refusal::because(code, format!("{field}: {what}.")).field(field)
}

fn missing(field: &'static str) -> Refusal {
    refuse(Code::BadFrame, field, "it is missing")
}

fn room(envelope: &Envelope<'_>) -> Result<RoomId, Refusal> {
    let raw = envelope.room_id.ok_or_else(|| missing("room_id"))?;
    uuid(raw).map(RoomId).map_err(|what| refuse(Code::BadFrame, "room_id", what))
}

fn seq(envelope: &Envelope<'_>) -> Result<Option<Seq>, Refusal> {
    let Some(raw) = envelope.seq else { return Ok(None) };
    match serde_json::from_str(raw.get()) {
        Ok(seq) => possible(seq, "seq").map(Some),
        Err(_) => Err(refuse(Code::BadFrame, "seq", "it is not a whole number from 0")),
    }
}

/// Seqs have 48 bits; what is larger can only be a mistake, and would overflow further inside.
fn possible(seq: Seq, field: &'static str) -> Result<Seq, Refusal> {
    if seq <= Seq::MAX { Ok(seq) } else { Err(refuse(Code::BadFrame, field, "no seq is that large")) }
}

/// The event that is meant, by `message_id` or by `seq`; when both are there they must agree.
fn target(envelope: &Envelope<'_>) -> Result<Seq, Refusal> {
    let room = room(envelope)?;
    let seq = seq(envelope)?;
    let Some(raw) = envelope.message_id else {
        return seq.ok_or_else(|| refuse(Code::BadFrame, "message_id", "message_id or seq is needed"));
    };
    let id = uuid(raw).map(MessageId).map_err(|what| refuse(Code::BadFrame, "message_id", what))?;
    let inside = id.seq_in(room).ok_or_else(|| Refusal::new(Code::MessageNotFound).field("message_id"))?;
    if seq.is_some_and(|seq| seq != inside) {
        return Err(refuse(Code::BadFrame, "seq", "it is not the seq of message_id"));
    }
    Ok(inside)
}

fn bounded(count: usize, field: &'static str) -> Result<(), Refusal> {
    if count > ROOMS_PER_REQUEST_MAX {
        let what = format!("there are {count} rooms; at most {ROOMS_PER_REQUEST_MAX} may stand in one frame");
        return Err(refuse(Code::TooLarge, field, what));
    }
    Ok(())
}

/// A UUID in its usual form: 36 characters with hyphens, either case.
fn uuid(raw: &RawValue) -> Result<Uuid, &'static str> {
    const WHAT: &str = "it is not a UUID such as 018f3e1c-7c00-7000-8000-000000000001";
    let text = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(WHAT)?;
    if text.len() != 36 {
        return Err(WHAT);
    }
    Uuid::try_parse(text).map_err(|_| WHAT)
}

/// A string, borrowed where it holds no escape.
fn string(raw: &RawValue) -> Result<std::borrow::Cow<'_, str>, &'static str> {
    let inside = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or("it is not a string")?;
    if !inside.contains('\\') {
        return Ok(inside.into());
    }
    // The grammar was checked; what remains is half of a surrogate pair, which is no character.
    serde_json::from_str::<String>(raw.get()).map(Into::into).map_err(|_| "it holds a \\u escape that is no character")
}

/// `metadata` as the type has it; absent is the same as `{}`. `fields` are its keys, each with `metadata.` before it.
fn metadata<T: DeserializeOwned + Default>(
    envelope: &Envelope<'_>,
    fields: &'static [&'static str],
) -> Result<T, Refusal> {
    let Some(raw) = envelope.metadata else { return Ok(T::default()) };
    if !raw.get().starts_with('{') {
        return Err(refuse(Code::BadFrame, "metadata", "it is not a JSON object"));
    }
    serde_json::from_str(raw.get()).map_err(|error| {
        let field = fields.iter().copied().find(|field| wrong_alone::<T>(raw, field)).unwrap_or("metadata");
        refuse(Code::BadFrame, field, short(&error))
    })
}

/// Whether `metadata` is wrong even when it holds this field only.
fn wrong_alone<T: DeserializeOwned>(raw: &RawValue, field: &str) -> bool {
    let key = field.trim_start_matches("metadata.");
    let Ok(all) = serde_json::from_str::<std::collections::BTreeMap<String, &RawValue>>(raw.get()) else {
        return false;
    };
    let Some(value) = all.get(key) else { return false };
    serde_json::from_str::<T>(&format!("{{\"{key}\":{value}}}")).is_err()
}

/// Names of the fields of an envelope that may be named in a refusal.
const FIELDS: [&str; 7] = ["type", "id", "room_id", "message_id", "seq", "content", "metadata"];

fn not_an_envelope(text: &str, error: &serde_json::Error) -> Malformed {
    let because = |detail: String| Malformed { id: None, refusal: Refusal::because(Code::BadJson, detail) };
    if text.starts_with('\u{feff}') {
        return because("The frame begins with a byte order mark; leave it out.".to_owned());
    }
    if !error.is_data() {
        return because(format!("This is not valid JSON: {}.", short(error)));
    }
    let start = text.trim_start_matches([' ', '\t', '\r', '\n']);
    if !start.starts_with('{') {
        return because("The frame is JSON, but not an object.".to_owned());
    }
    // What is left is a field that stands there twice; all fields are read as they are.
    let message = short(error);
    let field = FIELDS.iter().copied().find(|field| message.contains(&format!("`{field}`")));
    let id = serde_json::from_str::<std::collections::BTreeMap<String, &RawValue>>(text)
        .ok()
        .filter(|_| field != Some("id"))
        .and_then(|all| all.get("id").and_then(|raw| uuid(raw).ok()))
        .map(ClientId);
    let refusal = match field {
        Some(field) => refuse(Code::BadFrame, field, "it stands there twice"),
        None => Refusal::because(Code::BadFrame, format!("The frame cannot be read: {message}.")),
    };
    Malformed { id, refusal }
}
