//! Two clients with other people's libraries (Node's `ws`, Python's `websockets`), written by docs/protocol.md alone, talk to each other
//! through the real binary: both ways, one killed and back with nothing missing, an answer lost and asked for again.
//!
//! The test says what to do and reads what happened; what the peers do about positions and retries is theirs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::unwrap_in_result, clippy::panic, clippy::print_stderr)]
#![allow(clippy::wildcard_enum_match_arm, clippy::needless_pass_by_value, clippy::needless_for_each)]
#![allow(missing_docs)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

#[path = "support/mod.rs"]
mod support;

use support::{Server, Setup, WATCHDOG};

const PASSWORD: &str = "a long enough passphrase";

/// A folder for what is installed, beside the build.
fn place() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers")
}

fn ours(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(file)
}

fn run(command: &mut Command) {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Installs a file's packages when they are not those that were installed.
fn install(file: &str, stamp: &str, install: impl FnOnce()) {
    let (wanted, stamp) = (std::fs::read(ours(file)).expect("a file of ours"), place().join(stamp));
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return;
    }
    std::fs::create_dir_all(place()).expect("a folder");
    install();
    std::fs::write(stamp, wanted).expect("a stamp");
}

fn node() -> Command {
    install("package-lock.json", "node.stamp", || {
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(ours(file), place().join(file)).expect("a copy");
        }
        run(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(place()));
    });
    let mut command = Command::new("node");
    command.arg(ours("peer.mjs")).env("PEER_MODULES", place());
    command
}

fn python() -> Command {
    let environment = place().join("python");
    let python = environment.join("bin/python");
    install("requirements.txt", "python.stamp", || {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        run(Command::new(&python).args(pip).arg(ours("requirements.txt")));
    });
    let mut command = Command::new(python);
    command.arg(ours("peer.py"));
    command
}

struct Peer {
    name: &'static str,
    child: Child,
    stdin: ChildStdin,
    events: Receiver<Value>,
    /// Every event of the room that it ever showed, over all its lives: (seq, content).
    shown: Vec<(u64, Option<String>)>,
}

impl Peer {
    fn start(name: &'static str, mut command: Command, server: &Server) -> Self {
        let certificate = support::server::certificate(&server.data).expect("the server's certificate");
        command.arg(server.address()).arg(certificate).arg(server.folder().join(format!("{name}.state")));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a peer");
        let (stdin, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let (to, events) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if to.send(serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"))).is_err() {
                    return;
                }
            }
        });
        Self { name, child, stdin, events, shown: Vec::new() }
    }

    fn tell(&mut self, command: &Value) {
        writeln!(self.stdin, "{command}").expect("the peer listens");
    }

    /// The next event of this name; events of the room on the way are noted, a hole or a failure is the end.
    fn await_event(&mut self, wanted: &str) -> Value {
        loop {
            let event = match self.events.recv_timeout(WATCHDOG) {
                Ok(event) => event,
                Err(error) => panic!("{}: {wanted} never came: {error}", self.name),
            };
            let name = event["event"].as_str().expect("a name");
            assert!(!matches!(name, "failed" | "hole" | "reload" | "refused"), "{}: {event}", self.name);
            if matches!(name, "chat" | "join" | "leave" | "system" | "delete") {
                self.shown.push((event["seq"].as_u64().expect("a seq"), event["content"].as_str().map(str::to_owned)));
            }
            if name == wanted {
                return event;
            }
        }
    }

    /// Waits until a message with this text was shown.
    fn sees(&mut self, content: &str) -> Value {
        loop {
            let event = self.await_event("chat");
            if event["content"] == content {
                return event;
            }
        }
    }

    fn enter(&mut self, how: &str) {
        self.tell(&json!({"do": how, "username": self.name, "password": PASSWORD}));
        self.await_event("signed_in");
        self.tell(&json!({"do": "connect"}));
        self.await_event("hello");
    }

    fn say(&mut self, room: &Value, content: &str) {
        self.tell(&json!({"do": "say", "room": room, "content": content}));
    }

    fn kill(mut self) -> Vec<(u64, Option<String>)> {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it ends");
        std::mem::take(&mut self.shown)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn clients_with_other_peoples_libraries_talk() {
    let (node, python) = (node, python);
    let mut server = Setup::builtin().start();
    let mut ann = Peer::start("ann", node(), &server);
    let mut bob = Peer::start("bob", python(), &server);

    ann.enter("signup");
    bob.enter("signup");
    ann.tell(&json!({"do": "create", "name": "Café <general>"}));
    let room = ann.await_event("room")["room_id"].clone();
    bob.tell(&json!({"do": "find", "name": "Café <general>"}));
    assert_eq!(bob.await_event("room")["room_id"], room);
    bob.tell(&json!({"do": "join", "room": room}));
    bob.await_event("joined");
    ann.await_event("join");

    // Both ways, and text exactly as written.
    let text = "hello <b>Bob</b> & \u{2028} \"quotes\" \\ 中文 😀\n\tsecond line";
    ann.say(&room, text);
    ann.await_event("acked");
    assert_eq!(bob.sees(text)["mine"], json!(false));
    bob.say(&room, "hello Ann");
    ann.sees("hello Ann");
    bob.sees("hello Ann");

    // Bob is killed; Ann goes on talking while he is away and while he comes back.
    let mut bobs = bob.kill();
    for n in 0..15 {
        ann.say(&room, &format!("while you were away {n}"));
    }
    ann.sees("while you were away 9");
    let mut bob = Peer::start("bob", python(), &server);
    bob.enter("login");
    bob.sees("while you were away 14");

    // An answer is lost: the socket is gone before it can come. The retry gives it, and the message is there once.
    ann.tell(&json!({"do": "say", "room": room, "content": "lost answer", "drop": true}));
    ann.await_event("closed");
    let acked = ann.await_event("acked");
    assert_eq!(bob.sees("lost answer")["seq"], acked["seq"]);

    // The same id again is the first answer again.
    ann.tell(&json!({"do": "say", "room": room, "content": "lost answer", "id": acked["id"]}));
    let again = ann.await_event("acked");
    assert_eq!(again["duplicate"], json!(true));
    assert_eq!((&again["seq"], &again["message_id"]), (&acked["seq"], &acked["message_id"]));

    // The server is killed and comes back; both go on by themselves.
    bob.say(&room, "before the crash");
    bob.sees("before the crash");
    server.restart();
    bob.say(&room, "after the crash");
    ann.sees("after the crash");
    ann.say(&room, "the end");
    bob.sees("the end");
    ann.sees("the end");

    // Both showed the same log, each event once, in order, with nothing missing; and it is what the server has.
    ann.tell(&json!({"do": "history", "room": room, "limit": 100}));
    let kept = ann.await_event("history")["messages"].clone();
    let log: Vec<(u64, Option<String>)> = kept
        .as_array()
        .expect("a page")
        .iter()
        .map(|event| (event[0].as_u64().expect("a seq"), event[2].as_str().map(str::to_owned)))
        .collect();
    bobs.append(&mut bob.shown);
    for (name, shown) in [("ann", &ann.shown), ("bob", &bobs)] {
        let first = shown.first().expect("something").0;
        let from = log.iter().position(|(seq, _)| *seq == first).expect("it is in the log");
        assert_eq!(shown[..], log[from..], "{name}");
    }
    assert!(log.len() >= 20);
}
