//! What a client has to know to lose nothing and to show nothing twice: its position in each room, the sends that wait for their
//! ack, the names of people. The reference for whoever writes a client of their own (`docs/protocol.md` says it in words).
//!
//! Pure: text frames and times go in, [`Effect`]s come out. Promises: events of a room are shown in the order of `seq`, each once,
//! and a hole is filled (by `resume`) before what lies behind it is shown, or told. Sends leave one after the other, in order,
//! each with the same id until it was answered.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde_json::{Value, json};
use uuid::Uuid;

pub use super::effects::{Effect, Saved, Shown};
use super::frames::{Entry, Incoming, Metadata, Notice, Place};

/// How long an answer may take before the connection is given up, in milliseconds.
const ANSWER_MS: u64 = 20_000;
/// How often at most the delivered positions are told, in milliseconds.
const ACK_MS: u64 = 1000;
/// How often a hole is asked for before it is told as lost.
const HOLE_TRIES: u8 = 3;
/// Messages of history asked for where there is no position yet.
const FIRST_PAGE: u32 = 20;
/// Events kept behind a hole; beyond that they are dropped and come again by `resume`.
const STASH_MAX: usize = 5000;
/// Rooms in one `resume`.
const RESUME_ROOMS: usize = 500;

/// The position of a room whose past was lost: the page that was asked for says where to go on.
const NOWHERE: Place = Place { epoch: 0, seq: 0 };

/// A room one is in.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// As the server told it.
    pub entry: Entry,
    /// Up to here everything was shown.
    pub position: Place,
    /// What came before was shown by an earlier process, or was asked for.
    pub context: bool,
    /// Events behind a hole.
    stash: BTreeMap<u64, Incoming>,
    /// A `resume` (or a page after `reload`) is under way.
    resuming: bool,
    /// Frames were shed meanwhile: resume once more.
    again: bool,
    /// How often the same hole was asked for.
    tries: u8,
    /// Up to where delivery was told.
    told: u64,
}

/// A send that waits for its answer.
#[derive(Clone, Debug)]
struct Pending {
    id: Uuid,
    room: Uuid,
    content: String,
    /// Sent on this connection at this time.
    sent: Option<u64>,
    /// Not before this time.
    not_before: u64,
}

/// The state of one user's client over all its connections.
#[derive(Debug, Default)]
pub struct Session {
    /// Who one is; nil before the first `hello`.
    pub me: Uuid,
    /// Rooms by id.
    pub rooms: BTreeMap<Uuid, Room>,
    /// Display names by user.
    pub names: HashMap<Uuid, String>,
    /// The newest own message in each room.
    pub last_own: HashMap<Uuid, u64>,
    device: Option<Uuid>,
    saved: BTreeMap<Uuid, Place>,
    stream: Option<Place>,
    pending: VecDeque<Pending>,
    greeted: bool,
    /// The first `hello` was taken in: a room that comes now is news.
    settled: bool,
    ack_at: Option<u64>,
    out: Vec<Effect>,
}

impl Session {
    /// A session that goes on where an earlier process stopped.
    #[must_use]
    pub fn new(saved: Saved) -> Self {
        Self { device: saved.device_id, saved: saved.rooms, ..Self::default() }
    }

    /// What to keep for the next process.
    #[must_use]
    pub fn saved(&self) -> Saved {
        let mut rooms = self.saved.clone();
        rooms.extend(self.rooms.iter().map(|(&id, room)| (id, room.position)));
        Saved { device_id: self.device, rooms }
    }

    /// What is to be done since the last call, in order.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.out)
    }

    /// Sends that wait for their answer.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether `hello` came on the present connection.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.greeted
    }

    /// A connection is open: the first frame authenticates.
    pub fn connected(&mut self, token: &str) {
        self.lost();
        let metadata = match self.device {
            Some(device) => json!({ "device_id": device }),
            None => json!({}),
        };
        self.send(&json!({ "type": "auth", "content": token, "metadata": metadata }));
    }

    /// A new token for the connection that is open.
    pub fn token(&mut self, token: &str) {
        self.send(&json!({ "type": "auth", "content": token }));
    }

    /// The connection is gone. What was shown stays shown, what was not acked will be sent again.
    pub fn lost(&mut self) {
        self.greeted = false;
        self.ack_at = None;
        for room in self.rooms.values_mut() {
            // Everything behind a hole comes again by `resume`.
            room.stash.clear();
            room.resuming = false;
            room.again = false;
            room.tries = 0;
        }
        for send in &mut self.pending {
            send.sent = None;
        }
    }

    /// Says something in a room; `id` is a fresh UUIDv7.
    pub fn say(&mut self, id: Uuid, room: Uuid, content: String, now: u64) {
        self.pending.push_back(Pending { id, room, content, sent: None, not_before: 0 });
        self.tick(now);
    }

    /// Sends any other request.
    pub fn request(&mut self, frame: &Value) {
        self.send(frame);
    }

    /// Time passed: what is due leaves.
    pub fn tick(&mut self, now: u64) {
        if !self.greeted {
            return;
        }
        if self.ack_at.is_some_and(|at| at <= now) {
            self.ack_at = None;
            let due: Vec<_> =
                self.rooms.iter().filter(|(_, room)| room.told < room.position.seq).map(|(&id, _)| id).collect();
            for id in due {
                if let Some(room) = self.rooms.get_mut(&id) {
                    room.told = room.position.seq;
                    let seq = room.position.seq;
                    self.send(&json!({ "type": "ack", "room_id": id, "seq": seq }));
                }
            }
        }
        let Some(first) = self.pending.front_mut() else { return };
        match first.sent {
            Some(at) if now.saturating_sub(at) >= ANSWER_MS => {
                self.lost();
                self.note("There was no answer for a while; connecting anew.".to_owned());
                self.out.push(Effect::Reconnect { after_ms: 0 });
            }
            // One at a time: the next leaves when this one is answered, so that their order is kept whatever happens.
            None if first.not_before <= now => {
                first.sent = Some(now);
                let frame = json!({ "type": "chat", "id": first.id, "room_id": first.room, "content": first.content });
                self.send(&frame);
            }
            _ => {}
        }
    }

    /// When [`Session::tick`] is wanted at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        if !self.greeted {
            return None;
        }
        let send = self.pending.front().map(|first| match first.sent {
            Some(at) => at + ANSWER_MS,
            None => first.not_before,
        });
        [send, self.ack_at].into_iter().flatten().min()
    }

    /// One text frame of the server. What cannot be read is passed over: a newer server may say more than we know.
    pub fn frame(&mut self, text: &str, now: u64) {
        let Ok(frame) = serde_json::from_str::<Incoming>(text) else { return };
        match frame.kind.as_str() {
            "hello" => self.hello(&frame),
            "chat" | "delete" | "join" | "leave" | "system" => self.event(frame, now),
            "ack" => self.ack(frame, now),
            "history" => self.history(frame),
            "resumed" => self.resumed(&frame, now),
            "reload" => self.reload(&frame),
            "resync" => self.resync(&frame),
            "rooms" => self.take_rooms(&frame.metadata),
            "stream" => self.stream(&frame),
            "notice" => self.notice(&frame),
            "error" => self.error(&frame, now),
            "presence" | "typing" => self.out.push(Effect::Show(Shown::Passing(Box::new(frame)))),
            _ => {}
        }
        self.tick(now);
    }

    fn send(&mut self, frame: &Value) {
        self.out.push(Effect::Send(frame.to_string()));
    }

    fn note(&mut self, text: String) {
        self.out.push(Effect::Show(Shown::Note(text)));
    }

    fn hello(&mut self, frame: &Incoming) {
        self.greeted = true;
        let metadata = &frame.metadata;
        if let Some(user) = &metadata.user {
            self.me = user.id();
            self.names.insert(user.id(), user.shown());
        }
        self.device = metadata.device_id.or(self.device);
        let first = !self.settled;
        self.take_rooms(metadata);
        // Entries of the user stream tell of rooms, and `hello` has just told of all rooms: only what comes now is news.
        self.stream = metadata.stream;
        self.settled = true;
        self.out.push(Effect::Show(Shown::Ready { first, rooms: self.rooms.len() }));
        self.out.push(Effect::Save);
    }

    /// Rooms from `hello` or `rooms`: those with a position are resumed when something happened since, those without start here.
    fn take_rooms(&mut self, metadata: &Metadata) {
        let mut behind = Vec::new();
        for entry in &metadata.rooms {
            let news = !self.rooms.contains_key(&entry.room_id);
            if self.enter(entry) {
                behind.push(entry.room_id);
            }
            if news && self.settled {
                self.out.push(Effect::Show(Shown::Entered(entry.room_id)));
            }
        }
        self.resume(&behind);
        if metadata.more_rooms && metadata.cursor.is_some() {
            self.send(&json!({ "type": "rooms", "metadata": { "cursor": metadata.cursor } }));
        }
    }

    /// Answers whether the room has something that was not shown.
    fn enter(&mut self, entry: &Entry) -> bool {
        let at = Place { epoch: entry.epoch, seq: entry.last_seq };
        let saved = self.saved.remove(&entry.room_id);
        let known = self.rooms.contains_key(&entry.room_id);
        let room = self.rooms.entry(entry.room_id).or_default();
        room.entry = entry.clone();
        if known || saved.is_some() {
            room.position = saved.unwrap_or(room.position);
            room.context |= saved.is_some();
            return room.position != at && !room.resuming;
        }
        room.position = at;
        room.told = at.seq;
        false
    }

    /// Asks for what was missed in these rooms.
    fn resume(&mut self, rooms: &[Uuid]) {
        for part in rooms.chunks(RESUME_ROOMS) {
            let mut places = Vec::new();
            for id in part {
                if let Some(room) = self.rooms.get_mut(id) {
                    room.resuming = true;
                    places.push(json!({ "room_id": id, "epoch": room.position.epoch, "seq": room.position.seq }));
                }
            }
            if !places.is_empty() {
                self.send(&json!({ "type": "resume", "metadata": { "rooms": places } }));
            }
        }
    }

    /// The one rule of positions: what is next is shown; what was shown is passed over; what lies behind a hole waits for it.
    fn event(&mut self, event: Incoming, now: u64) {
        let (Some(id), Some(seq)) = (event.room_id, event.seq) else { return };
        let room = self.rooms.entry(id).or_insert_with(|| Room {
            entry: Entry { room_id: id, ..Entry::default() },
            // A room first heard of by a live event starts with it.
            position: Place { epoch: event.metadata.epoch.unwrap_or(1), seq: seq.saturating_sub(1) },
            ..Room::default()
        });
        if room.position.epoch != NOWHERE.epoch && seq <= room.position.seq {
            return;
        }
        if room.position.epoch != NOWHERE.epoch && seq == room.position.seq + 1 {
            room.position.seq = seq;
            self.show(event);
            self.unstash(id);
        } else {
            if room.stash.len() >= STASH_MAX {
                room.stash.clear();
                room.again = true;
            }
            room.stash.insert(seq, event);
            if !room.resuming {
                self.resume(&[id]);
            }
        }
        self.ack_at = self.ack_at.or(Some(now + ACK_MS));
    }

    fn show(&mut self, event: Incoming) {
        let left = (event.kind == "leave" && event.user_id == Some(self.me)).then_some(event.room_id).flatten();
        self.out.push(Effect::Show(Shown::Event { event: Box::new(event), old: false }));
        self.out.push(Effect::Save);
        if let Some(id) = left {
            self.leave(id);
        }
    }

    /// Shows what has become next.
    fn unstash(&mut self, id: Uuid) {
        loop {
            let Some(room) = self.rooms.get_mut(&id) else { return };
            let Some(first) = room.stash.first_entry() else { return };
            let seq = *first.key();
            if seq > room.position.seq + 1 {
                return;
            }
            let event = first.remove();
            if seq == room.position.seq + 1 {
                room.position.seq = seq;
                self.show(event);
            }
        }
    }

    fn resumed(&mut self, frame: &Incoming, now: u64) {
        let (Some(id), Some(upto)) = (frame.room_id, frame.seq) else { return };
        // What came up to here is all there is: numbers between that nobody is shown are no hole.
        loop {
            let Some(room) = self.rooms.get_mut(&id) else { return };
            let Some(first) = room.stash.first_entry() else { break };
            if *first.key() > upto {
                break;
            }
            let seq = *first.key();
            let event = first.remove();
            if seq > room.position.seq {
                room.position.seq = seq;
                self.show(event);
            }
        }
        let Some(room) = self.rooms.get_mut(&id) else { return };
        room.resuming = false;
        let moved = upto > room.position.seq;
        room.position.seq = room.position.seq.max(upto);
        let more = frame.metadata.more.unwrap_or(false) || std::mem::take(&mut room.again);
        if moved || more {
            room.tries = 0;
        }
        self.unstash(id);
        self.ack_at = self.ack_at.or(Some(now + ACK_MS));
        self.out.push(Effect::Save);
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if more {
            self.resume(&[id]);
        } else if let Some((&behind, _)) = room.stash.first_key_value() {
            room.tries += 1;
            if room.tries <= HOLE_TRIES {
                self.resume(&[id]);
            } else {
                room.tries = 0;
                let from = room.position.seq + 1;
                room.position.seq = behind - 1;
                self.note(format!("The events {from} to {} of this room could not be had.", behind - 1));
                self.unstash(id);
            }
        }
    }

    fn reload(&mut self, frame: &Incoming) {
        let Some(id) = frame.room_id else { return };
        self.reload_room(id, frame.metadata.reason.as_deref().unwrap_or("unknown"));
    }

    fn reload_room(&mut self, id: Uuid, reason: &str) {
        if matches!(reason, "not_member" | "removed") {
            self.leave(id);
            return;
        }
        if let Some(room) = self.rooms.get_mut(&id) {
            room.stash.clear();
            // The page that comes says where the room stands.
            room.resuming = true;
            room.position = NOWHERE;
        }
        self.note(format!("Part of this room's past cannot be had any more ({reason}); here is the newest of it."));
        self.ask_history(id, None, FIRST_PAGE);
    }

    fn resync(&mut self, frame: &Incoming) {
        if let Some(id) = frame.room_id {
            match self.rooms.get_mut(&id) {
                Some(room) if room.resuming => room.again = true,
                Some(_) => self.resume(&[id]),
                None => {}
            }
        }
    }

    /// Asks for what was said before one came, once a room: up to what is shown anyway, so that nothing is shown twice.
    pub fn ask_context(&mut self, id: Uuid) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if !std::mem::replace(&mut room.context, true) && room.position.seq > 0 {
            let before = room.position.seq + 1;
            self.ask_history(id, Some(before), FIRST_PAGE);
        }
    }

    /// Asks for a page of a room's past.
    pub fn ask_history(&mut self, room: Uuid, before: Option<u64>, limit: u32) {
        let metadata = match before {
            Some(before) => json!({ "before": before, "limit": limit }),
            None => json!({ "limit": limit }),
        };
        self.send(&json!({ "type": "history", "room_id": room, "metadata": metadata }));
    }

    fn history(&mut self, frame: Incoming) {
        let Some(id) = frame.room_id else { return };
        let (epoch, last_seq) = (frame.metadata.epoch, frame.metadata.last_seq);
        for event in frame.metadata.messages {
            self.out.push(Effect::Show(Shown::Event { event: Box::new(event), old: true }));
        }
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if room.position == NOWHERE {
            // The answer to a reload: go on from the newest.
            room.position = Place { epoch: epoch.unwrap_or(1), seq: last_seq.unwrap_or(0) };
            room.resuming = false;
            self.unstash(id);
            self.out.push(Effect::Save);
        }
    }

    fn ack(&mut self, frame: Incoming, now: u64) {
        let metadata = frame.metadata;
        if let Some(entry) = metadata.room {
            if self.enter(&entry) {
                self.resume(&[entry.room_id]);
            }
            self.out.push(Effect::Show(Shown::Entered(entry.room_id)));
            return;
        }
        let is_first = frame.id.is_some() && self.pending.front().map(|first| first.id) == frame.id;
        if !is_first {
            return;
        }
        let (Some(send), Some(seq)) = (self.pending.pop_front(), frame.seq) else { return };
        let duplicate = metadata.duplicate.unwrap_or(false);
        self.last_own.insert(send.room, seq);
        self.out.push(Effect::Show(Shown::Acked { id: send.id, room: send.room, seq, duplicate }));
        let event = Incoming {
            kind: "chat".to_owned(),
            id: Some(send.id),
            user_id: Some(self.me),
            room_id: Some(send.room),
            content: Some(send.content),
            metadata: Metadata { number: metadata.number, epoch: metadata.epoch, ..Metadata::default() },
            ..frame
        };
        self.event(event, now);
    }

    fn stream(&mut self, frame: &Incoming) {
        let Some(id) = frame.room_id else { return };
        if let (Some(stream), Some(seq)) = (&mut self.stream, frame.seq) {
            stream.seq = stream.seq.max(seq);
        }
        match frame.metadata.event.as_deref() {
            Some("added") if self.rooms.get(&id).is_none_or(|room| room.entry.kind.is_empty()) => {
                self.send(&json!({ "type": "rooms" }));
            }
            Some("removed") => self.leave(id),
            _ => {}
        }
    }

    /// The person went out of a room: it is forgotten at once.
    pub fn left(&mut self, id: Uuid) {
        self.leave(id);
    }

    fn leave(&mut self, id: Uuid) {
        if self.rooms.remove(&id).is_some() {
            self.saved.remove(&id);
            self.out.push(Effect::Show(Shown::Gone(id)));
            self.out.push(Effect::Save);
        }
    }

    fn notice(&mut self, frame: &Incoming) {
        match frame.metadata.code.as_deref().map(Notice::from) {
            Some(Notice::TokenExpiring) => self.out.push(Effect::Refresh),
            Some(Notice::Draining) => {
                let after_ms = frame.metadata.reconnect_after_ms.unwrap_or(1000);
                self.note("The server is about to stop; coming back when it said.".to_owned());
                self.out.push(Effect::Reconnect { after_ms });
            }
            Some(Notice::Other) | None => {}
        }
    }

    fn error(&mut self, frame: &Incoming, now: u64) {
        let code = frame.metadata.code.clone().unwrap_or_default();
        let text = frame.content.clone().unwrap_or_default();
        let is_first = frame.id.is_some() && self.pending.front().map(|first| first.id) == frame.id;
        if !is_first {
            let advice = frame.metadata.advice.as_deref().unwrap_or_default();
            self.note(format!("{text} {advice}"));
            return;
        }
        let again = matches!(
            code.as_str(),
            "rate_limited" | "busy" | "storage_unavailable" | "draining" | "internal" | "timeout"
        );
        if again {
            if let Some(first) = self.pending.front_mut() {
                first.sent = None;
                first.not_before = now + frame.metadata.retry_after_ms.unwrap_or(1000).max(20);
            }
        } else if let Some(send) = self.pending.pop_front() {
            self.out.push(Effect::Show(Shown::Refused { id: send.id, code, text }));
        }
    }
}
