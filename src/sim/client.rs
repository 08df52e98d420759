//! A client that keeps the rules of the protocol (`docs/protocol.md`, "Positions") and complains when the server does not.
//!
//! It speaks JSON over the sockets of the world: joins, posts, retries with the same id, resumes, takes back, asks for pages, reads slowly.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use crate::base::{ConnId, DeviceId, RoomId, Seq, UserId};

use super::Rng;
use super::model::Model;
use super::world::World;

/// Where a client stands with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not connected; tries again then (microseconds).
    Off(u64),
    /// Waits for the `hello`.
    Greeting(ConnId),
    /// Said hello.
    Live(ConnId),
}

/// What a client has of one room.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The last event that was shown.
    pub pos: u64,
    /// The first position it ever had: what is after it must be shown.
    pub since: u64,
    epoch: u64,
    /// It thinks that it is in the room.
    pub member: bool,
    /// Shown events: `chat` with its text (`None`: taken back), others with their type.
    pub shown: BTreeMap<u64, (String, Option<String>)>,
    /// Messages of which it was told that they were taken back.
    pub gone: BTreeSet<u64>,
    aside: BTreeMap<u64, Value>,
    resume: Resume,
    /// Live events must wait until it was resumed.
    held: bool,
    /// An event among what was missed said that one has left; a later one may have said otherwise.
    doubt: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Resume {
    #[default]
    No,
    Wanted(u64),
    Asked,
}

/// A send that was not answered.
#[derive(Clone, Debug)]
struct Sending {
    room: RoomId,
    frame: String,
    /// On this connection it was sent already; or not before then.
    sent: bool,
    after: u64,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    /// Its place among all.
    pub number: usize,
    /// Whose.
    pub user: UserId,
    device: DeviceId,
    token: String,
    /// Where it stands.
    pub link: Link,
    /// Its rooms.
    pub rooms: BTreeMap<RoomId, Known>,
    sending: BTreeMap<String, Sending>,
    asked: BTreeMap<String, (&'static str, RoomId, u64)>,
    /// Where it stands in its user stream.
    pub stream: u64,
    stream_resume: Resume,
    partial: VecDeque<u8>,
    hold: bool,
    /// Reads nothing until then.
    pub paused_until: u64,
    probes: BTreeMap<String, RoomId>,
}

impl Client {
    /// A client that connects soon.
    #[must_use]
    pub fn new(number: usize, user: UserId, world: &World, rng: &mut Rng) -> Self {
        Self {
            number,
            user,
            device: DeviceId(uuid::Uuid::from_u128(0x4444 + number as u128)),
            token: world.token(user, &format!("login {number}")),
            link: Link::Off(rng.below(20_000)),
            rooms: BTreeMap::new(),
            sending: BTreeMap::new(),
            asked: BTreeMap::new(),
            stream: 0,
            stream_resume: Resume::No,
            partial: VecDeque::new(),
            hold: false,
            paused_until: 0,
            probes: BTreeMap::new(),
        }
    }

    /// Rooms that it thinks it is in.
    #[must_use]
    pub fn member_of(&self) -> Vec<RoomId> {
        self.rooms.iter().filter(|(_, known)| known.member).map(|(room, _)| *room).collect()
    }

    /// Whether it waits for nothing.
    #[must_use]
    pub fn settled(&self) -> bool {
        matches!(self.link, Link::Live(_))
            && self.sending.is_empty()
            && self.asked.is_empty()
            && self.stream_resume == Resume::No
            && self.rooms.values().all(|known| !known.member || (known.resume == Resume::No && known.aside.is_empty()))
    }

    /// What it waits for, in words.
    #[must_use]
    pub fn waits_for(&self) -> String {
        let rooms: Vec<_> = self
            .rooms
            .iter()
            .filter(|(_, known)| known.member && (known.resume != Resume::No || !known.aside.is_empty()))
            .map(|(room, known)| (room, known.pos, known.resume, known.aside.keys().copied().collect::<Vec<_>>()))
            .collect();
        let (number, link) = (self.number, self.link);
        format!("{number} {link:?} {:?} {:?} {:?} {rooms:?}", self.sending, self.asked, self.stream_resume)
    }

    fn at(world: &World) -> u64 {
        world.now().mono.0
    }

    fn say(&self, world: &mut World, frame: &Value) {
        if let Link::Live(conn) | Link::Greeting(conn) = self.link {
            world.say(conn, frame.to_string());
        }
    }

    fn id(world: &World, rng: &mut Rng) -> String {
        rng.uuid_v7(world.now().wall.0).to_string()
    }

    // ---- what it does ----

    /// Lets go of its socket.
    pub fn hang_up(&mut self, world: &mut World, wait_us: u64) {
        if let Link::Live(conn) | Link::Greeting(conn) = self.link {
            world.drop_socket(conn);
            self.off(Self::at(world) + wait_us);
        }
    }

    /// Everything has crashed: its socket is broken, what it had not read is lost.
    pub fn cut_off(&mut self, world: &World, wait_us: u64) {
        if !matches!(self.link, Link::Off(_)) {
            self.off(Self::at(world) + wait_us);
        }
    }

    fn off(&mut self, until: u64) {
        self.link = Link::Off(until);
        self.partial.clear();
        self.asked.clear();
        self.probes.clear();
        self.stream_resume = Resume::No;
        for known in self.rooms.values_mut() {
            known.resume = Resume::No;
            known.aside.clear();
            known.held = false;
        }
        for sending in self.sending.values_mut() {
            sending.sent = false;
        }
    }

    /// Says something new.
    pub fn post(&mut self, room: RoomId, text: &str, world: &mut World, rng: &mut Rng, model: &mut Model) {
        let id = Self::id(world, rng);
        let frame = json!({"type": "chat", "id": id, "room_id": room, "content": text}).to_string();
        model.sent(self.user, room, &id, text);
        self.sending.insert(id, Sending { room, frame, sent: false, after: 0 });
    }

    /// A request that is answered once, or lost with the connection.
    pub fn request(&mut self, kind: &'static str, room: RoomId, seq: u64, world: &mut World, rng: &mut Rng) {
        if !matches!(self.link, Link::Live(_)) {
            return;
        }
        let id = Self::id(world, rng);
        let mut frame = json!({"type": kind, "id": id, "room_id": room});
        match kind {
            "delete" | "read" => frame["seq"] = seq.into(),
            "history" if seq > 0 => frame["metadata"] = json!({"before": seq, "limit": rng.range(1, 60)}),
            "typing" => frame["metadata"] = json!({"active": true}),
            "presence" => frame = json!({"type": kind, "id": id, "metadata": {"watch": [room]}}),
            _ => {}
        }
        if kind != "typing" {
            self.asked.insert(id, (kind, room, seq));
        }
        self.say(world, &frame);
    }

    /// Does to a private room that it is not in, and to one that is not there, the same; the answers must be the same.
    pub fn probe(&mut self, private: RoomId, world: &mut World, rng: &mut Rng) {
        if !matches!(self.link, Link::Live(_)) {
            return;
        }
        let nowhere = RoomId(uuid::Uuid::from_u128(u128::from(rng.any())));
        let kind =
            rng.pick(&["chat", "join", "leave", "delete", "history", "read", "resume", "typing"]).unwrap_or("chat");
        for room in [private, nowhere] {
            let id = Self::id(world, rng);
            let frame = match kind {
                "chat" => json!({"type": kind, "id": id, "room_id": room, "content": "let me in"}),
                "delete" | "read" => json!({"type": kind, "id": id, "room_id": room, "seq": 1}),
                "typing" => json!({"type": kind, "id": id, "room_id": room, "metadata": {"active": true}}),
                "resume" => json!({"type": kind, "id": id,
                    "metadata": {"rooms": [{"room_id": room, "epoch": 1, "seq": 1}]}}),
                _ => json!({"type": kind, "id": id, "room_id": room}),
            };
            self.probes.insert(id, room);
            self.say(world, &frame);
        }
    }

    /// One step: connects, reads, sends what is due.
    pub fn step(&mut self, world: &mut World, rng: &mut Rng, model: &mut Model) {
        let at = Self::at(world);
        match self.link {
            Link::Off(until) if until <= at => {
                let shard = u16::try_from(rng.below(u64::from(world.config.shards))).unwrap_or(0);
                if let Some(conn) = world.open(shard) {
                    self.link = Link::Greeting(conn);
                    self.hold = rng.one_in(2);
                    let metadata = json!({"device_id": self.device.to_string(), "hold": self.hold});
                    let frame = json!({"type": "auth", "content": self.token, "metadata": metadata});
                    self.say(world, &frame);
                }
            }
            Link::Off(_) => {}
            Link::Greeting(conn) | Link::Live(conn) => {
                if at >= self.paused_until {
                    let max = usize::try_from(rng.range(1, 6000)).unwrap_or(1);
                    let bytes = world.read(conn, max);
                    self.partial.extend(bytes);
                    while let Some(frame) = self.next_frame(world, conn) {
                        self.hear(&frame, world, rng, model);
                    }
                    let over = world.sockets.get(&conn).is_none_or(|s| s.closed.is_some() && s.bytes.is_empty());
                    if over {
                        world.sockets.remove(&conn);
                        self.off(at + rng.range(1000, 300_000));
                        return;
                    }
                }
                self.send_due(world, rng);
            }
        }
    }

    /// Takes one whole WebSocket frame; pings are passed over.
    fn next_frame(&mut self, world: &mut World, conn: ConnId) -> Option<Value> {
        loop {
            let head: Vec<u8> = self.partial.iter().take(10).copied().collect();
            let (&first, &second) = (head.first()?, head.get(1)?);
            let (start, len) = match second {
                126 => (4, usize::from(u16::from_be_bytes([*head.get(2)?, *head.get(3)?]))),
                127 => (10, usize::try_from(u64::from_be_bytes(head.get(2..10)?.try_into().ok()?)).ok()?),
                short => (2, usize::from(short)),
            };
            if self.partial.len() < start + len {
                return None;
            }
            let payload: Vec<u8> = self.partial.drain(..start + len).skip(start).collect();
            if first == 0x81 {
                return Some(serde_json::from_slice(&payload).expect("the server writes JSON"));
            }
            let _ = (&world, conn);
        }
    }

    fn send_due(&mut self, world: &mut World, rng: &mut Rng) {
        if !matches!(self.link, Link::Live(_)) {
            return;
        }
        let at = Self::at(world);
        let mut say = Vec::new();
        for (id, sending) in &mut self.sending {
            if !sending.sent && sending.after <= at && rng.one_in(2) {
                sending.sent = true;
                say.push(sending.frame.clone());
                let _ = id;
            }
        }
        let mut resumes = Vec::new();
        for (room, known) in &mut self.rooms {
            if matches!(known.resume, Resume::Wanted(after) if after <= at) && known.member {
                known.resume = Resume::Asked;
                resumes.push((*room, known.epoch, known.pos));
            }
        }
        for (room, epoch, seq) in resumes {
            let id = Self::id(world, rng);
            let frame = json!({"type": "resume", "id": id,
                "metadata": {"rooms": [{"room_id": room, "epoch": epoch, "seq": seq}]}});
            self.asked.insert(id, ("resume", room, 0));
            say.push(frame.to_string());
        }
        if matches!(self.stream_resume, Resume::Wanted(after) if after <= at) {
            self.stream_resume = Resume::Asked;
            let id = Self::id(world, rng);
            say.push(
                json!({"type": "resume", "id": id,
                "metadata": {"rooms": [], "stream": {"epoch": 1, "seq": self.stream}}})
                .to_string(),
            );
            self.asked.insert(id, ("stream", RoomId(uuid::Uuid::nil()), 0));
        }
        if let Link::Live(conn) = self.link {
            for text in say {
                world.say(conn, text);
            }
        }
    }

    // ---- what it hears ----

    fn hear(&mut self, frame: &Value, world: &mut World, rng: &mut Rng, model: &mut Model) {
        let who = format!("client {}", self.number);
        let kind = frame["type"].as_str().unwrap_or_default();
        let id = frame["id"].as_str().unwrap_or_default().to_owned();
        let room = frame["room_id"].as_str().and_then(|text| text.parse::<RoomId>().ok());
        let at = Self::at(world);
        if kind != "chat"
            && let Some(probed) = self.probes.remove(&id)
        {
            model.probed(frame, probed);
            return;
        }
        if matches!(self.link, Link::Greeting(_)) && !matches!(kind, "hello" | "error") {
            return model.wrong(format!("{who}: {kind} came before the hello"));
        }
        match (kind, room) {
            ("hello", _) => {
                let Link::Greeting(conn) = self.link else { return model.wrong(format!("{who}: a second hello")) };
                self.link = Link::Live(conn);
                let rooms = frame["metadata"]["rooms"].as_array().cloned().unwrap_or_default();
                for known in self.rooms.values_mut() {
                    known.member = false;
                }
                for entry in &rooms {
                    self.entry(entry, at, true);
                }
                let stands = frame["metadata"]["stream"]["seq"].as_u64().unwrap_or_default();
                if stands < self.stream {
                    model.wrong(format!("{who}: the stream went back from {} to {stands}", self.stream));
                }
                if stands > self.stream {
                    self.stream_resume = Resume::Wanted(0);
                }
            }
            ("rooms", _) => {
                for entry in frame["metadata"]["rooms"].as_array().cloned().unwrap_or_default() {
                    self.entry(&entry, at, true);
                }
            }
            ("stream", _) => {
                let seq = frame["seq"].as_u64().unwrap_or_default();
                if seq == self.stream + 1 {
                    self.stream = seq;
                    if let (Some("removed"), Some(room)) = (frame["metadata"]["event"].as_str(), room)
                        && self.stream_resume == Resume::No
                        && let Some(known) = self.rooms.get_mut(&room)
                    {
                        // The room itself may have said so already, and a new membership may have begun since.
                        let _ = known;
                    }
                } else if seq > self.stream && self.stream_resume == Resume::No {
                    model.wrong(format!("{who}: the stream jumped from {} to {seq}", self.stream));
                }
            }
            ("chat" | "delete" | "join" | "leave" | "system", Some(room)) => {
                self.event(room, frame, at, model);
            }
            ("ack", _) => self.ack(frame, &id, room, at, model),
            ("error", _) => self.error(frame, &id, at, model),
            ("resumed", None) => {
                self.asked.remove(&id);
                self.stream_resume = if frame["metadata"]["more"] == true { Resume::Wanted(at) } else { Resume::No };
                let seq = frame["seq"].as_u64().unwrap_or_default();
                if seq > self.stream {
                    model.wrong(format!("{who}: resumed its stream to {seq} and got entries up to {}", self.stream));
                }
            }
            ("resumed", Some(room)) => {
                self.asked.remove(&id);
                // Whoever has left passes over what comes of a room, and so over where that would lead.
                let Some(known) = self.rooms.get_mut(&room).filter(|known| known.member) else { return };
                let seq = frame["seq"].as_u64().unwrap_or_default();
                // What was kept aside up to there is shown: the places between it were not this client's to read.
                let beyond = known.aside.split_off(&(seq + 1));
                for (_, event) in std::mem::replace(&mut known.aside, beyond) {
                    self.show(room, &event);
                }
                let Some(known) = self.rooms.get_mut(&room) else { return };
                known.pos = known.pos.max(seq);
                if frame["metadata"]["more"] == true {
                    known.resume = Resume::Wanted(at + rng.below(20_000));
                    return;
                }
                known.resume = Resume::No;
                known.held = false;
                if std::mem::take(&mut known.doubt) {
                    known.resume = Resume::Wanted(at);
                }
                self.show_aside(room, at);
            }
            ("reload", Some(room)) => {
                self.asked.remove(&id);
                let reason = frame["metadata"]["reason"].as_str().unwrap_or_default();
                if !matches!(reason, "not_member" | "removed") {
                    model.wrong(format!("{who}: reload of {room}: {reason}"));
                }
                self.forget(room);
            }
            ("reload", None) => model.wrong(format!("{who}: reload of the stream: {frame}")),
            ("resync", Some(room)) => {
                model.resyncs += 1;
                if let Some(known) = self.rooms.get_mut(&room)
                    && known.resume == Resume::No
                {
                    known.resume = Resume::Wanted(at + rng.below(50_000));
                }
            }
            ("history", Some(room)) => {
                self.asked.remove(&id);
                let mut before = 0;
                for event in frame["metadata"]["messages"].as_array().cloned().unwrap_or_default() {
                    let seq = event["seq"].as_u64().unwrap_or_default();
                    if seq <= before {
                        model.wrong(format!("{who}: a page that does not ascend"));
                    }
                    before = seq;
                    self.look_at(room, seq, &event, model);
                }
            }
            ("presence" | "typing", Some(room)) if !self.rooms.contains_key(&room) => {
                model.wrong(format!("{who}: hears of who is in {room}, where it never was"));
            }
            _ => {}
        }
    }

    /// A room as it stands in `hello`, `rooms` or the answer to `join`.
    fn entry(&mut self, entry: &Value, at: u64, arriving: bool) {
        let Some(room) = entry["room_id"].as_str().and_then(|text| text.parse::<RoomId>().ok()) else { return };
        let last = entry["last_seq"].as_u64().unwrap_or_default();
        let hold = self.hold && arriving;
        let known = self.rooms.entry(room).or_insert_with(|| Known { pos: last, since: last, ..Known::default() });
        known.member = true;
        known.epoch = entry["epoch"].as_u64().unwrap_or(1);
        known.held |= hold;
        if (hold || known.pos != last) && known.resume == Resume::No {
            known.resume = Resume::Wanted(at);
        }
    }

    fn forget(&mut self, room: RoomId) {
        if let Some(known) = self.rooms.get_mut(&room) {
            known.member = false;
            known.resume = Resume::No;
            known.held = false;
            known.aside.clear();
        }
    }

    fn look_at(&mut self, room: RoomId, seq: u64, event: &Value, model: &mut Model) {
        let text = event["content"].as_str().map(str::to_owned);
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        if let Some(known) = self.rooms.get(&room)
            && kind == "chat"
            && text.is_some()
            && known.gone.contains(&seq)
        {
            model.wrong(format!("client {}: {seq} of {room} was shown after it was taken back", self.number));
        }
        model.seen(self.user, room, Seq(seq), &kind, text.as_deref(), self.number);
    }

    fn event(&mut self, room: RoomId, frame: &Value, at: u64, model: &mut Model) {
        let seq = frame["seq"].as_u64().unwrap_or_default();
        self.look_at(room, seq, frame, model);
        let who = format!("client {}", self.number);
        let mine = frame["user_id"] == self.user.to_string();
        let Some(known) = self.rooms.get_mut(&room).filter(|known| known.member) else {
            // It has left, and what was on its way before comes.
            return;
        };
        // It may have left and come back since it asked.
        let asked = self.asked.values().any(|(kind, about, _)| *kind == "resume" && *about == room);
        if known.held && !asked && !mine {
            return model.wrong(format!("{who}: {seq} of {room} came before it was resumed"));
        }
        if seq <= known.pos {
            if self.hold && !mine && !asked {
                model.wrong(format!("{who}: {seq} of {room} came again, it stands at {}", known.pos));
            }
        } else if seq > known.pos + 1 {
            if frame["timestamp"].is_null() && known.resume == Resume::No {
                // The answer to one's own send may come before one is told of what was dropped before it.
                known.resume = Resume::Wanted(at);
            }
            if known.resume == Resume::No {
                return model.wrong(format!("{who}: {room} jumped from {} to {seq}", known.pos));
            }
            known.aside.insert(seq, frame.clone());
        } else {
            self.show(room, frame);
            self.show_aside(room, at);
        }
    }

    /// Shows what was kept aside, as far as it follows; another hole is resumed again.
    fn show_aside(&mut self, room: RoomId, at: u64) {
        while let Some(known) = self.rooms.get_mut(&room)
            && let Some((&seq, _)) = known.aside.first_key_value()
            && seq <= known.pos + 1
        {
            if let Some(event) = known.aside.remove(&seq)
                && seq == known.pos + 1
            {
                self.show(room, &event);
            }
        }
        if let Some(known) = self.rooms.get_mut(&room)
            && !known.aside.is_empty()
            && known.resume == Resume::No
        {
            known.resume = Resume::Wanted(at);
        }
    }

    fn show(&mut self, room: RoomId, frame: &Value) {
        let Some(known) = self.rooms.get_mut(&room) else { return };
        let seq = frame["seq"].as_u64().unwrap_or_default();
        known.pos = known.pos.max(seq);
        let kind = frame["type"].as_str().unwrap_or_default().to_owned();
        if kind == "delete"
            && let Some(target) = frame["metadata"]["target_seq"].as_u64()
        {
            known.gone.insert(target);
            if let Some((_, text)) = known.shown.get_mut(&target) {
                *text = None;
            }
        }
        let text = frame["content"].as_str().map(str::to_owned);
        known.shown.insert(seq, (kind.clone(), text));
        if kind == "leave" && frame["user_id"] == self.user.to_string() {
            if known.resume == Resume::No {
                self.forget(room);
            } else {
                known.doubt = true;
            }
        }
    }

    fn ack(&mut self, frame: &Value, id: &str, room: Option<RoomId>, at: u64, model: &mut Model) {
        let asked = self.asked.remove(id);
        let seq = frame["seq"].as_u64();
        if let Some(sending) = self.sending.remove(id) {
            let Some(seq) = seq else { return model.wrong(format!("an ack without seq: {frame}")) };
            let text = serde_json::from_str::<Value>(&sending.frame).unwrap_or_default()["content"].clone();
            model.acked(self.user, sending.room, id, seq);
            let own = json!({"type": "chat", "seq": seq, "user_id": self.user, "content": text});
            self.own_event(sending.room, seq, &own, at, model);
            return;
        }
        match (asked, room) {
            (Some(("join", ..)), Some(_)) => self.entry(&frame["metadata"]["room"], at, false),
            (Some(("leave", ..)), Some(room)) => self.forget(room),
            (Some(("delete", _, target)), Some(room)) => {
                if let Some(seq) = seq {
                    let own =
                        json!({"type": "delete", "seq": seq, "user_id": self.user, "metadata": {"target_seq": target}});
                    self.own_event(room, seq, &own, at, model);
                }
            }
            _ => {}
        }
    }

    fn own_event(&mut self, room: RoomId, seq: u64, own: &Value, at: u64, model: &mut Model) {
        // A message that was taken back since is not shown again by its ack.
        let gone = self.rooms.get(&room).is_some_and(|known| known.gone.contains(&seq) || known.pos >= seq);
        if !gone {
            self.event(room, own, at, model);
        }
    }

    fn error(&mut self, frame: &Value, id: &str, at: u64, model: &mut Model) {
        let code = frame["metadata"]["code"].as_str().unwrap_or_default().to_owned();
        let wait = frame["metadata"]["retry_after_ms"].as_u64().unwrap_or(50) * 1000;
        let again = matches!(code.as_str(), "rate_limited" | "busy" | "storage_unavailable" | "draining");
        if matches!(code.as_str(), "id_reused" | "bad_id" | "bad_json" | "bad_frame" | "internal") {
            model.wrong(format!("client {}: {frame}", self.number));
        }
        if let Some(sending) = self.sending.get_mut(id) {
            if again {
                (sending.sent, sending.after) = (false, at + wait);
            } else {
                self.sending.remove(id);
            }
            return;
        }
        match self.asked.remove(id) {
            Some(("resume", room, _)) => {
                if let Some(known) = self.rooms.get_mut(&room) {
                    known.resume = if again { Resume::Wanted(at + wait) } else { Resume::No };
                }
            }
            Some(("stream", ..)) => self.stream_resume = Resume::Wanted(at + wait),
            Some(_) | None => {}
        }
    }
}
