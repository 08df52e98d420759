//! What came out of a run: figures for machines (JSON) and for people (a table), and whether they may be believed.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::scenario::Scenario;

/// A distribution of times in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Times {
    /// How many were counted.
    pub count: u64,
    /// Half were faster.
    pub p50: f64,
    /// 90 of 100 were faster.
    pub p90: f64,
    /// 99 of 100 were faster.
    pub p99: f64,
    /// 999 of 1,000 were faster.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

impl Times {
    /// From a histogram of microseconds.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // microseconds of minutes fit
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |q: f64| histogram.value_at_quantile(q) as f64 / 1000.0;
        Self {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: if histogram.is_empty() { 0.0 } else { histogram.max() as f64 / 1000.0 },
        }
    }
}

/// What a run showed.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was asked for.
    pub shape: Scenario,
    /// Whether nothing was lost, doubled, reordered or misdirected, and all was answered.
    pub sound: bool,
    /// Whether the generator kept its schedule. If not, the figures say nothing about the server.
    pub valid: bool,
    /// The first hundred faults, in words.
    pub faults: Vec<String>,
    /// How many faults there were in all.
    pub fault_count: usize,
    /// Errors, resyncs and closes by name.
    pub troubles: BTreeMap<String, u64>,
    /// Messages sent.
    pub sent: u64,
    /// Messages acked.
    pub acked: u64,
    /// Messages that got no answer at all.
    pub unanswered: u64,
    /// Deliveries of messages that came.
    pub delivered: u64,
    /// Deliveries there should be: each acked message to each other member of its room.
    pub expected_deliveries: u64,
    /// Intended send to ack.
    pub ack_ms: Times,
    /// Intended send to delivery.
    pub delivery_ms: Times,
    /// How late the generator was.
    pub lateness_ms: Times,
    /// How long it took to connect all, in seconds.
    pub connect_seconds: f64,
    /// From the first message to the last answer, in seconds.
    pub run_seconds: f64,
    /// CPU seconds that the generator used in that time.
    pub generator_cpu_seconds: f64,
    /// What is known of the server's process.
    pub server: Option<ServerUse>,
}

/// What the server's process used.
#[derive(Clone, Debug, Serialize)]
pub struct ServerUse {
    /// CPU seconds while connecting.
    pub connect_cpu_seconds: f64,
    /// CPU seconds while messages were sent.
    pub run_cpu_seconds: f64,
    /// Resident memory before the first connection, in bytes.
    pub rss_before: u64,
    /// With all connections, idle.
    pub rss_connected: u64,
    /// After the run.
    pub rss_after: u64,
    /// What one idle connection takes, in bytes.
    pub bytes_per_connection: f64,
    /// Deliveries for one CPU second.
    pub deliveries_per_cpu_second: f64,
}

impl Report {
    /// Whether the run passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.sound && self.valid
    }
}

impl fmt::Display for Report {
    #[allow(clippy::cast_precision_loss)] // bytes shown as KiB
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.shape;
        let who = &s.population;
        writeln!(f, "{}: {} connections in rooms of {}, {} s", s.name, who.connections, who.room_size, s.seconds())?;
        writeln!(
            f,
            "sent {}, acked {}, unanswered {}, delivered {} of {}; connected in {:.2} s, ran {:.2} s",
            self.sent,
            self.acked,
            self.unanswered,
            self.delivered,
            self.expected_deliveries,
            self.connect_seconds,
            self.run_seconds
        )?;
        writeln!(f, "{:<24}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}", "ms", "p50", "p90", "p99", "p99.9", "max", "count")?;
        for (name, t) in [
            ("send to ack", &self.ack_ms),
            ("send to delivery", &self.delivery_ms),
            ("generator late", &self.lateness_ms),
        ] {
            writeln!(
                f,
                "{name:<24}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>10}",
                t.p50, t.p90, t.p99, t.p999, t.max, t.count
            )?;
        }
        writeln!(f, "generator: {:.2} CPU seconds", self.generator_cpu_seconds)?;
        if let Some(u) = &self.server {
            writeln!(
                f,
                "server: {:.2} CPU seconds to connect all, {:.2} for the run ({:.0} deliveries a CPU second)",
                u.connect_cpu_seconds, u.run_cpu_seconds, u.deliveries_per_cpu_second
            )?;
            writeln!(
                f,
                "server: {} KiB before, {} KiB connected ({:.0} bytes a connection), {} KiB after",
                u.rss_before / 1024,
                u.rss_connected / 1024,
                u.bytes_per_connection,
                u.rss_after / 1024
            )?;
        }
        for (what, count) in &self.troubles {
            writeln!(f, "trouble: {what}: {count}")?;
        }
        for fault in self.faults.iter().take(20) {
            writeln!(f, "FAULT: {fault}")?;
        }
        if self.fault_count > 20 {
            writeln!(f, "… {} faults in all", self.fault_count)?;
        }
        if !self.valid {
            writeln!(f, "INVALID: the generator fell behind its schedule; the figures say nothing about the server")?;
        }
        writeln!(f, "{}", if self.passed() { "passed" } else { "FAILED" })
    }
}
