//! What a thread counts: for each phase, for each second, and of what went wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::conn::Conn;
use crate::ledger::pairs::Pairs;
use crate::ledger::spot::Spot;
use crate::report::{Distribution, PhaseReport, Verdict};

/// What one second showed.
#[derive(Clone, Debug, Default)]
pub struct Interval {
    /// Which second after zero.
    pub second: u64,
    /// Messages sent.
    pub sent: u64,
    /// Acks.
    pub acked: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Refusals, closes, failed connects.
    pub errors: u64,
    /// Intended send to ack.
    pub ack: Distribution,
    /// Intended send to delivery.
    pub delivery: Distribution,
    /// Intended send to sent.
    pub lateness: Distribution,
    /// CPU seconds of the thread.
    pub cpu_seconds: f64,
    /// How long it really was, in seconds.
    pub seconds: f64,
}

impl Interval {
    /// Takes in what another thread saw of the same second.
    pub fn take(&mut self, other: &Self) {
        self.second = other.second;
        self.sent += other.sent;
        self.acked += other.acked;
        self.delivered += other.delivered;
        self.errors += other.errors;
        self.ack.merge(&other.ack);
        self.delivery.merge(&other.delivery);
        self.lateness.merge(&other.lateness);
        self.cpu_seconds += other.cpu_seconds;
        self.seconds = self.seconds.max(other.seconds);
    }
}

/// Everything that a thread counted.
pub struct Tally {
    /// The thread.
    pub worker: u32,
    /// Connecting, round after round.
    pub rounds: Vec<PhaseReport>,
    /// The scenario's phases.
    pub phases: Vec<PhaseReport>,
    /// What was found, and troubles by name.
    pub verdict: Verdict,
    /// Its users.
    pub conns: Vec<Conn>,
    /// Their places in their rooms, user after user.
    pub spots: Vec<Spot>,
    /// What each got of each, where nothing is numbered.
    pub pairs: Pairs,
    /// Requests that the server does not know, by name, and others that were left out.
    pub left_out: BTreeMap<String, u64>,
}

/// CPU time that the calling thread has used, in seconds.
#[must_use]
pub fn own_cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0)).as_secs_f64()
}
