//! Access tokens: made and checked.
//!
//! Promises: a key checks only tokens of its own algorithm; `alg: none`, an algorithm outside the allow-list and a header that
//! demands extensions are refused; `exp` is required; times are held against the `now` that is handed in, never against a clock.
//! It does not know whether a session still lives: the user's owner does.

use jsonwebtoken::{EncodingKey, Header, Validation, decode, decode_header, encode};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::claims::{self, Flaw, Payload, Rules};
use super::keyset::{Algorithm, CLAIM_SECRETS_MAX, KEYS_MAX, Key, KeyFlaw};
use super::{Claims, provider};
use crate::base::{Code, DeviceId, Refusal, SessionId, UserId, WallTime};

/// Bytes of a token.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// How long one of the server's own access tokens lives unless configured otherwise, in milliseconds.
pub const ACCESS_MS: u64 = 15 * 60 * 1000;

/// Puts the signatures of ring in place for the whole process. Call it first in `main`; makers of [`Verifier`] and [`Signer`]
/// call it too, so that tests need not.
pub fn install_provider() {
    provider::install();
}

/// How a token of an external issuer says which key signed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyId {
    /// By `kid` in its header, or not at all.
    #[default]
    Header,
    /// By a claim `kid`: the lower-case hex SHA-256 of the secret (the go42 rule). If it fits none, the first secret is tried.
    ClaimSha256,
}

/// Why a [`Verifier`] cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetFlaw {
    /// Nothing to check with.
    #[error("there is no key for any allowed algorithm")]
    NoKey,
    /// More than a set may hold.
    #[error("there are more than {KEYS_MAX} keys")]
    TooMany,
    /// A key whose algorithm is not in the list.
    #[error("there is a key for {}, which is not among the allowed algorithms", .0.name())]
    NotAllowed(Algorithm),
    /// The go42 rule is about shared secrets.
    #[error("key_id = \"claim_sha256\" needs HS256 secrets, at most {CLAIM_SECRETS_MAX}, and no other keys")]
    ClaimSecrets,
}

#[derive(Debug)]
enum Mode {
    Own,
    External { rules: Rules, key_id: KeyId },
}

/// Checks tokens against the keys of the moment. Immutable; a change of keys makes a new one.
#[derive(Debug)]
pub struct Verifier {
    mode: Mode,
    keys: Vec<Key>,
    checks: Vec<(Algorithm, Validation)>,
}

impl Verifier {
    /// For the server's own tokens: its present and earlier public keys, each with its id.
    ///
    /// # Errors
    /// When there is none, or too many.
    pub fn own(keys: Vec<Key>) -> Result<Self, SetFlaw> {
        Self::new(Mode::Own, keys, &[Algorithm::EdDsa])
    }

    /// For tokens of an external issuer. The newest secret comes first.
    ///
    /// # Errors
    /// When keys, algorithms and `key_id` do not go together.
    pub fn external(rules: Rules, key_id: KeyId, algorithms: &[Algorithm], keys: Vec<Key>) -> Result<Self, SetFlaw> {
        if key_id == KeyId::ClaimSha256
            && (keys.len() > CLAIM_SECRETS_MAX || keys.iter().any(|key| key.algorithm != Algorithm::Hs256))
        {
            return Err(SetFlaw::ClaimSecrets);
        }
        Self::new(Mode::External { rules, key_id }, keys, algorithms)
    }

    fn new(mode: Mode, keys: Vec<Key>, algorithms: &[Algorithm]) -> Result<Self, SetFlaw> {
        provider::install();
        if keys.len() > KEYS_MAX {
            return Err(SetFlaw::TooMany);
        }
        if let Some(key) = keys.iter().find(|key| !algorithms.contains(&key.algorithm)) {
            return Err(SetFlaw::NotAllowed(key.algorithm));
        }
        if keys.is_empty() {
            return Err(SetFlaw::NoKey);
        }
        let checks = algorithms.iter().map(|algorithm| (*algorithm, signature_only(*algorithm))).collect();
        Ok(Self { mode, keys, checks })
    }

    /// Whether accounts are kept elsewhere.
    #[must_use]
    pub fn is_external(&self) -> bool {
        matches!(self.mode, Mode::External { .. })
    }

    /// Checks signature, issuer, audience and times. Why a token was refused goes to the log (level `debug`).
    ///
    /// # Errors
    /// `token_expired` or `not_authenticated`; never says why in more detail than that.
    pub fn verify(&self, token: &str, now: WallTime) -> Result<Claims, Refusal> {
        self.check(token, now).map_err(|flaw| {
            tracing::debug!(target: "auth", %flaw, "token refused");
            Refusal::new(if flaw == Flaw::Expired { Code::TokenExpired } else { Code::NotAuthenticated })
        })
    }

    /// The same as [`Verifier::verify`], and says what is wrong.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn check(&self, token: &str, now: WallTime) -> Result<Claims, Flaw> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Flaw::TooLong);
        }
        let alg_known = alg_of(token)?;
        let header = decode_header(token).map_err(|_| if alg_known { Flaw::Malformed } else { Flaw::Algorithm })?;
        if header.crit.is_some() {
            return Err(Flaw::Critical);
        }
        let algorithm = Algorithm::of(header.alg).ok_or(Flaw::Algorithm)?;
        let (_, check) = self.checks.iter().find(|(allowed, _)| *allowed == algorithm).ok_or(Flaw::Algorithm)?;
        let payload = self.open(token, &header, algorithm, check)?;
        match &self.mode {
            Mode::Own => claims::read_own(&payload, now),
            Mode::External { rules, .. } => claims::read_external(&payload, rules, now),
        }
    }

    /// Tries the keys that may have signed, until one fits.
    fn open(&self, token: &str, header: &Header, algorithm: Algorithm, check: &Validation) -> Result<Payload, Flaw> {
        let mut tried = false;
        for key in self.candidates(token, header)? {
            if key.algorithm != algorithm {
                continue;
            }
            tried = true;
            match decode::<Payload>(token, &key.material, check) {
                Ok(data) => return Ok(data.claims),
                Err(error) if *error.kind() == jsonwebtoken::errors::ErrorKind::InvalidSignature => {}
                Err(_) => return Err(Flaw::Malformed),
            }
        }
        Err(if tried { Flaw::Signature } else { Flaw::NoKey })
    }

    fn candidates(&self, token: &str, header: &Header) -> Result<Vec<&Key>, Flaw> {
        match &self.mode {
            Mode::External { key_id: KeyId::ClaimSha256, .. } => {
                // Not yet checked: it only says which key to try.
                let payload: Payload =
                    jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| Flaw::Malformed)?;
                let named = payload.get("kid").and_then(|kid| kid.as_str());
                let fitting = self.keys.iter().find(|key| named.is_some() && key.id.as_deref() == named);
                Ok(fitting.or(self.keys.first()).into_iter().collect())
            }
            Mode::Own => Ok(self.keys.iter().filter(|key| key.id == header.kid).collect()),
            // A key without an id cannot be named, so it is tried in any case; one with an id only when it is meant.
            Mode::External { key_id: KeyId::Header, .. } => Ok(self
                .keys
                .iter()
                .filter(|key| header.kid.is_none() || key.id.is_none() || key.id == header.kid)
                .collect()),
        }
    }
}

/// Whether the header names an algorithm that the library knows, to tell `alg: none` from garbage in the log.
fn alg_of(token: &str) -> Result<bool, Flaw> {
    use base64::Engine as _;
    let (head, _) = token.split_once('.').ok_or(Flaw::Malformed)?;
    let head = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(head).map_err(|_| Flaw::Malformed)?;
    let head: Payload = serde_json::from_slice(&head).map_err(|_| Flaw::Malformed)?;
    let alg = head.get("alg").and_then(|alg| alg.as_str()).ok_or(Flaw::Malformed)?;
    Ok(Algorithm::of_name(alg).is_some())
}

/// The library checks the signature and nothing else: it would read its own clock.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm.theirs());
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// Signs the server's own tokens with Ed25519.
pub struct Signer {
    key: EncodingKey,
    id: String,
    public: [u8; 32],
    ttl_ms: u64,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("id", &self.id).field("ttl_ms", &self.ttl_ms).finish_non_exhaustive()
    }
}

impl Signer {
    /// From a PKCS #8 Ed25519 key; its tokens live for `ttl_ms`.
    ///
    /// # Errors
    /// When it is no such key.
    pub fn from_pkcs8(pkcs8: &[u8], ttl_ms: u64) -> Result<Self, KeyFlaw> {
        provider::install();
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| KeyFlaw::Kind)?;
        let public: [u8; 32] = pair.public_key().as_ref().try_into().map_err(|_| KeyFlaw::Kind)?;
        let mut id = super::hex_sha256(&public);
        id.truncate(16);
        Ok(Self { key: EncodingKey::from_ed_der(pkcs8), id, public, ttl_ms })
    }

    /// From 32 random bytes, for tests and tools.
    ///
    /// # Errors
    /// Not for any seed that is known.
    pub fn from_seed(seed: [u8; 32], ttl_ms: u64) -> Result<Self, KeyFlaw> {
        // PKCS #8 v1 around an Ed25519 seed (RFC 8410, 7).
        const HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        Self::from_pkcs8(&[HEAD.as_slice(), &seed].concat(), ttl_ms)
    }

    /// The public half, for [`Verifier::own`].
    ///
    /// # Errors
    /// Not for a key that was made.
    pub fn public(&self) -> Result<Key, KeyFlaw> {
        Key::ed25519(&self.public, self.id.clone())
    }

    /// The `kid` of its tokens.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How long its tokens live, in milliseconds.
    #[must_use]
    pub fn ttl_ms(&self) -> u64 {
        self.ttl_ms
    }

    /// An access token, and when it ends.
    ///
    /// # Errors
    /// `internal`, when the key cannot sign.
    pub fn sign(
        &self,
        user: UserId,
        session: SessionId,
        device: DeviceId,
        now: WallTime,
    ) -> Result<(String, WallTime), Refusal> {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(jsonwebtoken::Algorithm::EdDSA) };
        let expires_at = WallTime(now.plus_ms(self.ttl_ms).seconds() * 1000);
        let payload = claims::write_own(user, session, device, now, expires_at);
        let token = encode(&header, &payload, &self.key).map_err(|_| Refusal::new(Code::Internal))?;
        Ok((token, expires_at))
    }
}

/// Signs a token of an external issuer with a shared secret, as that issuer would: for load runs and tests. `key_id` decides
/// whether `kid` is put among the claims.
///
/// # Errors
/// `internal`, when the payload cannot be written.
pub fn sign_with_secret(secret: &str, key_id: KeyId, mut payload: Payload) -> Result<String, Refusal> {
    provider::install();
    if key_id == KeyId::ClaimSha256 {
        payload.insert("kid".to_owned(), super::hex_sha256(secret.as_bytes()).into());
    }
    let header = Header::new(jsonwebtoken::Algorithm::HS256);
    encode(&header, &payload, &EncodingKey::from_secret(secret.as_bytes())).map_err(|_| Refusal::new(Code::Internal))
}
