//! The contract against the code: what is written fits it, and what is read needs what it says.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::tables::{CLIENT, SERVER};
use super::{Side, asyncapi, check};
use crate::base::*;
use crate::chat::{HistoryPage, RoomEntry};
use crate::wire::frame::{Hello, HelloLimits, ServerFrame};
use crate::wire::native::{encode, parse};

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, root: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(path) = map.get("$ref").and_then(Value::as_str) {
                    assert!(root.pointer(&path[1..]).is_some(), "{path}");
                }
                map.values().for_each(|value| walk(value, root));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, root)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = asyncapi();
    walk(&document, &document);
}

const V7: Uuid = Uuid::from_u128(0x018f_3e1c_7c00_7000_8000_0000_0000_0001);

fn client_frames() -> Vec<Value> {
    let (room, id, message) = (Uuid::from_u128(7), V7, MessageId::new(RoomId(Uuid::from_u128(7)), Epoch(1), Seq(3)));
    vec![
        json!({"type":"auth","id":id,"content":"token","metadata":{"device_id":room,"hold":true}}),
        json!({"type":"chat","id":id,"room_id":room,"content":"hi","metadata":{"own":1}}),
        json!({"type":"ack","id":id,"room_id":room,"seq":3}),
        json!({"type":"join","id":id,"room_id":room}),
        json!({"type":"leave","id":id,"room_id":room}),
        json!({"type":"presence","id":id,"metadata":{"status":"away","watch":[room]}}),
        json!({"type":"typing","id":id,"room_id":room,"metadata":{"active":true}}),
        json!({"type":"history","id":id,"room_id":room,"metadata":{"before":3,"after":1,"limit":5}}),
        json!({"type":"resume","id":id,"metadata":{"rooms":[{"room_id":room,"epoch":1,"seq":3}],"stream":{"epoch":1,"seq":3}}}),
        json!({"type":"rooms","id":id,"metadata":{"cursor":"x"}}),
        json!({"type":"delete","id":id,"room_id":room,"message_id":message,"seq":3}),
        json!({"type":"read","id":id,"room_id":room,"message_id":message,"seq":3}),
    ]
}

#[test]
fn what_the_contract_lets_clients_send_is_read_and_what_it_requires_is_needed() {
    let frames = client_frames();
    let names: Vec<_> = frames.iter().map(|frame| frame["type"].as_str().expect("a type")).collect();
    assert_eq!(names, CLIENT.iter().map(|frame| frame.name).collect::<Vec<_>>(), "one of each type");
    for (frame, spec) in frames.iter().zip(CLIENT) {
        assert_eq!(check(Side::Client, frame), Ok(()), "{frame}");
        assert!(parse(&frame.to_string()).is_ok(), "{frame}");
        let fields: BTreeSet<_> = frame.as_object().expect("an object").keys().map(String::as_str).collect();
        let known: BTreeSet<_> = spec.required.iter().chain(spec.optional).copied().chain(["type"]).collect();
        assert!(fields.is_subset(&known), "{frame}");
        for field in spec.required {
            let mut without = frame.clone();
            without.as_object_mut().expect("an object").remove(*field);
            assert!(check(Side::Client, &without).is_err(), "{without}");
            let refusal = parse(&without.to_string()).expect_err("a required field is missing").refusal;
            assert_eq!(refusal.field, Some(*field), "{without}");
        }
        for field in spec.optional.iter().filter(|field| **field == "metadata") {
            let mut without = frame.clone();
            without.as_object_mut().expect("an object").remove(*field);
            assert_eq!(check(Side::Client, &without), Ok(()));
            assert!(parse(&without.to_string()).is_ok(), "{without}");
        }
    }
}

fn entry(full: bool) -> RoomEntry {
    RoomEntry {
        room_id: RoomId(Uuid::from_u128(7)),
        name: if full { "general".into() } else { String::new() },
        description: if full { "about".into() } else { String::new() },
        metadata: if full { "{\"own\":[1]}".into() } else { String::new() },
        kind: if full { RoomType::Public } else { RoomType::Direct },
        role: full.then_some(Role::Owner),
        peer: (!full).then_some(UserId(Uuid::from_u128(2))),
        members: 2,
        epoch: Epoch(1),
        first_seq: Seq(1),
        last_seq: Seq(9),
        last_number: Number(4),
        read_number: Number(3),
        last_at: WallTime(1_795_000_000_000),
        created_at: WallTime(1_790_000_000_000),
        retention_days: full.then_some(30),
    }
}

fn events() -> Vec<Arc<Event>> {
    let (alice, bob) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
    let kinds = [
        EventKind::Message,
        EventKind::Deletion { target: Seq(2) },
        EventKind::Joined { subject: alice },
        EventKind::Joined { subject: bob },
        EventKind::Left { subject: alice },
        EventKind::Left { subject: bob },
        EventKind::RoleChanged { subject: bob, role: Role::Moderator },
        EventKind::Settings,
        EventKind::Void,
    ];
    let mut all: Vec<_> = kinds
        .into_iter()
        .map(|kind| Event {
            room: RoomId(Uuid::from_u128(7)),
            epoch: Epoch(1),
            seq: Seq(9),
            number: Number(4),
            user: alice,
            at: WallTime(1_795_000_000_000),
            kind,
            content: "name".into(),
            metadata: "{\"own\":{\"a\":[1,2]}}".into(),
            client_id: None,
            status: EventStatus::Live,
        })
        .collect();
    all.push(Event { status: EventStatus::Deleted(WallTime(1_795_000_000_001)), ..all[0].clone() });
    all.into_iter().map(Arc::new).collect()
}

/// One of each kind of frame, in its fullest and its barest form.
fn server_frames() -> Vec<ServerFrame> {
    let (room, user, at) = (RoomId(Uuid::from_u128(7)), UserId(Uuid::from_u128(1)), WallTime(1_795_000_000_000));
    let id = Some(ClientId(V7));
    let position = Position { epoch: Epoch(1), seq: Seq(3) };
    let profile =
        Profile { id: user, username: "alice".into(), display_name: "Alice".into(), admin: true, last_seen: at };
    let limits = HelloLimits {
        content_chars: 4096,
        metadata_bytes: 4096,
        frame_bytes: 65_536,
        messages_per_second: 10,
        messages_burst: 20,
        page_rows: 100,
        rooms_per_request: 1000,
    };
    let mut frames = vec![ServerFrame::Hello(Box::new(Hello {
        user: profile,
        session_id: SessionId(Uuid::from_u128(3)),
        device_id: DeviceId(Uuid::from_u128(4)),
        capabilities: vec!["resume"],
        limits,
        heartbeat_ms: 10_000,
        rooms: vec![entry(true), entry(false)],
        more_rooms: true,
        cursor: Some("x".into()),
        stream: position,
        at,
    }))];
    frames.extend(events().into_iter().flat_map(|event| {
        [ServerFrame::Event { event: Arc::clone(&event), id }, ServerFrame::Event { event, id: None }]
    }));
    let page = HistoryPage { room, epoch: Epoch(1), first_seq: Seq(1), last_seq: Seq(9), more: true, events: events() };
    frames.extend([
        ServerFrame::Ack {
            id,
            room: Some(room),
            event: Some((Epoch(1), Seq(3), Number(2))),
            at,
            duplicate: true,
            entry: Some(Box::new(entry(true))),
        },
        ServerFrame::Ack { id: None, room: None, event: None, at, duplicate: false, entry: None },
        ServerFrame::Presence {
            room: Some(room),
            users: vec![(user, Status::Away, at), (user, Status::Online, WallTime(0))],
            online: 2,
        },
        ServerFrame::Presence { room: None, users: vec![], online: 0 },
        ServerFrame::Typing { room, user, active: true },
        ServerFrame::History { id, page: Box::new(page) },
        ServerFrame::Resumed { id, room: Some(room), seq: Seq(3), more: true },
        ServerFrame::Resumed { id: None, room: None, seq: Seq(3), more: false },
        ServerFrame::Reload { id, room: Some(room), reason: "retention" },
        ServerFrame::Resync { room, position },
        ServerFrame::Rooms { id, rooms: vec![entry(true)], cursor: Some("y".into()) },
        ServerFrame::Rooms { id: None, rooms: vec![], cursor: None },
        ServerFrame::Notice { code: "draining", reconnect_after_ms: Some(500) },
        ServerFrame::Notice { code: "token_expiring", reconnect_after_ms: None },
        ServerFrame::Error { id, room: Some(room), refusal: Refusal::new(Code::Busy).retry_after(5).field("content") },
        ServerFrame::Error { id: None, room: None, refusal: Refusal::new(Code::BadJson) },
    ]);
    let kinds = [
        StreamKind::Added { room, by: user, role: Role::Member },
        StreamKind::Removed { room, by: user },
        StreamKind::Read { room, number: Number(3) },
    ];
    frames.extend(kinds.map(|kind| ServerFrame::Stream(Box::new(StreamEvent { user, seq: Seq(1), at, kind }))));
    frames
}

#[test]
fn what_the_server_writes_is_what_the_contract_says() {
    let mut seen = BTreeSet::new();
    for frame in server_frames() {
        let written: Value = serde_json::from_str(&encode(&frame)).expect("JSON");
        assert_eq!(check(Side::Server, &written), Ok(()), "{written}");
        seen.insert(written["type"].as_str().expect("a type").to_owned());
    }
    assert_eq!(seen, SERVER.iter().map(|frame| frame.name.to_owned()).collect());
}

#[test]
fn what_the_contract_does_not_say_is_found() {
    let good: Value = serde_json::from_str(&encode(&server_frames()[0])).expect("JSON");
    let wrong = |change: fn(&mut Value)| {
        let mut frame = good.clone();
        change(&mut frame);
        check(Side::Server, &frame).expect_err("wrong")
    };
    assert!(wrong(|f| f["metadata"]["rooms"][0]["role"] = json!("king")).contains("role"));
    assert!(wrong(|f| f["metadata"]["rooms"][0]["new"] = json!(1)).contains("new"));
    assert!(wrong(|f| f["metadata"]["stream"]["seq"] = json!("1")).contains("seq"));
    assert!(wrong(|f| f["timestamp"] = json!("2026-11-22T10:00:00Z")).contains("timestamp"));
    assert!(wrong(|f| f["user_id"] = json!("x")).contains("user_id"));
    assert!(wrong(|f| f["metadata"]["limits"] = Value::Null).contains("limits"));
    assert!(wrong(|f| f["type"] = json!("x")).contains("server.x"));
    assert!(check(Side::Client, &json!({"type":"ack","room_id":Uuid::nil(),"seq":-1})).is_err());
}
