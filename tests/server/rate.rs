//! The rate of messages is the user's, over all connections; what is refused says when to come back, and then comes through.

use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use crate::support::Server;
use crate::support::socket::{chat, code};

#[test]
fn two_connections_share_one_rate() {
    let server = Server::start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    let mut sockets = [ann.connect(), ann.connect()];
    let since = Instant::now();
    let mut sent = Vec::new();
    for n in 0..120 {
        let which = n % 2;
        sent.push((which, sockets[which].say(room, &format!("message {n}"))));
    }
    let answers: Vec<_> = sent.iter().map(|&(which, id)| (which, id, sockets[which].answer(id))).collect();
    let took = since.elapsed();
    let done = answers.iter().filter(|(_, _, a)| a["type"] == "ack").count();
    // 20 at once and 10 a second; shares lent to two shards may overshoot by one burst each.
    let allowed = 20 + 2 * 20 + usize::try_from(took.as_millis() / 100).expect("a count") + 1;
    assert!(done >= 20, "{done} of 120 within {took:?}");
    assert!(done <= allowed && done < 120, "{done} of 120 within {took:?}");

    let (which, id, refused) = answers.iter().find(|(_, _, a)| a["type"] == "error").expect("one refused");
    assert_eq!(code(refused), "rate_limited");
    let wait = refused["metadata"]["retry_after_ms"].as_u64().expect("retry_after_ms");
    assert!(wait > 0 && wait <= 10_000, "{refused}");
    // Who does as told is heard: the same id again after the time.
    crate::support::wait_out(Duration::from_millis(wait));
    let text = format!("message {}", sent.iter().position(|(_, sent)| sent == id).expect("its number"));
    let socket = &mut sockets[*which];
    socket.fence();
    socket.forget();
    loop {
        socket.send(&chat(room, *id, &text));
        let again = socket.expect("an answer", |f| f["id"] == json!(id));
        if again["type"] == "ack" {
            break;
        }
        // The shares of two shards fill up one after the other: told to wait again, one waits again.
        assert!(since.elapsed() < crate::support::WATCHDOG, "{again}");
        crate::support::wait_out(Duration::from_millis(again["metadata"]["retry_after_ms"].as_u64().expect("a time")));
    }
}

#[test]
fn one_users_rate_does_not_touch_another() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let (mut anns, mut bobs) = (ann.connect(), bob.connect());
    for n in 0..100 {
        anns.say(room, &format!("flood {n}"));
    }
    bobs.chat(room, "still here");
    anns.expect("bob", |f| f["type"] == "chat" && f["content"] == "still here");
}

#[test]
fn rest_and_sockets_share_the_rate() {
    let server = Server::start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    let path = format!("/api/v1/chat/rooms/{room}/messages");
    let limited = (0..200).find_map(|n| {
        let key = Uuid::now_v7().to_string();
        let body = json!({"content": format!("{n}")});
        let answer = ann.call_with("POST", &path, &[("Idempotency-Key", &key)], Some(&body));
        (answer.status != 201).then(|| (answer.status, answer.json()))
    });
    let Some((status, body)) = limited else { return }; // a slow machine never reaches the rate
    assert_eq!((status, &body["code"]), (429, &json!("rate_limited")));
    assert!(body["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0), "{body}");
}
