//! A whole publish: a client's frame in, through the room and the store, the ack and the deliveries out, on one and on two shards.

use crate::meter::{Meter, Res, Round, Subject, ensure};
use crate::world::{World, chat, masked};

/// Characters of a message.
const CHARS: usize = 120;

/// What a round is: in each of `rooms` rooms of `size`, `each` messages come in one turn.
#[derive(Clone, Copy)]
struct Shape {
    shards: u16,
    rooms: u64,
    size: u64,
    each: u64,
    /// Figures for one delivery, not for one message.
    deliveries: bool,
}

pub const ALL: &[Subject] = &[
    Subject {
        name: "publish/room of 10",
        unit: "message",
        rounds_max: 800,
        counted: true,
        make: || publish(Shape { shards: 1, rooms: 10, size: 10, each: 1, deliveries: false }),
    },
    Subject {
        name: "publish/room of 100",
        unit: "delivery",
        rounds_max: 7000,
        counted: true,
        make: || publish(Shape { shards: 1, rooms: 1, size: 100, each: 1, deliveries: true }),
    },
    Subject {
        name: "publish/room of 1,000",
        unit: "delivery",
        rounds_max: 2000,
        counted: true,
        make: || publish(Shape { shards: 1, rooms: 1, size: 1000, each: 1, deliveries: true }),
    },
    Subject {
        name: "publish/room of 1,000, 8 a turn",
        unit: "delivery",
        rounds_max: 800,
        counted: true,
        make: || publish(Shape { shards: 1, rooms: 1, size: 1000, each: 8, deliveries: true }),
    },
    Subject {
        name: "publish/room of 100, two shards",
        unit: "delivery",
        rounds_max: 800,
        counted: true,
        make: || publish(Shape { shards: 2, rooms: 10, size: 100, each: 1, deliveries: true }),
    },
    Subject {
        name: "publish/64 a turn to nobody else",
        unit: "message",
        rounds_max: 120,
        counted: true,
        make: || publish(Shape { shards: 1, rooms: 1, size: 1, each: 64, deliveries: false }),
    },
    Subject {
        name: "publish/to nobody else",
        unit: "message",
        rounds_max: 800,
        counted: true,
        make: || publish(Shape { shards: 1, rooms: 10, size: 1, each: 1, deliveries: false }),
    },
    Subject {
        name: "publish/to a room with 8,192 messages in five minutes",
        unit: "message",
        rounds_max: 400,
        counted: true,
        make: || {
            let shape = Shape { shards: 1, rooms: 1, size: 1, each: 64, deliveries: false };
            let mut round = publish(shape)?;
            for _ in 0..130 {
                round(&mut Meter::default())?;
            }
            Ok(round)
        },
    },
];

fn publish(shape: Shape) -> Res<Round> {
    let mut world = World::new(shape.shards, shape.rooms, shape.size)?;
    // Once with all bytes looked at; later rounds count them.
    world.keep = true;
    round(&mut world, shape, 0, &mut Meter::default())?;
    let outputs = world.take_outputs();
    world.keep = false;
    for client in &world.clients {
        let mine = outputs.iter().filter(|(conn, _)| *conn == client.conn).map(|(_, bytes)| &bytes[..]);
        let text = String::from_utf8_lossy(&mine.collect::<Vec<_>>().concat()).into_owned();
        let (heard, acks) = (text.matches(r#""type":"chat""#).count(), text.matches(r#""type":"ack""#).count());
        let right =
            heard + acks == usize::try_from(shape.each)? && text.matches(&client.room.to_string()).count() >= heard;
        ensure(right, || format!("{} heard {heard} messages and {acks} acks: {text}", client.conn))?;
    }
    let mut n = 0;
    Ok(Box::new(move |meter| {
        n += 1;
        round(&mut world, shape, n, meter)
    }))
}

fn round(world: &mut World, shape: Shape, n: u64, meter: &mut Meter) -> Res<u64> {
    world.forget_written();
    for room in 0..shape.rooms {
        for m in 0..shape.each {
            // Authors take turns, so that no delivery finds its receiver warm by chance.
            let author = usize::try_from(room * shape.size + (n * shape.each + m) * 7 % shape.size)?;
            let (id, place) = (world.next_id(), world.clients.get(author).ok_or("no such client")?.room);
            let frame = masked(&chat(id, place, &"x".repeat(CHARS)));
            world.receive(author, &frame, meter)?;
        }
    }
    world.settle(meter)?;
    let messages = shape.rooms * shape.each;
    let deliveries = messages * (shape.size - 1);
    // An ack has about 300 bytes, a message about 390.
    let bytes = messages * 150 + deliveries * (CHARS as u64 + 200);
    let right = world.written >= shape.rooms * shape.size && world.written_bytes >= bytes;
    let (written, out) = (world.written, world.written_bytes);
    ensure(right, || format!("{written} connections were written to, {out} bytes; at least {bytes} were to come"))?;
    Ok(if shape.deliveries { deliveries } else { messages })
}
