//! What the README prints is true: its scenario can be carried out, and holds every key that there is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]

use causerie_load::scenario::{BUILT_IN, Scenario};

const README: &str = include_str!("../README.md");

#[test]
fn the_scenario_of_the_readme_can_be_carried_out() {
    let text = README.split("```toml").nth(1).unwrap().split("```").next().unwrap();
    let scenario = Scenario::read(text).and_then(Scenario::checked).unwrap_or_else(|why| panic!("{why}"));
    // Every key that a scenario writes of itself is explained.
    let whole = serde_json::to_value(&scenario).unwrap();
    for part in ["population", "connect"] {
        for key in whole[part].as_object().unwrap().keys() {
            assert!(text.contains(&format!("{key} =")), "{part}.{key} is missing");
        }
    }
    for key in whole["phase"][1].as_object().unwrap().keys() {
        assert!(text.contains(&format!("{key} =")), "phase.{key} is missing");
    }
}

#[test]
fn every_built_in_scenario_is_named() {
    for (name, _) in BUILT_IN {
        assert!(README.contains(&format!("`{name}`")), "{name} is missing");
    }
}
