//! The parts of frames as typed structs: what parsing fills, what encoding writes, and what the published schemas are made from.
//!
//! Names of fields are those on the wire. What a whole frame of each type holds stands in the tables of `schema.rs`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::json::{Object, Stamp};
use crate::base::{DeviceId, Epoch, Number, Position, Profile, Role, RoomId, RoomType, Seq, SessionId, Status, UserId};
use crate::chat::RoomEntry;
use crate::wire::frame::HelloLimits;

/// The envelope of a client's frame, its fields not yet looked at. Unknown fields are passed over, `null` is absent.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    /// Which type of frame.
    #[serde(borrow, rename = "type")]
    pub kind: Option<&'a RawValue>,
    /// The client's own request id.
    #[serde(borrow)]
    pub id: Option<&'a RawValue>,
    /// The room it is about.
    #[serde(borrow)]
    pub room_id: Option<&'a RawValue>,
    /// The event it is about, by its id.
    #[serde(borrow)]
    pub message_id: Option<&'a RawValue>,
    /// The event it is about, by its seq.
    #[serde(borrow)]
    pub seq: Option<&'a RawValue>,
    /// Text.
    #[serde(borrow)]
    pub content: Option<&'a RawValue>,
    /// What else belongs to the type.
    #[serde(borrow)]
    pub metadata: Option<&'a RawValue>,
}

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// The log's epoch.
    #[schema(value_type = u32)]
    pub epoch: Epoch,
    /// The last event that was seen; 0: none.
    #[schema(value_type = u64)]
    pub seq: Seq,
}

impl From<Position> for Place {
    fn from(at: Position) -> Self {
        Self { epoch: at.epoch, seq: at.seq }
    }
}

/// `metadata` of `auth`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthMetadata {
    /// The client's own device id; kept by the client from one connection to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub device_id: Option<DeviceId>,
    /// Live events of a room wait until it was resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<bool>,
}

/// `metadata` of a client's `presence`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PresenceRequest {
    /// One's own status; absent: as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<OwnStatus>,
    /// For which rooms names are wanted; replaces the list. Absent: as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<uuid::Uuid>>)]
    pub watch: Option<Vec<RoomId>>,
}

/// A status that one may give oneself; `offline` follows from having no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OwnStatus {
    /// There.
    Online,
    /// There, but idle or busy.
    Away,
}

impl From<OwnStatus> for Status {
    fn from(own: OwnStatus) -> Self {
        match own {
            OwnStatus::Online => Self::Online,
            OwnStatus::Away => Self::Away,
        }
    }
}

/// `metadata` of a client's `typing`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TypingRequest {
    /// On (the default) or off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}

/// `metadata` of a client's `history`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryRequest {
    /// Events before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub before: Option<Seq>,
    /// Events after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub after: Option<Seq>,
    /// How many at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// `metadata` of a client's `resume`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResumeRequest {
    /// Where one stands in rooms.
    #[serde(default)]
    pub rooms: Vec<RoomPlace>,
    /// Where one stands in the user stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<Place>,
}

/// Where one stands in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoomPlace {
    /// The room.
    #[schema(value_type = String, format = Uuid)]
    pub room_id: RoomId,
    /// Its epoch as last told.
    #[schema(value_type = u32)]
    pub epoch: Epoch,
    /// The last event that was seen; 0: none.
    #[schema(value_type = u64)]
    pub seq: Seq,
}

/// `metadata` of a client's `rooms`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoomsRequest {
    /// From `hello` or the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A user as others see them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UserShape<'a> {
    /// The user.
    #[schema(value_type = String, format = Uuid)]
    pub user_id: UserId,
    /// As the user wrote it; unique.
    pub username: Cow<'a, str>,
    /// What others see.
    pub display_name: Cow<'a, str>,
    /// Whether they administer this server.
    pub admin: bool,
    /// When their last connection ended; absent when never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen: Option<Stamp>,
}

impl<'a> From<&'a Profile> for UserShape<'a> {
    fn from(profile: &'a Profile) -> Self {
        Self {
            user_id: profile.id,
            username: Cow::Borrowed(&profile.username),
            display_name: Cow::Borrowed(&profile.display_name),
            admin: profile.admin,
            last_seen: (profile.last_seen.0 > 0).then_some(Stamp(profile.last_seen)),
        }
    }
}

/// A room as it stands in `hello`, `rooms`, the answer to `join`, and REST.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RoomShape<'a> {
    /// The room.
    #[schema(value_type = String, format = Uuid)]
    pub room_id: RoomId,
    /// Its name; absent in a direct room.
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schema(required = false)]
    pub name: &'a str,
    /// Public, private or direct.
    #[serde(rename = "type")]
    pub kind: RoomType,
    /// What it is about.
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schema(required = false)]
    pub description: &'a str,
    /// What its makers keep with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Map<String, serde_json::Value>>)]
    pub metadata: Option<Object<'a>>,
    /// One's own role; absent when one is not in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The other one, in a direct room.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub peer: Option<UserId>,
    /// How many are in it.
    pub members: u32,
    /// The log's epoch.
    #[schema(value_type = u32)]
    pub epoch: Epoch,
    /// The first event one may read.
    #[schema(value_type = u64)]
    pub first_seq: Seq,
    /// The newest event.
    #[schema(value_type = u64)]
    pub last_seq: Seq,
    /// The newest message's number.
    #[schema(value_type = u64)]
    pub last_number: Number,
    /// One's own read marker.
    #[schema(value_type = u64)]
    pub read_number: Number,
    /// When the newest event was written.
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Stamp,
    /// When the room was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Stamp,
    /// Days that messages are kept here; absent: as the server is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
}

impl<'a> From<&'a RoomEntry> for RoomShape<'a> {
    fn from(entry: &'a RoomEntry) -> Self {
        Self {
            room_id: entry.room_id,
            name: &entry.name,
            kind: entry.kind,
            description: &entry.description,
            metadata: (!entry.metadata.is_empty()).then_some(Object(&entry.metadata)),
            role: entry.role,
            peer: entry.peer,
            members: entry.members,
            epoch: entry.epoch,
            first_seq: entry.first_seq,
            last_seq: entry.last_seq,
            last_number: entry.last_number,
            read_number: entry.read_number,
            last_at: Stamp(entry.last_at),
            created_at: Stamp(entry.created_at),
            retention_days: entry.retention_days,
        }
    }
}

/// `metadata` of `hello`.
#[derive(Debug, Serialize, ToSchema)]
pub struct HelloMetadata<'a> {
    /// The version of this protocol: 1.
    pub protocol: u32,
    /// Words for what this server can do beyond protocol 1.
    pub capabilities: &'a [&'static str],
    /// Who one is.
    pub user: UserShape<'a>,
    /// The session.
    #[schema(value_type = String, format = Uuid)]
    pub session_id: SessionId,
    /// The device; keep it and give it at the next connection.
    #[schema(value_type = String, format = Uuid)]
    pub device_id: DeviceId,
    /// What to keep to.
    pub limits: HelloLimits,
    /// How often the server pings, in milliseconds.
    pub heartbeat_ms: u64,
    /// The newest rooms.
    pub rooms: Vec<RoomShape<'a>>,
    /// There are more: ask with `rooms`.
    pub more_rooms: bool,
    /// For `rooms`, when there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<&'a str>,
    /// Where the user stream stands.
    pub stream: Place,
}

/// `metadata` of `ack`.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct AckMetadata<'a> {
    /// The room's epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub epoch: Option<Epoch>,
    /// The number the message got.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub number: Option<Number>,
    /// It had been done before; this is the first answer again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub duplicate: bool,
    /// The room, in the answer to `join`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomShape<'a>>,
}

/// `metadata` of the server's `presence`.
#[derive(Debug, Serialize, ToSchema)]
pub struct PresenceMetadata {
    /// Who changed; empty when only the count is told.
    pub users: Vec<PresenceUser>,
    /// How many are there.
    pub online: u32,
}

/// One user in `presence`.
#[derive(Debug, Serialize, ToSchema)]
pub struct PresenceUser {
    /// Who.
    #[schema(value_type = String, format = Uuid)]
    pub user_id: UserId,
    /// How.
    pub status: Status,
    /// When their last connection ended; absent when not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen: Option<Stamp>,
}

/// `metadata` of the server's `typing`.
#[derive(Debug, Serialize, ToSchema)]
pub struct TypingMetadata {
    /// On or off.
    pub active: bool,
}

/// A page of a room's log: `metadata` of the server's `history`, and the answer of REST.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageShape<'a> {
    /// Ascending by seq.
    #[schema(value_type = Vec<serde_json::Map<String, serde_json::Value>>)]
    pub messages: Vec<super::server::EventJson<'a>>,
    /// The first event one may read.
    #[schema(value_type = u64)]
    pub first_seq: Seq,
    /// The newest event.
    #[schema(value_type = u64)]
    pub last_seq: Seq,
    /// The room's epoch.
    #[schema(value_type = u32)]
    pub epoch: Epoch,
    /// Whether there are more in the direction asked for.
    pub more: bool,
}

/// `metadata` of `resumed`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResumedMetadata {
    /// There is more: resume again from `seq`.
    pub more: bool,
}

/// `metadata` of `reload`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReloadMetadata {
    /// `retention`, `epoch`, `not_member`, `future`, `removed`.
    pub reason: &'static str,
}

/// `metadata` of `resync`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResyncMetadata {
    /// Where this connection stands: resume from here.
    pub position: Place,
}

/// `metadata` of the server's `rooms`.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoomsMetadata<'a> {
    /// The rooms.
    pub rooms: Vec<RoomShape<'a>>,
    /// There are more: ask with `cursor`.
    pub more_rooms: bool,
    /// For the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<&'a str>,
}

/// `metadata` of `stream`, an entry of the user stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamMetadata {
    /// `added`, `removed` or `read`.
    pub event: &'static str,
    /// Who did it (`added`, `removed`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub by: Option<UserId>,
    /// With which role (`added`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Up to which message (`read`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub number: Option<Number>,
}

/// `metadata` of `notice`.
#[derive(Debug, Serialize, ToSchema)]
pub struct NoticeMetadata {
    /// `token_expiring`, `draining`, `queue_overflow`; others may come.
    pub code: &'static str,
    /// When to come back (`draining`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconnect_after_ms: Option<u64>,
}

/// `metadata` of `error`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorMetadata {
    /// The stable code.
    pub code: &'static str,
    /// What to do about it.
    pub advice: &'static str,
    /// When the same may be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Which field of the request is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
}
