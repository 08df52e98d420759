//! What several runs of one scenario have in common: medians and spreads.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Report;

/// Medians and spreads of several runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// How many runs there were.
    pub runs: usize,
    /// How many of them passed.
    pub passed: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// What `runs` have in common.
#[must_use]
pub fn summary(runs: &[Report]) -> Summary {
    Summary { runs: runs.len(), passed: runs.iter().filter(|run| run.passed()).count() }
}
