//! Any text as a frame of a client: a frame or a refusal, and what is accepted comes out again as it went in, without markup.
#![no_main]

use std::sync::Arc;

use causerie::base::{ClientId, Epoch, Event, EventKind, EventStatus, Number, Seq, UserId, WallTime};
use causerie::wire::frame::{ClientBody, ServerFrame};
use causerie::wire::native::{check_metadata, encode, parse};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let answer = match parse(text) {
        Ok(frame) => match frame.body {
            ClientBody::Chat { room, content, metadata } => {
                let kept = if metadata.is_empty() { "{}" } else { &metadata };
                let own: Value = serde_json::from_str(kept).expect("metadata that was accepted is JSON");
                let event = Event {
                    room,
                    epoch: Epoch(1),
                    seq: Seq(1),
                    number: Number(1),
                    user: UserId(frame.id.map(|ClientId(id)| id).expect("a chat has an id")),
                    at: WallTime(1_795_000_000_000),
                    kind: EventKind::Message,
                    content: content.clone(),
                    metadata,
                    client_id: frame.id,
                    status: EventStatus::Live,
                };
                let written = encode(&ServerFrame::Event { event: Arc::new(event), id: frame.id });
                let read: Value = serde_json::from_str(&written).expect("what the server writes is JSON");
                assert_eq!(read["content"], content.as_str());
                for (key, value) in own.as_object().expect("an object") {
                    let servers = causerie::wire::native::server::MESSAGE_KEYS.contains(&key.as_str());
                    assert!(servers || read["metadata"][key] == *value, "{key}");
                }
                written
            }
            _ => return,
        },
        Err(malformed) => {
            let frame = ServerFrame::Error { id: malformed.id, room: None, refusal: malformed.refusal };
            let written = encode(&frame);
            assert!(written.len() < 4096, "an error does not echo what was sent");
            written
        }
    };
    assert!(!answer.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "markup on the wire");
    if let Ok(kept) = check_metadata(text) {
        assert!(kept.is_empty() || serde_json::from_str::<Value>(&kept).is_ok());
    }
});
