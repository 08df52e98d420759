//! Writes Prometheus' text format: families with their help and type, samples with labels, cumulative histograms.

use std::fmt::{Display, Write};

use hdrhistogram::Histogram;

use super::counters::Latency;

/// Upper bounds for histograms of times, in microseconds with the same in seconds.
const TIMES: [(u64, &str); 17] = [
    (50, "0.00005"),
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
];

/// Upper bounds for histograms of how many.
const COUNTS: [(u64, &str); 12] = [
    (1, "1"),
    (2, "2"),
    (5, "5"),
    (10, "10"),
    (20, "20"),
    (50, "50"),
    (100, "100"),
    (200, "200"),
    (500, "500"),
    (1000, "1000"),
    (2000, "2000"),
    (5000, "5000"),
];

/// What a family's numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often what length, cumulative.
    Histogram,
}

/// A page being written.
#[derive(Debug, Default)]
pub struct Text(String);

/// Samples of one name being written.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Text {
    /// Begins a family; each name once.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {}\n# TYPE {name} {kind}", escaped(help));
        Family { text: &mut self.0, name }
    }

    /// The page.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// One whole number.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: u64) {
        self.line("", labels, None, value);
    }

    /// One number of seconds.
    pub fn seconds(&mut self, labels: &[(&str, &str)], value: f64) {
        self.line("", labels, None, value);
    }

    /// One histogram of times, in seconds.
    ///
    /// What was recorded is known to about 1 %; a time counts with the upper end of what it may have been.
    pub fn times(&mut self, labels: &[(&str, &str)], times: &Latency) {
        self.buckets(labels, &TIMES, times.histogram());
        self.line("_sum", labels, None, seconds(times.sum_us()));
        self.line("_count", labels, None, times.histogram().len());
    }

    /// One histogram of how many.
    pub fn counts(&mut self, labels: &[(&str, &str)], counts: &Histogram<u64>, sum: u64) {
        self.buckets(labels, &COUNTS, counts);
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, counts.len());
    }

    fn buckets(&mut self, labels: &[(&str, &str)], bounds: &[(u64, &str)], of: &Histogram<u64>) {
        let mut counts = vec![0_u64; bounds.len()];
        for step in of.iter_recorded() {
            let place = bounds.iter().position(|(bound, _)| step.value_iterated_to() <= *bound);
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count += step.count_since_last_iteration();
            }
        }
        let mut sum = 0;
        for ((_, bound), count) in bounds.iter().zip(counts) {
            sum += count;
            self.line("_bucket", labels, Some(bound), sum);
        }
        self.line("_bucket", labels, Some("+Inf"), of.len());
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], le: Option<&str>, value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        let all = labels.iter().copied().chain(le.map(|bound| ("le", bound)));
        for (at, (label, value)) in all.enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{open}{label}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() || le.is_some() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

/// Microseconds as seconds. Exact up to 285 years.
#[expect(clippy::cast_precision_loss, reason = "a sum of times needs no more than 53 bits")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Holds a page against the rules of the format and gives the names of its families.
    ///
    /// Rules: every sample stands under the HELP and TYPE of its own family; no family and no series stands twice; names and labels
    /// have their alphabet; counters end in `_total`; histograms have ascending bounds, counts that do not fall, and `+Inf` equal to
    /// their count.
    pub(in super::super) fn checked(page: &str) -> Result<BTreeSet<String>, String> {
        let mut families = BTreeSet::new();
        let mut series = BTreeSet::new();
        let mut current = (String::new(), String::new());
        let mut histograms: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        let mut ends: BTreeMap<String, f64> = BTreeMap::new();
        if !page.ends_with('\n') {
            return Err("no line feed at the end".to_owned());
        }
        let mut lines = page.lines();
        while let Some(line) = lines.next() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').ok_or(format!("no help: {line}"))?;
                let kind = lines.next().and_then(|next| next.strip_prefix(&format!("# TYPE {name} ")));
                let kind = kind.ok_or(format!("no type after {line}"))?;
                if !families.insert(name.to_owned()) {
                    return Err(format!("{name} stands twice"));
                }
                let named = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                if !named || help.is_empty() || (kind == "counter") != name.ends_with("_total") {
                    return Err(format!("wrong name, help or type: {line}"));
                }
                current = (name.to_owned(), kind.to_owned());
                continue;
            }
            let (id, value) = line.rsplit_once(' ').ok_or(format!("no value: {line}"))?;
            let value: f64 = value.parse().map_err(|_| format!("no number: {line}"))?;
            if !series.insert(id.to_owned()) {
                return Err(format!("{id} stands twice"));
            }
            let (name, labels) = id.split_once('{').map_or((id, ""), |(name, labels)| (name, labels));
            let labels =
                if labels.is_empty() { Vec::new() } else { parse_labels(labels).ok_or(format!("labels: {line}"))? };
            let key: Vec<&(String, String)> = labels.iter().filter(|(label, _)| label != "le").collect();
            let le = labels.iter().find(|(label, _)| label == "le").map(|(_, bound)| bound.as_str());
            let of = format!("{}{key:?}", current.0);
            match (current.1.as_str(), name.strip_prefix(&current.0), le) {
                ("counter" | "gauge", Some(""), None) | ("histogram", Some("_sum"), None) => {}
                ("histogram", Some("_bucket"), Some("+Inf")) => {
                    histograms.entry(of).or_default().push((f64::INFINITY, value));
                }
                ("histogram", Some("_bucket"), Some(bound)) => {
                    let bound = bound.parse().map_err(|_| format!("bound: {line}"))?;
                    histograms.entry(of).or_default().push((bound, value));
                }
                ("histogram", Some("_count"), None) => {
                    ends.insert(of, value);
                }
                _ => return Err(format!("not under its family {current:?}: {line}")),
            }
        }
        for (of, buckets) in histograms {
            let rising = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            let last = buckets.last().filter(|(bound, _)| bound.is_infinite()).map(|(_, count)| *count);
            if !rising || last.is_none() || last != ends.get(&of).copied() {
                return Err(format!("histogram {of} is not cumulative: {buckets:?}"));
            }
        }
        Ok(families)
    }

    /// `a="b",c="d"}` into pairs.
    fn parse_labels(text: &str) -> Option<Vec<(String, String)>> {
        let mut labels = Vec::new();
        let mut rest = text;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            if label.is_empty() || !label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
                return None;
            }
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next()? {
                    (at, '"') => break at + 1,
                    (_, '\\') => value.push(match chars.next()?.1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        _ => return None,
                    }),
                    (_, c) => value.push(c),
                }
            };
            labels.push((label.to_owned(), value));
            match after.get(end..)? {
                "}" => return Some(labels),
                more => rest = more.strip_prefix(',')?,
            }
        }
    }

    #[test]
    fn the_checker_finds_what_is_wrong() {
        let head = "# HELP a_total b\n# TYPE a_total counter\n";
        assert!(checked(&format!("{head}a_total{{x=\"1\"}} 1\n")).is_ok());
        let histogram = "# HELP h b\n# TYPE h histogram\n";
        for wrong in [
            "a_total 1\n".to_owned(),
            format!("{head}b_total 1\n"),
            format!("{head}a_total 1\na_total 2\n"),
            format!("{head}{head}"),
            format!("{head}a_total{{x=1}} 1\n"),
            format!("{head}a_total{{x=\"1\" 1\n"),
            format!("{head}a_total one\n"),
            format!("{head}a_total 1"),
            "# HELP a b\n# TYPE a counter\n".to_owned(),
            "# HELP a b\na 1\n".to_owned(),
            format!("{histogram}h_bucket{{le=\"1\"}} 2\nh_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 1\n"),
            format!(
                "{histogram}h_bucket{{le=\"2\"}} 1\nh_bucket{{le=\"1\"}} 1\nh_bucket{{le=\"+Inf\"}} 1\nh_count 1\n"
            ),
            format!("{histogram}h_bucket{{le=\"1\"}} 1\nh_sum 1\nh_count 1\n"),
            format!("{histogram}h_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 2\n"),
        ] {
            assert!(checked(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.family("a", Kind::Gauge, "two\nlines").sample(&[("x", "say \"no\"\\\n")], 1);
        let page = text.finish();
        assert!(checked(&page).is_ok(), "{page}");
        assert!(page.contains(r#"a{x="say \"no\"\\\n"} 1"#), "{page}");
    }
}
