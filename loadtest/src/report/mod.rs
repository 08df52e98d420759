//! What came out of a run: one JSON file for machines, a table and a page for people, and whether it may be believed.
//!
//! | file | what it is |
//! |---|---|
//! | this one | the report and its parts, as they stand in the JSON file (`format` 1) |
//! | [`distribution`] | times of one kind: figures and the histogram behind them |
//! | [`figures`] | figures by name |
//! | [`file`] | the JSON file |
//! | `table` | what the terminal shows |
//! | [`html`] | the page |
//! | [`compare`], [`repeat`] | what differs between two runs; what several runs have in common |
//! | `merge` | parts of several processes become one; what follows from the parts |
//!
//! The life of a report: the run fills it; parts of several processes become one with [`Report::merge`]; expectations are looked at
//! over the whole; [`Report::finish`] works out what follows from the rest; then it is written and shown.

pub mod compare;
pub mod distribution;
pub mod figures;
pub mod file;
pub mod html;
mod merge;
pub mod repeat;
pub mod repeats;
#[cfg(test)]
pub(crate) mod sample;
mod table;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use distribution::{Distribution, LADDER, Moment};

use crate::machine::Machine;
use crate::scrape::Counters;

/// The version of the file's form. It goes up when a field changes its meaning or goes away; fields may come without that.
pub const FORMAT: u32 = 1;

/// Faults that are kept in words.
pub const WORDS_MAX: usize = 100;

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`] of whoever wrote it.
    pub format: u32,
    /// Whether it passed, and why not: see [`Report::finish`].
    pub outcome: Outcome,
    /// The version of the harness.
    pub harness_version: String,
    /// The commit that the harness was built from, with `-dirty` when it was changed; `None` outside a checkout.
    pub commit: Option<String>,
    /// What the server says of its version.
    pub server_version: Option<String>,
    /// Where the harness ran.
    pub machine: Machine,
    /// Where the other processes of the run were, when that was not the same machine.
    #[serde(default)]
    pub other_machines: Vec<Machine>,
    /// The socket, as a URL.
    pub target: String,
    /// Whose protocol was spoken: `causerie`, `raw`, `centrifugo`, `socketio`.
    pub adapter: String,
    /// The scenario's name.
    pub scenario_name: String,
    /// The scenario, whole, as it was carried out.
    pub scenario: Value,
    /// Chooses who speaks when.
    pub seed: u64,
    /// When the first connection was opened: RFC 3339, UTC.
    pub started_at: String,
    /// Processes of the harness that joined the run.
    pub processes: u32,
    /// The phases, in order.
    pub phases: Vec<PhaseReport>,
    /// One sample a second over all phases.
    pub timeline: Vec<Sample>,
    /// What the checker found.
    pub verdict: Verdict,
    /// Whether the figures say something about the server.
    pub validity: Validity,
    /// What the scenario asked for.
    #[serde(default)]
    pub expectations: Vec<Expectation>,
    /// What a reader should know besides, in words.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// How a run ended. Worked out by [`Report::finish`]; stands first in the file, so that a script need not know the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Sound, valid, and as expected.
    pub passed: bool,
    /// Why not, in words.
    #[serde(default)]
    pub why: Vec<String>,
}

/// A part of a run with one purpose: connecting, being idle, talking, a storm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseReport {
    /// Its name in the scenario.
    pub name: String,
    /// When it began, in seconds after the start of the timeline.
    pub start_seconds: f64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Whether it counts for headline figures. Warming up does not.
    #[serde(default)]
    pub warm_up: bool,
    /// Connections that were live at its end.
    #[serde(default)]
    pub connections: u64,
    /// Messages that the schedule holds.
    pub planned: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages acked.
    pub acked: u64,
    /// Messages refused, by the code of the error.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
    /// Messages without any answer.
    pub unanswered: u64,
    /// Deliveries that came.
    pub delivered: u64,
    /// Deliveries that there should be.
    pub expected_deliveries: u64,
    /// Intended send to ack.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub ack: Distribution,
    /// Intended send to each delivery.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub delivery: Distribution,
    /// Intended send to the moment at which the harness did send.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub lateness: Distribution,
    /// Intended connect to live: TCP, TLS, upgrade, authentication.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub connect: Distribution,
    /// Intended reconnect to all missed messages seen.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub catch_up: Distribution,
    /// A request for history to its answer.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub history: Distribution,
    /// Other times, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Distribution>,
    /// Other counts, by name: typing sent, frames received, bytes received, reconnects.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// What the harness used.
    #[serde(default)]
    pub generator: GeneratorUse,
    /// What the server used, when its process or its `/metrics` could be looked at.
    #[serde(default)]
    pub server: Option<ServerUse>,
}

/// What the harness itself used in a phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GeneratorUse {
    /// CPU seconds over all its processes.
    pub cpu_seconds: f64,
    /// The largest share of one core that one of its threads used, 0 to 1.
    pub busiest_thread: f64,
}

/// What the server used in a phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerUse {
    /// Seconds that were looked at: from mark to mark, which may be longer than the phase by its settling.
    #[serde(default)]
    pub seconds: f64,
    /// CPU seconds.
    pub cpu_seconds: f64,
    /// The same by the names of threads.
    #[serde(default)]
    pub by_thread: BTreeMap<String, f64>,
    /// Resident memory when the phase began, in bytes.
    pub rss_before: u64,
    /// Resident memory when it ended, in bytes.
    pub rss_after: u64,
    /// Proportional memory (shared pages counted in part) when it began, in bytes.
    #[serde(default)]
    pub pss_before: Option<u64>,
    /// Proportional memory when it ended, in bytes.
    #[serde(default)]
    pub pss_after: Option<u64>,
    /// Connections that were live when it began, as the harness counts them.
    #[serde(default)]
    pub connections_before: u64,
    /// What `/metrics` counted in the phase.
    #[serde(default)]
    pub counters: Option<Counters>,
    /// Deliveries for one CPU second. Worked out, from the deliveries that came while this CPU time was used: when many of the phase's
    /// messages came after its end, those do not count.
    #[serde(default)]
    pub deliveries_per_cpu_second: Option<f64>,
    /// Resident memory that one more connection took, in bytes. Worked out, when connections came in this phase.
    #[serde(default)]
    pub bytes_per_connection: Option<f64>,
    /// CPU milliseconds for one connect, in a phase that does nothing else. Worked out.
    #[serde(default)]
    pub cpu_ms_per_connect: Option<f64>,
}

/// What one second showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When it ended, in seconds after the start of the timeline.
    pub t: f64,
    /// How long it was, where that is not a whole second: the last one, in which the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Messages sent in it.
    pub sent: u64,
    /// Acks that came in it.
    pub acked: u64,
    /// Deliveries that came in it.
    pub delivered: u64,
    /// Errors, refusals and closes in it.
    pub errors: u64,
    /// Connections that were live at its end.
    pub open: u64,
    /// Intended send to ack, of acks that came in it.
    #[serde(default)]
    pub ack: Moment,
    /// Intended send to delivery, of deliveries that came in it.
    #[serde(default)]
    pub delivery: Moment,
    /// How late the harness sent.
    #[serde(default)]
    pub lateness: Moment,
    /// CPU seconds that the harness used in it.
    #[serde(default)]
    pub generator_cpu_seconds: f64,
    /// What was seen of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerSample>,
}

impl Sample {
    /// When it began, in seconds after the start of the timeline.
    #[must_use]
    pub fn began(&self) -> f64 {
        self.t - self.length()
    }

    /// How long it was, in seconds.
    #[must_use]
    pub fn length(&self) -> f64 {
        self.seconds.filter(|seconds| *seconds > 0.0).unwrap_or(1.0)
    }

    /// One of its counts as a rate.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // counts of a second
    pub fn a_second(&self, count: u64) -> f64 {
        count as f64 / self.length()
    }
}

/// What one second showed of the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerSample {
    /// CPU seconds used in it.
    pub cpu_seconds: f64,
    /// The same by the names of threads.
    #[serde(default)]
    pub by_thread: BTreeMap<String, f64>,
    /// Resident memory at its end, in bytes.
    pub rss_bytes: u64,
    /// Proportional memory, in bytes; read every tenth time only, for it makes the server's memory wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pss_bytes: Option<u64>,
    /// From `/metrics`, by the number of the shard.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shards: BTreeMap<String, ShardSample>,
}

/// What one second showed of a shard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShardSample {
    /// Deliveries in it.
    pub deliveries: f64,
    /// Turns of its loop in it.
    pub turns: f64,
    /// The mean length of those turns that did something, in milliseconds.
    pub turn_ms: f64,
    /// Turns that were too long.
    pub stalls: f64,
    /// Connections open at its end.
    pub connections: f64,
}

/// What the checker found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// How many faults, by kind: `gap`, `duplicate`, `disorder`, `stranger`, `lost`, `two answers`. None: the server kept its promises.
    pub faults: BTreeMap<String, u64>,
    /// The first of them ([`WORDS_MAX`]) in words.
    #[serde(default)]
    pub words: Vec<String>,
    /// What was held against each other, by name: deliveries, acks, entries of logs. A verdict over nothing is none.
    #[serde(default)]
    pub checked: BTreeMap<String, u64>,
    /// What could not be looked for with this adapter, in words.
    #[serde(default)]
    pub not_checked: Vec<String>,
    /// Errors, resyncs, closes by name. Whether they may happen is a matter of the scenario's expectations.
    #[serde(default)]
    pub troubles: BTreeMap<String, u64>,
}

/// Whether the figures say something about the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// Why not, in words: "the generator was late: p99 35 ms > 20 ms". None: they do.
    pub reasons: Vec<String>,
}

/// How a figure is to stand to its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Not above it.
    #[default]
    AtMost,
    /// Not below it.
    AtLeast,
}

/// One thing that the scenario asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// What, e.g. `talk: delivery p95`.
    pub name: String,
    /// What came out. `None` when it could not be measured, which is not met.
    pub value: Option<f64>,
    /// How it is to stand to `limit`.
    pub relation: Relation,
    /// What was asked for.
    pub limit: f64,
    /// The unit of both: `ms`, `KiB`, or nothing for counts.
    #[serde(default)]
    pub unit: String,
}

impl Expectation {
    /// Whether it came true.
    #[must_use]
    pub fn met(&self) -> bool {
        self.value.is_some_and(|value| match self.relation {
            Relation::AtMost => value <= self.limit,
            Relation::AtLeast => value >= self.limit,
        })
    }
}

impl Verdict {
    /// Whether nothing was found.
    #[must_use]
    pub fn sound(&self) -> bool {
        self.faults.values().all(|count| *count == 0)
    }

    /// How many faults there are.
    #[must_use]
    pub fn fault_count(&self) -> u64 {
        self.faults.values().sum()
    }

    /// One more fault of this kind; the first hundred also in words.
    pub fn fault(&mut self, kind: &str, words: impl FnOnce() -> String) {
        *self.faults.entry(kind.to_owned()).or_default() += 1;
        if self.words.len() < WORDS_MAX {
            self.words.push(words());
        }
    }

    /// One more trouble of this name.
    pub fn trouble(&mut self, name: &str, count: u64) {
        *self.troubles.entry(name.to_owned()).or_default() += count;
    }
}

impl Validity {
    /// Whether the figures may be believed.
    #[must_use]
    pub fn valid(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.relation {
            Relation::AtMost => "≤",
            Relation::AtLeast => "≥",
        };
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        match self.value {
            Some(value) => write!(f, "{} {}{unit}, asked {sign} {}{unit}", self.name, short(value), short(self.limit)),
            None => write!(f, "{} could not be measured, asked {sign} {}{unit}", self.name, short(self.limit)),
        }
    }
}

/// A number for people: three figures after the point when small, none when large, thousands apart.
#[must_use]
pub fn short(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        _ if !value.is_finite() => return "–".to_owned(),
        _ if size >= 1000.0 || value.fract() == 0.0 => format!("{value:.0}"),
        _ if size >= 100.0 => format!("{value:.1}"),
        _ if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut out = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(rest) = rest {
        out.push('.');
        out += rest;
    }
    out
}
