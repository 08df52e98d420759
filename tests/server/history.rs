//! Pages of history: the newest by default, both ways by seq, complete and without overlap, only what one may read.

use serde_json::{Value, json};

use crate::support::{Person, Server, Setup};
use uuid::Uuid;

fn quick() -> Server {
    Setup::default().set("limits.messages_per_second", 10_000).set("limits.messages_burst", 10_000).start()
}

fn fill(person: &Person, room: Uuid, count: usize) {
    let mut socket = person.connect();
    let ids: Vec<_> = (0..count).map(|n| socket.say(room, &format!("message {n}"))).collect();
    for id in ids {
        assert_eq!(socket.answer(id)["type"], "ack");
    }
}

fn seqs(page: &Value) -> Vec<u64> {
    page["messages"].as_array().expect("messages").iter().map(|m| m["seq"].as_u64().expect("a seq")).collect()
}

#[test]
fn pages_both_ways_give_everything_once() {
    let server = quick();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    fill(&ann, room, 250);

    let newest = ann.page(room, "");
    let last = newest["last_seq"].as_u64().expect("last_seq");
    assert_eq!(newest["more"], true);
    assert_eq!(seqs(&newest).last(), Some(&last));
    assert!(seqs(&newest).len() <= 100);

    let mut up = Vec::new();
    let mut after = 0;
    loop {
        let page = ann.page(room, &format!("after={after}&limit=37"));
        assert!(seqs(&page).len() <= 37);
        up.extend(seqs(&page));
        after = *up.last().expect("events");
        if page["more"] != true {
            break;
        }
    }
    let mut down: Vec<u64> = Vec::new();
    let mut before = last + 1;
    loop {
        let page = ann.page(room, &format!("before={before}&limit=37"));
        let mut part = seqs(&page);
        assert!(part.is_sorted(), "{part:?}");
        before = part[0];
        part.extend(down);
        down = part;
        if page["more"] != true {
            break;
        }
    }
    assert_eq!(up, down);
    assert_eq!(up, (newest["first_seq"].as_u64().expect("first_seq")..=last).collect::<Vec<_>>());
}

#[test]
fn a_socket_and_rest_give_the_same_page_also_after_a_restart() {
    let mut server = quick();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    fill(&ann, room, 150);
    let ask = |query: Value| {
        let mut socket = ann.connect();
        let answer = socket.ask(json!({"type": "history", "room_id": room, "metadata": query}));
        assert_eq!(answer["type"], "history", "{answer}");
        answer["metadata"].clone()
    };
    let queries = [
        ("", json!({})),
        ("before=40&limit=10", json!({"before": 40, "limit": 10})),
        ("after=140", json!({"after": 140})),
    ];
    let first: Vec<Value> = queries.iter().map(|(_, query)| ask(query.clone())).collect();
    for (page, (query, _)) in first.iter().zip(&queries) {
        assert_eq!(*page, ann.page(room, query), "{query}");
    }
    server.restart();
    for (page, (query, frame)) in first.iter().zip(&queries) {
        assert_eq!(*page, ann.page(room, query), "{query} after a restart");
        assert_eq!(*page, ask(frame.clone()), "{query} after a restart, over the socket");
    }
}

#[test]
fn a_page_is_bounded_in_bytes_too() {
    let server = quick();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    let mut socket = ann.connect();
    let long = "😀".repeat(4096);
    let ids: Vec<_> = (0..60).map(|_| socket.say(room, &long)).collect();
    ids.into_iter().for_each(|id| assert_eq!(socket.answer(id)["type"], "ack"));
    let page = ann.page(room, "limit=100");
    let (got, more) = (seqs(&page), page["more"].clone());
    assert!(got.len() < 60 && !got.is_empty(), "{} messages of 16 KiB in one page", got.len());
    assert_eq!(more, true);
}

#[test]
fn who_was_away_does_not_read_what_was_said_meanwhile() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    // In a public room everything may be read; a private one is read from where one came in to where one left.
    let room = ann.room("Council", "private");
    let bring_in = || {
        let body = json!({"user_id": bob.user_id});
        let answer = ann.post(&format!("/api/v1/chat/rooms/{room}/participants"), &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let mut anns = ann.connect();
    anns.chat(room, "before bob");
    bring_in();
    anns.chat(room, "bob is here");
    bob.leave(room);
    assert_eq!(bob.get(&format!("/api/v1/chat/rooms/{room}/messages")).status, 404);
    anns.chat(room, "bob is away");
    bring_in();
    anns.chat(room, "bob is back");
    let page = bob.page(room, "after=0");
    let mut texts: Vec<String> = Vec::new();
    let mut take = |page: &Value| {
        let rows = page["messages"].as_array().expect("messages").clone();
        texts.extend(
            rows.iter().filter_map(|m| m["content"].as_str().filter(|_| m["type"] == "chat")).map(str::to_owned),
        );
        rows.last().map_or(0, |m| m["seq"].as_u64().expect("a seq"))
    };
    let mut at = take(&page);
    let mut more = page["more"] == true;
    while more {
        let page = bob.page(room, &format!("after={at}"));
        at = take(&page);
        more = page["more"] == true;
    }
    assert_eq!(texts, ["bob is here", "bob is back"]);
}
