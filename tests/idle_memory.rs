//! What an idle WebSocket costs the server in memory, alone in its process; the clients live in another one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::unwrap_in_result, clippy::panic)]
#![allow(clippy::wildcard_enum_match_arm)]

#[path = "transport/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "transport/server.rs"]
#[allow(dead_code)]
mod server;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use causerie::net::Admission;

use crate::client::{answer, config, tls_with, upgrade};
use crate::server::{Options, Server, Told};

/// Set for the process that plays the clients: address, certificate, how many.
const CLIENTS: &str = "CAUSERIE_TEST_IDLE_CLIENTS";

/// Not a test: what the other process runs.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn clients() {
    let Ok(told) = std::env::var(CLIENTS) else { return };
    let mut told = told.split(' ');
    let (address, cert, count) = (told.next().unwrap(), told.next().unwrap(), told.next().unwrap());
    let config = config(cert.as_ref(), &[&rustls::version::TLS13]);
    let open: Vec<_> = (0..count.parse().unwrap())
        .map(|_| {
            let mut stream = tls_with(address.parse().unwrap(), &config).unwrap();
            stream.write_all(upgrade("/ws/chat", "Authorization: Bearer good\r\n").as_bytes()).unwrap();
            assert_eq!(answer(&mut stream).status, 101);
            // A message, so that every buffer was used once.
            stream.write_all(&[0x81, 0x85, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o']).unwrap();
            stream
        })
        .collect();
    writeln!(std::io::stderr(), "ready").unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    drop(open);
}

fn hold(server: &Server, count: usize) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "clients", "--ignored", "--nocapture"])
        .env(CLIENTS, format!("{} {} {count}", server.address(), server.certs.cert_path().display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    assert!(stderr.lines().map_while(Result::ok).any(|line| line == "ready"), "the clients did not come up");
    child
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn an_idle_websocket_costs_little() {
    const COUNT: usize = 1000;
    let server = Server::start(Options { admission: Admission::new(5000, 5000), ..Options::default() });
    let wait = |count| {
        let mut texts = 0;
        while texts < count {
            if let Told::Text(..) = server.told() {
                texts += 1;
            }
        }
    };
    let mut first = hold(&server, 100);
    wait(100);
    let before = resident_bytes();
    let mut second = hold(&server, COUNT);
    wait(COUNT);
    let each = resident_bytes().saturating_sub(before) / COUNT;
    writeln!(std::io::stderr(), "an idle connection costs {each} bytes").unwrap();
    let files = open_files();
    for child in [&mut first, &mut second] {
        drop(child.stdin.take());
        child.wait().unwrap();
    }
    // The whole of an authenticated connection is to stay below 12 KiB; this is the transport's part of it.
    assert!(each < 8 * 1024, "{each} bytes");
    while server.admission.open() > 0 {
        std::thread::yield_now();
    }
    // Sockets go when the ring has let go of them: soon, but not at once.
    while open_files() + COUNT + 100 > files {
        std::thread::yield_now();
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
