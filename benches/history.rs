//! Reading what was: a page of history and a resume of a hundred events, from memory and from what the store gave; and coming in.

use causerie::base::ShardId;
use causerie::shard::Input;

use crate::meter::{Meter, Res, Round, Subject, ensure};
use crate::world::{World, chat, room_id, user_id};

pub const ALL: &[Subject] = &[
    Subject {
        name: "history/100 from memory",
        unit: "page",
        rounds_max: 800,
        counted: true,
        make: || pages(Ask::History),
    },
    Subject {
        name: "history/100 from the store's answer",
        unit: "page",
        rounds_max: 800,
        counted: true,
        make: || pages(Ask::Older),
    },
    Subject {
        name: "resume/100 missed, from memory",
        unit: "resume",
        rounds_max: 800,
        counted: true,
        make: || pages(Ask::Resume),
    },
    Subject {
        name: "connect/in and out, one room",
        unit: "connection",
        rounds_max: 800,
        counted: true,
        make: || connect(1, 10),
    },
    Subject {
        name: "connect/in and out, 100 rooms",
        unit: "connection",
        rounds_max: 300,
        counted: true,
        make: || connect(100, 10),
    },
];

/// Events of the room. The newest 128 are in memory.
const EVENTS: u64 = 400;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    History,
    Older,
    Resume,
}

fn pages(ask: Ask) -> Res<Round> {
    let mut world = World::new(1, 1, 2)?;
    let (author, reader) = match &world.clients[..] {
        [author, reader] => (author.conn, reader.conn),
        _ => return Err("two clients were asked for".into()),
    };
    let room = room_id(0);
    for n in 0..EVENTS {
        let text = chat(world.next_id(), room, &format!("message {n} {}", "x".repeat(100)));
        world.input(ShardId(0), Input::Text { conn: author, text });
    }
    world.settle(&mut Meter::default())?;
    let text = match ask {
        Ask::History => format!(r#"{{"type":"history","room_id":"{room}","metadata":{{"limit":100}}}}"#),
        Ask::Older => format!(r#"{{"type":"history","room_id":"{room}","metadata":{{"limit":100,"before":150}}}}"#),
        Ask::Resume => {
            let from = EVENTS - 100;
            format!(r#"{{"type":"resume","metadata":{{"rooms":[{{"room_id":"{room}","epoch":1,"seq":{from}}}]}}}}"#)
        }
    };
    Ok(Box::new(move |meter: &mut Meter| {
        world.forget_written();
        // The first one is looked at, later ones are counted.
        world.keep = !meter.on;
        world.input(ShardId(0), Input::Text { conn: reader, text: text.clone() });
        world.settle(meter)?;
        for (_, bytes) in world.take_outputs() {
            let found = String::from_utf8_lossy(&bytes).matches(r#""type":"chat""#).count();
            ensure(found == 100 || bytes.is_empty(), || format!("{found} of 100 messages came"))?;
        }
        let bytes = world.written_bytes;
        ensure(bytes > 100 * 300, || format!("the answer has {bytes} bytes"))?;
        Ok(1)
    }))
}

/// Somebody comes in again and again: token, session, rooms, `hello`; then the connection is gone.
fn connect(rooms: u64, size: u64) -> Res<Round> {
    let mut world = World::in_all_rooms(rooms, size)?;
    let token = world.token(user_id(0))?;
    let text = format!(r#"{{"type":"auth","content":"{token}"}}"#);
    Ok(Box::new(move |meter: &mut Meter| {
        world.forget_written();
        world.keep = !meter.on;
        let conn = world.connect(ShardId(0), None, meter)?;
        world.input(ShardId(0), Input::Text { conn, text: text.clone() });
        world.settle(meter)?;
        for (to, bytes) in world.take_outputs().into_iter().filter(|(to, _)| *to == conn) {
            let hello = String::from_utf8_lossy(&bytes).contains(r#""type":"hello""#);
            ensure(hello || bytes.is_empty(), || format!("{to} got no hello: {}", String::from_utf8_lossy(&bytes)))?;
        }
        let bytes = world.written_bytes;
        ensure(bytes > 500 + rooms * 300, || format!("the hello has {bytes} bytes"))?;
        world.input(ShardId(0), Input::Gone { conn, why: "peer" });
        world.settle(meter)?;
        Ok(1)
    }))
}
