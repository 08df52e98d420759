//! What the harness says of time, held against the stamps of a server that delays and stalls by known amounts.
//!
//! No tolerance is chosen here. The server stamps each delivery before it sends it, and gets a pong after the harness has read it
//! (see `fake`): every time that the harness counts lies between the two, and so does, rank by rank, the whole distribution.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop where it stands")]

mod fake;

use std::time::{Duration, Instant};

use causerie_load::report::{Distribution, Report};
use causerie_load::run;
use fake::{Fake, Setup, Stamp, talk};

/// Runs the scenario and knows the moment at which it began.
fn run_from(fake: &Fake, scenario: &str) -> (Report, Instant) {
    let mut prepared = run::prepare(&fake.plan(scenario)).unwrap();
    prepared.connect().unwrap();
    let start = Instant::now() + Duration::from_millis(100);
    (prepared.go(start).unwrap(), start)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap()
}

/// What each of these took at least and at most, by the server's stamps, each ascending.
fn bounds(stamps: &[Stamp], start: Instant) -> (Vec<u64>, Vec<u64>) {
    // A harness that sent before the time that it names would take less than nothing.
    let after = |moment: Instant, stamp: &Stamp| micros(moment.saturating_duration_since(start + stamp.due));
    let mut least: Vec<u64> = stamps.iter().map(|stamp| after(stamp.sent, stamp)).collect();
    let mut most: Vec<u64> = stamps.iter().map(|stamp| after(stamp.read_by.expect("a pong"), stamp)).collect();
    least.sort_unstable();
    most.sort_unstable();
    (least, most)
}

/// Rank by rank the harness's times lie within the bounds, as far as its histogram tells them apart.
#[track_caller]
fn holds(what: &str, times: &Distribution, (least, most): &(Vec<u64>, Vec<u64>)) {
    let histogram = times.micros();
    assert_eq!(times.count(), least.len() as u64, "{what}: as many as the server sent");
    let mut rank = 0;
    for step in histogram.iter_recorded() {
        for _ in 0..step.count_since_last_iteration() {
            let (low, high) = (histogram.lowest_equivalent(step.value_iterated_to()), step.value_iterated_to());
            // The shortest time that is counted is a microsecond.
            assert!(high >= least[rank], "{what}: the {rank}th took {high} µs, and was sent after {} µs", least[rank]);
            assert!(low <= most[rank].max(1), "{what}: the {rank}th took {low} µs, and was read by {} µs", most[rank]);
            rank += 1;
        }
    }
}

/// Waits until the pongs to the last deliveries are there.
fn with_all_pongs(fake: &Fake) -> std::sync::MutexGuard<'_, fake::Record> {
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let record = fake.record();
        if record.deliveries.iter().chain(&record.acks).all(|stamp| stamp.read_by.is_some()) {
            return record;
        }
        drop(record);
        assert!(Instant::now() < end, "a client did not answer a ping");
        std::thread::yield_now();
    }
}

#[test]
fn every_time_agrees_with_the_servers_stamps() {
    // Most are quick, some wait 40 ms, and one of a hundred 300 ms.
    let delay = |n: u64| match n % 100 {
        0 => Duration::from_millis(300),
        n if n % 10 == 1 => Duration::from_millis(40),
        n => Duration::from_micros(n * 50),
    };
    let fake = Fake::start(Setup { delay: Some(delay), pings: true, ..Setup::default() });
    let (report, start) = run_from(&fake, &talk(12, 4, 2.0, 150));
    assert_eq!(report.verdict.faults.len(), 0, "{:?}", report.verdict.words);
    let record = with_all_pongs(&fake);
    assert_eq!((record.messages.len(), record.deliveries.len(), record.acks.len()), (300, 900, 300));
    let talk = report.phases.last().unwrap();
    holds("ack", &talk.ack, &bounds(&record.acks, start));
    holds("delivery", &talk.delivery, &bounds(&record.deliveries, start));
    // What waited does show.
    assert!(talk.delivery.max() >= 300.0);
    // A message was sent before it was read.
    let mut read: Vec<u64> =
        record.messages.iter().map(|(_, due, at)| micros(at.saturating_duration_since(start + *due))).collect();
    read.sort_unstable();
    holds("lateness", &talk.lateness, &(vec![0; read.len()], read));
}

#[test]
fn a_stall_shows_in_all_that_was_due_meanwhile() {
    let stall = Duration::from_secs(1);
    let fake = Fake::start(Setup { stall: Some((100, stall)), pings: true, ..Setup::default() });
    let (report, start) = run_from(&fake, &talk(12, 4, 2.0, 150));
    let record = with_all_pongs(&fake);
    let (from, to) = record.stalled.unwrap();
    // The schedule went on: every message has the intended time that it has without a stall.
    let mut due: Vec<Duration> = record.messages.iter().map(|(_, due, _)| *due).collect();
    due.sort_unstable();
    let spacing = Duration::from_secs(1) / 150;
    for (k, due) in (0..).zip(&due) {
        assert!(due.abs_diff(spacing * k) < Duration::from_micros(1), "message {k} was meant for {due:?}");
    }
    assert_eq!(due.len(), 300);
    // All that was due in the first half of the stall waited for half of it at least: acks, and deliveries three times as many.
    let half = due.iter().filter(|due| start + **due >= from && start + **due + stall / 2 <= to).count() as u64;
    assert!(half >= 30, "so many were due: {half}");
    let talk = report.phases.last().unwrap();
    let long = |times: &Distribution| {
        let recorded = times.micros().iter_recorded();
        recorded.filter(|s| s.value_iterated_to() >= 500_000).map(|s| s.count_since_last_iteration()).sum::<u64>()
    };
    assert!(
        long(&talk.ack) >= half && long(&talk.delivery) >= 3 * half,
        "{} {}",
        long(&talk.ack),
        long(&talk.delivery)
    );
    holds("ack", &talk.ack, &bounds(&record.acks, start));
    holds("delivery", &talk.delivery, &bounds(&record.deliveries, start));
    // The seconds show it, too.
    assert!(report.timeline.iter().any(|second| second.delivery.max_ms >= 500.0), "{:?}", report.timeline);
}

#[test]
fn a_harness_that_was_too_slow_says_so() {
    // Thousands of writes in one moment: nothing sends the last of them within a millisecond of it.
    let scenario = talk(12, 4, 2.0, 150)
        .replace("messages = { rate = 150 }", "messages = { shape = 'burst', burst = 4000, every = 10 }");
    let scenario = format!("lateness_limit_ms = 1\n{scenario}");
    let fake = Fake::start(Setup::default());
    let report = fake.run(&scenario);
    assert_eq!(report.verdict.faults.len(), 0, "{:?}", report.verdict.words);
    assert!(matches!(&report.validity.reasons[..], [why] if why.contains("late")), "{:?}", report.validity);
    assert!(!report.passed());
    let talk = report.phases.last().unwrap();
    assert_eq!((talk.planned, talk.sent, talk.delivered), (4000, 4000, 12_000));
    assert!(talk.lateness.at(0.99) > 1.0);
}
