//! A server that does wrong on purpose, so that the harness can be seen to find it.
//!
//! It speaks as much of the native protocol and of REST as a run needs, over TLS with a certificate of its own, on one thread with
//! one poll loop. It keeps its own log, commits the faults that a test switches on, writes down each one that it really committed
//! ([`Deed`]), and stamps all that a latency can be held against ([`Stamp`]).
//!
//! The stamps need no tolerance: behind every delivery and every ack goes a ping. A client answers it after it has read what stood
//! before it, so the moment of reading lies between the stamp of sending and the arrival of the pong, however noisy the machine is.

#![allow(dead_code, unused_imports)] // each test binary uses its part

mod faults;
mod rest;
mod serve;
mod socket;
mod world;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use causerie_load::report::Report;
use causerie_load::scenario::Scenario;
use causerie_load::target::Target;
use causerie_load::token::Issuer;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use uuid::Uuid;

pub use faults::{Fault, Plan, ResumeFault};

/// A scenario: so many people in rooms of this size, who say `rate` messages a second for so many seconds.
pub fn talk(connections: u32, room_size: u32, seconds: f64, rate: u32) -> String {
    format!(
        "
name = 'talk'
drain_seconds = 60
population = {{ connections = {connections}, room_size = {room_size}, payload = 120 }}
connect = {{ settle_seconds = 0 }}
[[phase]]
name = 'talk'
seconds = {seconds}
messages = {{ rate = {rate} }}
"
    )
}

/// How a fake server behaves.
#[derive(Default)]
pub struct Setup {
    /// What it does wrong.
    pub plan: Plan,
    /// How long the `n`-th delivery or ack (counted together) waits. What one connection gets keeps its order, so a later one may
    /// wait longer. `None`: not at all.
    pub delay: Option<fn(u64) -> Duration>,
    /// After reading message `.0` (0 is the first) nothing is read or written for this long.
    pub stall: Option<(u64, Duration)>,
    /// How long `hello` waits, so that something is missed meanwhile.
    pub hello_delay: Duration,
    /// What is said in place of `hello`. Empty: nothing at all.
    pub greeting: Option<&'static str>,
    /// Send a ping behind each delivery and ack (see the module).
    pub pings: bool,
}

/// A delivery or an ack.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// Which message.
    pub key: Uuid,
    /// When its sender meant to send it, after the start of the run, as its text says.
    pub due: Duration,
    /// To whom it went.
    pub to: Uuid,
    /// Just before it was written.
    pub sent: Instant,
    /// When the pong to the ping behind it came.
    pub read_by: Option<Instant>,
}

/// A fault as it was committed.
#[derive(Clone, Debug)]
pub struct Deed {
    /// What was done, in the words of [`Fault`] or [`ResumeFault`].
    pub what: String,
    /// With which message.
    pub key: Uuid,
    /// In which room.
    pub room: Uuid,
    /// At which place of its log.
    pub seq: u64,
    /// To whom (for most faults).
    pub victim: Option<Uuid>,
}

/// What the server wrote down.
#[derive(Default)]
pub struct Record {
    /// Every delivery of a message, resumed ones left out.
    pub deliveries: Vec<Stamp>,
    /// Every ack of a message.
    pub acks: Vec<Stamp>,
    /// Every fault that was committed.
    pub deeds: Vec<Deed>,
    /// Every message as it was read: which, when it was meant to be sent, when it was read.
    pub messages: Vec<(Uuid, Duration, Instant)>,
    /// From when to when nothing was done.
    pub stalled: Option<(Instant, Instant)>,
    /// Sockets that were opened.
    pub opened: u64,
    /// Frames by type, as they came.
    pub frames: std::collections::BTreeMap<String, u64>,
    /// What a client did that the protocol forbids.
    pub violations: Vec<String>,
}

/// A running fake server. It ends when dropped.
pub struct Fake {
    address: String,
    certificate: CertificateDer<'static>,
    pem: String,
    stop: Arc<AtomicBool>,
    record: Arc<Mutex<Record>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Listens on a free port of loopback.
    pub fn start(setup: Setup) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let (certificate, pem) = (made.cert.der().clone(), made.cert.pem());
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, record) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Record::default())));
        let server = serve::Server::new(listener, Arc::new(tls), setup, stop.clone(), record.clone());
        let thread = std::thread::Builder::new().name("fake server".to_owned()).spawn(move || server.run()).unwrap();
        Self { address, certificate, pem, stop, record, thread: Some(thread) }
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What a client has to believe.
    pub fn trust(&self) -> causerie_load::tls::Trust {
        causerie_load::tls::Trust::Pinned(vec![self.certificate.clone()])
    }

    /// The certificate as a file would hold it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The plan of a run of this scenario against it.
    pub fn plan(&self, scenario: &str) -> causerie_load::plan::Plan {
        let target = Target {
            url: format!("wss://{}/ws/chat", self.address),
            address: self.address.clone(),
            path: "/ws/chat".to_owned(),
            tls: Some(self.trust().config().unwrap()),
            trust: self.trust(),
        };
        let scenario = Scenario::read(scenario).and_then(Scenario::checked).unwrap();
        causerie_load::plan::Plan::new(target, scenario, Issuer::go42("a secret that nobody looks at"))
    }

    /// The scenario carried out against it.
    pub fn run(&self, scenario: &str) -> Report {
        {
            let mut plan = self.plan(scenario);
            plan.progress = std::env::var("FAKE_PROGRESS").is_ok();
            causerie_load::run::run(&plan).unwrap()
        }
    }

    /// What was written down so far.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the fake server panicked");
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}
