//! Two processes and one owner: one hangs, the other takes over, the first goes on. What the first acked is there, what it did not ack changes
//! nothing any more, and it ends and says why.

use std::collections::BTreeMap;
use std::time::Duration;

use causerie_load::client::Got;
use rustix::process::Signal;
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::database;
use super::support::socket::chat;
use super::support::{Server, Setup, eventually};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const SENT: usize = 300;

fn setup(keyspace: &str, key: &str) -> Setup {
    Setup::default()
        .scylla(&database::shared().contact, keyspace, 1)
        .set("store.scylla.request_timeout_ms", 1500)
        .set("store.scylla.give_up_ms", 1500)
        .set("store.scylla.lease_ms", 3000)
        .set("keys.master_file", key)
        .set("limits.messages_per_second", 100_000)
        .set("limits.messages_burst", 100_000)
}

fn text(n: usize) -> String {
    format!("message number {n}.")
}

#[test]
fn who_hangs_and_wakes_up_can_neither_overwrite_nor_hide_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    std::fs::write(&key, KEY).expect("a key");
    let (keyspace, key) = (database::keyspace(), key.to_string_lossy().into_owned());
    let mut first = setup(&keyspace, &key).start();
    let ann = first.person("ann");
    let room = ann.room("Garden", "public");
    let mut anns = ann.connect();
    let ids: Vec<_> = (0..SENT).map(|n| anns.say(room, &text(n))).collect();
    // In the middle of its writes.
    let mut acked = BTreeMap::new();
    for (n, id) in ids.iter().enumerate().take(SENT / 10) {
        acked.insert(n, anns.answer(*id)["seq"].as_u64().expect("an ack"));
    }
    first.signal(Signal::STOP);

    let mut second = setup(&keyspace, &key).start();
    assert!(second.log().contains("the slots are held by"), "{}", second.log());
    let ann = second.person("ann");
    let mut anew = ann.connect();
    // Sent again: what was stored has its answer, what was not is stored now.
    let mut seqs = BTreeMap::new();
    for (n, id) in ids.iter().enumerate() {
        anew.send(&chat(room, *id, &text(n)));
        let answer = anew.answer(*id);
        assert_eq!(answer["type"], "ack", "{answer}");
        seqs.insert(n, answer["seq"].as_u64().expect("a seq"));
    }
    for n in SENT..SENT + 20 {
        let id = anew.say(room, &text(n));
        seqs.insert(n, anew.answer(id)["seq"].as_u64().expect("an ack"));
    }

    first.signal(Signal::CONT);
    // What it still tells those who are connected.
    let mut late = Vec::new();
    eventually("the end of the connection", || match anns.poll(Duration::from_millis(100)) {
        Got::Frame(frame) => {
            late.push(frame);
            None
        }
        Got::Nothing => None,
        Got::Cut(_) | Got::Closed(..) => Some(()),
    });
    // An ack that came before it hung and was not looked at yet counts as well.
    for (n, id) in ids.iter().enumerate() {
        if let Some(ack) = late.iter().find(|f| f["type"] == "ack" && f["id"] == json!(id)) {
            acked.insert(n, ack["seq"].as_u64().expect("a seq"));
        }
    }
    assert_eq!(first.ended().code(), Some(1), "{}", first.log());
    assert!(first.log().contains("another process has taken the slots"), "{}", first.log());

    for (n, seq) in &acked {
        assert_eq!(seqs[n], *seq, "message {n} was acked at {seq} by the first");
    }
    // As the second knows it, and as it stands in the database.
    for round in 0..2 {
        let page = log_of(&second, room);
        for (n, seq) in &seqs {
            let found: Vec<u64> =
                page.iter().filter(|(_, content)| *content == text(*n)).map(|(seq, _)| *seq).collect();
            assert_eq!(found, [*seq], "message {n}, round {round}");
        }
        let all: Vec<u64> = page.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>(), "dense, round {round}");
        second.restart();
    }
    eprintln!("{} acks of the first, {} of them late, {} of the second", acked.len(), late.len(), seqs.len());
}

/// Everything in the room: seq and content, ascending.
fn log_of(server: &Server, room: Uuid) -> Vec<(u64, String)> {
    let ann = server.person("ann");
    let mut all: Vec<(u64, String)> = Vec::new();
    loop {
        let after = all.last().map_or(0, |(seq, _)| *seq);
        let page = ann.page(room, &format!("limit=100&after={after}"));
        let events = page["messages"].as_array().expect("messages");
        if events.is_empty() {
            return all;
        }
        let entry = |event: &Value| {
            (event["seq"].as_u64().expect("a seq"), event["content"].as_str().unwrap_or_default().to_owned())
        };
        all.extend(events.iter().map(entry));
    }
}
