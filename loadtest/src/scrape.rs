//! The server's own counters: a page of `/metrics`, and what it counted between two pages.
//!
//! Reads Prometheus' text form as any server writes it. Names are shortened by `causerie_` and `_total`; the label `shard` is taken
//! out and becomes the first key, further labels stay in the name: `refused{code="rate_limited"}`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::http::Http;
use crate::tls::Trust;
use crate::{Context as _, Failure};

/// Values by shard (`all` for what belongs to none) and by name.
pub type ByShard = BTreeMap<String, BTreeMap<String, f64>>;

/// What `/metrics` counted in a phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// What each counter grew by; histograms count with `_sum` and `_count`. What did not move is not there.
    pub grew: ByShard,
    /// What gauges stood at in the end. What stood at 0 is not there.
    #[serde(default)]
    pub stood: ByShard,
    /// Of histograms: the bound that 99 of 100 did not exceed. The bounds are coarse, and the last one means "or more".
    #[serde(default)]
    pub p99_bound: ByShard,
    /// The process began anew between the two pages: counts before that are lost.
    #[serde(default)]
    pub restarted: bool,
}

impl Counters {
    /// What `name` grew by, over all shards. `None` when it did not move or is not known.
    #[must_use]
    pub fn grew(&self, name: &str) -> Option<f64> {
        sum(&self.grew, name)
    }

    /// What `name` stood at, over all shards.
    #[must_use]
    pub fn stood(&self, name: &str) -> Option<f64> {
        sum(&self.stood, name)
    }

    /// The mean of a histogram (`turn_seconds`) over all shards, in its unit.
    #[must_use]
    pub fn mean(&self, name: &str) -> Option<f64> {
        let count = self.grew(&format!("{name}_count")).filter(|count| *count > 0.0)?;
        Some(self.grew(&format!("{name}_sum")).unwrap_or(0.0) / count)
    }
}

fn sum(of: &ByShard, name: &str) -> Option<f64> {
    let mut found = of.values().filter_map(|values| values.get(name)).peekable();
    found.peek()?;
    Some(found.sum())
}

/// One page.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// When it had come.
    pub at: Instant,
    /// Counters, and sums and counts of histograms.
    pub counters: ByShard,
    /// Gauges.
    pub gauges: ByShard,
    /// Bounds and cumulative counts of histograms: by shard and name.
    buckets: BTreeMap<String, BTreeMap<String, Vec<(f64, f64)>>>,
    /// What `build_info` says.
    pub version: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Page {
    /// Reads a page. Lines that are not of the form are passed over: a server may know more than this reader.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut page = Self {
            at: Instant::now(),
            counters: ByShard::new(),
            gauges: ByShard::new(),
            buckets: BTreeMap::new(),
            version: None,
        };
        let mut kinds: BTreeMap<&str, Kind> = BTreeMap::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let kind = match rest.split_once(' ') {
                    Some((name, "counter")) => (name, Kind::Counter),
                    Some((name, "histogram" | "summary")) => (name, Kind::Histogram),
                    Some((name, _)) => (name, Kind::Gauge),
                    None => continue,
                };
                kinds.insert(kind.0, kind.1);
            } else if let Some(sample) = Sample::parse(line) {
                page.take(&kinds, &sample);
            }
        }
        page
    }

    fn take(&mut self, kinds: &BTreeMap<&str, Kind>, sample: &Sample<'_>) {
        if sample.name.ends_with("build_info") {
            self.version = sample.label("version").map(str::to_owned);
            return;
        }
        let shard = sample.label("shard").unwrap_or("all").to_owned();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| sample.name.strip_suffix(end));
        let of_histogram = base.filter(|base| kinds.get(base) == Some(&Kind::Histogram));
        if let (Some(base), Some(bound)) = (of_histogram, sample.label("le")) {
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap_or(f64::INFINITY) };
            let name = short_name(base, &sample.labels);
            self.buckets.entry(shard).or_default().entry(name).or_default().push((bound, sample.value));
            return;
        }
        let counts = of_histogram.is_some() || kinds.get(sample.name) == Some(&Kind::Counter);
        let into = if counts { &mut self.counters } else { &mut self.gauges };
        into.entry(shard).or_default().insert(short_name(sample.name, &sample.labels), sample.value);
    }

    /// What was counted from `self` to `later`.
    #[must_use]
    pub fn until(&self, later: &Self) -> Counters {
        let value = |of: &ByShard, shard: &str, name: &str| of.get(shard).and_then(|values| values.get(name)).copied();
        let started = |page: &Self| value(&page.gauges, "all", "process_start_time_seconds");
        let mut counters = Counters { restarted: started(self) != started(later), ..Counters::default() };
        for (shard, values) in &later.counters {
            for (name, now) in values {
                let before = value(&self.counters, shard, name).unwrap_or(0.0);
                // A counter that fell began anew.
                let grew = if *now < before { *now } else { now - before };
                if grew != 0.0 {
                    counters.grew.entry(shard.clone()).or_default().insert(name.clone(), grew);
                }
            }
        }
        for (shard, values) in &later.gauges {
            for (name, now) in values.iter().filter(|(_, now)| **now != 0.0) {
                counters.stood.entry(shard.clone()).or_default().insert(name.clone(), *now);
            }
        }
        for (shard, histograms) in &later.buckets {
            for (name, now) in histograms {
                let before = self.buckets.get(shard).and_then(|of| of.get(name)).filter(|_| !counters.restarted);
                if let Some(bound) = quantile_bound(before.map_or(&[], Vec::as_slice), now, 0.99) {
                    counters.p99_bound.entry(shard.clone()).or_default().insert(name.clone(), bound);
                }
            }
        }
        counters
    }
}

/// The bound below which a share `quantile` of what came between two histograms lies.
fn quantile_bound(before: &[(f64, f64)], now: &[(f64, f64)], quantile: f64) -> Option<f64> {
    let count = |at: usize| now.get(at).map_or(0.0, |(_, n)| n - before.get(at).map_or(0.0, |(_, n)| *n));
    let all = count(now.len().checked_sub(1)?);
    if all <= 0.0 {
        return None;
    }
    let at = (0..now.len()).find(|at| count(*at) >= quantile * all)?;
    now.iter().take(at + 1).map(|(bound, _)| *bound).rfind(|bound| bound.is_finite())
}

/// One line: a name, labels, a value.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(inside) => parse_labels(inside)?,
            None => (Vec::new(), rest),
        };
        // A time stamp may follow the value.
        let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
        value.is_finite().then_some(Self { name, labels, value })
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| value.as_str())
    }
}

/// Labels up to the closing bracket, and what follows it. Values may hold brackets, commas and escaped quotes.
fn parse_labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        loop {
            match chars.next()? {
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (at, '"') => {
                    rest = after.get(at + 1..)?;
                    break;
                }
                (_, other) => value.push(other),
            }
        }
        labels.push((name, value));
    }
}

fn short_name(name: &str, labels: &[(&str, String)]) -> String {
    let name = name.strip_prefix("causerie_").unwrap_or(name);
    let name = name.strip_suffix("_total").unwrap_or(name);
    let rest: Vec<String> = labels
        .iter()
        .filter(|(label, _)| *label != "shard" && *label != "le")
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    if rest.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", rest.join(",")) }
}

/// A server's `/metrics`.
pub struct Source {
    path: String,
    reach: Reach,
    first: Page,
}

enum Reach {
    Encrypted(Box<Http>),
    Plain(String),
}

impl Source {
    /// Fetches a first page from `url` (`https://localhost:9443/metrics`; the path may be left out; `http://` for a peer that
    /// does not encrypt).
    ///
    /// # Errors
    /// When it is no such URL, or no page of metrics is there.
    pub fn start(url: &str, trust: &Trust) -> Result<Self, Failure> {
        let wrong =
            || Failure::new(format!("the address of the metrics, {url:?}"), "it is like https://localhost:9443");
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = if path.is_empty() { "/metrics".to_owned() } else { format!("/{path}") };
        if !address.contains(':') {
            return Err(Failure::new(format!("the address of the metrics, {url:?}"), "it needs a port"));
        }
        let mut reach = match scheme {
            "https" => Reach::Encrypted(Box::new(Http::new(address, &trust.clone().config()?))),
            "http" => Reach::Plain(address.to_owned()),
            _ => return Err(wrong()),
        };
        let first = fetch(&mut reach, &path)?;
        if first.counters.is_empty() && first.gauges.is_empty() {
            return Err(Failure::new(format!("reading {url}"), "there is no sample of metrics in it"));
        }
        Ok(Self { path, reach, first })
    }

    /// The version that the server says it has.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        self.first.version.clone()
    }

    /// Fetches a page, now. Waits for it.
    ///
    /// # Errors
    /// When it does not come.
    pub fn fetch(&mut self) -> Result<Page, Failure> {
        fetch(&mut self.reach, &self.path)
    }
}

fn fetch(reach: &mut Reach, path: &str) -> Result<Page, Failure> {
    let text = match reach {
        Reach::Encrypted(http) => {
            let answer = http.call("GET", path, None, &[], None)?;
            if answer.status != 200 {
                return Err(Failure::new(format!("reading {path}"), format!("the server answered {}", answer.status)));
            }
            answer.text()
        }
        Reach::Plain(address) => plain(address, path)?,
    };
    Ok(Page::parse(&text))
}

/// HTTP/1.0, so that the answer comes in one piece and ends with the connection.
fn plain(address: &str, path: &str) -> Result<String, Failure> {
    let what = format!("reading http://{address}{path}");
    let mut stream = TcpStream::connect(address).context(&what)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).context(&what)?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).context(&what)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context(&what)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        status => Err(Failure::new(what, format!("the server answered {}", status.unwrap_or("nothing")))),
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // whole numbers and what was written so
mod tests {
    use super::*;

    const BEFORE: &str = "\
# HELP causerie_build_info Always 1.
# TYPE causerie_build_info gauge
causerie_build_info{version=\"0.1.0\"} 1
# TYPE causerie_process_start_time_seconds gauge
causerie_process_start_time_seconds 1700000000.5
# TYPE causerie_messages_delivered_total counter
causerie_messages_delivered_total{shard=\"0\"} 10
causerie_messages_delivered_total{shard=\"1\"} 5
# TYPE causerie_refused_total counter
causerie_refused_total{shard=\"0\",code=\"a\\\"}, b\"} 1
# TYPE causerie_connections_active gauge
causerie_connections_active{shard=\"0\"} 7
# TYPE causerie_turn_seconds histogram
causerie_turn_seconds_bucket{shard=\"0\",le=\"0.001\"} 100
causerie_turn_seconds_bucket{shard=\"0\",le=\"0.01\"} 100
causerie_turn_seconds_bucket{shard=\"0\",le=\"+Inf\"} 100
causerie_turn_seconds_sum{shard=\"0\"} 0.05
causerie_turn_seconds_count{shard=\"0\"} 100
";

    fn later() -> String {
        BEFORE
            .replace("delivered_total{shard=\"0\"} 10", "delivered_total{shard=\"0\"} 110")
            .replace("delivered_total{shard=\"1\"} 5", "delivered_total{shard=\"1\"} 6 1700000000000")
            .replace("b\"} 1", "b\"} 4")
            .replace("active{shard=\"0\"} 7", "active{shard=\"0\"} 9")
            .replace("le=\"0.01\"} 100", "le=\"0.01\"} 199")
            .replace("le=\"+Inf\"} 100", "le=\"+Inf\"} 200")
            .replace("_sum{shard=\"0\"} 0.05", "_sum{shard=\"0\"} 0.45")
            .replace("_count{shard=\"0\"} 100", "_count{shard=\"0\"} 200")
    }

    #[test]
    fn two_pages_give_what_came_between() {
        let (before, after) = (Page::parse(BEFORE), Page::parse(&later()));
        assert_eq!(before.version.as_deref(), Some("0.1.0"));
        let counters = before.until(&after);
        assert!(!counters.restarted);
        assert_eq!(counters.grew("messages_delivered"), Some(101.0));
        assert_eq!(counters.grew["1"]["messages_delivered"], 1.0);
        assert_eq!(counters.grew["0"]["refused{code=\"a\\\"}, b\"}"], 3.0);
        assert_eq!(counters.stood("connections_active"), Some(9.0));
        assert_eq!(counters.mean("turn_seconds").map(|mean| (mean * 1e6).round()), Some(4000.0));
        assert_eq!(counters.p99_bound["0"]["turn_seconds"], 0.01);
        assert_eq!(counters.grew("nothing"), None);
        assert!(before.until(&before).grew.is_empty(), "what did not move is not there");
    }

    #[test]
    fn a_server_that_began_anew_is_noticed() {
        let after = later().replace("1700000000.5", "1700000100").replace("{shard=\"0\"} 110", "{shard=\"0\"} 3");
        let counters = Page::parse(BEFORE).until(&Page::parse(&after));
        assert!(counters.restarted);
        assert_eq!(counters.grew["0"]["messages_delivered"], 3.0);
    }

    #[test]
    fn what_is_no_sample_is_passed_over() {
        for line in ["", "x", "x{", "x{a=\"b", "x{a=\"b\"}", "x y", "x{a=\"\\", "x NaN", "{} 1 }"] {
            let page = Page::parse(line);
            assert!(page.counters.is_empty(), "{line:?}: {page:?}");
        }
    }

    #[test]
    fn an_address_is_checked_before_anything_is_asked() {
        for url in ["localhost:9443", "ftp://localhost:1/", "https://localhost"] {
            assert!(Source::start(url, &Trust::Any).is_err(), "{url}");
        }
    }
}
