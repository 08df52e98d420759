//! The scenarios that are built in, and how one is found by its name or its file.

use std::fs;
use std::path::Path;

use super::Scenario;
use crate::{Context as _, Failure};

/// Name and text of each built-in scenario.
pub const BUILT_IN: &[(&str, &str)] = &[("short", include_str!("../../scenarios/short.toml"))];

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
