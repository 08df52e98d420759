//! The frames of the native protocol as types: what clients send and what the server says. `native.rs` reads and writes them.
//!
//! A frame of a client carries an optional `id`; it comes back in the answer. Every field is named as on the wire.

use std::sync::Arc;

use crate::base::{
    ClientId, DeviceId, Epoch, Event, Number, Position, Refusal, RoomId, Seq, SessionId, Status, UserId, WallTime,
};
use crate::chat::{HistoryPage, RoomEntry};

/// A frame from a client, checked for form only.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientFrame {
    /// The client's own request id; comes back in the answer. Any UUID.
    pub id: Option<ClientId>,
    /// What is wanted.
    pub body: ClientBody,
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientBody {
    /// First frame, or a new token on a live connection.
    Auth {
        /// The access token.
        token: String,
        /// The client's own device id.
        device: Option<DeviceId>,
        /// Live events of a room wait until it was resumed.
        hold: bool,
    },
    /// Say something. `id` is required and a UUIDv7.
    Chat {
        /// Where.
        room: RoomId,
        /// What.
        content: String,
        /// A JSON object as text, or empty.
        metadata: String,
    },
    /// Delivered up to here.
    Ack {
        /// In which room.
        room: RoomId,
        /// Up to which event.
        seq: Seq,
    },
    /// Come into a room.
    Join {
        /// Which.
        room: RoomId,
    },
    /// Go out of a room.
    Leave {
        /// Which.
        room: RoomId,
    },
    /// Own status, and for which rooms names are wanted.
    Presence {
        /// `online` or `away`; absent: as it was.
        status: Option<Status>,
        /// Replaces the list of watched rooms; absent: as it was.
        watch: Option<Vec<RoomId>>,
    },
    /// A typing mark.
    Typing {
        /// Where.
        room: RoomId,
        /// On or off.
        active: bool,
    },
    /// A page of a room's log.
    History {
        /// The room.
        room: RoomId,
        /// Events before this one.
        before: Option<Seq>,
        /// Events after this one.
        after: Option<Seq>,
        /// How many messages at most.
        limit: Option<u32>,
    },
    /// What was missed.
    Resume {
        /// Positions in rooms.
        rooms: Vec<(RoomId, Position)>,
        /// Position in the user stream.
        stream: Option<Position>,
    },
    /// The next page of one's rooms.
    Rooms {
        /// From the last answer.
        cursor: Option<String>,
    },
    /// Take a message back.
    Delete {
        /// The room.
        room: RoomId,
        /// The message.
        seq: Seq,
    },
    /// Move the read marker.
    Read {
        /// The room.
        room: RoomId,
        /// Up to which event; the number follows from it.
        seq: Seq,
    },
}

/// What a server frame says. `id` in an answer is the request's.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerFrame {
    /// First frame after authentication.
    Hello(Box<Hello>),
    /// An event of a room: `chat`, `join`, `leave`, `delete`, or `system`. Deleted messages are shown as `chat` without
    /// content and with `metadata.deleted: true`; voids as `system` with `metadata.event: "void"`.
    Event {
        /// The event in its present state.
        event: Arc<Event>,
        /// Shown to the author's own other devices only.
        id: Option<ClientId>,
    },
    /// Done and durable.
    Ack {
        /// The request's.
        id: Option<ClientId>,
        /// The room.
        room: Option<RoomId>,
        /// The event it became: epoch, seq and number.
        event: Option<(Epoch, Seq, Number)>,
        /// When that was.
        at: WallTime,
        /// It had been done before.
        duplicate: bool,
        /// The room as in `hello` (answer to `join`).
        entry: Option<Box<RoomEntry>>,
    },
    /// Who is there.
    Presence {
        /// Absent: the answer to one's own `presence`.
        room: Option<RoomId>,
        /// Who changed, with the last time seen; empty when only counts are told.
        users: Vec<(UserId, Status, WallTime)>,
        /// How many are there.
        online: u32,
    },
    /// Somebody types, or stopped.
    Typing {
        /// Where.
        room: RoomId,
        /// Who.
        user: UserId,
        /// On or off.
        active: bool,
    },
    /// A page of a room's log.
    History {
        /// The request's.
        id: Option<ClientId>,
        /// The page.
        page: Box<HistoryPage>,
    },
    /// A room (or, with `room: None`, the user stream) was resumed up to `seq`.
    Resumed {
        /// The request's.
        id: Option<ClientId>,
        /// The room.
        room: Option<RoomId>,
        /// Up to here.
        seq: Seq,
        /// There is more: resume again from `seq`.
        more: bool,
    },
    /// A room (or the user stream) cannot be resumed: load it anew.
    Reload {
        /// The request's.
        id: Option<ClientId>,
        /// The room.
        room: Option<RoomId>,
        /// `retention`, `epoch`, `not_member`, `future`, `removed`.
        reason: &'static str,
    },
    /// Live frames of this room were shed for this connection: resume from the position.
    Resync {
        /// The room.
        room: RoomId,
        /// Where this connection stands.
        position: Position,
    },
    /// A page of one's rooms.
    Rooms {
        /// The request's.
        id: Option<ClientId>,
        /// The rooms.
        rooms: Vec<RoomEntry>,
        /// For the next page, if there is one.
        cursor: Option<String>,
    },
    /// An entry of the user stream.
    Stream(Box<crate::base::StreamEvent>),
    /// Something to know: `token_expiring`, `draining`, `queue_overflow`.
    Notice {
        /// Which.
        code: &'static str,
        /// When to come back, for `draining`.
        reconnect_after_ms: Option<u64>,
    },
    /// Something was not done.
    Error {
        /// The request's.
        id: Option<ClientId>,
        /// The room it was about.
        room: Option<RoomId>,
        /// What and why.
        refusal: Refusal,
    },
}

/// The first frame after authentication.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// Who one is.
    pub user: crate::base::Profile,
    /// The session.
    pub session_id: SessionId,
    /// The device.
    pub device_id: DeviceId,
    /// Words for what this server can do beyond protocol 1.
    pub capabilities: Vec<&'static str>,
    /// What a client should keep to.
    pub limits: HelloLimits,
    /// Ping interval.
    pub heartbeat_ms: u64,
    /// The newest rooms.
    pub rooms: Vec<RoomEntry>,
    /// There are more: ask with `rooms`.
    pub more_rooms: bool,
    /// For `rooms`, when there are more.
    pub cursor: Option<String>,
    /// Where the user stream stands.
    pub stream: Position,
    /// The server's clock.
    pub at: WallTime,
}

/// What a client should keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct HelloLimits {
    /// Unicode scalar values in one message.
    pub content_chars: u32,
    /// Bytes of `metadata`.
    pub metadata_bytes: u32,
    /// Bytes of a frame.
    pub frame_bytes: u32,
    /// Messages a second, over all of one's connections.
    pub messages_per_second: u32,
    /// How many of them at once.
    pub messages_burst: u32,
    /// Messages in one page of history.
    pub page_rows: u32,
    /// Rooms in one `resume` or `presence.watch`.
    pub rooms_per_request: u32,
}
