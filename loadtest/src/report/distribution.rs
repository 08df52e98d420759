//! How long something took, each time: an HdrHistogram that also is JSON, so that reports can be merged and compared.
//!
//! Values are microseconds inside and milliseconds outside. In JSON stand the figures that people look for and, as `hdr`, the whole
//! histogram in the interchange form of HdrHistogram (V2, deflated, base64), which its tools in other languages read, too. On
//! reading only `hdr` counts.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer as HdrDeserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

/// The longest time that is told apart from longer ones, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// The quantiles that a report shows, with their names.
pub const LADDER: [(&str, f64); 9] = [
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p99.5", 0.995),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
    ("p99.999", 0.99999),
];

/// Many times of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    micros: Histogram<u64>,
}

impl Default for Distribution {
    fn default() -> Self {
        Self::new()
    }
}

impl Distribution {
    /// Nothing yet. Takes about 190 KiB, and no more later.
    #[must_use]
    pub fn new() -> Self {
        #[expect(clippy::expect_used, reason = "constant bounds, which every test passes through")]
        let micros = Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds that HdrHistogram knows");
        Self { micros }
    }

    /// One more. Longer than an hour counts as an hour.
    pub fn record(&mut self, time: Duration) {
        self.record_micros(u64::try_from(time.as_micros()).unwrap_or(LONGEST), 1);
    }

    /// `count` more of `micros` each.
    pub fn record_micros(&mut self, micros: u64, count: u64) {
        self.micros.saturating_record_n(micros, count);
    }

    /// Takes in what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        self.add(&other.micros);
    }

    /// Takes in a histogram of microseconds of any bounds.
    pub fn add(&mut self, micros: &Histogram<u64>) {
        if self.micros.add(micros).is_err() {
            // Only values beyond an hour do not fit.
            for step in micros.iter_recorded() {
                self.micros.saturating_record_n(step.value_iterated_to(), step.count_at_value());
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.micros.reset();
    }

    /// The histogram itself, in microseconds.
    #[must_use]
    pub fn micros(&self) -> &Histogram<u64> {
        &self.micros
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.micros.len()
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.micros.is_empty()
    }

    /// The time that a share `quantile` (0 to 1) of all did not exceed, in milliseconds. 0 when nothing was counted.
    #[must_use]
    pub fn at(&self, quantile: f64) -> f64 {
        millis(self.micros.value_at_quantile(quantile))
    }

    /// The mean, in milliseconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.micros.mean() / 1000.0
    }

    /// The shortest, in milliseconds.
    #[must_use]
    pub fn min(&self) -> f64 {
        millis(self.micros.min())
    }

    /// The longest, in milliseconds.
    #[must_use]
    pub fn max(&self) -> f64 {
        millis(self.micros.max())
    }

    /// The interchange form: V2, deflated, base64.
    ///
    /// # Errors
    /// Never in practice: it is written to memory.
    pub fn encoded(&self) -> Result<String, String> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.micros, &mut bytes).map_err(|why| why.to_string())?;
        Ok(STANDARD.encode(bytes))
    }

    /// From the interchange form.
    ///
    /// # Errors
    /// When it is none.
    pub fn decoded(text: &str) -> Result<Self, String> {
        let bytes = STANDARD.decode(text).map_err(|why| format!("a histogram is not base64: {why}"))?;
        let read: Histogram<u64> = HdrDeserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|why| format!("this is no HdrHistogram: {why}"))?;
        let mut all = Self::new();
        all.add(&read);
        Ok(all)
    }
}

#[allow(clippy::cast_precision_loss)] // microseconds of an hour fit
fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// The JSON of a [`Distribution`].
#[derive(Serialize, Deserialize)]
struct Written {
    count: u64,
    mean_ms: f64,
    min_ms: f64,
    #[serde(default)]
    ladder_ms: BTreeMap<String, f64>,
    max_ms: f64,
    hdr: String,
}

impl Serialize for Distribution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hdr = self.encoded().map_err(ser::Error::custom)?;
        Written {
            count: self.count(),
            mean_ms: self.mean(),
            min_ms: self.min(),
            ladder_ms: LADDER.iter().map(|(name, q)| ((*name).to_owned(), self.at(*q))).collect(),
            max_ms: self.max(),
            hdr,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let read = Self::decoded(&written.hdr).map_err(de::Error::custom)?;
        if read.count() != written.count {
            return Err(de::Error::custom(format!(
                "a distribution says {} and its histogram holds {}",
                written.count,
                read.count()
            )));
        }
        Ok(read)
    }
}

/// What one second showed of a kind of time: short, because there are thousands of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// How many.
    pub count: u64,
    /// Half were faster. Milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 were faster. Milliseconds.
    pub p99_ms: f64,
    /// The slowest. Milliseconds.
    pub max_ms: f64,
    /// The histogram, in the part of one process of several: percentiles cannot be merged, histograms can. Not in a finished report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hdr: Option<String>,
}

impl Moment {
    /// What `second` shows. `to_merge` keeps the histogram in it.
    #[must_use]
    pub fn of(second: &Distribution, to_merge: bool) -> Self {
        Self {
            count: second.count(),
            p50_ms: second.at(0.5),
            p99_ms: second.at(0.99),
            max_ms: second.max(),
            hdr: if to_merge && !second.is_empty() { second.encoded().ok() } else { None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Distribution {
        let mut times = Distribution::new();
        (1..=10_000).for_each(|n| times.record(Duration::from_micros(n * 7)));
        times
    }

    #[test]
    fn it_comes_back_from_json_as_it_was() {
        for times in [some(), Distribution::new()] {
            let text = serde_json::to_string(&times).unwrap();
            assert_eq!(serde_json::from_str::<Distribution>(&text).unwrap(), times);
            assert!(text.len() < 10_000, "{} bytes", text.len());
        }
    }

    #[test]
    fn its_json_shows_the_ladder_in_milliseconds() {
        let value = serde_json::to_value(some()).unwrap();
        let near = |name: &str, expected: f64| {
            let shown = value["ladder_ms"][name].as_f64().unwrap();
            assert!((shown / expected - 1.0).abs() < 0.001, "{name}: {shown}");
        };
        near("p50", 35.0);
        near("p99", 69.3);
        near("p99.99", 69.993);
        assert_eq!(value["count"], 10_000);
        assert_eq!(value["ladder_ms"].as_object().unwrap().len(), LADDER.len());
    }

    #[test]
    fn damaged_ones_are_refused() {
        let mut value = serde_json::to_value(some()).unwrap();
        value["count"] = 9999.into();
        let why = serde_json::from_value::<Distribution>(value.clone()).unwrap_err().to_string();
        assert!(why.contains("9999") && why.contains("10000"), "{why}");
        value["hdr"] = "AAAA".into();
        assert!(serde_json::from_value::<Distribution>(value).is_err());
    }

    #[test]
    fn what_takes_longer_than_an_hour_counts_as_an_hour() {
        let mut times = Distribution::new();
        times.record(Duration::from_hours(5));
        times.record(Duration::ZERO);
        assert_eq!(times.count(), 2);
        assert!((times.max() / 3_600_000.0 - 1.0).abs() < 0.001, "{}", times.max());
        let mut wider = Histogram::new_with_bounds(1, 100 * LONGEST, 2).unwrap();
        wider.record(50 * LONGEST).unwrap();
        times.add(&wider);
        assert_eq!(times.count(), 3);
    }
}
