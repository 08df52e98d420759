//! What changed between two runs, beyond noise.
//!
//! **Method.** What is known second by second (the percentiles of each second, deliveries per CPU second, rates) is tested: the
//! geometric means of the seconds of both runs are set against each other. How far such a mean strays by chance is found with a
//! moving-block bootstrap (blocks of neighbouring seconds are drawn with putting back, for neighbours resemble each other; 2,000
//! draws, fixed seed), and gives the bounds of the ratio that hold with 99 %, over all tested figures at once (Bonferroni). A change
//! counts when those bounds exclude "none" **and** it is larger than a floor, because two runs of one build on one machine differ by
//! some percent for reasons that no single run shows. What is known once a run only (memory, CPU per connect, far percentiles) is
//! shown and marked with `?` beyond its floor: repeat the runs to be sure. Only tested changes, new faults, doubts and missed
//! expectations make a run *worse*.

use std::fmt::{self, Display, Formatter};

use super::figures::{Better, Figure};
use super::table::columns;
use super::{PhaseReport, Report, Sample, short};
use crate::plan::split_mix;

/// Draws of the bootstrap.
const DRAWS: usize = 2000;

/// Seconds that a run must have for a test.
const SECONDS_MIN: usize = 10;

/// How sure a single test has to be: the share of draws outside its bounds.
const DOUBT: f64 = 0.01;

/// What differs between two runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// What makes the two less comparable, in words: another machine, another scenario, a run that was not valid.
    pub warnings: Vec<String>,
    /// What became worse of what is not a matter of degree: faults, doubts, expectations. In words.
    pub broken: Vec<String>,
    /// All figures that both have.
    pub lines: Vec<Line>,
}

/// One figure in both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its phase.
    pub phase: String,
    /// The figure.
    pub figure: String,
    /// Its unit.
    pub unit: &'static str,
    /// In the first run.
    pub a: f64,
    /// In the second run.
    pub b: f64,
    /// The bounds of b's ratio to a, when it could be tested.
    pub bounds: Option<(f64, f64)>,
    /// What is to be said of it.
    pub change: Change,
}

/// What is to be said of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: within noise, or below the floor.
    Same,
    /// Better, beyond noise.
    Better,
    /// Worse, beyond noise.
    Worse,
    /// Beyond noise, of a figure without a good side.
    Other,
    /// Beyond the floor, but known once a run only.
    Perhaps,
}

impl Comparison {
    /// Whether something got worse beyond noise: what `--fail-on-worse` asks.
    #[must_use]
    pub fn worse(&self) -> bool {
        !self.broken.is_empty() || self.lines.iter().any(|line| line.change == Change::Worse)
    }
}

/// What changed from `a` to `b`.
#[must_use]
pub fn compare(a: &Report, b: &Report) -> Comparison {
    let mut comparison = Comparison { warnings: warnings(a, b), broken: broken(a, b), lines: Vec::new() };
    let pairs: Vec<(&PhaseReport, &PhaseReport)> = a
        .phases
        .iter()
        .filter(|phase| phase.measured())
        .filter_map(|ours| Some((ours, b.phases.iter().find(|theirs| theirs.name == ours.name)?)))
        .collect();
    // Each figure with its seconds in both runs, where there are enough of them.
    let mut found: Vec<(&str, Figure, f64, Option<(Vec<f64>, Vec<f64>)>)> = Vec::new();
    for (ours, theirs) in pairs {
        for figure in a.figures(ours).into_iter().filter(|figure| !between(&figure.name)) {
            if let Some(value) = b.figure(Some(&theirs.name), &figure.name) {
                let seconds = (series(a, ours, &figure.name), series(b, theirs, &figure.name));
                let enough = seconds.0.len().min(seconds.1.len()) >= SECONDS_MIN;
                found.push((&ours.name, figure, value, enough.then_some(seconds)));
            }
        }
    }
    let tests = found.iter().filter(|(_, _, _, seconds)| seconds.is_some()).count().max(1);
    #[allow(clippy::cast_precision_loss)] // a few dozen
    let doubt = DOUBT / tests as f64;
    for (phase, figure, value, seconds) in found {
        let bounds = seconds.map(|(ours, theirs)| bounds(&ours, &theirs, doubt));
        comparison.lines.push(Line {
            phase: phase.to_owned(),
            unit: figure.unit,
            a: figure.value,
            b: value,
            bounds,
            change: judge(&figure, value, bounds),
            figure: figure.name,
        });
    }
    comparison
}

/// Steps of the ladder between those that are compared: they would say the same again.
fn between(name: &str) -> bool {
    [".p75", ".p90", ".p95", ".p99.5"].iter().any(|step| name.ends_with(step))
}

/// What must have changed at least to count, as a share; and, for times, in milliseconds.
fn floor(figure: &Figure) -> (f64, f64) {
    match figure.unit {
        "ms" => (0.1, 0.05),
        "1/CPU s" | "cores" | "KiB" => (0.03, 0.0),
        _ => (0.05, 0.0),
    }
}

fn judge(figure: &Figure, b: f64, bounds: Option<(f64, f64)>) -> Change {
    let a = figure.value;
    let (share, least) = floor(figure);
    let change = (b - a).abs();
    let large = change > share * a.abs() && change > least;
    match bounds {
        // The test and the figure over the whole phase must point the same way.
        Some((low, high)) if large && (low > 1.0 && b > a || high < 1.0 && b < a) => match (figure.better, b > a) {
            (Better::Neither, _) => Change::Other,
            (Better::Lower, true) | (Better::Higher, false) => Change::Worse,
            (Better::Lower, false) | (Better::Higher, true) => Change::Better,
        },
        Some(_) => Change::Same,
        None if large && figure.better != Better::Neither => Change::Perhaps,
        None => Change::Same,
    }
}

fn warnings(a: &Report, b: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    if !a.machine.same(&b.machine) {
        warnings.push(format!("not the same machine: {} / {}", a.machine.line(), b.machine.line()));
    }
    if a.scenario_name != b.scenario_name {
        warnings.push(format!("not the same scenario: {} / {}", a.scenario_name, b.scenario_name));
    } else if a.scenario != b.scenario {
        warnings.push("the scenario was changed between them".to_owned());
    }
    if a.adapter != b.adapter {
        warnings.push(format!("not the same kind of server: {} / {}", a.adapter, b.adapter));
    }
    if a.processes != b.processes {
        warnings.push(format!("not as many processes of the harness: {} / {}", a.processes, b.processes));
    }
    let names = |report: &Report| report.phases.iter().map(|phase| phase.name.clone()).collect::<Vec<_>>();
    if names(a) != names(b) {
        warnings.push(format!("not the same phases: {} / {}", names(a).join(", "), names(b).join(", ")));
    }
    for (name, report) in [("first", a), ("second", b)] {
        for reason in &report.validity.reasons {
            warnings.push(format!("the {name} run says nothing about the server: {reason}"));
        }
    }
    warnings
}

fn broken(a: &Report, b: &Report) -> Vec<String> {
    let mut broken = Vec::new();
    for (kind, count) in b.verdict.faults.iter().filter(|(_, count)| **count > 0) {
        let before = a.verdict.faults.get(kind).copied().unwrap_or(0);
        if *count > before {
            broken.push(format!("faults of the kind {kind}: {before} → {count}"));
        }
    }
    if a.validity.valid() && !b.validity.valid() {
        broken.push("the second run is not valid, the first was".to_owned());
    }
    for missed in b.expectations.iter().filter(|expectation| !expectation.met()) {
        let before = a.expectations.iter().find(|other| other.name == missed.name && other.limit.eq(&missed.limit));
        if before.is_none_or(super::Expectation::met) {
            broken.push(format!("not as expected any more: {missed}"));
        }
    }
    for phase in &b.phases {
        let before = a.phases.iter().find(|other| other.name == phase.name);
        let lost =
            |phase: &PhaseReport| [("without an answer", phase.unanswered), ("deliveries missing", phase.missing())];
        let earlier = before.map_or([0, 0], |phase| lost(phase).map(|(_, count)| count));
        for ((what, now), before) in lost(phase).into_iter().zip(earlier) {
            if now > before {
                broken.push(format!("{}: {what}: {before} → {now}", phase.name));
            }
        }
    }
    broken
}

/// What a figure was in each second of a phase; only where it was above 0. Empty for figures that are known once a run only.
fn series(report: &Report, phase: &PhaseReport, name: &str) -> Vec<f64> {
    let value = |sample: &Sample| -> Option<f64> {
        let server = sample.server.as_ref();
        #[allow(clippy::cast_precision_loss)] // counts of a second
        let count = |count: u64| Some(count as f64);
        match name {
            "ack.p50" => Some(sample.ack.p50_ms),
            "ack.p99" => Some(sample.ack.p99_ms),
            "ack.max" => Some(sample.ack.max_ms),
            "delivery.p50" => Some(sample.delivery.p50_ms),
            "delivery.p99" => Some(sample.delivery.p99_ms),
            "delivery.max" => Some(sample.delivery.max_ms),
            "lateness.p99" => Some(sample.lateness.p99_ms),
            "sent_per_second" => Some(sample.a_second(sample.sent)),
            "delivered_per_second" => Some(sample.a_second(sample.delivered)),
            "server.cores" => server.map(|server| server.cpu_seconds),
            "server.deliveries_per_cpu_second" => server
                .filter(|server| server.cpu_seconds > 0.0)
                .and_then(|s| Some(count(sample.delivered)? / s.cpu_seconds)),
            _ => None,
        }
    };
    let inside = report.timeline.iter().filter(|sample| phase.holds(sample));
    inside.filter_map(value).filter(|value| *value > 0.0).collect()
}

/// Between which bounds the ratio of the geometric means of `b` and `a` lies, but for a share `doubt` of the draws.
fn bounds(a: &[f64], b: &[f64], doubt: f64) -> (f64, f64) {
    let logs = |values: &[f64]| values.iter().map(|value| value.ln()).collect::<Vec<f64>>();
    let (a, b) = (logs(a), logs(b));
    let (mean_a, spread_a) = moments(&a);
    let (mean_b, spread_b) = moments(&b);
    // 2,000 draws are too coarse for small doubts: their spread is used, with the quantile of the normal distribution, and never less
    // of it than independent seconds would give.
    let mut state = 0x5eed;
    let (stray_a, stray_b) = (stray(&a, &mut state), stray(&b, &mut state));
    #[allow(clippy::cast_precision_loss)] // seconds of a run
    let independent = |spread: f64, count: usize| spread / (count as f64).sqrt();
    let (stray_a, stray_b) = (stray_a.max(independent(spread_a, a.len())), stray_b.max(independent(spread_b, b.len())));
    let reach = normal_quantile(1.0 - doubt / 2.0) * stray_a.hypot(stray_b);
    let difference = mean_b - mean_a;
    ((difference - reach).exp(), (difference + reach).exp())
}

/// The standard deviation of the means of draws: blocks of neighbouring values, in a circle, as long as the cube root of the number.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // seconds of a run
fn stray(values: &[f64], state: &mut u64) -> f64 {
    let count = values.len();
    let block = ((count as f64).cbrt().ceil() as usize * 2).clamp(2, count.div_ceil(3).max(2));
    // Sums up to each place of two rounds, so that a block's sum is a difference.
    let mut sums = vec![0.0];
    for value in values.iter().chain(values) {
        sums.push(sums.last().copied().unwrap_or(0.0) + value);
    }
    let sum =
        |start: usize, take: usize| sums.get(start + take).zip(sums.get(start)).map_or(0.0, |(to, from)| to - from);
    let means: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let mut total = 0.0;
            let mut drawn = 0;
            while drawn < count {
                *state = split_mix(*state);
                let take = block.min(count - drawn);
                total += sum((*state % count as u64) as usize, take);
                drawn += take;
            }
            total / count as f64
        })
        .collect();
    moments(&means).1
}

/// The mean and the standard deviation.
#[allow(clippy::cast_precision_loss)] // a few thousand
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    (mean, square.sqrt())
}

/// Where the normal distribution has `share` below it, for `share` of 0.5 to 1, found by halving.
fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (0.0, 10.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if normal_below(middle) < share { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The share of the normal distribution below `x` ≥ 0 (Abramowitz and Stegun 26.2.17, to 7.5e-8).
fn normal_below(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x);
    let terms = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let series = terms.iter().fold(0.0, |sum, term| (sum + term) * t);
    1.0 - (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * series
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "careful: {warning}")?;
        }
        for words in &self.broken {
            writeln!(f, "WORSE: {words}")?;
        }
        if self.lines.is_empty() {
            return writeln!(f, "the two have no figure in common");
        }
        let heads = ["", "", "first", "second", "change", "bounds"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        for line in self.lines.iter().filter(|line| shown(line)) {
            // Adding 0 makes +0 of -0.
            let percent = |ratio: f64| format!("{:+.1} %", ((ratio - 1.0) * 1000.0).round() / 10.0 + 0.0);
            let word = match line.change {
                Change::Same => "",
                Change::Better => "better",
                Change::Worse => "WORSE",
                Change::Other => "changed",
                Change::Perhaps => "?",
            };
            rows.push(vec![
                format!("{}: {} {}", line.phase, line.figure, line.unit),
                word.to_owned(),
                short(line.a),
                short(line.b),
                if line.a == 0.0 { "–".to_owned() } else { percent(line.b / line.a) },
                line.bounds.map_or(String::new(), |(low, high)| format!("{} to {}", percent(low), percent(high))),
            ]);
        }
        columns(f, &rows)?;
        let count = |change| self.lines.iter().filter(|line| line.change == change).count();
        writeln!(
            f,
            "\n{} better, {} worse, {} changed otherwise, {} perhaps (known once a run: repeat to be sure)",
            count(Change::Better),
            count(Change::Worse) + self.broken.len(),
            count(Change::Other),
            count(Change::Perhaps)
        )?;
        writeln!(
            f,
            "Bounds: 99 % over all lines at once, from the single seconds of both runs (block bootstrap); a change also has to be larger\n\
             than 10 % and 0.05 ms for times, 3 % for CPU and memory, 5 % otherwise."
        )
    }
}

/// What is worth a line: what changed, and of the rest what has bounds.
fn shown(line: &Line) -> bool {
    line.change != Change::Same || line.bounds.is_some()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn change(comparison: &Comparison, figure: &str) -> Change {
        comparison.lines.iter().find(|line| line.phase == "talk" && line.figure == figure).unwrap().change
    }

    #[test]
    fn a_planted_change_is_found_whichever_way_it_goes() {
        let (slow, fast) = (sample::seeded(60, 1.2, 5), sample::seeded(60, 1.0, 9));
        let worse = compare(&fast, &slow);
        for figure in ["delivery.p50", "delivery.p99", "ack.p50", "server.cores", "server.deliveries_per_cpu_second"] {
            assert_eq!(change(&worse, figure), Change::Worse, "{figure}: {worse}");
            assert_eq!(change(&compare(&slow, &fast), figure), Change::Better, "{figure}");
        }
        assert!(worse.worse() && !compare(&slow, &fast).worse());
        println!("{worse}");
    }

    #[test]
    fn noise_is_no_change() {
        // Fifty pairs of runs that differ by their noise only, with bounds for 99 of 100.
        let mut wrong = Vec::new();
        for seed in 0..50 {
            let (a, b) = (sample::seeded(30, 1.0, 2 * seed), sample::seeded(30, 1.0, 2 * seed + 1));
            let comparison = compare(&a, &b);
            let outside = |line: &&Line| line.bounds.is_some_and(|(low, high)| low > 1.0 || high < 1.0);
            wrong.extend(comparison.lines.iter().find(outside).map(|line| (seed, line.clone())));
            assert!(!comparison.worse(), "{seed}: {comparison}");
        }
        assert!(wrong.len() <= 3, "{wrong:?}");
    }

    #[test]
    fn neighbours_that_resemble_each_other_widen_the_bounds() {
        // A slow wave: the same values, once in order, once shuffled.
        let wave: Vec<f64> = (0..120_u32).map(|t| 2.0 + (f64::from(t) / 20.0).sin()).collect();
        let mut shuffled = wave.clone();
        let mut noise = sample::Noise(3);
        shuffled.sort_by_cached_key(|_| (noise.next() * 1e9).to_bits());
        let width = |values: &[f64]| {
            let (low, high) = bounds(values, values, 0.01);
            high / low
        };
        assert!(width(&wave).ln() > 1.5 * width(&shuffled).ln(), "{} {}", width(&wave), width(&shuffled));
    }

    #[test]
    fn faults_doubts_and_missed_expectations_are_worse() {
        let a = sample::report(20, 1.0);
        let mut b = a.clone();
        assert!(!compare(&a, &b).worse());
        b.verdict.fault("gap", || "a gap".to_owned());
        assert!(compare(&a, &b).broken[0].contains("gap: 0 → 1"));
        let mut b = a.clone();
        b.validity.reasons.push("late".to_owned());
        assert!(compare(&a, &b).worse() && compare(&a, &b).warnings.len() == 1);
        assert!(!compare(&b, &a).worse());
        let mut b = a.clone();
        b.expectations.push(super::super::Expectation { name: "x".to_owned(), ..Default::default() });
        assert!(compare(&a, &b).worse(), "not measured is not met");
        let mut b = a.clone();
        b.phases[1].delivered -= 1;
        assert!(compare(&a, &b).broken[0].contains("deliveries missing: 0 → 1"));
    }

    #[test]
    fn what_is_not_comparable_is_said() {
        let a = sample::report(20, 1.0);
        let mut b = a.clone();
        b.machine.cores += 1;
        b.scenario = serde_json::json!({"rooms": 3});
        b.phases.pop();
        assert_eq!(compare(&a, &b).warnings.len(), 3, "{}", compare(&a, &b));
    }

    #[test]
    fn single_values_are_marked_and_do_not_fail() {
        let a = sample::report(20, 1.0);
        let mut b = a.clone();
        b.phases[0].server.as_mut().unwrap().rss_after *= 2;
        b.finish();
        let comparison = compare(&a, &b);
        let line = comparison.lines.iter().find(|line| line.figure == "server.kib_per_connection").unwrap();
        assert_eq!(line.change, Change::Perhaps);
        assert!(!comparison.worse());
    }

    #[test]
    fn quantiles_of_the_normal_distribution() {
        for (share, x) in [(0.5, 0.0), (0.975, 1.959_964), (0.995, 2.575_829), (0.9995, 3.290_527)] {
            assert!((normal_quantile(share) - x).abs() < 1e-4, "{share}");
        }
    }
}
