//! What the server says, as JSON text.
//!
//! One pass from the typed frame to the text; no tree of values between. An event looks the same live, in a page of history and
//! over REST: [`EventJson`].

use std::sync::Arc;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::json::{self, Stamp, copy_members};
use super::shape::{
    AckMetadata, ErrorMetadata, HelloMetadata, NoticeMetadata, PageShape, PresenceMetadata, PresenceUser,
    ReloadMetadata, ResumedMetadata, ResyncMetadata, RoomShape, RoomsMetadata, StreamMetadata, TypingMetadata,
};
use crate::base::{
    ClientId, Epoch, Event, EventKind, EventStatus, MessageId, Number, Role, RoomId, Seq, StreamKind, UserId,
};
use crate::chat::HistoryPage;
use crate::wire::frame::{Hello, ServerFrame};

/// A server's frame: the envelope with `metadata` of one type. Absent fields are left out.
#[derive(Debug, Serialize)]
struct Frame<'a, M: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<ClientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Stamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<RoomId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<M>,
}

impl<M: Serialize> Frame<'_, M> {
    fn new(kind: &'static str, id: Option<ClientId>, room: Option<RoomId>, metadata: M) -> Self {
        Self {
            kind,
            id,
            timestamp: None,
            user_id: None,
            room_id: room,
            message_id: None,
            seq: None,
            content: None,
            metadata: Some(metadata),
        }
    }
}

/// Writes a frame as one JSON object without markup.
#[must_use]
pub fn encode(frame: &ServerFrame) -> String {
    let text = match frame {
        ServerFrame::Hello(hello) => encode_hello(hello),
        ServerFrame::Event { event, id } => json::to_string(&EventJson { event, id: *id }),
        ServerFrame::Ack { id, room, event, at, duplicate, entry } => {
            let seq = event.map(|(_, seq, _)| seq);
            let message_id = event.zip(*room).map(|((epoch, seq, _), room)| MessageId::new(room, epoch, seq));
            let metadata = AckMetadata {
                epoch: event.map(|(epoch, _, _)| epoch),
                number: event.map(|(_, _, number)| number),
                duplicate: *duplicate,
                room: entry.as_deref().map(RoomShape::from),
            };
            let frame = Frame::new("ack", *id, *room, metadata);
            json::to_string(&Frame { message_id, seq, timestamp: Some(Stamp(*at)), ..frame })
        }
        ServerFrame::Presence { room, users, online } => {
            let users = users
                .iter()
                .map(|&(user_id, status, seen)| PresenceUser {
                    user_id,
                    status,
                    last_seen: (seen.0 > 0).then_some(Stamp(seen)),
                })
                .collect();
            json::to_string(&Frame::new("presence", None, *room, PresenceMetadata { users, online: *online }))
        }
        ServerFrame::Typing { room, user, active } => {
            let frame = Frame::new("typing", None, Some(*room), TypingMetadata { active: *active });
            json::to_string(&Frame { user_id: Some(*user), ..frame })
        }
        ServerFrame::History { id, page } => {
            json::to_string(&Frame::new("history", *id, Some(page.room), page_shape(page)))
        }
        ServerFrame::Resumed { id, room, seq, more } => {
            let frame = Frame::new("resumed", *id, *room, ResumedMetadata { more: *more });
            json::to_string(&Frame { seq: Some(*seq), ..frame })
        }
        ServerFrame::Reload { id, room, reason } => {
            json::to_string(&Frame::new("reload", *id, *room, ReloadMetadata { reason }))
        }
        ServerFrame::Resync { room, position } => {
            json::to_string(&Frame::new("resync", None, Some(*room), ResyncMetadata { position: (*position).into() }))
        }
        ServerFrame::Rooms { id, rooms, cursor } => {
            let metadata = RoomsMetadata {
                rooms: rooms.iter().map(RoomShape::from).collect(),
                more_rooms: cursor.is_some(),
                cursor: cursor.as_deref(),
            };
            json::to_string(&Frame::new("rooms", *id, None, metadata))
        }
        ServerFrame::Stream(event) => {
            let (room, metadata) = match event.kind {
                StreamKind::Added { room, by, role } => {
                    (room, StreamMetadata { event: "added", by: Some(by), role: Some(role), number: None })
                }
                StreamKind::Removed { room, by } => {
                    (room, StreamMetadata { event: "removed", by: Some(by), role: None, number: None })
                }
                StreamKind::Read { room, number } => {
                    (room, StreamMetadata { event: "read", by: None, role: None, number: Some(number) })
                }
            };
            let frame = Frame::new("stream", None, Some(room), metadata);
            let (timestamp, user_id) = (Some(Stamp(event.at)), Some(event.user));
            json::to_string(&Frame { timestamp, user_id, seq: Some(event.seq), ..frame })
        }
        ServerFrame::Notice { code, reconnect_after_ms } => {
            let metadata = NoticeMetadata { code, reconnect_after_ms: *reconnect_after_ms };
            json::to_string(&Frame::new("notice", None, None, metadata))
        }
        ServerFrame::Error { id, room, refusal } => {
            let metadata = ErrorMetadata {
                code: refusal.code.name(),
                advice: refusal.code.advice(),
                retry_after_ms: refusal.retry_after_ms,
                field: refusal.field,
            };
            let content = refusal.detail.as_deref().unwrap_or(refusal.code.sentence());
            let frame = Frame::new("error", *id, *room, metadata);
            json::to_string(&Frame { content: Some(content), ..frame })
        }
    };
    // None of the types above has a map with keys that are not strings, the one thing serde_json refuses.
    text.unwrap_or_else(|_| r#"{"type":"error","content":"Something went wrong on our side.","metadata":{"code":"internal","advice":"Try again later; the log of the server has the request's id."}}"#.to_owned())
}

fn encode_hello(hello: &Hello) -> serde_json::Result<String> {
    let metadata = HelloMetadata {
        protocol: 1,
        capabilities: &hello.capabilities,
        user: (&hello.user).into(),
        session_id: hello.session_id,
        device_id: hello.device_id,
        limits: hello.limits,
        heartbeat_ms: hello.heartbeat_ms,
        rooms: hello.rooms.iter().map(RoomShape::from).collect(),
        more_rooms: hello.more_rooms,
        cursor: hello.cursor.as_deref(),
        stream: hello.stream.into(),
    };
    let frame = Frame::new("hello", None, None, metadata);
    json::to_string(&Frame { timestamp: Some(Stamp(hello.at)), user_id: Some(hello.user.id), ..frame })
}

/// A page as it stands in `history` and over REST.
#[must_use]
pub fn page_shape(page: &HistoryPage) -> PageShape<'_> {
    PageShape {
        messages: page.events.iter().map(|event| EventJson { event, id: None }).collect(),
        first_seq: page.first_seq,
        last_seq: page.last_seq,
        epoch: page.epoch,
        more: page.more,
    }
}

/// An event as clients see it, live, in pages and over REST.
#[derive(Clone, Copy, Debug)]
pub struct EventJson<'a> {
    /// The event in its present state.
    pub event: &'a Arc<Event>,
    /// The client's own id of the send; only for the author's own devices.
    pub id: Option<ClientId>,
}

/// The `type` of the frame of an event.
#[must_use]
pub fn event_type(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Message => "chat",
        EventKind::Deletion { .. } => "delete",
        EventKind::Joined { .. } => "join",
        EventKind::Left { .. } => "leave",
        EventKind::RoleChanged { .. } | EventKind::Settings | EventKind::Void => "system",
    }
}

impl Serialize for EventJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = &**self.event;
        let live = event.status == EventStatus::Live;
        // Who came or went is the `user_id` of `join` and `leave`; who did it stands in `metadata.by`.
        let (user, content) = match event.kind {
            EventKind::Joined { subject } | EventKind::Left { subject } => (subject, None),
            EventKind::Message | EventKind::Settings => (event.user, live.then_some(event.content.as_str())),
            EventKind::Deletion { .. } | EventKind::RoleChanged { .. } | EventKind::Void => (event.user, None),
        };
        Frame {
            kind: event_type(&event.kind),
            id: self.id,
            timestamp: Some(Stamp(event.at)),
            user_id: Some(user),
            room_id: Some(event.room),
            message_id: Some(event.message_id()),
            seq: Some(event.seq),
            content,
            metadata: Some(EventMetadata(event)),
        }
        .serialize(serializer)
    }
}

/// Keys of a message's `metadata` that the server writes; a client's own keys of these names are not shown.
pub const MESSAGE_KEYS: &[&str] = &["number", "epoch", "message_type", "deleted", "deleted_at", "event"];

/// `metadata` of an event: the client's own keys first, then the server's.
struct EventMetadata<'a>(&'a Event);

impl Serialize for EventMetadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut map = serializer.serialize_map(None)?;
        let mut message_type = "system";
        match event.kind {
            EventKind::Message => {
                message_type = "text";
                match event.status {
                    EventStatus::Live => copy_members(&event.metadata, MESSAGE_KEYS, &mut map)?,
                    EventStatus::Deleted(at) => {
                        map.serialize_entry("deleted", &true)?;
                        map.serialize_entry("deleted_at", &Stamp(at))?;
                    }
                }
            }
            EventKind::Deletion { target } => {
                map.serialize_entry("target", &MessageId::new(event.room, event.epoch, target))?;
                map.serialize_entry("target_seq", &target)?;
            }
            EventKind::Joined { subject } => {
                let reason = if subject == event.user { "joined" } else { "added" };
                came_or_went(&mut map, reason, subject, event.user)?;
            }
            EventKind::Left { subject } => {
                let reason = if subject == event.user { "left" } else { "removed" };
                came_or_went(&mut map, reason, subject, event.user)?;
            }
            EventKind::RoleChanged { subject, role } => role_changed(&mut map, subject, role)?,
            EventKind::Settings => map.serialize_entry("event", "settings")?,
            EventKind::Void => map.serialize_entry("event", "void")?,
        }
        standing(&mut map, event.number, event.epoch, message_type)?;
        map.end()
    }
}

fn came_or_went<M: SerializeMap>(map: &mut M, reason: &str, subject: UserId, by: UserId) -> Result<(), M::Error> {
    map.serialize_entry("reason", reason)?;
    map.serialize_entry("subject", &subject)?;
    map.serialize_entry("by", &by)
}

fn role_changed<M: SerializeMap>(map: &mut M, subject: UserId, role: Role) -> Result<(), M::Error> {
    map.serialize_entry("event", "role")?;
    map.serialize_entry("subject", &subject)?;
    map.serialize_entry("role", &role)
}

fn standing<M: SerializeMap>(map: &mut M, number: Number, epoch: Epoch, message_type: &str) -> Result<(), M::Error> {
    map.serialize_entry("number", &number)?;
    map.serialize_entry("epoch", &epoch)?;
    map.serialize_entry("message_type", message_type)
}
