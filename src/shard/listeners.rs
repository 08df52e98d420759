//! Who listens, on other shards, to the rooms of this one; and who is there.

use crate::base::time::Now;
use crate::base::{ConnId, Moment, RoomId, ShardId, Status, UserId, WallTime};
use crate::chat::RoomEntry;
use crate::chat::presence::Told;

use super::message::ShardMessage;
use super::rooms::{RoomSlot, Work};
use super::{Effects, Shard};

/// A subscription whose rooms are on their way into memory.
#[derive(Debug)]
pub(super) struct Pending {
    conn: ConnId,
    user: UserId,
    rooms: Vec<RoomId>,
    look: bool,
    /// Rooms that are not there yet.
    missing: usize,
    failed: bool,
}

impl Shard {
    /// A connection wants the events of these rooms (or only their entries).
    pub(super) fn subscribe(
        &mut self,
        conn: ConnId,
        user: UserId,
        rooms: Vec<RoomId>,
        look: bool,
        now: Now,
        effects: &mut Effects,
    ) {
        self.next_subscription += 1;
        let number = self.next_subscription;
        let mut missing = 0;
        let mut to_load = Vec::new();
        for &room in &rooms {
            match self.rooms.get_mut(&room) {
                Some(RoomSlot::Ready(_)) => {}
                Some(RoomSlot::Loading(waiting)) => {
                    waiting.push(Work::Subscription(number));
                    missing += 1;
                }
                None => {
                    self.rooms.insert(room, RoomSlot::Loading(vec![Work::Subscription(number)]));
                    to_load.push(room);
                    missing += 1;
                }
            }
        }
        let pending = Pending { conn, user, rooms, look, missing, failed: false };
        if missing == 0 {
            self.answer_subscription(pending, now, effects);
            return;
        }
        self.subscriptions.insert(number, pending);
        if !to_load.is_empty() {
            self.load_rooms(to_load, now, effects);
        }
    }

    /// One more room of a subscription is there (or is known not to be).
    pub(super) fn subscription_ready(&mut self, number: u64, failed: bool, now: Now, effects: &mut Effects) {
        let Some(pending) = self.subscriptions.get_mut(&number) else { return };
        pending.missing = pending.missing.saturating_sub(1);
        pending.failed |= failed;
        if pending.missing == 0
            && let Some(pending) = self.subscriptions.remove(&number)
        {
            self.answer_subscription(pending, now, effects);
        }
    }

    fn answer_subscription(&mut self, pending: Pending, now: Now, effects: &mut Effects) {
        let Pending { conn, user, rooms, look, failed, .. } = pending;
        if failed {
            // Without all its rooms a client would think that it left some.
            let code = Some(crate::base::Code::StorageUnavailable);
            let message = ShardMessage::End { conn, close: crate::base::Close::TooSlow, code };
            self.send(conn.shard, message, effects);
            return;
        }
        let mut entries: Vec<RoomEntry> = Vec::with_capacity(rooms.len());
        for room in rooms {
            let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) else { continue };
            // Who is let in again in this very moment would hear what was said while they were out.
            if !owned.room.may_listen(user) {
                continue;
            }
            owned.used = now.mono;
            entries.push(owned.room.entry(user));
            if !look {
                self.listen(room, conn.shard);
            }
        }
        self.send(conn.shard, ShardMessage::Subscribed { conn, entries, look }, effects);
    }

    /// One connection more of this shard listens.
    pub(super) fn listen(&mut self, room: RoomId, shard: ShardId) {
        let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) else { return };
        match owned.listeners.iter_mut().find(|(listening, _)| *listening == shard) {
            Some((_, n)) => *n += 1,
            None => {
                owned.listeners.push((shard, 1));
                self.count_room(room);
            }
        }
    }

    /// So many connections less of a shard listen.
    pub(super) fn unsubscribe(&mut self, room: RoomId, shard: ShardId, n: u32, now: Now) {
        let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) else { return };
        owned.used = now.mono;
        if let Some(place) = owned.listeners.iter().position(|&(listening, _)| listening == shard) {
            let count = &mut owned.listeners[place].1;
            *count = count.saturating_sub(n);
            if *count == 0 {
                owned.listeners.swap_remove(place);
                owned.watchers.retain(|watching| *watching != shard);
                self.count_room(room);
            }
        }
    }

    /// A connection begins to watch a room, or the last one of a shard ceased.
    pub(super) fn watch(
        &mut self,
        room: RoomId,
        watcher: Option<(ConnId, UserId)>,
        shard: ShardId,
        effects: &mut Effects,
    ) {
        let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) else { return };
        let Some((conn, user)) = watcher else {
            owned.watchers.retain(|watching| *watching != shard);
            return;
        };
        if !owned.room.may_listen(user) {
            return;
        }
        if !owned.watchers.contains(&shard) {
            owned.watchers.push(shard);
        }
        let present = &owned.room.present;
        let told = Box::new(Told { online: present.online(), users: present.all(), counts: true });
        self.send(shard, ShardMessage::PresenceAll { conn, room, told }, effects);
    }

    /// Presence that is due: names to shards with watchers, counts to all.
    pub(super) fn tell_presence(&mut self, room: RoomId, told: &Told, effects: &mut Effects) {
        let Some(RoomSlot::Ready(owned)) = self.rooms.get(&room) else { return };
        let watchers = owned.watchers.clone();
        for shard in self.listening_shards(room) {
            if told.counts || watchers.contains(&shard) {
                let told = Box::new(told.clone());
                self.send(shard, ShardMessage::Presence { room, told }, effects);
            }
        }
    }

    /// A user's status in rooms of ours.
    pub(super) fn statuses(
        &mut self,
        user: UserId,
        status: Status,
        last_seen: WallTime,
        rooms: Vec<RoomId>,
        now: Now,
        effects: &mut Effects,
    ) {
        let mut to_load = Vec::new();
        for room in rooms {
            match self.rooms.get_mut(&room) {
                Some(RoomSlot::Ready(_)) => self.status_in(room, user, status, last_seen, now),
                Some(RoomSlot::Loading(waiting)) => waiting.push(Work::Status(user, status, last_seen)),
                // Who goes offline is not there in a room that is not in memory.
                None if status == Status::Offline => {}
                None => {
                    self.rooms.insert(room, RoomSlot::Loading(vec![Work::Status(user, status, last_seen)]));
                    to_load.push(room);
                }
            }
        }
        if !to_load.is_empty() {
            self.load_rooms(to_load, now, effects);
        }
    }

    pub(super) fn status_in(&mut self, room: RoomId, user: UserId, status: Status, seen: WallTime, now: Now) {
        let Some(RoomSlot::Ready(owned)) = self.rooms.get_mut(&room) else { return };
        if status == Status::Offline || owned.room.has(user) {
            owned.room.present.set(user, status, seen, Moment(now.mono.0));
            self.touch(room);
        }
    }
}
