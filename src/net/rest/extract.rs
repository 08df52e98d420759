//! What a handler takes from a request. Each extractor answers with a [`Problem`], never with axum's own text.

use axum::RequestExt as _;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::request::Parts;
use http::{StatusCode, header};
use serde::de::DeserializeOwned;

use crate::auth::Claims;
use crate::base::Profile;
use crate::base::{ClientId, Code};
use crate::chat::{Actor, UserReply};
use crate::shard::{Ask, AskAnswer};

use super::RestState;
use super::problem::Problem;
use super::trace::Trace;

/// A JSON body of at most the route's own size (`DefaultBodyLimit`). Unknown fields are ignored.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<RestState> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &RestState) -> Result<Self, Problem> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default().to_owned());
        let json = kind.as_deref().is_some_and(is_json);
        let bytes: Bytes = request.extract().await.map_err(|rejection: axum::extract::rejection::BytesRejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Problem::from(Code::TooLarge)
            } else {
                Problem::because(Code::BadRequest, "The body could not be read to its end.")
            }
        })?;
        if bytes.is_empty() {
            return Err(Problem::because(Code::BadRequest, "The body is missing: a JSON object is expected."));
        }
        if !json {
            return Err(Problem::because(
                Code::UnsupportedMediaType,
                "The body must be JSON, and say so: Content-Type: application/json.",
            ));
        }
        parse(&bytes).map(Self)
    }
}

/// Whether a `Content-Type` means JSON in UTF-8.
fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde would take an array as well, field by field.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Problem::because(Code::BadJson, "The body is not a JSON object."));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            let problem = Problem::because(Code::BadRequest, format!("The body does not fit: {}.", short(&inner)));
            if path == "." { problem } else { problem.field(path) }
        } else {
            Problem::because(Code::BadJson, format!("The body is not JSON: {}.", short(&inner)))
        }
    })?;
    reader
        .end()
        .map_err(|error| Problem::because(Code::BadJson, format!("The body is not JSON: {}.", short(&error))))?;
    Ok(value)
}

/// serde's sentence, without what it quotes from the request (which may be a password) and not longer than a line.
fn short(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let mut out = String::new();
    // `invalid type: string "…", expected …`: what stands between is the client's own and not needed.
    let text = match (text.find("invalid type: "), text.find("invalid value: "), text.rfind(", expected ")) {
        (Some(_), _, Some(at)) | (_, Some(_), Some(at)) => &text[at + 2..],
        _ => &text,
    };
    out.extend(text.chars().take(200));
    out
}

/// The query string.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<RestState> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &RestState) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text: String = rejection.body_text().chars().take(200).collect();
                Err(Problem::because(Code::BadRequest, text))
            }
        }
    }
}

/// The ids in the path.
#[derive(Debug)]
pub struct Ids<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<RestState> for Ids<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &RestState) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) if rejection.status().is_client_error() => {
                Err(Problem::because(Code::BadRequest, "An id in the address is not a UUID."))
            }
            Err(rejection) => Err(Problem::internal(rejection.body_text())),
        }
    }
}

/// The access token of the request, its signature and times checked. Whether its session lives is not known yet.
fn claims(parts: &Parts, state: &RestState) -> Result<Claims, Problem> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Code::NotAuthenticated.into());
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or(Code::NotAuthenticated)?;
    Ok(state.keys.get().verify(token, state.gateway.now().wall)?)
}

/// Who calls: a valid token of a session that lives.
#[derive(Clone, Debug)]
pub struct Caller {
    /// For commands.
    pub actor: Actor,
    /// What others may see of the caller.
    pub profile: Profile,
    /// What the token says.
    pub claims: Claims,
}

impl FromRequestParts<RestState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &RestState) -> Result<Self, Problem> {
        let claims = claims(parts, state)?;
        let ask = Ask::Authenticate { claims: Box::new(claims.clone()) };
        let AskAnswer::User(UserReply::Identity(actor, profile)) = state.gateway.ask_user(claims.user, ask).await?
        else {
            return Err(Problem::unexpected("authentication"));
        };
        if let Some(trace) = parts.extensions.get::<Trace>() {
            trace.is(actor.user);
        }
        Ok(Self { actor: *actor, profile: *profile, claims })
    }
}

/// The `Idempotency-Key` header: the client's own id of what it wants done, a UUIDv7.
#[derive(Clone, Copy, Debug)]
pub struct IdempotencyKey(pub ClientId);

/// The same, where it may be left out.
#[derive(Clone, Copy, Debug)]
pub struct OptionalKey(pub Option<ClientId>);

/// The key, if the header is there.
fn key(parts: &Parts) -> Result<Option<ClientId>, Problem> {
    let Some(value) = parts.headers.get("idempotency-key") else { return Ok(None) };
    // The draft of the header writes it as a quoted string; both forms are taken.
    let id = value.to_str().ok().and_then(|text| text.trim().trim_matches('"').parse::<ClientId>().ok());
    match id {
        Some(id) if id.unix_ms().is_some() => Ok(Some(id)),
        _ => Err(Problem::because(Code::BadId, "The header Idempotency-Key is not a UUIDv7.").field("Idempotency-Key")),
    }
}

impl FromRequestParts<RestState> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &RestState) -> Result<Self, Problem> {
        key(parts)?.map(Self).ok_or_else(|| {
            let detail =
                "The header Idempotency-Key is missing: a fresh UUIDv7 for each message, the same for a retry.";
            Problem::because(Code::BadId, detail).field("Idempotency-Key")
        })
    }
}

impl FromRequestParts<RestState> for OptionalKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &RestState) -> Result<Self, Problem> {
        key(parts).map(Self)
    }
}
