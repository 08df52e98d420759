//! The contract of the WebSocket: an AsyncAPI document whose schemas are made from the types that read and write the frames.
//!
//! [`asyncapi`] is what `/api/asyncapi.json` answers and what stands in `schema/protocol/asyncapi.json` (a test fails when that file
//! is not what the code says). [`check`] holds a frame, ours or anybody's, against it.

pub mod check;
pub mod codes;
pub mod tables;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

pub use check::{Side, check};
pub use codes::codes;
use tables::{CLIENT, FIELDS, Frame, SERVER, ref_to};

use crate::base::{Close, Code};

/// The AsyncAPI 3 document of the native protocol.
#[must_use]
pub fn asyncapi() -> Value {
    let mut schemas = Map::new();
    let mut messages = Map::new();
    let mut channel = Map::new();
    for (side, frames) in [(Side::Client, CLIENT), (Side::Server, SERVER)] {
        for frame in frames {
            let name = side.key(frame.name);
            schemas.insert(name.clone(), payload(frame, &mut Map::new()));
            let message = json!({ "name": frame.name, "summary": frame.says, "payload": ref_to(&name) });
            messages.insert(name.clone(), message);
            channel.insert(name.clone(), json!({ "$ref": format!("#/components/messages/{name}") }));
        }
    }
    let mut named = Map::new();
    for frame in CLIENT.iter().chain(SERVER) {
        payload(frame, &mut named);
    }
    page_of_events(&mut named);
    errors(&mut named);
    if let Some(message) = named.get_mut("MessageMetadata") {
        // The sender's own keys stand beside the server's.
        message["additionalProperties"] = json!(true);
    }
    schemas.append(&mut named);
    let list = |side: Side, frames: &[Frame]| -> Value {
        frames
            .iter()
            .map(|frame| json!({ "$ref": format!("#/channels/chat/messages/{}", side.key(frame.name)) }))
            .collect()
    };
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Causerie",
            "version": "1",
            "description": "Real-time chat over a WebSocket: text frames, one JSON object each. docs/protocol.md explains it. \
                Unknown fields are to be passed over, both ways.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": { "here": { "host": "localhost:8443", "protocol": "wss" } },
        "channels": { "chat": { "address": "/ws/chat", "messages": channel } },
        "operations": {
            "fromClient": { "action": "receive", "channel": { "$ref": "#/channels/chat" }, "messages": list(Side::Client, CLIENT) },
            "toClient": { "action": "send", "channel": { "$ref": "#/channels/chat" }, "messages": list(Side::Server, SERVER) },
        },
        "components": { "messages": messages, "schemas": schemas },
        "x-close-codes": Close::ALL.iter().map(|close| json!({ "code": close.number(), "reason": close.reason() })).collect::<Value>(),
    })
}

/// The schema of a whole frame; the types it refers to are added to `named`.
fn payload(frame: &Frame, named: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    properties.insert("type".to_owned(), json!({ "const": frame.name }));
    let mut required = vec!["type"];
    required.extend(frame.required);
    for field in frame.required.iter().chain(frame.optional) {
        let schema = match (*field, frame.metadata) {
            ("metadata", Some(metadata)) => metadata(named),
            // What clients keep with messages and rooms is theirs.
            ("metadata", None) => json!({ "type": "object" }),
            _ => FIELDS.iter().find(|(name, _)| name == field).map_or(json!({}), |(_, schema)| schema()),
        };
        properties.insert((*field).to_owned(), schema);
    }
    json!({ "type": "object", "description": frame.says, "required": required, "properties": properties })
}

/// A page holds whole frames of events.
fn page_of_events(named: &mut Map<String, Value>) {
    let events: Value = tables::EVENTS.iter().map(|name| ref_to(&Side::Server.key(name))).collect();
    if let Some(page) = named.get_mut("PageShape") {
        page["properties"]["messages"]["items"] = json!({ "oneOf": events });
    }
}

/// The codes that may stand in an error.
fn errors(named: &mut Map<String, Value>) {
    if let Some(error) = named.get_mut("ErrorMetadata") {
        error["properties"]["code"]["enum"] = Code::ALL.iter().map(|code| code.name()).collect();
        error["x-codes"] = Code::ALL
            .iter()
            .map(|code| json!({ "code": code.name(), "says": code.sentence(), "advice": code.advice() }))
            .collect();
    }
}
