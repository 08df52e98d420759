//! The table of codes as a document: what `schema/protocol/codes.json` holds, and what the web client's table is made from.
//!
//! A test fails when that file is not what the code says.

use serde_json::{Value, json};

use crate::base::{Close, Code};

/// Every error code with its status, sentence and advice, and every close code with what a client does about it.
#[must_use]
pub fn codes() -> Value {
    let errors: Value = Code::ALL
        .iter()
        .map(|code| {
            json!({
                "code": code.name(),
                "status": code.status(),
                "sentence": code.sentence(),
                "advice": code.advice(),
            })
        })
        .collect();
    let closes: Value = Close::ALL
        .iter()
        .map(|close| json!({ "code": close.number(), "reason": close.reason(), "reconnect": close.reconnect() }))
        .collect();
    json!({ "errors": errors, "closes": closes })
}
