//! One entry of a room's log.

use super::id::{ClientId, Epoch, MessageId, Number, RoomId, Seq, UserId};
use super::time::WallTime;

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Somebody said something. The only kind that takes a [`Number`].
    Message,
    /// `user` took back the message `target`, whose text is gone from then on.
    Deletion {
        /// The message that was taken back.
        target: Seq,
    },
    /// `subject` came in (by themselves, or added by `user`).
    Joined {
        /// Who came in.
        subject: UserId,
    },
    /// `subject` went out (by themselves, or removed by `user`).
    Left {
        /// Who went out.
        subject: UserId,
    },
    /// `user` gave `subject` another role.
    RoleChanged {
        /// Whose role it is.
        subject: UserId,
        /// `member`, `moderator` or `owner`.
        role: super::Role,
    },
    /// `user` made the room, or changed its name, description, metadata or retention. `content` names what.
    Settings,
    /// A number that was given and could not be stored. Shown to nobody, but it keeps the log dense.
    Void,
}

/// Whether an event still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventStatus {
    /// As written.
    Live,
    /// Taken back at this time: content and metadata are empty.
    Deleted(WallTime),
}

/// One entry of a room's log, in its present state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The room.
    pub room: RoomId,
    /// The room's epoch when it was written.
    pub epoch: Epoch,
    /// Its place in the log.
    pub seq: Seq,
    /// Number of the newest message up to and including this event.
    pub number: Number,
    /// Who did it.
    pub user: UserId,
    /// When the owner numbered it.
    pub at: WallTime,
    /// What it is about.
    pub kind: EventKind,
    /// The text, exactly as written; empty unless it is a message (or names what a `Settings` event changed).
    pub content: String,
    /// A JSON object as text, or empty.
    pub metadata: String,
    /// The client's own id of the send.
    pub client_id: Option<ClientId>,
    /// Whether it still stands.
    pub status: EventStatus,
}

impl Event {
    /// The id that stands on the wire.
    #[must_use]
    pub fn message_id(&self) -> MessageId {
        MessageId::new(self.room, self.epoch, self.seq)
    }

    /// About how many bytes it takes in memory and in a page.
    #[must_use]
    pub fn weight(&self) -> usize {
        160 + self.content.len() + self.metadata.len()
    }
}
