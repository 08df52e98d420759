//! What the scenario asked for, against what came out. Over the whole run: with several processes after their parts were merged.

use crate::report::{Distribution, Expectation, PhaseReport, Relation, Report};
use crate::scenario::Scenario;

/// Looks at every expectation of the scenario, and at the three that every run has: all is answered, nothing is lost, nothing goes wrong
/// that the scenario did not ask for.
pub fn look(scenario: &Scenario, report: &mut Report) {
    let asked = &scenario.expect;
    let measured: Vec<&PhaseReport> = report.phases.iter().filter(|phase| !phase.warm_up).collect();
    let meant: Vec<&PhaseReport> = match &asked.phase {
        Some(name) => measured.iter().copied().filter(|phase| phase.name == *name).collect(),
        None => measured.clone(),
    };
    let place = asked.phase.as_deref().map_or(String::new(), |name| format!("{name}: "));
    let mut all = Vec::new();
    let mut add = |name: &str, value: Option<f64>, relation, limit: Option<f64>, unit: &str| {
        let Some(limit) = limit else { return };
        all.push(Expectation { name: format!("{place}{name}"), value, relation, limit, unit: unit.to_owned() });
    };
    let over = |of: fn(&PhaseReport) -> &Distribution| {
        let mut sum = Distribution::new();
        for phase in &meant {
            sum.merge(of(phase));
        }
        sum
    };
    let at = |times: &Distribution, quantile: f64| (!times.is_empty()).then(|| times.at(quantile));
    let delivery = over(|phase| &phase.delivery);
    for (name, quantile, limit) in [
        ("delivery p50", 0.5, asked.p50_ms),
        ("delivery p95", 0.95, asked.p95_ms),
        ("delivery p99", 0.99, asked.p99_ms),
        ("delivery p99.9", 0.999, asked.p999_ms),
    ] {
        add(name, at(&delivery, quantile), Relation::AtMost, limit, "ms");
    }
    let ack = over(|phase| &phase.ack);
    for (name, quantile, limit) in [("ack p50", 0.5, asked.ack_p50_ms), ("ack p99", 0.99, asked.ack_p99_ms)] {
        add(name, at(&ack, quantile), Relation::AtMost, limit, "ms");
    }
    let catch_up = over(|phase| &phase.catch_up);
    let slowest = (!catch_up.is_empty()).then(|| catch_up.max() / 1000.0);
    add("the last has caught up", slowest, Relation::AtMost, asked.catch_up_seconds, "s");
    let used: Option<f64> = meant.iter().map(|phase| phase.server.as_ref().map(|server| server.cpu_seconds)).sum();
    add("server CPU", used, Relation::AtMost, asked.cpu_seconds, "s");
    let delivered = count(meant.iter().map(|phase| phase.delivered).sum());
    let per_cpu = used.filter(|used| *used > 0.0).map(|used| delivered / used);
    add("deliveries a server CPU second", per_cpu, Relation::AtLeast, asked.deliveries_per_cpu_second, "");
    let moved = moved(&measured);
    add("p99 of the last phase above the first", moved, Relation::AtMost, asked.p99_moves_percent, "%");
    let each = report.phases.first().and_then(bytes_per_connection);
    add("memory of an idle connection", each, Relation::AtMost, asked.bytes_per_connection, "bytes");
    add("memory after the last round", returned(report), Relation::AtMost, asked.memory_returns_percent, "%");
    add("memory growth an hour", growth(report, &measured), Relation::AtMost, asked.memory_grows_mib_per_hour, "MiB");
    // What every run is asked. A warm-up counts here, too.
    let sum = |of: fn(&PhaseReport) -> u64| report.phases.iter().map(of).sum::<u64>();
    add("messages unanswered", Some(count(sum(|phase| phase.unanswered))), Relation::AtMost, Some(0.0), "");
    let missing = sum(|phase| phase.expected_deliveries).saturating_sub(sum(|phase| phase.delivered));
    let complete = !report.verdict.not_checked.iter().any(|words| words.contains("numbers nothing"));
    let lost = asked.lost.or(complete.then_some(0)).map(count);
    add("deliveries missing", Some(count(missing)), Relation::AtMost, lost, "");
    let troubles = count(report.verdict.troubles.values().sum());
    add("troubles", Some(troubles), Relation::AtMost, Some(count(asked.troubles.unwrap_or(0))), "");
    report.expectations = all;
}

#[allow(clippy::cast_precision_loss)] // far below 2^52
fn count(of: u64) -> f64 {
    of as f64
}

/// How far p99 of the last measured phase lies above that of the first, in percent.
fn moved(measured: &[&PhaseReport]) -> Option<f64> {
    let (first, last) = (measured.first()?, measured.last()?);
    if first.delivery.is_empty() || last.delivery.is_empty() || measured.len() < 2 {
        return None;
    }
    Some((last.delivery.at(0.99) / first.delivery.at(0.99) - 1.0) * 100.0)
}

fn bytes_per_connection(phase: &PhaseReport) -> Option<f64> {
    let server = phase.server.as_ref()?;
    let came = phase.connections.saturating_sub(server.connections_before);
    (came > 0).then(|| (count(server.rss_after) - count(server.rss_before)) / count(came))
}

/// How far the memory after the last round of leaving lies above that after the first, in percent.
fn returned(report: &Report) -> Option<f64> {
    let mut left = report.phases.iter().filter(|phase| phase.name.starts_with("leave "));
    let first = left.next()?.server.as_ref()?.rss_after;
    let last = left.next_back()?.server.as_ref()?.rss_after;
    Some((count(last) / count(first) - 1.0) * 100.0)
}

/// The slope of the server's memory over the measured phases, in MiB an hour: a line laid through the seconds.
fn growth(report: &Report, measured: &[&PhaseReport]) -> Option<f64> {
    let from = measured.first()?.start_seconds;
    let to = measured.last().map(|phase| phase.start_seconds + phase.seconds)?;
    let within = report.timeline.iter().filter(|sample| sample.t > from && sample.t <= to);
    let points: Vec<(f64, f64)> =
        within.filter_map(|sample| Some((sample.t, count(sample.server.as_ref()?.rss_bytes)))).collect();
    if points.len() < 10 {
        return None;
    }
    let many = count(points.len() as u64);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / many;
    let (t, rss) = (mean(|p| p.0), mean(|p| p.1));
    let both: f64 = points.iter().map(|p| (p.0 - t) * (p.1 - rss)).sum();
    let square: f64 = points.iter().map(|p| (p.0 - t).powi(2)).sum();
    Some(both / square * 3600.0 / (1024.0 * 1024.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Sample, ServerSample, ServerUse};

    fn report() -> Report {
        let mut talk = PhaseReport { name: "talk".into(), seconds: 100.0, ..PhaseReport::default() };
        for ms in 1..=100 {
            talk.delivery.record_micros(ms * 1000, 1);
        }
        (talk.delivered, talk.expected_deliveries) = (100, 100);
        let grown = |t: u64| ServerSample { rss_bytes: 1_000_000 + t * 1024 * 1024, ..ServerSample::default() };
        let sample = |t| Sample { t: count(t), server: Some(grown(t)), ..Sample::default() };
        Report { phases: vec![talk], timeline: (1..=100).map(sample).collect(), ..Report::default() }
    }

    fn failed(toml: &str, report: &mut Report) -> Vec<String> {
        look(&Scenario::read(&format!("name = \"x\"\n[expect]\n{toml}")).expect("a scenario"), report);
        report.expectations.iter().filter(|e| !e.met()).map(|e| e.name.clone()).collect()
    }

    #[test]
    fn each_is_held_against_its_figure() {
        let mut report = report();
        assert_eq!(failed("p50_ms = 51\np99_ms = 98", &mut report), ["delivery p99"]);
        assert_eq!(failed("ack_p50_ms = 5", &mut report), ["ack p50"], "what was not measured is not met");
        assert_eq!(failed("memory_grows_mib_per_hour = 3599", &mut report), ["memory growth an hour"]);
        assert_eq!(failed("memory_grows_mib_per_hour = 3601", &mut report), [""; 0]);
    }

    #[test]
    fn nothing_may_be_lost_refused_or_unanswered() {
        let mut report = report();
        assert_eq!(failed("", &mut report), [""; 0]);
        report.phases[0].unanswered = 1;
        report.phases[0].delivered = 99;
        report.verdict.trouble("error busy", 1);
        assert_eq!(failed("", &mut report), ["messages unanswered", "deliveries missing", "troubles"]);
        assert_eq!(failed("lost = 1\ntroubles = 1", &mut report), ["messages unanswered"]);
    }

    #[test]
    fn memory_that_stays_is_found() {
        let mut report = report();
        let left = |name: &str, rss_after| PhaseReport {
            name: name.into(),
            warm_up: true,
            server: Some(ServerUse { rss_after, ..ServerUse::default() }),
            ..PhaseReport::default()
        };
        report.phases.splice(0..0, [left("leave 1", 100), left("leave 2", 115)]);
        assert_eq!(failed("memory_returns_percent = 10", &mut report), ["memory after the last round"]);
        assert_eq!(failed("memory_returns_percent = 15.1", &mut report), [""; 0]);
    }
}
