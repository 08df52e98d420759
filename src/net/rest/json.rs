//! JSON that leaves: written with `<`, `>`, `&`, U+2028 and U+2029 escaped, so that no markup ever stands in an answer.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::problem::Problem;

/// A successful answer. Its body is written at once, so that it may borrow from what the handler holds.
#[derive(Debug)]
pub struct Reply(Response);

impl Reply {
    /// This status with this body.
    pub fn new<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Self {
        Self(match to_string(body) {
            Ok(text) => bytes(status, HeaderValue::from_static("application/json"), text),
            Err(error) => Problem::internal(format!("an answer could not be written: {error}")).into_response(),
        })
    }

    /// 200 with this body.
    pub fn ok<T: Serialize + ?Sized>(body: &T) -> Self {
        Self::new(StatusCode::OK, body)
    }

    /// 201 with this body.
    pub fn created<T: Serialize + ?Sized>(body: &T) -> Self {
        Self::new(StatusCode::CREATED, body)
    }

    /// 204.
    pub fn empty() -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Self(response)
    }

    /// With one header more.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().append(name, value);
        self
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        self.0
    }
}

/// A response of these bytes, never kept by caches.
pub(super) fn bytes(status: StatusCode, kind: HeaderValue, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The value as JSON text, escaped.
///
/// # Errors
/// When the value cannot be written as JSON.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string(value).map(|text| escape(&text))
}

/// Escapes what must not stand in JSON that leaves. These characters occur in JSON inside of strings only, and never after a
/// backslash, so that replacing them anywhere keeps the meaning.
fn escape(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out
}
