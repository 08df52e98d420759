//! Rooms of this shard's slots: loading, commands, batches, and what follows from them.

use smallvec::SmallVec;

use crate::base::limits::{ANSWERED_IDS, CLIENT_ID_AHEAD_MS, WAITING_PER_ROOM_MAX};
use crate::base::time::Now;
use crate::base::{Code, Moment, Refusal, RoomId, ShardId, Status, UserId, WallTime};
use crate::chat::room::{STORE_RETRY_MS, storage_unavailable};
use crate::chat::{Purpose, ReplyTo, Room, RoomCommand, RoomEffect};
use crate::connection::frame;
use crate::metrics::Counters;
use crate::store::{Answer, Failure, LoadedRoom, Outcome, Query, Write};
use crate::wire::frame::ServerFrame;

use super::bounds::RoomShare;
use super::message::{Command, Delivery, MembershipChange, Reply, ShardMessage};
use super::{Effects, Job, Shard, StoreJob, StoreOp};

/// A room of ours: in memory, or on its way there.
#[derive(Debug)]
pub(super) enum RoomSlot {
    /// The store was asked; what came since waits.
    Loading(Vec<Work>),
    /// In memory.
    Ready(Box<Owned>),
}

/// What waits for a room.
#[derive(Debug)]
pub(super) enum Work {
    /// A request.
    Command(Box<Command>),
    /// A subscription that has this room among its own.
    Subscription(u64),
    /// Somebody's status.
    Status(UserId, Status, WallTime),
}

/// A room in memory.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) room: Room,
    /// Shards with listeners, and how many connections each.
    pub(super) listeners: SmallVec<[(ShardId, u32); 2]>,
    /// Shards with watchers.
    pub(super) watchers: SmallVec<[ShardId; 2]>,
    pub(super) used: Moment,
    /// What it counts for in `Shard::bounds`.
    pub(super) share: RoomShare,
    /// In `Shard::touched`.
    touched: bool,
    /// In `Shard::room_due`.
    pub(super) due: Option<Moment>,
    /// The store was asked how the room really is.
    reloading: bool,
    /// The store could not say how the room really is: it is asked again then. Until then the room stays in memory with those who listen.
    ask_again: Option<Moment>,
    /// Another one each time the room is loaded: what was read for an earlier one may be older than what was told since.
    life: u64,
}

impl Owned {
    fn new(room: Room, life: u64, now: Moment) -> Self {
        Self {
            room,
            listeners: SmallVec::new(),
            watchers: SmallVec::new(),
            used: now,
            share: RoomShare::default(),
            touched: false,
            due: None,
            reloading: false,
            ask_again: None,
            life,
        }
    }
}

impl Shard {
    /// A request to a room. If we do not own it (any more), it goes on to who does.
    pub(super) fn room_command(&mut self, command: Command, now: Now, effects: &mut Effects) {
        let owner = self.setup.placement.of_room(command.room);
        if owner != self.setup.id {
            self.send(owner, ShardMessage::Command(Box::new(command)), effects);
            return;
        }
        let room = command.room;
        match self.rooms.get_mut(&room) {
            Some(RoomSlot::Ready(_)) => self.run(command, now, effects),
            Some(RoomSlot::Loading(waiting)) => {
                if waiting.len() >= WAITING_PER_ROOM_MAX {
                    let refusal = Refusal::new(Code::Busy).retry_after(200);
                    self.send_reply(room, command.to, Err(refusal), false, effects);
                } else {
                    waiting.push(Work::Command(Box::new(command)));
                }
            }
            None => {
                self.rooms.insert(room, RoomSlot::Loading(vec![Work::Command(Box::new(command))]));
                self.load_rooms(vec![room], now, effects);
            }
        }
    }

    /// Asks the store for rooms that are marked as loading.
    pub(super) fn load_rooms(&mut self, rooms: Vec<RoomId>, now: Now, effects: &mut Effects) {
        let query = load_query(rooms.clone(), now);
        self.read(Job::RoomsLoad { rooms }, query, effects);
    }

    fn run(&mut self, command: Command, now: Now, effects: &mut Effects) {
        let Command { room, actor, command, to, taken } = command;
        if matches!(command, RoomCommand::Post { .. }) {
            self.counters.messages_received += 1;
        }
        let mut follows = Vec::new();
        if let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) {
            owned.used = now.mono;
            owned.room.handle(actor, command, to, taken, now, &self.setup.limits, &mut follows);
        }
        self.touch(room);
        self.follow(room, follows, now, effects);
    }

    /// The room may have an open batch, and something due.
    pub(super) fn touch(&mut self, room: RoomId) {
        let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) else { return };
        if !owned.touched {
            owned.touched = true;
            self.touched.push(room);
        }
        let due = owned.room.present.next_deadline().into_iter().chain(owned.ask_again).min();
        if due != owned.due {
            if let Some(before) = owned.due {
                self.room_due.remove(&(before, room));
            }
            owned.due = due;
            if let Some(due) = due {
                self.room_due.insert((due, room));
            }
        }
        self.count_room(room);
    }

    /// Open batches go to the store, one a room.
    pub(super) fn flush_rooms(&mut self, effects: &mut Effects) {
        for room in std::mem::take(&mut self.touched) {
            let mut follows = Vec::new();
            if let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) {
                owned.touched = false;
                owned.room.flush(&mut follows);
            }
            for effect in follows {
                if let RoomEffect::Store { batch, write } = effect {
                    let token = self.new_job(Job::RoomBatch { room, batch });
                    effects.jobs.push(StoreJob { token, op: StoreOp::Write(Write::Room(write)) });
                }
            }
        }
    }

    // ---- what follows ----

    fn follow(&mut self, room: RoomId, follows: Vec<RoomEffect>, now: Now, effects: &mut Effects) {
        let mut subscribed: Option<crate::base::ConnId> = None;
        for effect in follows {
            match effect {
                RoomEffect::Reply { to, result } => {
                    let joins = subscribed.is_some() && subscribed == to.conn() && result.is_ok();
                    if joins {
                        subscribed = None;
                    }
                    self.send_reply(room, to, result, joins, effects);
                }
                RoomEffect::Store { batch, write } => {
                    self.write(Job::RoomBatch { room, batch }, Write::Room(write), effects);
                }
                RoomEffect::Read { purpose, query } => {
                    let life = match self.rooms.get(&room) {
                        Some(RoomSlot::Ready(owned)) => owned.life,
                        Some(RoomSlot::Loading(_)) | None => 0,
                    };
                    self.read(Job::RoomRead { room, life, purpose: Box::new(purpose) }, query, effects);
                }
                RoomEffect::Deliver { event, conn, taken } => {
                    if matches!(event.kind, crate::base::EventKind::Message) {
                        self.counters.messages_stored += 1;
                        self.counters.received_to_stored.record(now.mono.micros_since(taken));
                    }
                    self.tell_listeners(room, event, conn, effects);
                }
                RoomEffect::Subscribe { conn } => {
                    self.listen(room, conn.shard);
                    subscribed = Some(conn);
                }
                RoomEffect::Membership { user, role, by, at } => {
                    let change = MembershipChange { user, room, role, by, at };
                    let message = ShardMessage::Membership(Box::new(change));
                    self.send(self.setup.placement.of_user(user), message, effects);
                }
                RoomEffect::ReadMoved { user, number, at } => {
                    let message = ShardMessage::ReadMoved { user, room, number, at };
                    self.send(self.setup.placement.of_user(user), message, effects);
                }
                RoomEffect::Typing { user, active } => {
                    for shard in self.listening_shards(room) {
                        self.send(shard, ShardMessage::Typing { room, user, active }, effects);
                    }
                }
                RoomEffect::Removed => {
                    for shard in self.listening_shards(room) {
                        self.send(shard, ShardMessage::RoomGone { room }, effects);
                    }
                    self.drop_room(room);
                }
                RoomEffect::Reload => self.reload(room, now, effects),
            }
        }
        self.touch(room);
    }

    fn tell_listeners(
        &mut self,
        room: RoomId,
        event: std::sync::Arc<crate::base::Event>,
        conn: Option<crate::base::ConnId>,
        effects: &mut Effects,
    ) {
        let shards = self.listening_shards(room);
        if shards.is_empty() {
            return;
        }
        let bytes = frame(&ServerFrame::Event { event: event.clone(), id: None });
        for shard in shards {
            let delivery = Delivery { event: event.clone(), frame: bytes.clone(), conn };
            self.send(shard, ShardMessage::Deliver(delivery), effects);
        }
    }

    pub(super) fn listening_shards(&self, room: RoomId) -> SmallVec<[ShardId; 4]> {
        match self.rooms.get(&room) {
            Some(RoomSlot::Ready(owned)) => owned.listeners.iter().map(|&(shard, _)| shard).collect(),
            Some(RoomSlot::Loading(_)) | None => SmallVec::new(),
        }
    }

    pub(super) fn send_reply(
        &mut self,
        room: RoomId,
        to: ReplyTo,
        result: Result<crate::chat::RoomReply, Refusal>,
        subscribed: bool,
        effects: &mut Effects,
    ) {
        let shard = match to {
            ReplyTo::Conn { conn, .. } => conn.shard,
            ReplyTo::Ask { shard, .. } => shard,
            ReplyTo::Nobody => return,
        };
        if matches!(&result, Err(refusal) if refusal.code == Code::StorageUnavailable)
            && matches!(to, ReplyTo::Conn { what: crate::chat::What::Chat, .. } | ReplyTo::Ask { .. })
        {
            self.counters.messages_failed += 1;
        }
        if matches!(&result, Ok(crate::chat::RoomReply::Posted { duplicate: true, .. })) {
            self.counters.messages_duplicate += 1;
        }
        let reply = Reply { room, to, result, subscribed };
        self.send(shard, ShardMessage::Reply(Box::new(reply)), effects);
    }

    pub(super) fn drop_room(&mut self, room: RoomId) {
        let Some(RoomSlot::Ready(owned)) = self.rooms.remove(&room) else { return };
        if let Some(due) = owned.due {
            self.room_due.remove(&(due, room));
        }
        self.uncount_room(room, owned.share);
    }

    // ---- the store's answers ----

    pub(super) fn room_stored(
        &mut self,
        room: RoomId,
        batch: u64,
        result: Result<Outcome, Failure>,
        now: Now,
        effects: &mut Effects,
    ) {
        if let Err(failure) = &result {
            Counters::count(&mut self.counters.store_failures, failure_kind(failure));
        }
        let mut follows = Vec::new();
        if let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) {
            owned.used = now.mono;
            owned.room.stored_batch(batch, result, now, &self.setup.limits, &mut follows);
        }
        self.follow(room, follows, now, effects);
    }

    pub(super) fn room_read(
        &mut self,
        room: RoomId,
        life: u64,
        purpose: Purpose,
        result: Result<Answer, Failure>,
        now: Now,
        effects: &mut Effects,
    ) {
        if let Err(failure) = &result {
            Counters::count(&mut self.counters.store_failures, failure_kind(failure));
        }
        let mut follows = Vec::new();
        match self.rooms.get_mut(&room) {
            Some(RoomSlot::Ready(owned)) if owned.life == life => owned.room.read(purpose, result, now, &mut follows),
            // It left memory or was loaded anew while it was read: whoever asked asks again.
            Some(RoomSlot::Ready(_) | RoomSlot::Loading(_)) | None => match purpose {
                Purpose::LookUp { .. } => {}
                Purpose::Target { to, .. }
                | Purpose::Marker { to, .. }
                | Purpose::Page { to, .. }
                | Purpose::Missed { to, .. } => {
                    follows.push(RoomEffect::Reply { to, result: Err(storage_unavailable()) });
                }
            },
        }
        self.follow(room, follows, now, effects);
    }

    pub(super) fn rooms_loaded(
        &mut self,
        asked: Vec<RoomId>,
        result: Result<Answer, Failure>,
        now: Now,
        effects: &mut Effects,
    ) {
        let mut found = match result {
            Ok(Answer::Rooms(rooms)) => Ok(rooms),
            Ok(_) => Err(()),
            Err(failure) => {
                Counters::count(&mut self.counters.store_failures, failure_kind(&failure));
                Err(())
            }
        };
        for (place, room) in asked.into_iter().enumerate() {
            let loaded = found.as_mut().map(|rooms| rooms.get_mut(place).and_then(Option::take)).map_err(|&mut ()| ());
            self.room_loaded(room, loaded, now, effects);
        }
    }

    fn room_loaded(&mut self, room: RoomId, loaded: Result<Option<LoadedRoom>, ()>, now: Now, effects: &mut Effects) {
        let Some(RoomSlot::Loading(_)) = self.rooms.get(&room) else { return };
        let Some(RoomSlot::Loading(waiting)) = self.rooms.remove(&room) else { return };
        let mut absent = false;
        let mut failed = false;
        match loaded {
            Ok(Some(loaded)) if !loaded.room.removed => {
                let owned = Owned::new(Room::loaded(loaded), self.next_life(), now.mono);
                let mut follows = Vec::new();
                owned.room.resolve(self.doubtful.remove(&room).unwrap_or_default(), &mut follows);
                self.rooms.insert(room, RoomSlot::Ready(Box::new(owned)));
                self.follow(room, follows, now, effects);
            }
            Ok(_) => {
                absent = true;
                // A room that is gone has nobody in it; one that was not made never had.
                let gone = self.doubtful.remove(&room).unwrap_or_default();
                let happened = |effect: &RoomEffect| matches!(effect, RoomEffect::Membership { role: None, .. });
                self.follow(room, gone.into_iter().filter(happened).collect(), now, effects);
            }
            Err(()) => {
                failed = true;
                if self.doubtful.contains_key(&room) {
                    self.room_due.insert((now.mono.plus_ms(STORE_RETRY_MS), room));
                }
            }
        }
        for work in waiting {
            match work {
                Work::Command(command) if failed => {
                    self.send_reply(room, command.to, Err(storage_unavailable()), false, effects);
                }
                Work::Command(command) if absent && !self.rooms.contains_key(&room) => {
                    self.make_or_refuse(*command, now, effects);
                }
                Work::Command(command) => self.room_command(*command, now, effects),
                Work::Subscription(number) => self.subscription_ready(number, failed, now, effects),
                Work::Status(user, status, seen) => self.status_in(room, user, status, seen, now),
            }
        }
    }

    /// A request to a room that does not exist: to make it, or in vain.
    fn make_or_refuse(&mut self, command: Command, now: Now, effects: &mut Effects) {
        let Command { room, actor, command, to, .. } = command;
        let RoomCommand::Create(spec) = command else {
            self.send_reply(room, to, Err(Code::RoomNotFound.into()), false, effects);
            return;
        };
        let mut follows = Vec::new();
        match Room::create(room, *spec, &actor, to, now, &mut follows) {
            Ok(made) => {
                let owned = Owned::new(made, self.next_life(), now.mono);
                self.rooms.insert(room, RoomSlot::Ready(Box::new(owned)));
                self.follow(room, follows, now, effects);
            }
            Err(refusal) => self.send_reply(room, to, Err(refusal), false, effects),
        }
    }

    /// Asks the store how a room really is.
    fn reload(&mut self, room: RoomId, now: Now, effects: &mut Effects) {
        if let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room)
            && !owned.reloading
        {
            (owned.reloading, owned.ask_again) = (true, None);
            self.read(Job::RoomReload { room }, load_query(vec![room], now), effects);
        }
    }

    /// After a failure: the room as it really is.
    pub(super) fn room_reloaded(
        &mut self,
        room: RoomId,
        result: Result<Answer, Failure>,
        now: Now,
        effects: &mut Effects,
    ) {
        let loaded = match result {
            Ok(Answer::Rooms(rooms)) => Ok(rooms.into_iter().next().flatten()),
            Ok(_) => Err(false),
            Err(failure) => {
                Counters::count(&mut self.counters.store_failures, failure_kind(&failure));
                Err(failure.ambiguous())
            }
        };
        let life = self.next_life();
        let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) else { return };
        owned.reloading = false;
        if loaded.is_ok() {
            owned.life = life;
        }
        let mut follows = Vec::new();
        match loaded {
            Ok(Some(loaded)) => {
                // What became durable without an answer was told to nobody: listeners resync.
                if owned.room.reloaded(loaded, &mut follows) {
                    let seq = owned.room.stored().seq;
                    for shard in self.listening_shards(room) {
                        self.send(shard, ShardMessage::Behind { room, seq }, effects);
                    }
                }
                self.touch(room);
            }
            // It was to be made, and was not.
            Ok(None) => {
                owned.room.send_away(&mut follows);
                self.drop_room(room);
            }
            // The store is away. Nobody is sent off for that: what is in memory is still read, typing and presence go on, and whoever
            // sends is told to come back until the store can be asked.
            Err(true) => {
                owned.room.send_away(&mut follows);
                owned.ask_again = Some(now.mono.plus_ms(STORE_RETRY_MS));
            }
            // What is stored cannot be read: the next request finds it absent from memory and asks again.
            Err(false) => {
                owned.room.send_away(&mut follows);
                let doubtful = owned.room.take_doubtful();
                if !doubtful.is_empty() {
                    self.doubtful.entry(room).or_default().extend(doubtful);
                    self.room_due.insert((now.mono.plus_ms(STORE_RETRY_MS), room));
                }
                for shard in self.listening_shards(room) {
                    self.send(shard, ShardMessage::Lost { room }, effects);
                }
                self.drop_room(room);
            }
        }
        self.follow(room, follows, now, effects);
    }

    fn next_life(&mut self) -> u64 {
        self.next_life += 1;
        self.next_life
    }

    // ---- time ----

    /// Presence and typing that are due.
    pub(super) fn rooms_due(&mut self, now: Now, effects: &mut Effects) {
        while let Some(&(due, room)) = self.room_due.first()
            && due <= now.mono
        {
            self.room_due.pop_first();
            if self.doubtful.contains_key(&room) && !self.rooms.contains_key(&room) {
                // Somebody came or went, perhaps: it is found out without waiting for a request.
                self.rooms.insert(room, RoomSlot::Loading(Vec::new()));
                self.load_rooms(vec![room], now, effects);
                continue;
            }
            let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) else { continue };
            owned.due = None;
            let ask = owned.ask_again.is_some_and(|at| at <= now.mono);
            let (told, stopped) = owned.room.present.due(now.mono);
            if let Some(told) = told {
                self.tell_presence(room, &told, effects);
            }
            for user in stopped {
                for shard in self.listening_shards(room) {
                    self.send(shard, ShardMessage::Typing { room, user, active: false }, effects);
                }
            }
            if ask {
                self.reload(room, now, effects);
            }
            self.touch(room);
        }
    }

    /// Client ids that need not be remembered any more are forgotten.
    pub(super) fn forget_answered(&mut self, now: Now) {
        let rooms: Vec<RoomId> = self.rooms.keys().copied().collect();
        for room in rooms {
            if let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) {
                owned.room.forget_answered(now.wall);
            }
            self.count_room(room);
        }
    }
}

/// What is asked when rooms are loaded.
fn load_query(rooms: Vec<RoomId>, now: Now) -> Query {
    // A little more than the allowance, so that ids of this very moment need no look-up.
    let since = WallTime(now.wall.0.saturating_sub(CLIENT_ID_AHEAD_MS + 60_000));
    Query::Rooms { rooms, answered_since: since, answered_max: ANSWERED_IDS }
}

/// The kind of a failure, as a label of the metrics.
pub(super) fn failure_kind(failure: &Failure) -> &'static str {
    match failure {
        Failure::Unavailable(_) => "unavailable",
        Failure::Damaged(_) => "damaged",
        Failure::Misuse(_) => "misuse",
    }
}
