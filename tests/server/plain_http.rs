//! Plain HTTP on the TLS port gets one sentence and is closed, with nothing served.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::Server;

#[test]
fn plain_http_is_told_why_and_closed() {
    let server = Server::start();
    for request in ["GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut tcp = TcpStream::connect(server.address()).expect("a connection");
        tcp.set_read_timeout(Some(Duration::from_mins(1))).expect("a limit");
        tcp.write_all(request.as_bytes()).expect("written");
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).expect("it ends by itself");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.to_lowercase().contains("https"), "it says what to do: {answer}");
    }
    assert_eq!(server.call("GET", "/readyz", None).status, 200);
}

#[test]
fn every_answer_carries_the_security_headers() {
    let server = Server::start();
    for path in ["/", "/readyz", "/api/v1/users/me", "/no/such/page", "/api/openapi.json"] {
        let answer = server.call("GET", path, None);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}: {:?}", answer.headers);
        assert!(answer.header("strict-transport-security").is_some(), "{path}: {:?}", answer.headers);
    }
}
