//! What a scenario expects of its measured phases. Each one that is set is held against what came out; one that fails makes the run fail.

use serde::{Deserialize, Serialize};

/// Expectations; what is not set is not asked. Times are those of all measured phases together unless a `phase` is named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The phase whose figures are meant. Not set: all measured ones together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Intended send to delivery, at most, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// The same at 95 of 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<f64>,
    /// The same at 99 of 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// The same at 999 of 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p999_ms: Option<f64>,
    /// Intended send to ack, at most, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_p50_ms: Option<f64>,
    /// The same at 99 of 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_p99_ms: Option<f64>,
    /// Deliveries that may be missing. Not set: 0, where the server promises to resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// Refusals, closes and resets that the scenario did not ask for, at most. Not set: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub troubles: Option<u64>,
    /// CPU seconds of the server, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// Deliveries for each CPU second of the server, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliveries_per_cpu_second: Option<f64>,
    /// Until the last client that was cut or slow has caught up, at most, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up_seconds: Option<f64>,
    /// How far p99 of the last measured phase may lie above that of the first, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_moves_percent: Option<f64>,
    /// Resident memory of the server for each idle connection, at most, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_connection: Option<f64>,
    /// How far the memory after the last round may lie above that after the first, in percent (more rounds than one).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_returns_percent: Option<f64>,
    /// How much the server's memory may grow an hour over the measured phases, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_grows_mib_per_hour: Option<f64>,
}
