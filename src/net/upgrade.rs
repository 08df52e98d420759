//! The upgrade of a request to a WebSocket (RFC 6455, 4.2): what is checked before anything of the chat is reached.
//!
//! Promises: a bad token, a foreign origin or a wrong handshake is answered by HTTP with a problem that says what to do; no cookie
//! opens a socket; a request without a token is let through and must authenticate with its first frame.

use std::net::IpAddr;
use std::pin::Pin;

use axum::body::Body as AxumBody;
use http::header::{self, HeaderMap};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};

use super::rest::{Keys, Problem, Reach};
use super::{Settings, http::problem, origin};
use crate::auth::Claims;
use crate::base::{Code, Refusal};
use crate::shard::{Ask, Opened};

/// Characters of a `User-Agent` that are kept.
const AGENT_CHARS_MAX: usize = 200;
/// Bytes of a token; a larger one is none of ours.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What a request wants to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Chat,
    Echo,
}

/// A request that was let through.
#[derive(Debug)]
pub(crate) struct Upgrade {
    pub(crate) target: Target,
    pub(crate) opened: Opened,
}

/// Checks an access token before the upgrade.
pub trait Authenticator: Send + Sync {
    /// Signature, times, and whether the session lives.
    fn authenticate<'a>(&'a self, token: &'a str) -> Authenticating<'a>;
}

/// The answer of an [`Authenticator`], or why not.
pub type Authenticating<'a> = Pin<Box<dyn Future<Output = Result<Claims, Refusal>> + Send + 'a>>;

/// The real one: the keys of the moment, then the user's owner.
pub struct TokenAuthenticator {
    keys: Keys,
    gateway: Reach,
}

impl TokenAuthenticator {
    /// Checks with these keys and asks through this gateway.
    #[must_use]
    pub fn new(keys: Keys, gateway: Reach) -> Self {
        Self { keys, gateway }
    }
}

impl Authenticator for TokenAuthenticator {
    fn authenticate<'a>(&'a self, token: &'a str) -> Authenticating<'a> {
        Box::pin(async move {
            let claims = self.keys.get().verify(token, self.gateway.now().wall)?;
            self.gateway.ask_user(claims.user, Ask::Authenticate { claims: Box::new(claims.clone()) }).await?;
            Ok(claims)
        })
    }
}

/// Why an upgrade was refused.
#[derive(Debug)]
pub(crate) enum Refused {
    /// A refusal of ours.
    Problem(Refusal),
    /// Not a handshake of version 13: says which one is wanted.
    Upgrade(&'static str),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Problem(refusal)
    }
}

impl Refused {
    pub(crate) fn into_response(self) -> Response<AxumBody> {
        match self {
            Self::Problem(refusal) => problem(refusal),
            Self::Upgrade(what) => {
                let mut response = problem(Problem::because(Code::BadRequest, what));
                *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
                let headers = response.headers_mut();
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                response
            }
        }
    }
}

/// Checks a request for a socket. `Ok`: the 101 to be sent, and what the connection becomes after it.
pub(crate) async fn check<B>(
    request: &Request<B>,
    target: Target,
    peer: IpAddr,
    authenticator: &dyn Authenticator,
    settings: &Settings,
) -> Result<(Response<()>, Upgrade), Refused> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(Refusal::because(Code::MethodNotAllowed, "A socket is opened with GET.").into());
    }
    let accept = handshake(request.version(), headers)?;
    if let Some(from) = headers.get(header::ORIGIN) {
        let from = from.to_str().unwrap_or_default();
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        if !origin::allowed(from, host, &settings.origins) {
            audit(peer, Code::BadOrigin);
            return Err(Refusal::new(Code::BadOrigin).into());
        }
    }
    let claims = match (target, bearer(headers)?) {
        (Target::Echo, _) | (_, None) => None,
        (Target::Chat, Some(token)) => Some(authenticator.authenticate(token).await.inspect_err(|refusal| {
            audit(peer, refusal.code);
        })?),
    };
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let agent = agent.chars().take(AGENT_CHARS_MAX).collect();
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::UPGRADE, "websocket")
        .header(header::CONNECTION, "Upgrade")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept)
        .body(())
        .map_err(|_| Refusal::new(Code::Internal))?;
    Ok((response, Upgrade { target, opened: Opened { peer, claims, agent } }))
}

fn audit(peer: IpAddr, code: Code) {
    tracing::info!(target: "audit", what = "refused", %peer, route = "/ws/chat", code = code.name());
}

/// RFC 6455, 4.2.1; answers the value of `Sec-WebSocket-Accept`.
fn handshake(version: Version, headers: &HeaderMap) -> Result<String, Refused> {
    if version != Version::HTTP_11 {
        return Err(Refused::Upgrade("A socket is opened by HTTP/1.1."));
    }
    if !has_word(headers, header::UPGRADE, "websocket") {
        return Err(Refused::Upgrade("This address is a WebSocket: send Upgrade: websocket."));
    }
    if !has_word(headers, header::CONNECTION, "upgrade") {
        return Err(Refused::Upgrade("The header Connection must contain Upgrade."));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refused::Upgrade("Only Sec-WebSocket-Version: 13 is spoken here."));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    let sixteen = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, key).map(|bytes| bytes.len());
    if headers.get_all(header::SEC_WEBSOCKET_KEY).iter().count() != 1 || !matches!(sixteen, Ok(16)) {
        let wanted = "Sec-WebSocket-Key must be given once: 16 bytes in base64.";
        return Err(Refusal::because(Code::BadRequest, wanted).into());
    }
    Ok(tungstenite::handshake::derive_accept_key(key))
}

/// Whether a header that is a list holds this word.
fn has_word(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(word))
}

/// The token of `Authorization: Bearer`, if that header is there at all.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = given.next() else { return Ok(None) };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    match token {
        Some(token) if !token.is_empty() && token.len() <= TOKEN_BYTES_MAX && given.next().is_none() => Ok(Some(token)),
        _ => Err(Refusal::because(
            Code::NotAuthenticated,
            "The header Authorization must be given once, as Bearer <token>.",
        )),
    }
}
