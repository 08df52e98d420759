//! What is shown of an interval, as plain numbers: the one source of the screen, the plain table and the JSON.
//!
//! A number that is not known (the server does not give it, or there is no page before) is `None`, never 0.

use std::collections::BTreeMap;

use serde::Serialize;

use super::interval::{Gained, Interval};

/// Everything that is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct View {
    /// The server's version.
    pub version: Option<String>,
    /// How long the interval was. Without it there are no rates.
    pub interval_seconds: Option<f64>,
    /// All shards together.
    pub all: Shard,
    /// Each shard.
    pub shards: Vec<Shard>,
    /// The store.
    pub store: Store,
    /// What clients were refused, and what they were not sent.
    pub clients: Clients,
    /// The process.
    pub process: Process,
}

/// Times of an interval. All `None` when nothing happened in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Times {
    /// How many a second.
    pub per_second: Option<f64>,
    /// Half were at most this long, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 99 of 100 were at most this long, in milliseconds.
    pub p99_ms: Option<f64>,
    /// None was longer: the bound of the highest bucket that was reached, in milliseconds.
    pub max_ms: Option<f64>,
}

/// One shard, or all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Shard {
    /// Which; `None`: all.
    pub shard: Option<String>,
    /// WebSocket connections.
    pub connections: Option<f64>,
    /// Messages a second that came to rooms of this shard.
    pub messages: Option<f64>,
    /// Frames a second put into outboxes.
    pub deliveries: Option<f64>,
    /// Writes to sockets a second.
    pub writes: Option<f64>,
    /// Frames that one write carries.
    pub deliveries_per_write: Option<f64>,
    /// Bytes a second before encryption.
    pub bytes: Option<f64>,
    /// Writes a second that found a socket full.
    pub writes_blocked: Option<f64>,
    /// Length of turns.
    pub turn: Times,
    /// Turns longer than `runtime.stall_ms`, in this interval.
    pub stalls: Option<f64>,
    /// The same since the start.
    pub stalls_total: Option<f64>,
    /// Batches waiting in lanes to it.
    pub lane_depth: Option<f64>,
    /// Messages a second sent to other shards.
    pub lane_messages: Option<f64>,
    /// Batches that a full lane gave back, in this interval.
    pub lane_full: Option<f64>,
    /// The same since the start.
    pub lane_full_total: Option<f64>,
    /// Bytes waiting for slow readers.
    pub outbox_bytes: Option<f64>,
    /// How many may wait.
    pub outbox_budget_bytes: Option<f64>,
    /// Store jobs that it waits for.
    pub store_jobs: Option<f64>,
    /// Rooms in memory.
    pub rooms: Option<f64>,
    /// Users in memory.
    pub users: Option<f64>,
    /// CPU of its thread, in cores. For all: of the process.
    pub cpu: Option<f64>,
    /// A message's frame to being durable.
    pub received_to_stored: Times,
    /// Durable to written to sockets.
    pub stored_to_written: Times,
    /// A message's frame to its ack being written.
    pub received_to_acked: Times,
}

/// The store.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Store {
    /// Commits and their length until they are on disk.
    pub commit: Times,
    /// Writes that one commit carried, on average.
    pub writes_per_commit: Option<f64>,
    /// Writes a second.
    pub writes: Option<f64>,
    /// Writes waiting for their commit.
    pub writes_waiting: Option<f64>,
    /// Reads and their length.
    pub read: Times,
    /// Reads waiting for a thread.
    pub reads_waiting: Option<f64>,
    /// Commits, writes and reads that failed, and jobs refused, in this interval.
    pub failed: Option<f64>,
    /// The same since the start.
    pub failed_total: Option<f64>,
    /// Bytes on disk.
    pub size_bytes: Option<f64>,
}

/// What the outside asks for and does not get.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Clients {
    /// Connections opened a second.
    pub opened: Option<f64>,
    /// TLS handshakes finished a second.
    pub handshakes: Option<f64>,
    /// TLS handshakes that failed, a second.
    pub handshakes_failed: Option<f64>,
    /// Connections refused at the door, a second.
    pub admission_refused: Option<f64>,
    /// `limits.connections`.
    pub connections_limit: Option<f64>,
    /// Frames a second, by type.
    pub frames: BTreeMap<String, f64>,
    /// Refused a second, by code.
    pub refused: BTreeMap<String, f64>,
    /// Shed a second, by kind and reason.
    pub shed: BTreeMap<String, f64>,
    /// Closed a second, by reason.
    pub closed: BTreeMap<String, f64>,
    /// HTTP answers a second, by status.
    pub http: BTreeMap<String, f64>,
}

/// The process as the kernel sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Process {
    /// When it started, in seconds since 1970.
    pub started: Option<f64>,
    /// CPU, in cores.
    pub cpu: Option<f64>,
    /// The same by name of the thread.
    pub threads: BTreeMap<String, f64>,
    /// How many threads.
    pub thread_count: Option<f64>,
    /// Memory in RAM.
    pub resident_bytes: Option<f64>,
    /// What it may have.
    pub memory_limit_bytes: Option<f64>,
    /// Open files and sockets.
    pub open_files: Option<f64>,
    /// How many may be open.
    pub max_files: Option<f64>,
    /// Long work that waits for a thread.
    pub pool_waiting: Option<f64>,
    /// Lines of the logs dropped since the start.
    pub log_lines_dropped: Option<f64>,
    /// When the certificate ends, in seconds since 1970.
    pub certificate_ends: Option<f64>,
}

impl View {
    /// Reckons everything.
    #[must_use]
    pub fn of(interval: &Interval<'_>) -> Self {
        let shards = interval.values_of("causerie_connections_active", "shard");
        let mut all = shard(interval, None);
        all.cpu = interval.rate("causerie_process_cpu_seconds_total", &[]);
        Self {
            version: interval.values_of("causerie_build_info", "version").into_iter().next(),
            interval_seconds: interval.seconds(),
            all,
            shards: shards.into_iter().map(|name| shard(interval, Some(name))).collect(),
            store: store(interval),
            clients: clients(interval),
            process: process(interval),
        }
    }
}

fn shard(interval: &Interval<'_>, name: Option<String>) -> Shard {
    let wanted: Vec<(&str, &str)> = name.iter().map(|name| ("shard", name.as_str())).collect();
    let now = |of| interval.now(of, &wanted);
    let rate = |of| interval.rate(of, &wanted);
    let grown = |of| interval.grown(of, &wanted);
    let times = |of| times(interval, of, &wanted);
    let (deliveries, writes) = (rate("causerie_messages_delivered_total"), rate("causerie_writes_total"));
    let thread = name.as_ref().map(|name| format!("shard-{name}"));
    Shard {
        connections: now("causerie_connections_active"),
        messages: rate("causerie_messages_received_total"),
        deliveries,
        writes,
        deliveries_per_write: deliveries.zip(writes).filter(|(_, writes)| *writes > 0.0).map(|(d, w)| d / w),
        bytes: rate("causerie_written_bytes_total"),
        writes_blocked: rate("causerie_writes_blocked_total"),
        turn: times("causerie_turn_seconds"),
        stalls: grown("causerie_stalls_total"),
        stalls_total: now("causerie_stalls_total"),
        lane_depth: now("causerie_inbox_depth"),
        lane_messages: rate("causerie_lane_messages_total"),
        lane_full: grown("causerie_lane_full_total"),
        lane_full_total: now("causerie_lane_full_total"),
        outbox_bytes: now("causerie_outbox_bytes"),
        outbox_budget_bytes: now("causerie_outbox_budget_bytes"),
        store_jobs: now("causerie_store_jobs"),
        rooms: now("causerie_rooms_loaded"),
        users: now("causerie_users_loaded"),
        cpu: thread
            .and_then(|thread| interval.rate("causerie_process_thread_cpu_seconds_total", &[("thread", &thread)])),
        received_to_stored: times("causerie_received_to_stored_seconds"),
        stored_to_written: times("causerie_stored_to_written_seconds"),
        received_to_acked: times("causerie_received_to_acked_seconds"),
        shard: name,
    }
}

fn times(interval: &Interval<'_>, name: &str, wanted: &[(&str, &str)]) -> Times {
    let (Some(gained), Some(seconds)) = (interval.histogram(name, wanted), interval.seconds()) else {
        return Times::default();
    };
    let ms = |seconds: f64| seconds * 1000.0;
    Times {
        per_second: Some(gained.count() / seconds),
        p50_ms: gained.quantile(0.5).map(ms),
        p99_ms: gained.quantile(0.99).map(ms),
        max_ms: gained.most().map(ms),
    }
}

fn store(interval: &Interval<'_>) -> Store {
    const FAILED: [&str; 4] = [
        "causerie_store_commits_failed_total",
        "causerie_store_writes_failed_total",
        "causerie_store_reads_failed_total",
        "causerie_store_refused_total",
    ];
    let sum = |of: &dyn Fn(&str) -> Option<f64>| -> Option<f64> { FAILED.iter().map(|name| of(name)).sum() };
    Store {
        commit: times(interval, "causerie_store_commit_seconds", &[]),
        writes_per_commit: interval.histogram("causerie_store_commit_writes", &[]).as_ref().and_then(Gained::mean),
        writes: interval.rate("causerie_store_writes_total", &[]),
        writes_waiting: interval.now("causerie_store_writes_waiting", &[]),
        read: times(interval, "causerie_store_read_seconds", &[]),
        reads_waiting: interval.now("causerie_store_reads_waiting", &[]),
        failed: sum(&|name| interval.grown(name, &[])),
        failed_total: sum(&|name| interval.now(name, &[])),
        size_bytes: interval.now("causerie_store_size_bytes", &[]),
    }
}

fn clients(interval: &Interval<'_>) -> Clients {
    Clients {
        opened: interval.rate("causerie_connections_opened_total", &[]),
        handshakes: interval.rate("causerie_tls_handshakes_total", &[]),
        handshakes_failed: interval.rate("causerie_tls_handshakes_failed_total", &[]),
        admission_refused: interval.rate("causerie_admission_refused_total", &[]),
        connections_limit: interval.now("causerie_connections_limit", &[]),
        frames: interval.rates_by("causerie_frames_received_total", &["type"]),
        refused: interval.rates_by("causerie_refused_total", &["code"]),
        shed: interval.rates_by("causerie_shed_total", &["kind", "reason"]),
        closed: interval.rates_by("causerie_connections_closed_total", &["reason"]),
        http: interval.rates_by("causerie_http_requests_total", &["status"]),
    }
}

fn process(interval: &Interval<'_>) -> Process {
    let now = |name| interval.now(name, &[]);
    Process {
        started: now("causerie_process_start_time_seconds"),
        cpu: interval.rate("causerie_process_cpu_seconds_total", &[]),
        threads: interval.rates_by("causerie_process_thread_cpu_seconds_total", &["thread"]),
        thread_count: now("causerie_process_threads"),
        resident_bytes: now("causerie_process_resident_bytes"),
        memory_limit_bytes: now("causerie_process_memory_limit_bytes"),
        open_files: now("causerie_process_open_fds"),
        max_files: now("causerie_process_max_fds"),
        pool_waiting: now("causerie_pool_waiting"),
        log_lines_dropped: now("causerie_log_lines_dropped_total"),
        certificate_ends: now("causerie_tls_certificate_not_after_seconds"),
    }
}
