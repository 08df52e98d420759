//! Bytes to frames and back: the WebSocket parser, a client's JSON, the server's JSON.

use std::sync::Arc;

use causerie::base::{ClientId, Epoch, Number, RoomType, Seq, Status, WallTime};
use causerie::chat::{HistoryPage, RoomEntry};
use causerie::connection::frame;
use causerie::wire::frame::{ClientBody, ServerFrame};
use causerie::wire::native;
use causerie::wire::websocket::{Event, Parser, WebSocketLimits};
use uuid::Uuid;

use crate::fanout::event;
use crate::meter::{Meter, Res, Round, Subject, ensure};
use crate::world::{chat, masked, room_id, user_id};

/// So many at a time, that starting and stopping the clock does not show.
const EACH: u64 = 100;

const fn subject(name: &'static str, unit: &'static str, make: fn() -> Res<Round>) -> Subject {
    Subject { name, unit, rounds_max: 100_000, counted: true, make }
}

pub const ALL: &[Subject] = &[
    subject("websocket/a chat frame", "frame", || {
        Ok(websocket(&[masked(&chat(Uuid::from_u128(1), room_id(1), &text()))]))
    }),
    subject("websocket/a chat frame in two pieces", "frame", || {
        let bytes = masked(&chat(Uuid::from_u128(1), room_id(1), &text()));
        let (first, second) = bytes.split_at(bytes.len() / 2);
        Ok(websocket(&[first.to_vec(), second.to_vec()]))
    }),
    subject("websocket/ten ack frames in one read", "read", || Ok(websocket(&[masked(&ack()).repeat(10)]))),
    subject("decode/chat", "frame", || Ok(decode(chat(Uuid::from_u128(7 << 76), room_id(1), &text())))),
    subject("decode/chat with escapes and metadata", "frame", || {
        let (id, room) = (Uuid::from_u128(7 << 76), room_id(1));
        let content = r"Gr\u00fc\u00dfe\naus dem \u201eOff\u201c \ud83d\udc4b";
        Ok(decode(format!(
            r#"{{"type":"chat","id":"{id}","room_id":"{room}","content":"{content}","metadata":{{"reply_to":"x","n":[1,2,3]}}}}"#
        )))
    }),
    subject("decode/ack", "frame", || Ok(decode(ack()))),
    subject("encode/chat", "frame", || {
        Ok(encode(ServerFrame::Event { event: event(room_id(1), 9, user_id(1)), id: None }))
    }),
    subject("encode/ack", "frame", || {
        let event = Some((Epoch(1), Seq(5), Number(5)));
        let (id, room) = (Some(ClientId(Uuid::from_u128(1))), Some(room_id(1)));
        Ok(encode(ServerFrame::Ack { id, room, event, at: WallTime(1_795_000_000_000), duplicate: false, entry: None }))
    }),
    subject("encode/presence of 100", "frame", || {
        let users = (0..100).map(|n| (user_id(n), Status::Online, WallTime(0))).collect();
        Ok(encode(ServerFrame::Presence { room: Some(room_id(1)), users, online: 100 }))
    }),
    subject("encode/history of 100", "frame", || {
        let events = (1..=100).map(|seq| event(room_id(1), seq, user_id(1))).collect();
        let page = HistoryPage {
            room: room_id(1),
            epoch: Epoch(1),
            first_seq: Seq(1),
            last_seq: Seq(100),
            more: false,
            events,
        };
        Ok(encode(ServerFrame::History { id: None, page: Box::new(page) }))
    }),
    subject("encode/page of 100 rooms", "frame", || {
        Ok(encode(ServerFrame::Rooms { id: None, rooms: (0..100).map(entry).collect(), cursor: None }))
    }),
];

fn text() -> String {
    "x".repeat(120)
}

fn ack() -> String {
    format!(r#"{{"type":"ack","room_id":"{}","seq":123456}}"#, room_id(1))
}

fn entry(n: u64) -> RoomEntry {
    RoomEntry {
        room_id: room_id(n),
        name: format!("room {n}"),
        description: "what it is about".to_owned(),
        metadata: String::new(),
        kind: RoomType::Private,
        role: Some(causerie::base::Role::Member),
        peer: None,
        members: 100,
        epoch: Epoch(1),
        first_seq: Seq(1),
        last_seq: Seq(1000),
        last_number: Number(990),
        read_number: Number(980),
        last_at: WallTime(1_795_000_000_000),
        created_at: WallTime(1_795_000_000_000),
        retention_days: None,
    }
}

fn websocket(pieces: &[Vec<u8>]) -> Round {
    let pieces = pieces.to_vec();
    let mut parser = Parser::new(WebSocketLimits::CHAT);
    let mut events = Vec::new();
    Box::new(move |meter: &mut Meter| {
        meter.section(|| {
            for _ in 0..EACH {
                events.clear();
                for piece in &pieces {
                    parser.feed(piece, &mut events);
                }
            }
        });
        let right = matches!(&events[..], [Event::Text(text), ..] if text.ends_with('}'));
        ensure(right && parser.is_idle(), || format!("{events:?} came out"))?;
        Ok(EACH)
    })
}

fn decode(text: String) -> Round {
    Box::new(move |meter: &mut Meter| {
        let mut last = None;
        meter.section(|| {
            for _ in 0..EACH {
                last = Some(native::parse(&text));
            }
        });
        let right =
            matches!(&last, Some(Ok(frame)) if matches!(frame.body, ClientBody::Chat { .. } | ClientBody::Ack { .. }));
        ensure(right, || format!("{last:?} was read"))?;
        Ok(EACH)
    })
}

fn encode(what: ServerFrame) -> Round {
    let what = Arc::new(what);
    Box::new(move |meter: &mut Meter| {
        let mut last = bytes::Bytes::new();
        meter.section(|| {
            for _ in 0..EACH {
                last = frame(&what);
            }
        });
        ensure(last.first() == Some(&0x81) && last.ends_with(b"}"), || format!("{last:?} was written"))?;
        Ok(EACH)
    })
}
