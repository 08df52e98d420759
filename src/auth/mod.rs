//! Who is speaking. Keys, `now` and randomness are arguments.
//!
//! `token` makes and checks access tokens with the keys of a `keyset`, `claims` reads what they say; `account` names and
//! passwords, `session` sign-in, refresh, reuse and end, `throttle` attempts by address and by name. `provider` lends
//! jsonwebtoken the signatures of ring.

pub mod account;
pub mod claims;
pub mod keyset;
mod provider;
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
    /// From when on it is refused (for an external token its `exp` and the leeway).
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

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    hash
}

/// SHA-256 in lower-case hexadecimal digits.
#[must_use]
pub fn hex_sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    sha256(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
