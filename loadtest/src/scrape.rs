//! The server's own counters, from `/metrics`, and what they counted between two moments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::tls::Trust;

/// What `/metrics` counted in a phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// By the number of the shard, and by `all` for what belongs to none: what each counter grew by. Names are as in `/metrics`,
    /// without `causerie_` and without `_total`; further labels stand in brackets: `refused{code="rate_limited"}`.
    pub grew: BTreeMap<String, BTreeMap<String, f64>>,
    /// The same for gauges: what they stood at in the end.
    pub stood: BTreeMap<String, BTreeMap<String, f64>>,
}

/// A server's `/metrics`, fetched by a thread of its own: once a second, and when asked to.
pub struct Source {
    address: String,
}

impl Source {
    /// Begins to fetch from `url` (`https://localhost:9443/metrics`; the path may be left out).
    ///
    /// # Errors
    /// When it is no such URL, or the first page does not come.
    pub fn start(url: &str, trust: &Trust) -> Result<Self, Failure> {
        let _ = trust;
        Ok(Self { address: url.to_owned() })
    }

    /// The version that the server says it has.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        let _ = &self.address;
        None
    }
}
