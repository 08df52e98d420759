//! Frames against the texts they stand for, and everything that may be wrong with a text.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::json::{Stamp, to_string};
use super::*;
use crate::base::limits::ROOMS_PER_REQUEST_MAX;
use crate::base::{
    ClientId, Code, Epoch, Event, EventKind, EventStatus, MessageId, Number, Position, Refusal, Role, RoomId, Seq,
    Status, UserId, WallTime,
};
use crate::chat::HistoryPage;
use crate::wire::frame::{ClientBody, ServerFrame};

const V7: &str = "018f3e1c-7c00-7000-8000-000000000001";
const ROOM: &str = "00000000-0000-8000-8000-000000000007";

fn room() -> RoomId {
    ROOM.parse().expect("a literal")
}

fn id() -> ClientId {
    V7.parse().expect("a literal")
}

fn body(value: &Value) -> ClientBody {
    parse(&value.to_string()).unwrap_or_else(|wrong| panic!("{value}: {wrong:?}")).body
}

fn wrong(text: &str) -> (Code, Option<&'static str>, Option<ClientId>) {
    let malformed = parse(text).expect_err(text);
    assert!(!malformed.refusal.to_string().is_empty());
    (malformed.refusal.code, malformed.refusal.field, malformed.id)
}

fn event(kind: EventKind) -> Event {
    Event {
        room: room(),
        epoch: Epoch(2),
        seq: Seq(9),
        number: Number(5),
        user: UserId(Uuid::from_u128(1)),
        at: WallTime(1_795_000_000_007),
        kind,
        content: String::new(),
        metadata: String::new(),
        client_id: None,
        status: EventStatus::Live,
    }
}

fn shown(event: Event) -> Value {
    let text = encode(&ServerFrame::Event { event: Arc::new(event), id: None });
    serde_json::from_str(&text).expect("the server writes JSON")
}

#[test]
fn every_type_of_client_frame_is_read() {
    let device = Uuid::from_u128(3);
    assert_eq!(
        body(&json!({"type":"auth","content":"t","metadata":{"device_id":device,"hold":true}})),
        ClientBody::Auth { token: "t".into(), device: Some(crate::base::DeviceId(device)), hold: true }
    );
    assert_eq!(
        body(&json!({"type":"auth","content":"t"})),
        ClientBody::Auth { token: "t".into(), device: None, hold: false }
    );
    assert_eq!(
        parse(&format!(
            r#" {{"type":"chat","id":"{V7}","room_id":"{ROOM}","content":"a\u003cb\n","metadata": {{"k" : [1, 2.50]}} ,"later":null}}"#
        ))
        .map(|frame| (frame.id, frame.body)),
        Ok((
            Some(id()),
            ClientBody::Chat { room: room(), content: "a<b\n".into(), metadata: r#"{"k" : [1, 2.50]}"#.into() }
        ))
    );
    assert_eq!(body(&json!({"type":"ack","room_id":ROOM,"seq":4})), ClientBody::Ack { room: room(), seq: Seq(4) });
    assert_eq!(body(&json!({"type":"join","room_id":ROOM})), ClientBody::Join { room: room() });
    assert_eq!(body(&json!({"type":"leave","room_id":ROOM})), ClientBody::Leave { room: room() });
    assert_eq!(
        body(&json!({"type":"presence","metadata":{"status":"away","watch":[ROOM]}})),
        ClientBody::Presence { status: Some(Status::Away), watch: Some(vec![room()]) }
    );
    assert_eq!(body(&json!({"type":"presence"})), ClientBody::Presence { status: None, watch: None });
    assert_eq!(body(&json!({"type":"typing","room_id":ROOM})), ClientBody::Typing { room: room(), active: true });
    assert_eq!(
        body(&json!({"type":"typing","room_id":ROOM,"metadata":{"active":false}})),
        ClientBody::Typing { room: room(), active: false }
    );
    assert_eq!(
        body(&json!({"type":"history","room_id":ROOM,"metadata":{"before":7,"limit":50}})),
        ClientBody::History { room: room(), before: Some(Seq(7)), after: None, limit: Some(50) }
    );
    let at = Position { epoch: Epoch(1), seq: Seq(3) };
    assert_eq!(
        body(
            &json!({"type":"resume","metadata":{"rooms":[{"room_id":ROOM,"epoch":1,"seq":3}],"stream":{"epoch":1,"seq":3}}})
        ),
        ClientBody::Resume { rooms: vec![(room(), at)], stream: Some(at) }
    );
    assert_eq!(
        body(&json!({"type":"rooms","metadata":{"cursor":"x"}})),
        ClientBody::Rooms { cursor: Some("x".into()) }
    );
    let message = MessageId::new(room(), Epoch(1), Seq(3));
    for target in [json!({"message_id":message}), json!({"seq":3}), json!({"seq":3,"message_id":message})] {
        let with = |kind: &str| {
            let mut frame = json!({"type":kind,"room_id":ROOM});
            frame.as_object_mut().expect("an object").extend(target.as_object().expect("an object").clone());
            frame
        };
        assert_eq!(body(&with("delete")), ClientBody::Delete { room: room(), seq: Seq(3) });
        assert_eq!(body(&with("read")), ClientBody::Read { room: room(), seq: Seq(3) });
    }
}

#[test]
fn what_is_no_json_object_is_bad_json() {
    for text in [
        "",
        " ",
        "{",
        "[]",
        "1",
        "\"x\"",
        "null",
        "NaN",
        "{}{}",
        "{\"type\":NaN}",
        "{\"type\":\"a\nb\"}",
        "{'a':1}",
        "\u{feff}{}",
    ] {
        assert_eq!(wrong(text), (Code::BadJson, None, None), "{text:?}");
    }
    let deep = format!("{{\"later\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(wrong(&deep).0, Code::BadFrame, "an unknown field may be as deep as a frame is long");
    assert_eq!(wrong(&"[".repeat(60_000)).0, Code::BadJson);
    assert_eq!(wrong(&"{\"a\":".repeat(10_000)).0, Code::BadJson);
}

#[test]
fn a_refusal_names_the_field_and_carries_the_id() {
    let other = MessageId::new(RoomId(Uuid::from_u128(9)), Epoch(1), Seq(3));
    let message = MessageId::new(room(), Epoch(1), Seq(3));
    let cases = [
        (json!({}), Code::BadFrame, "type"),
        (json!({"type":5}), Code::BadFrame, "type"),
        (json!({"type":"dance"}), Code::UnknownType, "type"),
        (json!({"type":"join"}), Code::BadFrame, "room_id"),
        (json!({"type":"join","room_id":null}), Code::BadFrame, "room_id"),
        (json!({"type":"join","room_id":7}), Code::BadFrame, "room_id"),
        (json!({"type":"join","room_id":ROOM.replace('-', "")}), Code::BadFrame, "room_id"),
        (json!({"type":"chat","room_id":ROOM}), Code::BadFrame, "content"),
        (json!({"type":"chat","room_id":ROOM,"content":["x"]}), Code::BadContent, "content"),
        (json!({"type":"chat","room_id":ROOM,"content":"x","metadata":"y"}), Code::BadMetadata, "metadata"),
        (json!({"type":"ack","room_id":ROOM}), Code::BadFrame, "seq"),
        (json!({"type":"ack","room_id":ROOM,"seq":-1}), Code::BadFrame, "seq"),
        (json!({"type":"ack","room_id":ROOM,"seq":1.5}), Code::BadFrame, "seq"),
        (json!({"type":"ack","room_id":ROOM,"seq":"1"}), Code::BadFrame, "seq"),
        (json!({"type":"ack","room_id":ROOM,"seq":u64::MAX}), Code::BadFrame, "seq"),
        (json!({"type":"read","room_id":ROOM}), Code::BadFrame, "message_id"),
        (json!({"type":"delete","room_id":ROOM,"message_id":other}), Code::MessageNotFound, "message_id"),
        (json!({"type":"delete","room_id":ROOM,"message_id":message,"seq":4}), Code::BadFrame, "seq"),
        (json!({"type":"typing","room_id":ROOM,"metadata":[]}), Code::BadFrame, "metadata"),
        (json!({"type":"typing","room_id":ROOM,"metadata":{"active":1}}), Code::BadFrame, "metadata.active"),
        (json!({"type":"history","room_id":ROOM,"metadata":{"limit":-1}}), Code::BadFrame, "metadata.limit"),
        (json!({"type":"history","room_id":ROOM,"metadata":{"limit":9,"after":"1"}}), Code::BadFrame, "metadata.after"),
        (json!({"type":"history","room_id":ROOM,"metadata":{"before":1u64 << 48}}), Code::BadFrame, "metadata.before"),
        (json!({"type":"resume","metadata":{"rooms":[{"room_id":ROOM,"epoch":1}]}}), Code::BadFrame, "metadata.rooms"),
        (json!({"type":"resume","metadata":{"stream":{"epoch":-1,"seq":1}}}), Code::BadFrame, "metadata.stream"),
        (
            json!({"type":"resume","metadata":{"stream":{"epoch":1,"seq":1u64 << 50}}}),
            Code::BadFrame,
            "metadata.stream",
        ),
        (json!({"type":"presence","metadata":{"status":"offline"}}), Code::BadFrame, "metadata.status"),
        (json!({"type":"presence","metadata":{"watch":[1]}}), Code::BadFrame, "metadata.watch"),
        (
            json!({"type":"presence","metadata":{"watch":vec![ROOM; ROOMS_PER_REQUEST_MAX + 1]}}),
            Code::TooLarge,
            "metadata.watch",
        ),
        (json!({"type":"rooms","metadata":{"cursor":1}}), Code::BadFrame, "metadata.cursor"),
        (json!({"type":"auth"}), Code::BadFrame, "content"),
        (json!({"type":"auth","content":"x","metadata":{"device_id":"me"}}), Code::BadFrame, "metadata.device_id"),
        (json!({"type":"auth","content":"x","metadata":{"hold":"yes"}}), Code::BadFrame, "metadata.hold"),
    ];
    for (mut frame, code, field) in cases {
        frame["id"] = json!(V7);
        assert_eq!(wrong(&frame.to_string()), (code, Some(field), Some(id())), "{frame}");
    }
    let twice = format!(r#"{{"type":"join","id":"{V7}","room_id":"{ROOM}","room_id":"{ROOM}"}}"#);
    assert_eq!(wrong(&twice), (Code::BadFrame, Some("room_id"), Some(id())));
    let twice = format!(r#"{{"type":"history","room_id":"{ROOM}","metadata":{{"limit":1,"limit":2}}}}"#);
    assert_eq!(wrong(&twice), (Code::BadFrame, Some("metadata"), None));
    for bad in [json!(1), json!("x"), json!({}), json!([V7])] {
        assert_eq!(wrong(&json!({"type":"join","room_id":ROOM,"id":bad}).to_string()), (Code::BadId, Some("id"), None));
    }
    for bad in [json!(null), json!(Uuid::from_u128(5))] {
        let frame = json!({"type":"chat","room_id":ROOM,"content":"x","id":bad}).to_string();
        assert_eq!(wrong(&frame).0, Code::BadId, "a send needs a UUIDv7");
    }
    let half = format!(r#"{{"type":"chat","id":"{V7}","room_id":"{ROOM}","content":"\ud800"}}"#);
    assert_eq!(wrong(&half), (Code::BadContent, Some("content"), Some(id())));
}

#[test]
fn metadata_is_kept_as_written_or_refused() {
    assert_eq!(check_metadata(" {\"a\":1e2, \"b\":{\"a\":null}}\n"), Ok("{\"a\":1e2, \"b\":{\"a\":null}}".to_owned()));
    assert_eq!(check_metadata("{ }"), Ok(String::new()));
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(check_metadata(&nested(15)).is_ok());
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(4096 - 8));
    assert_eq!(long.len(), 4096);
    assert!(check_metadata(&long).is_ok());
    for bad in [
        "[]",
        "x",
        "{\"a\":1e999}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"b\":{\"a\":1,\"a\":2}}",
        "{\"a\":\"\\ud800\"}",
        "{}{}",
        "{\"a\":}",
        &nested(16),
        &nested(2000),
        &format!("{long} {{}}"),
        &format!("{{\"b\":{long}}}"),
    ] {
        let refusal = check_metadata(bad).expect_err(bad);
        assert_eq!((refusal.code, refusal.field), (Code::BadMetadata, Some("metadata")), "{bad}");
        assert!(refusal.to_string().len() < 400, "nothing long is echoed");
    }
}

#[test]
fn a_message_carries_the_clients_metadata_and_the_servers_keys_win() {
    let mut said = event(EventKind::Message);
    said.content = "hi".into();
    said.metadata = r#"{"mood":[1.0,"<b>"],"n\u0075mber":7,"deleted":true}"#.into();
    let text = encode(&ServerFrame::Event { event: Arc::new(said.clone()), id: Some(id()) });
    assert_eq!(
        text,
        format!(
            r#"{{"type":"chat","id":"{V7}","timestamp":"2026-11-18T11:06:40.007Z","user_id":"00000000-0000-0000-0000-000000000001","room_id":"{ROOM}","message_id":"{}","seq":9,"content":"hi","metadata":{{"mood":[1.0,"\u003cb\u003e"],"number":5,"epoch":2,"message_type":"text"}}}}"#,
            said.message_id()
        )
    );
    said.status = EventStatus::Deleted(WallTime(1_795_000_000_008));
    let gone = shown(said);
    assert_eq!(gone.get("content"), None);
    assert_eq!(
        gone["metadata"],
        json!({"deleted":true,"deleted_at":"2026-11-18T11:06:40.008Z","number":5,"epoch":2,"message_type":"text"})
    );
}

#[test]
fn other_events_say_who_and_what() {
    let (alice, bob) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
    let about = |kind| {
        let frame = shown(event(kind));
        (frame["type"].clone(), frame["user_id"].clone(), frame["metadata"].clone())
    };
    let meta = |mut own: Value| {
        let standing = json!({"number":5,"epoch":2,"message_type":"system"});
        own.as_object_mut().expect("an object").extend(standing.as_object().expect("an object").clone());
        own
    };
    for (kind, expected) in [
        (EventKind::Joined { subject: alice }, ("join", alice, json!({"reason":"joined","subject":alice,"by":alice}))),
        (EventKind::Joined { subject: bob }, ("join", bob, json!({"reason":"added","subject":bob,"by":alice}))),
        (EventKind::Left { subject: alice }, ("leave", alice, json!({"reason":"left","subject":alice,"by":alice}))),
        (EventKind::Left { subject: bob }, ("leave", bob, json!({"reason":"removed","subject":bob,"by":alice}))),
        (
            EventKind::RoleChanged { subject: bob, role: Role::Moderator },
            ("system", alice, json!({"event":"role","subject":bob,"role":"moderator"})),
        ),
        (EventKind::Settings, ("system", alice, json!({"event":"settings"}))),
        (EventKind::Void, ("system", alice, json!({"event":"void"}))),
        (
            EventKind::Deletion { target: Seq(4) },
            ("delete", alice, json!({"target":MessageId::new(room(), Epoch(2), Seq(4)),"target_seq":4})),
        ),
    ] {
        let (name, user, own) = expected;
        assert_eq!(about(kind), (json!(name), json!(user), meta(own)));
    }
}

#[test]
fn answers_carry_what_the_page_of_the_protocol_says() {
    let value = |frame: &ServerFrame| serde_json::from_str::<Value>(&encode(frame)).expect("JSON");
    let at = WallTime(1_795_000_000_007);
    let ack = ServerFrame::Ack {
        id: Some(id()),
        room: Some(room()),
        event: Some((Epoch(1), Seq(3), Number(2))),
        at,
        duplicate: true,
        entry: None,
    };
    assert_eq!(
        value(&ack),
        json!({"type":"ack","id":V7,"timestamp":"2026-11-18T11:06:40.007Z","room_id":ROOM,
            "message_id":MessageId::new(room(), Epoch(1), Seq(3)),"seq":3,"metadata":{"epoch":1,"number":2,"duplicate":true}})
    );
    let error = ServerFrame::Error {
        id: None,
        room: None,
        refusal: Refusal::new(Code::RateLimited).retry_after(100).field("content"),
    };
    assert_eq!(
        value(&error),
        json!({"type":"error","content":Code::RateLimited.sentence(),
            "metadata":{"code":"rate_limited","advice":Code::RateLimited.advice(),"retry_after_ms":100,"field":"content"}})
    );
    let page = HistoryPage {
        room: room(),
        epoch: Epoch(2),
        first_seq: Seq(1),
        last_seq: Seq(9),
        more: true,
        events: vec![Arc::new(event(EventKind::Void))],
    };
    let page = value(&ServerFrame::History { id: Some(id()), page: Box::new(page) });
    assert_eq!(page["metadata"]["messages"][0], shown(event(EventKind::Void)));
    assert_eq!(page["metadata"]["more"], json!(true));
    let presence =
        ServerFrame::Presence { room: None, users: vec![(UserId(Uuid::nil()), Status::Offline, at)], online: 3 };
    assert_eq!(
        value(&presence),
        json!({"type":"presence","metadata":{"users":[{"user_id":Uuid::nil(),"status":"offline",
            "last_seen":"2026-11-18T11:06:40.007Z"}],"online":3}})
    );
}

#[test]
fn no_markup_leaves_whatever_is_written() {
    let nasty = "<script>\"&'\u{2028}\u{2029}</script>\u{202a}é\u{0}\u{7f}";
    let text = to_string(&json!({ nasty: [nasty] })).expect("JSON");
    assert!(!text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{text}");
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), json!({ nasty: [nasty] }));
}

#[test]
fn what_is_escaped_is_found_wherever_it_stands() {
    // Text is looked through in blocks: each character before, in and after the borders of two of them, next to its like and alone.
    let codes =
        [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];
    for length in 0..36 {
        for (character, code) in codes {
            for tail in ["", "x", "\u{2027}éé", "<", "0123456789abcdef0123456789abcdef>"] {
                let text = format!("{}{character}{tail}", "x".repeat(length));
                let tail = tail.replace('<', "\\u003c").replace('>', "\\u003e");
                let expected = format!("\"{}{code}{tail}\"", "x".repeat(length));
                assert_eq!(to_string(&text).expect("JSON"), expected);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC*") {
        let _ = parse(&text);
    }

    #[test]
    fn any_frame_like_text_is_answered(
        kind in "chat|ack|join|resume|history|presence|typing|read|delete|auth|rooms|x",
        metadata in "[\\[\\]{}:,\"a-z0-9.\\\\-]{0,40}",
        content in any::<String>(),
    ) {
        let content = serde_json::to_string(&content).expect("a string");
        let text = format!(r#"{{"type":"{kind}","id":"{V7}","room_id":"{ROOM}","seq":1,"content":{content},"metadata":{metadata}}}"#);
        let _ = parse(&text);
    }

    #[test]
    fn text_comes_through_exactly(content in any::<String>(), key in any::<String>(), value in any::<String>()) {
        prop_assume!(!super::server::MESSAGE_KEYS.contains(&key.as_str()));
        let sent = json!({"type":"chat","id":V7,"room_id":ROOM,"content":content,"metadata":{&key:value}}).to_string();
        prop_assume!(value.len() + key.len() < 600);
        let ClientBody::Chat { content: read, metadata, .. } = parse(&sent).expect("well formed").body else {
            panic!("a chat")
        };
        let mut said = event(EventKind::Message);
        said.content = read;
        said.metadata = metadata;
        let text = encode(&ServerFrame::Event { event: Arc::new(said.clone()), id: None });
        let markup = text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']);
        prop_assert!(!markup);
        let back = shown(said);
        prop_assert_eq!(&back["content"], &json!(content));
        prop_assert_eq!(&back["metadata"][&key], &json!(value));
    }

    #[test]
    fn a_stamp_is_what_rfc3339_says(ms in prop_oneof![0u64..253_402_300_800_000, any::<u64>()]) {
        prop_assert_eq!(to_string(&Stamp(WallTime(ms))).expect("JSON"), format!("\"{}\"", WallTime(ms).rfc3339()));
    }
}
