//! Two pages of one server, and what happened between them: rates, and quantiles of the histograms' difference.
//!
//! Promise: no rate is below zero and none is made up. A counter that fell began anew; a process with another start time is another
//! process, and between it and the one before nothing is known.

use std::collections::BTreeMap;

use super::page::{Labels, Page, label};

/// A page with the moment at which it was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Seconds on the watcher's own clock, which only goes forward.
    pub at: f64,
    /// What the server said.
    pub page: Page,
}

/// What is known between two snapshots of one process.
#[derive(Clone, Copy, Debug)]
pub struct Interval<'a> {
    before: Option<&'a Snapshot>,
    after: &'a Snapshot,
}

const START_TIME: &str = "causerie_process_start_time_seconds";

impl<'a> Interval<'a> {
    /// The time from `before` to `after`. Without `before`, or when it is of another process, there are no rates.
    #[must_use]
    pub fn new(before: Option<&'a Snapshot>, after: &'a Snapshot) -> Self {
        let same = |before: &&Snapshot| !restarted(before, after) && after.at > before.at;
        Self { before: before.filter(same), after }
    }

    /// How long it is. `None`: there is nothing to compare with.
    #[must_use]
    pub fn seconds(&self) -> Option<f64> {
        self.before.map(|before| self.after.at - before.at)
    }

    /// The sum of all series of a name that have all these labels, now. `None`: there is none.
    #[must_use]
    pub fn now(&self, name: &str, wanted: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.after.page.series(name).filter(|(labels, _)| has(labels, wanted)).map(|(_, value)| value);
        let first = found.next()?;
        Some(found.fold(first, |sum, value| sum + value))
    }

    /// How much counters grew, all together. A series that was not there before began at 0.
    #[must_use]
    pub fn grown(&self, name: &str, wanted: &[(&str, &str)]) -> Option<f64> {
        let before = self.before?;
        let found: Vec<f64> = (self.after.page.series(name))
            .filter(|(labels, _)| has(labels, wanted))
            .map(|(labels, value)| growth(before.page.value(name, labels), value))
            .collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// The same, a second.
    #[must_use]
    pub fn rate(&self, name: &str, wanted: &[(&str, &str)]) -> Option<f64> {
        Some(self.grown(name, wanted)? / self.seconds()?)
    }

    /// Rates by one label (or several, joined by a blank), without those that stand still.
    #[must_use]
    pub fn rates_by(&self, name: &str, by: &[&str]) -> BTreeMap<String, f64> {
        let mut rates = BTreeMap::new();
        let (Some(before), Some(seconds)) = (self.before, self.seconds()) else { return rates };
        for (labels, value) in self.after.page.series(name) {
            let grown = growth(before.page.value(name, labels), value);
            if grown > 0.0 {
                let key: Vec<&str> = by.iter().filter_map(|by| label(labels, by)).collect();
                *rates.entry(key.join(" ")).or_default() += grown / seconds;
            }
        }
        rates
    }

    /// What a histogram (its name without `_bucket`) gained, over all series with these labels.
    #[must_use]
    pub fn histogram(&self, name: &str, wanted: &[(&str, &str)]) -> Option<Gained> {
        let before = self.before?;
        let buckets = format!("{name}_bucket");
        let mut counts: Vec<(f64, f64)> = Vec::new();
        let mut found = false;
        for (labels, value) in self.after.page.series(&buckets).filter(|(labels, _)| has(labels, wanted)) {
            let Some(bound) = label(labels, "le").and_then(|bound| bound.parse::<f64>().ok()) else { continue };
            found = true;
            let grown = growth(before.page.value(&buckets, labels), value);
            match counts.iter_mut().find(|(other, _)| other.total_cmp(&bound).is_eq()) {
                Some((_, count)) => *count += grown,
                None => counts.push((bound, grown)),
            }
        }
        counts.sort_by(|a, b| a.0.total_cmp(&b.0));
        let sum = self.grown(&format!("{name}_sum"), wanted).unwrap_or(0.0);
        found.then_some(Gained { buckets: counts, sum })
    }

    /// The values of a label that series of this name have, sorted; numbers by their value.
    #[must_use]
    pub fn values_of(&self, name: &str, by: &str) -> Vec<String> {
        let mut values: Vec<String> =
            self.after.page.series(name).filter_map(|(labels, _)| label(labels, by).map(str::to_owned)).collect();
        values.sort_by_key(|value| (value.parse::<u64>().unwrap_or(u64::MAX), value.clone()));
        values.dedup();
        values
    }
}

/// Whether another process answered than before.
#[must_use]
pub fn restarted(before: &Snapshot, after: &Snapshot) -> bool {
    let start = |snapshot: &Snapshot| snapshot.page.value(START_TIME, &Labels::new());
    match (start(before), start(after)) {
        // The kernel counts hundredths of a second from its own start, and no process begins twice in one.
        (Some(before), Some(after)) => (before - after).abs() > 0.005,
        _ => false,
    }
}

fn has(labels: &Labels, wanted: &[(&str, &str)]) -> bool {
    wanted.iter().all(|(name, value)| label(labels, name) == Some(value))
}

/// A counter that fell began anew at 0.
fn growth(before: Option<f64>, after: f64) -> f64 {
    let before = before.unwrap_or(0.0);
    let grown = if after < before { after } else { after - before };
    if grown.is_finite() { grown.max(0.0) } else { 0.0 }
}

/// What a histogram counted in an interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gained {
    /// Upper bounds and how many lay at or below, cumulative, the last bound infinite.
    buckets: Vec<(f64, f64)>,
    sum: f64,
}

impl Gained {
    /// How many.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    /// Their mean.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count() > 0.0).then(|| self.sum / self.count())
    }

    /// Below which value this part of them lay, reckoned as Prometheus' `histogram_quantile` does: evenly spread within a bucket. What
    /// lies above the last finite bound is given as that bound.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let wanted = self.count() * part;
        if self.count() <= 0.0 {
            return None;
        }
        let (mut low, mut below) = (0.0, 0.0);
        for &(bound, count) in &self.buckets {
            if count >= wanted && count > below {
                let within = ((wanted - below) / (count - below)).clamp(0.0, 1.0);
                return Some(if bound.is_finite() { low + (bound - low) * within } else { low });
            }
            if bound.is_finite() {
                low = bound;
            }
            below = below.max(count);
        }
        Some(low)
    }

    /// The bound of the bucket with the longest: none was longer. What lies above the last finite bound is given as that bound.
    #[must_use]
    pub fn most(&self) -> Option<f64> {
        let all = self.count();
        let finite = || self.buckets.iter().filter(|(bound, _)| bound.is_finite());
        let reached = finite().find(|(_, count)| *count >= all).or_else(|| finite().next_back());
        reached.map(|(bound, _)| *bound).filter(|_| all > 0.0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::counters::Latency;
    use crate::metrics::text::{Kind, Text};

    pub(in super::super) fn snapshot(at: f64, text: &str) -> Snapshot {
        Snapshot { at, page: Page::parse(text).unwrap() }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn rates_are_by_the_time_that_passed() {
        let before = snapshot(10.0, "a_total{shard=\"0\"} 100\na_total{shard=\"1\"} 5\n");
        let after = snapshot(12.0, "a_total{shard=\"0\"} 150\na_total{shard=\"1\"} 5\na_total{shard=\"2\"} 8\n");
        let interval = Interval::new(Some(&before), &after);
        assert_eq!(interval.seconds(), Some(2.0));
        assert_eq!(interval.rate("a_total", &[("shard", "0")]), Some(25.0));
        assert_eq!(interval.rate("a_total", &[("shard", "1")]), Some(0.0));
        assert_eq!(interval.rate("a_total", &[]), Some(29.0));
        assert_eq!(interval.rate("b_total", &[]), None);
        assert_eq!(interval.now("a_total", &[]), Some(163.0));
        let by = interval.rates_by("a_total", &["shard"]);
        assert_eq!(by, BTreeMap::from([("0".to_owned(), 25.0), ("2".to_owned(), 4.0)]));
        assert_eq!(interval.values_of("a_total", "shard"), ["0", "1", "2"]);
    }

    #[test]
    fn without_a_page_before_there_is_no_rate() {
        let after = snapshot(12.0, "a_total 7\n");
        let interval = Interval::new(None, &after);
        assert_eq!((interval.seconds(), interval.rate("a_total", &[])), (None, None));
        assert_eq!(interval.now("a_total", &[]), Some(7.0));
    }

    #[test]
    fn another_process_is_not_compared_with_the_one_before() {
        let start = "causerie_process_start_time_seconds";
        let before = snapshot(1.0, &format!("a_total 100\n{start} 1000.25\n"));
        let same = snapshot(2.0, &format!("a_total 101\n{start} 1000.25\n"));
        let other = snapshot(2.0, &format!("a_total 500\n{start} 1000.26\n"));
        assert_eq!(Interval::new(Some(&before), &same).rate("a_total", &[]), Some(1.0));
        assert_eq!(Interval::new(Some(&before), &other).rate("a_total", &[]), None);
    }

    fn histogram(times: &Latency) -> String {
        let mut text = Text::default();
        text.family("h", Kind::Histogram, "help").times(&[("shard", "0")], times);
        text.finish()
    }

    #[test]
    fn quantiles_are_those_of_the_interval() {
        let mut times = Latency::default();
        (0..1000).for_each(|_| times.record(900_000));
        let before = snapshot(0.0, &histogram(&times));
        // Nine in the bucket up to 1 ms, one in that up to 50 ms.
        (0..9).for_each(|_| times.record(700));
        times.record(30_000);
        let after = snapshot(1.0, &histogram(&times));
        let gained = Interval::new(Some(&before), &after).histogram("h", &[("shard", "0")]).unwrap();
        assert!(close(gained.count(), 10.0));
        assert!(close(gained.mean().unwrap(), 0.003_63));
        assert!(close(gained.quantile(0.9).unwrap(), 0.001));
        // Half of the bucket 25 … 50 ms would be the middle of its one.
        assert!(close(gained.quantile(0.95).unwrap(), 0.0375));
        assert_eq!(gained.most(), Some(0.05));
        let nothing = Interval::new(Some(&after), &snapshot(2.0, &histogram(&times))).histogram("h", &[]).unwrap();
        assert_eq!((nothing.count(), nothing.quantile(0.5), nothing.most(), nothing.mean()), (0.0, None, None, None));
    }

    #[test]
    fn what_is_beyond_the_last_bound_counts_there() {
        let mut times = Latency::default();
        let before = snapshot(0.0, &histogram(&times));
        times.record(30_000_000);
        let after = snapshot(1.0, &histogram(&times));
        let gained = Interval::new(Some(&before), &after).histogram("h", &[]).unwrap();
        assert_eq!((gained.quantile(0.99), gained.most()), (Some(10.0), Some(10.0)));
    }

    proptest! {
        #[test]
        fn no_rate_is_negative_whatever_the_counters_do(
            before in proptest::collection::vec(any::<f64>(), 4), after in proptest::collection::vec(any::<f64>(), 4),
        ) {
            let page = |values: &[f64]| {
                let line = |(n, value): (usize, &f64)| format!("a_total{{shard=\"{n}\"}} {value}\nh_bucket{{le=\"{n}\"}} {value}\n");
                values.iter().enumerate().map(line).collect::<String>()
            };
            let (before, after) = (snapshot(0.0, &page(&before)), snapshot(1.0, &page(&after)));
            let interval = Interval::new(Some(&before), &after);
            prop_assert!(interval.rate("a_total", &[]).unwrap() >= 0.0);
            prop_assert!(interval.rates_by("a_total", &["shard"]).values().all(|rate| *rate > 0.0));
            let gained = interval.histogram("h", &[]).unwrap();
            prop_assert!(gained.quantile(0.5).is_none_or(|q| (0.0..=3.0).contains(&q)));
        }

        #[test]
        fn a_quantile_lies_in_the_bucket_of_the_true_one(mut us in proptest::collection::vec(1_u64..9_000_000, 1..200), part in 0.01..1.0_f64) {
            let mut times = Latency::default();
            let before = snapshot(0.0, &histogram(&times));
            for us in &us {
                times.record(*us);
            }
            let after = snapshot(1.0, &histogram(&times));
            let gained = Interval::new(Some(&before), &after).histogram("h", &[]).unwrap();
            us.sort_unstable();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // an index
            let truth = us[((us.len() as f64 * part).ceil() as usize).clamp(1, us.len()) - 1];
            #[allow(clippy::cast_precision_loss)] // microseconds
            let truth = truth as f64 / 1e6;
            let bounds: Vec<f64> = gained.buckets.iter().map(|(bound, _)| *bound).collect();
            let found = gained.quantile(part).unwrap();
            // A recorded time is known to 1 %, so one at a bound may count in the next bucket.
            let of = |value: f64| bounds.iter().position(|bound| value <= *bound + 1e-12).unwrap();
            prop_assert!(of(found).abs_diff(of(truth)) <= 1, "{found} {truth}");
            prop_assert!(gained.most().unwrap() >= truth);
            prop_assert!(gained.quantile(1.0).unwrap() <= gained.most().unwrap() + 1e-12);
        }
    }
}
