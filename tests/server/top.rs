//! `causerie top` over the real binary: what it says agrees with what was done, and a wrong server is refused.

use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::server::certificate;
use crate::support::{Server, Setup, eventually};

fn top(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_causerie"));
    command.args(["top", "--target", &format!("https://{}", server.admin_address())]).args(arguments);
    command.current_dir(server.folder()).env("CAUSERIE_STATE", server.folder().join("state")).stdin(Stdio::null());
    command
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[test]
fn the_numbers_agree_with_what_was_done() {
    let server =
        Setup::default().set("limits.messages_per_second", 10_000).set("limits.messages_burst", 10_000).start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let (mut anns, mut bobs) = (ann.connect(), bob.connect());
    let data = server.data.to_str().expect("a path").to_owned();
    let done = AtomicBool::new(false);
    let (view, sent) = thread::scope(|scope| {
        let talk = scope.spawn(|| {
            let mut sent = 0_u32;
            while !done.load(Ordering::Relaxed) {
                anns.chat(room, &format!("message {sent}"));
                bobs.message(room);
                sent += 1;
            }
            sent
        });
        let output = top(&server, &["--data-dir", &data, "--once", "--json", "--interval", "1"]).output();
        done.store(true, Ordering::Relaxed);
        let sent = talk.join().expect("talking");
        (json(&output.expect("it runs")), sent)
    });
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("no number in {view}"));
    assert_eq!(view["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(view["shards"].as_array().map(Vec::len), Some(2));
    let seconds = number(&view["interval_seconds"]);
    assert!(seconds >= 1.0, "{seconds}");
    // All that was sent was sent around the interval: no more can have been in it.
    let messages = number(&view["all"]["messages"]) * seconds;
    assert!(messages >= 1.0 && messages <= f64::from(sent) + 0.5, "{messages} of {sent}");
    let by_shard: f64 = view["shards"].as_array().expect("shards").iter().map(|shard| number(&shard["messages"])).sum();
    assert!((by_shard * seconds - messages).abs() < 0.01, "{view}");
    assert!(number(&view["all"]["connections"]) >= 2.0);
    assert!(number(&view["all"]["received_to_acked"]["p99_ms"]) > 0.0);
    assert!(number(&view["store"]["writes_per_commit"]) >= 1.0);
    for known in ["resident_bytes", "memory_limit_bytes", "open_files", "max_files", "certificate_ends"] {
        assert!(number(&view["process"][known]) > 0.0, "{known}");
    }
    assert!(view["process"]["threads"].as_object().is_some_and(|threads| !threads.is_empty()), "{view}");
}

#[test]
fn only_the_right_server_is_believed() {
    let (server, other) = (Server::start(), Server::start());
    let look = |certificate: &str| top(&server, &["--certificate", certificate, "--once"]).output().expect("it runs");
    let file = |of: &Server| certificate(&of.data).expect("its certificate").to_str().expect("a path").to_owned();
    let right = look(&file(&server));
    assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));
    let table = String::from_utf8(right.stdout).expect("text");
    assert!(table.contains("received → acked") && table.contains("writes per commit"), "{table}");
    let wrong = look(&file(&other));
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("the server's fingerprint is"), "{wrong:?}");
    // Everybody's port has no numbers, and says where they are.
    let public = format!("https://{}", server.address());
    let lost = top(&server, &["--insecure", "--once", "--target", &public]).output().expect("it runs");
    assert_eq!(lost.status.code(), Some(2), "--target was given twice: {lost:?}");
    let lost = Command::new(env!("CARGO_BIN_EXE_causerie"))
        .args(["top", "--insecure", "--once", "--target", &public])
        .output()
        .expect("it runs");
    assert_eq!(lost.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&lost.stderr).contains("server.admin_listen"), "{lost:?}");
}

#[test]
fn a_server_that_goes_and_comes_back_is_no_end() {
    use std::io::{BufRead as _, BufReader};

    let mut server = Server::start();
    let data = server.data.to_str().expect("a path").to_owned();
    let mut child = top(&server, &["--data-dir", &data, "--json", "--interval", "0.1"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut until = |what: &str, wanted: &dyn Fn(&Value) -> bool| {
        eventually(what, || {
            let line: Value = serde_json::from_str(&lines.next()?.ok()?).ok()?;
            wanted(&line).then_some(line)
        })
    };
    let running = |line: &Value| line["interval_seconds"].is_number();
    let first = until("numbers", &running);
    server.kill();
    until("that it is away", &|line| line["error"].is_string());
    server.restart();
    let between = until("that it is another process", &|line| line["error"].is_null());
    assert!(between["interval_seconds"].is_null() && between["all"]["messages"].is_null(), "{between}");
    let again = until("numbers", &running);
    assert!(again["process"]["started"].as_f64() > first["process"]["started"].as_f64());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).expect("a signal");
    child.wait().expect("its end");
}
