//! A burst of presence: a part of a room goes away at once, and the others are told.

use causerie::base::ShardId;
use causerie::shard::Input;

use crate::meter::{Meter, Res, Round, Subject, ensure};
use crate::world::World;

pub const ALL: &[Subject] = &[
    Subject {
        name: "presence/100 of 400 change, all watch",
        unit: "change",
        rounds_max: 20,
        counted: true,
        make: || burst(400, 100, true),
    },
    Subject {
        name: "presence/100 of 1,000 change, nobody watches",
        unit: "change",
        rounds_max: 20,
        counted: true,
        make: || burst(1000, 100, false),
    },
    Subject { name: "typing/in a room of 100", unit: "delivery", rounds_max: 200, counted: true, make: typing },
];

fn burst(size: usize, changing: usize, watch: bool) -> Res<Round> {
    let mut world = World::new(1, 1, size as u64)?;
    if watch {
        for n in 0..size {
            let client = world.clients.get(n).ok_or("no such client")?;
            let text = format!(r#"{{"type":"presence","metadata":{{"watch":["{}"]}}}}"#, client.room);
            let conn = client.conn;
            world.input(ShardId(0), Input::Text { conn, text });
        }
        world.settle(&mut Meter::default())?;
    }
    let mut away = false;
    Ok(Box::new(move |meter: &mut Meter| {
        away = !away;
        world.forget_written();
        let status = if away { "away" } else { "online" };
        for n in 0..changing {
            let conn = world.clients.get(n).ok_or("no such client")?.conn;
            let text = format!(r#"{{"type":"presence","metadata":{{"status":"{status}"}}}}"#);
            world.input(ShardId(0), Input::Text { conn, text });
        }
        world.settle(meter)?;
        // It is told at most every quarter of a second.
        world.pass(600_000);
        world.settle(meter)?;
        // Names go to all who watch, at once or with the acks of those who changed.
        let (told, bytes) = (world.written, world.written_bytes);
        let (due, least) = if watch { (size, size * changing * 60) } else { (changing, changing * 60) };
        let right = told >= due as u64 && bytes >= least as u64;
        ensure(right, || format!("{told} connections were told {bytes} bytes; it were to be {due} and {least}"))?;
        Ok(changing as u64)
    }))
}

fn typing() -> Res<Round> {
    let mut world = World::new(1, 1, 100)?;
    let mut n = 0;
    Ok(Box::new(move |meter: &mut Meter| {
        // One begins and stops, then the next: a mark that stands already would be told to nobody.
        let (who, active) = (n / 2 % 100, n % 2 == 0);
        n += 1;
        world.forget_written();
        let client = world.clients.get(who).ok_or("no such client")?;
        let text = format!(r#"{{"type":"typing","room_id":"{}","metadata":{{"active":{active}}}}}"#, client.room);
        let conn = client.conn;
        world.input(ShardId(0), Input::Text { conn, text });
        world.settle(meter)?;
        let told = world.written;
        ensure(told == 99, || format!("{told} of 99 were told"))?;
        Ok(99)
    }))
}
