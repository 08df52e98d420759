//! Oversize, truncated, duplicated, slow and senseless input: each ends in a clear answer or a close, and others do not notice.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use causerie_load::tls;
use serde_json::json;
use tungstenite::Message;
use uuid::Uuid;

use crate::support::{Server, Setup};

/// The server answers others as if nothing had been.
fn alive(server: &Server) {
    let ann = server.person("witness");
    ann.connect().fence();
    assert_eq!(server.call("GET", "/readyz", None).status, 200);
}

#[test]
fn a_frame_that_is_too_large_is_refused() {
    let server = Server::start();
    let ann = server.person("ann");
    let mut socket = ann.connect();
    socket.send_text(&format!("{{\"type\":\"rooms\",\"x\":\"{}\"}}", "x".repeat(200_000)));
    let code = socket.closed();
    assert!(matches!(code, 1009 | 4400), "{code}");
    alive(&server);
}

#[test]
fn binary_frames_and_broken_utf_8_violate_the_protocol() {
    let server = Server::start();
    let ann = server.person("ann");
    let mut socket = ann.connect();
    socket.client.send_message(Message::binary(vec![1, 2, 3])).expect("sent");
    let code = socket.closed();
    assert!(matches!(code, 1003 | 4400), "{code}");

    let mut socket = ann.connect();
    // A masked text frame (mask 0) with a byte that is no UTF-8.
    let stream = socket.client.stream();
    stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28]).expect("sent");
    stream.flush().expect("sent");
    let code = socket.closed();
    assert!(matches!(code, 1007 | 4400), "{code}");
    alive(&server);
}

#[test]
fn deep_json_and_doubled_keys_break_nothing() {
    let server = Server::start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    let mut socket = ann.connect();
    let deep = format!("{{\"type\":\"rooms\",\"x\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    socket.send_text(&deep);
    socket.expect("an answer", |f| matches!(f["type"].as_str(), Some("error" | "rooms")));
    let (id, text) = (Uuid::now_v7(), "x");
    socket.send_text(&format!(
        "{{\"type\":\"chat\",\"type\":\"leave\",\"id\":\"{id}\",\"room_id\":\"{room}\",\"content\":\"{text}\"}}"
    ));
    socket.fence();
    socket.send_text("{\"type\":\"chat\",\"metadata\":{\"a\":1,\"a\":2}}");
    socket.fence();
    alive(&server);
}

#[test]
fn frames_byte_by_byte_are_frames() {
    let server = Server::start();
    let ann = server.person("ann");
    let mut socket = ann.connect();
    let id = Uuid::now_v7();
    let payload = format!("{{\"type\":\"rooms\",\"id\":\"{id}\"}}");
    let length = u8::try_from(payload.len()).expect("short");
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(payload.as_bytes());
    for byte in frame {
        let stream = socket.client.stream();
        stream.write_all(&[byte]).expect("sent");
        stream.flush().expect("sent");
    }
    assert_eq!(socket.answer(id)["type"], "rooms");
}

#[test]
fn connections_cut_at_any_point_leave_nothing_behind() {
    let server = Server::start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    // In the middle of TLS, of the head, of the upgrade, of a frame.
    for bytes in [&b""[..], &[0x16, 0x03, 0x01][..], &[0x16, 0x03, 0x01, 0xff, 0xff, 1, 2, 3][..], &[0xff; 600][..]] {
        let mut tcp = TcpStream::connect(server.address()).expect("a connection");
        tcp.write_all(bytes).expect("written");
        tcp.shutdown(Shutdown::Write).expect("shut");
        let _ = tcp.read(&mut [0; 64]);
    }
    let head = format!("GET /ws/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n", ann.token);
    for cut in [1, 10, head.len() / 2, head.len()] {
        let mut stream = tls::connect(&server.address(), &server.config()).expect("a connection");
        stream.write_all(&head.as_bytes()[..cut]).expect("written");
        drop(stream);
    }
    for part in [&[0x81][..], &[0x81, 0xfe, 0xff][..], &[0x81, 0x85, 1, 2, 3, 4, b'h'][..]] {
        let mut socket = ann.connect();
        socket.client.stream().write_all(part).expect("written");
        drop(socket);
    }
    let mut last = ann.connect();
    last.chat(room, "still here");
    crate::support::eventually("all but one are gone", || {
        (server.metric("causerie_connections_active", &[]) <= 1.0).then_some(())
    });
}

#[test]
fn slow_heads_are_cut_and_hold_nobody_up() {
    let server = Setup::default().set("timeouts.head_ms", 1000).set("timeouts.handshake_ms", 1000).start();
    let mut slow: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = tls::connect(&server.address(), &server.config()).expect("a connection");
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nX-Slow: ").expect("written");
            stream
        })
        .collect();
    let mut deaf: Vec<_> = (0..50).map(|_| TcpStream::connect(server.address()).expect("a connection")).collect();
    alive(&server); // while they all hang
    for stream in &mut slow {
        stream.sock.set_read_timeout(Some(Duration::from_mins(1))).expect("a limit");
        let mut rest = Vec::new();
        // An answer (408) or nothing, but an end.
        let ended = stream.read_to_end(&mut rest);
        assert!(!matches!(&ended, Err(why) if why.kind() == std::io::ErrorKind::WouldBlock), "never cut: {ended:?}");
    }
    for tcp in &mut deaf {
        tcp.set_read_timeout(Some(Duration::from_mins(1))).expect("a limit");
        let mut rest = Vec::new();
        let ended = tcp.read_to_end(&mut rest);
        assert!(!matches!(&ended, Err(why) if why.kind() == std::io::ErrorKind::WouldBlock), "never cut: {ended:?}");
    }
}

#[test]
fn large_heads_and_bodies_are_refused() {
    let server = Server::start();
    let ann = server.person("ann");
    let long = "x".repeat(100_000);
    // An error is fine too: cut while it was still being sent.
    if let Ok(answer) = ann.try_call("GET", "/readyz", &[("X-Long", &long)]) {
        assert!((400..500).contains(&answer.status), "{}", answer.status);
    }
    let body = json!({"name": "x".repeat(3_000_000), "type": "public"});
    if let Ok(answer) = ann.http().call("POST", "/api/v1/chat/rooms", Some(&ann.token), &[], Some(&body)) {
        assert_eq!(answer.status, 413, "{}", answer.text());
    }
    for bad in ["", "{", "[]", "\"x\"", "{\"name\":5}"] {
        let answer = post_text(&server, &ann.token, bad, "application/json");
        assert!(matches!(answer, 400 | 422), "{bad:?}: {answer}");
    }
    assert!(matches!(post_text(&server, &ann.token, "name=x", "text/plain"), 400 | 415 | 422));
    alive(&server);
}

fn post_text(server: &Server, token: &str, body: &str, kind: &str) -> u16 {
    let mut stream = tls::connect(&server.address(), &server.config()).expect("a connection");
    let request = format!(
        "POST /api/v1/chat/rooms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("written");
    let mut reader = std::io::BufReader::new(stream);
    causerie_load::http::read_answer(&mut reader).expect("an answer").status
}
