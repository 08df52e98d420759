//! Every wrong thing as RFC 9457 `application/problem+json`, with the stable code of [`Code`].

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::base::{Code, Refusal};
use crate::store::Failure;

use super::json;

/// The media type of a problem.
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Why a request was not done. Becomes the answer; what is only for the log stays in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    refusal: Refusal,
    field: Option<String>,
    log: Option<String>,
}

/// The body of every answer that is not a success.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Where this kind of problem is described.
    #[serde(rename = "type")]
    pub kind: String,
    /// A sentence that is the same for every problem with this code.
    pub title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// Stable; programs go by this.
    pub code: &'static str,
    /// What to do about it.
    pub advice: &'static str,
    /// Which field of the request is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// When the same may be tried again, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// What the log and the audit log want to know of a problem; rides in the response's extensions.
#[derive(Clone, Debug)]
pub struct Logged {
    /// The code.
    pub code: Code,
    /// More than the client is told.
    pub log: Option<String>,
}

impl Problem {
    /// A problem with a sentence of its own.
    pub fn because(code: Code, detail: impl Into<String>) -> Self {
        Refusal::because(code, detail).into()
    }

    /// Names the field that is meant.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Our own fault: the client is told nothing of it, the log everything.
    pub fn internal(log: impl Into<String>) -> Self {
        Self { log: Some(log.into()), ..Code::Internal.into() }
    }

    /// Somebody of ours gave an answer that does not belong to the question. (What it says may be text of people: not logged.)
    pub fn unexpected(who: &str) -> Self {
        Self::internal(format!("{who} gave an answer that does not belong to the question"))
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.refusal.code
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self { field: refusal.field.map(str::to_owned), refusal, log: None }
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Refusal::new(code).into()
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let log = Some(failure.to_string());
        match failure {
            Failure::Unavailable(_) => Self { log, ..Refusal::new(Code::StorageUnavailable).retry_after(1000).into() },
            Failure::Damaged(_) | Failure::Misuse(_) => Self { log, ..Code::Internal.into() },
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = self.refusal.code;
        let body = ProblemBody {
            kind: format!("/api/problems#{}", code.name()),
            title: code.sentence(),
            status: code.status(),
            detail: self.refusal.to_string(),
            code: code.name(),
            advice: code.advice(),
            field: self.field,
            retry_after_ms: self.refusal.retry_after_ms,
        };
        // Plain strings and numbers: writing them cannot fail. An empty body with the right status is the honest rest.
        let text = crate::wire::native::json::to_string(&body).unwrap_or_default();
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json::bytes(status, PROBLEM_JSON, text);
        if let Some(ms) = self.refusal.retry_after_ms {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000).max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Logged { code, log: self.log });
        response
    }
}
