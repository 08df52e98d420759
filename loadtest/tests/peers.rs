//! Every server of loadtest/peers, started for real: a small run through its adapter passes the checker; and what a server that
//! numbers nothing loses, doubles or damages is found by sender and counter.
//!
//! `scripts/setup peers` makes the servers ready; without that these tests fail and say so. Centrifugo is in no registry that could
//! be asked for it and is not tried.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may stop where it stands")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use causerie_load::plan::Plan;
use causerie_load::report::{Report, Verdict};
use causerie_load::run;
use causerie_load::scenario::Scenario;
use causerie_load::target::Target;
use causerie_load::token::Issuer;

/// Twenty people speak for two seconds; ROOMS is the number of rooms that each is in.
const TALK: &str = r#"
    name = "peers"
    [population]
    connections = 20
    room_size = 5
    rooms_per_user = ROOMS
    [connect]
    settle_seconds = 0.2
    [[phase]]
    name = "talk"
    seconds = 2
    messages = { rate = 100 }
"#;

/// A peer that runs, and ends with the test.
struct Peer {
    process: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A path that `scripts/setup peers` makes.
#[track_caller]
fn made_ready(path: &str) -> PathBuf {
    let path = root().join(path);
    assert!(path.exists(), "{} is not there: run `scripts/setup peers` (Node and Go are needed)", path.display());
    path
}

fn node(name: &str) -> Command {
    made_ready(&format!("loadtest/peers/{name}/node_modules"));
    let mut command = Command::new("node");
    command.arg(root().join("loadtest/peers").join(name).join("server.mjs"));
    command
}

impl Peer {
    fn start(mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        command.args(["--listen", "127.0.0.1:0", "--certificate"]).arg(certificate).arg("--key").arg(key);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap_or_else(|why| panic!("{command:?}: {why}"));
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening 127.0.0.1:").map(|port| format!("localhost:{port}"));
        let address = address.unwrap_or_else(|| panic!("{command:?} said {line:?}"));
        Self { process, address, folder }
    }

    fn run(&self, adapter: &str, rooms: usize) -> Result<Report, causerie_load::Failure> {
        let certificate = self.folder.path().join("cert.pem");
        let target = Target::parse(&format!("wss://{}/", self.address), Some(&certificate))?;
        let scenario = Scenario::read(&TALK.replace("ROOMS", &rooms.to_string()))?.checked()?;
        let mut plan = Plan::new(target, scenario, Issuer::go42("a secret that nobody looks at"));
        adapter.clone_into(&mut plan.adapter);
        plan.server_pid = Some(self.process.id());
        run::run(&plan)
    }

    #[track_caller]
    fn passes(&self, adapter: &str) {
        let report = self.run(adapter, 2).unwrap();
        let talk = report.phases.iter().find(|phase| phase.name == "talk").unwrap();
        // Whether this machine is quiet enough for figures is not what is tested.
        assert!(report.verdict.faults.is_empty() && report.verdict.troubles.is_empty(), "{report:?}");
        assert_eq!((talk.planned, talk.sent, talk.acked, talk.unanswered), (200, 200, 200, 0), "{report:?}");
        // Each message to the four others of its room.
        assert_eq!((talk.delivered, talk.expected_deliveries), (800, 800), "{report:?}");
        assert!(report.verdict.checked.values().sum::<u64>() > 0, "{:?}", report.verdict);
    }
}

#[test]
fn ws_passes() {
    Peer::start(node("ws")).passes("raw");
}

#[test]
fn gorilla_passes() {
    Peer::start(Command::new(made_ready(".cache/servers/gorilla"))).passes("raw");
}

#[test]
fn socket_io_passes() {
    Peer::start(node("socketio")).passes("socketio");
}

/// Every fortieth delivery that `ws` would send is treated otherwise: `{}` is done instead. Its frame is one buffer, an ack's is two.
const FAULTY: &str = r#"
    import { createRequire } from "node:module";
    const { Sender } = createRequire(process.env.PEER_SERVER)("ws");
    const send = Sender.prototype.sendFrame;
    let count = 0;
    let kept = null;
    Sender.prototype.sendFrame = function (list, done) {
        const odd = list.length === 1 && list[0].includes("message ") && ++count % 40 === 0;
        if (odd) { {} } else send.call(this, list, done);
    };
"#;

/// What the checker finds when `ws` does this instead of sending, to people who are in so many rooms each.
fn verdict_when_ws(instead: &str, rooms: usize) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("faulty.mjs");
    std::fs::write(&module, FAULTY.replace("{}", instead)).unwrap();
    let mut command = node("ws");
    let server = command.get_args().next().unwrap().to_owned();
    command.env("PEER_SERVER", server).env("NODE_OPTIONS", format!("--import {}", module.display()));
    let report = Peer::start(command).run("raw", rooms).unwrap();
    assert!(!report.outcome.passed);
    report.verdict
}

fn found_when_ws(instead: &str) -> Vec<String> {
    verdict_when_ws(instead, 1).faults.into_keys().collect()
}

#[test]
fn a_lost_delivery_is_found() {
    assert_eq!(found_when_ws(""), ["gap"]);
}

#[test]
fn a_lost_delivery_is_named_whatever_else_its_sender_says_elsewhere() {
    // 800 deliveries, of which every fortieth is lost; and nothing is left that could not be told.
    let verdict = verdict_when_ws("", 3);
    assert_eq!(verdict.faults, [("gap".to_owned(), 20)].into(), "{:?}", verdict.words);
    let named: u32 = verdict.words.iter().map(|words| lost(words)).sum();
    assert_eq!(named, 20, "{:?}", verdict.words);
    assert!(!verdict.not_checked.iter().any(|words| words.contains("gap")), "{:?}", verdict.not_checked);
}

/// How many messages these words name as lost: `user 1 in room 2: 3 to 4 of user 5's messages there never came`.
#[track_caller]
fn lost(words: &str) -> u32 {
    let numbers: Vec<u32> = words
        .split(|c: char| !c.is_ascii_digit())
        .filter(|word| !word.is_empty())
        .map(|n| n.parse().unwrap())
        .collect();
    let [receiver, _, first, last, sender] = numbers[..] else { panic!("{words:?}") };
    assert!(receiver != sender && words.contains("user ") && words.contains(" in room "), "{words:?}");
    last - first + 1
}

#[test]
fn a_doubled_delivery_is_found() {
    assert_eq!(found_when_ws("send.call(this, list); send.call(this, list);"), ["duplicate"]);
}

#[test]
fn a_damaged_delivery_is_found() {
    let damage = "const other = Buffer.from(list[0]); other[other.length - 1] ^= 1; send.call(this, [other]);";
    assert_eq!(found_when_ws(damage), ["differs"]);
}
