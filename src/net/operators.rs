//! What the operators' listener answers: `/metrics`, `/healthz`, `/readyz`.
//!
//! It is handed two functions and knows nothing of shards or stores.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::metrics::expose::CONTENT_TYPE;

/// The routes. `ready`: whether new connections are taken. `page`: gathers all numbers and renders them
/// ([`crate::metrics::expose::render`]).
pub fn router<R, P, F>(ready: R, page: P) -> Router
where
    R: Fn() -> bool + Clone + Send + Sync + 'static,
    P: Fn() -> F + Clone + Send + Sync + 'static,
    F: Future<Output = String> + Send + 'static,
{
    Router::new()
        .route("/metrics", get(async move || ([(header::CONTENT_TYPE, CONTENT_TYPE)], page().await)))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || readiness(ready())))
        .fallback(async || (StatusCode::NOT_FOUND, "here are /metrics, /healthz and /readyz\n"))
}

fn readiness(ready: bool) -> Response {
    if ready {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: starting, or about to stop\n").into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll, Waker};

    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    /// Nothing here waits, so one poll must do.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }

    fn ask(router: Router, path: &str) -> (u16, String, String) {
        let answer = now(router.oneshot(Request::get(path).body(Body::empty()).unwrap())).unwrap();
        let kind = answer.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let body = now(answer.into_body().collect()).unwrap().to_bytes();
        (status, kind.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn health_stays_and_readiness_follows() {
        let ready = Arc::new(AtomicBool::new(true));
        let seen = Arc::clone(&ready);
        let router = router(move || seen.load(Ordering::Relaxed), async || "causerie_up 1\n".to_owned());
        assert_eq!(ask(router.clone(), "/readyz").0, 200);
        ready.store(false, Ordering::Relaxed);
        assert_eq!(ask(router.clone(), "/readyz").0, 503);
        assert_eq!(ask(router.clone(), "/healthz").0, 200);
        assert_eq!(ask(router.clone(), "/metrics"), (200, CONTENT_TYPE.to_owned(), "causerie_up 1\n".to_owned()));
        assert_eq!(ask(router, "/else").0, 404);
    }
}
