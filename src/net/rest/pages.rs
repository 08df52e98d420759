//! Health and readiness.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode};

use crate::base::Code;

use super::problem::Problem;
use super::{RestState, json};

/// Pages outside of the contract.
pub(super) fn routes() -> axum::Router<RestState> {
    axum::Router::new().route("/healthz", get(health)).route("/readyz", get(ready))
}

/// The process answers.
async fn health() -> Response {
    json::bytes(StatusCode::OK, HeaderValue::from_static("text/plain; charset=utf-8"), "ok\n")
}

/// New work is taken.
async fn ready(State(state): State<RestState>) -> Response {
    if state.ready.get() { health().await } else { Problem::from(Code::Draining).into_response() }
}
