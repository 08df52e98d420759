//! What is no API call: the page at `/api/`, health and readiness, the contract, and the list of problems.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderValue, StatusCode, header};

use crate::base::Code;

use super::problem::Problem;
use super::{RestState, json};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Pages outside of `/api/v1`, with the two contracts as text.
pub(super) fn routes(openapi: Option<String>, asyncapi: Option<String>) -> axum::Router<RestState> {
    let openapi: Option<Arc<str>> = openapi.map(Into::into);
    let asyncapi: Option<Arc<str>> = asyncapi.map(Into::into);
    axum::Router::new()
        .route("/api", get(async || html(&home())))
        .route("/api/", get(async || html(&home())))
        .route("/api/problems", get(async || html(&problems())))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/api/openapi.json", get(async move || contract(openapi.as_deref())))
        .route("/api/asyncapi.json", get(async move || contract(asyncapi.as_deref())))
}

fn contract(text: Option<&str>) -> Response {
    match text {
        Some(text) => json::bytes(StatusCode::OK, JSON, text.to_owned()),
        None => Problem::internal("the contract could not be written at the start").into_response(),
    }
}

/// The process answers.
async fn health() -> Response {
    json::bytes(StatusCode::OK, TEXT, "ok\n")
}

/// New work is taken.
async fn ready(State(state): State<RestState>) -> Response {
    if state.ready.get() { health().await } else { Problem::from(Code::Draining).into_response() }
}

const STYLE: &str = "body{max-width:44rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif;color:#1b1b1f;background:#fff}\
h1{margin-bottom:0}pre{padding:1rem;overflow-x:auto;background:#f1f1f4;border-radius:.5rem}a{color:#1a4fa0}\
dt{margin-top:1rem;font-weight:600}dd{margin:0}\
@media(prefers-color-scheme:dark){body{color:#e6e6ea;background:#16161a}pre{background:#24242a}a{color:#9cc1ff}}";

/// A page that may load and run nothing but its one style sheet.
fn html(body: &str) -> Response {
    let hash = BASE64_STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Causerie</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    );
    let mut response = json::bytes(StatusCode::OK, HTML, page);
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// What programs find here.
fn home() -> String {
    format!(
        "<h1>Causerie</h1>\n<p>A self-hosted chat server. Version {version}. People find <a href=\"/\">the chat</a> here, programs what \
         follows.</p>\n<p>From a terminal:</p>\n\
         <pre><code>causerie chat --server https://localhost:8443 --user alice</code></pre>\n\
         <p>Or with any HTTP client (<code>-k</code> because of the self-signed certificate):</p>\n\
         <pre><code>curl -k https://localhost:8443/api/v1/auth/signup \\\n  -H 'Content-Type: application/json' \\\n  \
         -d '{{\"username\":\"alice\",\"password\":\"a long pass phrase\"}}'\n\n\
         curl -k https://localhost:8443/api/v1/chat/rooms \\\n  -H \"Authorization: Bearer $ACCESS_TOKEN\"</code></pre>\n\
         <p>Live events come over the WebSocket at <code>/ws/chat</code>.</p>\n\
         <ul>\n<li><a href=\"/api/openapi.json\">The REST contract</a> (OpenAPI)</li>\n\
         <li><a href=\"/api/asyncapi.json\">The WebSocket contract</a> (AsyncAPI)</li>\n\
         <li><a href=\"/api/problems\">Every error and what to do about it</a></li>\n\
         <li><a href=\"/healthz\">Health</a> and <a href=\"/readyz\">readiness</a></li>\n</ul>\n",
        version = env!("CARGO_PKG_VERSION")
    )
}

/// All codes, as the `type` of a problem points to them.
fn problems() -> String {
    let mut page =
        "<h1>Problems</h1>\n<p>Every answer that is not a success carries one of these codes.</p>\n<dl>\n".to_owned();
    for code in Code::ALL {
        // Writing into a string cannot fail. Sentences are our own and hold no markup (a test looks).
        let _ = writeln!(
            page,
            "<dt id=\"{name}\"><code>{name}</code> ({status})</dt>\n<dd>{sentence} {advice}</dd>",
            name = code.name(),
            status = code.status(),
            sentence = code.sentence(),
            advice = code.advice()
        );
    }
    page.push_str("</dl>\n");
    page
}
