//! What changed between two runs, beyond noise.

use std::fmt;

use super::Report;

/// What differs between two runs.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    worse: bool,
}

impl Comparison {
    /// Whether something got worse beyond noise: what `--fail-on-worse` asks.
    #[must_use]
    pub fn worse(&self) -> bool {
        self.worse
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// What changed from `a` to `b`.
#[must_use]
pub fn compare(a: &Report, b: &Report) -> Comparison {
    let _ = (a, b);
    Comparison::default()
}
