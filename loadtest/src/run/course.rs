//! The run while it is under way: what each second showed, the server at the borders of phases, a line on the terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::Failure;
use crate::engine::{Crew, Interval, Setup, Told, Totals};
use crate::observe::{Mark, Watcher};
use crate::plan::Plan;
use crate::report::{Moment, Sample, ServerSample, short};
use crate::schedule::SECOND;

/// From this share of a core on a thread has nothing left.
const BUSY: f64 = 0.95;

/// A rest of a second that is shorter goes with the second before: its rates would be chance.
const REST_MIN: f64 = 0.1;

/// How long the run listens to its threads before it looks around.
const LISTEN: Duration = Duration::from_millis(20);

/// The seconds of a run, and who watches the server.
pub(super) struct Course {
    /// Looks at the server.
    pub(super) watcher: Watcher,
    /// What is going on, for the terminal.
    pub(super) phase: Option<String>,
    setup: Arc<Setup>,
    /// The newest seconds, of which threads may tell yet.
    rows: BTreeMap<u64, Row>,
    /// The others: without their histograms, for a run may take hours.
    samples: Vec<Sample>,
    /// Histograms of each second stay in the samples, because they will be merged with those of other processes.
    to_merge: bool,
    /// Of each second in which a thread used nearly all of its core and was late: the share.
    overworked: Vec<f64>,
    lateness_limit: f64,
    /// How long the last second was, once the run has ended.
    rest: Option<f64>,
    last: u64,
    shown: bool,
}

/// One second.
#[derive(Default)]
pub(super) struct Row {
    /// All threads together.
    pub(super) seen: Interval,
    /// The largest share of a core that a thread used.
    pub(super) busiest: f64,
    server: Option<ServerSample>,
    open: u64,
}

impl Course {
    pub(super) fn new(plan: &Plan, watcher: Watcher, setup: &Arc<Setup>) -> Self {
        Self {
            watcher,
            phase: None,
            setup: setup.clone(),
            rows: BTreeMap::new(),
            samples: Vec::new(),
            to_merge: plan.part.of > 1,
            overworked: Vec::new(),
            lateness_limit: plan.scenario.lateness_limit_ms,
            rest: None,
            last: 0,
            shown: plan.progress,
        }
    }

    /// Seconds since the beginning.
    #[allow(clippy::cast_precision_loss)] // nanoseconds of hours fit
    pub(super) fn seconds(&self) -> f64 {
        self.setup.now() as f64 / SECOND as f64
    }

    /// The server at a border.
    pub(super) fn mark(&mut self, setup: &Setup) -> Mark {
        self.watcher.mark(Totals::get(&setup.totals.open))
    }

    /// Listens to the threads for a moment; looks at the server once a second.
    pub(super) fn hear(&mut self, crew: &Crew) -> Result<Option<Told>, Failure> {
        let told = crew.hear(LISTEN)?;
        if let Some(Told::Second(interval)) = told {
            let row = self.rows.entry(interval.second).or_default();
            row.busiest = row.busiest.max(interval.cpu_seconds / interval.seconds.max(1e-9));
            row.seen.take(&interval);
            return Ok(None);
        }
        let now = self.setup.now() / SECOND;
        if now > self.last {
            // The threads' words of this second have come by now, unless they are busy.
            if self.setup.now() % SECOND > SECOND / 10 {
                let row = self.rows.entry(now - 1).or_default();
                row.server = self.watcher.sample();
                row.open = Totals::get(&self.setup.totals.open);
                self.last = now;
                self.show(now - 1);
                self.settle(now.saturating_sub(5));
            }
        }
        Ok(told)
    }

    fn show(&self, second: u64) {
        let Some(row) = self.rows.get(&second).filter(|_| self.shown) else { return };
        let seen = &row.seen;
        let phase = self.phase.as_deref().unwrap_or("connect");
        let mut line = format!("{:>5} s {phase:<12} {:>6} open", second + 1, row.open);
        if seen.sent + seen.delivered > 0 {
            let _ = write!(
                line,
                "  sent {:>6} acked {:>6} delivered {:>7}  p50 {} p99 {} ms",
                seen.sent,
                seen.acked,
                seen.delivered,
                short(seen.delivery.at(0.5)),
                short(seen.delivery.at(0.99)),
            );
        }
        let _ = write!(line, "  own CPU {:.0} %", row.busiest * 100.0);
        if let Some(server) = &row.server {
            let _ = write!(line, "  server {:.0} %", server.cpu_seconds * 100.0);
        }
        if seen.errors > 0 {
            let _ = write!(line, "  errors {}", seen.errors);
        }
        tell(&line);
    }

    /// All threads have ended and told of the second in which they did: it is the last one, and seldom a whole one.
    pub(super) fn end(&mut self) {
        let open = Totals::get(&self.setup.totals.open);
        let Some((last, row)) = self.rows.pop_last() else { return };
        if row.seen.seconds < REST_MIN
            && let Some(mut before) = last.checked_sub(1).and_then(|before| self.rows.remove(&before))
        {
            let length = if before.seen.seconds > 0.0 { 1.0 } else { 0.0 } + row.seen.seconds;
            before.seen.take(&row.seen);
            before.server = before.server.or_else(|| self.watcher.sample());
            before.open = open;
            self.rest = Some(length);
            self.rows.insert(last - 1, before);
            return;
        }
        // The whole second before may have ended a moment ago, and nobody has looked at the server since.
        if let Some(before) = last.checked_sub(1).and_then(|before| self.rows.get_mut(&before))
            && before.server.is_none()
        {
            before.server = self.watcher.sample();
            before.open = open;
        }
        self.rest = Some(row.seen.seconds.min(1.0));
        self.rows.insert(last, Row { open, ..row });
    }

    /// Takes the seconds before this one out of the rows.
    #[allow(clippy::cast_precision_loss)] // seconds
    fn settle(&mut self, before: u64) {
        while let Some(entry) = self.rows.first_entry().filter(|entry| *entry.key() < before) {
            let (second, row) = entry.remove_entry();
            if row.busiest >= BUSY && row.seen.lateness.at(0.99) > self.lateness_limit {
                self.overworked.push(row.busiest);
            }
            // Of the last one it is known how long it was.
            let seconds = self.rest.filter(|_| self.rows.is_empty());
            self.samples.push(Sample {
                t: second as f64 + seconds.unwrap_or(1.0),
                seconds,
                sent: row.seen.sent,
                acked: row.seen.acked,
                delivered: row.seen.delivered,
                errors: row.seen.errors,
                open: row.open,
                ack: Moment::of(&row.seen.ack, self.to_merge),
                delivery: Moment::of(&row.seen.delivery, self.to_merge),
                lateness: Moment::of(&row.seen.lateness, self.to_merge),
                generator_cpu_seconds: row.seen.cpu_seconds,
                server: row.server,
            });
        }
    }

    /// Of each second in which a thread used nearly all of its core and was late: the share.
    pub(super) fn overworked(&mut self) -> &[f64] {
        self.settle(u64::MAX);
        &self.overworked
    }

    /// The timeline of the report. `shift`: seconds before the common start of several processes, which are left out.
    pub(super) fn timeline(&mut self, shift: f64) -> Vec<Sample> {
        self.settle(u64::MAX);
        let mut all = std::mem::take(&mut self.samples);
        for sample in &mut all {
            sample.t -= shift;
        }
        all.retain(|sample| sample.t > 0.0);
        all
    }
}

/// Nanoseconds as whole seconds, downwards.
#[allow(clippy::cast_precision_loss)] // seconds
pub(super) fn whole_seconds(nanos: u64) -> f64 {
    (nanos / SECOND) as f64
}

/// A line for whoever looks on.
pub(super) fn say(plan: &Plan, line: &str) {
    if plan.progress {
        tell(line);
    }
}

fn tell(line: &str) {
    // Nobody may be looking.
    let _ = io::Write::write_all(&mut io::stderr(), format!("{line}\n").as_bytes());
}
