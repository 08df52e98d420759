//! Fan-out on one shard: an event is encoded once and put into n outboxes; then the outboxes are emptied, one after the other.

use std::sync::Arc;

use causerie::base::{ClientId, Epoch, Event, EventKind, EventStatus, Number, RoomId, Seq, ShardId, UserId, WallTime};
use causerie::connection::frame;
use causerie::shard::message::Delivery;
use causerie::shard::{Effects, Input, ShardMessage};
use causerie::wire::frame::ServerFrame;

use crate::meter::{Meter, Res, Round, Subject, ensure};
use crate::world::{World, room_id, user_id};

pub const ALL: &[Subject] = &[
    Subject {
        name: "fan-out/into 100 outboxes",
        unit: "delivery",
        rounds_max: 5000,
        counted: true,
        make: || push(100),
    },
    Subject {
        name: "fan-out/into 10,000 outboxes",
        unit: "delivery",
        rounds_max: 500,
        counted: true,
        make: || push(10_000),
    },
    Subject {
        name: "fan-out/out of 100 outboxes",
        unit: "delivery",
        rounds_max: 5000,
        counted: true,
        make: || take(100),
    },
    Subject {
        name: "fan-out/out of 10,000 outboxes",
        unit: "delivery",
        rounds_max: 500,
        counted: true,
        make: || take(10_000),
    },
];

/// A message as a room's owner tells it.
pub fn event(room: RoomId, seq: u64, user: UserId) -> Arc<Event> {
    Arc::new(Event {
        room,
        epoch: Epoch(1),
        seq: Seq(seq),
        number: Number(seq),
        user,
        at: WallTime(1_795_000_000_000 + seq),
        kind: EventKind::Message,
        content: "x".repeat(120),
        metadata: String::new(),
        client_id: Some(ClientId(uuid::Uuid::from_u128(u128::from(seq)))),
        status: EventStatus::Live,
    })
}

fn push(n: u64) -> Res<Round> {
    round(n, true)
}

fn take(n: u64) -> Res<Round> {
    round(n, false)
}

fn round(n: u64, pushes: bool) -> Res<Round> {
    let mut world = World::new(1, 1, n)?;
    let (mut effects, mut out, mut seq) = (Effects::default(), Vec::new(), 0);
    let room = room_id(0);
    Ok(Box::new(move |meter: &mut Meter| {
        seq += 1;
        let now = world.now();
        let shard = world.shard(0).ok_or("no shard")?;
        // From somebody who is not connected here: all listeners get it.
        let event = event(room, seq, user_id(1 << 40));
        let mut idle = Meter::default();
        let (pushing, taking) = if pushes { (meter, &mut idle) } else { (&mut idle, meter) };
        let length = pushing.section(|| {
            let bytes = frame(&ServerFrame::Event { event: Arc::clone(&event), id: None });
            let length = bytes.len();
            let delivery = Delivery { event, frame: bytes, conn: None };
            let batch = vec![ShardMessage::Deliver(delivery)];
            shard.handle(Input::Lane { from: ShardId(0), batch }, now, &mut effects);
            length
        });
        let right = effects.dirty.len() as u64 == n;
        ensure(right, || format!("{} outboxes of {n} have something", effects.dirty.len()))?;
        let mut right = 0;
        taking.section(|| {
            for &conn in &effects.dirty {
                out.clear();
                shard.take_output(conn, usize::MAX, &mut out);
                right += u64::from(out.len() == length);
            }
        });
        effects.dirty.clear();
        ensure(right == n, || format!("{right} connections of {n} got the frame"))?;
        Ok(n)
    }))
}
