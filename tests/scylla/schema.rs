//! The schema from outside: made once though two make it, told, refused when it is missing or newer.

use std::process::{Command, Output};

use causerie::store::scylla::{self, MIGRATIONS, Replication, ScyllaSettings};

use super::support::database;
use super::support::server::without_settings;

fn causerie(keyspace: &str, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_causerie"));
    without_settings(&mut command);
    command
        .args(words)
        .env("CAUSERIE_STORE__KIND", "scylla")
        .env("CAUSERIE_STORE__SCYLLA__NODES", &database::shared().contact)
        .env("CAUSERIE_STORE__SCYLLA__KEYSPACE", keyspace)
        .env("CAUSERIE_STORE__SCYLLA__REPLICATION", "1")
        .output()
        .expect("the command")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn two_that_migrate_at_once_make_one_schema_and_it_can_be_told() {
    let keyspace = database::keyspace();
    let before = causerie(&keyspace, &["migrate", "status"]);
    assert_eq!(before.status.code(), Some(1));
    assert!(said(&before).contains("missing 001_chat.cql"), "{}", said(&before));
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().to_string_lossy().into_owned();
    let refused = causerie(&keyspace, &["serve", "--data-dir", &place]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("run `causerie migrate`"), "{}", said(&refused));

    let outputs = std::thread::scope(|scope| {
        let both = [0, 1].map(|_| scope.spawn(|| causerie(&keyspace, &["migrate"])));
        both.map(|one| one.join().expect("a command"))
    });
    let mut applied = 0;
    for output in &outputs {
        assert_eq!(output.status.code(), Some(0), "{}", said(output));
        assert!(said(output).contains("is up to date"), "{}", said(output));
        applied += said(output).matches("applied 001_chat.cql").count();
    }
    assert_eq!(applied, 1, "each step once: {} and {}", said(&outputs[0]), said(&outputs[1]));
    let after = causerie(&keyspace, &["migrate", "status"]);
    assert_eq!(after.status.code(), Some(0));
    assert!(said(&after).contains("applied 001_chat.cql (1) at 20"), "{}", said(&after));
    drop_it(&keyspace);
}

#[test]
fn a_newer_schema_is_refused() {
    let keyspace = database::keyspace();
    assert_eq!(causerie(&keyspace, &["migrate"]).status.code(), Some(0));
    let newest = MIGRATIONS.last().expect("a step").version;
    scylla::mark_as_applied(&settings(&keyspace), newest + 1, "of a later day").expect("marked");
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().to_string_lossy().into_owned();
    for words in [&["migrate"][..], &["serve", "--data-dir", &place], &["migrate", "status"]] {
        let output = causerie(&keyspace, words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", said(&output));
        assert!(said(&output).contains("newer"), "{words:?}: {}", said(&output));
    }
    drop_it(&keyspace);
}

fn settings(keyspace: &str) -> ScyllaSettings {
    ScyllaSettings {
        nodes: vec![database::shared().contact.clone()],
        keyspace: keyspace.to_owned(),
        replication: Replication::Everywhere(1),
        request_timeout: std::time::Duration::from_secs(20),
        ..ScyllaSettings::default()
    }
}

fn drop_it(keyspace: &str) {
    scylla::drop_keyspace(&settings(keyspace)).expect("dropped");
}
