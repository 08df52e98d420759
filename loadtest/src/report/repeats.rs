//! What changed between two summaries of several runs each.
//!
//! **Method.** A figure changed beyond noise when *every* run of one side lies on one side of *every* run of the other, this would happen
//! by chance at most twice in a hundred times (five runs against five, or four against five), and the medians differ by more than the
//! floor (10 % and 0.05 ms for times, 5 % otherwise). With fewer runs such a line is marked with `?`.

use std::fmt::{self, Display, Formatter};

use super::compare::Change;
use super::repeat::{Line, Summary};
use super::short;
use super::table::columns;

/// How often chance may look like a change.
const CHANCE: f64 = 0.02;

/// What differs between two summaries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Repeats {
    /// What makes them less comparable, or is worse and no matter of degree. In words.
    pub words: Vec<String>,
    /// The second has more runs that did not pass, by share.
    pub broken: bool,
    /// The figures that both have and one looks at first: before, after, what is to be said.
    pub lines: Vec<(Line, Line, Change)>,
}

/// What changed from `a` to `b`.
#[must_use]
pub fn compare(a: &Summary, b: &Summary) -> Repeats {
    let mut words = Vec::new();
    if a.scenario_name != b.scenario_name {
        words.push(format!("careful: not the same scenario: {} / {}", a.scenario_name, b.scenario_name));
    }
    // A summary does not hold its scenario; what was sent shows whether somebody changed it.
    for sent in a.lines.iter().filter(|line| line.figure == "sent_per_second") {
        let other = b.lines.iter().find(|line| line.phase == sent.phase && line.figure == sent.figure);
        if let Some(other) = other.filter(|other| (other.median - sent.median).abs() > 0.05 * sent.median) {
            let (before, after) = (short(sent.median), short(other.median));
            words.push(format!("careful: not the same load in {}: {before} / {after} messages a second", sent.phase));
        }
    }
    let broken = b.passed * a.runs < a.passed * b.runs;
    if broken {
        words.push(format!("WORSE: {} of {} runs passed, before {} of {}", b.passed, b.runs, a.passed, a.runs));
    }
    let lines = a.lines.iter().filter(|line| line.headline).filter_map(|ours| {
        let theirs = b.lines.iter().find(|line| line.phase == ours.phase && line.figure == ours.figure)?;
        Some((ours.clone(), theirs.clone(), judge(ours, theirs)))
    });
    Repeats { words, broken, lines: lines.collect() }
}

fn judge(a: &Line, b: &Line) -> Change {
    let change = (b.median - a.median).abs();
    let (share, least) = if a.unit == "ms" { (0.1, 0.05) } else { (0.05, 0.0) };
    let apart = b.min > a.max || b.max < a.min;
    if !apart || change <= share * a.median.abs() || change <= least {
        return Change::Same;
    }
    if chance(a.values.len(), b.values.len()) > CHANCE {
        return Change::Perhaps;
    }
    // Of what one looks at first, all but rates is better when it is less.
    let more_is_better = a.unit == "1/s" || a.unit == "1/CPU s";
    if (b.median > a.median) == more_is_better { Change::Better } else { Change::Worse }
}

/// How probable it is that so many runs each, which differ by chance alone, lie apart as a whole.
fn chance(a: usize, b: usize) -> f64 {
    #[allow(clippy::cast_precision_loss)] // a few
    let ways = (1..=a).map(|n| (b + n) as f64 / n as f64).product::<f64>();
    2.0 / ways
}

impl Repeats {
    /// Whether something got worse beyond noise.
    #[must_use]
    pub fn worse(&self) -> bool {
        self.broken || self.lines.iter().any(|(_, _, change)| *change == Change::Worse)
    }
}

impl Display for Repeats {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for words in &self.words {
            writeln!(f, "{words}")?;
        }
        if self.lines.is_empty() {
            return writeln!(f, "the two have no figure in common");
        }
        let heads = ["", "", "first", "least to largest", "second", "least to largest", "change"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        for (a, b, change) in &self.lines {
            let word = match change {
                Change::Same | Change::Other => "",
                Change::Better => "better",
                Change::Worse => "WORSE",
                Change::Perhaps => "?",
            };
            let range = |line: &Line| format!("{} to {}", short(line.min), short(line.max));
            let percent = ((b.median / a.median - 1.0) * 1000.0).round() / 10.0 + 0.0;
            rows.push(vec![
                format!("{}: {} {}", a.phase, a.figure, a.unit),
                word.to_owned(),
                short(a.median),
                range(a),
                short(b.median),
                range(b),
                if a.median == 0.0 { "–".to_owned() } else { format!("{percent:+.1} %") },
            ]);
        }
        columns(f, &rows)?;
        let count = |wanted| self.lines.iter().filter(|(_, _, change)| *change == wanted).count();
        writeln!(
            f,
            "\n{} better, {} worse, {} perhaps (apart, but too few runs to be sure: five of each side are enough)\n\
             Medians. A change counts when all runs of one side lie beyond all of the other, and the medians differ by more than 10 % and\n\
             0.05 ms for times, 5 % otherwise.",
            count(Change::Better),
            count(Change::Worse) + usize::from(self.broken),
            count(Change::Perhaps)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::repeat::summary;
    use super::super::sample;
    use super::*;

    fn runs(count: u64, slower: f64) -> Summary {
        summary(&(0..count).map(|seed| sample::seeded(20, slower, 10 * count + seed)).collect::<Vec<_>>())
    }

    fn of(all: &Repeats, figure: &str) -> Change {
        all.lines.iter().find(|(line, _, _)| line.phase == "talk" && line.figure == figure).unwrap().2
    }

    #[test]
    fn what_lies_apart_in_enough_runs_counts() {
        let slower = compare(&runs(5, 1.0), &runs(5, 1.5));
        assert_eq!((of(&slower, "delivery.p50"), slower.worse()), (Change::Worse, true));
        assert_eq!(of(&slower, "server.deliveries_per_cpu_second"), Change::Worse);
        assert_eq!(of(&slower, "delivered_per_second"), Change::Same);
        assert_eq!(of(&compare(&runs(5, 1.5), &runs(5, 1.0)), "delivery.p50"), Change::Better);
        assert!(slower.to_string().contains("WORSE"), "{slower}");
    }

    #[test]
    fn few_runs_leave_a_doubt_and_equal_ones_nothing() {
        let few = compare(&runs(3, 1.0), &runs(3, 1.5));
        assert_eq!((of(&few, "delivery.p50"), few.worse()), (Change::Perhaps, false));
        let same = compare(&runs(5, 1.0), &runs(6, 1.0));
        assert!(same.lines.iter().all(|(_, _, change)| *change == Change::Same), "{same}");
        assert!((chance(3, 3) - 0.1).abs() < 1e-9 && chance(4, 5) < CHANCE);
    }

    #[test]
    fn another_load_is_warned_of() {
        let (before, mut after) = (runs(5, 1.0), runs(5, 1.0));
        assert_eq!(compare(&before, &after).words, [""; 0]);
        after.lines.iter_mut().filter(|line| line.figure == "sent_per_second").for_each(|line| line.median *= 2.0);
        assert!(compare(&before, &after).to_string().contains("careful: not the same load in talk"));
    }

    #[test]
    fn runs_that_did_not_pass_are_worse() {
        let (before, mut after) = (runs(5, 1.0), runs(5, 1.0));
        after.passed = 4;
        assert!(compare(&before, &after).worse() && !compare(&after, &before).worse());
    }
}
