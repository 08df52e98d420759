//! What a client was told, written down as evidence for the checker.

use causerie_load::check::{Answer, Entry, View};
use serde_json::{Value, json};
use uuid::Uuid;

use super::socket::is_event;

/// The message that a text names: the tests write the send's id first.
pub fn key(frame: &Value) -> Option<Uuid> {
    frame["content"].as_str().filter(|_| frame["type"] == "chat").and_then(causerie_load::stamp::key)
}

/// A view of one room from frames as they came on one connection, live or by resume.
pub fn view(who: &str, room: Uuid, after: u64, until: Option<u64>, frames: &[Value]) -> View {
    let mut view = View { who: who.to_owned(), room, after, until, ..View::default() };
    for frame in frames.iter().filter(|f| f["room_id"] == json!(room)) {
        let Some(seq) = frame["seq"].as_u64() else { continue };
        if is_event(frame) {
            view.live.push(Entry { seq, key: key(frame) });
        } else if frame["type"] == "ack" && frame["message_id"].is_string() && frame["metadata"]["duplicate"] != true {
            // The answer to a retried send repeats what a resume or a page has shown already.
            view.own.push(seq);
        }
    }
    view
}

/// The acks among frames.
pub fn answers(frames: &[Value]) -> Vec<Answer> {
    let answer = |frame: &Value| {
        Some(Answer {
            key: Uuid::try_parse(frame["id"].as_str()?).ok()?,
            room: Uuid::try_parse(frame["room_id"].as_str()?).ok()?,
            seq: frame["seq"].as_u64()?,
        })
    };
    frames.iter().filter(|f| f["type"] == "ack").filter_map(answer).collect()
}
