//! A report made up for tests: a phase of connecting, a phase of talking, with noise from a seed.

use std::time::Duration;

use super::{Distribution, Moment, PhaseReport, Report, Sample, ServerSample, ServerUse, ShardSample};
use crate::plan::split_mix;

/// A run of `seconds` of talk after 3 s of connecting; times are `slower` times what they are at 1.
pub(crate) fn report(seconds: u32, slower: f64) -> Report {
    seeded(seconds, slower, 1)
}

/// The same with another noise.
pub(crate) fn seeded(seconds: u32, slower: f64, seed: u64) -> Report {
    let mut noise = Noise(seed);
    let mut talk = PhaseReport {
        name: "talk".to_owned(),
        start_seconds: 3.0,
        seconds: f64::from(seconds),
        connections: 1000,
        ..PhaseReport::default()
    };
    let mut connect =
        PhaseReport { name: "connect".to_owned(), seconds: 3.0, connections: 1000, ..PhaseReport::default() };
    let mut timeline = Vec::new();
    for second in 1..=3_u32 {
        let server = server_second(0.1, 30 + u64::from(second) * 4);
        timeline.push(Sample { t: f64::from(second), open: 333, server: Some(server), ..Sample::default() });
    }
    (0..1000).for_each(|n| connect.connect.record(Duration::from_micros(2000 + n * 3)));
    let mut cpu_seconds = 0.0;
    for second in 1..=seconds {
        let mut delivery = Distribution::new();
        let mut ack = Distribution::new();
        for _ in 0..200 {
            let time = 1500.0 * slower * (0.8 + 0.4 * noise.next() + if noise.next() > 0.95 { 8.0 } else { 0.0 });
            ack.record(Duration::from_secs_f64(time / 2e6));
            delivery.record(Duration::from_secs_f64(time / 1e6));
        }
        talk.lateness.record(Duration::from_micros(80 + u64::from(second)));
        talk.ack.merge(&ack);
        talk.delivery.merge(&delivery);
        let cpu = 0.4 * slower * (0.95 + 0.1 * noise.next());
        cpu_seconds += cpu;
        timeline.push(Sample {
            t: 3.0 + f64::from(second),
            sent: 20,
            acked: 20,
            delivered: 20_000,
            open: 1000,
            ack: Moment::of(&ack, false),
            delivery: Moment::of(&delivery, false),
            generator_cpu_seconds: 0.3,
            server: Some(server_second(cpu, 45)),
            ..Sample::default()
        });
    }
    let count = u64::from(seconds);
    (talk.planned, talk.sent, talk.acked) = (count * 20, count * 20, count * 20);
    (talk.delivered, talk.expected_deliveries) = (count * 20_000, count * 20_000);
    talk.counts.insert("typing".to_owned(), 7);
    talk.extra.insert("typing".to_owned(), talk.ack.clone());
    let used = |cpu_seconds: f64, before: u64, connections_before| ServerUse {
        cpu_seconds,
        by_thread: [("shard-0".to_owned(), cpu_seconds * 0.9), ("store-writer".to_owned(), cpu_seconds * 0.1)].into(),
        rss_before: before << 20,
        rss_after: 45 << 20,
        pss_after: Some(44 << 20),
        connections_before,
        counters: Some(crate::scrape::Counters::default()),
        ..ServerUse::default()
    };
    connect.server = Some(used(0.3, 30, 0));
    talk.server = Some(used(cpu_seconds, 45, 1000));
    let mut report = Report {
        scenario_name: "rooms of 1000".to_owned(),
        target: "wss://localhost:8443/ws/chat".to_owned(),
        adapter: "causerie".to_owned(),
        started_at: "2026-11-22T16:20:23Z".to_owned(),
        harness_version: "0.1.0".to_owned(),
        processes: 1,
        seed,
        phases: vec![connect, talk],
        timeline,
        ..Report::default()
    };
    report.finish();
    report
}

fn server_second(cpu: f64, mib: u64) -> ServerSample {
    ServerSample {
        cpu_seconds: cpu,
        by_thread: [("shard-0".to_owned(), cpu * 0.9), ("store-writer".to_owned(), cpu * 0.1)].into(),
        rss_bytes: mib << 20,
        pss_bytes: None,
        shards: [(
            "0".to_owned(),
            ShardSample { deliveries: 20_000.0, turns: 900.0, turn_ms: 0.4, ..ShardSample::default() },
        )]
        .into(),
    }
}

/// Numbers from 0 to 1 that look random.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = split_mix(self.0);
        let high = u32::try_from(self.0 >> 32).unwrap_or(0);
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }
}
