//! An outside judge of the WebSocket layer: Autobahn's cases against the test-only echo path, over TLS, held against a result kept here.
//!
//! The packages it needs are installed by `scripts/setup test` (or by this test, where that was not called).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::unwrap_in_result, clippy::panic)]
#![allow(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

#[path = "transport/server.rs"]
#[allow(dead_code)]
mod server;

type Cases = BTreeMap<String, (String, String)>;

/// The Python of the environment that `scripts/setup` makes.
fn python() -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".cache/conformance/bin/python");
    if !python.exists() {
        let venv = root.join(".cache/conformance");
        let made = Command::new("python3").args(["-m", "venv"]).arg(&venv).status().expect("python3 is installed");
        assert!(made.success(), "python3 -m venv failed: install python3-venv");
        let installed = Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(root.join("tests/conformance/requirements.txt"))
            .status()
            .expect("pip runs");
        assert!(installed.success(), "pip could not install tests/conformance/requirements.txt");
    }
    python
}

#[test]
fn autobahns_cases_come_out_as_they_are_kept() {
    let python = python();
    let server = server::Server::start(server::Options::default());
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let reports = tempfile::tempdir().unwrap();
    let output = Command::new(python)
        .arg(here.join("autobahn.py"))
        .args([&server.address().to_string(), "/ws/echo"])
        .args([server.certs.cert_path().as_path(), reports.path()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Cases = serde_json::from_slice(&output.stdout).expect("one JSON object of cases");
    let kept_at = here.join("expected.json");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&kept_at, &output.stdout).unwrap();
    }
    let kept: Cases = serde_json::from_slice(&std::fs::read(kept_at).unwrap()).unwrap();
    let failures: Vec<_> = found.iter().filter(|(_, (behaviour, close))| bad(behaviour) || bad(close)).collect();
    assert!(failures.is_empty(), "failed: {failures:#?}");
    // Better than kept is no fault: whether a case is OK or NON-STRICT may hang on how the kernel cut the bytes.
    let perfect = ("OK".to_owned(), "OK".to_owned());
    let other: Vec<_> =
        kept.iter().filter(|(case, want)| found.get(*case).is_none_or(|got| got != *want && *got != perfect)).collect();
    assert!(other.is_empty(), "kept, but now different: {other:#?}");
    assert_eq!(found.len(), kept.len(), "cases that are not kept in expected.json");
}

/// What must not be, whatever is kept.
fn bad(result: &str) -> bool {
    !matches!(result, "OK" | "NON-STRICT" | "INFORMATIONAL")
}
