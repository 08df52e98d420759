//! The fake server held against the protocol with the plain client: what it says when it does right, and each wrong thing it can do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]

mod fake;

use std::time::Duration;

use causerie_load::client::{self, Client, Got};
use causerie_load::http::Http;
use causerie_load::token::{self, Issuer};
use fake::{Fake, Fault, Plan, ResumeFault, Setup};
use serde_json::{Value, json};
use uuid::Uuid;

const WATCHDOG: Duration = Duration::from_mins(1);

/// A server, a room with `ann`, `ben` and `cy` in it, and `dora` outside; all are connected, in this order.
struct Stage {
    fake: Fake,
    room: Uuid,
    people: Vec<Client>,
}

fn token_of(name: &str) -> String {
    Issuer::go42("a secret that nobody looks at").token(token::user_id(name), name, 600)
}

fn connect(fake: &Fake, name: &str) -> Client {
    let config = fake.trust().config().unwrap();
    let bearer = format!("Bearer {}", token_of(name));
    let mut client = client::open(fake.address(), "/ws/chat", &[("Authorization", bearer.as_str())], &config).unwrap();
    let hello = next(&mut client);
    assert_eq!(hello["type"], "hello", "{hello}");
    client
}

fn next(client: &mut Client) -> Value {
    match client.recv(WATCHDOG) {
        Got::Frame(frame) => frame,
        other => panic!("no frame but {other:?}"),
    }
}

fn say(client: &mut Client, room: Uuid, word: &str) -> Uuid {
    let key = Uuid::now_v7();
    client.send(&json!({"type": "chat", "id": key, "room_id": room, "content": format!("{key} 1000 {word}")})).unwrap();
    key
}

/// All frames up to the answer to a question that is asked now. The fake answers in order.
fn until_now(client: &mut Client, room: Uuid) -> Vec<Value> {
    client.send(&json!({"type": "history", "id": Uuid::now_v7(), "room_id": room})).unwrap();
    std::iter::from_fn(|| Some(next(client)).filter(|frame| frame["type"] != "history" && frame["type"] != "error"))
        .collect()
}

fn stage(setup: Setup) -> Stage {
    let fake = Fake::start(setup);
    let mut http = Http::new(fake.address(), &fake.trust().config().unwrap());
    let body = json!({"name": "stage", "type": "public", "members": [token::user_id("ben")]});
    let made = http.call("POST", "/api/v1/chat/rooms", Some(&token_of("ann")), &[], Some(&body)).unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    let room: Uuid = made.json()["room_id"].as_str().unwrap().parse().unwrap();
    let joined =
        http.call("POST", &format!("/api/v1/chat/rooms/{room}/join"), Some(&token_of("cy")), &[], None).unwrap();
    assert_eq!(joined.status, 200);
    let people = ["ann", "ben", "cy", "dora"].map(|name| connect(&fake, name)).into();
    Stage { fake, room, people }
}

impl Stage {
    /// Ann says two things; what she and the others got.
    fn two_said(&mut self) -> (Vec<Uuid>, Vec<Vec<Value>>) {
        let keys = vec![say(&mut self.people[0], self.room, "one"), say(&mut self.people[0], self.room, "two")];
        // Ann's own answer comes after all that her messages caused.
        let room = self.room;
        let got = self.people.iter_mut().map(|client| until_now(client, room)).collect();
        (keys, got)
    }

    fn log(&self) -> Vec<(u64, Option<Uuid>)> {
        let mut http = Http::new(self.fake.address(), &self.fake.trust().config().unwrap());
        let log = causerie_load::run::read_log(&mut http, &token_of("ann"), self.room).unwrap();
        log.entries.iter().map(|entry| (entry.seq, entry.key)).collect()
    }

    /// The one deed, and the others of the room in the order in which the server takes them for victims.
    fn deed(&self) -> fake::Deed {
        let record = self.fake.record();
        assert_eq!(record.violations, [""; 0]);
        assert_eq!(record.deeds.len(), 1, "{:?}", record.deeds);
        record.deeds[0].clone()
    }
}

fn with(fault: Fault) -> Stage {
    stage(Setup { plan: Plan::one(0, fault), ..Setup::default() })
}

fn seqs(frames: &[Value], kind: &str) -> Vec<u64> {
    frames.iter().filter(|f| f["type"] == kind).filter_map(|f| f["seq"].as_u64()).collect()
}

/// What the victim got, and what the other one did.
fn victim_and_other(stage: &Stage, got: &[Vec<Value>]) -> (Vec<u64>, Vec<u64>) {
    let victim = stage.deed().victim.unwrap();
    let (ben, cy) = (seqs(&got[1], "chat"), seqs(&got[2], "chat"));
    if victim == token::user_id("ben") { (ben, cy) } else { (cy, ben) }
}

#[test]
fn a_server_that_does_right() {
    let mut stage = stage(Setup { pings: true, ..Setup::default() });
    let (keys, got) = stage.two_said();
    // Three joins stand before.
    assert_eq!(seqs(&got[0], "ack"), [4, 5]);
    assert_eq!(seqs(&got[0], "chat"), [0; 0]);
    for other in &got[1..3] {
        assert_eq!(seqs(other, "chat"), [4, 5]);
        assert_eq!(other[0]["content"], format!("{} 1000 one", keys[0]));
        assert_eq!(other[0]["user_id"], json!(token::user_id("ann")));
    }
    assert!(got[3].is_empty());
    assert_eq!(stage.log(), [(1, None), (2, None), (3, None), (4, Some(keys[0])), (5, Some(keys[1]))]);
    // The same id again: the first answer.
    let again =
        json!({"type": "chat", "id": keys[0], "room_id": stage.room, "content": format!("{} 1000 one", keys[0])});
    stage.people[0].send(&again).unwrap();
    let answer = next(&mut stage.people[0]);
    assert_eq!((&answer["seq"], &answer["metadata"]["duplicate"]), (&json!(4), &json!(true)));
    let record = stage.fake.record();
    assert!(record.deeds.is_empty());
    assert_eq!((record.deliveries.len(), record.messages.len()), (4, 3));
    assert!(record.deliveries.iter().all(|s| s.read_by.is_none_or(|read| read >= s.sent)));
}

#[test]
fn the_pong_bounds_the_reading() {
    let mut stage = stage(Setup { pings: true, ..Setup::default() });
    stage.two_said();
    // The answer to a second question follows the pongs to the first deliveries.
    for client in &mut stage.people {
        until_now(client, stage.room);
    }
    let record = stage.fake.record();
    assert!(record.deliveries.iter().chain(&record.acks).all(|s| s.read_by.is_some_and(|read| read >= s.sent)));
}

#[test]
fn faults_of_delivery() {
    for (fault, victims) in [
        (Fault::DropDelivery, vec![5]),
        (Fault::DeliverTwice, vec![4, 4, 5]),
        (Fault::SwapDeliveries, vec![5, 4]),
        (Fault::OtherMessage, vec![4, 5]),
        (Fault::OtherText, vec![4, 5]),
    ] {
        let mut stage = with(fault);
        let (keys, got) = stage.two_said();
        let (victim, other) = victim_and_other(&stage, &got);
        assert_eq!((victim, other), (victims, vec![4, 5]), "{fault:?}");
        assert_eq!((stage.deed().key, stage.deed().seq), (keys[0], 4));
        let texts =
            |frames: &[Value]| frames.iter().map(|f| f["content"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        let same = texts(&got[1]) == texts(&got[2]);
        assert!(!same, "{fault:?}");
        assert_eq!(stage.log().len(), 5);
    }
}

#[test]
fn deliveries_to_the_wrong_ones() {
    let mut stage = with(Fault::DeliverOutside);
    let (_, got) = stage.two_said();
    assert_eq!(seqs(&got[3], "chat"), [4]);
    assert_eq!(stage.deed().victim, Some(token::user_id("dora")));
    let mut stage = with(Fault::CopyToSender);
    let (_, got) = stage.two_said();
    assert_eq!((seqs(&got[0], "chat"), seqs(&got[0], "ack")), (vec![4], vec![4, 5]));
}

#[test]
fn faults_of_the_log() {
    let mut stage = with(Fault::AckOnly);
    let (keys, got) = stage.two_said();
    assert_eq!((seqs(&got[0], "ack"), seqs(&got[1], "chat")), (vec![4, 4], vec![4]));
    assert_eq!(stage.log()[3..], [(4, Some(keys[1]))]);

    let mut stage = with(Fault::DeliverOnly);
    let (keys, got) = stage.two_said();
    assert_eq!((seqs(&got[0], "ack"), seqs(&got[1], "chat")), (vec![4, 5], vec![4, 5]));
    assert_eq!(stage.log()[3..], [(4, None), (5, Some(keys[1]))]);

    let mut stage = with(Fault::StoreTwice);
    let (keys, got) = stage.two_said();
    assert_eq!((seqs(&got[0], "ack"), seqs(&got[1], "chat")), (vec![4, 6], vec![4, 5, 6]));
    assert_eq!(stage.log()[3..], [(4, Some(keys[0])), (5, Some(keys[0])), (6, Some(keys[1]))]);

    let mut stage = with(Fault::LogHole);
    let (keys, got) = stage.two_said();
    assert_eq!((seqs(&got[0], "ack"), seqs(&got[1], "chat")), (vec![5, 6], vec![5, 6]));
    assert_eq!(stage.log()[3..], [(5, Some(keys[0])), (6, Some(keys[1]))]);

    let mut stage = with(Fault::SwapStored);
    let (keys, got) = stage.two_said();
    assert_eq!((seqs(&got[0], "ack"), seqs(&got[1], "chat")), (vec![4, 5], vec![4, 5]));
    assert_eq!(stage.log()[3..], [(4, Some(keys[1])), (5, Some(keys[0]))]);
}

#[test]
fn faults_of_the_answer() {
    let mut stage = with(Fault::TwoAnswers);
    let (keys, got) = stage.two_said();
    assert_eq!(seqs(&got[0], "ack"), [4, 5, 5]);
    assert_eq!(got[0][1]["id"], json!(keys[0]));

    let mut stage = with(Fault::SwallowAck);
    let (_, got) = stage.two_said();
    assert_eq!((seqs(&got[0], "ack"), seqs(&got[1], "chat")), (vec![5], vec![4, 5]));

    let mut stage = with(Fault::Refuse("not_allowed"));
    let key = say(&mut stage.people[0], stage.room, "one");
    let error = next(&mut stage.people[0]);
    assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!(key)));
    assert_eq!(error["metadata"]["code"], "not_allowed");
    assert_eq!(stage.log().len(), 3);
}

#[test]
fn ends_of_connections() {
    for (fault, code) in [(Fault::Close(4503), Some(4503)), (Fault::Cut, None)] {
        let mut stage = with(fault);
        say(&mut stage.people[0], stage.room, "one");
        assert_eq!(next(&mut stage.people[0])["type"], "ack");
        let victim = if stage.deed().victim == Some(token::user_id("ben")) { 1 } else { 2 };
        match stage.people[victim].recv(WATCHDOG) {
            Got::Closed(closed, _) => assert_eq!(Some(closed), code),
            Got::Cut(_) => assert_eq!(code, None),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_resume_right_and_wrong() {
    for (fault, expected) in [
        (None, vec![4, 5]),
        (Some(ResumeFault::Gap), vec![5]),
        (Some(ResumeFault::Twice), vec![4, 4, 5]),
        (Some(ResumeFault::Reload), vec![]),
    ] {
        let mut stage = stage(Setup { plan: Plan { resume: fault, faults: Vec::new() }, ..Setup::default() });
        stage.people.remove(1).close();
        stage.two_said();
        let mut ben = connect(&stage.fake, "ben");
        let rooms = json!([{"room_id": stage.room, "epoch": 1, "seq": 3}]);
        ben.send(&json!({"type": "resume", "metadata": {"rooms": rooms, "stream": {"epoch": 1, "seq": 0}}})).unwrap();
        let got = until_now(&mut ben, stage.room);
        assert_eq!(seqs(&got, "chat"), expected, "{fault:?}");
        let end = if fault == Some(ResumeFault::Reload) { "reload" } else { "resumed" };
        assert_eq!(got.iter().filter(|f| f["type"] == end && f["room_id"] == json!(stage.room)).count(), 1);
        assert_eq!(stage.fake.record().deeds.len(), usize::from(fault.is_some()));
    }
}

#[test]
fn delays_and_stalls_are_kept_and_stamped() {
    let delay = Duration::from_millis(30);
    let mut stage = stage(Setup { delay: Some(|_| Duration::from_millis(30)), ..Setup::default() });
    say(&mut stage.people[0], stage.room, "one");
    next(&mut stage.people[0]);
    next(&mut stage.people[1]);
    let record = stage.fake.record();
    let read = record.messages[0].2;
    assert!(record.deliveries[0].sent >= read + delay && record.acks[0].sent >= read + delay);
    drop(record);

    let stall = Duration::from_millis(200);
    let mut stage = self::stage(Setup { stall: Some((0, stall)), ..Setup::default() });
    stage.two_said();
    let record = stage.fake.record();
    let (from, to) = record.stalled.unwrap();
    assert!(to >= from + stall);
    assert!(record.deliveries.iter().all(|stamp| stamp.sent >= to));
}

#[test]
fn nobody_comes_in_without_a_token() {
    let fake = Fake::start(Setup::default());
    let config = fake.trust().config().unwrap();
    let bad = client::open(fake.address(), "/ws/chat", &[("Authorization", "Bearer x")], &config);
    assert!(matches!(bad, Err(client::Refused::Status { status: 401, .. })));
    let mut late = client::open(fake.address(), "/ws/chat", &[], &config).unwrap();
    late.send(&json!({"type": "auth", "content": token_of("ann")})).unwrap();
    assert_eq!(next(&mut late)["type"], "hello");
}
