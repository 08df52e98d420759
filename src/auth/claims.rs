//! What a token's payload says, read into [`Claims`]: the mapping and its checks. Signatures were checked before.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Claims, External, sha256};
use crate::base::{DeviceId, SessionId, UserId, WallTime, limits, text};

/// `iss` of the server's own tokens.
pub const OWN_ISSUER: &str = "causerie";

/// Characters of `sub`, `iss` and the session's claim.
const TEXT_BYTES_MAX: usize = 512;
/// The end of the year 9999: later times are as good as this one.
const SECONDS_MAX: f64 = 253_402_300_799.0;
/// How far the server's own clock may have been set back since it signed, in milliseconds.
const OWN_SKEW_MS: u64 = 60_000;

/// A token's payload.
pub type Payload = Map<String, Value>;

/// What is wrong with a token. For the log of whoever runs the server; who sent it learns only `token_expired` or
/// `not_authenticated`. Holds nothing of the token but names of claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Longer than allowed.
    #[error("it is too long")]
    TooLong,
    /// Not a JWT.
    #[error("it is not a JWT")]
    Malformed,
    /// Its header demands an extension.
    #[error("its header demands an extension (crit)")]
    Critical,
    /// Its algorithm is not allowed here (`none` included).
    #[error("its algorithm is not allowed here")]
    Algorithm,
    /// No key fits its `kid` and algorithm.
    #[error("no key fits its kid and algorithm")]
    NoKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// A claim is missing or has the wrong form.
    #[error("its claim {0} is missing or has the wrong form")]
    Claim(&'static str),
    /// Another issuer.
    #[error("its issuer is not auth.external.issuer")]
    Issuer,
    /// For somebody else.
    #[error("its audience is not auth.external.audience")]
    Audience,
    /// Expired.
    #[error("it has expired")]
    Expired,
    /// Not yet valid, or made in the future.
    #[error("its {0} lies in the future (is a clock wrong?)")]
    Future(&'static str),
}

/// What an external token must say, and where it says what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// One of these must be `iss`; empty: any, or none.
    pub issuers: Vec<String>,
    /// One of these must be (in) `aud`; empty: a token that names an audience is refused, since it is meant for somebody else.
    pub audiences: Vec<String>,
    /// How far the clocks may be apart, in milliseconds.
    pub leeway_ms: u64,
    /// The claim with the username.
    pub username_claim: String,
    /// The claim with the display name.
    pub display_name_claim: String,
    /// The claims with the session; the first that is there counts.
    pub session_claims: Vec<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway_ms: 30_000,
            username_claim: "preferred_username".to_owned(),
            display_name_claim: "name".to_owned(),
            session_claims: vec!["sid".to_owned(), "jti".to_owned()],
        }
    }
}

/// The payload of one of the server's own tokens.
#[must_use]
pub fn write_own(user: UserId, session: SessionId, device: DeviceId, now: WallTime, expires_at: WallTime) -> Payload {
    let mut payload = Map::new();
    let mut put = |name: &str, value: Value| drop(payload.insert(name.to_owned(), value));
    put("iss", OWN_ISSUER.into());
    put("sub", user.to_string().into());
    put("sid", session.to_string().into());
    put("did", device.to_string().into());
    put("iat", now.seconds().into());
    put("exp", expires_at.seconds().into());
    payload
}

/// Reads one of the server's own tokens.
///
/// # Errors
/// Says what is wrong with it.
pub fn read_own(payload: &Payload, now: WallTime) -> Result<Claims, Flaw> {
    if payload.get("iss").and_then(Value::as_str) != Some(OWN_ISSUER) {
        return Err(Flaw::Issuer);
    }
    let issued_at = time(payload, "iat")?.ok_or(Flaw::Claim("iat"))?;
    let expires_at = time(payload, "exp")?.ok_or(Flaw::Claim("exp"))?;
    if now >= expires_at {
        return Err(Flaw::Expired);
    }
    if issued_at > now.plus_ms(OWN_SKEW_MS) {
        return Err(Flaw::Future("iat"));
    }
    let device = payload.get("did").map(|_| id(payload, "did")).transpose()?;
    Ok(Claims {
        user: UserId(id(payload, "sub")?),
        session: SessionId(id(payload, "sid")?),
        device: device.map(DeviceId),
        issued_at,
        expires_at,
        external: None,
    })
}

/// Reads a token of an external issuer.
///
/// # Errors
/// Says what is wrong with it.
pub fn read_external(payload: &Payload, rules: &Rules, now: WallTime) -> Result<Claims, Flaw> {
    let issuer = match payload.get("iss") {
        None => "",
        Some(_) => string(payload, "iss")?,
    };
    if !rules.issuers.is_empty() && !rules.issuers.iter().any(|allowed| allowed == issuer) {
        return Err(Flaw::Issuer);
    }
    if !audience_fits(payload.get("aud"), &rules.audiences)? {
        return Err(Flaw::Audience);
    }
    let expires_at = time(payload, "exp")?.ok_or(Flaw::Claim("exp"))?.plus_ms(rules.leeway_ms);
    if now >= expires_at {
        return Err(Flaw::Expired);
    }
    let issued_at = time(payload, "iat")?;
    let not_before = time(payload, "nbf")?;
    for (name, at) in [("iat", issued_at), ("nbf", not_before)] {
        if at.is_some_and(|at| at > now.plus_ms(rules.leeway_ms)) {
            return Err(Flaw::Future(name));
        }
    }
    let subject = string(payload, "sub")?;
    if subject.is_empty() {
        return Err(Flaw::Claim("sub"));
    }
    let user = external_user(issuer, subject);
    let login = rules.session_claims.iter().find_map(|name| payload.get(name)?.as_str());
    if login.is_some_and(|login| login.len() > TEXT_BYTES_MAX) {
        return Err(Flaw::Claim("sid"));
    }
    let text_of = |name: &str| payload.get(name).and_then(Value::as_str);
    Ok(Claims {
        user,
        session: external_session(user, login.unwrap_or_default()),
        device: None,
        issued_at: issued_at.or(not_before).unwrap_or(now),
        expires_at,
        external: Some(External {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            username: text_of(&rules.username_claim)
                .filter(|name| text::check_username(name).is_ok())
                .map(str::to_owned),
            display_name: text_of(&rules.display_name_claim)
                .filter(|name| text::check_line(name, limits::DISPLAY_NAME_CHARS_MAX).is_ok())
                .map(str::to_owned),
        }),
    })
}

/// The id of an external user: the subject if that is a UUID (and not the nil one), else a UUIDv8 of
/// SHA-256(issuer ‖ 0 ‖ subject).
#[must_use]
pub fn external_user(issuer: &str, subject: &str) -> UserId {
    if let Some(id) = Uuid::try_parse(subject).ok().filter(|id| !id.is_nil()) {
        return UserId(id);
    }
    UserId(hashed(&[issuer.as_bytes(), &[0], subject.as_bytes()]))
}

/// The id of an external session: a UUIDv8 of SHA-256(user ‖ what the token calls it).
#[must_use]
pub fn external_session(user: UserId, login: &str) -> SessionId {
    SessionId(hashed(&[user.bytes(), login.as_bytes()]))
}

fn hashed(parts: &[&[u8]]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&sha256(&parts.concat())[..16]);
    Uuid::new_v8(bytes)
}

fn string<'a>(payload: &'a Payload, name: &'static str) -> Result<&'a str, Flaw> {
    payload.get(name).and_then(Value::as_str).filter(|text| text.len() <= TEXT_BYTES_MAX).ok_or(Flaw::Claim(name))
}

fn id(payload: &Payload, name: &'static str) -> Result<Uuid, Flaw> {
    Uuid::try_parse(string(payload, name)?).map_err(|_| Flaw::Claim(name))
}

/// A `NumericDate` (RFC 7519, 2): seconds, perhaps with a fraction.
fn time(payload: &Payload, name: &'static str) -> Result<Option<WallTime>, Flaw> {
    let Some(value) = payload.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0).ok_or(Flaw::Claim(name))?;
    // Between 0 and 2.6e14, so the cast keeps the whole milliseconds.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let ms = (seconds.min(SECONDS_MAX) * 1000.0) as u64;
    Ok(Some(WallTime(ms)))
}

fn audience_fits(said: Option<&Value>, allowed: &[String]) -> Result<bool, Flaw> {
    let fits = |name: &str| allowed.iter().any(|allowed| allowed == name);
    match said {
        None => Ok(allowed.is_empty()),
        Some(Value::String(name)) => Ok(fits(name)),
        Some(Value::Array(names)) => {
            let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
            Ok(names.ok_or(Flaw::Claim("aud"))?.into_iter().any(fits))
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Err(Flaw::Claim("aud")),
    }
}
