//! What follows for the program around a session: what to send, what to show, what to keep.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::frames::{Incoming, Place};

/// What follows from an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send this text frame.
    Send(String),
    /// Show this to the person.
    Show(Shown),
    /// Positions have changed: keep them.
    Save,
    /// The token ends soon: get a new one and call [`super::session::Session::token`].
    Refresh,
    /// This connection is of no use any more: close it and connect anew, not before this many milliseconds.
    Reconnect {
        /// As the server said, or 0.
        after_ms: u64,
    },
}

/// What a person is shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// The server greeted; rooms and names are known.
    Ready {
        /// Whether this is the first connection of this process.
        first: bool,
        /// How many rooms one is in.
        rooms: usize,
    },
    /// An event of a room (one's own sends too, when they are durable).
    Event {
        /// The event, as the server sent it.
        event: Box<Incoming>,
        /// From a page of history, not live.
        old: bool,
    },
    /// A send is durable.
    Acked {
        /// Its id.
        id: Uuid,
        /// In which room.
        room: Uuid,
        /// Its place there.
        seq: u64,
        /// The server had it already.
        duplicate: bool,
    },
    /// A send was refused for good.
    Refused {
        /// Its id.
        id: Uuid,
        /// The stable code.
        code: String,
        /// A sentence.
        text: String,
    },
    /// A room was entered.
    Entered(Uuid),
    /// A room is not ours any more.
    Gone(Uuid),
    /// Who is there changed, somebody types: for those who want to show it.
    Passing(Box<Incoming>),
    /// A sentence about the connection or a request.
    Note(String),
}

/// What is kept from one process to the next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// The device.
    pub device_id: Option<Uuid>,
    /// Positions in rooms.
    #[serde(default)]
    pub rooms: BTreeMap<Uuid, Place>,
}
