//! What a run needs before its clock starts: rooms with their members (over REST), and every connection with its `hello`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::{self, Client, Got};
use crate::http::Http;
use crate::plan::Plan;
use crate::{Context as _, Failure};

/// A user of the run.
#[derive(Clone, Debug)]
pub struct User {
    /// The subject of its tokens.
    pub subject: Uuid,
    /// Its name.
    pub name: String,
    /// A token that outlives the run.
    pub token: String,
}

/// A connection that has said `hello`.
pub struct Ready {
    /// Which user.
    pub user: usize,
    /// The socket.
    pub client: Client,
    /// The room it is in.
    pub room: Uuid,
    /// Events after this one will come.
    pub after: u64,
}

/// The users of a run. `mark` keeps runs against one server apart.
#[must_use]
pub fn users(plan: &Plan, mark: &str) -> Vec<User> {
    (0..plan.shape.connections)
        .map(|n| {
            let name = format!("load-{mark}-{n}");
            let subject = crate::token::user_id(&name);
            User { subject, token: plan.issuer.token(subject, &name, 24 * 3600), name }
        })
        .collect()
}

/// Makes the rooms and brings everybody in. Answers their ids.
///
/// # Errors
/// When the server refuses one of the requests.
pub fn rooms(plan: &Plan, config: &Arc<ClientConfig>, users: &[User], mark: &str) -> Result<Vec<Uuid>, Failure> {
    let shape = &plan.shape;
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, Uuid)>, Failure> {
        let mut http = Http::new(&plan.address, config);
        let mut made = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= shape.rooms() {
                return Ok(made);
            }
            let members = number * shape.room_size..((number + 1) * shape.room_size).min(shape.connections);
            let body = json!({"name": format!("load {mark} {number}"), "type": "public"});
            let owner = &users[members.start];
            let answer = patiently(&mut http, "/api/v1/chat/rooms", &owner.token, Some(&body))?;
            let room = room_id(&answer).ok_or_else(|| Failure::new("making a room", format!("no id in {answer}")))?;
            for member in members.skip(1) {
                patiently(&mut http, &format!("/api/v1/chat/rooms/{room}/join"), &users[member].token, None)?;
            }
            made.push((number, room));
        }
    };
    let mut all: Vec<(usize, Uuid)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..shape.connectors).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(joined).collect::<Result<Vec<_>, _>>()
    })?
    .into_iter()
    .flatten()
    .collect();
    all.sort_unstable();
    Ok(all.into_iter().map(|(_, room)| room).collect())
}

/// Opens every connection and hands each to the thread that will hold it, as soon as it has said `hello`.
///
/// # Errors
/// When one cannot be opened.
pub fn connections(
    plan: &Plan,
    config: &Arc<ClientConfig>,
    users: &[User],
    rooms: &[Uuid],
    to: &[Sender<Ready>],
) -> Result<(), Failure> {
    let next = AtomicUsize::new(0);
    let next = &next;
    let work = move |to: Vec<Sender<Ready>>| -> Result<(), Failure> {
        loop {
            let user = next.fetch_add(1, Ordering::Relaxed);
            if user >= users.len() {
                return Ok(());
            }
            let room = rooms[plan.shape.room_of(user)];
            let ready = hello(plan, config, &users[user], room, user)?;
            to[user % to.len()].send(ready).context("handing a connection over")?;
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.shape.connectors)
            .map(|_| {
                let to = to.to_vec();
                scope.spawn(move || work(to))
            })
            .collect();
        threads.into_iter().try_for_each(joined)
    })
}

fn hello(plan: &Plan, config: &Arc<ClientConfig>, user: &User, room: Uuid, number: usize) -> Result<Ready, Failure> {
    let what = format!("connecting {}", user.name);
    let bearer = format!("Bearer {}", user.token);
    let mut client =
        client::open(&plan.address, &plan.path, &[("Authorization", bearer.as_str())], config).context(&what)?;
    let end = Instant::now() + Duration::from_mins(1);
    while Instant::now() < end {
        match client.recv(Duration::from_mins(1)) {
            Got::Frame(frame) if frame["type"] == "hello" => {
                let rooms = frame["metadata"]["rooms"].as_array().cloned().unwrap_or_default();
                let entry = rooms.iter().find(|r| r["room_id"] == json!(room));
                let after = entry
                    .and_then(|r| r["last_seq"].as_u64())
                    .ok_or_else(|| Failure::new(&what, format!("hello does not name the room {room}: {frame}")))?;
                return Ok(Ready { user: number, client, room, after });
            }
            Got::Frame(_) => {}
            other @ (Got::Closed(..) | Got::Cut(_) | Got::Nothing) => {
                return Err(Failure::new(what, format!("no hello but {other:?}")));
            }
        }
    }
    Err(Failure::new(what, "no hello within 60 s"))
}

/// A POST that waits when it is told to wait.
fn patiently(http: &mut Http, path: &str, token: &str, body: Option<&Value>) -> Result<Value, Failure> {
    for _ in 0..100 {
        let answer = http.call("POST", path, Some(token), &[], body)?;
        match answer.status {
            200..=299 => return Ok(answer.json()),
            429 | 503 => {
                let wait = answer.json()["retry_after_ms"].as_u64().unwrap_or(200).clamp(10, 5000);
                thread::sleep(Duration::from_millis(wait));
            }
            status => return Err(Failure::new(format!("POST {path}"), format!("{status}: {}", answer.text()))),
        }
    }
    Err(Failure::new(format!("POST {path}"), "told to wait 100 times"))
}

fn room_id(answer: &Value) -> Option<Uuid> {
    let id = answer["room_id"].as_str().or_else(|| answer["id"].as_str())?;
    Uuid::try_parse(id).ok()
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T, Failure>>) -> Result<T, Failure> {
    thread.join().unwrap_or_else(|_| Err(Failure::new("a thread of the harness", "it panicked")))
}
