//! What follows from a command to a room, as values: who is answered, what is stored, what is told to whom.

use std::sync::Arc;

use crate::base::{ClientId, ConnId, Event, Moment, Number, Refusal, Role, ShardId, UserId, WallTime};
use crate::store::{Query, RoomWrite};

use super::RoomReply;

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyTo {
    /// To a client's request on a connection.
    Conn {
        /// The connection.
        conn: ConnId,
        /// The request's id.
        id: Option<ClientId>,
        /// Which kind of request, since answers look different.
        what: What,
        /// When its shard took the frame (that shard's clock).
        taken: Moment,
    },
    /// To a question from outside the sockets, asked at this shard.
    Ask {
        /// The shard that was asked.
        shard: ShardId,
        /// The question.
        id: u64,
    },
    /// To nobody.
    Nobody,
}

/// The kinds of requests that a connection makes of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `chat`.
    Chat,
    /// `join`.
    Join,
    /// `leave`.
    Leave,
    /// `delete`.
    Delete,
    /// `history`.
    History,
    /// `resume`.
    Resume,
    /// `read`.
    Read,
    /// `typing` (answered only when refused).
    Typing,
}

impl ReplyTo {
    /// The connection that asked, if one did.
    #[must_use]
    pub fn conn(&self) -> Option<ConnId> {
        match *self {
            Self::Conn { conn, .. } => Some(conn),
            Self::Ask { .. } | Self::Nobody => None,
        }
    }
}

/// What follows. In order.
#[derive(Debug)]
pub enum RoomEffect {
    /// Tell the asker.
    Reply {
        /// Whom.
        to: ReplyTo,
        /// What.
        result: Result<RoomReply, Refusal>,
    },
    /// Store this; then call [`super::Room::stored`] with the same batch number.
    Store {
        /// Rising from 1; answers come in this order.
        batch: u64,
        /// What.
        write: Box<RoomWrite>,
    },
    /// Ask the store; then call [`super::Room::read`] with the same purpose.
    Read {
        /// What for.
        purpose: Purpose,
        /// What.
        query: Query,
    },
    /// An event is durable: everybody in the room learns of it. `conn` is its author's and gets no copy.
    Deliver {
        /// The event.
        event: Arc<Event>,
        /// The author's connection.
        conn: Option<ConnId>,
        /// When the owner took the command.
        taken: Moment,
    },
    /// A connection came in with this reply: its shard gets the room's events from now on.
    Subscribe {
        /// The connection.
        conn: ConnId,
    },
    /// A membership began or ended: the user's owner must know.
    Membership {
        /// Whose.
        user: UserId,
        /// `Some`: it began, with this role.
        role: Option<Role>,
        /// Who did it.
        by: UserId,
        /// When.
        at: WallTime,
    },
    /// Somebody's read marker moved: their other devices must know.
    ReadMoved {
        /// Whose.
        user: UserId,
        /// Up to which message.
        number: Number,
        /// When.
        at: WallTime,
    },
    /// Somebody types, or stopped.
    Typing {
        /// Who.
        user: UserId,
        /// On or off.
        active: bool,
    },
    /// The room is gone: nobody is in it any more.
    Removed,
    /// The store failed; when all batches in flight were answered the room wants to be loaded anew ([`super::Room::reloaded`]).
    Reload,
}

/// What a read of the store is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Purpose {
    /// Was this client id answered before? The user's sends wait for it.
    LookUp {
        /// Whose sends.
        user: UserId,
        /// Which of them.
        client_id: ClientId,
    },
    /// The message that somebody wants to take back.
    Target {
        /// Who asks.
        actor: super::Actor,
        /// The client's own id of the request.
        client_id: Option<ClientId>,
        /// Whom to answer.
        to: ReplyTo,
    },
    /// The event up to which somebody has read.
    Marker {
        /// Who asks.
        actor: super::Actor,
        /// Whom to answer.
        to: ReplyTo,
    },
    /// A page of history.
    Page {
        /// Who asks.
        user: UserId,
        /// Whom to answer.
        to: ReplyTo,
        /// The part of the log that was asked for.
        want: super::reading::Want,
    },
    /// What was missed.
    Missed {
        /// Who asks.
        user: UserId,
        /// Whom to answer.
        to: ReplyTo,
        /// The part of the log that was asked for.
        want: super::reading::Want,
    },
}
