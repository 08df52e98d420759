//! What rooms, members and messages look like in benchmarks, as a shard writes them.

use causerie::base::room::Head;
use causerie::base::{
    ClientId, Epoch, Event, EventKind, EventStatus, Interval, Member, Number, Role, Room, RoomId, RoomType, Seq,
    UserId, WallTime,
};
use causerie::store::{Answered, RoomWrite, Write};

fn room(id: RoomId, by: UserId) -> Room {
    Room {
        id,
        kind: RoomType::Private,
        name: format!("room {id}"),
        description: "what it is about".to_owned(),
        metadata: String::new(),
        created_by: by,
        created_at: WallTime(1),
        epoch: Epoch(1),
        first_seq: Seq(1),
        trimmed: Head::default(),
        retention_days: None,
        removed: false,
    }
}

fn member(room: RoomId, user: UserId) -> Member {
    // Before the first event, for the logs of some benchmarks are empty: who comes in with one hears nothing before it is stored.
    let intervals = vec![Interval { from: Seq(0), to: None }];
    Member { room, user, role: Role::Member, intervals, read_number: Number(0) }
}

/// The room is made, by `by`, with these members.
pub fn create(id: RoomId, by: UserId, members: impl Iterator<Item = UserId>) -> RoomWrite {
    let members = members.map(|user| member(id, user)).collect();
    RoomWrite { record: Some(room(id, by)), create: true, members, ..RoomWrite::new(id) }
}

/// A message of `bytes` letters, and that it was answered.
pub fn message(room: RoomId, seq: u64, user: UserId, client_id: ClientId, bytes: usize) -> (Event, Answered) {
    let event = Event {
        room,
        epoch: Epoch(1),
        seq: Seq(seq),
        number: Number(seq),
        user,
        at: WallTime(seq),
        kind: EventKind::Message,
        content: "x".repeat(bytes),
        metadata: String::new(),
        client_id: Some(client_id),
        status: EventStatus::Live,
    };
    let answered = Answered { user, client_id, seq: event.seq, body_hash: 7, at: event.at };
    (event, answered)
}

/// The message as a write by itself.
pub fn said((event, answered): (Event, Answered)) -> Write {
    let room = event.room;
    Write::Room(Box::new(RoomWrite { events: vec![event], answered: vec![answered], ..RoomWrite::new(room) }))
}
