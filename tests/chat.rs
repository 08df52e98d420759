//! `causerie chat`, the reference client, as a program uses it (`--json`): two of them talk, the server is killed and comes back, one client
//! is killed and comes back, and each has shown every message, in order, once in each of its lives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::unwrap_in_result, clippy::panic, clippy::print_stderr)]
#![allow(clippy::wildcard_enum_match_arm, clippy::needless_pass_by_value, clippy::needless_for_each)]
#![allow(missing_docs)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

#[path = "support/mod.rs"]
mod support;

use support::{Server, Setup, WATCHDOG};

struct Client {
    name: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    events: Receiver<Value>,
    /// (seq, text) of the messages shown, over all lives.
    shown: Vec<(u64, String)>,
}

fn command(server: &Server, name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_causerie"));
    let state: PathBuf = server.folder().join(format!("{name}.client"));
    command
        .args(["chat", "--server", &format!("https://{}", server.address()), "--user", name, "--signup", "--json"])
        .env("CAUSERIE_STATE", state)
        .env("CAUSERIE_PASSWORD", "a long enough passphrase")
        .env_remove("CAUSERIE_TOKEN");
    command
}

impl Client {
    fn start(server: &Server, name: &'static str) -> Self {
        let mut child = command(server, name)
            .args(["--room", "general"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a client");
        let stdout = child.stdout.take().expect("a pipe");
        let (to, events) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if to.send(serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"))).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Self { name, child, stdin, events, shown: Vec::new() }
    }

    fn line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("open");
        writeln!(stdin, "{line}").expect("the client listens");
    }

    fn event(&mut self, wanted: &str) -> Value {
        loop {
            let event = match self.events.recv_timeout(WATCHDOG) {
                Ok(event) => event,
                Err(error) => panic!("{}: {wanted} never came: {error}", self.name),
            };
            if event["event"] == "chat" && event["old"] == false {
                let text = event["content"].as_str().expect("a text").to_owned();
                self.shown.push((event["seq"].as_u64().expect("a seq"), text));
            }
            if event["event"] == wanted {
                return event;
            }
        }
    }

    fn sees(&mut self, text: &str) -> Value {
        loop {
            let event = self.event("chat");
            if event["content"] == text {
                return event;
            }
        }
    }

    /// Ends the input and waits for the end.
    fn finish(mut self) -> Vec<(u64, String)> {
        drop(self.stdin.take());
        support::eventually("the end of a client", || self.child.try_wait().expect("a child"));
        let status = self.child.wait().expect("a status");
        assert!(status.success(), "{}: {status}", self.name);
        while let Ok(event) = self.events.recv_timeout(WATCHDOG) {
            if event["event"] == "chat" && event["old"] == false {
                let text = event["content"].as_str().expect("a text").to_owned();
                self.shown.push((event["seq"].as_u64().expect("a seq"), text));
            }
        }
        std::mem::take(&mut self.shown)
    }

    fn kill(mut self) -> Vec<(u64, String)> {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it ends");
        std::mem::take(&mut self.shown)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn two_people_talk_through_crashes_of_everything() {
    let mut server = Setup::builtin().start();
    let mut ann = Client::start(&server, "ann");
    ann.event("entered");
    let mut bob = Client::start(&server, "bob");
    assert_eq!(bob.event("entered")["name"], "general");
    ann.event("join");

    ann.line("hello <i>Bob</i> & all 😀");
    let seen = bob.sees("hello <i>Bob</i> & all 😀");
    assert_eq!((&seen["username"], &seen["mine"]), (&"ann".into(), &false.into()));
    bob.line("//me is sent with one slash");
    ann.sees("/me is sent with one slash");

    // Bob is away; Ann goes on, and the server crashes in the middle of it.
    bob.sees("/me is sent with one slash");
    let mut bobs = bob.kill();
    for n in 0..10 {
        ann.line(&format!("line {n}"));
    }
    ann.sees("line 3");
    server.restart();
    ann.line("after the crash");
    ann.sees("after the crash");

    let mut bob = Client::start(&server, "bob");
    bob.sees("after the crash");
    bob.line("back again");
    ann.sees("back again");
    ann.line("/delete");
    bob.event("delete");

    let anns = ann.finish();
    let mut again = bob.finish();
    // Killed between showing and keeping its place, a client shows that message again rather than not at all.
    let from = again.first().expect("something").0;
    bobs.retain(|(seq, _)| *seq < from);
    bobs.append(&mut again);
    let texts: Vec<_> = anns.iter().map(|(_, text)| text.as_str()).collect();
    let expected: Vec<String> = (0..10).map(|n| format!("line {n}")).collect();
    assert_eq!(texts[2..12], expected, "in the order written, each once");
    assert_eq!(anns, bobs);
    assert!(anns.is_sorted_by(|a, b| a.0 < b.0), "{anns:?}");
}

#[test]
fn a_client_says_why_it_cannot_and_ends_with_a_code() {
    let server = Setup::builtin().start();
    let end = |command: &mut Command| {
        let output = command.stdin(Stdio::null()).output().expect("a client");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = end(command(&server, "ann").args(["--fingerprint", &"ab".repeat(32)]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("fingerprint"), "{text}");
    let (code, text) = end(command(&server, "ann").args(["--fingerprint", "abc"]));
    assert_eq!(code, Some(2), "{text}");
    let (code, text) = end(&mut command(&server, "ann"));
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = end(command(&server, "ann").env("CAUSERIE_PASSWORD", "another passphrase"));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("password"), "{text}");
    let (code, text) = end(command(&server, "ann").env_remove("CAUSERIE_PASSWORD"));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("CAUSERIE_PASSWORD"), "{text}");

    // Another certificate than the one seen first is refused.
    let known = server.folder().join("ann.client/known_servers");
    let text = std::fs::read_to_string(&known).expect("the first certificate was kept");
    let (name, _) = text.split_once(' ').expect("a name");
    std::fs::write(&known, format!("{name} sha256:{}\n", "cd".repeat(32))).expect("a file");
    let (code, text) = end(&mut command(&server, "ann"));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("not the one that is known"), "{text}");
}
