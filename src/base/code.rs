//! The one table of error and close codes: name, sentence for people, advice, HTTP status. Clients' copies are generated from it.
//!
//! A code is stable: once published it keeps its name and meaning.

use serde::Serialize;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $sentence:literal, $advice:literal;)*) => {
        /// Why something was not done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* #[doc = $sentence] $variant,)*
        }

        impl Code {
            /// All codes, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name that stands on the wire.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// A sentence for people.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// What to do about it.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }

            /// The HTTP status of the same refusal over REST.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }
        }
    };
}

codes! {
    BadJson = "bad_json", 400, "This is not a JSON object.", "Send one JSON object in each text frame.";
    BadFrame = "bad_frame", 400, "A field is missing or has the wrong type.", "See the field named and the protocol page.";
    BadId = "bad_id", 400, "The id is not a usable UUIDv7.", "Use a fresh UUIDv7 for each send, made from a clock that is right to five minutes.";
    BadContent = "bad_content", 422, "The text cannot be sent as it is.", "Send 1 to 4,096 characters that are not only white space, without control characters.";
    BadMetadata = "bad_metadata", 422, "The metadata is not a JSON object of at most 4 KiB.", "Send a smaller object.";
    BadName = "bad_name", 422, "The name cannot be used.", "Choose another one; the text says what is wrong with it.";
    BadPassword = "bad_password", 422, "The password cannot be used.", "Choose 8 to 256 characters that are not among the most common passwords.";
    BadRequest = "bad_request", 400, "The request cannot be understood.", "See the text and the contract at /api/openapi.json.";
    UnknownType = "unknown_type", 400, "The server does not know this type of frame.", "Look at the protocol page, or at a newer server.";
    TooLarge = "too_large", 413, "This is larger than allowed.", "Send less at once.";
    NotAuthenticated = "not_authenticated", 401, "There is no valid token.", "Sign in, or refresh the access token.";
    TokenExpired = "token_expired", 401, "The access token has expired.", "Refresh it and try again.";
    SessionEnded = "session_ended", 401, "This session has ended.", "Sign in again.";
    BadCredentials = "bad_credentials", 401, "The username or the password is not right.", "Check both and try again.";
    TooManyAttempts = "too_many_attempts", 429, "There were too many attempts.", "Wait as long as retry_after_ms says.";
    Suspended = "suspended", 403, "This account is suspended.", "Ask whoever runs this server.";
    NotAllowed = "not_allowed", 403, "Your role does not allow this.", "Ask an owner or moderator of the room.";
    BadOrigin = "bad_origin", 403, "Pages of this origin may not talk to this server.", "Add the origin to server.origins in the configuration.";
    SignupClosed = "signup_closed", 403, "New accounts cannot be made here.", "Ask whoever runs this server for an account or an invitation.";
    AuthExternal = "auth_external", 404, "Accounts of this server are kept elsewhere.", "Get a token from your platform's own sign-in.";
    NotFound = "not_found", 404, "There is no such thing.", "Check the id; it may have been removed.";
    RoomNotFound = "room_not_found", 404, "There is no such room.", "Check the id; you may have to be invited first.";
    MessageNotFound = "message_not_found", 404, "There is no such message in this room.", "Check the id; it may have been removed.";
    UserNotFound = "user_not_found", 404, "There is no such user.", "Check the id or the name.";
    NotMember = "not_member", 403, "You are not in this room.", "Join it first.";
    NameTaken = "name_taken", 409, "Somebody else has this name.", "Choose another one.";
    IdReused = "id_reused", 409, "This id was used before, with another content.", "Use a fresh id for each send.";
    LastOwner = "last_owner", 409, "The room would be left without an owner.", "Make somebody else owner first.";
    RateLimited = "rate_limited", 429, "You are sending faster than allowed.", "Wait as long as retry_after_ms says, then send the same id again.";
    TooManyRooms = "too_many_rooms", 409, "You are in as many rooms as allowed.", "Leave one first.";
    RoomFull = "room_full", 409, "The room has as many members as allowed.", "Use another room.";
    TooManyConnections = "too_many_connections", 429, "There are too many connections.", "Close one, or come back later.";
    Busy = "busy", 503, "The server has too much to do right now.", "Send the same again after retry_after_ms.";
    StorageUnavailable = "storage_unavailable", 503, "The message store cannot be used right now; nothing was lost that was acked.", "Send the same id again after retry_after_ms.";
    Draining = "draining", 503, "The server is about to stop.", "Connect again after retry_after_ms.";
    Timeout = "timeout", 408, "The request took too long to arrive.", "Send it again, faster.";
    UnsupportedMediaType = "unsupported_media_type", 415, "The server does not read this kind of body.", "Send JSON with Content-Type: application/json.";
    MethodNotAllowed = "method_not_allowed", 405, "This address does not know this method.", "See the contract at /api/openapi.json.";
    Internal = "internal", 500, "Something went wrong on our side.", "Try again later; the log of the server has the request's id.";
}

/// Why something was not done, with what belongs to it. [`std::fmt::Display`] is the sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind.
    pub code: Code,
    /// More exact than [`Code::sentence`], when there is more to say. Never holds what is secret.
    pub detail: Option<String>,
    /// Which field of the request is meant.
    pub field: Option<&'static str>,
    /// When the same may be tried again.
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// A refusal with the table's own sentence.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self { code, detail: None, field: None, retry_after_ms: None }
    }

    /// A refusal with a sentence of its own.
    #[must_use]
    pub fn because(code: Code, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(code) }
    }

    /// Names the field that is meant.
    #[must_use]
    pub fn field(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    /// Says when the same may be tried again.
    #[must_use]
    pub fn retry_after(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.detail.as_deref().unwrap_or(self.code.sentence()))
    }
}

impl std::error::Error for Refusal {}

/// Why a WebSocket is closed (RFC 6455, 7.4.2: 4000–4999 are ours). 44xx: do not come back before something is changed;
/// 45xx: come back with back-off and resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[repr(u16)]
pub enum Close {
    /// The peer closed, or the end is in order.
    Normal = 1000,
    /// The protocol was violated.
    Protocol = 4400,
    /// No valid token (or it expired).
    NotAuthenticated = 4401,
    /// Suspended.
    NotAllowed = 4403,
    /// Logged out or revoked.
    SessionEnded = 4410,
    /// Too much, again and again.
    TooMuch = 4429,
    /// The server is about to stop.
    Draining = 4501,
    /// The reader stayed behind.
    TooSlow = 4503,
    /// No byte for 30 s.
    Silent = 4504,
    /// Too many connections.
    TooManyConnections = 4509,
}

impl Close {
    /// All codes.
    pub const ALL: &'static [Self] = &[
        Self::Normal,
        Self::Protocol,
        Self::NotAuthenticated,
        Self::NotAllowed,
        Self::SessionEnded,
        Self::TooMuch,
        Self::Draining,
        Self::TooSlow,
        Self::Silent,
        Self::TooManyConnections,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Whether a client comes back by itself, with back-off, and resumes. Otherwise something must be changed first.
    #[must_use]
    pub fn reconnect(self) -> bool {
        (4500..4600).contains(&self.number())
    }

    /// The reason in the close frame, and the label in the metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Protocol => "protocol violated",
            Self::NotAuthenticated => "not authenticated",
            Self::NotAllowed => "not allowed",
            Self::SessionEnded => "session ended",
            Self::TooMuch => "too much",
            Self::Draining => "draining",
            Self::TooSlow => "too slow",
            Self::Silent => "silent",
            Self::TooManyConnections => "too many connections",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_statuses_are_errors() {
        let mut names: Vec<_> = Code::ALL.iter().map(|c| c.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|c| (400..600).contains(&c.status())));
    }
}
