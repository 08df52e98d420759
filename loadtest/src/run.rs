//! One run from end to end: prepare, connect, send, wait for the last delivery, read the logs back, check, report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustls::ClientConfig;
use uuid::Uuid;

use crate::check::{self, Entry, Evidence, Log};
use crate::drive::{self, Driver, Seen, Shared};
use crate::http::Http;
use crate::observe::{Usage, usage};
use crate::plan::Plan;
use crate::prepare::{self, Ready, User};
use crate::report::old::{Report, ServerUse, Times};
use crate::{Context as _, Failure};

/// Carries a plan out.
///
/// # Errors
/// When the run could not be carried out at all. What the server did wrong stands in the report.
pub fn run(plan: &Plan) -> Result<Report, Failure> {
    let shape = plan.shape.clone().checked()?;
    let config = plan.trust.clone().config()?;
    let mark = Uuid::now_v7().simple().to_string()[4..12].to_owned() + &Uuid::new_v4().simple().to_string()[..4];
    let users = prepare::users(plan, &mark);
    let rooms = prepare::rooms(plan, &config, &users, &mark)?;
    let before = usage(plan.server_pid.or(Some(u32::MAX)));

    let shared = Arc::new(Shared::default());
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..shape.threads).map(|_| mpsc::channel::<Ready>()).unzip();
    let mut threads = Vec::new();
    for (number, receiver) in receivers.into_iter().enumerate() {
        let driver = Driver::new(shape.clone(), number, shared.clone())?;
        threads.push(thread::spawn(move || driver.run(&receiver)));
    }
    let connecting = Instant::now();
    let outcome = prepare::connections(plan, &config, &users, &rooms, &senders);
    drop(senders);
    let connect_seconds = connecting.elapsed().as_secs_f64();
    let measured = outcome.map(|()| measure(plan, &shared));
    shared.stop.store(true, Ordering::Relaxed);
    let mut seen = Vec::new();
    for thread in threads {
        seen.push(thread.join().map_err(|_| Failure::new("a thread of the harness", "it panicked"))??);
    }
    let measured = measured?;
    let logs = read_logs(plan, &config, &users, &rooms)?;
    Ok(conclude(plan, seen, logs, &shared, before, &measured, connect_seconds))
}

struct Measured {
    connected: Option<Usage>,
    after: Option<Usage>,
    generator_cpu_seconds: f64,
    run_seconds: f64,
}

/// From the last connection to the last delivery.
fn measure(plan: &Plan, shared: &Shared) -> Measured {
    let shape = &plan.shape;
    let server = || plan.server_pid.and_then(|pid| usage(Some(pid)));
    thread::sleep(Duration::from_secs_f64(shape.settle_seconds));
    let connected = server();
    let own = usage(None).unwrap_or_default().cpu_seconds;
    let start = Instant::now() + Duration::from_millis(50);
    let _ = shared.start.set(start);
    thread::sleep(Duration::from_millis(50) + Duration::from_secs_f64(shape.seconds));
    let give_up = Instant::now() + Duration::from_secs_f64(shape.drain_seconds);
    let all = shape.messages() as u64;
    let expected = expected_deliveries(plan);
    while Instant::now() < give_up {
        let (sent, answered) = (shared.sent.load(Ordering::Relaxed), shared.answered.load(Ordering::Relaxed));
        if sent == all && answered == all && shared.delivered.load(Ordering::Relaxed) >= expected {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let run_seconds = start.elapsed().as_secs_f64();
    let after = server();
    let generator_cpu_seconds = usage(None).unwrap_or_default().cpu_seconds - own;
    // What comes too often comes late: a duplicate that is still on its way is to be seen, too.
    thread::sleep(Duration::from_millis(300));
    Measured { connected, after, generator_cpu_seconds, run_seconds }
}

/// If all is acked: every message to every other member of its room.
fn expected_deliveries(plan: &Plan) -> u64 {
    let (shape, senders) = (&plan.shape, plan.shape.senders());
    (0..shape.messages())
        .map(|k| {
            let room = shape.room_of(senders[k % senders.len()]);
            let members = shape.room_size.min(shape.connections - room * shape.room_size);
            members as u64 - 1
        })
        .sum()
}

/// Every room's log, all of it, through the server's own history.
fn read_logs(
    plan: &Plan,
    config: &Arc<ClientConfig>,
    users: &[User],
    rooms: &[Uuid],
) -> Result<BTreeMap<Uuid, Log>, Failure> {
    let mut http = Http::new(&plan.address, config);
    rooms
        .iter()
        .enumerate()
        .map(|(number, &room)| {
            let reader = &users[number * plan.shape.room_size];
            Ok((room, read_log(&mut http, &reader.token, room)?))
        })
        .collect()
}

/// One room's log from its first event on, page after page.
///
/// # Errors
/// When a page is refused.
pub fn read_log(http: &mut Http, token: &str, room: Uuid) -> Result<Log, Failure> {
    let mut log = Log::default();
    let mut after = 0;
    let mut waits = 0;
    loop {
        let path = format!("/api/v1/chat/rooms/{room}/messages?after={after}&limit=100");
        let answer = http.call("GET", &path, Some(token), &[], None)?;
        if matches!(answer.status, 429 | 503) && waits < 100 {
            waits += 1;
            thread::sleep(Duration::from_millis(answer.json()["retry_after_ms"].as_u64().unwrap_or(200).min(5000)));
            continue;
        }
        if answer.status != 200 {
            return Err(Failure::new(format!("GET {path}"), format!("{}: {}", answer.status, answer.text())));
        }
        let page = answer.json();
        let rows = page["messages"].as_array().context_none("a page without messages")?;
        for row in rows {
            let seq = row["seq"].as_u64().context_none("a row without seq")?;
            let text = row["content"].as_str().filter(|_| row["type"].as_str().is_none_or(|kind| kind == "chat"));
            let key = text.and_then(drive::key);
            log.entries.push(Entry { seq, key });
            after = after.max(seq);
        }
        if page["more"] != true || rows.is_empty() {
            return Ok(log);
        }
    }
}

fn conclude(
    plan: &Plan,
    seen: Vec<Seen>,
    logs: BTreeMap<Uuid, Log>,
    shared: &Shared,
    before: Option<Usage>,
    measured: &Measured,
    connect_seconds: f64,
) -> Report {
    let ends: BTreeMap<Uuid, u64> =
        logs.iter().map(|(&room, log)| (room, log.entries.last().map_or(0, |e| e.seq))).collect();
    let mut evidence = Evidence { logs, ..Evidence::default() };
    let mut troubles: BTreeMap<String, u64> = BTreeMap::new();
    let (mut ack, mut delivery, mut lateness) = (None, None, None);
    for thread in seen {
        for (what, count) in thread.troubles {
            *troubles.entry(what).or_default() += count;
        }
        evidence.answers.extend(thread.answers);
        evidence.sent.extend(thread.sent);
        evidence.foreign.extend(thread.foreign);
        evidence.views.extend(thread.views.into_iter().map(|mut view| {
            // Everybody stayed to the end, so everything had to come.
            view.until = ends.get(&view.room).copied();
            view
        }));
        merge(&mut ack, thread.ack);
        merge(&mut delivery, thread.delivery);
        merge(&mut lateness, thread.lateness);
    }
    let faults = check::check(&evidence);
    let times = |h: Option<Histogram<u64>>| h.map_or_else(empty_times, |h| Times::of(&h));
    let (ack_ms, delivery_ms, lateness_ms) = (times(ack), times(delivery), times(lateness));
    let (sent, answered) = (shared.sent.load(Ordering::Relaxed), shared.answered.load(Ordering::Relaxed));
    let delivered = shared.delivered.load(Ordering::Relaxed);
    let unanswered = sent.saturating_sub(answered);
    let all_sent = sent == plan.shape.messages() as u64;
    Report {
        sound: faults.is_empty() && troubles.is_empty() && unanswered == 0,
        valid: all_sent && lateness_ms.p99 <= plan.shape.lateness_limit_ms,
        fault_count: faults.len(),
        faults: faults.iter().take(100).map(ToString::to_string).collect(),
        troubles,
        sent,
        acked: evidence.answers.len() as u64,
        unanswered,
        delivered,
        expected_deliveries: expected_deliveries(plan),
        ack_ms,
        delivery_ms,
        lateness_ms,
        connect_seconds,
        run_seconds: measured.run_seconds,
        generator_cpu_seconds: measured.generator_cpu_seconds,
        server: server_use(plan, before, measured, delivered),
        shape: plan.shape.clone(),
    }
}

#[allow(clippy::cast_precision_loss)] // counts and bytes far below 2^52
fn server_use(plan: &Plan, before: Option<Usage>, measured: &Measured, delivered: u64) -> Option<ServerUse> {
    let (before, connected, after) = (before?, measured.connected?, measured.after?);
    let run = after.cpu_seconds - connected.cpu_seconds;
    Some(ServerUse {
        connect_cpu_seconds: connected.cpu_seconds - before.cpu_seconds,
        run_cpu_seconds: run,
        rss_before: before.rss_bytes,
        rss_connected: connected.rss_bytes,
        rss_after: after.rss_bytes,
        bytes_per_connection: (connected.rss_bytes as f64 - before.rss_bytes as f64) / plan.shape.connections as f64,
        deliveries_per_cpu_second: if run > 0.0 { delivered as f64 / run } else { 0.0 },
    })
}

fn merge(into: &mut Option<Histogram<u64>>, from: Histogram<u64>) {
    match into {
        // Same bounds everywhere, so adding cannot fail.
        Some(all) => drop(all.add(from)),
        None => *into = Some(from),
    }
}

fn empty_times() -> Times {
    Times { count: 0, p50: 0.0, p90: 0.0, p99: 0.0, p999: 0.0, max: 0.0 }
}

/// Names what an `Option` lacks.
trait ContextNone<T> {
    /// The value, or a failure that says so.
    fn context_none(self, what: &str) -> Result<T, Failure>;
}

impl<T> ContextNone<T> for Option<T> {
    fn context_none(self, what: &str) -> Result<T, Failure> {
        self.ok_or("it is not there").context(what)
    }
}
