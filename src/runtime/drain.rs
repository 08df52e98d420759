//! The end of a server, politely: stop accepting, tell everybody, finish what was begun, close.
//!
//! Promises an end within the deadline, whatever clients do, and that all writes which were taken are finished before it.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::launch::Server;
use super::mesh::{Mailbox, Order};

/// How often the drain looks whether all is quiet.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What sockets get for their close handshake after the deadline.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// How a server is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainSettings {
    /// Clients are told to come back at a time spread over so many milliseconds.
    pub window_ms: u64,
    /// Sockets that are still open after this time are closed, whatever they do, in milliseconds.
    pub deadline_ms: u64,
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self { window_ms: 5_000, deadline_ms: 10_000 }
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Sockets that had to be closed at the deadline.
    pub forced: usize,
    /// How long it took.
    pub took: Duration,
}

fn is_over(mailbox: &Mailbox) -> bool {
    let (quiet, sockets) = mailbox.beat.shown();
    mailbox.is_closed() || (quiet && sockets == 0 && mailbox.held.load(Ordering::Acquire) == 0)
}

/// Waits until it is true or the time is over; answers which.
fn wait_for(until: Instant, over: impl Fn() -> bool) -> bool {
    loop {
        if over() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        thread::sleep(LOOK_EVERY);
    }
}

impl Server {
    /// Drains: `/readyz` goes off, listeners stop, clients are told, what is under way is finished; then what is left is closed, and
    /// the store finishes all that it has taken. Blocks; the shards still run afterwards (end the process, or [`Server::stop`]).
    pub fn drain(&self, settings: DrainSettings) -> Drained {
        let gateway = self.gateway();
        let begin = Instant::now();
        gateway.set_draining();
        gateway.order_all(|| Order::Drain { window_ms: settings.window_ms });
        let all_over = || gateway.mailboxes().all(|mailbox| is_over(mailbox));
        let mut forced = 0;
        if !wait_for(begin + Duration::from_millis(settings.deadline_ms), all_over) {
            forced = gateway.mailboxes().map(|mailbox| mailbox.beat.shown().1).sum();
            tracing::warn!(forced, "the deadline of the drain is over: closing what is still open");
            gateway.order_all(|| Order::CloseAll);
            wait_for(Instant::now() + LAST_WORDS, all_over);
        }
        gateway.driver().drain();
        let drained = Drained { forced, took: begin.elapsed() };
        tracing::info!(forced, took_ms = drained.took.as_millis(), "drained");
        drained
    }
}

/// The signals that a server obeys, from the moment this is made.
pub struct Signals {
    inner: signal_hook::iterator::Signals,
}

impl Signals {
    /// Takes over SIGTERM, SIGINT and SIGHUP of this process.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> std::io::Result<Self> {
        signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP]).map(|inner| Self { inner })
    }
}

/// Runs until SIGTERM or SIGINT, then drains and returns; a second one ends the process at once with exit code 1. SIGHUP calls
/// `reload` (certificate, keys); `before_drain` is called once, before anybody is told (readiness goes off).
///
/// # Errors
/// When the system gives no thread.
pub fn serve_until_signal(
    server: &Server,
    mut signals: Signals,
    settings: DrainSettings,
    mut reload: impl FnMut(),
    before_drain: impl FnOnce(),
) -> std::io::Result<Drained> {
    for signal in signals.inner.forever() {
        if signal == SIGHUP {
            tracing::info!("SIGHUP: loading certificate and keys anew");
            reload();
        } else {
            tracing::info!(signal, "draining; a second signal ends at once");
            break;
        }
    }
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.inner.forever() {
            if signal != SIGHUP {
                tracing::warn!(signal, "a second signal: ending at once");
                std::process::exit(1);
            }
        }
    })?;
    before_drain();
    Ok(server.drain(settings))
}
