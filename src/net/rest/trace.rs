//! One id for each request, one line in the log, and the lines of the audit log for what was refused by authorisation.

use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use uuid::Uuid;

use crate::base::{Code, UserId};
use crate::net::peer::Peer;

use super::problem::Logged;

/// What is known of a request while it is handled; in its extensions.
#[derive(Clone, Debug)]
pub struct Trace {
    id: Uuid,
    user: Arc<OnceLock<UserId>>,
}

impl Trace {
    /// The caller has become known.
    pub fn is(&self, user: UserId) {
        // A second caller in one request cannot be; the first one stays.
        let _ = self.user.set(user);
    }

    /// The request's id, as in the header `X-Request-Id` of the answer.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }
}

/// Goes around every request.
pub(super) async fn around(mut request: Request, next: Next) -> Response {
    let trace = Trace { id: Uuid::now_v7(), user: Arc::default() };
    let method = request.method().clone();
    // The pattern, not the path: ids in it are for the audit log only.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.to_string()).unwrap_or_default();
    request.extensions_mut().insert(trace.clone());
    let mut response = next.run(request).await;
    let user = trace.user.get().map(ToString::to_string).unwrap_or_default();
    let id = trace.id;
    let status = response.status().as_u16();
    if let Some(Logged { code, log }) = response.extensions().get::<Logged>() {
        let name = code.name();
        match code.status() {
            401 | 403 => {
                tracing::info!(target: "audit", what = "refused", %id, %method, route, peer, user, code = name);
            }
            500.. => {
                let why = log.as_deref().unwrap_or_default();
                if *code == Code::Internal {
                    tracing::error!(%id, %method, route, user, why, "a request failed");
                } else {
                    tracing::warn!(%id, %method, route, user, code = name, why, "a request was put off");
                }
            }
            _ => {}
        }
    }
    tracing::debug!(%id, %method, route, status, user, "request");
    if let Ok(value) = HeaderValue::from_str(&id.as_hyphenated().to_string()) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}
