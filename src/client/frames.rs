//! What the server says, as this client reads it: every field optional, unknown ones passed over, so that a newer server is no
//! trouble. Kept apart from the server's own types on purpose: this is the other end of the wire.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Any frame of the server.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Incoming {
    /// Which type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The request's id, in an answer.
    pub id: Option<Uuid>,
    /// When.
    pub timestamp: Option<String>,
    /// Who.
    pub user_id: Option<Uuid>,
    /// Where.
    pub room_id: Option<Uuid>,
    /// The event's id.
    pub message_id: Option<Uuid>,
    /// Its place in the room.
    pub seq: Option<u64>,
    /// Text.
    pub content: Option<String>,
    /// What else.
    #[serde(default)]
    pub metadata: Metadata,
}

/// The keys of `metadata` that this client uses.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// `hello`: who one is.
    pub user: Option<User>,
    /// `hello`: the device.
    pub device_id: Option<Uuid>,
    /// `hello`, `rooms`: the rooms.
    pub rooms: Vec<Entry>,
    /// `hello`, `rooms`: there are more.
    pub more_rooms: bool,
    /// `hello`, `rooms`: for the next page.
    pub cursor: Option<String>,
    /// `hello`: where the user stream stands.
    pub stream: Option<Place>,
    /// `ack`: the room, in the answer to `join`.
    pub room: Option<Entry>,
    /// Events, `ack`, `history`: the room's epoch.
    pub epoch: Option<u32>,
    /// Events, `ack`: the message's number.
    pub number: Option<u64>,
    /// `ack`: it had been done before.
    pub duplicate: Option<bool>,
    /// `history`: the page.
    pub messages: Vec<Incoming>,
    /// `history`: the first event one may read.
    pub first_seq: Option<u64>,
    /// `history`: the newest event.
    pub last_seq: Option<u64>,
    /// `history`, `resumed`: there are more.
    pub more: Option<bool>,
    /// Messages: taken back.
    pub deleted: Option<bool>,
    /// `delete`: which.
    pub target_seq: Option<u64>,
    /// `reload`, `join`, `leave`: why.
    pub reason: Option<String>,
    /// `join`, `leave`: who did it.
    pub by: Option<Uuid>,
    /// `system`, `stream`: what.
    pub event: Option<String>,
    /// `system`: whose role.
    pub subject: Option<Uuid>,
    /// `system`: which role.
    pub role: Option<String>,
    /// `error`, `notice`: the stable code.
    pub code: Option<String>,
    /// `error`: what to do about it.
    pub advice: Option<String>,
    /// `error`: when the same may be tried again.
    pub retry_after_ms: Option<u64>,
    /// `notice`: when to come back.
    pub reconnect_after_ms: Option<u64>,
}

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct User {
    /// The user.
    #[serde(alias = "id")]
    pub user_id: Uuid,
    /// Unique.
    pub username: String,
    /// What others see.
    pub display_name: String,
}

impl User {
    /// The user.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.user_id
    }

    /// What to show: the display name, or the username where there is none.
    #[must_use]
    pub fn shown(&self) -> String {
        if self.display_name.is_empty() { self.username.clone() } else { self.display_name.clone() }
    }
}

/// A room as it stands in `hello`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// The room.
    #[serde(alias = "id")]
    pub room_id: Uuid,
    /// Its name; empty for a direct room.
    pub name: String,
    /// `public`, `private`, `direct`.
    #[serde(rename = "type")]
    pub kind: String,
    /// One's own role.
    pub role: Option<String>,
    /// The other one, in a direct room.
    pub peer: Option<Uuid>,
    /// How many are in it.
    pub members: u32,
    /// The log's epoch.
    pub epoch: u32,
    /// The newest event.
    pub last_seq: u64,
}

/// A place in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The log's epoch; 0: not known.
    pub epoch: u32,
    /// The last event that was shown.
    pub seq: u64,
}

/// The notices this client acts upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The token ends soon.
    TokenExpiring,
    /// The server is about to stop.
    Draining,
    /// Something newer.
    Other,
}

impl From<&str> for Notice {
    fn from(code: &str) -> Self {
        match code {
            "token_expiring" => Self::TokenExpiring,
            "draining" => Self::Draining,
            _ => Self::Other,
        }
    }
}
