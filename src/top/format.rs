//! Numbers as people read them at a glance: few digits, a unit, a dash for what is not known.

/// What is not known.
pub const UNKNOWN: &str = "–";

/// How many, or how many a second: `0`, `0.3`, `12`, `9,400`, `1.25 M`.
#[must_use]
pub fn count(value: Option<f64>) -> String {
    match value {
        None => UNKNOWN.to_owned(),
        Some(value) if value >= 99_999.5 * 10.0 => format!("{:.2} M", value / 1e6),
        Some(value) if value >= 9.95 => grouped(value),
        Some(value) if value >= 0.05 => trimmed(format!("{value:.1}")),
        Some(value) if value > 0.0 => "<0.1".to_owned(),
        Some(_) => "0".to_owned(),
    }
}

/// Milliseconds, in their unit: `0.05`, `0.83`, `12.5`, `140`, `2.5 s`.
#[must_use]
pub fn ms(value: Option<f64>) -> String {
    match value {
        None => UNKNOWN.to_owned(),
        Some(value) if value >= 999.5 => format!("{:.1} s", value / 1000.0),
        Some(value) if value >= 99.95 => format!("{value:.0}"),
        Some(value) if value >= 9.995 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// Bytes: `0`, `900 B`, `12 KiB`, `1.4 GiB`.
#[must_use]
pub fn bytes(value: Option<f64>) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let Some(mut value) = value else { return UNKNOWN.to_owned() };
    if value < 0.5 {
        return "0".to_owned();
    }
    let mut unit = 0;
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 9.95);
    format!("{value:.digits$} {}", UNITS.get(unit).copied().unwrap_or_default())
}

/// A part of a core as a percentage: `87 %`, `0.4 %`.
#[must_use]
pub fn percent(value: Option<f64>) -> String {
    value.map_or_else(
        || UNKNOWN.to_owned(),
        |value| {
            let value = value * 100.0;
            if value > 0.0 && value < 9.95 { format!("{value:.1} %") } else { format!("{value:.0} %") }
        },
    )
}

/// How long: `42 s`, `3 m 20 s`, `5 h 02 m`, `12 d 4 h`.
#[must_use]
pub fn duration(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds.filter(|seconds| *seconds >= 0.0) else { return UNKNOWN.to_owned() };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; whole seconds are meant")]
    let all = seconds as u64;
    let (days, hours, minutes) = (all / 86_400, all / 3600 % 24, all / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{all} s"),
        (0, 0, _) => format!("{minutes} m {:02} s", all % 60),
        (0, _, _) => format!("{hours} h {minutes:02} m"),
        _ => format!("{days} d {hours} h"),
    }
}

fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::with_capacity(digits.len() + 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn trimmed(text: String) -> String {
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_at_a_glance() {
        let counts = [(0.0, "0"), (0.01, "<0.1"), (0.3, "0.3"), (4.0, "4"), (9.96, "10"), (9400.4, "9,400")];
        for (value, text) in counts.into_iter().chain([(999_900.0, "999,900"), (1_250_000.0, "1.25 M")]) {
            assert_eq!(count(Some(value)), text);
        }
        for (value, text) in [(0.05, "0.05"), (0.833, "0.83"), (12.5, "12.5"), (140.2, "140"), (2500.0, "2.5 s")] {
            assert_eq!(ms(Some(value)), text);
        }
        let sizes = [(0.0, "0"), (900.0, "900 B"), (12_288.0, "12 KiB"), (1.5e9, "1.4 GiB"), (1_048_575.0, "1.0 MiB")];
        for (value, text) in sizes {
            assert_eq!(bytes(Some(value)), text);
        }
        for (value, text) in [(0.0, "0 %"), (0.004, "0.4 %"), (0.871, "87 %"), (1.5, "150 %")] {
            assert_eq!(percent(Some(value)), text);
        }
        for (value, text) in [(42.9, "42 s"), (200.0, "3 m 20 s"), (18_120.0, "5 h 02 m"), (1_051_200.0, "12 d 4 h")] {
            assert_eq!(duration(Some(value)), text);
        }
        for unknown in [count(None), ms(None), bytes(None), percent(None), duration(None), duration(Some(-3.0))] {
            assert_eq!(unknown, UNKNOWN);
        }
    }

    proptest! {
        #[test]
        fn every_number_is_short(value in 0.0..1e13_f64) {
            prop_assert!(bytes(Some(value)).len() <= 9);
            prop_assert!(count(Some(value / 1e3)).len() <= 10);
            prop_assert!(ms(Some(value / 1e6)).len() <= 9);
        }
    }
}
