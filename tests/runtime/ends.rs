//! How servers end: by a panic, by signals, by a failed start. Each in a process of its own: this test program, called again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use causerie::runtime::drain::{DrainSettings, Signals, serve_until_signal};
use causerie::runtime::{LaunchError, LaunchSettings, Pinning, ShardHandle, Work, launch};
use glommio::timer::sleep;

use crate::fake::{Fake, FakeSocket, opened};
use crate::{HANG, parts, settings};

const ROLE: &str = "CAUSERIE_TEST_ROLE";

/// Not a test by itself: what the child processes do.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let signals = Signals::listen().unwrap();
    let told = role.clone();
    let start = move |handle: ShardHandle| {
        let role = told.clone();
        async move {
            let socket = FakeSocket::new();
            let conn = handle.port.open(opened(""), socket.clone()).unwrap();
            let inner = handle.clone();
            match role.as_str() {
                "panic" => drop(handle.port.text(conn, "panic".to_owned())),
                "polite" => {
                    let held = handle.hold();
                    handle.port.text(conn, "store slow".to_owned());
                    handle.spawn(Work::Live, async move {
                        inner.gate.closed().await;
                        sleep(Duration::from_millis(100)).await;
                        drop(held);
                        println!("\nheld until the end; said {}", socket.all());
                    });
                }
                "stubborn" => {
                    handle.port.text(conn, "busy on".to_owned());
                    let held = handle.hold();
                    handle.spawn(Work::Live, async move {
                        inner.gate.closed().await;
                        println!("\ngate closed");
                        while socket.closed.get().is_none() {
                            sleep(Duration::from_millis(5)).await;
                        }
                        println!("\nclosed {:?}", socket.closed.get());
                        drop(held);
                    });
                }
                other => panic!("{other}"),
            }
            Ok(())
        }
    };
    let server = launch(&settings(), parts(1), |id, _| Fake::new(id), start).unwrap();
    println!("\nready");
    let deadline_ms = if std::env::var("LONG").is_ok() { 60_000 } else { 300 };
    let drain = DrainSettings { window_ms: 77, deadline_ms: if role == "polite" { 60_000 } else { deadline_ms } };
    let drained = serve_until_signal(&server, signals, drain, || println!("\nreloaded"), || {}).unwrap();
    println!("\ndrained, forced {}", drained.forced);
    std::process::exit(0);
}

struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(role: &str, envs: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ends::child", "--nocapture"])
            .env(ROLE, role)
            .envs(envs.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tx, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = tx.send(line);
            }
        });
        Self { child, lines }
    }

    fn wait_line(&self, begin: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(HANG).unwrap_or_else(|why| panic!("no line {begin:?}: {why}"));
            if line.starts_with(begin) {
                return line;
            }
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn code(mut self) -> Option<i32> {
        let end = std::time::Instant::now() + HANG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            if std::time::Instant::now() > end {
                self.child.kill().unwrap();
                panic!("the child does not end");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_panic_on_a_shard_ends_the_process_with_a_code() {
    assert_eq!(Running::start("panic", &[]).code(), Some(1));
}

#[test]
fn sigterm_drains_and_ends_with_0_when_all_is_done() {
    let server = Running::start("polite", &[]);
    server.wait_line("ready");
    server.signal(rustix::process::Signal::HUP);
    server.wait_line("reloaded");
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait_line("held"), "held until the end; said drain 77|");
    assert_eq!(server.wait_line("drained"), "drained, forced 0");
    assert_eq!(server.code(), Some(0));
}

#[test]
fn a_stubborn_socket_is_closed_at_the_deadline() {
    let server = Running::start("stubborn", &[]);
    server.wait_line("ready");
    server.signal(rustix::process::Signal::INT);
    server.wait_line("gate closed");
    assert_eq!(server.wait_line("closed"), "closed Some(Draining)");
    assert_eq!(server.wait_line("drained"), "drained, forced 1");
    assert_eq!(server.code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let server = Running::start("stubborn", &[("LONG", "1")]);
    server.wait_line("ready");
    server.signal(rustix::process::Signal::TERM);
    server.wait_line("gate closed");
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.code(), Some(1));
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing_running() {
    let failed = launch(
        &settings(),
        parts(2),
        |id, _| Fake::new(id),
        |handle: ShardHandle| async move {
            if handle.id.0 == 1 { Err("cannot listen on 1.2.3.4:5: in use".to_owned()) } else { Ok(()) }
        },
    );
    match failed.err() {
        Some(LaunchError::Start { shard: 1, why }) => assert_eq!(why, "cannot listen on 1.2.3.4:5: in use"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn cores_are_checked_before_anything_starts() {
    let settings = LaunchSettings { pinning: Pinning::Cores(vec![0]), ..LaunchSettings::default() };
    let failed = launch(&settings, parts(2), |id, _| Fake::new(id), |_| async { Ok(()) });
    assert!(matches!(failed.err(), Some(LaunchError::FewCores { given: 1, shards: 2 })));
    let settings = LaunchSettings { pinning: Pinning::Cores(vec![9999]), ..LaunchSettings::default() };
    let failed = launch(&settings, parts(1), |id, _| Fake::new(id), |_| async { Ok(()) });
    assert!(matches!(failed.err(), Some(LaunchError::Executor { shard: 0, .. })));
}
