//! The rules of positions and sends, one by one, against frames as the server writes them.

use serde_json::{Value, json};
use uuid::Uuid;

use super::frames::Place;
use super::session::{Effect, Saved, Session, Shown};

const ROOM: Uuid = Uuid::from_u128(7);
const ME: Uuid = Uuid::from_u128(1);
const BOB: Uuid = Uuid::from_u128(2);

struct Client {
    session: Session,
    now: u64,
}

impl Client {
    fn new() -> Self {
        Self { session: Session::new(Saved::default()), now: 0 }
    }

    fn connect(&mut self, epoch: u32, last_seq: u64) -> Vec<Effect> {
        self.session.connected("token");
        self.give(&json!({"type":"hello","metadata":{"protocol":1,"user":{"user_id":ME,"username":"me"},"device_id":ME,
            "rooms":[{"room_id":ROOM,"name":"r","type":"public","epoch":epoch,"last_seq":last_seq}],
            "more_rooms":false,"stream":{"epoch":1,"seq":0}}}))
    }

    fn give(&mut self, frame: &Value) -> Vec<Effect> {
        self.session.frame(&frame.to_string(), self.now);
        self.session.effects()
    }

    fn chat(&mut self, seq: u64) -> Vec<Effect> {
        self.give(&chat(seq))
    }

    fn position(&self) -> Place {
        self.session.rooms[&ROOM].position
    }
}

fn chat(seq: u64) -> Value {
    json!({"type":"chat","room_id":ROOM,"seq":seq,"user_id":BOB,"content":seq.to_string(),"metadata":{"epoch":1}})
}

fn resumed(seq: u64, more: bool) -> Value {
    json!({"type":"resumed","room_id":ROOM,"seq":seq,"metadata":{"more":more}})
}

/// The seqs of live events that are shown.
fn shown(effects: &[Effect]) -> Vec<u64> {
    let seq =
        |effect: &Effect| if let Effect::Show(Shown::Event { event, old: false }) = effect { event.seq } else { None };
    effects.iter().filter_map(seq).collect()
}

fn sent(effects: &[Effect], kind: &str) -> Vec<Value> {
    let frame =
        |effect: &Effect| if let Effect::Send(text) = effect { serde_json::from_str::<Value>(text).ok() } else { None };
    effects.iter().filter_map(frame).filter(|frame| frame["type"] == kind).collect()
}

#[test]
fn events_are_shown_in_order_once_each() {
    let mut client = Client::new();
    let hello = client.connect(1, 5);
    assert_eq!(sent(&hello, "resume"), Vec::<Value>::new(), "a room without a position starts where it stands");
    assert_eq!(shown(&client.chat(6)), [6]);
    assert_eq!(shown(&client.chat(6)), [0; 0]);
    assert_eq!(shown(&client.chat(5)), [0; 0]);
    assert_eq!(shown(&client.chat(7)), [7]);
}

#[test]
fn what_lies_behind_a_hole_waits_until_the_hole_is_filled() {
    let mut client = Client::new();
    client.connect(1, 5);
    let asked = client.chat(8);
    assert_eq!(shown(&asked), [0; 0]);
    assert_eq!(sent(&asked, "resume")[0]["metadata"]["rooms"], json!([{"room_id":ROOM,"epoch":1,"seq":5}]));
    assert_eq!(sent(&client.chat(9), "resume"), Vec::<Value>::new(), "one question at a time");
    assert_eq!(shown(&client.chat(6)), [6]);
    assert_eq!(shown(&client.chat(7)), [7, 8, 9]);
    assert_eq!(shown(&client.give(&resumed(9, false))), [0; 0]);
    assert_eq!(shown(&client.chat(10)), [10]);
}

#[test]
fn numbers_that_nobody_is_shown_are_no_hole_once_resumed_says_so() {
    let mut client = Client::new();
    client.connect(1, 5);
    client.chat(8);
    assert_eq!(shown(&client.chat(6)), [6]);
    assert_eq!(shown(&client.give(&resumed(8, false))), [8], "7 is a void");
    assert_eq!(client.position(), Place { epoch: 1, seq: 8 });
    assert_eq!(shown(&client.chat(9)), [9]);
}

#[test]
fn a_long_absence_is_resumed_in_pieces() {
    let mut client = Client::new();
    client.connect(1, 5);
    client.session.lost();
    let hello = client.connect(1, 9);
    assert_eq!(sent(&hello, "resume")[0]["metadata"]["rooms"][0]["seq"], json!(5));
    assert_eq!(shown(&client.chat(6)), [6]);
    assert_eq!(shown(&client.chat(10)), [0; 0], "a live one meanwhile");
    let next = client.give(&resumed(7, true));
    assert_eq!(sent(&next, "resume")[0]["metadata"]["rooms"][0]["seq"], json!(7));
    assert_eq!(shown(&client.chat(8)), [8]);
    assert_eq!(shown(&client.chat(9)), [9, 10]);
    client.give(&resumed(10, false));
    assert_eq!(client.position().seq, 10);
}

#[test]
fn a_hole_that_cannot_be_filled_is_told() {
    let mut client = Client::new();
    client.connect(1, 5);
    client.chat(8);
    let mut told = Vec::new();
    for _ in 0..10 {
        told = client.give(&resumed(5, false));
        if !shown(&told).is_empty() {
            break;
        }
        assert_eq!(sent(&told, "resume").len(), 1);
    }
    assert_eq!(shown(&told), [8]);
    assert!(told.iter().any(|effect| matches!(effect, Effect::Show(Shown::Note(text)) if text.contains("6 to 7"))));
}

#[test]
fn shed_frames_are_asked_for() {
    let mut client = Client::new();
    client.connect(1, 5);
    let resync = json!({"type":"resync","room_id":ROOM,"metadata":{"position":{"epoch":1,"seq":5}}});
    assert_eq!(sent(&client.give(&resync), "resume").len(), 1);
    assert_eq!(sent(&client.give(&resync), "resume").len(), 0, "one is under way");
    assert_eq!(sent(&client.give(&resumed(6, false)), "resume").len(), 1, "what was shed meanwhile");
    assert_eq!(sent(&client.give(&resumed(6, false)), "resume").len(), 0);
}

#[test]
fn a_past_that_is_gone_is_told_and_the_newest_taken() {
    let mut client = Client::new();
    client.connect(1, 5);
    client.session.lost();
    client.connect(2, 3);
    let told = client.give(&json!({"type":"reload","room_id":ROOM,"metadata":{"reason":"epoch"}}));
    assert_eq!(sent(&told, "history").len(), 1);
    assert_eq!(shown(&client.chat(4)), [0; 0], "it waits for the page");
    let page = client.give(&json!({"type":"history","room_id":ROOM,
        "metadata":{"messages":[chat(3)],"first_seq":1,"last_seq":3,"epoch":2,"more":false}}));
    assert_eq!(shown(&page), [4]);
    assert_eq!(client.position(), Place { epoch: 2, seq: 4 });
    let gone = client.give(&json!({"type":"reload","room_id":ROOM,"metadata":{"reason":"not_member"}}));
    assert!(gone.contains(&Effect::Show(Shown::Gone(ROOM))));
}

#[test]
fn sends_leave_one_by_one_and_again_with_the_same_id() {
    let (first, second) = (Uuid::from_u128(11), Uuid::from_u128(12));
    let mut client = Client::new();
    client.session.say(first, ROOM, "a".into(), 0);
    client.session.say(second, ROOM, "b".into(), 0);
    assert!(client.session.effects().is_empty(), "nobody is there yet");
    let hello = client.connect(1, 5);
    assert_eq!(sent(&hello, "chat"), [json!({"type":"chat","id":first,"room_id":ROOM,"content":"a"})]);

    // The ack is lost with the connection; the message was stored, and another one after it.
    client.session.lost();
    let hello = client.connect(1, 7);
    assert_eq!(sent(&hello, "chat")[0]["id"], json!(first));
    let mine =
        json!({"type":"chat","id":first,"room_id":ROOM,"seq":6,"user_id":ME,"content":"a","metadata":{"epoch":1}});
    assert_eq!(shown(&client.give(&mine)), [6]);
    let ack = |id: Uuid, seq: u64| json!({"type":"ack","id":id,"room_id":ROOM,"seq":seq,"metadata":{"epoch":1,"number":seq,"duplicate":true}});
    let acked = client.give(&ack(first, 6));
    assert_eq!(shown(&acked), [0; 0], "it was shown already");
    assert_eq!(sent(&acked, "chat")[0]["id"], json!(second));
    assert_eq!(shown(&client.give(&ack(second, 8))), [0; 0], "7 comes first");
    assert_eq!(client.session.pending(), 0);
    assert_eq!(shown(&client.chat(7)), [7, 8]);
}

#[test]
fn refusals_are_told_and_passing_ones_waited_out() {
    let (first, second) = (Uuid::from_u128(11), Uuid::from_u128(12));
    let mut client = Client::new();
    client.connect(1, 5);
    client.session.say(first, ROOM, "a".into(), 0);
    client.session.say(second, ROOM, "b".into(), 0);
    client.session.effects();
    let error = |code: &str| json!({"type":"error","id":first,"content":"no","metadata":{"code":code,"advice":"wait","retry_after_ms":300}});
    assert_eq!(sent(&client.give(&error("rate_limited")), "chat"), Vec::<Value>::new());
    assert_eq!(client.session.next_deadline(), Some(300));
    client.session.tick(299);
    assert!(client.session.effects().is_empty());
    client.session.tick(300);
    assert_eq!(sent(&client.session.effects(), "chat")[0]["id"], json!(first));
    client.now = 301;
    let refused = client.give(&error("bad_content"));
    assert!(refused.iter().any(|effect| matches!(effect, Effect::Show(Shown::Refused { id, .. }) if *id == first)));
    assert_eq!(sent(&refused, "chat")[0]["id"], json!(second));
    client.session.tick(30_000);
    assert!(client.session.effects().contains(&Effect::Reconnect { after_ms: 0 }), "no answer at all");
    assert_eq!(client.session.pending(), 1);
}

#[test]
fn the_next_process_goes_on_where_this_one_stopped() {
    let mut client = Client::new();
    client.connect(1, 5);
    client.chat(6);
    let saved = serde_json::to_string(&client.session.saved()).expect("JSON");
    let mut next = Client { session: Session::new(serde_json::from_str(&saved).expect("JSON")), now: 0 };
    let hello = next.connect(1, 9);
    assert_eq!(sent(&hello, "resume")[0]["metadata"]["rooms"][0]["seq"], json!(6));
    assert_eq!(sent(&hello, "auth")[0]["metadata"]["device_id"], json!(ME));
}

#[test]
fn delivery_is_told_once_a_second_at_most() {
    let mut client = Client::new();
    client.connect(1, 5);
    assert_eq!(sent(&client.chat(6), "ack").len(), 0);
    client.chat(7);
    assert_eq!(client.session.next_deadline(), Some(1000));
    client.session.tick(1000);
    assert_eq!(sent(&client.session.effects(), "ack"), [json!({"type":"ack","room_id":ROOM,"seq":7})]);
    assert_eq!(client.session.next_deadline(), None);
}

#[test]
fn rooms_come_and_go_with_the_user_stream() {
    let other = Uuid::from_u128(8);
    let mut client = Client::new();
    client.connect(1, 5);
    let added = client.give(&json!({"type":"stream","room_id":other,"seq":1,"metadata":{"event":"added"}}));
    assert_eq!(sent(&added, "rooms").len(), 1);
    let rooms = client.give(&json!({"type":"rooms","metadata":{"rooms":[
        {"room_id":other,"name":"new","type":"private","epoch":1,"last_seq":4}],"more_rooms":false}}));
    assert!(rooms.contains(&Effect::Show(Shown::Entered(other))));
    client.give(&json!({"type":"stream","room_id":other,"seq":2,"metadata":{"event":"removed"}}));
    assert!(!client.session.rooms.contains_key(&other));
}
