//! TLS: versions, resumption on another shard, plain HTTP, reload, ends.

use std::io::{Read as _, Write as _};

use axum::routing::get;
use rustls::HandshakeKind;

use crate::client::{answer, ask, config, tcp, tls, tls_with};
use crate::server::{Options, Server};

fn hello() -> axum::Router {
    axum::Router::new().route("/hello", get(async || "hello"))
}

const HELLO: &str = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn tls_12_and_13_are_spoken_and_a_session_is_resumed_on_another_shard() {
    let server = Server::start(Options { router: hello(), ports: 2, ..Options::default() });
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let config = config(&server.certs.cert_path(), &[version]);
        let mut first = tls_with(server.addresses[0], &config).unwrap();
        assert_eq!(ask(&mut first, HELLO).body, "hello");
        assert_eq!(first.conn.protocol_version(), Some(version.version));
        assert_eq!(first.conn.handshake_kind(), Some(HandshakeKind::Full));
        let mut second = tls_with(server.addresses[1], &config).unwrap();
        assert_eq!(ask(&mut second, HELLO).body, "hello");
        assert_eq!(second.conn.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
    }
}

#[test]
fn a_plain_request_is_told_that_this_port_speaks_tls_and_gets_nothing_else() {
    let server = Server::start(Options { router: hello(), ..Options::default() });
    let mut plain = tcp(server.address());
    let told = ask(&mut plain, HELLO);
    assert_eq!(told.status, 400);
    assert!(told.body.contains("TLS only") && told.body.contains("https://"), "{}", told.body);
    assert_eq!(plain.read(&mut [0; 1]).unwrap(), 0, "closed");
    // Nothing of it stays behind.
    assert_eq!(ask(&mut tls(&server), HELLO).body, "hello");
}

#[test]
fn a_handshake_that_makes_no_sense_is_ended_with_an_alert() {
    let server = Server::start(Options::default());
    let mut raw = tcp(server.address());
    raw.write_all(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 9]).unwrap();
    let mut got = Vec::new();
    raw.read_to_end(&mut got).unwrap();
    assert_eq!(got.first(), Some(&0x15), "an alert record, then the end");
}

#[test]
fn a_reloaded_certificate_is_used_by_new_handshakes_and_ends_no_connection() {
    use causerie::net::{CertSource, Certs};
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    for dir in [&one, &two] {
        Certs::load(CertSource::SelfSigned { dir: dir.clone() }).unwrap();
    }
    let live = dir.path().join("live");
    std::fs::create_dir(&live).unwrap();
    let install = |from: &std::path::Path| {
        for name in ["tls-cert.pem", "tls-key.pem"] {
            std::fs::copy(from.join(name), live.join(name)).unwrap();
        }
    };
    install(&one);
    let source = CertSource::Files { cert: live.join("tls-cert.pem"), key: live.join("tls-key.pem") };
    let certs = Certs::load(source).unwrap();
    let server = Server::start_with(Options { router: hello(), ..Options::default() }, certs, dir);
    let versions: &[_] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    let (old, new) = (config(&one.join("tls-cert.pem"), versions), config(&two.join("tls-cert.pem"), versions));
    let mut before = tls_with(server.address(), &old).unwrap();
    assert_eq!(ask(&mut before, HELLO).body, "hello");
    assert!(tls_with(server.address(), &new).is_err());

    install(&two);
    server.certs.reload().unwrap();
    let mut after = tls_with(server.address(), &new).unwrap();
    assert_eq!(ask(&mut after, HELLO).body, "hello");
    assert_eq!(ask(&mut before, HELLO).body, "hello", "the old connection lives on");
    let fresh_trust_in_the_old_one = config(&one.join("tls-cert.pem"), versions);
    assert!(tls_with(server.address(), &fresh_trust_in_the_old_one).is_err());
}

#[test]
fn an_end_is_said_with_close_notify() {
    let server = Server::start(Options { router: hello(), ..Options::default() });
    let mut stream = tls(&server);
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(answer(&mut stream).body, "hello");
    // Without close_notify rustls gives an error here.
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn places_are_bounded_by_address_and_come_back() {
    let admission = causerie::net::Admission::new(1000, 2);
    let server = Server::start(Options { router: hello(), admission, ..Options::default() });
    let (mut one, two) = (tls(&server), tls(&server));
    let trusted = config(&server.certs.cert_path(), &[&rustls::version::TLS13]);
    assert!(tls_with(server.address(), &trusted).is_err(), "a third is turned away");
    drop(two);
    while server.admission.open() > 1 {
        std::thread::yield_now();
    }
    assert_eq!(ask(&mut tls(&server), HELLO).body, "hello");
    assert_eq!(ask(&mut one, HELLO).body, "hello");
    drop(one);
}

#[test]
fn waiting_strangers_do_not_keep_others_from_shaking_hands() {
    use std::time::Duration;
    let settings = causerie::net::Settings {
        handshakes_per_shard: 4,
        handshake_time: Duration::from_hours(1),
        crowded_handshake_time: Duration::from_millis(100),
        ..causerie::net::Settings::default()
    };
    let server = Server::start(Options { router: hello(), settings, ..Options::default() });
    let mut strangers: Vec<_> = (0..8).map(|_| tcp(server.address())).collect();
    for stranger in &mut strangers {
        stranger.write_all(&[0x16, 3, 1]).unwrap();
    }
    assert_eq!(ask(&mut tls(&server), HELLO).body, "hello");
}

#[test]
fn an_address_in_use_is_refused_although_the_port_is_shared() {
    let server = Server::start(Options::default());
    let error = causerie::net::bind(server.address(), 2).unwrap_err().to_string();
    assert!(error.contains("something else listens there"), "{error}");
}

#[test]
fn a_stopped_listener_takes_nobody_and_keeps_nobody() {
    let mut server = Server::start(Options { router: hello(), ..Options::default() });
    let address = server.address();
    assert_eq!(ask(&mut tls(&server), HELLO).body, "hello");
    server.stop();
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn many_that_come_at_once_all_get_in_although_each_is_done_in_portions() {
    // The smallest portion there is: each step of each handshake waits for its turn, in one line with all others.
    let server = Server::start(Options { router: hello(), handshake_us: 1, ..Options::default() });
    let (address, config) = (server.address(), config(&server.certs.cert_path(), &[&rustls::version::TLS13]));
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| assert_eq!(ask(&mut tls_with(address, &config).unwrap(), HELLO).body, "hello"));
        }
    });
    // And with nobody else there, one alone.
    assert_eq!(ask(&mut tls(&server), HELLO).body, "hello");
}
