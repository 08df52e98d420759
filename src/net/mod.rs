//! Sockets: listeners, TLS, HTTP/1.1, WebSocket, and the REST interface behind them.
//!
//! One [`Site`] a port: what all shards share (certificate, routes, limits). Each shard runs [`listener::serve`] on a socket of its
//! own (SO_REUSEPORT) with its [`ShardContext`]. A connection is TLS from the first byte, then HTTP; an upgraded one leaves
//! everything of HTTP behind and becomes a [`socket`] of its shard.

pub mod admin;
pub mod cert;
pub mod expiry;
pub mod http;
pub mod limits;
pub mod listener;
pub mod operators;
pub mod origin;
pub mod peer;
pub mod rest;
pub mod socket;
pub mod stream;
pub mod tls;
pub mod upgrade;
pub mod web;

pub use cert::{CertProblem, CertSource, Certs};
pub use limits::Admission;
pub use listener::{Bound, bind, serve};
pub use peer::Peer;
pub use upgrade::{Authenticator, TokenAuthenticator};

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use glommio::TaskQueueHandle;

use crate::metrics::counters::ShellCounters;
use crate::runtime::gate::Gate;
use crate::runtime::launch::{Held, ShardHandle, Work};
use crate::runtime::port::Port;
use crate::runtime::portions::Portions;

/// What the transport may be told. The defaults are those of `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// TLS handshakes under way on one shard; more wait in the kernel's backlog.
    pub handshakes_per_shard: usize,
    /// A handshake ends within this time.
    pub handshake_time: Duration,
    /// The same while as many are under way as are allowed.
    pub crowded_handshake_time: Duration,
    /// The head of a request arrives within this time.
    pub head_time: Duration,
    /// A kept-alive connection waits this long for its next request.
    pub idle_time: Duration,
    /// A request is over, answer included, within this time.
    pub request_time: Duration,
    /// Bytes of a request's head (8,192 at least).
    pub head_bytes: usize,
    /// Bytes of a request's body; a route may allow less.
    pub body_bytes: usize,
    /// The peer has this time to answer a close frame and to take what was sent before it.
    pub close_time: Duration,
    /// After our last byte the peer has this time to close its side, so that it reads what we said.
    pub linger_time: Duration,
    /// Origins whose pages may open sockets, besides the server's own: `https://chat.example.org`.
    pub origins: Vec<String>,
    /// Serve `/ws/echo`, for outside judges of the protocol only.
    pub echo: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            handshakes_per_shard: 256,
            handshake_time: Duration::from_secs(10),
            crowded_handshake_time: Duration::from_secs(1),
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_mins(1),
            request_time: Duration::from_secs(30),
            head_bytes: 16 * 1024,
            body_bytes: 1024 * 1024,
            close_time: Duration::from_secs(5),
            linger_time: Duration::from_secs(1),
            origins: Vec::new(),
            echo: false,
        }
    }
}

/// What all shards share of one port. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    /// Limits and times.
    pub settings: Arc<Settings>,
    /// The certificate of the moment.
    pub certs: Certs,
    /// Who answers requests.
    pub router: axum::Router,
    /// Counts connections, over all shards.
    pub admission: Admission,
    /// Checks tokens of upgrades to `/ws/chat`; `None`: this port has no sockets.
    pub sockets: Option<Arc<dyn Authenticator>>,
}

/// What a listener needs of the shard it runs on. Made from a [`ShardHandle`]; by hand in tests.
#[derive(Clone)]
pub struct ShardContext {
    /// The way of sockets to their shard.
    pub port: Rc<dyn Port>,
    /// For tasks of open WebSockets.
    pub sockets: TaskQueueHandle,
    /// For handshakes and HTTP.
    pub requests: TaskQueueHandle,
    /// How much of that is done in a row.
    pub portions: Rc<Portions>,
    /// The end of accepting; connections kept alive end after the request they are at.
    pub gate: Gate,
    /// What the shell counts on this shard.
    pub counters: Rc<RefCell<ShellCounters>>,
    /// Makes the drain wait for a connection while it is held.
    pub hold: Option<Rc<dyn Fn() -> Held>>,
}

impl From<&ShardHandle> for ShardContext {
    fn from(shard: &ShardHandle) -> Self {
        let holder = shard.clone();
        Self {
            port: Rc::clone(&shard.port),
            sockets: shard.queue(Work::Live),
            requests: shard.queue(Work::Handshake),
            portions: Rc::clone(&shard.portions),
            gate: shard.gate.clone(),
            counters: Rc::clone(&shard.shell),
            hold: Some(Rc::new(move || holder.hold())),
        }
    }
}

/// Buffers of one shard, used within one turn of a task and never across an await, so that no connection keeps one of its own.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Ciphertext as it comes in. Fixed size.
    pub(crate) cipher: Vec<u8>,
    /// What was decrypted.
    pub(crate) plain: Vec<u8>,
    /// Ciphertext to be sent.
    pub(crate) out: Vec<u8>,
}

pub(crate) type SharedScratch = Rc<RefCell<Scratch>>;

impl Scratch {
    /// Two full records.
    const READ_BYTES: usize = 34 * 1024;
    /// What a buffer may keep after an unusually large use.
    const KEPT_BYTES: usize = 256 * 1024;

    pub(crate) fn shared() -> SharedScratch {
        Rc::new(RefCell::new(Self { cipher: vec![0; Self::READ_BYTES], plain: Vec::new(), out: Vec::new() }))
    }

    /// Empties `plain` and `out`, and gives memory back after a large use.
    pub(crate) fn clear(&mut self) {
        self.plain.clear();
        self.plain.shrink_to(Self::KEPT_BYTES);
        self.out.clear();
        self.out.shrink_to(Self::KEPT_BYTES);
    }
}

/// Runs `work`, but not longer than `time`.
pub(crate) async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    let timer = glommio::timer::Timer::new(time);
    let work = std::pin::pin!(work);
    match futures_util::future::select(work, timer).await {
        futures_util::future::Either::Left((done, _)) => Some(done),
        futures_util::future::Either::Right(_) => None,
    }
}
