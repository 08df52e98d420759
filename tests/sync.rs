//! Acked means on disk: with the syncs of the server delayed from outside no ack comes earlier than the delay, with them failing
//! no ack comes at all. SIGKILL cannot show this, since the page cache survives it.
//!
//! strace attaches to the running server and tampers with `fdatasync` and `fsync`. That both tests fail without the sync was seen
//! by hand: `append` in `src/store/embedded/log.rs` without its `sync_data` lets the acks of the first test come after three
//! milliseconds and those of the second come at all.

// A test may fail loudly, and prints what it measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::unwrap_in_result, clippy::panic, clippy::print_stderr)]
#![allow(clippy::wildcard_enum_match_arm, clippy::needless_pass_by_value, clippy::needless_for_each)]
#![allow(missing_docs)]

mod support;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::socket::{chat, code};
use support::{Server, eventually};
use uuid::Uuid;

const DELAY: Duration = Duration::from_millis(400);

/// strace on a server, until dropped.
struct Tamper(Child);

impl Tamper {
    fn with(server: &Server, inject: &str) -> Self {
        let log = server.folder().join(format!("strace-{}.log", Uuid::now_v7()));
        let stderr = fs::File::create(&log).expect("a file");
        let child = Command::new("strace")
            .args(["-f", "-qq", "-p", &server.pid().to_string(), "-o", "/dev/null"])
            .args([
                "-e",
                "trace=fdatasync,fsync,sync_file_range,msync",
                "-e",
                &format!("inject=fdatasync,fsync:{inject}"),
            ])
            .stdin(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("strace runs (scripts/setup installs it)");
        let mut tamper = Self(child);
        // Attached when every thread of the server has a tracer.
        let pid = server.pid();
        eventually("strace attached", || {
            if let Some(status) = tamper.0.try_wait().expect("waiting for a child") {
                panic!("strace ended with {status}: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            let traced = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten().all(|task| {
                let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
                status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
            });
            traced.then_some(())
        });
        tamper
    }
}

impl Drop for Tamper {
    fn drop(&mut self) {
        // On SIGTERM strace lets go of the server, which goes on by itself.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn no_ack_and_no_delivery_comes_before_the_sync() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let (mut anns, mut bobs) = (ann.connect(), bob.connect());
    anns.chat(room, "a first one, so that all is loaded");
    bobs.message(room);

    let tamper = Tamper::with(&server, &format!("delay_enter={}", DELAY.as_micros()));
    for n in 0..5 {
        let since = Instant::now();
        let id = anns.say(room, &format!("message {n}"));
        // Bob's frame may come before Ann's ack or after; neither before the sync.
        assert_eq!(bobs.message(room)["content"], format!("message {n}"));
        let delivered = since.elapsed();
        assert_eq!(anns.answer(id)["type"], "ack");
        let acked = since.elapsed();
        eprintln!("delivered after {delivered:?}, acked after {acked:?}");
        assert!(delivered >= DELAY, "delivered after {delivered:?}, before it was on disk");
        assert!(acked >= DELAY, "acked after {acked:?}, before it was on disk");
    }
    // The same over REST, and for what is no message.
    let since = Instant::now();
    let path = format!("/api/v1/chat/rooms/{room}/messages");
    let key = Uuid::now_v7().to_string();
    let answer = ann.call_with("POST", &path, &[("Idempotency-Key", &key)], Some(&json!({"content": "x"})));
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert!(since.elapsed() >= DELAY, "{:?}", since.elapsed());
    let since = Instant::now();
    ann.room("Another", "private");
    assert!(since.elapsed() >= DELAY, "{:?}", since.elapsed());
    drop(tamper);
}

#[test]
fn when_syncs_fail_nothing_is_acked_or_delivered() {
    let mut server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let (mut anns, mut bobs) = (ann.connect(), bob.connect());
    anns.chat(room, "before");
    bobs.message(room);

    let tamper = Tamper::with(&server, "error=EIO");
    let ids: Vec<Uuid> = (0..5).map(|n| anns.say(room, &format!("message {n}"))).collect();
    for &id in &ids {
        let answer = anns.answer(id);
        assert_eq!(answer["type"], "error", "acked although nothing reached the disk: {answer}");
        assert_eq!(code(&answer), "storage_unavailable", "{answer}");
    }
    bobs.fence();
    assert_eq!(bobs.messages(room).len(), 1, "delivered although nothing reached the disk: {:?}", bobs.messages(room));
    assert_eq!(bobs.ask(json!({"type": "history", "room_id": room}))["type"], "history", "reads go on");
    drop(tamper);

    // The disk is back: the same ids are taken, each once.
    let text = |n: usize| format!("message {n}");
    for (n, &id) in ids.iter().enumerate() {
        eventually("an ack when the disk is back", || {
            anns.send(&chat(room, id, &text(n)));
            let answer = anns.expect("an answer", |f| f["id"] == json!(id));
            support::wait_out(Duration::from_millis(100));
            (answer["type"] == "ack").then_some(())
        });
    }
    let check = || {
        let page = bob.page(room, "after=0");
        let rows = page["messages"].as_array().expect("messages");
        for n in 0..5 {
            let stored = rows.iter().filter(|m| m["content"] == text(n)).count();
            assert_eq!(stored, 1, "message {n} is stored {stored} times: {page}");
        }
    };
    check();
    server.restart();
    check();
}
