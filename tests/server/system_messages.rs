//! Coming, going and changes of a room stand in its log, live and in pages, with one seq each and without a number.

use serde_json::{Value, json};

use crate::support::Server;
use crate::support::socket::seq;

#[test]
fn membership_stands_in_the_log_as_it_was_told_live() {
    let server = Server::start();
    let (ann, bob, eve) = (server.person("ann"), server.person("bob"), server.person("eve"));
    let room = ann.room("Garden", "public");
    let mut anns = ann.connect();
    bob.join(room);
    eve.join(room);
    eve.leave(room);
    anns.chat(room, "a mark");
    anns.expect("eve leaving", |f| f["type"] == "leave");
    let kinds = |frames: &[Value]| -> Vec<(u64, String, Value)> {
        frames
            .iter()
            .filter(|f| f["type"] != "chat" && f["type"] != "system")
            .map(|f| (seq(f), f["type"].as_str().expect("a type").to_owned(), f["user_id"].clone()))
            .collect()
    };
    let live = kinds(&anns.events(room));
    let expected: Vec<(&str, Value)> =
        vec![("join", json!(bob.user_id)), ("join", json!(eve.user_id)), ("leave", json!(eve.user_id))];
    let shown: Vec<(&str, Value)> = live.iter().map(|(_, kind, user)| (kind.as_str(), user.clone())).collect();
    assert_eq!(shown, expected);
    let page = ann.page(room, "after=0");
    let stored = page["messages"].as_array().expect("messages").clone();
    let own = json!(ann.user_id); // Ann's own coming in stands there too, before she could hear of it.
    let of_others: Vec<_> = kinds(&stored).into_iter().filter(|(_, _, user)| *user != own).collect();
    assert_eq!(of_others, live);
    assert!(stored.iter().filter(|f| f["type"] != "chat").all(|f| f["metadata"]["message_type"] == "system"));
    let seqs: Vec<u64> = stored.iter().map(seq).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "dense from 1");
    assert_eq!(stored.last().expect("the mark")["metadata"]["number"], 1, "only messages are numbered");
}
