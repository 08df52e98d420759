//! Answers as JSON, through the one writer that lets no markup out ([`crate::wire::native::json`]).

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::wire::native::json::to_string;

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
