//! A server that greets otherwise than the adapter expects: the run ends at once, and says what came, what was expected and what to do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]

mod fake;

use causerie_load::run;
use fake::{Fake, Setup, talk};

/// Why there is no run with a server that greets like this, and how many sockets were opened until that was clear.
fn refused(greeting: Option<&'static str>, adapter: &str) -> (String, u64) {
    let fake = Fake::start(Setup { greeting, ..Setup::default() });
    let mut plan = fake.plan(&talk(6, 3, 1.0, 60));
    adapter.clone_into(&mut plan.adapter);
    let why = run::run(&plan).unwrap_err().to_string();
    let opened = fake.record().opened;
    (why, opened)
}

#[track_caller]
fn says(why: &str, all: &[&str]) {
    for part in all {
        assert!(why.contains(part), "{part:?} is not said: {why}");
    }
}

#[test]
fn a_frame_of_another_protocol_ends_the_run() {
    let (why, opened) = refused(Some(r#"{"type":"welcome","version":"7"}"#), "causerie");
    says(
        &why,
        &[
            "greeting",
            "not understood",
            r#""type":"welcome""#,
            "type \"hello\"",
            "--adapter causerie",
            "socketio",
            "/ws/chat",
        ],
    );
    assert!(opened <= 6, "nobody tried again: {opened} sockets");
}

#[test]
fn the_adapter_of_another_server_is_told_apart() {
    // Who joins in plain text is no client of this server: it closes.
    let (why, _) = refused(None, "raw");
    says(&why, &["did not come: closed 4400", "joined NUMBER", "--adapter raw", "causerie"]);
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    let (why, opened) = refused(Some(""), "causerie");
    says(&why, &["did not come within", "Received after the upgrade: nothing", "type \"hello\""]);
    assert!(opened <= 6, "nobody tried again: {opened} sockets");
}
