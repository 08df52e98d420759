//! Tokens of an outside issuer (the go42 form), signed here: HS256, `aud: ["go42"]`, the key named by a `kid` that stands in the
//! claims and is the lower-case hex SHA-256 of the secret.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{digest, hmac};
use uuid::Uuid;

/// An issuer that the server was told to believe.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The shared secret; its UTF-8 bytes are the key.
    pub secret: String,
    /// `iss`.
    pub issuer: String,
    /// The one entry of `aud`.
    pub audience: String,
}

impl Issuer {
    /// A go42 issuer with this secret.
    #[must_use]
    pub fn go42(secret: &str) -> Self {
        Self { secret: secret.to_owned(), issuer: "go42".to_owned(), audience: "go42".to_owned() }
    }

    /// A token for `subject`, valid from now for so many seconds (negative: over already). All of one subject belong to one login, as
    /// those of a client do that comes back: a server keeps something of each login.
    #[must_use]
    pub fn token(&self, subject: Uuid, name: &str, seconds: i64) -> String {
        let now = unix_seconds();
        self.sign(&serde_json::json!({
            "iss": self.issuer, "aud": [self.audience], "sub": subject, "iat": now, "nbf": now,
            "exp": now + seconds, "jti": Uuid::now_v7(), "sid": subject, "kid": self.key_id(),
            "preferred_username": name,
        }))
    }

    /// Any claims, signed.
    #[must_use]
    pub fn sign(&self, claims: &serde_json::Value) -> String {
        let mut token = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(claims.to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let tag = hmac::sign(&key, token.as_bytes());
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(tag));
        token
    }

    /// The `kid` of the secret.
    #[must_use]
    pub fn key_id(&self) -> String {
        hex(digest::digest(&digest::SHA256, self.secret.as_bytes()).as_ref())
    }
}

/// A user id that is always the same for the same words.
#[must_use]
pub fn user_id(words: &str) -> Uuid {
    let digest = digest::digest(&digest::SHA256, words.as_bytes());
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    Uuid::new_v8(bytes)
}

/// Seconds since 1970.
#[must_use]
pub fn unix_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_id_is_the_hash_of_the_secret() {
        // From FIPS 180-4's example "abc".
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Issuer::go42("abc").key_id(), hash);
    }

    #[test]
    fn the_signature_is_that_of_the_rfc() {
        // RFC 7515, A.1, has another header; so only form and stability are held here, the server's tests hold the rest.
        let issuer = Issuer::go42("a secret of enough bytes to be taken");
        let (one, two) = (issuer.sign(&serde_json::json!({"sub": 1})), issuer.sign(&serde_json::json!({"sub": 1})));
        assert_eq!(one, two);
        assert_eq!(one.split('.').count(), 3);
        assert_ne!(one, issuer.sign(&serde_json::json!({"sub": 2})));
    }
}
