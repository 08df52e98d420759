//! The numbers of all shards, the store and the process as Prometheus' text format (version 0.0.4).
//!
//! Every name begins with `causerie_`, carries its unit, and is explained in `docs/operations.md` (a test holds the two together).
//! Numbers of a shard have the label `shard`; nothing is added up here, since Prometheus can add but not take apart.

use super::counters::{Counters, ShellCounters, Snapshot};
use super::process::Process;
use super::text::{Kind, Text};
use crate::store::driver::DriverNumbers;

/// The content type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All that is shown, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Numbers<'a> {
    /// One for each shard.
    pub shards: &'a [Snapshot],
    /// The process as the kernel sees it.
    pub process: Process,
    /// Lines of the logs that were dropped.
    pub log_lines_dropped: u64,
    /// Connections refused at the door, because of the limits of the instance or of one address.
    pub admission_refused: u64,
    /// Pieces of work that wait for a blocking thread.
    pub pool_waiting: u64,
    /// `limits.connections`.
    pub connections_limit: u64,
    /// `limits.outbox_budget_bytes`, of each shard.
    pub outbox_budget_bytes: u64,
    /// When the certificate ends, in seconds since 1970; `None`: it does not say.
    pub certificate_ends: Option<u64>,
    /// The store's driver.
    pub store: Option<&'a DriverNumbers>,
}

/// The whole page.
#[must_use]
pub fn render(numbers: &Numbers<'_>) -> String {
    let mut text = Text::default();
    text.family("causerie_build_info", Kind::Gauge, "Always 1; the version is a label.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    process(&mut text, &numbers.process);
    text.family(
        "causerie_log_lines_dropped_total",
        Kind::Counter,
        "Lines of the logs dropped because the disk or terminal was too slow.",
    )
    .sample(&[], numbers.log_lines_dropped);
    text.family(
        "causerie_admission_refused_total",
        Kind::Counter,
        "Connections refused because of limits.connections or limits.connections_per_address.",
    )
    .sample(&[], numbers.admission_refused);
    text.family("causerie_connections_limit", Kind::Gauge, "limits.connections.")
        .sample(&[], numbers.connections_limit);
    let mut ends = text.family(
        "causerie_tls_certificate_not_after_seconds",
        Kind::Gauge,
        "When the certificate ends, in seconds since 1970.",
    );
    if let Some(at) = numbers.certificate_ends {
        ends.sample(&[], at);
    }
    text.family("causerie_pool_waiting", Kind::Gauge, "Pieces of long work that wait for a thread.")
        .sample(&[], numbers.pool_waiting);
    let shards = Shards::new(numbers.shards);
    connections(&mut text, &shards);
    messages(&mut text, &shards);
    memory(&mut text, &shards);
    let mut budget =
        text.family("causerie_outbox_budget_bytes", Kind::Gauge, "limits.outbox_budget_bytes: how many may wait.");
    for (shard, _) in &shards.0 {
        budget.sample(&[("shard", shard)], numbers.outbox_budget_bytes);
    }
    turns(&mut text, &shards);
    store(&mut text, numbers.store);
    text.finish()
}

/// Snapshots with their labels.
struct Shards<'a>(Vec<(String, &'a Snapshot)>);

impl<'a> Shards<'a> {
    fn new(snapshots: &'a [Snapshot]) -> Self {
        Self(snapshots.iter().map(|snapshot| (snapshot.shard.to_string(), snapshot)).collect())
    }

    /// One number of the pure half's for each shard.
    fn pure(&self, text: &mut Text, name: &'static str, kind: Kind, help: &str, value: fn(&Counters) -> u64) {
        let mut family = text.family(name, kind, help);
        for (shard, snapshot) in &self.0 {
            family.sample(&[("shard", shard)], value(&snapshot.counters));
        }
    }

    /// One number of the shell's for each shard.
    fn shell(&self, text: &mut Text, name: &'static str, kind: Kind, help: &str, value: fn(&ShellCounters) -> u64) {
        let mut family = text.family(name, kind, help);
        for (shard, snapshot) in &self.0 {
            family.sample(&[("shard", shard)], value(&snapshot.shell));
        }
    }
}

fn process(text: &mut Text, process: &Process) {
    let mut gauge = |name, help, value| {
        text.family(name, Kind::Gauge, help).sample(&[], value);
    };
    gauge("causerie_process_resident_bytes", "Memory of the process that is in RAM.", process.resident_bytes);
    gauge(
        "causerie_process_memory_limit_bytes",
        "Memory that it may have: what its control groups allow, or all of the machine.",
        process.memory_limit_bytes,
    );
    gauge("causerie_process_threads", "Threads of the process.", process.threads);
    gauge("causerie_process_open_fds", "Files and sockets that are open.", process.open_fds);
    gauge("causerie_process_max_fds", "How many may be open (ulimit -n).", process.max_fds);
    text.family("causerie_process_start_time_seconds", Kind::Gauge, "When the process started, in seconds since 1970.")
        .seconds(&[], process.start_time_seconds);
    text.family(
        "causerie_process_cpu_seconds_total",
        Kind::Counter,
        "CPU time that the process used, in user and kernel mode.",
    )
    .seconds(&[], process.cpu_seconds);
    let mut threads = text.family(
        "causerie_process_thread_cpu_seconds_total",
        Kind::Counter,
        "CPU time of threads that are there, by name.",
    );
    for (name, used) in &process.thread_cpu_seconds {
        threads.seconds(&[("thread", name)], *used);
    }
}

fn connections(text: &mut Text, shards: &Shards<'_>) {
    use Kind::{Counter, Gauge};
    shards
        .pure(text, "causerie_connections_active", Gauge, "WebSocket connections open now.", |c| c.connections_active);
    shards.pure(text, "causerie_connections_opened_total", Counter, "WebSocket connections opened.", |c| {
        c.connections_opened
    });
    let mut closed =
        text.family("causerie_connections_closed_total", Counter, "WebSocket connections closed, by reason.");
    for (shard, snapshot) in &shards.0 {
        for (reason, count) in &snapshot.counters.connections_closed {
            closed.sample(&[("shard", shard), ("reason", reason)], *count);
        }
    }
    shards.shell(text, "causerie_requests_waiting", Gauge, "Handshakes and requests that wait for a portion.", |s| {
        s.requests_waiting
    });
    shards.shell(text, "causerie_tls_handshakes_total", Counter, "TLS handshakes finished.", |s| s.handshakes);
    shards.shell(text, "causerie_tls_handshakes_failed_total", Counter, "TLS handshakes that failed.", |s| {
        s.handshakes_failed
    });
    let mut requests = text.family("causerie_http_requests_total", Counter, "HTTP requests answered, by status.");
    for (shard, snapshot) in &shards.0 {
        for (status, count) in &snapshot.shell.http_requests {
            requests.sample(&[("shard", shard), ("status", &status.to_string())], *count);
        }
    }
}

fn messages(text: &mut Text, shards: &Shards<'_>) {
    use Kind::Counter;
    let mut frames = text.family("causerie_frames_received_total", Counter, "Client frames, by type.");
    for (shard, snapshot) in &shards.0 {
        for (kind, count) in &snapshot.counters.frames_received {
            frames.sample(&[("shard", shard), ("type", kind)], *count);
        }
    }
    let mut refused = text.family("causerie_refused_total", Counter, "Errors answered, by code.");
    for (shard, snapshot) in &shards.0 {
        for (code, count) in &snapshot.counters.refused {
            refused.sample(&[("shard", shard), ("code", code)], *count);
        }
    }
    shards.pure(
        text,
        "causerie_messages_received_total",
        Counter,
        "Messages taken from clients by the owner of their room.",
        |c| c.messages_received,
    );
    shards.pure(text, "causerie_messages_stored_total", Counter, "Messages that are durable.", |c| c.messages_stored);
    shards.pure(
        text,
        "causerie_messages_failed_total",
        Counter,
        "Messages that could not be stored and were refused.",
        |c| c.messages_failed,
    );
    shards.pure(
        text,
        "causerie_messages_duplicate_total",
        Counter,
        "Retried sends that got their first answer again.",
        |c| c.messages_duplicate,
    );
    shards
        .pure(text, "causerie_messages_delivered_total", Counter, "Event frames put into outboxes.", |c| c.deliveries);
    let mut shed = text.family("causerie_shed_total", Counter, "Frames not sent to a client, by kind and reason.");
    for (shard, snapshot) in &shards.0 {
        for ((kind, reason), count) in &snapshot.counters.shed {
            shed.sample(&[("shard", shard), ("kind", kind), ("reason", reason)], *count);
        }
    }
    let mut failures =
        text.family("causerie_store_failures_total", Counter, "Store jobs of shards that failed, by kind.");
    for (shard, snapshot) in &shards.0 {
        for (kind, count) in &snapshot.counters.store_failures {
            failures.sample(&[("shard", shard), ("kind", kind)], *count);
        }
    }
    let mut stored = text.family(
        "causerie_received_to_stored_seconds",
        Kind::Histogram,
        "From a message's frame to its being durable.",
    );
    for (shard, snapshot) in &shards.0 {
        stored.times(&[("shard", shard)], &snapshot.counters.received_to_stored);
    }
    let mut written = text.family(
        "causerie_stored_to_written_seconds",
        Kind::Histogram,
        "From durable to written to the sockets of the owner's shard.",
    );
    for (shard, snapshot) in &shards.0 {
        written.times(&[("shard", shard)], &snapshot.counters.stored_to_written);
    }
    let mut acked = text.family(
        "causerie_received_to_acked_seconds",
        Kind::Histogram,
        "From a message's frame to its ack being written.",
    );
    for (shard, snapshot) in &shards.0 {
        acked.times(&[("shard", shard)], &snapshot.counters.received_to_acked);
    }
}

fn memory(text: &mut Text, shards: &Shards<'_>) {
    use Kind::Gauge;
    shards.pure(text, "causerie_outbox_bytes", Gauge, "Bytes waiting for slow readers.", |c| c.outbox_bytes);
    shards.pure(text, "causerie_rooms_loaded", Gauge, "Rooms in memory.", |c| c.rooms_loaded);
    shards.pure(text, "causerie_users_loaded", Gauge, "Users in memory.", |c| c.users_loaded);
    shards.pure(text, "causerie_timeline_events", Gauge, "Events of rooms that are at hand.", |c| c.timeline_events);
    shards.pure(text, "causerie_timeline_bytes", Gauge, "Bytes of them (limits.timeline_budget_bytes).", |c| {
        c.timeline_bytes
    });
    shards.pure(text, "causerie_answered_ids", Gauge, "Ids of sent messages that are remembered.", |c| c.answered_ids);
    shards.pure(
        text,
        "causerie_resting_bytes",
        Gauge,
        "Bytes, about, of users and rooms that nobody is connected to (limits.resting_bytes).",
        |c| c.resting_bytes,
    );
    shards.pure(text, "causerie_store_jobs", Gauge, "Store jobs that this shard waits for.", |c| c.store_jobs);
    shards.shell(text, "causerie_inbox_depth", Gauge, "Batches waiting in lanes to this shard.", |s| s.inbox_depth);
}

fn turns(text: &mut Text, shards: &Shards<'_>) {
    use Kind::Counter;
    shards.pure(text, "causerie_lane_messages_total", Counter, "Messages sent to other shards.", |c| c.lane_messages);
    shards.pure(
        text,
        "causerie_lane_full_total",
        Counter,
        "Batches that a full lane to another shard gave back.",
        |c| c.lane_full,
    );
    shards.shell(text, "causerie_turns_total", Counter, "Turns of the shard's loop.", |s| s.turns);
    shards.shell(text, "causerie_stalls_total", Counter, "Turns longer than runtime.stall_ms.", |s| s.stalls);
    let mut turn = text.family("causerie_turn_seconds", Kind::Histogram, "Length of turns that did something.");
    for (shard, snapshot) in &shards.0 {
        turn.times(&[("shard", shard)], &snapshot.shell.turn);
    }
    shards.shell(text, "causerie_writes_total", Counter, "Writes to sockets.", |s| s.writes);
    shards
        .shell(text, "causerie_written_bytes_total", Counter, "Bytes before encryption in them.", |s| s.written_bytes);
    shards.shell(text, "causerie_writes_blocked_total", Counter, "Writes that found a socket full.", |s| {
        s.writes_blocked
    });
}

/// The driver's numbers. Its families stand there without samples while there is no store.
fn store(text: &mut Text, numbers: Option<&DriverNumbers>) {
    use Kind::{Counter, Gauge, Histogram};
    let mut number = |name, kind, help, value: fn(&DriverNumbers) -> u64| {
        let mut family = text.family(name, kind, help);
        if let Some(numbers) = numbers {
            family.sample(&[], value(numbers));
        }
    };
    number("causerie_store_commits_total", Counter, "Commits that are durable.", |s| s.commits);
    number("causerie_store_commits_failed_total", Counter, "Commits that failed as a whole.", |s| s.commits_failed);
    number("causerie_store_writes_total", Counter, "Writes that were answered.", |s| s.writes);
    number("causerie_store_writes_failed_total", Counter, "Writes that failed.", |s| s.writes_failed);
    number("causerie_store_reads_total", Counter, "Reads that were answered.", |s| s.reads);
    number("causerie_store_reads_failed_total", Counter, "Reads that failed.", |s| s.reads_failed);
    number("causerie_store_refused_total", Counter, "Jobs refused because a queue was full.", |s| s.refused);
    number("causerie_store_writes_waiting", Gauge, "Writes waiting for their commit.", |s| s.writes_waiting);
    number("causerie_store_reads_waiting", Gauge, "Reads waiting for a thread.", |s| s.reads_waiting);
    number("causerie_store_cache_bytes", Gauge, "Bytes of pages in memory (store.cache_bytes).", |s| {
        s.held.cache_bytes
    });
    number(
        "causerie_store_layer_bytes",
        Gauge,
        "Bytes, about, of rows in memory that the log has and the database has not yet.",
        |s| s.held.layer_bytes,
    );
    let mut size =
        text.family("causerie_store_size_bytes", Gauge, "Bytes on disk; absent where another machine keeps them.");
    if let Some(bytes) = numbers.map(|numbers| numbers.size_bytes).filter(|bytes| *bytes > 0) {
        size.sample(&[], bytes);
    }
    let mut commit = text.family("causerie_store_commit_seconds", Histogram, "Time of a commit until it is durable.");
    if let Some(numbers) = numbers {
        commit.times(&[], &numbers.commit_time);
    }
    let mut size = text.family("causerie_store_commit_writes", Histogram, "Writes in one commit.");
    if let Some(numbers) = numbers {
        size.counts(&[], &numbers.batch_size, numbers.writes.saturating_add(numbers.writes_failed));
    }
    let mut read = text.family("causerie_store_read_seconds", Histogram, "Time of a read, without its waiting.");
    if let Some(numbers) = numbers {
        read.times(&[], &numbers.read_time);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::text::tests::checked;
    use hdrhistogram::Histogram;

    use super::*;
    use crate::metrics::counters::Latency;

    /// Numbers in which every family has a sample.
    fn busy(shard: u16) -> Snapshot {
        let mut snapshot = Snapshot { shard, ..Snapshot::default() };
        let c = &mut snapshot.counters;
        c.connections_active = 7;
        c.connections_closed.insert("too slow", 2);
        c.frames_received.insert("chat", 3);
        c.refused.insert("rate_limited", 4);
        c.shed.insert(("typing", "outbox"), 5);
        c.store_failures.insert("unavailable", 1);
        for us in [40, 900, 30_000, 59_000_000] {
            c.received_to_stored.record(us);
        }
        snapshot.shell.http_requests.insert(404, 6);
        snapshot.shell.turn.record(20);
        snapshot
    }

    fn page() -> String {
        let shards = [busy(0), busy(1)];
        let times = |us: &[u64]| {
            let mut times = Latency::default();
            for us in us {
                times.record(*us);
            }
            times
        };
        let mut batch_size = Histogram::new_with_bounds(1, 10_000, 2).unwrap();
        batch_size.record(1).unwrap();
        batch_size.record(40).unwrap();
        let store = DriverNumbers {
            commits: 2,
            commits_failed: 0,
            writes: 40,
            writes_failed: 1,
            batch_size,
            commit_time: times(&[300, 700]),
            reads: 1,
            reads_failed: 0,
            read_time: times(&[20]),
            refused: 0,
            writes_waiting: 3,
            reads_waiting: 0,
            size_bytes: 1 << 20,
            held: crate::store::HeldBytes { cache_bytes: 4096, layer_bytes: 100 },
        };
        render(&Numbers { shards: &shards, store: Some(&store), ..Numbers::default() })
    }

    #[test]
    fn the_page_keeps_the_rules_of_the_format() {
        let families = checked(&page()).unwrap();
        assert!(families.iter().all(|family| family.starts_with("causerie_")), "{families:?}");
        assert!(families.len() > 30);
        let empty = checked(&render(&Numbers::default())).unwrap();
        assert_eq!(families, empty, "a family is left out when there is nothing to count yet");
    }

    #[test]
    fn numbers_stand_where_they_belong() {
        let page = page();
        for line in [
            "causerie_connections_active{shard=\"1\"} 7",
            "causerie_connections_closed_total{shard=\"0\",reason=\"too slow\"} 2",
            "causerie_frames_received_total{shard=\"0\",type=\"chat\"} 3",
            "causerie_refused_total{shard=\"0\",code=\"rate_limited\"} 4",
            "causerie_shed_total{shard=\"0\",kind=\"typing\",reason=\"outbox\"} 5",
            "causerie_http_requests_total{shard=\"0\",status=\"404\"} 6",
            "causerie_received_to_stored_seconds_bucket{shard=\"0\",le=\"0.00005\"} 1",
            "causerie_received_to_stored_seconds_bucket{shard=\"0\",le=\"0.001\"} 2",
            "causerie_received_to_stored_seconds_bucket{shard=\"0\",le=\"0.05\"} 3",
            "causerie_received_to_stored_seconds_bucket{shard=\"0\",le=\"+Inf\"} 4",
            "causerie_received_to_stored_seconds_sum{shard=\"0\"} 59.03094",
            "causerie_received_to_stored_seconds_count{shard=\"0\"} 4",
            "causerie_store_writes_waiting 3",
            "causerie_store_commit_seconds_bucket{le=\"0.0005\"} 1",
            "causerie_store_commit_writes_bucket{le=\"1\"} 1",
            "causerie_store_commit_writes_bucket{le=\"50\"} 2",
            "causerie_store_commit_writes_sum 41",
            "causerie_store_commit_writes_count 2",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn everything_that_is_counted_is_shown() {
        let ours = include_str!("expose.rs");
        let fields =
            include_str!("counters.rs").lines().filter_map(|line| line.strip_prefix("    pub ")?.split_once(':'));
        let hidden: Vec<&str> = fields
            .map(|(field, _)| field)
            .filter(|field| !field.starts_with("fn ") && !ours.contains(&format!(".{field}")))
            .filter(|field| !["counters", "shell", "shard"].contains(field))
            .collect();
        assert_eq!(hidden, [""; 0], "counted by nobody's eyes");
    }

    #[test]
    fn every_family_is_explained_for_operators_and_no_other() {
        let manual = include_str!("../../docs/operations.md");
        let explained: BTreeSet<&str> =
            manual.lines().filter_map(|line| line.strip_prefix("| `causerie_")?.split('`').next()).collect();
        let families = checked(&page()).unwrap();
        let shown: BTreeSet<&str> = families.iter().filter_map(|family| family.strip_prefix("causerie_")).collect();
        assert_eq!(shown.difference(&explained).collect::<Vec<_>>(), [&""; 0], "not explained in docs/operations.md");
        assert_eq!(explained.difference(&shown).collect::<Vec<_>>(), [&""; 0], "explained, but not shown");
    }
}
