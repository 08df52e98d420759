//! The published contract against the code: the documents in the repository (AsyncAPI, OpenAPI, the table of codes), and the tables
//! of `docs/protocol.md`. Other languages make their types from the documents.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::unwrap_in_result, clippy::panic)]

use std::path::Path;

use causerie::base::{Close, Code};
use causerie::net::rest::openapi;
use causerie::wire::schema::{asyncapi, codes, tables};

/// Set to write the document anew.
const RENEW: &str = "CAUSERIE_RENEW_CONTRACT";

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default()
}

/// A file of the repository against what the code says, renewed first when that is asked for.
#[track_caller]
fn kept(file: &str, says: &serde_json::Value) {
    if std::env::var_os(RENEW).is_some() {
        let text = serde_json::to_string_pretty(says).expect("JSON") + "\n";
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), text).expect("the file can be written");
    }
    let kept: serde_json::Value = serde_json::from_str(&read(file)).unwrap_or_default();
    assert!(
        kept == *says,
        "{file} is not what the code says: run `{RENEW}=1 cargo test --test contract` and look at the difference"
    );
}

#[test]
fn the_documents_in_the_repository_are_what_the_code_says() {
    kept("schema/protocol/asyncapi.json", &asyncapi());
    kept("schema/protocol/openapi.json", &openapi().expect("a document"));
    kept("schema/protocol/codes.json", &codes());
}

#[test]
fn the_protocol_page_has_every_frame_and_code() {
    let page = read("docs/protocol.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let missing: Vec<String> = Code::ALL
        .iter()
        .map(|code| format!("| `{}` | {} | {} | {} |", code.name(), code.status(), code.sentence(), code.advice()))
        .filter(|row| !rows.contains(&row.as_str()))
        .collect();
    assert!(missing.is_empty(), "docs/protocol.md lacks these rows:\n{}", missing.join("\n"));
    for close in Close::ALL {
        let row = format!("| {} | {} |", close.number(), close.reason());
        assert!(page.lines().any(|line| line.starts_with(&row)), "docs/protocol.md lacks a row that begins with {row}");
    }
    for (arrow, frames) in [("→", tables::CLIENT), ("←", tables::SERVER)] {
        for frame in frames {
            let row = format!("| {arrow} `{}` | {} |", frame.name, frame.says);
            assert!(page.lines().any(|line| line == row), "docs/protocol.md lacks this row:\n{row}");
        }
    }
}

#[test]
fn the_frames_on_the_protocol_page_are_those_of_the_contract() {
    let mut seen = 0;
    for line in read("docs/protocol.md").lines() {
        let (side, text) = match (line.strip_prefix("→ "), line.strip_prefix("← ")) {
            (Some(text), _) => (causerie::wire::schema::Side::Client, text),
            (_, Some(text)) => (causerie::wire::schema::Side::Server, text),
            _ => continue,
        };
        let frame = serde_json::from_str(text).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(causerie::wire::schema::check(side, &frame), Ok(()), "{line}");
        if side == causerie::wire::schema::Side::Client {
            causerie::wire::native::parse(text).unwrap_or_else(|wrong| panic!("{line}: {wrong:?}"));
        }
        seen += 1;
    }
    assert!(seen >= 15, "the examples are still there");
}
