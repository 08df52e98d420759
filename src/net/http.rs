//! HTTP/1.1 by hyper over our TLS stream: time and size limits, headers of every answer, and the way out for upgrades.
//!
//! Promises: a client that sends or reads slowly costs its own connection and a timer, and is ended by our own deadlines (408 where
//! an answer can still be given); heads and bodies are bounded (431, 413); every answer of ours carries the security headers and
//! an `x-request-id`. It does not do: routes (they are a tower service), tokens, WebSocket.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body as AxumBody;
use glommio::timer::Timer;
use http::header::{self, HeaderName};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use tower::ServiceExt as _;

use super::rest::Problem;
use super::stream::{Io, TlsStream};
use super::upgrade::{self, Upgrade};
use super::{Peer, ShardContext, SharedScratch, Site, within};
use crate::base::Code;

/// How often the deadlines of a connection are looked at, at least.
const TICK: Duration = Duration::from_secs(1);
/// So much of an answer taken by the peer is worth the time of a request anew: what is large may take its time, who takes nothing may not.
const PROGRESS_BYTES: usize = 64 * 1024;
/// How many header lines a request may have.
const HEADERS_MAX: usize = 100;

/// What is at hand on a connection, and since when: what deadlines are counted from.
#[derive(Debug)]
pub(crate) struct Activity {
    stage: Cell<Stage>,
    since: Cell<Instant>,
    /// Nothing has come in yet.
    fresh: Cell<bool>,
    /// Bytes of the answer that went out since `since`.
    moved: Cell<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Between two requests.
    Idle,
    /// A head is coming in.
    Head,
    /// A handler is at work, or the body is still coming in.
    Request,
    /// The answer is complete but perhaps not yet taken by the peer.
    Answered,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            stage: Cell::new(Stage::Idle),
            since: Cell::new(Instant::now()),
            fresh: Cell::new(true),
            moved: Cell::new(0),
        }
    }
}

impl Activity {
    fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        self.since.set(Instant::now());
        self.moved.set(0);
    }

    /// So much of the answer was taken out of the body, which happens only when there is room for it on the way to the peer.
    fn moved(&self, bytes: usize) {
        self.moved.set(self.moved.get() + bytes);
        if self.moved.get() >= PROGRESS_BYTES && self.stage.get() == Stage::Request {
            self.enter(Stage::Request);
        }
    }

    /// The stream gave bytes to hyper.
    pub(crate) fn bytes_came(&self) {
        self.fresh.set(false);
        if self.stage.get() == Stage::Idle {
            self.enter(Stage::Head);
        }
    }

    /// The stream has given all it had to the kernel.
    pub(crate) fn flushed(&self) {
        if self.stage.get() == Stage::Answered {
            self.enter(Stage::Idle);
        }
    }

    fn called(&self) {
        if self.stage.get() == Stage::Head {
            // The time of the head counts: it is one request.
            self.stage.set(Stage::Request);
        } else {
            self.enter(Stage::Request);
        }
    }

    fn answered(&self) {
        if self.stage.get() == Stage::Request {
            self.stage.set(Stage::Answered);
        }
    }

    fn deadline(&self, settings: &super::Settings) -> Instant {
        self.since.get()
            + match self.stage.get() {
                Stage::Idle if self.fresh.get() => settings.head_time,
                Stage::Idle => settings.idle_time,
                Stage::Head => settings.head_time,
                Stage::Request | Stage::Answered => settings.request_time,
            }
    }
}

/// What one connection's service shares with its driver.
struct Shared {
    site: Site,
    shard: ShardContext,
    peer: IpAddr,
    activity: Rc<Activity>,
    upgrade: Cell<Option<Upgrade>>,
    /// The body of the request at hand has not come in completely.
    body_open: Arc<AtomicBool>,
    /// The answer to the request at hand has begun.
    begun: Cell<bool>,
}

/// A connection that left HTTP.
pub(crate) struct Upgraded {
    pub(crate) io: Io,
    pub(crate) scratch: SharedScratch,
    /// Decrypted bytes that came behind the request.
    pub(crate) early: Vec<u8>,
    pub(crate) upgrade: Upgrade,
}

/// Serves requests until the connection ends or leaves HTTP.
pub(crate) async fn serve(stream: TlsStream, peer: IpAddr, site: &Site, shard: &ShardContext) -> Option<Upgraded> {
    let activity = stream.activity();
    let shared = Rc::new(Shared {
        site: site.clone(),
        shard: shard.clone(),
        peer,
        activity: Rc::clone(&activity),
        upgrade: Cell::new(None),
        body_open: Arc::default(),
        begun: Cell::new(false),
    });
    let settings = &site.settings;
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(settings.head_bytes.max(8192))
        .max_headers(HEADERS_MAX)
        .header_read_timeout(None)
        .half_close(false);
    let mut conn = builder.serve_connection(stream, Handler(Rc::clone(&shared)));
    let mut timer = Timer::new(TICK.min(settings.head_time));
    let mut draining = false;
    let over = std::future::poll_fn(|cx| {
        if let Poll::Ready(done) = conn.poll_without_shutdown(cx) {
            return Poll::Ready(Some(done));
        }
        let deadline = activity.deadline(settings);
        loop {
            let now = Instant::now();
            if now >= deadline {
                return Poll::Ready(None);
            }
            if shard.gate.is_closed() && !draining {
                draining = true;
                Pin::new(&mut conn).graceful_shutdown();
                cx.waker().wake_by_ref();
            }
            if Pin::new(&mut timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
            timer = Timer::new(TICK.min(deadline - now));
        }
    })
    .await;
    let stage = activity.stage.get();
    let parts = conn.into_parts();
    let (mut io, mut early) = (parts.io, parts.read_buf.to_vec());
    drop(parts.service);
    match over {
        Some(Ok(())) => {
            if let Some(upgrade) = shared.upgrade.take() {
                let scratch = Rc::clone(&io.scratch);
                let (io, rest) = io.into_parts();
                early.extend_from_slice(&rest);
                return Some(Upgraded { io, scratch, early, upgrade });
            }
        }
        Some(Err(error)) => tracing::debug!(%peer, %error, "HTTP connection ended"),
        None => {
            let answer = match stage {
                Stage::Head => Some(Code::Timeout),
                Stage::Request if shared.begun.get() => None,
                Stage::Request if shared.body_open.load(Ordering::Relaxed) => Some(Code::Timeout),
                Stage::Request => Some(Code::Busy),
                Stage::Idle | Stage::Answered => None,
            };
            if let Some(code) = answer {
                count(&shared.shard, code.status());
                let text = raw_problem(code, site).await;
                let scratch = Rc::clone(&io.scratch);
                // A peer that is gone gets no answer.
                let _ = io.io.seal(&text, &scratch);
            }
        }
    }
    let scratch = Rc::clone(&io.scratch);
    io.io.finish(&scratch, settings.linger_time, settings.linger_time).await;
    None
}

/// A whole answer as bytes, for where hyper cannot give it any more.
async fn raw_problem(code: Code, _site: &Site) -> Vec<u8> {
    let mut response = problem(code);
    finish_headers(&mut response);
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let reason = parts.status.canonical_reason().unwrap_or_default();
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", parts.status.as_u16()).into_bytes();
    for (name, value) in &parts.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    text.extend_from_slice(&body);
    text
}

/// What a peer is told that does not speak TLS. Nothing is served to it.
pub(crate) async fn refuse_plain(mut io: Box<Io>, scratch: &SharedScratch, time: Duration) {
    let text = "This port speaks TLS only: use https:// or wss:// instead of http:// or ws://.\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\
         x-content-type-options: nosniff\r\ncache-control: no-store\r\n\r\n{text}",
        text.len()
    );
    if io.push(answer.as_bytes()).is_ok() {
        // There is no TLS to be closed: `finish` finds that out by itself.
        within(time * 2, io.finish(scratch, time, time)).await;
    }
}

pub(crate) fn count(shard: &ShardContext, status: u16) {
    *shard.counters.borrow_mut().http_requests.entry(status).or_default() += 1;
}

/// hyper's service: one connection's requests to the routes, upgrades to [`upgrade`].
struct Handler(Rc<Shared>);

type Answer = Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, Infallible>>>>;

impl hyper::service::Service<Request<Incoming>> for Handler {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let shared = Rc::clone(&self.0);
        shared.activity.called();
        shared.begun.set(false);
        let open = !request.body().is_end_stream();
        shared.body_open.store(open, Ordering::Relaxed);
        Box::pin(async move {
            let mut response = answer(&shared, request).await;
            finish_headers(&mut response);
            count(&shared.shard, response.status().as_u16());
            shared.begun.set(true);
            let activity = Rc::clone(&shared.activity);
            Ok(response.map(|body| AnswerBody { body, activity }))
        })
    }
}

async fn answer(shared: &Rc<Shared>, request: Request<Incoming>) -> Response<AxumBody> {
    let settings = &shared.site.settings;
    let path = request.uri().path();
    if let Some(authenticator) = &shared.site.sockets {
        let target = match path {
            "/ws/chat" => Some(upgrade::Target::Chat),
            "/ws/echo" if settings.echo => Some(upgrade::Target::Echo),
            _ => None,
        };
        if let Some(target) = target {
            return match upgrade::check(&request, target, shared.peer, authenticator.as_ref(), settings).await {
                Ok((response, upgrade)) => {
                    shared.upgrade.set(Some(upgrade));
                    response.map(|()| AxumBody::empty())
                }
                Err(refused) => refused.into_response(),
            };
        }
    }
    if request.body().size_hint().lower() > settings.body_bytes as u64 {
        return problem(Code::TooLarge);
    }
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(Peer(shared.peer));
    let body = Watched { body: Limited::new(body, settings.body_bytes), open: Arc::clone(&shared.body_open) };
    let request = Request::from_parts(parts, AxumBody::new(body));
    // In a task of its own: a client that goes away must not stop a handler between two writes that belong together.
    let (done, response) = futures_channel::oneshot::channel();
    let router = shared.site.router.clone();
    let work = async move {
        let Ok(response) = router.oneshot(request).await;
        // Whoever asked may be gone.
        let _ = done.send(response);
    };
    match glommio::spawn_local_into(work, shared.shard.requests) {
        Ok(task) => drop(task.detach()),
        Err(_) => return problem(Code::Internal),
    }
    response.await.unwrap_or_else(|_| problem(Code::Internal))
}

/// A refusal as problem+json.
pub(crate) fn problem(refusal: impl Into<Problem>) -> Response<AxumBody> {
    axum::response::IntoResponse::into_response(refusal.into())
}

/// What every answer carries unless a handler has said otherwise.
fn finish_headers(response: &mut Response<AxumBody>) {
    const ALWAYS: [(HeaderName, &str); 8] = [
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        // Nothing here asks for any of them; a page that was changed should not be able to either.
        (
            HeaderName::from_static("permissions-policy"),
            "accelerometer=(), autoplay=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), \
             magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=()",
        ),
    ];
    let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        if !upgraded {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
    }
    let id = HeaderName::from_static("x-request-id");
    if !headers.contains_key(&id)
        && let Ok(value) = HeaderValue::from_str(&uuid::Uuid::now_v7().to_string())
    {
        headers.insert(id, value);
    }
}

/// A request's body that says when it is complete.
struct Watched {
    body: Limited<Incoming>,
    open: Arc<AtomicBool>,
}

impl Body for Watched {
    type Data = bytes::Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || this.body.is_end_stream() {
            this.open.store(false, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body that says when hyper has taken it all.
struct AnswerBody {
    body: AxumBody,
    activity: Rc<Activity>,
}

impl Body for AnswerBody {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            this.activity.moved(frame.data_ref().map_or(0, bytes::Bytes::len));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.activity.answered();
    }
}
