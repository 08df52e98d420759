//! The reference backend: the port's promises in the plainest words, in memory.
//!
//! It is what the other backends are held against in tests and what a server without a disk runs on. "Durable" means here: until
//! the process ends. A write works on the state itself, so everything that can refuse it is looked at before anything changes.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::seal::{Secret, ServerKeys};
use super::{
    Answer, Answered, Backend, Cursor, Failure, Holder, LoadedRoom, LoadedUser, NameChange, NameKey, NameKind, Outcome,
    Query, RoomWrite, Span, UserWrite, Write, rules,
};
use crate::base::limits::STREAM_EVENTS_MAX;
use crate::base::room::Head;
use crate::base::text::fold_name;
use crate::base::{
    ClientId, Device, DeviceId, Event, Member, Room, RoomId, Seq, Session, SessionId, StreamEvent, User, UserId,
    WallTime,
};

/// A backend that forgets when the process ends.
#[derive(Debug)]
pub struct Memory {
    keys: ServerKeys,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rooms: BTreeMap<RoomId, RoomState>,
    users: BTreeMap<UserId, UserState>,
    names: BTreeMap<NameKey, Holder>,
    settings: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug)]
struct RoomState {
    record: Room,
    events: BTreeMap<Seq, Event>,
    answered: BTreeMap<(UserId, ClientId), Answered>,
    members: BTreeMap<UserId, Member>,
}

#[derive(Debug)]
struct UserState {
    record: User,
    sessions: BTreeMap<SessionId, Session>,
    devices: BTreeMap<DeviceId, Device>,
    stream: BTreeMap<Seq, StreamEvent>,
    cursors: BTreeMap<(DeviceId, RoomId), Seq>,
}

impl Memory {
    /// An empty store. `server_key`: 32 random bytes, for the keyed hashes.
    #[must_use]
    pub fn new(server_key: Secret) -> Self {
        Self { keys: ServerKeys::new(server_key), state: Mutex::new(State::default()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together; if it did, the test that saw it failed already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Memory {
    fn write_each(&self, batch: Vec<Write>) -> Result<Vec<Result<Outcome, Failure>>, Failure> {
        let mut state = self.state();
        Ok(batch.into_iter().map(|write| state.write(write)).collect())
    }

    fn read(&self, query: &Query) -> Result<Answer, Failure> {
        Ok(self.state().read(query))
    }

    fn name_key(&self, kind: NameKind, folded: &str) -> NameKey {
        self.keys.name_key(kind, folded)
    }

    fn pair_key(&self, a: UserId, b: UserId) -> [u8; 16] {
        self.keys.pair_key(a, b)
    }

    fn server_key(&self) -> Secret {
        self.keys.secret()
    }

    fn size_bytes(&self) -> u64 {
        let state = self.state();
        state.rooms.values().flat_map(|room| room.events.values()).map(|event| event.weight() as u64).sum()
    }
}

const DONE: Outcome = Outcome::Done { first_user: false };

impl State {
    fn write(&mut self, write: Write) -> Result<Outcome, Failure> {
        match write {
            Write::Room(write) => self.write_room(*write),
            Write::User(write) => self.write_user(*write),
            Write::RotateRefresh { user, session, presented, next, at, expires_at } => {
                let Some(owner) = self.users.get_mut(&user) else { return Ok(Outcome::NotFound) };
                let Some(found) = owner.sessions.get_mut(&session) else { return Ok(Outcome::NotFound) };
                let outcome =
                    rules::rotate(owner.record.sessions_valid_from, found.clone(), presented, next, at, expires_at);
                if let Outcome::Rotated(new) | Outcome::Reused(new) = &outcome {
                    *found = (**new).clone();
                }
                Ok(outcome)
            }
            Write::Trim { room, up_to, limit } => Ok(self.trim(room, up_to, limit)),
            Write::Setting { name, value } => {
                match value {
                    Some(value) => self.settings.insert(name, value),
                    None => self.settings.remove(&name),
                };
                Ok(DONE)
            }
        }
    }

    fn name_is_free(&self, change: &NameChange, holder: Holder) -> bool {
        change.take.and_then(|key| self.names.get(&key)).is_none_or(|by| *by == holder)
    }

    fn change_name(&mut self, change: &NameChange, holder: Holder) {
        if let Some(key) = change.release.filter(|key| self.names.get(key) == Some(&holder)) {
            self.names.remove(&key);
        }
        if let Some(key) = change.take {
            self.names.insert(key, holder);
        }
    }

    fn write_room(&mut self, write: RoomWrite) -> Result<Outcome, Failure> {
        rules::check_room_write(&write)?;
        let stored = self.rooms.get(&write.room);
        match (write.create, stored) {
            (true, Some(_)) => return Ok(Outcome::Exists),
            (false, None) => return Ok(Outcome::NotFound),
            _ => {}
        }
        if !self.name_is_free(&write.name, Holder::Room(write.room)) {
            return Ok(Outcome::NameTaken);
        }
        let head = stored.map_or(write.record.as_ref().map_or(Seq(0), |new| new.trimmed.seq), |room| room.head().seq);
        if write.events.first().is_some_and(|first| first.seq != head.next()) {
            return Ok(Outcome::Conflict);
        }
        let last = write.events.last().map_or(head, |event| event.seq);
        if write.rewritten.iter().any(|event| event.seq > last) {
            return Err(Failure::Misuse(format!("an event of room {} is rewritten before it was written", write.room)));
        }

        self.change_name(&write.name, Holder::Room(write.room));
        if let Some(mut record) = write.record {
            match self.rooms.get_mut(&write.room) {
                Some(room) => {
                    rules::keep_trimmed(&mut record, &room.record);
                    room.record = record;
                }
                None => {
                    self.rooms.insert(write.room, RoomState::new(record));
                }
            }
        }
        let Some(room) = self.rooms.get_mut(&write.room) else { return Ok(Outcome::NotFound) };
        room.events.extend(write.events.into_iter().map(|event| (event.seq, event)));
        for event in write.rewritten {
            if let Some(place) = room.events.get_mut(&event.seq) {
                *place = event;
            }
        }
        room.answered.extend(write.answered.into_iter().map(|answer| ((answer.user, answer.client_id), answer)));
        room.members.extend(write.members.into_iter().map(|member| (member.user, member)));
        Ok(DONE)
    }

    fn write_user(&mut self, write: UserWrite) -> Result<Outcome, Failure> {
        rules::check_user_write(&write)?;
        let stored = self.users.get(&write.user);
        match (write.create, stored) {
            (true, Some(_)) => return Ok(Outcome::Exists),
            (false, None) => return Ok(Outcome::NotFound),
            _ => {}
        }
        if !self.name_is_free(&write.name, Holder::User(write.user)) {
            return Ok(Outcome::NameTaken);
        }
        let head = stored.map_or(Seq(0), UserState::stream_head);
        if !write.create && write.stream.first().is_some_and(|first| first.seq != head.next()) {
            return Ok(Outcome::Conflict);
        }
        let first_user = write.admin_if_first && self.users.keys().all(|user| *user == write.user);

        self.change_name(&write.name, Holder::User(write.user));
        if let Some(record) = write.record {
            match self.users.get_mut(&write.user) {
                Some(user) => user.record = record,
                None => {
                    self.users.insert(write.user, UserState::new(record));
                }
            }
        }
        let Some(user) = self.users.get_mut(&write.user) else { return Ok(Outcome::NotFound) };
        user.record.admin |= first_user;
        let now = rules::latest(&write.sessions);
        user.sessions.extend(write.sessions.into_iter().map(|session| (session.id, session)));
        user.sessions.retain(|_, session| !rules::forgotten(session, now));
        user.devices.extend(write.devices.into_iter().map(|device| (device.id, device)));
        user.stream.extend(write.stream.into_iter().map(|entry| (entry.seq, entry)));
        let first = rules::stream_first(user.stream_head(), STREAM_EVENTS_MAX);
        user.stream = user.stream.split_off(&first);
        for cursor in write.cursors {
            let place = user.cursors.entry((cursor.device, cursor.room)).or_default();
            *place = cursor.seq.max(*place);
        }
        Ok(Outcome::Done { first_user })
    }

    fn trim(&mut self, room: RoomId, up_to: Seq, limit: usize) -> Outcome {
        let Some(room) = self.rooms.get_mut(&room) else { return Outcome::NotFound };
        let mut removed = 0;
        while removed < limit {
            let Some(oldest) = room.events.first_entry().filter(|oldest| *oldest.key() <= up_to) else { break };
            let event = oldest.remove();
            room.answered.retain(|_, answer| answer.seq != event.seq);
            rules::trim_to(&mut room.record, Head { seq: event.seq, number: event.number, at: event.at });
            removed += 1;
        }
        Outcome::Trimmed(removed, Box::new(room.record.clone()))
    }

    fn read(&self, query: &Query) -> Answer {
        match query {
            Query::Rooms { rooms, answered_since, answered_max } => {
                let load = |room| self.rooms.get(room).map(|room| room.load(*answered_since, *answered_max));
                Answer::Rooms(rooms.iter().map(load).collect())
            }
            Query::Events { room, span, limit, bytes_max } => Answer::Events(
                self.rooms.get(room).map(|room| room.page(*span, *limit, *bytes_max)).unwrap_or_default(),
            ),
            Query::Answered { room, user, client_id } => {
                Answer::Answered(self.rooms.get(room).and_then(|room| room.answered.get(&(*user, *client_id))).copied())
            }
            Query::AnsweredIn { room, after, before } => {
                let mut answered = Vec::new();
                if let Some(room) = self.rooms.get(room) {
                    answered.extend(room.answered.values().filter(|a| a.seq > *after && a.seq < *before).copied());
                }
                answered.sort_by_key(|answer| (answer.seq, answer.user, answer.client_id));
                Answer::AnsweredIn(answered)
            }
            Query::User(user) => Answer::User(self.users.get(user).map(|found| {
                Box::new(LoadedUser {
                    user: found.record.clone(),
                    sessions: found.sessions.values().cloned().collect(),
                    devices: found.devices.values().cloned().collect(),
                    rooms: self.rooms.values().filter(|r| r.lists(*user)).map(|r| r.record.id).collect(),
                    stream_head: found.stream_head(),
                    stream_first: found.stream.keys().next().copied().unwrap_or(Seq(1)),
                })
            })),
            Query::UserByName(key) => Answer::UserRecord(match self.names.get(key) {
                Some(Holder::User(user)) => self.users.get(user).map(|user| Box::new(user.record.clone())),
                Some(Holder::Room(_)) | None => None,
            }),
            Query::Profiles(users) => {
                Answer::Profiles(users.iter().map(|user| Some(self.users.get(user)?.record.profile())).collect())
            }
            Query::FindUsers { text, after, limit } => Answer::Found(
                after_key(&self.users, after.as_ref())
                    .map(|(_, user)| &user.record)
                    .filter(|u| fold_name(&u.username).contains(text) || fold_name(&u.display_name).contains(text))
                    .take(*limit)
                    .map(User::profile)
                    .collect(),
            ),
            Query::ListRooms { user, after, limit } => Answer::RoomList(
                after_key(&self.rooms, after.as_ref())
                    .map(|(_, room)| room)
                    .filter(|room| !room.record.removed)
                    .filter(|room| room.record.kind == crate::base::RoomType::Public || room.lists(*user))
                    .take(*limit)
                    .map(|room| (room.record.clone(), room.members.get(user).cloned(), room.active()))
                    .collect(),
            ),
            Query::Stream { user, after, limit } => {
                Answer::Stream(self.users.get(user).map_or_else(Vec::new, |user| {
                    after_key(&user.stream, Some(after)).take(*limit).map(|(_, entry)| entry.clone()).collect()
                }))
            }
            Query::Cursors { user, device } => Answer::Cursors(self.users.get(user).map_or_else(Vec::new, |found| {
                let own = found.cursors.iter().filter(|((of, _), _)| of == device);
                own.map(|((device, room), seq)| Cursor { user: *user, device: *device, room: *room, seq: *seq })
                    .collect()
            })),
            Query::RoomIds { after, limit } => {
                Answer::RoomIds(after_key(&self.rooms, after.as_ref()).take(*limit).map(|(room, _)| *room).collect())
            }
            Query::Setting(name) => Answer::Setting(self.settings.get(name).cloned()),
            Query::SettingNames => Answer::SettingNames(self.settings.keys().cloned().collect()),
            Query::Names { after, limit } => Answer::Names(
                after_key(&self.names, after.as_ref()).take(*limit).map(|(name, holder)| (*name, *holder)).collect(),
            ),
            Query::SeqBefore { room, at } => Answer::SeqAt(self.rooms.get(room).map_or(Seq(0), |room| {
                room.events.values().rev().find(|event| event.at < *at).map_or(Seq(0), |event| event.seq)
            })),
        }
    }
}

fn after_key<'a, K: Ord, V>(map: &'a BTreeMap<K, V>, after: Option<&K>) -> Range<'a, K, V> {
    map.range((after.map_or(Unbounded, Excluded), Unbounded))
}

impl RoomState {
    fn new(record: Room) -> Self {
        Self { record, events: BTreeMap::new(), answered: BTreeMap::new(), members: BTreeMap::new() }
    }

    fn head(&self) -> Head {
        self.events.values().next_back().map_or(self.record.trimmed, |event| Head {
            seq: event.seq,
            number: event.number,
            at: event.at,
        })
    }

    fn active(&self) -> usize {
        self.members.values().filter(|member| member.active()).count()
    }

    /// Whether the room stands in the user's list.
    fn lists(&self, user: UserId) -> bool {
        !self.record.removed && self.members.get(&user).is_some_and(Member::active)
    }

    fn load(&self, since: WallTime, max: usize) -> LoadedRoom {
        let mut answered: Vec<_> = self.answered.values().filter(|answer| answer.at >= since).copied().collect();
        answered.sort_by_key(|answer| (answer.seq, answer.user, answer.client_id));
        let dropped = answered.len().saturating_sub(max);
        let answered_since =
            dropped.checked_sub(1).and_then(|last| answered.get(last)).map_or(since, |a| a.at.plus_ms(1));
        answered.drain(..dropped);
        LoadedRoom {
            room: self.record.clone(),
            head: self.head(),
            members: self.members.values().cloned().collect(),
            answered,
            answered_since,
        }
    }

    fn page(&self, span: Span, limit: usize, bytes_max: usize) -> Vec<Event> {
        let (bounds, backwards) = match span {
            Span::Newest => ((Unbounded, Unbounded), true),
            Span::Before(seq) => ((Unbounded, Excluded(seq)), true),
            Span::After(seq) => ((Excluded(seq), Unbounded), false),
            Span::Between(after, before) if after.next() < before => {
                ((Included(after.next()), Excluded(before)), false)
            }
            Span::Between(..) => return Vec::new(),
        };
        let mut bytes = 0;
        let mut fits = |event: &&Event| {
            let first = bytes == 0;
            bytes += event.weight();
            first || bytes <= bytes_max
        };
        let events = self.events.range(bounds).map(|(_, event)| event);
        if backwards {
            let mut page: Vec<_> = events.rev().take(limit).take_while(&mut fits).cloned().collect();
            page.reverse();
            page
        } else {
            events.take(limit).take_while(&mut fits).cloned().collect()
        }
    }
}

impl UserState {
    fn new(record: User) -> Self {
        Self {
            record,
            sessions: BTreeMap::new(),
            devices: BTreeMap::new(),
            stream: BTreeMap::new(),
            cursors: BTreeMap::new(),
        }
    }

    fn stream_head(&self) -> Seq {
        self.stream.keys().next_back().copied().unwrap_or(Seq(0))
    }
}
