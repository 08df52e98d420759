//! How events look: a line for people, a JSON object for programs.

use serde_json::json;
use uuid::Uuid;

use super::Stopped;
use super::chat::Chat;
use super::frames::Incoming;
use super::session::Shown;
use super::terminal::harmless;

/// Names of a room are asked for at most this often, in milliseconds.
const NAMES_MS: u64 = 5000;

impl Chat {
    pub(super) fn note(&mut self, text: &str) {
        if self.terminal.json() {
            self.terminal.event(&json!({ "event": "note", "text": text }));
        } else {
            self.terminal.line(&format!("* {}", harmless(text)));
        }
    }

    pub(super) fn show(&mut self, shown: Shown) -> Result<(), Stopped> {
        match shown {
            Shown::Ready { first, rooms } => {
                let me = self.name_of(self.session.me, None);
                self.terminal.event(&json!({
                    "event": "ready", "user_id": self.session.me, "username": me, "rooms": rooms, "first": first
                }));
                if first {
                    self.terminal
                        .line(&format!("* You are {}, in {rooms} rooms. /help tells what can be done.", harmless(&me)));
                    self.choose_first()?;
                } else {
                    self.terminal.line("* Connected again.");
                }
            }
            Shown::Event { event, old } => self.show_event(&event, old),
            Shown::Acked { id, room, seq, duplicate } => self.terminal.event(&json!({
                "event": "acked", "id": id, "room_id": room, "seq": seq, "duplicate": duplicate
            })),
            Shown::Refused { id, code, text } => {
                self.refused = true;
                self.terminal.event(&json!({ "event": "refused", "id": id, "code": code, "text": text }));
                self.terminal.line(&format!("* Not sent: {}", harmless(&text)));
            }
            Shown::Entered(room) => self.enter(room),
            Shown::Gone(room) => {
                self.terminal.event(&json!({ "event": "gone", "room_id": room }));
                if self.current == Some(room) {
                    self.current = None;
                    self.terminal.line("* You are not in this room any more.");
                }
            }
            Shown::Passing(frame) => {
                let room = frame.room_id;
                self.terminal.event(&json!({ "event": frame.kind, "room_id": room, "user_id": frame.user_id }));
            }
            Shown::Note(text) => self.note(&text),
        }
        Ok(())
    }

    fn show_event(&mut self, event: &Incoming, old: bool) {
        let room = event.room_id.unwrap_or_default();
        let user = event.user_id.unwrap_or_default();
        if event.kind == "system" && event.metadata.event.as_deref() == Some("void") {
            return;
        }
        let name = self.name_of(user, Some(room));
        let mine = user == self.session.me;
        let deleted = event.metadata.deleted == Some(true);
        if self.terminal.json() {
            self.terminal.event(&json!({
                "event": event.kind, "room_id": room, "seq": event.seq, "message_id": event.message_id, "user_id": user,
                "username": name, "content": event.content, "timestamp": event.timestamp, "number": event.metadata.number,
                "mine": mine, "deleted": deleted, "old": old, "target_seq": event.metadata.target_seq,
            }));
            return;
        }
        let name = harmless(&name);
        let at = event.timestamp.as_deref().and_then(|at| at.get(11..16)).unwrap_or("--:--");
        let place =
            if self.current == Some(room) { String::new() } else { format!("[{}] ", harmless(&self.room_name(room))) };
        let content = harmless(event.content.as_deref().unwrap_or_default());
        let by = event.metadata.by.filter(|by| *by != user).map(|by| self.name_of(by, Some(room)));
        let by = by.map(|by| format!(" by {}", harmless(&by))).unwrap_or_default();
        let seq = event.seq.unwrap_or_default();
        let text = match event.kind.as_str() {
            "chat" if deleted => format!("{at} {place}{name}: (taken back)"),
            // In a pipe and at a terminal alike one's own line is shown when it is durable: that is the tick.
            "chat" => format!("{at} {place}{name}: {content}"),
            "delete" => format!("{at} {place}* {name} took message {} back", event.metadata.target_seq.unwrap_or(seq)),
            "join" if by.is_empty() => format!("{at} {place}* {name} joined"),
            "join" => format!("{at} {place}* {name} was added{by}"),
            "leave" if by.is_empty() => format!("{at} {place}* {name} left"),
            "leave" => format!("{at} {place}* {name} was removed{by}"),
            _ => match event.metadata.event.as_deref() {
                Some("role") => {
                    let whom = self.name_of(event.metadata.subject.unwrap_or_default(), Some(room));
                    let role = event.metadata.role.as_deref().unwrap_or("member");
                    format!("{at} {place}* {name} made {} {}", harmless(&whom), harmless(role))
                }
                Some("settings") if content == "created" => format!("{at} {place}* {name} made this room"),
                Some("settings") => format!("{at} {place}* {name} changed this room's {content}"),
                _ => format!("{at} {place}* {name}: {content}"),
            },
        };
        self.terminal.line(&text);
    }

    pub(super) fn room_name(&mut self, room: Uuid) -> String {
        let Some(known) = self.session.rooms.get(&room) else { return room.to_string() };
        match (known.entry.name.clone(), known.entry.peer) {
            (name, None) => name,
            (_, Some(peer)) => format!("@{}", self.name_of(peer, Some(room))),
        }
    }

    /// The name to show; asks the room's list of people when it is not known yet, but not again and again.
    pub(super) fn name_of(&mut self, user: Uuid, room: Option<Uuid>) -> String {
        if let Some(name) = self.session.names.get(&user) {
            return name.clone();
        }
        if let Some(room) = room {
            let now = self.now();
            let due = self.names_asked.get(&room).is_none_or(|at| at + NAMES_MS <= now);
            if due {
                self.names_asked.insert(room, now);
                if let Ok(people) = self.rest.participants(room) {
                    self.session.names.extend(people.iter().map(|person| (person.user.id(), person.user.shown())));
                }
            }
        }
        self.session.names.get(&user).cloned().unwrap_or_else(|| user.to_string()[..8].to_owned())
    }
}
