//! WebSocket: the upgrade and its refusals, messages both ways, back-pressure, ends.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use causerie::base::Close;
use causerie::net::Settings;
use causerie::runtime::port::Sent;
use causerie::wire::websocket::text_frame;
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::client::{answer, ask, close_code, closed, text, tls, upgrade, websocket};
use crate::server::{Do, Options, Server, Told, USER};

fn start() -> Server {
    Server::start(Options::default())
}

#[test]
fn the_handshake_is_answered_as_the_rfc_says_and_what_follows_it_at_once_is_kept() {
    let server = start();
    let mut stream = tls(&server);
    // "hi" with a mask of zeros, in the same bytes as the request.
    let mut bytes = upgrade("/ws/chat", "User-Agent: test/1\r\n").into_bytes();
    bytes.extend([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    stream.write_all(&bytes).unwrap();
    let got = answer(&mut stream);
    assert_eq!(got.status, 101);
    // The example of RFC 6455, 1.3.
    assert_eq!(got.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let (id, opened) = server.opened();
    assert_eq!((opened.claims, opened.agent.as_str()), (None, "test/1"));
    assert!(opened.peer.is_loopback());
    assert!(matches!(server.told(), Told::Text(from, text) if from == id && text == "hi"));
    server.order(Do::Send(id, text_frame("there").to_vec()));
    assert!(matches!(server.told(), Told::Sent(Sent::All)));
    let mut frame = [0; 7];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(&frame, b"\x81\x05there");
}

#[test]
fn a_wrong_handshake_gets_an_answer_that_says_what_is_wrong() {
    let server = start();
    let good = upgrade("/ws/chat", "");
    for (request, status, text) in [
        ("GET /ws/chat HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 426, "Upgrade: websocket"),
        (good.replace("Connection: keep-alive, Upgrade", "Connection: keep-alive"), 426, "Connection"),
        (good.replace("Version: 13", "Version: 8"), 426, "13"),
        (good.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400, "16 bytes"),
        (good.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400, "16 bytes"),
        (good.replace("GET ", "POST "), 405, "GET"),
        (upgrade("/ws/chat", "Origin: https://evil.test\r\n"), 403, "bad_origin"),
        (upgrade("/ws/chat", "Origin: null\r\n"), 403, "bad_origin"),
        (upgrade("/ws/chat", "Authorization: Bearer bad\r\n"), 401, "not_authenticated"),
        (upgrade("/ws/chat", "Authorization: Basic Zm9vOmJhcg==\r\n"), 401, "not_authenticated"),
        (upgrade("/ws/chat", "Authorization: Bearer good\r\nAuthorization: Bearer bad\r\n"), 401, "once"),
        (upgrade("/ws/nothing", ""), 404, ""),
    ] {
        let mut stream = tls(&server);
        let got = ask(&mut stream, &request);
        assert_eq!(got.status, status, "{request}");
        assert!(got.body.contains(text), "{request}: {}", got.body);
        if status == 426 {
            assert_eq!(got.header("sec-websocket-version"), Some("13"));
        }
        if status == 401 {
            assert_eq!(got.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert!(server.told_within(Duration::from_millis(50)).is_none(), "nothing of it reached the shard");
}

#[test]
fn a_good_token_and_a_good_origin_open_a_socket_with_claims_and_a_cookie_does_not() {
    let server = start();
    let own = "Authorization: bearer good\r\nOrigin: https://localhost:8443\r\n";
    assert_eq!(ask(&mut tls(&server), &upgrade("/ws/chat", own)).status, 101);
    assert_eq!(server.opened().1.claims.unwrap().user, USER);
    let mut stream = tls(&server);
    assert_eq!(ask(&mut stream, &upgrade("/ws/chat", "Cookie: __Host-causerie=good\r\n")).status, 101);
    while let Some(told) = server.told_within(Duration::from_millis(20)) {
        if let Told::Opened(_, opened) = told {
            assert_eq!(opened.claims, None, "the first frame must authenticate");
            return;
        }
    }
    panic!("not opened");
}

#[test]
fn the_echo_gives_back_texts_fragments_binaries_and_large_messages() {
    let server = start();
    let mut socket = websocket(&server, "/ws/echo");
    socket.send(Message::text("héllo")).unwrap();
    assert_eq!(text(&mut socket), "héllo");
    let large = "0123456789abcdef".repeat(1 << 18);
    socket.send(Message::text(large.clone())).unwrap();
    assert!(text(&mut socket) == large);
    socket.send(Message::binary(vec![1, 2, 3])).unwrap();
    assert_eq!(socket.read().unwrap(), Message::binary(vec![1, 2, 3]));
    socket.send(Message::Ping(vec![9].into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(vec![9].into()));
    socket.close(Some(CloseFrame { code: CloseCode::Away, reason: "bye".into() })).unwrap();
    assert_eq!(close_code(&mut socket), 1001);
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)), "TCP is closed by the server");
}

#[test]
fn the_echo_is_served_only_when_it_is_asked_for() {
    let settings = Settings::default();
    let server = Server::start(Options { settings, ..Options::default() });
    assert_eq!(ask(&mut tls(&server), &upgrade("/ws/echo", "")).status, 404);
}

#[test]
fn the_shard_hears_of_everything_once_and_pings_are_answered_without_it() {
    let server = start();
    let mut socket = websocket(&server, "/ws/chat");
    let (id, _) = server.opened();
    socket.send(Message::Ping(vec![1].into())).unwrap();
    server.heard();
    assert_eq!(socket.read().unwrap(), Message::Pong(vec![1].into()));
    socket.send(Message::text("one")).unwrap();
    assert!(matches!(server.told(), Told::Text(_, text) if text == "one"));
    socket.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })).unwrap();
    assert_eq!(close_code(&mut socket), 1000);
    assert!(matches!(server.told(), Told::Gone(gone, "peer") if gone == id));
    assert!(server.told_within(Duration::from_millis(50)).is_none());
}

#[test]
fn a_flood_of_pings_is_answered_with_the_last_one_at_least() {
    let server = start();
    let mut socket = websocket(&server, "/ws/chat");
    server.opened();
    for n in 0..5000u32 {
        socket.write(Message::Ping(n.to_be_bytes().to_vec().into())).unwrap();
    }
    socket.flush().unwrap();
    let mut pongs = 0;
    loop {
        pongs += 1;
        if socket.read().unwrap() == Message::Pong(4999u32.to_be_bytes().to_vec().into()) {
            break;
        }
    }
    assert!(pongs <= 5000);
}

#[test]
fn broken_frames_and_binary_ones_end_the_connection_with_their_code() {
    let server = start();
    for (frame, code) in [
        (&[0x81, 0x01, b'x'][..], 1002),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
        (&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0], 1009),
        (&[0x82, 0x81, 0, 0, 0, 0, 1], 4400),
    ] {
        let mut stream = tls(&server);
        assert_eq!(ask(&mut stream, &upgrade("/ws/chat", "")).status, 101);
        let (id, _) = server.opened();
        stream.write_all(frame).unwrap();
        let mut head = [0; 4];
        stream.read_exact(&mut head).unwrap();
        assert_eq!((head[0], u16::from_be_bytes([head[2], head[3]])), (0x88, code));
        assert!(matches!(server.told(), Told::Gone(gone, "protocol violated") if gone == id));
    }
}

#[test]
fn the_shard_closes_with_its_code_and_hears_no_more() {
    let server = start();
    let mut socket = websocket(&server, "/ws/chat");
    let (id, _) = server.opened();
    server.order(Do::Send(id, text_frame("last words").to_vec()));
    server.order(Do::Close(id, Close::Draining));
    assert!(matches!(server.told(), Told::Sent(Sent::All)));
    assert_eq!(text(&mut socket), "last words");
    assert_eq!(close_code(&mut socket), 4501);
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
    assert!(server.told_within(Duration::from_millis(50)).is_none());
    while server.admission.open() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn who_does_not_answer_a_close_is_ended_in_time() {
    let short = Duration::from_millis(200);
    let settings = Settings { close_time: short, linger_time: short, ..Settings::default() };
    let server = Server::start(Options { settings, ..Options::default() });
    let mut stream = tls(&server);
    assert_eq!(ask(&mut stream, &upgrade("/ws/chat", "")).status, 101);
    let (id, _) = server.opened();
    server.order(Do::Close(id, Close::Silent));
    while server.admission.open() > 0 {
        std::thread::yield_now();
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(u16::from_be_bytes([head[2], head[3]]), 4504);
}

#[test]
fn a_shard_without_a_place_closes_with_its_code() {
    let server = start();
    *server.refuse.lock().unwrap() = Some(Close::TooManyConnections);
    let mut socket = websocket(&server, "/ws/chat");
    assert_eq!(close_code(&mut socket), 4509);
    assert!(server.told_within(Duration::from_millis(50)).is_none());
}

#[test]
fn a_cut_wire_is_told_as_an_error() {
    let server = start();
    let mut stream = tls(&server);
    assert_eq!(ask(&mut stream, &upgrade("/ws/chat", "")).status, 101);
    let (id, _) = server.opened();
    drop(stream.sock);
    assert!(matches!(server.told(), Told::Gone(gone, "error") if gone == id));
    while server.admission.open() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_reader_that_stops_blocks_its_own_socket_and_gets_every_byte_when_it_goes_on() {
    let server = start();
    let mut slow = websocket(&server, "/ws/chat");
    let (id, _) = server.opened();
    let mut other = websocket(&server, "/ws/chat");
    let (other_id, _) = server.opened();
    let chunk = text_frame(&"y".repeat(60_000));
    let mut frames = 0;
    loop {
        server.order(Do::Send(id, chunk.to_vec()));
        frames += 1;
        match server.told() {
            Told::Sent(Sent::All) => {}
            // The kernel may find more room by itself; only when it does not, the socket is blocked for good.
            Told::Sent(Sent::Blocked) => match server.told_within(Duration::from_millis(300)) {
                Some(Told::Writable(_)) => {}
                None => break,
                told => panic!("{told:?}"),
            },
            told => panic!("{told:?}"),
        }
    }
    server.order(Do::Send(other_id, text_frame("not blocked").to_vec()));
    assert!(matches!(server.told(), Told::Sent(Sent::All)));
    assert_eq!(text(&mut other), "not blocked");
    // The blocked one is still heard.
    slow.send(Message::text("still here")).unwrap();
    let mut writable = false;
    loop {
        match server.told() {
            Told::Text(from, _) if from == id => break,
            // A client that writes may read by the way.
            Told::Writable(conn) if conn == id => writable = true,
            told => panic!("{told:?}"),
        }
    }
    for _ in 0..frames {
        assert_eq!(text(&mut slow).len(), 60_000);
    }
    assert!(writable || matches!(server.told(), Told::Writable(conn) if conn == id));
    server.order(Do::Send(id, text_frame("again").to_vec()));
    assert!(matches!(server.told(), Told::Sent(Sent::All)));
    assert_eq!(text(&mut slow), "again");
}

#[test]
fn a_shard_that_is_behind_is_not_read_to_and_gets_everything_later() {
    let server = start();
    let mut socket = websocket(&server, "/ws/chat");
    server.opened();
    server.set_behind(true);
    socket.send(Message::text("0")).unwrap();
    assert!(matches!(server.told(), Told::Text(_, text) if text == "0"));
    let big = "z".repeat(50_000);
    let writer = std::thread::spawn(move || {
        for _ in 0..400 {
            socket.send(Message::text(big.clone())).unwrap();
        }
        socket
    });
    assert!(server.told_within(Duration::from_millis(300)).is_none(), "nothing more is read");
    assert!(!writer.is_finished(), "20 MB do not fit the kernel's buffers: the client waits");
    server.set_behind(false);
    for _ in 0..400 {
        assert!(matches!(server.told(), Told::Text(_, text) if text.len() == 50_000));
    }
    let mut socket = writer.join().unwrap();
    socket.send(Message::text("end")).unwrap();
    assert!(matches!(server.told(), Told::Text(_, text) if text == "end"));
}

#[test]
fn a_closed_port_of_tls_is_an_orderly_end_too() {
    let server = start();
    let mut stream = tls(&server);
    assert_eq!(ask(&mut stream, &upgrade("/ws/chat", "")).status, 101);
    let (id, _) = server.opened();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    assert!(matches!(server.told(), Told::Gone(gone, "peer") if gone == id));
    assert!(closed(&mut stream));
}
