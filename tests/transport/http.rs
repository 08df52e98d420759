//! HTTP: keep-alive, limits of size and time, headers, pipelining.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use axum::extract::Extension;
use axum::routing::{get, post};
use causerie::net::{Peer, Settings};

use crate::client::{answer, ask, closed, tls};
use crate::server::{Options, Server};

fn router() -> axum::Router {
    axum::Router::new()
        .route("/hello", get(async || "hello"))
        .route("/peer", get(async |Extension(peer): Extension<Peer>| peer.0.to_string()))
        .route("/size", post(async |body: bytes::Bytes| body.len().to_string()))
        .route("/big", get(async || "x".repeat(3_000_000)))
        .route("/never", get(async || std::future::pending::<String>().await))
}

fn start(settings: Settings) -> Server {
    Server::start(Options { router: router(), settings, ..Options::default() })
}

const HELLO: &str = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn post_of(body: &str) -> String {
    format!("POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_connection_serves_one_request_after_another_also_when_they_come_at_once() {
    let server = start(Settings::default());
    let mut stream = tls(&server);
    for _ in 0..3 {
        assert_eq!(ask(&mut stream, HELLO).body, "hello");
    }
    assert_eq!(ask(&mut stream, &post_of(&"x".repeat(100_000))).body, "100000");
    assert_eq!(ask(&mut stream, "GET /peer HTTP/1.1\r\nHost: localhost\r\n\r\n").body, "127.0.0.1");
    let big = ask(&mut stream, "GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(big.body.len(), 3_000_000);
    stream.write_all(HELLO.repeat(50).as_bytes()).unwrap();
    for _ in 0..50 {
        assert_eq!(answer(&mut stream).body, "hello");
    }
}

#[test]
fn every_answer_carries_the_security_headers_and_an_id() {
    let server = start(Settings::default());
    let mut stream = tls(&server);
    for path in ["/hello", "/nothing-here", "/ws/chat"] {
        let got = ask(&mut stream, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert!(got.header("strict-transport-security").unwrap().starts_with("max-age="));
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
        assert!(got.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
        assert_eq!(got.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(got.header("cache-control"), Some("no-store"));
        assert_eq!(got.header("cross-origin-resource-policy"), Some("same-origin"));
        assert!(got.header("permissions-policy").unwrap().contains("camera=()"));
        assert_eq!(got.header("x-request-id").unwrap().len(), 36);
    }
}

#[test]
fn too_large_a_head_is_431_and_too_large_a_body_413() {
    let server = start(Settings { body_bytes: 5000, ..Settings::default() });
    let mut stream = tls(&server);
    stream.write_all(format!("GET /hello HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(40_000)).as_bytes()).unwrap();
    assert_eq!(answer(&mut stream).status, 431);
    assert!(closed(&mut stream));

    assert_eq!(ask(&mut tls(&server), &post_of(&"x".repeat(5000))).body, "5000");
    let mut stream = tls(&server);
    stream.write_all(post_of(&"x".repeat(5001)).as_bytes()).unwrap();
    let got = answer(&mut stream);
    assert_eq!(got.status, 413);
    assert!(got.body.contains("too_large"), "{}", got.body);

    let mut stream = tls(&server);
    stream.write_all(b"POST /size HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    for _ in 0..6 {
        // The server may have closed already.
        let _ = stream.write_all(format!("3e8\r\n{}\r\n", "z".repeat(1000)).as_bytes());
    }
    assert_eq!(answer(&mut stream).status, 413);
}

#[test]
fn a_slow_head_and_a_slow_body_end_with_408_while_others_are_served() {
    let short = Duration::from_millis(300);
    let server = start(Settings { head_time: short, request_time: short, ..Settings::default() });
    let mut slow: Vec<_> = (0..20).map(|_| tls(&server)).collect();
    for (n, stream) in slow.iter_mut().enumerate() {
        let begin = if n % 2 == 0 {
            "GET /hello HTTP/1.1\r\nHost: lo"
        } else {
            "POST /size HTTP/1.1\r\nContent-Length: 9\r\n\r\nx"
        };
        stream.write_all(begin.as_bytes()).unwrap();
    }
    assert_eq!(ask(&mut tls(&server), HELLO).body, "hello");
    for stream in &mut slow {
        let got = answer(stream);
        assert_eq!(got.status, 408);
        assert!(got.body.contains("\"timeout\""), "{}", got.body);
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
        assert!(closed(stream));
    }
    let mut silent = tls(&server);
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0, "nothing was asked, nothing is answered");
}

#[test]
fn bytes_that_trickle_do_not_prolong_a_head() {
    let server = start(Settings { head_time: Duration::from_millis(300), ..Settings::default() });
    let mut stream = tls(&server);
    // Takes the session tickets in, so that the next bytes to be seen are an answer.
    assert_eq!(ask(&mut stream, HELLO).body, "hello");
    stream.write_all(b"GET /hello HTTP/1.1\r\n").unwrap();
    let mut lines = 0;
    while stream.write_all(b"x: y\r\n").is_ok() && lines < 3000 {
        lines += 1;
        std::thread::sleep(Duration::from_millis(20));
        stream.sock.set_nonblocking(true).unwrap();
        let seen = stream.sock.peek(&mut [0; 1]);
        stream.sock.set_nonblocking(false).unwrap();
        if seen.is_ok() {
            break;
        }
    }
    assert!(lines < 3000, "it was ended");
    assert_eq!(answer(&mut stream).status, 408);
}

#[test]
fn an_idle_connection_and_a_handler_that_never_answers_are_ended() {
    let short = Duration::from_millis(200);
    let server = start(Settings { idle_time: short, request_time: short, ..Settings::default() });
    let mut stream = tls(&server);
    assert_eq!(ask(&mut stream, HELLO).body, "hello");
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "idle for too long: closed in order");
    let mut stream = tls(&server);
    assert_eq!(ask(&mut stream, "GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 503);
}

#[test]
fn who_does_not_read_its_answer_is_ended() {
    let server = start(Settings {
        request_time: Duration::from_millis(300),
        linger_time: Duration::from_millis(100),
        ..Settings::default()
    });
    let mut stream = tls(&server);
    // More than the buffers of the kernel hold.
    stream.write_all("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20).as_bytes()).unwrap();
    while server.admission.open() > 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_no_http_is_a_400() {
    let server = start(Settings::default());
    let mut stream = tls(&server);
    stream.write_all(b"\x00\x01\x02 what\r\n\r\n").unwrap();
    assert_eq!(answer(&mut stream).status, 400);
    assert!(closed(&mut stream));
}
