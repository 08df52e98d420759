//! The plain data of rooms and their members, as the domain, the store and the wire all see it.

use serde::{Deserialize, Serialize};

use super::id::{Epoch, Number, RoomId, Seq, UserId};
use super::time::WallTime;

/// What kind of room: who may find it and who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoomType {
    /// Listed; anybody may join.
    Public,
    /// Only for members; to everybody else it does not exist.
    Private,
    /// Exactly two people; one per pair.
    Direct,
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads and writes.
    Member,
    /// Also deletes others' messages, adds and removes members.
    Moderator,
    /// Also changes the room and its roles, and removes the room.
    Owner,
}

/// A room's own record. It is the truth for what stands in it; its events and members are kept beside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Room {
    /// The room.
    pub id: RoomId,
    /// Public, private or direct.
    pub kind: RoomType,
    /// Unique in the whole application; empty for a direct room. Stored sealed unless public.
    pub name: String,
    /// What it is about; may be empty.
    pub description: String,
    /// A JSON object as text; may be empty (no metadata).
    pub metadata: String,
    /// Who made it.
    pub created_by: UserId,
    /// When.
    pub created_at: WallTime,
    /// Changes only when history was lost or restored.
    pub epoch: Epoch,
    /// The oldest event still kept; retention moves it. `1` in a new room.
    pub first_seq: Seq,
    /// Seq, message number and time of the newest event removed by retention, so that the head is known when the log is empty.
    pub trimmed: Head,
    /// Days that messages are kept here; `None`: as configured.
    pub retention_days: Option<u32>,
    /// Set when the room was removed; nobody sees it any more.
    pub removed: bool,
}

/// The newest event of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Head {
    /// Seq of the newest event, 0 when there is none.
    pub seq: Seq,
    /// Number of the newest message up to there, 0 when there is none.
    pub number: Number,
    /// When the newest event was written.
    pub at: WallTime,
}

/// One stretch of a membership: events `from..=to` may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interval {
    /// The first event the member may read.
    pub from: Seq,
    /// The last one; `None` while the membership lasts.
    pub to: Option<Seq>,
}

/// Somebody's membership of one room, past intervals included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// The room.
    pub room: RoomId,
    /// The member.
    pub user: UserId,
    /// What they may do while they are in.
    pub role: Role,
    /// Ascending; the last one is open (`to: None`) exactly while the user is in the room.
    pub intervals: Vec<Interval>,
    /// The read marker.
    pub read_number: Number,
}

impl Member {
    /// Whether the user is in the room now.
    #[must_use]
    pub fn active(&self) -> bool {
        self.intervals.last().is_some_and(|last| last.to.is_none())
    }

    /// Whether they are in the room when its log ends with `head`: what comes after it is theirs to hear, up to the event by
    /// which they leave. Unlike [`Member::active`] it knows nothing of what is written but not stored.
    #[must_use]
    pub fn active_at(&self, head: Seq) -> bool {
        self.intervals.iter().any(|i| i.from <= head && i.to.is_none_or(|to| head < to))
    }

    /// Whether the event `seq` may be read by this member.
    #[must_use]
    pub fn may_read(&self, seq: Seq) -> bool {
        self.intervals.iter().any(|i| i.from <= seq && i.to.is_none_or(|to| seq <= to))
    }
}
