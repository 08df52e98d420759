//! What a message may be, and how everything else is refused: with a stable code, and the connection stays.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::Server;
use crate::support::socket::code;

#[test]
fn a_text_is_refused_or_delivered_exactly_as_written() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let (mut anns, mut bobs) = (ann.connect(), bob.connect());

    for text in ["", " ", "\n\t", "\u{3000}", "a\u{0}b", "a\u{7f}b", "a\u{85}b", "\r", &"x".repeat(4097)] {
        let answer = anns.ask(json!({"type": "chat", "room_id": room, "content": text}));
        assert_eq!(code(&answer), "bad_content", "{text:?}: {answer}");
    }
    for text in ["x", " leading and trailing ", "two\nlines\tand a tab", "e\u{301} stays e\u{301}", &"😀".repeat(4096)]
    {
        anns.chat(room, text);
        assert_eq!(bobs.message(room)["content"], text);
    }
}

#[test]
fn metadata_is_kept_as_it_was_and_bounded() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let (mut anns, mut bobs) = (ann.connect(), bob.connect());
    let metadata = json!({"reply_to": "x", "deep": {"a": [1, 2.5, null, true, "<b>"]}});
    let answer = anns.ask(json!({"type": "chat", "room_id": room, "content": "x", "metadata": metadata}));
    assert_eq!(answer["type"], "ack", "{answer}");
    let shown = bobs.message(room)["metadata"].clone();
    assert_eq!((&shown["reply_to"], &shown["deep"]), (&metadata["reply_to"], &metadata["deep"]));

    for bad in [json!("text"), json!([1]), json!({"big": "x".repeat(4096)})] {
        let answer = anns.ask(json!({"type": "chat", "room_id": room, "content": "x", "metadata": bad}));
        assert!(matches!(code(&answer).as_str(), "bad_metadata" | "bad_frame"), "{answer}");
    }
}

#[test]
fn a_send_needs_a_fresh_version_7_id() {
    let server = Server::start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    let mut anns = ann.connect();
    let ahead = {
        let ms = u64::try_from(causerie_load::token::unix_seconds()).expect("a time") * 1000 + 6 * 60 * 1000;
        uuid::Builder::from_unix_timestamp_millis(ms, &[7; 10]).into_uuid()
    };
    for id in [Uuid::new_v4(), Uuid::nil(), ahead] {
        anns.send(&json!({"type": "chat", "id": id, "room_id": room, "content": "x"}));
        let answer = anns.answer(id);
        assert_eq!(code(&answer), "bad_id", "{id}: {answer}");
    }
    anns.send(&json!({"type": "chat", "room_id": room, "content": "x"}));
    let answer = anns.expect("an error", |f| f["type"] == "error" && f["id"].is_null());
    assert!(matches!(code(&answer).as_str(), "bad_id" | "bad_frame"), "{answer}");
}

#[test]
fn errors_have_code_sentence_and_advice_and_the_connection_stays() {
    let server = Server::start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    let mut anns = ann.connect();
    let frames: [(Value, &str); 6] = [
        (json!({"type": "no-such-type"}), "unknown_type"),
        (json!({"type": "chat", "room_id": "no uuid", "content": "x"}), "bad_frame"),
        (json!({"type": "typing", "room_id": 5}), "bad_frame"),
        (json!({"type": "chat", "room_id": Uuid::now_v7(), "content": "x"}), "room_not_found"),
        (json!({"type": "history", "room_id": room, "metadata": {"limit": "many"}}), "bad_frame"),
        (json!({"type": "delete", "room_id": room, "seq": 4_000_000}), "message_not_found"),
    ];
    for (frame, expected) in frames {
        let answer = anns.ask(frame.clone());
        assert_eq!(code(&answer), expected, "{frame}: {answer}");
        assert!(answer["content"].as_str().is_some_and(|text| text.len() > 10), "{answer}");
        assert!(answer["metadata"]["advice"].as_str().is_some_and(|text| text.len() > 10), "{answer}");
    }
    for text in ["", "{", "[]", "null", "42", "\"chat\"", "{\"type\":\"chat\"", "\u{feff}{}"] {
        anns.send_text(text);
        let answer = anns.expect("an error", |f| f["type"] == "error" && f["id"].is_null());
        assert!(matches!(code(&answer).as_str(), "bad_json" | "bad_frame"), "{text:?}: {answer}");
    }
    anns.fence();
}

#[test]
fn unknown_fields_are_ignored_and_null_is_absent() {
    let server = Server::start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    let mut anns = ann.connect();
    let frame =
        json!({"type": "chat", "room_id": room, "content": "x", "colour": {"a": 1}, "metadata": null, "seq": null});
    assert_eq!(anns.ask(frame)["type"], "ack");
}

#[test]
fn the_same_send_over_rest() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let mut bobs = bob.connect();
    let path = format!("/api/v1/chat/rooms/{room}/messages");
    let key = Uuid::now_v7().to_string();
    let send = |body: &Value| ann.call_with("POST", &path, &[("Idempotency-Key", &key)], Some(body));
    let first = send(&json!({"content": "by a script"}));
    assert_eq!(first.status, 201, "{}", first.text());
    let message = bobs.message(room);
    assert_eq!(message["content"], "by a script");
    assert_eq!(message["seq"], first.json()["seq"]);
    let again = send(&json!({"content": "by a script"}));
    assert!(matches!(again.status, 200 | 201), "{}", again.text());
    assert_eq!(again.json()["seq"], first.json()["seq"]);
    assert_eq!(send(&json!({"content": "another text"})).status, 409);
    let missing = ann.post(&path, &json!({"content": "x"}));
    assert!((400..500).contains(&missing.status), "{}", missing.text());
}
