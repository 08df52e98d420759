//! The figures of a report by name: what expectations are written over, what is compared, what repeats are summed up by.
//!
//! | name | what, per phase |
//! |---|---|
//! | `seconds`, `connections`, `planned`, `sent`, `acked`, `unanswered`, `refused`, `delivered`, `missing` | counts; missing are expected deliveries that did not come |
//! | `sent_per_second`, `acked_per_second`, `delivered_per_second` | rates over the whole phase |
//! | `ack.p99`, `delivery.p50`, `lateness.max`, `connect.mean`, `catch_up.p95`, `history.p99.9`, … | milliseconds; any percentile, `mean`, `min`, `max`, `count` |
//! | `NAME.p99` | the same of an extra distribution |
//! | `counts.NAME`, `refused.CODE` | an extra count, refusals with this code |
//! | `server.cpu_seconds`, `server.cores`, `server.deliveries_per_cpu_second`, `server.cpu_ms_per_connect` | CPU; cores is CPU seconds a second |
//! | `server.rss_kib`, `server.rss_grown_kib`, `server.rss_kib_per_hour`, `server.pss_kib`, `server.kib_per_connection` | memory at the phase's end, its growth, its slope, and what a connection took |
//! | `server.NAME` | growth of a counter of `/metrics`, e.g. `server.stalls`, `server.store_commits`, `server.writes` |
//! | `generator.cpu_seconds`, `generator.busiest_thread` | what the harness used |
//! | `faults`, `troubles`, `troubles.NAME` | of the whole run, whatever the phase |

use super::{Distribution, LADDER, PhaseReport, Report, Sample};

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
    /// It is only told.
    Neither,
}

/// A figure that a report shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name, as [`Report::figure`] knows it.
    pub name: String,
    /// Its unit, for people.
    pub unit: &'static str,
    /// Its value.
    pub value: f64,
    /// Which way is better.
    pub better: Better,
    /// Whether it belongs to what one looks at first.
    pub headline: bool,
}

impl Report {
    /// The phase with most deliveries (else most messages, else the longest) that is no warm-up: what headline figures are about.
    #[must_use]
    pub fn main_phase(&self) -> Option<&PhaseReport> {
        let counted = || self.phases.iter().filter(|phase| !phase.warm_up);
        counted()
            .filter(|phase| phase.delivered > 0)
            .max_by_key(|phase| phase.delivered)
            .or_else(|| counted().filter(|phase| phase.sent > 0).max_by_key(|phase| phase.sent))
            .or_else(|| counted().max_by(|a, b| a.seconds.total_cmp(&b.seconds)))
    }

    /// One figure by name (see the table above), of a phase or, with `None`, of the [`Report::main_phase`]. `None` when there is no
    /// such phase or figure, or it was not measured.
    #[must_use]
    pub fn figure(&self, phase: Option<&str>, name: &str) -> Option<f64> {
        match name.split_once('.').unwrap_or((name, "")) {
            ("faults", "") => return Some(float(self.verdict.fault_count())),
            ("troubles", "") => return Some(float(self.verdict.troubles.values().sum())),
            ("troubles", trouble) => return Some(float(self.verdict.troubles.get(trouble).copied().unwrap_or(0))),
            _ => {}
        }
        let phase = match phase {
            Some(name) => self.phases.iter().find(|phase| phase.name == name)?,
            None => self.main_phase()?,
        };
        if name == "server.rss_kib_per_hour" {
            return self.memory_slope(phase).map(|bytes| bytes * 3600.0 / 1024.0);
        }
        phase.figure(name)
    }

    /// How fast the server's resident memory grew in a phase, in bytes a second: the median of the slopes between pairs of samples
    /// (Theil and Sen), so that single jumps do not bend it. `None` under ten samples.
    #[must_use]
    pub fn memory_slope(&self, phase: &PhaseReport) -> Option<f64> {
        let inside = self.timeline.iter().filter(|s| phase.holds(s));
        #[allow(clippy::cast_precision_loss)] // bytes of memory fit
        let all: Vec<(f64, f64)> = inside.filter_map(|s| Some((s.t, s.server.as_ref()?.rss_bytes as f64))).collect();
        if all.len() < 10 {
            return None;
        }
        // A few hundred points give tens of thousands of pairs, which is plenty.
        let points: Vec<&(f64, f64)> = all.iter().step_by(all.len().div_ceil(300)).collect();
        let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
        for (at, (t0, y0)) in points.iter().enumerate() {
            slopes.extend(points.iter().skip(at + 1).filter(|(t1, _)| t1 > t0).map(|(t1, y1)| (y1 - y0) / (t1 - t0)));
        }
        median(&mut slopes)
    }

    /// What is compared and summed up, of one phase.
    #[must_use]
    pub fn figures(&self, phase: &PhaseReport) -> Vec<Figure> {
        use Better::{Higher, Lower, Neither};
        let mut names: Vec<(String, &'static str, Better, bool)> = Vec::new();
        let talks = phase.sent > 0 || phase.delivered > 0;
        let mut fixed = |name: &str, unit, better, headline| names.push((name.to_owned(), unit, better, headline));
        fixed("seconds", "s", Neither, false);
        fixed("connections", "", Neither, false);
        if talks {
            fixed("sent_per_second", "1/s", Neither, false);
            fixed("delivered_per_second", "1/s", Higher, true);
            fixed("unanswered", "", Lower, false);
            fixed("refused", "", Lower, false);
            fixed("missing", "", Lower, false);
        }
        fixed("server.deliveries_per_cpu_second", "1/CPU s", Higher, true);
        fixed("server.cores", "cores", Lower, true);
        fixed("server.cpu_ms_per_connect", "CPU ms", Lower, true);
        fixed("server.kib_per_connection", "KiB", Lower, true);
        fixed("server.rss_kib", "KiB", Lower, true);
        fixed("server.stalls", "", Lower, false);
        fixed("server.store_commits", "", Neither, false);
        fixed("server.writes", "", Neither, false);
        fixed("generator.busiest_thread", "cores", Neither, false);
        for (name, times) in phase.named_distributions() {
            let better = if name == "lateness" { Neither } else { Lower };
            for (step, _) in LADDER.iter().filter(|(_, q)| trusted(times, *q)) {
                let headline = better == Lower && ["p50", "p99", "p99.9"].contains(step);
                names.push((format!("{name}.{step}"), "ms", better, headline));
            }
            names.push((format!("{name}.max"), "ms", better, false));
        }
        let figure = |(name, unit, better, headline): (String, _, _, _)| {
            let value = self.figure(Some(&phase.name), &name)?;
            Some(Figure { name, unit, value, better, headline })
        };
        names.into_iter().filter_map(figure).collect()
    }
}

/// Whether a percentile says something: at least ten values lie beyond it.
#[must_use]
pub fn trusted(times: &Distribution, quantile: f64) -> bool {
    float(times.count()) * (1.0 - quantile) >= 10.0 || quantile <= 0.5
}

impl PhaseReport {
    /// Whether its figures are worth looking at: it is no warm-up of talking. Connecting always is.
    #[must_use]
    pub fn measured(&self) -> bool {
        !self.warm_up || (self.sent == 0 && self.delivered == 0)
    }

    /// Whether a second of the timeline lies whole in this phase.
    #[must_use]
    pub fn holds(&self, sample: &Sample) -> bool {
        // Samples come a few milliseconds after the second.
        sample.began() >= self.start_seconds - 0.1 && sample.t <= self.start_seconds + self.seconds + 0.1
    }

    /// Its distributions that hold something, by the names of figures.
    pub fn named_distributions(&self) -> impl Iterator<Item = (&str, &Distribution)> {
        let fixed = [
            ("ack", &self.ack),
            ("delivery", &self.delivery),
            ("lateness", &self.lateness),
            ("connect", &self.connect),
            ("catch_up", &self.catch_up),
            ("history", &self.history),
        ];
        let extra = self.extra.iter().map(|(name, times)| (name.as_str(), times));
        fixed.into_iter().chain(extra).filter(|(_, times)| !times.is_empty())
    }

    /// Expected deliveries that did not come.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.expected_deliveries.saturating_sub(self.delivered)
    }

    fn figure(&self, name: &str) -> Option<f64> {
        let rate = |count: u64| (self.seconds > 0.0).then(|| float(count) / self.seconds);
        let (first, rest) = name.split_once('.').unwrap_or((name, ""));
        match (first, rest) {
            ("seconds", "") => Some(self.seconds),
            ("connections", "") => Some(float(self.connections)),
            ("planned", "") => Some(float(self.planned)),
            ("sent", "") => Some(float(self.sent)),
            ("acked", "") => Some(float(self.acked)),
            ("unanswered", "") => Some(float(self.unanswered)),
            ("refused", "") => Some(float(self.refused.values().sum())),
            ("refused", code) => Some(float(self.refused.get(code).copied().unwrap_or(0))),
            ("delivered", "") => Some(float(self.delivered)),
            ("missing", "") => Some(float(self.missing())),
            ("sent_per_second", "") => rate(self.sent),
            ("acked_per_second", "") => rate(self.acked),
            ("delivered_per_second", "") => rate(self.delivered),
            ("counts", count) => Some(float(self.counts.get(count).copied().unwrap_or(0))),
            ("generator", "cpu_seconds") => Some(self.generator.cpu_seconds),
            ("generator", "busiest_thread") => Some(self.generator.busiest_thread),
            ("server", name) => self.server_figure(name),
            (times, step) => {
                let (_, times) = self.named_distributions().find(|(name, _)| *name == times)?;
                time(times, step)
            }
        }
    }

    fn server_figure(&self, name: &str) -> Option<f64> {
        let server = self.server.as_ref()?;
        let kib = |bytes: u64| float(bytes) / 1024.0;
        match name {
            "cpu_seconds" => Some(server.cpu_seconds),
            "cores" => Some(server.cores(self.seconds)),
            "deliveries_per_cpu_second" => server.deliveries_per_cpu_second,
            "cpu_ms_per_connect" => server.cpu_ms_per_connect,
            "kib_per_connection" => server.bytes_per_connection.map(|bytes| bytes / 1024.0),
            "rss_kib" => (server.rss_after > 0).then(|| kib(server.rss_after)),
            "rss_grown_kib" => (server.rss_after > 0).then(|| kib(server.rss_after) - kib(server.rss_before)),
            "pss_kib" => server.pss_after.map(kib),
            // A counter that is known and did not move is not in the page's difference: it grew by nothing.
            counter => server.counters.as_ref().map(|counters| counters.grew(counter).unwrap_or(0.0)),
        }
    }
}

fn time(times: &Distribution, step: &str) -> Option<f64> {
    match step {
        "count" => Some(float(times.count())),
        "mean" => Some(times.mean()),
        "min" => Some(times.min()),
        "max" => Some(times.max()),
        _ => {
            let percent: f64 = step.strip_prefix('p')?.parse().ok()?;
            (0.0..=100.0).contains(&percent).then(|| times.at(percent / 100.0))
        }
    }
}

/// The middle one; of an even number the mean of both. `None` of none.
#[must_use]
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { f64::midpoint(upper, *values.get(middle - 1)?) } else { upper })
}

/// A count as a number to reckon with.
#[allow(clippy::cast_precision_loss)] // counts far below 2^52
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn every_name_of_the_table_is_a_figure() {
        let report = sample::report(40, 1.0);
        let names = "seconds connections planned sent acked unanswered refused delivered missing sent_per_second acked_per_second \
            delivered_per_second ack.p99 delivery.p50 lateness.max ack.mean ack.p99.9 ack.count ack.min counts.typing \
            refused.rate_limited server.cpu_seconds server.cores server.deliveries_per_cpu_second server.rss_kib \
            server.rss_grown_kib server.rss_kib_per_hour server.pss_kib server.stalls generator.cpu_seconds \
            generator.busiest_thread faults troubles troubles.resync typing.p50";
        for name in names.split_whitespace() {
            assert!(report.figure(Some("talk"), name).is_some(), "{name}");
        }
        for name in ["server.cpu_ms_per_connect", "server.kib_per_connection", "connect.p50"] {
            assert!(report.figure(Some("connect"), name).is_some(), "{name}");
        }
        for name in ["nothing", "ack.p101", "ack.x", "ack", "catch_up.p50", "p50"] {
            assert_eq!(report.figure(Some("talk"), name), None, "{name}");
        }
        assert_eq!(report.figure(Some("no such phase"), "sent"), None);
        assert_eq!(report.figure(None, "sent"), report.figure(Some("talk"), "sent"), "the main phase");
    }

    #[test]
    fn a_slope_of_memory_is_found_through_jumps() {
        let mut report = sample::report(100, 1.0);
        for (at, second) in (0_u64..).zip(&mut report.timeline) {
            second.server.as_mut().unwrap().rss_bytes = 1_000_000 + at * 1024 + if at == 50 { 500_000_000 } else { 0 };
        }
        let slope = report.figure(Some("talk"), "server.rss_kib_per_hour").unwrap();
        assert!((slope - 3600.0).abs() < 1.0, "{slope}");
    }

    #[test]
    fn percentiles_that_rest_on_few_values_are_not_figures() {
        let mut times = Distribution::new();
        times.record_micros(5, 999);
        assert!(!trusted(&times, 0.99));
        times.record_micros(5, 1);
        assert!(trusted(&times, 0.99) && !trusted(&times, 0.999));
    }
}
