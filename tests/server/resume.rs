//! After any break a client ends with exactly what it missed, in order, once each, in its present state, or is told to reload.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::socket::{Socket, is_event, seq};
use crate::support::{Person, Server, Setup};

fn quick() -> Server {
    Setup::default().set("limits.messages_per_second", 10_000).set("limits.messages_burst", 10_000).start()
}

fn epoch(person: &Person, room: Uuid) -> Value {
    person.page(room, "limit=1")["epoch"].clone()
}

/// Resumes one room from a position until there is no more; answers what came.
fn resume(socket: &mut Socket, room: Uuid, epoch: &Value, from: u64) -> Vec<Value> {
    let (mut stand, mut got) = (from, Vec::new());
    loop {
        let had = socket.seen.len();
        let place = json!([{"room_id": room, "epoch": epoch, "seq": stand}]);
        socket.send(&json!({"type": "resume", "metadata": {"rooms": place}}));
        let end = socket
            .expect("resumed", |f| (f["type"] == "resumed" || f["type"] == "reload") && f["room_id"] == json!(room));
        assert_eq!(end["type"], "resumed", "{end}");
        got.extend(socket.seen[had..].iter().filter(|f| is_event(f) && f["room_id"] == json!(room)).cloned());
        stand = seq(&end);
        if end["metadata"]["more"] != true {
            return got;
        }
    }
}

#[test]
fn what_was_missed_comes_once_in_order() {
    let server = quick();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let epoch = epoch(&bob, room);
    let (mut anns, bobs) = (ann.connect(), bob.connect());
    let stand = bobs.hello["metadata"]["rooms"][0]["last_seq"].as_u64().expect("last_seq");
    drop(bobs); // cut, without a close
    // More than one resume gives, and more than the room keeps in memory.
    let ids: Vec<_> = (0..700).map(|n| anns.say(room, &format!("missed {n}"))).collect();
    ids.into_iter().for_each(|id| assert_eq!(anns.answer(id)["type"], "ack"));

    let mut bobs = bob.connect_by_frame(&json!({"hold": true}));
    let got = resume(&mut bobs, room, &epoch, stand);
    assert_eq!(got.iter().map(seq).collect::<Vec<_>>(), (stand + 1..=stand + 700).collect::<Vec<_>>());
    assert_eq!(got[5]["content"], "missed 5");
    anns.chat(room, "and on");
    let next = bobs.message(room);
    assert_eq!((seq(&next), &next["content"]), (stand + 701, &json!("and on")));
}

#[test]
fn with_hold_nothing_comes_before_the_resume_and_nothing_is_lost_between() {
    let server = quick();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let epoch = epoch(&bob, room);
    let stand = bob.page(room, "limit=1")["last_seq"].as_u64().expect("a seq");
    // One talks all the time, the other comes with `hold` in the middle of it, twenty times.
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let talk = scope.spawn(|| {
            let mut anns = ann.connect();
            let mut n = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                anns.chat(room, &format!("on and on {n}"));
                n += 1;
            }
            anns.chat(room, "the last word");
        });
        let mut at = stand;
        for round in 0..20 {
            let mut bobs = bob.connect_by_frame(&json!({"hold": true}));
            bobs.fence();
            assert!(bobs.events(room).is_empty(), "held, round {round}: {:?}", bobs.events(room));
            resume(&mut bobs, room, &epoch, at);
            for _ in 0..3 {
                bobs.message(room); // live again
            }
            let seqs: Vec<u64> = bobs.events(room).iter().map(seq).collect();
            let expected: Vec<u64> = (at + 1..=*seqs.last().expect("events")).collect();
            assert_eq!(seqs, expected, "round {round}");
            at = *seqs.last().expect("events");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        talk.join().expect("ann");
    });
}

#[test]
fn without_hold_live_events_start_at_once_and_the_union_is_whole() {
    let server = quick();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let epoch = epoch(&bob, room);
    let stand = bob.page(room, "limit=1")["last_seq"].as_u64().expect("a seq");
    let mut anns = ann.connect();
    for n in 0..10 {
        anns.chat(room, &format!("missed {n}"));
    }
    let mut bobs = bob.connect();
    anns.chat(room, "live");
    assert_eq!(bobs.message(room)["content"], "live");
    resume(&mut bobs, room, &epoch, stand);
    let union: BTreeSet<u64> = bobs.events(room).iter().map(seq).collect();
    assert_eq!(union, (stand + 1..=stand + 11).collect());
}

#[test]
fn what_was_deleted_meanwhile_is_never_shown() {
    let server = quick();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let epoch = epoch(&bob, room);
    let stand = bob.page(room, "limit=1")["last_seq"].as_u64().expect("a seq");
    let mut anns = ann.connect();
    let said = anns.chat(room, "a secret slip");
    anns.chat(room, "something else");
    assert_eq!(anns.ask(json!({"type": "delete", "room_id": room, "seq": said["seq"]}))["type"], "ack");

    let mut bobs = bob.connect_by_frame(&json!({"hold": true}));
    let got = resume(&mut bobs, room, &epoch, stand);
    assert!(!bobs.client.take_raw().join("\n").contains("a secret slip"));
    let shown = got.iter().find(|f| f["seq"] == said["seq"]).expect("its place is kept");
    assert_eq!(shown["metadata"]["deleted"], true, "{shown}");
    assert_eq!(got.iter().map(seq).collect::<Vec<_>>(), (stand + 1..=stand + 3).collect::<Vec<_>>());
}

#[test]
fn a_position_that_cannot_be_is_told_to_reload() {
    let server = Server::start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    let epoch = epoch(&ann, room).as_u64().expect("an epoch");
    let mut socket = ann.connect();
    for (place, reason) in [
        (json!({"room_id": room, "epoch": epoch, "seq": 1_000_000}), "future"),
        (json!({"room_id": room, "epoch": epoch + 1, "seq": 1}), "epoch"),
        (json!({"room_id": Uuid::now_v7(), "epoch": epoch, "seq": 1}), "not_member"),
    ] {
        socket.send(&json!({"type": "resume", "metadata": {"rooms": [place]}}));
        let reload = socket.expect("reload", |f| f["type"] == "reload");
        assert_eq!(reload["metadata"]["reason"], reason, "{reload}");
    }
}

#[test]
fn many_rooms_in_one_resume_and_after_a_crash() {
    let mut server = quick();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let rooms: Vec<Uuid> = (0..20).map(|n| ann.room(&format!("room {n}"), "public")).collect();
    rooms.iter().for_each(|&room| bob.join(room));
    let mut stands = Vec::new();
    for &room in &rooms {
        let page = bob.page(room, "limit=1");
        stands.push(json!({"room_id": room, "epoch": page["epoch"], "seq": page["last_seq"]}));
    }
    let mut anns = ann.connect();
    for n in 0..3 {
        for &room in &rooms {
            anns.chat(room, &format!("{n}"));
        }
    }
    server.restart();
    let mut bobs = bob.connect_by_frame(&json!({"hold": true}));
    bobs.send(&json!({"type": "resume", "metadata": {"rooms": stands}}));
    for _ in &rooms {
        let end = bobs.expect("resumed", |f| f["type"] == "resumed" || f["type"] == "reload");
        assert_eq!(end["type"], "resumed", "{end}");
    }
    for &room in &rooms {
        let texts: Vec<Value> = bobs.messages(room).iter().map(|m| m["content"].clone()).collect();
        assert_eq!(texts, ["0", "1", "2"]);
    }
}

#[test]
fn the_user_stream_is_resumed_like_a_room() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let stream = bob.connect().hello["metadata"]["stream"].clone();
    let room = ann.room_with(&json!({"name": "Two of us", "type": "private", "members": [bob.user_id]}));
    // The entry is written after the room: once `hello` counts it, it is there to be resumed.
    let mut bobs = crate::support::eventually("the entry", || {
        let socket = bob.connect();
        (socket.hello["metadata"]["stream"]["seq"] == 1).then_some(socket)
    });
    bobs.send(&json!({"type": "resume", "metadata": {"rooms": [], "stream": stream}}));
    let added = bobs.expect("the entry", |f| f["type"] == "stream");
    assert_eq!((&added["room_id"], &added["metadata"]["event"]), (&json!(room), &json!("added")));
    let end = bobs.expect("resumed", |f| f["type"] == "resumed" && f["room_id"].is_null());
    assert_eq!(end["seq"], added["seq"]);
}
