//! The scenarios that are built in, and how one is found by its name or its file.

use std::fs;
use std::path::Path;

use super::Scenario;
use crate::{Context as _, Failure};

/// Name and text of each built-in scenario.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("short", include_str!("../../scenarios/short.toml")),
    ("rooms-10", include_str!("../../scenarios/rooms-10.toml")),
    ("rooms-100", include_str!("../../scenarios/rooms-100.toml")),
    ("rooms-1000", include_str!("../../scenarios/rooms-1000.toml")),
    ("rooms-10000", include_str!("../../scenarios/rooms-10000.toml")),
    ("mix", include_str!("../../scenarios/mix.toml")),
    ("idle", include_str!("../../scenarios/idle.toml")),
    ("storm", include_str!("../../scenarios/storm.toml")),
    ("storm-all", include_str!("../../scenarios/storm-all.toml")),
    ("slow-readers", include_str!("../../scenarios/slow-readers.toml")),
    ("churn", include_str!("../../scenarios/churn.toml")),
    ("hot-room", include_str!("../../scenarios/hot-room.toml")),
    ("token-refresh", include_str!("../../scenarios/token-refresh.toml")),
    ("history", include_str!("../../scenarios/history.toml")),
    ("past", include_str!("../../scenarios/past.toml")),
    ("many-rooms-50", include_str!("../../scenarios/many-rooms-50.toml")),
    ("many-rooms-500", include_str!("../../scenarios/many-rooms-500.toml")),
    ("soak", include_str!("../../scenarios/soak.toml")),
    ("ack", include_str!("../../scenarios/ack.toml")),
];

/// A scenario by its built-in name or by the path of a file, checked.
///
/// # Errors
/// When there is none, or when it makes no sense; the text names the key.
pub fn find(name: &str) -> Result<Scenario, Failure> {
    if let Some((_, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
        return Scenario::read(text)?.checked();
    }
    let path = Path::new(name);
    if !path.exists() {
        let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        let why = format!("there is no such file, and the built-in ones are: {}", names.join(", "));
        return Err(Failure::new(format!("scenario {name}"), why));
    }
    let text = fs::read_to_string(path).context(&format!("reading {name}"))?;
    Scenario::read(&text)?.checked()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_scenario_is_sound_and_named_as_its_file() {
        for (name, _) in BUILT_IN {
            let scenario = find(name).expect(name);
            assert_eq!(&scenario.name, name);
            assert!(!scenario.about.is_empty(), "{name} says what it is for");
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let why = find("no-such").expect_err("an error").to_string();
        assert!(why.contains("short"), "{why}");
    }
}
