//! What a shard counts: plain numbers that only its own core touches. A copy ([`Snapshot`]) leaves the shard when asked for.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// Microseconds up to 60 s with two digits: about 20 KiB, no allocation when recording.
fn histogram() -> Histogram<u64> {
    // The bounds are constants that the crate accepts.
    Histogram::new_with_bounds(1, 60_000_000, 2).unwrap_or_else(|_| unreachable!("constant bounds"))
}

/// Times in microseconds.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    sum_us: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { histogram: histogram(), sum_us: 0 }
    }
}

impl Latency {
    /// Records one time; what is out of range counts at the edge.
    pub fn record(&mut self, us: u64) {
        self.histogram.saturating_record(us.max(1));
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// All that was recorded.
    #[must_use]
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// The sum of all that was recorded.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }
}

/// Counters and gauges of one shard's decisions.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// WebSocket connections open now.
    pub connections_active: u64,
    /// Opened since the start.
    pub connections_opened: u64,
    /// Closed since the start, by reason.
    pub connections_closed: BTreeMap<&'static str, u64>,
    /// Client frames, by type.
    pub frames_received: BTreeMap<&'static str, u64>,
    /// Errors answered, by code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Messages taken from clients (sockets and REST) by the owner of the room.
    pub messages_received: u64,
    /// Messages durable.
    pub messages_stored: u64,
    /// Messages that could not be stored.
    pub messages_failed: u64,
    /// Retried sends that were answered from memory or the store.
    pub messages_duplicate: u64,
    /// Event frames put into outboxes.
    pub deliveries: u64,
    /// Frames shed, by (kind, reason).
    pub shed: BTreeMap<(&'static str, &'static str), u64>,
    /// Store jobs that failed, by kind.
    pub store_failures: BTreeMap<&'static str, u64>,
    /// Batches that a full lane gave back.
    pub lane_full: u64,
    /// Messages sent to other shards.
    pub lane_messages: u64,
    /// Bytes waiting in outboxes now.
    pub outbox_bytes: u64,
    /// Rooms in memory now.
    pub rooms_loaded: u64,
    /// Users in memory now.
    pub users_loaded: u64,
    /// Events in timelines now.
    pub timeline_events: u64,
    /// What they weigh.
    pub timeline_bytes: u64,
    /// Answered client ids in memory now.
    pub answered_ids: u64,
    /// Bytes of users and rooms that nobody is connected to, about.
    pub resting_bytes: u64,
    /// Store jobs in flight now.
    pub store_jobs: u64,
    /// Owner: frame taken → durable.
    pub received_to_stored: Latency,
    /// Owner's shard: durable → written to local receivers' outboxes and their sockets tried.
    pub stored_to_written: Latency,
    /// Sender's shard: frame taken → ack written.
    pub received_to_acked: Latency,
}

impl Counters {
    /// Adds one to a labelled counter.
    pub fn count<K: Ord>(map: &mut BTreeMap<K, u64>, key: K) {
        *map.entry(key).or_default() += 1;
    }
}

/// What the shell counts on the same shard.
#[derive(Clone, Debug, Default)]
pub struct ShellCounters {
    /// TLS handshakes finished.
    pub handshakes: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Handshakes and requests that wait for a portion of the core now.
    pub requests_waiting: u64,
    /// HTTP requests answered, by status.
    pub http_requests: BTreeMap<u16, u64>,
    /// Turns of the pump.
    pub turns: u64,
    /// Length of turns that did something.
    pub turn: Latency,
    /// Turns longer than the set time.
    pub stalls: u64,
    /// Writes to sockets.
    pub writes: u64,
    /// Bytes of plaintext in them.
    pub written_bytes: u64,
    /// Writes that found the socket full.
    pub writes_blocked: u64,
    /// Inputs waiting in lanes to this shard now.
    pub inbox_depth: u64,
}

/// A copy of one shard's numbers.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Which shard.
    pub shard: u16,
    /// The pure half's.
    pub counters: Counters,
    /// The shell's.
    pub shell: ShellCounters,
}
