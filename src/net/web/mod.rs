//! The web client: its files out of the binary, with the headers that keep the page to itself.
//!
//! Promises: a file is served in the smallest form that the asker understands, with a strong `ETag`; what is named by its content may be kept
//! for ever, all else is asked for again; every address that no file and no interface has is the client's own (it draws the page that
//! belongs to it), if a page is what is asked for; no answer holds more than a piece of a file in memory. It does not do: ranges, compressing.

mod body;
pub mod pack;
pub mod policy;

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::{self, HeaderMap};
use http::{HeaderValue, Method, StatusCode};

use self::body::Pieces;
use self::pack::{File, Form, Pack};
use super::rest::Problem;
use crate::base::Code;

/// Where no page of the client ever is.
const NOT_OURS: [&str; 6] = ["/api", "/ws", "/socket.io", "/healthz", "/readyz", "/assets"];
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Shown where the client should be and is not.
const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Causerie</title>\n</head>\n<body>\n\
    <h1>Causerie</h1>\n<p>The server runs. This binary was built without the web client.</p>\n\
    <p>To have it, install Node and npm, then run this in the folder of the source:</p>\n<pre><code>make run</code></pre>\n\
    <p>Or, without starting the server:</p>\n<pre><code>scripts/setup run\ncargo build --release --workspace</code></pre>\n\
    <p>From a terminal you can talk at once: <code>causerie chat --server https://localhost:8443 --user alice</code></p>\n\
    <p><a href=\"/api/\">What programs find here</a></p>\n</body>\n</html>\n";

/// The web client, ready to be served. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Client(Arc<Pack>);

impl From<Pack> for Client {
    fn from(pack: Pack) -> Self {
        Self(Arc::new(pack))
    }
}

impl Client {
    /// The answer to a request that no route has.
    #[must_use]
    pub fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let file = self.0.get(if path == "/" { "/index.html" } else { path });
        if !reads && (file.is_some() || path == "/") {
            let mut refused = Problem::from(Code::MethodNotAllowed).into_response();
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
            return refused;
        }
        if let Some(file) = file {
            return send(file, headers);
        }
        let ours = !NOT_OURS
            .iter()
            .any(|start| path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
        if !(reads && (path == "/" || (ours && wants_page(headers)))) {
            return Problem::from(Code::NotFound).into_response();
        }
        match self.0.get("/index.html") {
            Some(page) => send(page, headers),
            None => not_built(),
        }
    }
}

/// Whether a page is asked for, as browsers do when somebody goes to an address. `*/*` alone is a program.
fn wants_page(headers: &HeaderMap) -> bool {
    items(headers, header::ACCEPT).any(|(name, quality)| quality > 0.0 && name.eq_ignore_ascii_case("text/html"))
}

/// The items of a header that is a list, each with its quality.
fn items(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = (&str, f32)> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(
        |item| {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            (name, quality.map_or(1.0, |text| text.parse().unwrap_or(0.0)))
        },
    )
}

/// The best form that the asker takes, and what its encoding is called.
fn choose<'a>(file: &'a File, headers: &HeaderMap) -> (&'a Form, Option<HeaderValue>) {
    let takes = |coding: &str| {
        let quality = |wanted: &str| {
            items(headers, header::ACCEPT_ENCODING)
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, quality)| quality)
        };
        quality(coding).or_else(|| quality("*")).is_some_and(|quality| quality > 0.0)
    };
    if let Some(form) = file.brotli.as_ref().filter(|_| takes("br")) {
        return (form, Some(HeaderValue::from_static("br")));
    }
    if let Some(form) = file.gzip.as_ref().filter(|_| takes("gzip")) {
        return (form, Some(HeaderValue::from_static("gzip")));
    }
    (&file.plain, None)
}

/// Whether the asker has exactly this already.
fn has(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let etag = etag.to_str().unwrap_or_default();
    items(headers, header::IF_NONE_MATCH).any(|(one, _)| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
}

fn send(file: &File, headers: &HeaderMap) -> Response {
    let (form, coding) = choose(file, headers);
    let known = has(headers, &form.etag);
    let mut response = if known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let mut response = Response::new(Body::new(Pieces::new(form.bytes.clone())));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, file.kind.clone());
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(form.bytes.len()));
        if let Some(coding) = coding {
            headers.insert(header::CONTENT_ENCODING, coding);
        }
        response
    };
    // A 304 brings the headers of what is kept up to date, so it carries the same ones.
    let headers = response.headers_mut();
    headers.insert(header::ETAG, form.etag.clone());
    headers.insert(header::CACHE_CONTROL, if file.immutable { FOR_EVER } else { ASK_AGAIN });
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy::PAGE);
    response
}

fn not_built() -> Response {
    let mut response = Response::new(Body::from(NOT_BUILT));
    response.headers_mut().insert(header::CONTENT_TYPE, HTML);
    response
}

#[cfg(test)]
mod tests;
