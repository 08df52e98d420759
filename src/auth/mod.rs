//! Who is speaking. Keys, `now` and randomness are arguments.
//!
//! `token` makes and checks access tokens, `account` names and passwords, `session` sign-in, refresh, reuse and end,
//! `throttle` attempts by address and by name.

pub mod account;
pub mod session;
pub mod throttle;
pub mod token;

use crate::base::{DeviceId, SessionId, UserId, WallTime};

/// What a valid access token says. Whether its session still lives is known to the user's owner only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user. For an external one: the token's subject if that is a UUID, else a UUIDv8 of SHA-256(issuer ‖ 0 ‖ subject).
    pub user: UserId,
    /// The session. For an external one: a UUIDv8 of SHA-256(user ‖ the token's `sid`, else `jti`, else nothing).
    pub session: SessionId,
    /// The device the session was begun on, if the token says.
    pub device: Option<DeviceId>,
    /// When the token was made.
    pub issued_at: WallTime,
    /// When it ends.
    pub expires_at: WallTime,
    /// Present for tokens of an external issuer: the user is made at first sight.
    pub external: Option<External>,
}

/// What an external token says of its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// `iss`, or empty.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// From the configured claim, if it is there and a valid username.
    pub username: Option<String>,
    /// From the configured claim, if it is there.
    pub display_name: Option<String>,
}
