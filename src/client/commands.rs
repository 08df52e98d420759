//! What the person asks for: lines to say, and commands that begin with `/`.

use serde_json::json;
use uuid::Uuid;

use super::Stopped;
use super::chat::{Chat, FAREWELL_MS};
use super::terminal::{self, harmless};

impl Chat {
    pub(super) fn choose_first(&mut self) -> Result<(), Stopped> {
        if let Some(wanted) = self.wanted.take() {
            return self.join_named(&wanted, true);
        }
        if let Some(&only) = self.session.rooms.keys().next().filter(|_| self.session.rooms.len() == 1) {
            self.enter(only);
        }
        Ok(())
    }

    /// Lines go to this room from now on.
    pub(super) fn enter(&mut self, room: Uuid) {
        if self.current == Some(room) {
            return;
        }
        self.current = Some(room);
        let name = self.room_name(room);
        self.terminal.event(&json!({ "event": "entered", "room_id": room, "name": name }));
        self.terminal.line(&format!("* You are talking in {}.", harmless(&name)));
        if !self.terminal.json() {
            self.session.ask_context(room);
        }
        for line in std::mem::take(&mut self.early) {
            self.say(room, line);
        }
    }

    fn say(&mut self, room: Uuid, line: String) {
        let now = self.now();
        self.session.say(Uuid::now_v7(), room, line, now);
    }

    pub(super) fn line(&mut self, line: &str) -> Result<(), Stopped> {
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() {
            return Ok(());
        }
        if !line.starts_with('/') || line.starts_with("//") {
            let text = line.strip_prefix('/').unwrap_or(line).to_owned();
            match self.current {
                Some(room) => self.say(room, text),
                None if self.terminal.json() || !terminal::is_interactive() => self.early.push(text),
                None => self.note("You are in no room: /join NAME, /create NAME, /dm USER or /rooms."),
            }
            return Ok(());
        }
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match command {
            "/help" | "/?" => HELP.lines().for_each(|line| self.terminal.line(line)),
            "/quit" | "/exit" => self.leave_at = Some(self.now() + FAREWELL_MS),
            "/rooms" => self.list_rooms(),
            "/create" => {
                let (kind, name) = match rest.strip_prefix("private ") {
                    Some(name) => ("private", name.trim()),
                    None => ("public", rest),
                };
                self.create(kind, Some(name), &[]);
            }
            "/join" => self.join_named(rest, false)?,
            "/dm" => match self.rest.user(rest) {
                Ok(Some(user)) => {
                    self.session.names.insert(user.id(), user.shown());
                    self.create("direct", None, &[user.id()]);
                }
                Ok(None) => self.note("There is no such user."),
                Err(error) => self.note(&error.to_string()),
            },
            "/leave" | "/who" | "/history" | "/delete" => match self.current {
                Some(room) => self.in_room(command, rest, room),
                None => self.note("You are in no room."),
            },
            _ => {
                self.note(
                    "There is no such command; /help tells them all. (A line that begins with / is sent as //….)",
                );
            }
        }
        Ok(())
    }

    fn in_room(&mut self, command: &str, rest: &str, room: Uuid) {
        match command {
            "/leave" => {
                self.session.request(&json!({ "type": "leave", "id": Uuid::now_v7(), "room_id": room }));
                self.session.left(room);
            }
            "/who" => match self.rest.participants(room) {
                Ok(people) => {
                    for person in people {
                        self.session.names.insert(person.user.id(), person.user.shown());
                        let (name, role, status) = (person.user.shown(), person.role, person.status);
                        self.terminal.event(&json!({ "event": "participant", "user_id": person.user.id(), "username": name, "role": role, "status": status }));
                        self.terminal.line(&format!(
                            "  {} ({}, {})",
                            harmless(&name),
                            harmless(&role),
                            harmless(&status)
                        ));
                    }
                }
                Err(error) => self.note(&error.to_string()),
            },
            "/history" => match rest.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>() {
                Ok(numbers) => {
                    let limit = numbers.first().map_or(20, |&n| u32::try_from(n).unwrap_or(100).clamp(1, 100));
                    self.session.ask_history(room, numbers.get(1).copied(), limit);
                }
                Err(_) => self.note("/history [how many] [before which seq]"),
            },
            _ => {
                let mine = self.session.last_own.get(&room).copied();
                match rest.parse().ok().or(mine.filter(|_| rest.is_empty())) {
                    Some(seq) => {
                        let frame = json!({ "type": "delete", "id": Uuid::now_v7(), "room_id": room, "seq": seq });
                        self.session.request(&frame);
                    }
                    None => self.note("/delete [seq]: without a number, your last message"),
                }
            }
        }
    }

    fn list_rooms(&mut self) {
        match self.rest.rooms() {
            Ok(rooms) => {
                for room in rooms {
                    let name = match room.peer {
                        Some(peer) => format!("@{}", self.name_of(peer, Some(room.room_id))),
                        None => room.name.clone(),
                    };
                    let role = room.role.as_deref().unwrap_or("not in it");
                    self.terminal.event(&json!({
                        "event": "room", "room_id": room.room_id, "name": name, "type": room.kind, "role": room.role, "members": room.members
                    }));
                    let (name, kind, role) = (harmless(&name), harmless(&room.kind), harmless(role));
                    self.terminal.line(&format!("  {name} ({kind}, {} people, {role})", room.members));
                }
            }
            Err(error) => self.note(&error.to_string()),
        }
    }

    fn create(&mut self, kind: &str, name: Option<&str>, members: &[Uuid]) {
        if name.is_some_and(str::is_empty) {
            self.note("/create NAME, or /create private NAME");
            return;
        }
        match self.rest.create(kind, name, members) {
            Ok(room) => self.join(room.room_id),
            Err(error) => self.note(&error.to_string()),
        }
    }

    /// `join` is answered with the room, also by those who are in it already.
    fn join(&mut self, room: Uuid) {
        self.session.request(&json!({ "type": "join", "id": Uuid::now_v7(), "room_id": room }));
    }

    fn join_named(&mut self, name: &str, make: bool) -> Result<(), Stopped> {
        if name.is_empty() {
            self.note("/join NAME");
            return Ok(());
        }
        let here = self.session.rooms.iter().find(|(_, room)| same(&room.entry.name, name)).map(|(&id, _)| id);
        if let Some(room) = here {
            self.enter(room);
            return Ok(());
        }
        let found = match self.rest.rooms() {
            Ok(rooms) => rooms.into_iter().find(|room| same(&room.name, name)).map(|room| room.room_id),
            Err(error) => {
                self.note(&error.to_string());
                return Ok(());
            }
        };
        match found {
            Some(room) => self.join(room),
            None if make => match self.rest.create("public", Some(name), &[]) {
                Ok(room) => self.join(room.room_id),
                // Somebody was faster, or it is a private room of others.
                Err(error) if error.is("name_taken") => match self.rest.rooms() {
                    Ok(rooms) => match rooms.into_iter().find(|room| same(&room.name, name)) {
                        Some(room) => self.join(room.room_id),
                        None => return Err(Stopped::because(format!("The room cannot be entered. {error}"))),
                    },
                    Err(error) => return Err(Stopped::because(error.to_string())),
                },
                Err(error) => return Err(Stopped::because(error.to_string())),
            },
            None => self.note("There is no such room (or you have to be invited first); /create makes one."),
        }
        Ok(())
    }
}

fn same(a: &str, b: &str) -> bool {
    crate::base::text::fold_name(a) == crate::base::text::fold_name(b)
}

const HELP: &str = "  /rooms             rooms there are
  /create NAME       make a public room (/create private NAME: only for members)
  /join NAME         go into a room, or turn to it
  /dm USER           talk to one person
  /leave             go out of this room
  /who               who is in this room
  /history [N [SEQ]] the last N messages (before SEQ)
  /delete [SEQ]      take your last message (or the one with this seq) back
  /quit              end";
