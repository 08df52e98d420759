//! Both ways of authentication, and what happens to a socket that has none, a bad one, or a page of a strange origin behind it.

use std::time::Instant;

use causerie_load::client::Refused;
use serde_json::json;
use uuid::Uuid;

use crate::support::{Server, Setup};

#[test]
fn a_token_in_the_header_or_in_the_first_frame_opens_the_same_chat() {
    let server = Server::start();
    let ann = server.person("ann");
    let device = Uuid::now_v7();

    let by_header = ann.connect();
    let by_frame = ann.connect_by_frame(&json!({"device_id": device}));
    for socket in [&by_header, &by_frame] {
        let metadata = &socket.hello["metadata"];
        assert_eq!(metadata["protocol"], 1);
        assert_eq!(metadata["user"]["user_id"], json!(ann.user_id));
        assert!(metadata["limits"].is_object() && metadata["heartbeat_ms"].is_u64(), "{metadata}");
    }
    assert_eq!(by_frame.hello["metadata"]["device_id"], json!(device));
}

#[test]
fn a_bad_token_in_the_header_is_refused_before_the_upgrade() {
    let server = Server::start();
    let ann = server.person("ann");
    let expired = server.issuer().token(ann.user_id, "ann", -3600);
    for token in ["garbage", "", "a.b.c", &expired] {
        let mut other = ann.clone();
        token.clone_into(&mut other.token);
        match other.try_open(&[]) {
            Err(Refused::Status { status, body }) => {
                assert_eq!(status, 401, "{body}");
            }
            Err(other) => panic!("{token:?}: {other}"),
            Ok(_) => panic!("{token:?} opened a socket"),
        }
    }
}

#[test]
fn a_bad_token_in_the_first_frame_closes_with_4401() {
    let server = Server::start();
    let ann = server.person("ann");
    let expired = server.issuer().token(ann.user_id, "ann", -3600);
    for token in ["garbage", "", &expired] {
        let mut socket = ann.silent();
        socket.send(&json!({"type": "auth", "content": token}));
        assert_eq!(socket.closed(), 4401, "{token:?}");
        assert!(!socket.seen.iter().any(|f| f["type"] == "hello"));
    }
}

#[test]
fn nothing_is_answered_before_authentication() {
    let server = Server::start();
    let ann = server.person("ann");
    let room = ann.room("open to all", "public");
    let mut socket = ann.silent();
    socket.send(&json!({"type": "history", "room_id": room}));
    let code = socket.closed();
    assert!(matches!(code, 4400 | 4401), "{code}");
    assert!(socket.seen.iter().all(|f| f["type"] == "error"), "{:?}", socket.seen);
}

#[test]
fn who_says_nothing_is_closed_with_4401_after_five_seconds() {
    let server = Server::start();
    let ann = server.person("ann");
    let since = Instant::now();
    let mut socket = ann.silent();
    assert_eq!(socket.closed(), 4401);
    // Never earlier; how much later is the machine's affair.
    assert!(since.elapsed().as_millis() >= 4900, "{:?}", since.elapsed());
}

#[test]
fn no_cookie_and_no_query_opens_a_socket() {
    let server = Server::start();
    let ann = server.person("ann");
    let cookie = format!("__Host-causerie={}; token={}", ann.token, ann.token);
    let path = format!("/ws/chat?token={}&access_token={}", ann.token, ann.token);
    match causerie_load::client::open(&server.address(), &path, &[("Cookie", &cookie)], &server.config()) {
        Ok(client) => {
            let mut socket = crate::support::Socket::new("ann", client);
            assert_eq!(socket.closed(), 4401);
        }
        Err(Refused::Status { status, .. }) => assert!((400..500).contains(&status)),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn only_known_origins_may_open_a_socket() {
    let server = Setup::default().set("server.origins", "https://chat.example.org").start();
    let ann = server.person("ann");
    let own = format!("https://{}", server.address());
    for origin in [own.as_str(), "https://chat.example.org"] {
        let mut socket = ann.try_open(&[("Origin", origin)]).unwrap_or_else(|why| panic!("{origin}: {why}"));
        socket.hello();
    }
    for origin in ["https://evil.example", "null", "http://chat.example.org", "https://chat.example.org.evil.example"] {
        match ann.try_open(&[("Origin", origin)]) {
            Err(Refused::Status { status, .. }) => assert_eq!(status, 403, "{origin}"),
            Err(other) => panic!("{origin}: {other}"),
            Ok(_) => panic!("{origin} opened a socket"),
        }
    }
}

#[test]
fn connections_of_one_user_are_limited() {
    let server = Setup::default().set("limits.connections_per_user", 3).start();
    let ann = server.person("ann");
    let mut first: Vec<_> = (0..3).map(|_| ann.connect()).collect();
    match ann.try_open(&[]) {
        Err(Refused::Status { status, .. }) => assert!(matches!(status, 429 | 503), "{status}"),
        Err(other) => panic!("{other}"),
        Ok(mut socket) => assert_eq!(socket.closed(), 4509),
    }
    first.iter_mut().for_each(crate::support::Socket::fence);
}
