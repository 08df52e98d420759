//! A report as a file: written whole or not at all, read with an answer for each way in which it is no report.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{FORMAT, Report};
use crate::{Context as _, Failure};

impl Report {
    /// Writes it as JSON. The file is there whole or as it was before.
    ///
    /// # Errors
    /// When the place cannot be written to.
    pub fn write(&self, place: &Path) -> Result<(), Failure> {
        let what = format!("writing {}", place.display());
        let mut text = serde_json::to_vec_pretty(self).context(&what)?;
        text.push(b'\n');
        replace(place, &text)
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is not there, not JSON, not a report, or of a newer form.
    pub fn read(place: &Path) -> Result<Self, Failure> {
        let what = format!("reading the report {}", place.display());
        let text = fs::read(place).context(&what)?;
        Self::from_json(&text).map_err(|why| Failure::new(what, why))
    }

    /// From JSON.
    ///
    /// # Errors
    /// When it is not a report of this form, in words.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_slice(text).map_err(|why| format!("it is not JSON: {why}"))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => {
                return Err(format!(
                    "its form is {format}; this causerie-load reads {FORMAT}: use the one that wrote it"
                ));
            }
            None => return Err("it has no \"format\": it is not a report of causerie-load".to_owned()),
        }
        serde_json::from_value(value).map_err(|why| format!("a part of it is not as in a report: {why}"))
    }
}

/// Puts `content` at `place`, whole or not at all.
///
/// # Errors
/// When the place cannot be written to.
pub fn replace(place: &Path, content: &[u8]) -> Result<(), Failure> {
    let what = format!("writing {}", place.display());
    if let Some(folder) = place.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).context(&what)?;
    }
    let mut draft = place.as_os_str().to_owned();
    draft.push(".part");
    fs::write(&draft, content).context(&what)?;
    fs::rename(&draft, place).context(&what)
}

/// The time now as RFC 3339 in UTC, for [`Report::started_at`].
#[must_use]
pub fn now() -> String {
    rfc3339(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Seconds since 1970 as a date: days are counted in eras of 400 years that begin in March, so that the leap day is the last.
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_767_225_599), "2025-12-31T23:59:59Z");
        assert_eq!(rfc3339(1_795_364_423), "2026-11-22T16:20:23Z");
    }

    #[test]
    fn a_file_is_a_report_or_one_is_told_why_not() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("new/report.json");
        let mut report = Report { scenario_name: "rooms".to_owned(), ..Report::default() };
        report.finish();
        report.write(&place).unwrap();
        assert_eq!(Report::read(&place).unwrap(), report);
        let told = |text: &str| Report::from_json(text.as_bytes()).unwrap_err();
        assert!(told("{").contains("not JSON"), "{}", told("{"));
        assert!(told("{}").contains("no \"format\""));
        assert!(told("{\"format\": 2}").contains("its form is 2"));
        assert!(told("{\"format\": 1}").contains("not as in a report"));
        assert!(Report::read(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
