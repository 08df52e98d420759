//! The handlers, called as the HTTP server calls them, with a closure in place of the shards and the reference backend as store.

#![allow(clippy::wildcard_enum_match_arm, clippy::unnecessary_wraps)] // A command that is not expected is a failed test.

mod calls;
mod contract;
mod hostile;
mod refusals;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use super::fake::Fake;
use super::{Keys, Reach, Ready, RestState, Shared, router};
use crate::auth::token::{Signer, Verifier};
use crate::base::time::{Moment, Now};
use crate::base::{
    Code, DeviceId, Epoch, Event, EventKind, EventStatus, Number, Refusal, Role, RoomId, RoomType, Seq, SessionId,
    Status, User, UserId, WallTime,
};
use crate::chat::{Actor, HistoryPage, RoomCommand, RoomEntry, RoomReply, UserCommand, UserReply};
use crate::net::web::Client;
use crate::shard::{Ask, AskAnswer};
use crate::store::memory::Memory;
use crate::store::{Backend, UserWrite, Write};

const NOW: WallTime = WallTime(1_795_000_000_000);
const KEY: &str = "018f3e1c-7c00-7000-8000-000000000001";

/// Runs a future that never has to wait: nothing here does.
fn now<F: Future>(future: F) -> F::Output {
    let waker = futures_util::task::noop_waker();
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("a handler waited for something that nobody will do"),
    }
}

type Rooms = Box<dyn Fn(RoomId, Actor, RoomCommand) -> Result<RoomReply, Refusal> + Send + Sync>;

struct World {
    router: axum::Router,
    backend: Arc<dyn Backend>,
    signer: Signer,
    /// What was asked of users, in order.
    users: Arc<Mutex<Vec<(UserId, UserCommand)>>>,
    ready: Ready,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The answer is a well-formed problem with this code.
    fn is(&self, code: Code) -> Value {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json", "{}", self.text);
        let body = self.json();
        assert_eq!(body["code"], code.name(), "{}", self.text);
        assert_eq!(self.status.as_u16(), code.status(), "{}", self.text);
        assert_eq!(body["status"], code.status());
        assert_eq!(body["title"], code.sentence());
        assert_eq!(body["advice"], code.advice());
        assert_eq!(body["type"], format!("/api/problems#{}", code.name()));
        assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        body
    }
}

fn user(n: u128) -> UserId {
    UserId(Uuid::from_u128(n))
}

fn room(n: u128) -> RoomId {
    RoomId(Uuid::from_u128(n))
}

fn entry(id: RoomId, kind: RoomType, name: &str) -> RoomEntry {
    RoomEntry {
        room_id: id,
        name: name.to_owned(),
        description: String::new(),
        metadata: String::new(),
        kind,
        role: Some(Role::Owner),
        peer: None,
        members: 1,
        epoch: Epoch(1),
        first_seq: Seq(1),
        last_seq: Seq(1),
        last_number: Number(0),
        read_number: Number(0),
        last_at: NOW,
        created_at: NOW,
        retention_days: None,
    }
}

fn entered(entry: RoomEntry, created: bool) -> Result<RoomReply, Refusal> {
    Ok(RoomReply::Entry { entry: Box::new(entry), created, joined: false })
}

impl World {
    fn new(rooms: impl Fn(RoomId, Actor, RoomCommand) -> Result<RoomReply, Refusal> + Send + Sync + 'static) -> Self {
        Self::with_users(rooms, |_| Ok(UserReply::Done))
    }

    fn with_users(
        rooms: impl Fn(RoomId, Actor, RoomCommand) -> Result<RoomReply, Refusal> + Send + Sync + 'static,
        of_user: impl Fn(&UserCommand) -> Result<UserReply, Refusal> + Send + Sync + 'static,
    ) -> Self {
        let rooms: Rooms = Box::new(rooms);
        let backend: Arc<dyn Backend> = Arc::new(Memory::new([7; 32]));
        for (n, name) in [(1, "alice"), (2, "bob"), (3, "carol")] {
            let mut write = UserWrite::new(user(n));
            write.create = true;
            write.record = Some(User {
                id: user(n),
                username: name.to_owned(),
                display_name: format!("<b>{name}</b>"),
                password_hash: String::new(),
                external: None,
                admin: false,
                suspended: false,
                created_at: NOW,
                sessions_valid_from: WallTime(0),
                last_seen: WallTime(0),
                stream_epoch: Epoch(1),
            });
            backend.write(vec![Write::User(Box::new(write))]).expect("memory");
        }
        let signer = Signer::from_seed([9; 32], 900_000).expect("a seed");
        let verifier = Verifier::own(vec![signer.public().expect("a key")]).expect("one key");
        let users: Arc<Mutex<Vec<_>>> = Arc::default();
        let (asked, store) = (Arc::clone(&users), Arc::clone(&backend));
        let answers = move |ask| match ask {
            Ask::Authenticate { claims } => {
                let query = crate::store::Query::Profiles(vec![claims.user]);
                let crate::store::Answer::Profiles(mut found) = store.read(&query).expect("memory") else { panic!() };
                let profile = found.remove(0).ok_or(Code::SessionEnded)?;
                let actor = Actor {
                    user: claims.user,
                    session: claims.session,
                    device: DeviceId(Uuid::nil()),
                    admin: profile.admin,
                };
                Ok(AskAnswer::User(UserReply::Identity(Box::new(actor), Box::new(profile))))
            }
            Ask::Room { room, actor, command } => rooms(room, actor, command).map(AskAnswer::Room),
            Ask::User { user, command } => {
                let reply = of_user(&command);
                asked.lock().expect("not poisoned").push((user, command));
                reply.map(AskAnswer::User)
            }
            other => panic!("{other:?} was not expected"),
        };
        let fake =
            Fake { backend: Arc::clone(&backend), answers: Box::new(answers), now: Now { mono: Moment(0), wall: NOW } };
        let ready = Ready::default();
        let state = RestState::new(Shared {
            gateway: Reach::Fake(Arc::new(fake)),
            keys: Keys::new(Arc::new(verifier)),
            ready: ready.clone(),
            limits: crate::base::limits::Limits::default(),
            auth: super::auth::AuthState::default(),
            turns: super::state::Turns::default(),
        });
        Self { router: router(state, Client::default()), backend, signer, users, ready }
    }

    fn token(&self, who: UserId) -> String {
        self.signer.sign(who, SessionId(Uuid::from_u128(50)), DeviceId(Uuid::nil()), NOW).expect("signed").0
    }

    fn send(&self, request: Request<Body>) -> Answer {
        let response = now(self.router.clone().oneshot(request)).expect("never fails");
        let (parts, body) = response.into_parts();
        assert!(parts.headers.contains_key("x-request-id"));
        let bytes = now(body.collect()).expect("a body").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        let page =
            parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        assert!(page || !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "markup in {text}");
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// A call as `who`; a body is sent as JSON.
    fn call(&self, who: u128, method: &Method, path: &str, body: Option<Value>, key: Option<&str>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token(user(who))));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.send(request.body(body).expect("a request"))
    }

    fn get(&self, path: &str) -> Answer {
        self.call(1, &Method::GET, path, None, None)
    }

    fn post(&self, path: &str, body: Value) -> Answer {
        self.call(1, &Method::POST, path, Some(body), Some(KEY))
    }
}

/// No room is ever there.
fn nowhere(_: RoomId, _: Actor, _: RoomCommand) -> Result<RoomReply, Refusal> {
    Err(Code::RoomNotFound.into())
}

fn raw(method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).expect("a request")
}
