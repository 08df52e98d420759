//! Keys that tokens are checked with: from a shared secret, a PEM text, or a JWKS.
//!
//! Every key is bound to one algorithm when it is read; a token that names another one is never checked with it. Bytes come in
//! as arguments: where they are read from is the shell's business (`keys`).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{DecodingKey, DecodingKeyKind};

use super::provider::strip_zeroes;

/// Keys in one set.
pub const KEYS_MAX: usize = 64;
/// Bytes of one JWKS or PEM text.
pub const KEY_TEXT_BYTES_MAX: usize = 256 * 1024;
/// Secrets of which the token names one by its hash (the go42 rule).
pub const CLAIM_SECRETS_MAX: usize = 3;

const RSA_BYTES_MIN: usize = 256;

/// An algorithm that this server accepts. There is no `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256 and a shared secret.
    Hs256,
    /// RSA (PKCS #1 v1.5) with SHA-256, 2,048 bits and more.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// As it stands in a token's header and in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of that name, if it is one that is accepted here.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    pub(super) fn of(algorithm: jsonwebtoken::Algorithm) -> Option<Self> {
        Self::ALL.into_iter().find(|ours| ours.theirs() == algorithm)
    }

    pub(super) fn theirs(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// Why a key cannot be used. Never holds the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFlaw {
    /// The text is too long to be a key.
    #[error("it is longer than {KEY_TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// Not a PEM text with a public key.
    #[error("it is not a PEM text with a public key (\"BEGIN PUBLIC KEY\" or \"BEGIN RSA PUBLIC KEY\")")]
    NotPem,
    /// A private key, which has no business here.
    #[error("it is a private key; give the public one (openssl pkey -pubout)")]
    Private,
    /// A certificate.
    #[error("it is a certificate; give its public key (openssl x509 -pubkey -noout)")]
    Certificate,
    /// Another curve or kind of key.
    #[error("it is neither RSA nor P-256 nor Ed25519")]
    Kind,
    /// RSA below 2,048 bits.
    #[error("it is an RSA key below 2,048 bits")]
    Weak,
    /// A secret without a byte.
    #[error("it is empty")]
    Empty,
    /// Not a JWKS.
    #[error("it is not a JWKS (a JSON object with a list \"keys\")")]
    NotJwks,
    /// Too many keys.
    #[error("there are more than {KEYS_MAX} keys")]
    TooMany,
    /// Said not to be for checking signatures.
    #[error("it is not meant for signatures")]
    Use,
    /// A secret in a set that is meant to be public.
    #[error("it is a shared secret, which does not belong into a JWKS; set auth.external.secrets")]
    Secret,
    /// Says another algorithm than its kind allows.
    #[error("its algorithm does not fit its kind, or is none of HS256, RS256, ES256, EdDSA")]
    Mismatch,
}

/// One key, bound to one algorithm.
#[derive(Clone)]
pub struct Key {
    /// How tokens name it, if they do.
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) material: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The id of a secret under the go42 rule is its hash, which invites guessing: it is left out too.
        f.debug_struct("Key").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Key {
    /// A shared secret: the UTF-8 bytes as written.
    ///
    /// # Errors
    /// When it is empty.
    pub fn secret(secret: &str) -> Result<Self, KeyFlaw> {
        if secret.is_empty() {
            return Err(KeyFlaw::Empty);
        }
        Ok(Self { id: None, algorithm: Algorithm::Hs256, material: DecodingKey::from_secret(secret.as_bytes()) })
    }

    /// A shared secret that tokens name by the lower-case hex SHA-256 of its bytes.
    ///
    /// # Errors
    /// When it is empty.
    pub fn secret_with_hash(secret: &str) -> Result<Self, KeyFlaw> {
        let key = Self::secret(secret)?;
        Ok(Self { id: Some(super::hex_sha256(secret.as_bytes())), ..key })
    }

    /// An Ed25519 public key of 32 bytes.
    ///
    /// # Errors
    /// When it is not 32 bytes long.
    pub fn ed25519(public: &[u8], id: String) -> Result<Self, KeyFlaw> {
        checked(Algorithm::EdDsa, DecodingKey::from_ed_der(public), Some(id))
    }

    /// A public key from a PEM text; its kind says the algorithm.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn pem(text: &[u8]) -> Result<Self, KeyFlaw> {
        if text.len() > KEY_TEXT_BYTES_MAX {
            return Err(KeyFlaw::TooLong);
        }
        let label = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.split_once("-----BEGIN "))
            .and_then(|(_, rest)| rest.split_once("-----"))
            .map(|(label, _)| label)
            .ok_or(KeyFlaw::NotPem)?;
        match label {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => {}
            "CERTIFICATE" => return Err(KeyFlaw::Certificate),
            label if label.ends_with("PRIVATE KEY") => return Err(KeyFlaw::Private),
            _ => return Err(KeyFlaw::NotPem),
        }
        if let Ok(key) = DecodingKey::from_ed_pem(text) {
            return checked(Algorithm::EdDsa, key, None);
        }
        if let Ok(key) = DecodingKey::from_ec_pem(text) {
            return checked(Algorithm::Es256, key, None);
        }
        let key = DecodingKey::from_rsa_pem(text).map_err(|_| KeyFlaw::Kind)?;
        checked(Algorithm::Rs256, key, None)
    }

    /// How tokens name it, if they do.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Tells it from any other key, to see a change. Holds hashes of secrets: not for logs.
    #[must_use]
    #[cfg(feature = "server")]
    pub(crate) fn fingerprint(&self) -> String {
        let bytes = match self.material.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => bytes.clone(),
            DecodingKeyKind::RsaModulusExponent { n, e } => [strip_zeroes(n), strip_zeroes(e)].join(&[0; 8][..]),
        };
        let id = self.id.as_deref().unwrap_or_default();
        format!("{} {} {}", self.algorithm.name(), super::hex_sha256(id.as_bytes()), super::hex_sha256(&bytes))
    }

    /// Its one algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    // The library's enum may grow: what it comes to know is refused until it is known here too.
    #[expect(clippy::wildcard_enum_match_arm)]
    fn jwk(jwk: &Jwk) -> Result<Self, KeyFlaw> {
        let for_signatures = match &jwk.common.public_key_use {
            None | Some(PublicKeyUse::Signature) => true,
            Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_)) => false,
        };
        let may_verify =
            jwk.common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !for_signatures || !may_verify {
            return Err(KeyFlaw::Use);
        }
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::Rs256,
            AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => Algorithm::Es256,
            AlgorithmParameters::OctetKeyPair(point) if point.curve == EllipticCurve::Ed25519 => Algorithm::EdDsa,
            AlgorithmParameters::OctetKey(_) => return Err(KeyFlaw::Secret),
            // Other curves, and kinds that the library may come to know.
            _ => return Err(KeyFlaw::Kind),
        };
        if jwk.common.key_algorithm.is_some_and(|said| said != KeyAlgorithm::from(algorithm.theirs())) {
            return Err(KeyFlaw::Mismatch);
        }
        let key = DecodingKey::from_jwk(jwk).map_err(|_| KeyFlaw::Kind)?;
        checked(algorithm, key, jwk.common.key_id.clone())
    }
}

/// Holds sizes and forms that ring would only refuse later, token by token.
fn checked(algorithm: Algorithm, key: DecodingKey, id: Option<String>) -> Result<Key, KeyFlaw> {
    match (algorithm, key.kind()) {
        (Algorithm::EdDsa, DecodingKeyKind::SecretOrDer(point)) if point.len() != 32 => return Err(KeyFlaw::Kind),
        (Algorithm::Es256, DecodingKeyKind::SecretOrDer(point)) if point.len() != 65 || point[0] != 4 => {
            return Err(KeyFlaw::Kind);
        }
        // PKCS #1: the modulus and a few bytes around it.
        (Algorithm::Rs256, DecodingKeyKind::SecretOrDer(der)) if der.len() < RSA_BYTES_MIN + 8 => {
            return Err(KeyFlaw::Weak);
        }
        (Algorithm::Rs256, DecodingKeyKind::RsaModulusExponent { n, .. }) if strip_zeroes(n).len() < RSA_BYTES_MIN => {
            return Err(KeyFlaw::Weak);
        }
        _ => {}
    }
    Ok(Key { id, algorithm, material: key })
}

/// What was found in a JWKS.
#[derive(Debug, Default)]
pub struct Jwks {
    /// Keys that can be used.
    pub keys: Vec<Key>,
    /// Entries that were passed over: their `kid` (or place) and why. A set may hold keys for other purposes; that is no error.
    pub skipped: Vec<(String, KeyFlaw)>,
}

/// Reads a JWKS. An entry that cannot be used is passed over and named.
///
/// # Errors
/// When it is no JWKS at all, or too large.
pub fn parse_jwks(text: &[u8]) -> Result<Jwks, KeyFlaw> {
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    if text.len() > KEY_TEXT_BYTES_MAX {
        return Err(KeyFlaw::TooLong);
    }
    let set: Set = serde_json::from_slice(text).map_err(|_| KeyFlaw::NotJwks)?;
    if set.keys.len() > KEYS_MAX {
        return Err(KeyFlaw::TooMany);
    }
    let mut found = Jwks::default();
    for (place, entry) in set.keys.into_iter().enumerate() {
        let name = entry
            .get("kid")
            .and_then(|kid| kid.as_str())
            .map_or_else(|| format!("number {}", place + 1), str::to_owned);
        let key = serde_json::from_value::<Jwk>(entry).map_err(|_| KeyFlaw::Kind).and_then(|jwk| Key::jwk(&jwk));
        match key {
            Ok(key) => found.keys.push(key),
            Err(flaw) => found.skipped.push((name, flaw)),
        }
    }
    Ok(found)
}
