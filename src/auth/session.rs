//! Sessions: how one begins, what its refresh token looks like, how it is renewed. Random bytes and `now` are arguments.
//!
//! A refresh token is `user.session.secret`, each part base64url: the first two say where to look, the third is 32 random bytes.
//! Only the SHA-256 of the whole is kept. It is good for one use; the second use of one ends the session
//! ([`crate::store::Write::RotateRefresh`]), since then two people hold it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::sha256;
use crate::base::{Code, DeviceId, Refusal, Session, SessionId, UserId, WallTime};

/// How long a refresh token lives, in milliseconds: 30 days.
pub const REFRESH_MS: u64 = 30 * 24 * 3_600_000;
/// Characters of a `User-Agent` that are kept.
pub const AGENT_CHARS_MAX: usize = 200;

/// A refresh token as the client has it. Never logged: its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    user: UserId,
    session: SessionId,
    text: String,
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshToken").field("session", &self.session).finish_non_exhaustive()
    }
}

impl RefreshToken {
    /// A new one around 32 random bytes.
    #[must_use]
    pub fn new(user: UserId, session: SessionId, secret: [u8; 32]) -> Self {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let text = format!("{}.{}.{}", part(user.bytes()), part(session.bytes()), part(&secret));
        Self { user, session, text }
    }

    /// Reads what a client shows.
    ///
    /// # Errors
    /// `not_authenticated` when it is no refresh token.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let malformed = || Refusal::because(Code::NotAuthenticated, "This is not a refresh token.");
        // Two parts of 22 characters, one of 43, two dots.
        if text.len() != 89 {
            return Err(malformed());
        }
        let mut parts = text.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let mut next = || parts.next().flatten();
        let id = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| Uuid::from_slice(&bytes).ok());
        let user = id(next()).map(UserId).ok_or_else(malformed)?;
        let session = id(next()).map(SessionId).ok_or_else(malformed)?;
        let secret: [u8; 32] = next().and_then(|bytes| bytes.try_into().ok()).ok_or_else(malformed)?;
        let token = Self::new(user, session, secret);
        // One text for one token: nothing that decodes to the same bytes by another spelling.
        if token.text == text { Ok(token) } else { Err(malformed()) }
    }

    /// Whose it says it is.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Of which session it says it is.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// For the client.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// For the store.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.text.as_bytes())
    }
}

/// What a session is begun with.
#[derive(Clone, Debug)]
pub struct Begin {
    /// Whose.
    pub user: UserId,
    /// A fresh id.
    pub session: SessionId,
    /// The client's own device id, or a fresh one.
    pub device: DeviceId,
    /// 32 random bytes.
    pub secret: [u8; 32],
    /// `User-Agent`, of any length.
    pub agent: String,
}

/// Begins a session: its record and its first refresh token.
#[must_use]
pub fn begin(begin: &Begin, now: WallTime) -> (Session, RefreshToken) {
    let token = RefreshToken::new(begin.user, begin.session, begin.secret);
    let session = Session {
        id: begin.session,
        user: begin.user,
        device: begin.device,
        created_at: now,
        used_at: now,
        expires_at: now.plus_ms(REFRESH_MS),
        refresh_hash: token.hash(),
        previous_hash: [0; 32],
        ended_at: None,
        agent: clean_agent(&begin.agent),
    };
    (session, token)
}

/// Whether a session lives: not ended, not run out, and begun after the last change of password.
#[must_use]
pub fn lives(session: &Session, sessions_valid_from: WallTime, now: WallTime) -> bool {
    session.ended_at.is_none() && now < session.expires_at && session.created_at >= sessions_valid_from
}

/// A `User-Agent` cut to what is kept, without control characters.
#[must_use]
pub fn clean_agent(agent: &str) -> String {
    agent.chars().filter(|c| !c.is_control()).take(AGENT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> RefreshToken {
        RefreshToken::new(UserId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)), [3; 32])
    }

    #[test]
    fn a_refresh_token_is_read_back_and_hashes_as_a_whole() {
        let token = token();
        let read = RefreshToken::parse(token.text()).expect("our own");
        assert_eq!(read, token);
        assert_eq!(read.hash(), token.hash());
        let other = RefreshToken::new(UserId(Uuid::from_u128(9)), token.session(), [3; 32]);
        assert_ne!(other.hash(), token.hash());
        assert!(!format!("{token:?}").contains(token.text().rsplit('.').next().expect("a part")));
    }

    #[test]
    fn other_spellings_of_the_same_bytes_are_refused() {
        let good = token().text().to_owned();
        // The last character of a 22-character part carries 4 unused bits.
        let (head, rest) = good.split_at(21);
        for last in ['h', 'R', '_'] {
            let odd = format!("{head}{last}{}", &rest[1..]);
            assert_ne!(RefreshToken::parse(&odd).ok(), Some(token()), "{odd}");
        }
        for odd in ["", "a.b.c", &good[1..], &format!("{good}="), &good.replace('.', "-")] {
            assert_eq!(RefreshToken::parse(odd).expect_err(odd).code, Code::NotAuthenticated);
        }
    }

    #[test]
    fn a_session_ends_by_itself_by_hand_and_by_a_new_password() {
        let ids = Begin {
            user: UserId(Uuid::from_u128(1)),
            session: SessionId(Uuid::from_u128(2)),
            device: DeviceId(Uuid::from_u128(3)),
            secret: [4; 32],
            agent: "x\n".repeat(300),
        };
        let now = WallTime(1_000_000);
        let (mut session, token) = begin(&ids, now);
        assert_eq!(session.refresh_hash, token.hash());
        assert_eq!(session.agent, "x".repeat(200));
        assert!(lives(&session, now, now));
        assert!(!lives(&session, now, now.plus_ms(REFRESH_MS)));
        assert!(!lives(&session, now.plus_ms(1), now));
        session.ended_at = Some(now);
        assert!(!lives(&session, WallTime(0), now));
    }

    proptest! {
        #[test]
        fn nothing_that_is_shown_makes_it_panic(text in "\\PC{0,100}|[A-Za-z0-9_.-]{89}") {
            if let Ok(token) = RefreshToken::parse(&text) {
                prop_assert_eq!(token.text(), text);
            }
        }
    }
}
