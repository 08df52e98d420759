//! The page of a report: one file that needs nothing else.

use super::Report;

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let _ = report;
    String::new()
}
