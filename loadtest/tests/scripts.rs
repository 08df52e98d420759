//! What the project's scripts do around the harness: one failed run ends nothing and is told of; times fit into what was given; and
//! nothing is built in two choices of features.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// In place of `scripts/load`: writes a report at once, but for the runs that are to fail.
const LOAD: &str = r#"#!/bin/sh
if [ "$CAUSERIE_RUNTIME__PACE_MS" = 10 ] || [ "$1" = ack ]; then
  echo "the server: no space left on the disk" >&2
  exit 1
fi
cat > "$LOAD_REPORT.json" <<'END'
{"verdict": {"faults": {}, "troubles": {}}, "validity": {"reasons": []}, "outcome": {"why": []},
 "phases": [{"name": "talk", "delivery": {"ladder_ms": {"p50": 1.5, "p99": 8.25}}, "server": {"deliveries_per_cpu_second": 81234.0}}]}
END
"#;

struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let load = folder.path().join("load");
        fs::write(&load, LOAD).unwrap();
        fs::set_permissions(&load, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn run(&self, script: &str, words: &[&str]) -> Output {
        let here = self.folder.path();
        let mut command = Command::new(root().join("scripts").join(script));
        command.args(words).current_dir(root()).env("TUNING_LOAD", here.join("load")).env("TUNING_OUT", here);
        command.env("REPORTS_LOAD", here.join("load")).env("REPORTS_OUT", here).output().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_setting_that_failed_is_told_in_its_table_and_the_others_stand() {
    let stage = Stage::new();
    let manual = stage.folder.path().join("tuning.md");
    let marks = |name: &str| format!("before\n<!-- table {name} -->\nnot yet\n<!-- end {name} -->\nbehind\n");
    fs::write(&manual, marks("pace") + &marks("spin")).unwrap();
    let out = stage.run("tuning", &["pace", "--tiny", "--write", "--manual", manual.to_str().unwrap()]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let written = fs::read_to_string(&manual).unwrap();
    assert!(written.contains("| 40 | 1.50 | 8.25 | 81,234 |"), "{written}");
    assert!(written.contains("| 100 | 1.50 |") && written.contains("| 10 | – | – | – |"), "{written}");
    assert!(written.contains("Left out, 10: no report: the server: no space left on the disk."), "{written}");
    assert!(
        written.ends_with(&marks("spin")) && written.starts_with("before\n<!-- table pace -->\n| `runtime"),
        "{written}"
    );
}

#[test]
fn tiny_figures_do_not_come_into_the_manual() {
    let out = Stage::new().run("tuning", &["pace", "--tiny", "--write"]);
    assert!(!out.status.success() && text(&out.stderr).contains("--manual"), "{}", text(&out.stderr));
}

#[test]
fn a_quick_sweep_of_all_takes_twelve_minutes_at_most() {
    let out = Stage::new().run("tuning", &["--quick", "--list"]);
    assert!(minutes(&text(&out.stdout)) <= 12.0, "{}", text(&out.stdout));
}

#[test]
fn a_report_that_failed_does_not_end_the_others() {
    let stage = Stage::new();
    let out = stage.run("reports", &["ack", "mix", "--short"]);
    assert!(!out.status.success());
    assert!(
        text(&out.stderr).contains("ack: no report") && !text(&out.stderr).contains("mix"),
        "{}",
        text(&out.stderr)
    );
    assert!(stage.folder.path().join("mix.json").exists());
}

#[test]
fn reports_fit_into_the_minutes_that_are_given() {
    let stage = Stage::new();
    let whole = text(&stage.run("reports", &["--list", "mix", "churn", "idle-10k"]).stdout);
    let shorter = text(&stage.run("reports", &["--list", "mix", "churn", "idle-10k", "--minutes", "3"]).stdout);
    assert!(minutes(&whole) > 3.0 && minutes(&shorter) <= 3.0, "{whole}{shorter}");
    assert!(!whole.contains("--time-share") && shorter.matches("--time-share").count() == 3, "{whole}{shorter}");
    let all = text(&stage.run("reports", &["--list", "--minutes", "20"]).stdout);
    assert!(minutes(&all) <= 20.0 && !all.contains("soak") && !all.contains("600") && !all.contains("peers"), "{all}");
    let refused = stage.run("reports", &["--minutes", "1"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("at least"), "{}", text(&refused.stderr));
}

/// What a list says last: `3 reports, about 12 minutes`.
#[track_caller]
fn minutes(list: &str) -> f64 {
    let last = list.lines().last().unwrap_or_default();
    last.split(' ').rev().nth(1).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{list}"))
}

#[test]
fn everything_is_built_with_the_features_of_the_workspace() {
    let scripts = fs::read_dir(root().join("scripts")).unwrap().map(|entry| entry.unwrap().path());
    let files = [root().join("Makefile"), root().join(".ci/run"), root().join("loadtest/README.md")];
    let mut builds = 0;
    for file in files.into_iter().chain(scripts) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let line = |line: &&str| line.contains("cargo build") || line.contains("$(CARGO) build");
        for line in text.lines().filter(line) {
            builds += 1;
            assert!(line.contains("--workspace"), "{}: one package alone has other features: {line}", file.display());
        }
    }
    assert!(builds > 5, "{builds} builds were found");
}
