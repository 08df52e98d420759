//! The plain data of users, their sessions and devices, and the user stream.

use super::id::{DeviceId, Epoch, Number, RoomId, Seq, SessionId, UserId};
use super::room::Role;
use super::time::WallTime;

/// A user's status as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// There.
    Online,
    /// There, but idle or busy.
    Away,
    /// Not there.
    Offline,
}

/// A user's own record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct User {
    /// The user.
    pub id: UserId,
    /// As the user wrote it; unique by its folded form ([`super::text::fold_name`]). Stored sealed.
    pub username: String,
    /// What others see. Stored sealed.
    pub display_name: String,
    /// PHC string of argon2id; empty for an external user.
    pub password_hash: String,
    /// (issuer, subject) of an external user.
    pub external: Option<(String, String)>,
    /// May use `/admin/v1`, list and remove what is public.
    pub admin: bool,
    /// May not sign in or connect (4403).
    pub suspended: bool,
    /// When it was made.
    pub created_at: WallTime,
    /// Sessions that began before this time are over (new password).
    pub sessions_valid_from: WallTime,
    /// Last time a connection of the user was seen to end.
    pub last_seen: WallTime,
    /// Of the user stream.
    pub stream_epoch: Epoch,
}

/// What others may see of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The user.
    pub id: UserId,
    /// As the user wrote it.
    pub username: String,
    /// What others see.
    pub display_name: String,
    /// Whether they administer this server.
    pub admin: bool,
    /// When their last connection ended; 0 when never.
    pub last_seen: WallTime,
}

impl User {
    /// What others may see.
    #[must_use]
    pub fn profile(&self) -> Profile {
        Profile {
            id: self.id,
            username: self.username.clone(),
            display_name: self.display_name.clone(),
            admin: self.admin,
            last_seen: self.last_seen,
        }
    }
}

/// One login of one user on one device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// The session.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// On which device.
    pub device: DeviceId,
    /// When it began.
    pub created_at: WallTime,
    /// Last sign-in, refresh or connection (kept to the minute, not to the frame).
    pub used_at: WallTime,
    /// When its refresh token ends.
    pub expires_at: WallTime,
    /// SHA-256 of the refresh token that is valid now; zeroes for an external session.
    pub refresh_hash: [u8; 32],
    /// SHA-256 of the one before, whose use ends the session.
    pub previous_hash: [u8; 32],
    /// When it was ended; `None` while it lives.
    pub ended_at: Option<WallTime>,
    /// `User-Agent` at sign-in, cut to 200 characters.
    pub agent: String,
}

/// A device of a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// The device.
    pub id: DeviceId,
    /// Whose.
    pub user: UserId,
    /// First seen.
    pub created_at: WallTime,
    /// Last seen.
    pub seen_at: WallTime,
}

/// What an entry of the user stream says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// The user came into a room (by themselves on another device, or added by `by`).
    Added {
        /// The room.
        room: RoomId,
        /// Who did it.
        by: UserId,
        /// With which role.
        role: Role,
    },
    /// The user went out of a room, or was removed by `by`.
    Removed {
        /// The room.
        room: RoomId,
        /// Who did it.
        by: UserId,
    },
    /// Another device moved the read marker.
    Read {
        /// The room.
        room: RoomId,
        /// Up to which message.
        number: Number,
    },
}

/// One entry of the log of what concerns one user and no single room.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamEvent {
    /// Whose stream.
    pub user: UserId,
    /// Dense, from 1.
    pub seq: Seq,
    /// When.
    pub at: WallTime,
    /// What.
    pub kind: StreamKind,
}
