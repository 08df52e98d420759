//! A socket that expects: waits for the frame that is meant, keeps all that came, and says what came instead when it never does.

use std::time::{Duration, Instant};

use causerie_load::client::{Client, Got};
use serde_json::{Value, json};
use tungstenite::Message;
use uuid::Uuid;

use super::WATCHDOG;

pub struct Socket {
    who: String,
    pub client: Client,
    /// All frames that came, in order.
    pub seen: Vec<Value>,
    /// How many of them an expectation has looked at.
    looked: usize,
    pub hello: Value,
}

impl Socket {
    pub fn new(who: &str, client: Client) -> Self {
        Self { who: who.to_owned(), client, seen: Vec::new(), looked: 0, hello: Value::Null }
    }

    /// Waits for the `hello`.
    pub fn hello(&mut self) -> Value {
        self.hello = self.expect("hello", |f| f["type"] == "hello");
        self.hello.clone()
    }

    /// The next frame that fits; those before it are passed over (and stay in `seen`).
    pub fn expect(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + WATCHDOG;
        loop {
            while let Some(frame) = self.seen.get(self.looked) {
                self.looked += 1;
                if fits(frame) {
                    return frame.clone();
                }
            }
            self.read(what, end);
        }
    }

    /// Forgets all that came, so that a long test stays small.
    pub fn forget(&mut self) {
        self.seen.clear();
        self.looked = 0;
        self.client.take_raw();
    }

    fn read(&mut self, what: &str, end: Instant) {
        match self.client.recv(end.saturating_duration_since(Instant::now())) {
            Got::Frame(frame) => self.seen.push(frame),
            other => {
                let last: Vec<_> = self.seen.iter().rev().take(12).rev().map(ToString::to_string).collect();
                panic!("{} expects {what}, and got {other:?} after\n{}", self.who, last.join("\n"));
            }
        }
    }

    /// The code with which the server closes; frames before it go to `seen`.
    pub fn closed(&mut self) -> u16 {
        let end = Instant::now() + WATCHDOG;
        loop {
            match self.client.recv(end.saturating_duration_since(Instant::now())) {
                Got::Frame(frame) => self.seen.push(frame),
                Got::Closed(code, _) => return code,
                other => panic!("{} expects a close, and got {other:?} after {:?}", self.who, self.seen.last()),
            }
        }
    }

    pub fn send(&mut self, frame: &Value) {
        self.client.send(frame).unwrap_or_else(|why| panic!("{}: {why}", self.who));
    }

    pub fn send_text(&mut self, text: &str) {
        self.client.send_message(Message::text(text)).unwrap_or_else(|why| panic!("{}: {why}", self.who));
    }

    /// Sends a request with a fresh id and waits for its answer, whatever it is.
    pub fn ask(&mut self, mut frame: Value) -> Value {
        let id = Uuid::now_v7();
        frame["id"] = json!(id);
        self.send(&frame);
        self.answer(id)
    }

    /// The answer to this id.
    pub fn answer(&mut self, id: Uuid) -> Value {
        // Answers stand anywhere in what came: also before frames that were expected first.
        let id = json!(id);
        if let Some(frame) = self.seen.iter().find(|f| is_answer(f, &id)) {
            return frame.clone();
        }
        let end = Instant::now() + WATCHDOG;
        loop {
            let had = self.seen.len();
            self.read("an answer", end);
            if let Some(frame) = self.seen[had..].iter().find(|f| is_answer(f, &id)) {
                return frame.clone();
            }
        }
    }

    /// Sends a message without waiting. Answers its id.
    pub fn say(&mut self, room: Uuid, text: &str) -> Uuid {
        let id = Uuid::now_v7();
        self.send(&chat(room, id, text));
        id
    }

    /// Sends a message and waits for its ack.
    pub fn chat(&mut self, room: Uuid, text: &str) -> Value {
        let id = self.say(room, text);
        let answer = self.answer(id);
        assert_eq!(answer["type"], "ack", "{answer}");
        answer
    }

    /// The code of the error that this request is answered with.
    pub fn refused(&mut self, frame: Value) -> String {
        let answer = self.ask(frame);
        assert_eq!(answer["type"], "error", "{answer}");
        code(&answer)
    }

    /// Everything that the server had to say to this socket up to now is in `seen` afterwards, as far as this shard knows it.
    pub fn fence(&mut self) {
        let answer = self.ask(json!({"type": "rooms"}));
        assert_eq!(answer["type"], "rooms", "{answer}");
    }

    /// The next message of this room.
    pub fn message(&mut self, room: Uuid) -> Value {
        self.expect("a message", |f| f["type"] == "chat" && f["room_id"] == json!(room))
    }

    /// Messages of a room that came so far.
    pub fn messages(&self, room: Uuid) -> Vec<Value> {
        self.seen.iter().filter(|f| f["type"] == "chat" && f["room_id"] == json!(room)).cloned().collect()
    }

    /// Events of a room's log that came so far.
    pub fn events(&self, room: Uuid) -> Vec<Value> {
        self.seen.iter().filter(|f| is_event(f) && f["room_id"] == json!(room)).cloned().collect()
    }

    /// What comes within this time; for tests that measure, never for those that assert absence.
    pub fn poll(&mut self, within: Duration) -> Got {
        let got = self.client.recv(within);
        if let Got::Frame(frame) = &got {
            self.seen.push(frame.clone());
        }
        got
    }

    pub fn close(self) {
        self.client.close();
    }
}

fn is_answer(frame: &Value, id: &Value) -> bool {
    // Other devices of the author see the id of a send in its `chat`, which is no answer.
    frame["id"] == *id && frame["type"] != "chat"
}

/// Whether a frame is an entry of a room's log.
pub fn is_event(frame: &Value) -> bool {
    ["chat", "join", "leave", "delete", "system"].iter().any(|kind| frame["type"] == *kind)
}

/// The frame of a message.
pub fn chat(room: Uuid, id: Uuid, text: &str) -> Value {
    json!({"type": "chat", "id": id, "room_id": room, "content": text})
}

/// The code of an error.
pub fn code(frame: &Value) -> String {
    frame["metadata"]["code"].as_str().unwrap_or_else(|| panic!("no code in {frame}")).to_owned()
}

/// A frame's seq.
pub fn seq(frame: &Value) -> u64 {
    frame["seq"].as_u64().unwrap_or_else(|| panic!("no seq in {frame}"))
}
