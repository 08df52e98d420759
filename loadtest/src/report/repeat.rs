//! What several runs of one scenario have in common: the median of each figure, and how far the runs lie apart.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::figures::median;
use super::table::columns;
use super::{FORMAT, Report, short};

/// Medians and spreads of several runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The form of this file, as of a report.
    pub format: u32,
    /// The scenario's name.
    pub scenario_name: String,
    /// How many runs there were.
    pub runs: usize,
    /// How many of them passed.
    pub passed: usize,
    /// Why the others did not: the number of the run, from 1, and the reasons.
    #[serde(default)]
    pub failed: Vec<(usize, Vec<String>)>,
    /// The figures, by phase, in the order of a report.
    pub lines: Vec<Line>,
}

/// One figure over all runs. Runs that were not valid do not count in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its phase.
    pub phase: String,
    /// Its name, as of figures.
    pub figure: String,
    /// Its unit.
    pub unit: String,
    /// Whether it belongs to what one looks at first.
    pub headline: bool,
    /// Its value in each run that has it.
    pub values: Vec<f64>,
    /// The middle one.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// How far they lie apart, as a share of the median.
    pub spread: f64,
}

impl Summary {
    /// The summary that a file holds; `None` when it is something else.
    #[must_use]
    pub fn read(place: &std::path::Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(place).ok()?).ok()
    }
}

/// What `runs` have in common.
#[must_use]
pub fn summary(runs: &[Report]) -> Summary {
    let mut summary = Summary {
        format: FORMAT,
        scenario_name: runs.first().map(|run| run.scenario_name.clone()).unwrap_or_default(),
        runs: runs.len(),
        passed: runs.iter().filter(|run| run.passed()).count(),
        ..Summary::default()
    };
    for (run, number) in runs.iter().zip(1..) {
        let mut finished = run.clone();
        finished.finish();
        if !finished.outcome.passed {
            summary.failed.push((number, finished.outcome.why));
        }
        if !run.validity.valid() {
            continue;
        }
        for phase in run.phases.iter().filter(|phase| phase.measured()) {
            for figure in run.figures(phase) {
                let known = summary.lines.iter_mut().find(|l| l.phase == phase.name && l.figure == figure.name);
                match known {
                    Some(line) => line.values.push(figure.value),
                    None => summary.lines.push(Line {
                        phase: phase.name.clone(),
                        figure: figure.name,
                        unit: figure.unit.to_owned(),
                        headline: figure.headline,
                        values: vec![figure.value],
                        ..Line::default()
                    }),
                }
            }
        }
    }
    for line in &mut summary.lines {
        let mut sorted = line.values.clone();
        line.median = median(&mut sorted).unwrap_or(0.0);
        line.min = sorted.first().copied().unwrap_or(0.0);
        line.max = sorted.last().copied().unwrap_or(0.0);
        line.spread = if line.median == 0.0 { 0.0 } else { (line.max - line.min) / line.median.abs() };
    }
    summary
}

impl Display for Summary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} of {} runs passed", self.scenario_name, self.passed, self.runs)?;
        for (number, reasons) in &self.failed {
            writeln!(f, "  run {number}: {}", reasons.join("; "))?;
        }
        let mut rows = vec![["", "median", "least", "largest", "spread"].map(str::to_owned).to_vec()];
        for line in self.lines.iter().filter(|line| line.headline) {
            let few =
                if line.values.len() < self.runs { format!(" ({} runs)", line.values.len()) } else { String::new() };
            rows.push(vec![
                format!("{}: {} {}{few}", line.phase, line.figure, line.unit),
                short(line.median),
                short(line.min),
                short(line.max),
                format!("{:.1} %", line.spread * 100.0),
            ]);
        }
        if rows.len() > 1 { columns(f, &rows) } else { writeln!(f, "no run was valid: there are no figures") }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // the same value, not one worked out again
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_middle_run_counts_and_an_invalid_one_does_not() {
        let mut runs: Vec<Report> = (0..4_u32).map(|n| sample::seeded(20, 1.0 + f64::from(n), 7)).collect();
        runs[3].validity.reasons.push("late".to_owned());
        let summary = summary(&runs);
        assert_eq!((summary.runs, summary.passed), (4, 3));
        assert_eq!(summary.failed, vec![(4, vec!["not to be believed: late".to_owned()])]);
        let line = summary.lines.iter().find(|l| l.phase == "talk" && l.figure == "delivery.p50").unwrap();
        assert_eq!(line.values.len(), 3);
        assert_eq!(line.median, runs[1].figure(Some("talk"), "delivery.p50").unwrap());
        assert!(line.headline && line.min < line.median && line.median < line.max && line.spread > 0.9);
        let text = summary.to_string();
        assert!(text.contains("3 of 4 runs passed") && text.contains("talk: delivery.p99 ms (3 runs)"), "{text}");
        let json = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&json).unwrap().to_string(), text);
    }

    #[test]
    fn of_nothing_there_is_nothing() {
        assert!(summary(&[]).to_string().contains("0 of 0"));
    }
}
