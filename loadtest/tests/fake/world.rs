//! What the fake server knows and decides: rooms, their logs, who is told what, and the faults. No sockets, no clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::Deed;
use super::faults::{Fault, Plan, ResumeFault};
use super::serve::{frame, key_and_due};

/// The epoch of every room.
const EPOCH: u64 = 1;
/// Rooms in `hello` and in a page of them.
const ROOMS_PAGE: usize = 100;

/// Something to be said to a connection.
pub struct Out {
    pub to: u64,
    pub what: What,
}

pub enum What {
    Frame {
        frame: Value,
        /// For a message: which, when it was due, and whether this is a delivery (or an ack).
        message: Option<(Uuid, Duration, bool)>,
    },
    Close(u16),
    Cut,
}

/// One entry of a log.
#[derive(Clone, Debug)]
pub struct Event {
    kind: &'static str,
    pub seq: u64,
    number: u64,
    user: Uuid,
    id: Option<Uuid>,
    content: Option<String>,
    /// More of its `metadata`.
    more: Value,
}

impl Event {
    /// As a frame; with its `id` for its author's other devices.
    pub fn frame(&self, room: Uuid, with_id: bool) -> Value {
        let mut frame = frame(self.kind);
        let bytes = room.as_bytes();
        let mut message_id = [0; 16];
        message_id[..6].copy_from_slice(&self.seq.to_be_bytes()[2..]);
        message_id[8..].copy_from_slice(&bytes[8..]);
        frame["room_id"] = json!(room);
        frame["user_id"] = json!(self.user);
        frame["seq"] = json!(self.seq);
        frame["message_id"] = json!(Uuid::new_v8(message_id));
        if let Some(content) = &self.content {
            frame["content"] = json!(content);
        }
        if let Some(id) = self.id.filter(|_| with_id) {
            frame["id"] = json!(id);
        }
        let text = if self.kind == "chat" { "text" } else { "system" };
        frame["metadata"] = json!({"number": self.number, "epoch": EPOCH, "message_type": text});
        for (key, value) in self.more.as_object().into_iter().flatten() {
            frame["metadata"][key] = value.clone();
        }
        frame
    }
}

/// A room.
pub struct Room {
    pub id: Uuid,
    pub name: String,
    kind: String,
    pub members: BTreeSet<Uuid>,
    pub log: Vec<Event>,
    last_seq: u64,
    number: u64,
    answered: HashMap<Uuid, (u64, u64)>,
}

impl Room {
    /// As a client sees it.
    pub fn shape(&self) -> Value {
        json!({"room_id": self.id, "name": self.name, "type": self.kind, "role": "member", "members": self.members.len(),
            "epoch": EPOCH, "first_seq": 1, "last_seq": self.last_seq, "last_number": self.number, "read_number": 0,
            "last_at": "2026-11-22T13:45:07.123Z", "created_at": "2026-11-22T13:45:07.123Z"})
    }

    /// A page of its log.
    pub fn page(&self, before: Option<u64>, after: Option<u64>, limit: usize) -> Value {
        let fits = |e: &&Event| before.is_none_or(|seq| e.seq < seq) && after.is_none_or(|seq| e.seq > seq);
        let all: Vec<&Event> = self.log.iter().filter(fits).collect();
        let page = if after.is_some() { &all[..all.len().min(limit)] } else { &all[all.len().saturating_sub(limit)..] };
        let rows: Vec<Value> = page.iter().map(|event| event.frame(self.id, false)).collect();
        json!({"messages": rows, "first_seq": 1, "last_seq": self.last_seq, "epoch": EPOCH, "more": page.len() < all.len()})
    }

    /// The number that is next; `passed_over` numbers stay out.
    fn next(&mut self, passed_over: u64) -> u64 {
        self.last_seq += 1 + passed_over;
        self.last_seq
    }

    fn system(&mut self, kind: &'static str, user: Uuid, more: Value) -> Event {
        let (seq, number) = (self.next(0), self.number);
        let event = Event { kind, seq, number, user, id: None, content: None, more };
        self.log.push(event.clone());
        event
    }
}

/// All rooms, and who is connected.
pub struct World {
    plan: Plan,
    pub rooms: BTreeMap<Uuid, Room>,
    online: BTreeMap<Uuid, Vec<u64>>,
    outs: Vec<Out>,
    /// Faults that were committed since they were last taken.
    pub deeds: Vec<Deed>,
    /// Messages so far, retries left out.
    messages: u64,
    /// Deliveries that wait for the next one to the same connection.
    held: HashMap<u64, Out>,
    /// Messages that wait for their sender's next one.
    delayed: Vec<(u64, Uuid, Value)>,
}

impl World {
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            rooms: BTreeMap::new(),
            online: BTreeMap::new(),
            outs: Vec::new(),
            deeds: Vec::new(),
            messages: 0,
            held: HashMap::new(),
            delayed: Vec::new(),
        }
    }

    pub fn take_outs(&mut self) -> Vec<Out> {
        std::mem::take(&mut self.outs)
    }

    pub fn say(&mut self, to: u64, what: What) {
        self.outs.push(Out { to, what });
    }

    fn tell(&mut self, to: u64, frame: Value) {
        self.say(to, What::Frame { frame, message: None });
    }

    pub fn gone(&mut self, place: u64) {
        self.online.values_mut().for_each(|places| places.retain(|p| *p != place));
        self.held.remove(&place);
    }

    /// Another first frame than a client awaits.
    pub fn say_first(&mut self, place: u64, text: &str) {
        self.tell(place, serde_json::from_str(text).unwrap());
    }

    /// The first frame to who came.
    pub fn hello(&mut self, place: u64, user: Uuid) {
        self.online.entry(user).or_default().push(place);
        let mut hello = frame("hello");
        hello["user_id"] = json!(user);
        hello["metadata"] = self.rooms_page(user, 0);
        let more = json!({"protocol": 1, "capabilities": [], "session_id": Uuid::from_u128(1), "device_id": Uuid::from_u128(2),
            "user": {"user_id": user, "username": user, "display_name": user, "admin": false}, "heartbeat_ms": 10_000,
            "limits": {"content_chars": 4096, "metadata_bytes": 4096, "frame_bytes": 65_536, "messages_per_second": 1000,
                "messages_burst": 1000, "page_rows": 100, "rooms_per_request": 1000},
            "stream": {"epoch": EPOCH, "seq": 0}});
        for (key, value) in more.as_object().into_iter().flatten() {
            hello["metadata"][key] = value.clone();
        }
        self.tell(place, hello);
    }

    fn rooms_page(&self, user: Uuid, from: usize) -> Value {
        let own: Vec<Value> = self.rooms.values().filter(|r| r.members.contains(&user)).map(Room::shape).collect();
        let end = own.len().min(from + ROOMS_PAGE);
        let mut page = json!({"rooms": own.get(from..end).unwrap_or_default(), "more_rooms": end < own.len()});
        if end < own.len() {
            page["cursor"] = json!(end.to_string());
        }
        page
    }

    /// A new room with its first members. `None`: the name is taken.
    pub fn create(&mut self, owner: Uuid, name: &str, kind: &str, members: &[Uuid]) -> Option<&Room> {
        if self.rooms.values().any(|room| room.name == name) {
            return None;
        }
        let id = Uuid::now_v7();
        let room = Room {
            id,
            name: name.to_owned(),
            kind: kind.to_owned(),
            members: BTreeSet::new(),
            log: Vec::new(),
            last_seq: 0,
            number: 0,
            answered: HashMap::new(),
        };
        self.rooms.insert(id, room);
        for member in [owner].iter().chain(members) {
            self.join(id, *member, owner);
        }
        self.rooms.get(&id)
    }

    /// Brings somebody in. False when there is no such room.
    pub fn join(&mut self, room: Uuid, user: Uuid, by: Uuid) -> bool {
        self.move_member(room, user, by, true)
    }

    /// Puts somebody out. False when there is no such room.
    pub fn leave(&mut self, room: Uuid, user: Uuid) -> bool {
        self.move_member(room, user, user, false)
    }

    fn move_member(&mut self, id: Uuid, user: Uuid, by: Uuid, inside: bool) -> bool {
        let Some(room) = self.rooms.get_mut(&id) else { return false };
        let others: Vec<Uuid> = room.members.iter().copied().filter(|m| *m != user).collect();
        let changed = if inside { room.members.insert(user) } else { room.members.remove(&user) };
        if changed {
            let (kind, reason) = match (inside, by == user) {
                (true, true) => ("join", "joined"),
                (true, false) => ("join", "added"),
                (false, _) => ("leave", "left"),
            };
            let frame = room.system(kind, user, json!({"reason": reason, "subject": user, "by": by})).frame(id, false);
            for place in others.iter().filter_map(|m| self.online.get(m)).flatten().copied().collect::<Vec<_>>() {
                self.tell(place, frame.clone());
            }
        }
        true
    }

    /// A frame of somebody who is in.
    pub fn handle(&mut self, place: u64, user: Uuid, said: &Value) {
        let (kind, id) = (said["type"].as_str().unwrap_or("?"), &said["id"]);
        let room_id = said["room_id"].as_str().and_then(|room| Uuid::try_parse(room).ok());
        let member = room_id.and_then(|room| self.rooms.get(&room)).is_some_and(|room| room.members.contains(&user));
        let mut ack = frame("ack");
        ack["id"] = id.clone();
        match (kind, room_id) {
            ("auth", _) => self.tell(place, ack),
            ("ack" | "presence", _) => {}
            ("resume", _) => self.resume(place, user, said),
            ("rooms", _) => {
                let from = said["metadata"]["cursor"].as_str().and_then(|n| n.parse().ok()).unwrap_or(0);
                let mut page = frame("rooms");
                page["id"] = id.clone();
                page["metadata"] = self.rooms_page(user, from);
                self.tell(place, page);
            }
            ("join", Some(room)) if self.rooms.contains_key(&room) => {
                self.join(room, user, user);
                let entry = &self.rooms[&room];
                ack["room_id"] = json!(room);
                ack["seq"] = json!(entry.last_seq);
                ack["metadata"] = json!({"epoch": EPOCH, "number": entry.number, "room": entry.shape()});
                self.tell(place, ack);
            }
            ("chat", Some(_)) if member => self.chat(place, user, said),
            ("leave", Some(room)) if member => {
                self.leave(room, user);
                ack["room_id"] = json!(room);
                ack["seq"] = json!(self.rooms[&room].last_seq);
                ack["metadata"] = json!({"epoch": EPOCH});
                self.tell(place, ack);
            }
            ("read", Some(room)) if member => {
                ack["room_id"] = json!(room);
                self.tell(place, ack);
            }
            ("typing", Some(room)) if member => {
                let mut typing = frame("typing");
                typing["room_id"] = json!(room);
                typing["user_id"] = json!(user);
                typing["metadata"] = json!({"active": said["metadata"]["active"] != false});
                for (_, to) in self.receivers(room, place) {
                    self.tell(to, typing.clone());
                }
            }
            ("history", Some(room)) if member => {
                let asked = &said["metadata"];
                let limit = asked["limit"].as_u64().unwrap_or(100).min(100);
                let limit = usize::try_from(limit).unwrap_or(100);
                let page = self.rooms[&room].page(asked["before"].as_u64(), asked["after"].as_u64(), limit);
                let mut history = frame("history");
                history["id"] = id.clone();
                history["room_id"] = json!(room);
                history["metadata"] = page;
                self.tell(place, history);
            }
            ("chat" | "join" | "leave" | "read" | "typing" | "history", _) => self.refuse(place, id, "room_not_found"),
            _ => self.refuse(place, id, "unknown_type"),
        }
    }

    fn refuse(&mut self, place: u64, id: &Value, code: &str) {
        let mut error = frame("error");
        error["id"] = id.clone();
        error["content"] = json!("The fake server says no.");
        error["metadata"] = json!({"code": code, "advice": "None.", "retry_after_ms": 100});
        self.tell(place, error);
    }

    /// The connections of a room, with their users, but this one.
    fn receivers(&self, room: Uuid, but: u64) -> Vec<(Uuid, u64)> {
        let members = self.rooms.get(&room).into_iter().flat_map(|room| room.members.iter());
        let places = members.filter_map(|member| self.online.get(member).map(|places| (*member, places)));
        places
            .flat_map(|(member, places)| places.iter().map(move |p| (member, *p)))
            .filter(|(_, p)| *p != but)
            .collect()
    }

    fn chat(&mut self, place: u64, user: Uuid, said: &Value) {
        let (Some(id), Some(room_id), Some(content)) = (
            said["id"].as_str().and_then(|id| Uuid::try_parse(id).ok()),
            said["room_id"].as_str().and_then(|id| Uuid::try_parse(id).ok()),
            said["content"].as_str(),
        ) else {
            return self.refuse(place, &said["id"], "bad_frame");
        };
        let due = key_and_due(content).map_or(Duration::ZERO, |(_, due)| due);
        let Some(room) = self.rooms.get_mut(&room_id) else { return };
        if let Some(&(seq, number)) = room.answered.get(&id) {
            return self.ack(place, room_id, id, due, seq, number, true);
        }
        let receivers = self.receivers(room_id, place);
        let victim = receivers.iter().copied().find(|(member, _)| *member != user);
        let stranger = self.online.iter().find_map(|(other, places)| {
            let outside = !self.rooms[&room_id].members.contains(other);
            places.first().filter(|_| outside).map(|place| (*other, *place))
        });
        let n = self.messages;
        self.messages += 1;
        let fault = self.plan.due(n).filter(|fault| match fault {
            Fault::DeliverOutside => stranger.is_some(),
            Fault::CopyToSender | Fault::AckOnly | Fault::TwoAnswers | Fault::StoreTwice | Fault::LogHole => true,
            Fault::SwallowAck | Fault::Refuse(_) | Fault::SwapStored => true,
            _ => victim.is_some(),
        });
        if let Some(fault) = fault {
            self.plan.done(fault);
        }
        let Some(room) = self.rooms.get_mut(&room_id) else { return };
        let mut deed = fault.map(|fault| Deed {
            what: format!("{fault:?}"),
            key: id,
            room: room_id,
            seq: room.last_seq + 1,
            victim: if fault == Fault::DeliverOutside { stranger } else { victim }.map(|(member, _)| member),
        });
        match fault {
            Some(Fault::Refuse(code)) => {
                self.deeds.extend(deed);
                return self.refuse(place, &said["id"], code);
            }
            Some(Fault::SwapStored) => {
                self.deeds.extend(deed);
                return self.delayed.push((place, user, said.clone()));
            }
            Some(Fault::AckOnly) => {
                let (seq, number) = (room.last_seq + 1, room.number + 1);
                self.deeds.extend(deed);
                return self.ack(place, room_id, id, due, seq, number, false);
            }
            _ => {}
        }
        // It is stored …
        room.number += 1;
        let (seq, number) = (room.next(u64::from(fault == Some(Fault::LogHole))), room.number);
        if let Some(deed) = &mut deed {
            deed.seq = seq;
        }
        self.deeds.extend(deed);
        let said_so = Some(content.to_owned());
        let event =
            Event { kind: "chat", seq, number, user, id: Some(id), content: said_so, more: said["metadata"].clone() };
        let mut events = vec![event.clone()];
        if fault == Some(Fault::DeliverOnly) {
            let void =
                Event { kind: "system", id: None, content: None, more: json!({"event": "void"}), ..event.clone() };
            room.log.push(void);
        } else {
            room.log.push(event.clone());
        }
        if fault == Some(Fault::StoreTwice) {
            room.number += 1;
            let again = Event { seq: room.next(0), number: room.number, ..event.clone() };
            room.log.push(again.clone());
            events.push(again);
        }
        room.answered.insert(id, (seq, number));
        // … then the others get it, and its sender the ack.
        for event in &events {
            self.deliver(room_id, event, place, user, due, fault, victim, stranger);
        }
        if fault != Some(Fault::SwallowAck) {
            self.ack(place, room_id, id, due, seq, number, false);
        }
        if fault == Some(Fault::TwoAnswers) {
            self.ack(place, room_id, id, due, seq + 1, number, true);
        }
        let later = self.delayed.iter().position(|(_, who, _)| *who == user).map(|at| self.delayed.remove(at));
        if let Some((place, user, said)) = later {
            self.chat(place, user, &said);
        }
    }

    #[allow(clippy::too_many_arguments)] // all that there is to know of one message
    fn deliver(
        &mut self,
        room: Uuid,
        event: &Event,
        sender: u64,
        user: Uuid,
        due: Duration,
        fault: Option<Fault>,
        victim: Option<(Uuid, u64)>,
        stranger: Option<(Uuid, u64)>,
    ) {
        let key = event.id.unwrap_or_default();
        let out = |to: u64, event: &Event, own: bool| Out {
            to,
            what: What::Frame { frame: event.frame(room, own), message: Some((key, due, true)) },
        };
        for (member, to) in self.receivers(room, sender) {
            let whole = out(to, event, member == user);
            let fault = fault.filter(|_| victim.is_some_and(|(_, place)| place == to));
            let last = self.held.remove(&to);
            match fault {
                Some(Fault::DropDelivery) => {}
                Some(Fault::SwapDeliveries) => drop(self.held.insert(to, whole)),
                Some(Fault::DeliverTwice) => self.outs.extend([out(to, event, false), whole]),
                Some(Fault::OtherMessage) => {
                    let rest =
                        event.content.as_deref().and_then(|text| text.split_once(' ')).map_or("", |(_, rest)| rest);
                    let content = Some(format!("{} {rest}", Uuid::now_v7()));
                    self.outs.push(out(to, &Event { content, ..event.clone() }, false));
                }
                Some(Fault::OtherText) => {
                    let mut content = event.content.clone().unwrap_or_default();
                    content.pop();
                    content.push('#');
                    self.outs.push(out(to, &Event { content: Some(content), ..event.clone() }, false));
                }
                Some(Fault::Close(code)) => self.say(to, What::Close(code)),
                Some(Fault::Cut) => self.say(to, What::Cut),
                _ => self.outs.push(whole),
            }
            self.outs.extend(last);
        }
        match (fault, stranger) {
            (Some(Fault::DeliverOutside), Some((_, place))) => self.outs.push(out(place, event, false)),
            (Some(Fault::CopyToSender), _) => self.outs.push(out(sender, event, true)),
            _ => {}
        }
    }

    #[allow(clippy::too_many_arguments)] // the fields of an ack
    fn ack(&mut self, place: u64, room: Uuid, id: Uuid, due: Duration, seq: u64, number: u64, duplicate: bool) {
        let mut ack = frame("ack");
        ack["id"] = json!(id);
        ack["room_id"] = json!(room);
        ack["seq"] = json!(seq);
        ack["metadata"] = json!({"epoch": EPOCH, "number": number});
        if duplicate {
            ack["metadata"]["duplicate"] = json!(true);
        }
        self.say(place, What::Frame { frame: ack, message: Some((id, due, false)) });
    }

    fn resume(&mut self, place: u64, user: Uuid, said: &Value) {
        for asked in said["metadata"]["rooms"].as_array().into_iter().flatten() {
            let id = asked["room_id"].as_str().and_then(|id| Uuid::try_parse(id).ok()).unwrap_or_default();
            let Some(room) = self.rooms.get(&id).filter(|room| room.members.contains(&user)) else {
                let mut reload = frame("reload");
                reload["room_id"] = asked["room_id"].clone();
                reload["metadata"] = json!({"reason": "not_member"});
                self.tell(place, reload);
                continue;
            };
            let from = asked["seq"].as_u64().unwrap_or(0);
            let mut missed: Vec<Event> = room.log.iter().filter(|event| event.seq > from).cloned().collect();
            let last_seq = room.last_seq;
            // One's own message is no loss to be told of in a live run: the fault wants somebody else's.
            let hit = missed.iter().position(|event| event.kind == "chat" && event.user != user);
            let fault = hit.and_then(|hit| self.plan.resume.take().map(|fault| (hit, fault)));
            if let Some((hit, fault)) = fault {
                let event = missed[hit].clone();
                let (key, seq) = (event.id.unwrap_or_default(), event.seq);
                self.deeds.push(Deed { what: format!("{fault:?}"), key, room: id, seq, victim: Some(user) });
                match fault {
                    ResumeFault::Gap => drop(missed.remove(hit)),
                    ResumeFault::Twice => missed.insert(hit, event),
                    ResumeFault::Reload => {
                        let mut reload = frame("reload");
                        reload["room_id"] = json!(id);
                        reload["metadata"] = json!({"reason": "retention"});
                        self.tell(place, reload);
                        continue;
                    }
                }
            }
            for event in missed {
                self.tell(place, event.frame(id, event.user == user));
            }
            let mut resumed = frame("resumed");
            resumed["room_id"] = json!(id);
            resumed["seq"] = json!(last_seq);
            resumed["metadata"] = json!({"more": false});
            self.tell(place, resumed);
        }
        if said["metadata"]["stream"].is_object() {
            let mut resumed = frame("resumed");
            resumed["seq"] = json!(0);
            resumed["metadata"] = json!({"more": false});
            self.tell(place, resumed);
        }
    }
}
