//! What ought to be true: what clients were told is compared with what the store has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::base::{Event, EventKind, EventStatus, Member, RoomId, Seq, UserId, WallTime};
use crate::store::{Answer, Backend as _, LoadedRoom, Query, Span};

use super::client::{Client, Link};
use super::world::World;

/// What was promised so far.
#[derive(Debug, Default)]
pub struct Model {
    /// The first thing that was wrong.
    pub first: Option<String>,
    /// How often a client was told to resume.
    pub resyncs: u64,
    /// How many messages were acknowledged.
    pub acks: u64,
    /// How many events were seen.
    pub events: u64,
    sent: BTreeMap<(UserId, RoomId, String), String>,
    acked: BTreeMap<(UserId, RoomId, String), u64>,
    /// What was shown at a place of a room: type and text.
    told: BTreeMap<(RoomId, Seq), (String, Option<String>)>,
    /// Who saw what.
    saw: BTreeSet<(UserId, RoomId, Seq)>,
    probes: BTreeMap<String, String>,
    /// Rooms that must not be told from rooms that are not there.
    pub secret: Option<RoomId>,
}

impl Model {
    /// Something is wrong. The first is kept.
    pub fn wrong(&mut self, what: String) {
        self.first.get_or_insert(what);
    }

    /// A client tries to send this.
    pub fn sent(&mut self, user: UserId, room: RoomId, id: &str, text: &str) {
        self.sent.insert((user, room, id.to_owned()), text.to_owned());
    }

    /// The server said that it has it.
    pub fn acked(&mut self, user: UserId, room: RoomId, id: &str, seq: u64) {
        self.acks += 1;
        let key = (user, room, id.to_owned());
        if let Some(before) = self.acked.insert(key, seq)
            && before != seq
        {
            self.wrong(format!("{id} was acknowledged as {before} and as {seq}"));
        }
    }

    /// Somebody was shown an event.
    pub fn seen(&mut self, user: UserId, room: RoomId, seq: Seq, kind: &str, text: Option<&str>, client: usize) {
        self.events += 1;
        self.saw.insert((user, room, seq));
        let told = self.told.entry((room, seq)).or_insert_with(|| (kind.to_owned(), text.map(str::to_owned)));
        let same = told.0 == kind && (told.1.is_none() || text.is_none() || told.1.as_deref() == text);
        if told.1.is_none() {
            told.1 = text.map(str::to_owned);
        }
        if !same {
            let other = told.clone();
            self.wrong(format!("client {client}: {seq} of {room} is {kind} {text:?}, and was told as {other:?}"));
        }
    }

    /// An answer to somebody who asked for a room that is not theirs, or not there.
    pub fn probed(&mut self, frame: &Value, room: RoomId) {
        let code = frame["metadata"]["code"].as_str().unwrap_or_default();
        if matches!(code, "busy" | "storage_unavailable" | "rate_limited") {
            return;
        }
        let mut plain = frame.clone();
        plain["id"] = Value::Null;
        plain["room_id"] = Value::Null;
        plain["timestamp"] = Value::Null;
        let expected = match frame["type"].as_str() {
            Some("reload") => "reload not_member".to_owned(),
            _ => "error room_not_found".to_owned(),
        };
        let word = frame["metadata"]["reason"].as_str().unwrap_or(code);
        if format!("{} {word}", frame["type"].as_str().unwrap_or_default()) != expected {
            self.wrong(format!("an outsider asked for {room} and was told {frame}"));
        }
        let shape = self.probes.entry(expected).or_insert_with(|| plain.to_string());
        let plain = plain.to_string();
        if *shape != plain {
            let other = shape.clone();
            self.wrong(format!("an outsider can tell {plain} from {other}"));
        }
    }

    /// At the end, when nothing is on its way: all that was told is what the store has.
    pub fn at_the_end(&mut self, world: &World, rooms: &[RoomId], clients: &[Client]) {
        let mut logs: BTreeMap<RoomId, (LoadedRoom, Vec<Event>)> = BTreeMap::new();
        for &room in rooms {
            let query = Query::Rooms { rooms: vec![room], answered_since: WallTime(0), answered_max: 0 };
            let Ok(Answer::Rooms(mut found)) = world.store.read(&query) else { continue };
            let Some(loaded) = found.pop().flatten() else { continue };
            let query = Query::Events { room, span: Span::After(Seq(0)), limit: usize::MAX, bytes_max: usize::MAX };
            let Ok(Answer::Events(events)) = world.store.read(&query) else { continue };
            logs.insert(room, (loaded, events));
        }
        for (room, (_, events)) in &logs {
            self.log(*room, events);
        }
        for (user, room, seq) in self.saw.clone() {
            let may = logs.get(&room).and_then(|(room, _)| member(room, user)).is_some_and(|m| m.may_read(seq));
            if !may {
                self.wrong(format!("{user} was shown {seq} of {room} and may not read it"));
            }
        }
        for client in clients {
            self.client(client, world, &logs);
        }
    }

    fn log(&mut self, room: RoomId, events: &[Event]) {
        let mut ids: BTreeMap<(UserId, String), u64> = BTreeMap::new();
        let mut taken_back = BTreeSet::new();
        for (place, event) in events.iter().enumerate() {
            if event.seq.0 != place as u64 + 1 {
                return self.wrong(format!("the log of {room} is not dense at {}", event.seq));
            }
            if let EventKind::Deletion { target } = event.kind
                && !taken_back.insert(target)
            {
                self.wrong(format!("{target} of {room} was taken back twice"));
            }
            if matches!(event.kind, EventKind::Message)
                && let Some(id) = event.client_id
            {
                let key = (event.user, id.to_string());
                if let Some(before) = ids.insert(key, event.seq.0) {
                    self.wrong(format!("{id} is stored twice in {room}: {before} and {}", event.seq));
                }
                let text = self.sent.get(&(event.user, room, id.to_string()));
                if event.status == EventStatus::Live && text != Some(&event.content) {
                    self.wrong(format!(
                        "{} of {room} was stored as {:?} and sent as {text:?}",
                        event.seq, event.content
                    ));
                }
            }
        }
        for event in events {
            if matches!(event.status, EventStatus::Deleted(_)) != taken_back.contains(&event.seq) {
                self.wrong(format!("{} of {room} and its deletion do not fit", event.seq));
            }
        }
        let mut mine = self.acked.iter().filter(|((_, acked_in, _), _)| *acked_in == room);
        let lost = mine.find(|((user, _, id), seq)| ids.get(&(*user, id.clone())) != Some(seq));
        if let Some(((_, _, id), seq)) = lost {
            let what = format!(
                "{id} was acknowledged as {seq} of {room}; the store has {:?}",
                ids.iter().find(|((_, i), _)| i == id)
            );
            self.wrong(what);
        }
    }

    fn client(&mut self, client: &Client, world: &World, logs: &BTreeMap<RoomId, (LoadedRoom, Vec<Event>)>) {
        let who = format!("client {}", client.number);
        if !matches!(client.link, Link::Live(_)) {
            return self.wrong(format!("{who} is not connected at the end: {:?}", client.link));
        }
        if let Ok(Answer::User(Some(user))) = world.store.read(&Query::User(client.user))
            && user.stream_head.0 != client.stream
        {
            self.wrong(format!(
                "{who} stands at {} of its stream, which stands at {}",
                client.stream, user.stream_head
            ));
        }
        for (room, (loaded, events)) in logs {
            let member = member(loaded, client.user);
            let is_in = member.is_some_and(Member::active);
            let known = client.rooms.get(room);
            if known.is_some_and(|known| known.member) != is_in {
                self.wrong(format!("{who} is in {room}: {is_in}, and thinks otherwise"));
                continue;
            }
            let (Some(known), Some(member), true) = (known, member, is_in) else { continue };
            if known.pos != loaded.head.seq.0 {
                self.wrong(format!("{who} stands at {} of {room}, which stands at {}", known.pos, loaded.head.seq));
            }
            for event in events.iter().filter(|e| e.seq.0 > known.since && member.may_read(e.seq)) {
                let own = matches!(event.kind, EventKind::Joined { subject } if subject == client.user);
                let Some((kind, text)) = known.shown.get(&event.seq.0) else {
                    // One's own coming and going is told by the answer.
                    if !own && !matches!(event.kind, EventKind::Left { .. }) {
                        self.wrong(format!("{who} never saw {} of {room}: {:?}", event.seq, event.kind));
                    }
                    continue;
                };
                // What was taken back while one was not in the room was told to others.
                let deletion = |e: &&Event| e.kind == EventKind::Deletion { target: event.seq };
                let live = events.iter().find(deletion).is_none_or(|e| !member.may_read(e.seq));
                if *kind == "chat"
                    && live != text.is_some()
                    && (live || text.is_some())
                    && !(live && event.content.is_empty())
                {
                    self.wrong(format!("{who} shows {text:?} for {} of {room}, {:?}", event.seq, event.status));
                }
            }
        }
    }
}

fn member(room: &LoadedRoom, user: UserId) -> Option<&Member> {
    room.members.iter().find(|member| member.user == user)
}
