//! Somebody with a token: what they do over REST, and their sockets.

use std::sync::Arc;

use causerie_load::Failure;
use causerie_load::client::{self, Refused};
use causerie_load::http::{Answer, Http};
use rustls::ClientConfig;
use serde_json::{Value, json};
use uuid::Uuid;

use super::server::Server;
use super::socket::Socket;

#[derive(Clone)]
pub struct Person {
    pub name: String,
    pub token: String,
    pub refresh: Option<String>,
    /// Known once they were seen by the server.
    pub user_id: Uuid,
    pub device: Option<Uuid>,
    address: String,
    config: Arc<ClientConfig>,
}

impl Person {
    /// Somebody whom the server meets now.
    pub fn with_token(server: &Server, name: &str, token: &str) -> Self {
        let mut person = Self {
            name: name.to_owned(),
            token: token.to_owned(),
            refresh: None,
            user_id: Uuid::nil(),
            device: None,
            address: server.address(),
            config: server.config(),
        };
        let me = person.get("/api/v1/users/me");
        assert_eq!(me.status, 200, "{}", me.text());
        person.user_id = uuid(&me.json()["user_id"]);
        person
    }

    /// From the answer to sign-up, login or refresh.
    pub fn with_answer(server: &Server, name: &str, answer: &Value) -> Self {
        Self {
            name: name.to_owned(),
            token: answer["access_token"].as_str().unwrap_or_else(|| panic!("a token in {answer}")).to_owned(),
            refresh: answer["refresh_token"].as_str().map(str::to_owned),
            user_id: uuid(&answer["user"]["user_id"]),
            device: Some(uuid(&answer["device_id"])),
            address: server.address(),
            config: server.config(),
        }
    }

    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.call_with(method, path, &[], body)
    }

    pub fn call_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let mut http = Http::new(&self.address, &self.config);
        http.call(method, path, Some(&self.token), headers, body).expect("an answer")
    }

    /// `host:port` of the server.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    /// A connection to REST of its own.
    pub fn http(&self) -> Http {
        Http::new(&self.address, &self.config)
    }

    /// A request that may be cut.
    pub fn try_call(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Answer, Failure> {
        self.http().call(method, path, Some(&self.token), headers, None)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, Some(body))
    }

    /// Makes a room and answers its id.
    pub fn room(&self, name: &str, kind: &str) -> Uuid {
        self.room_with(&json!({"name": name, "type": kind}))
    }

    pub fn room_with(&self, body: &Value) -> Uuid {
        let answer = self.post("/api/v1/chat/rooms", body);
        assert!(matches!(answer.status, 200 | 201), "{} {}", answer.status, answer.text());
        uuid(&answer.json()["room_id"])
    }

    pub fn join(&self, room: Uuid) {
        let answer = self.call("POST", &format!("/api/v1/chat/rooms/{room}/join"), None);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Brings somebody in.
    pub fn add(&self, room: Uuid, user: Uuid) {
        let body = json!({"user_id": user});
        let answer = self.post(&format!("/api/v1/chat/rooms/{room}/participants"), &body);
        assert!(matches!(answer.status, 200 | 201 | 204), "{} {}", answer.status, answer.text());
    }

    pub fn leave(&self, room: Uuid) {
        let answer = self.call("POST", &format!("/api/v1/chat/rooms/{room}/leave"), None);
        assert!(matches!(answer.status, 200 | 204), "{} {}", answer.status, answer.text());
    }

    /// A page of a room's log; `query` such as `after=3&limit=2`.
    pub fn page(&self, room: Uuid, query: &str) -> Value {
        let answer = self.get(&format!("/api/v1/chat/rooms/{room}/messages?{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// A socket by `Authorization`, past its `hello`.
    pub fn connect(&self) -> Socket {
        let mut socket = self.open();
        socket.hello();
        socket
    }

    /// A socket by `Authorization`, before its `hello`.
    pub fn open(&self) -> Socket {
        self.try_open(&[]).unwrap_or_else(|why| panic!("{} cannot connect: {why}", self.name))
    }

    /// A socket with further headers.
    pub fn try_open(&self, headers: &[(&str, &str)]) -> Result<Socket, Refused> {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("Authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        let client = client::open(&self.address, "/ws/chat", &all, &self.config)?;
        Ok(Socket::new(&self.name, client))
    }

    /// A socket without a token: nothing is said on it yet.
    pub fn silent(&self) -> Socket {
        let client = client::open(&self.address, "/ws/chat", &[], &self.config).expect("a socket");
        Socket::new(&self.name, client)
    }

    /// A socket by a first frame with this metadata, past its `hello`.
    pub fn connect_by_frame(&self, metadata: &Value) -> Socket {
        let mut socket = self.silent();
        socket.send(&json!({"type": "auth", "content": self.token, "metadata": metadata}));
        socket.hello();
        socket
    }
}

/// A UUID in JSON.
pub fn uuid(value: &Value) -> Uuid {
    let text = value.as_str().unwrap_or_else(|| panic!("no UUID: {value}"));
    Uuid::try_parse(text).unwrap_or_else(|why| panic!("no UUID: {text}: {why}"))
}
