//! The handlers, called as the HTTP server calls them, with a closure in place of the shards and the reference backend as store.

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
        Self { router: router(state), backend, signer, users, ready }
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

#[test]
fn every_kind_of_bad_request_is_a_problem_with_its_code() {
    let world = World::new(nowhere);
    let auth = format!("Bearer {}", world.token(user(1)));
    let auth = ("authorization", auth.as_str());
    let json = ("content-type", "application/json");
    let key = ("idempotency-key", KEY);
    let rooms = "/api/v1/chat/rooms";
    let messages = format!("{rooms}/{}/messages", room(9));
    let is = |request, code: Code| world.send(request).is(code);

    is(raw("GET", "/api/v1/nothing", &[], ""), Code::NotFound);
    is(raw("GET", "/%ff/%3Cscript%3E", &[], ""), Code::NotFound);
    is(raw("PUT", rooms, &[auth, json], "{}"), Code::MethodNotAllowed);
    assert_eq!(world.send(raw("PUT", rooms, &[auth], "")).headers[header::ALLOW], "GET,HEAD,POST");
    is(raw("BREW", "/", &[], ""), Code::MethodNotAllowed);

    let missing = world.send(raw("GET", rooms, &[], ""));
    missing.is(Code::NotAuthenticated);
    assert_eq!(missing.headers[header::WWW_AUTHENTICATE], "Bearer");
    for wrong in ["", "Bearer", "Bearer ", "Bearer x.y.z", "Basic YTpi", "bearer \u{e9}"] {
        is(raw("GET", rooms, &[("authorization", wrong)], ""), Code::NotAuthenticated);
    }
    is(raw("GET", rooms, &[auth, auth], ""), Code::NotAuthenticated);
    let old = world.signer.sign(user(1), SessionId(Uuid::nil()), DeviceId(Uuid::nil()), WallTime(NOW.0 - 2_000_000));
    let old = format!("Bearer {}", old.expect("signed").0);
    is(raw("GET", rooms, &[("authorization", &old)], ""), Code::TokenExpired);
    let gone = format!("Bearer {}", world.token(user(99)));
    is(raw("GET", rooms, &[("authorization", &gone)], ""), Code::SessionEnded);

    is(raw("POST", rooms, &[auth, json], ""), Code::BadRequest);
    is(raw("POST", rooms, &[auth], "{}"), Code::UnsupportedMediaType);
    is(raw("POST", rooms, &[auth, ("content-type", "text/plain")], "{}"), Code::UnsupportedMediaType);
    is(raw("POST", rooms, &[auth, json], "{"), Code::BadJson);
    is(raw("POST", rooms, &[auth, json], r#"{"type":"public"} {}"#), Code::BadJson);
    is(raw("POST", rooms, &[auth, json], &b"{\"name\":\"\xff\"}"[..]), Code::BadJson);
    is(raw("POST", rooms, &[auth, json], "[".repeat(10_000)), Code::BadJson);
    is(raw("POST", rooms, &[auth, json], format!("{{\"x\":{}", "[".repeat(10_000))), Code::BadJson);
    is(raw("POST", rooms, &[auth, json], r#"["public","an array is no object"]"#), Code::BadJson);
    is(raw("POST", rooms, &[auth, json], "null"), Code::BadJson);
    is(raw("POST", rooms, &[auth, json], "{}"), Code::BadRequest);
    is(raw("POST", rooms, &[auth, json], format!("{{\"name\":\"{}\"}}", "x".repeat(70_000))), Code::TooLarge);
    let typed = is(raw("POST", rooms, &[auth, json], r#"{"type":"public","name":5}"#), Code::BadRequest);
    assert_eq!(typed["field"], "name");
    let typed = is(raw("POST", rooms, &[auth, json], r#"{"type":"direct","members":["x"]}"#), Code::BadRequest);
    assert_eq!(typed["field"], "members[0]");
    let typed = is(raw("POST", rooms, &[auth, json], r#"{"type":"<secret>"}"#), Code::BadRequest);
    assert_eq!(typed["field"], "type");

    for query in ["limit=0", "limit=101", "limit=x", "limit=-1", "cursor=x", "limit=1&limit=2", "limit=%ff"] {
        is(raw("GET", &format!("{rooms}?{query}"), &[auth], ""), Code::BadRequest);
    }
    for query in ["limit=0", "before=-1", "after=x", "before=281474976710656"] {
        is(raw("GET", &format!("{messages}?{query}"), &[auth], ""), Code::BadRequest);
    }
    is(raw("GET", &format!("{rooms}/x"), &[auth], ""), Code::BadRequest);
    is(raw("GET", &format!("{rooms}/{}", room(9)), &[auth], ""), Code::RoomNotFound);

    let say = r#"{"content":"hi"}"#;
    assert_eq!(is(raw("POST", &messages, &[auth, json], say), Code::BadId)["field"], "Idempotency-Key");
    let v4 = ("idempotency-key", "00000000-0000-4000-8000-000000000000");
    is(raw("POST", &messages, &[auth, json, v4], say), Code::BadId);
    for content in ["", " \\n ", "a\\u0000b"] {
        let body = format!("{{\"content\":\"{content}\"}}");
        assert_eq!(is(raw("POST", &messages, &[auth, json, key], body), Code::BadContent)["field"], "content");
    }
    for metadata in ["[]", "7", "\"x\"", &format!("{{\"k\":\"{}\"}}", "x".repeat(4096))] {
        let body = format!("{{\"content\":\"hi\",\"metadata\":{metadata}}}");
        assert_eq!(is(raw("POST", &messages, &[auth, json, key], body), Code::BadMetadata)["field"], "metadata");
    }
    is(raw("DELETE", &format!("{messages}/x"), &[auth], ""), Code::BadRequest);
}

#[test]
fn a_body_that_does_not_fit_is_not_echoed() {
    let world = World::new(nowhere);
    let answer = world.post("/api/v1/chat/rooms", json!({"type": "public", "name": 424_242_424_242_u64}));
    answer.is(Code::BadRequest);
    assert!(!answer.text.contains("424242"), "{}", answer.text);
}

#[test]
fn a_message_is_sent_once_and_looks_as_in_a_frame() {
    let posted = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&posted);
    let world = World::new(move |_, actor, command| {
        let RoomCommand::Post { client_id, content, metadata } = command else { panic!("{command:?}") };
        let mut seen = seen.lock().expect("not poisoned");
        let duplicate = !seen.is_empty();
        seen.push((actor.user, client_id, content, metadata));
        Ok(RoomReply::Posted { epoch: Epoch(1), seq: Seq(5), number: Number(3), at: NOW, duplicate })
    });
    let path = format!("/api/v1/chat/rooms/{}/messages", room(9));
    let metadata = r#"{"k": 1.10, "big": 123456789012345678901234567890, "number": "mine", "<": "&"}"#;
    let body = format!("{{\"content\":\"a<b>&\u{2028}\",\"unknown\":1,\"metadata\": {metadata} }}");
    let headers = [
        ("authorization", format!("bearer {}", world.token(user(1)))),
        ("content-type", "application/json; charset=utf-8".to_owned()),
        ("idempotency-key", format!("\"{KEY}\"")),
    ];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let first = world.send(raw("POST", &path, &headers, body.clone()));
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let said = first.json();
    assert_eq!(said["type"], "chat");
    assert_eq!(said["id"], KEY);
    assert_eq!(said["seq"], 5);
    assert_eq!(said["content"], "a<b>&\u{2028}");
    assert_eq!(said["user_id"], user(1).to_string());
    assert_eq!(said["room_id"], room(9).to_string());
    assert_eq!(said["timestamp"], NOW.rfc3339());
    assert_eq!(said["metadata"]["number"], 3);
    assert_eq!(said["metadata"]["message_type"], "text");
    assert!(
        first.text.contains(r#""k":1.10"#) && first.text.contains("123456789012345678901234567890"),
        "{}",
        first.text
    );

    let again = world.send(raw("POST", &path, &headers, body));
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.json()["message_id"], said["message_id"]);
    let posted = posted.lock().expect("not poisoned");
    assert_eq!(posted[0], posted[1]);
    assert_eq!(posted[0].3, metadata, "kept exactly as written");
    let spent = world.users.lock().expect("not poisoned");
    assert_eq!(*spent, vec![(user(1), UserCommand::Spend); 2], "each try counts");
}

#[test]
fn who_is_too_fast_is_told_when_to_come_back_and_the_room_hears_nothing() {
    let world = World::with_users(
        |_, _, command| panic!("{command:?}"),
        |_| Err(Refusal::new(Code::RateLimited).retry_after(1300)),
    );
    let answer = world.post(&format!("/api/v1/chat/rooms/{}/messages", room(9)), json!({"content": "hi"}));
    assert_eq!(answer.is(Code::RateLimited)["retry_after_ms"], 1300);
    assert_eq!(answer.headers[header::RETRY_AFTER], "2");
}

#[test]
fn a_room_that_is_hidden_and_one_that_is_not_there_answer_with_the_same_bytes() {
    // The shard refuses both with `room_not_found`; what is held here is that no handler says more than that.
    let world = World::new(nowhere);
    let foreign = crate::base::MessageId::new(room(77), Epoch(1), Seq(3));
    for (method, tail, body) in [
        (Method::GET, String::new(), None),
        (Method::PATCH, String::new(), Some(json!({"name": "x"}))),
        (Method::DELETE, String::new(), None),
        (Method::POST, "/join".into(), None),
        (Method::POST, "/leave".into(), None),
        (Method::GET, "/messages".into(), None),
        (Method::POST, "/messages".into(), Some(json!({"content": "hi"}))),
        (Method::DELETE, format!("/messages/{foreign}"), None),
        (Method::DELETE, "/messages/0".into(), None),
        (Method::DELETE, "/messages/7".into(), None),
        (Method::GET, "/participants".into(), None),
        (Method::POST, "/participants".into(), Some(json!({"user_id": user(2)}))),
        (Method::POST, "/participants".into(), Some(json!({"user_id": user(99)}))),
        (Method::PATCH, format!("/participants/{}", user(2)), Some(json!({"role": "owner"}))),
        (Method::DELETE, format!("/participants/{}", user(2)), None),
        (Method::DELETE, format!("/participants/{}", user(1)), None),
    ] {
        let answer = |n| {
            let path = format!("/api/v1/chat/rooms/{}{tail}", room(n));
            let answer = world.call(1, &method, &path, body.clone(), Some(KEY));
            answer.is(Code::RoomNotFound);
            answer.text
        };
        assert_eq!(answer(8), answer(9), "{method} {tail}");
    }
}

#[test]
fn a_direct_room_is_the_same_whoever_starts() {
    let made = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&made);
    let world = World::new(move |id, _, command| {
        let RoomCommand::Create(spec) = command else { panic!("{command:?}") };
        assert!(spec.name.is_empty() && spec.name_key.is_none() && spec.members.len() == 1);
        entered(entry(id, RoomType::Direct, ""), seen.lock().expect("not poisoned").insert(id))
    });
    let make = |who, with| {
        let body = json!({"type": "direct", "members": [user(with), user(who)]});
        world.call(who, &Method::POST, "/api/v1/chat/rooms", Some(body), None)
    };
    let first = make(1, 2);
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let id = first.json()["room_id"].as_str().expect("an id").to_owned();
    assert_eq!(first.headers[header::LOCATION], format!("/api/v1/chat/rooms/{id}"));
    assert_eq!(id.parse::<Uuid>().expect("a UUID").get_version_num(), 8);
    let second = make(2, 1);
    assert_eq!(second.status, StatusCode::OK);
    assert_eq!(second.json()["room_id"], id);
    assert_ne!(make(1, 3).json()["room_id"], id);

    make(1, 99).is(Code::UserNotFound);
    make(1, 1).is(Code::BadRequest);
    let named = json!({"type": "direct", "members": [user(2)], "name": "x"});
    world.post("/api/v1/chat/rooms", named).is(Code::BadName);
}

#[test]
fn a_room_is_made_once_for_a_key_and_a_taken_name_is_told() {
    let made = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&made);
    let world = World::new(move |id, _, command| {
        let mut made = seen.lock().expect("not poisoned");
        match command {
            RoomCommand::Create(_) if made.is_some() => Err(Code::NameTaken.into()),
            RoomCommand::Create(spec) => {
                *made = Some((id, spec.clone()));
                entered(entry(id, spec.kind, &spec.name), true)
            }
            RoomCommand::Describe => match &*made {
                Some((mine, spec)) if *mine == id => entered(entry(id, spec.kind, &spec.name), false),
                _ => Err(Code::RoomNotFound.into()),
            },
            other => panic!("{other:?}"),
        }
    });
    let make = |name: &str, key| {
        let body = json!({"type": "private", "name": name, "metadata": {}});
        world.call(1, &Method::POST, "/api/v1/chat/rooms", Some(body), key)
    };
    let first = make("General", Some(KEY));
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let again = make("General", Some(KEY));
    assert_eq!((again.status, again.json()), (StatusCode::OK, first.json()));
    make("Other", Some(KEY)).is(Code::IdReused);
    make("General", Some("018f3e1c-7c00-7000-8000-000000000002")).is(Code::NameTaken);
    make("General", None).is(Code::NameTaken);
    let spec = made.lock().expect("not poisoned").clone().expect("made").1;
    assert_eq!(spec.name_key, Some(world.backend.name_key(crate::store::NameKind::Room, "general")));
    assert_eq!(spec.metadata, "");
    assert_eq!(make("", None).is(Code::BadName)["field"], "name");
    make(&"x".repeat(81), None).is(Code::BadName);
}

#[test]
fn a_change_names_what_is_to_be_different_and_nothing_else() {
    let changes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&changes);
    let world = World::new(move |id, _, command| match command {
        RoomCommand::Describe => entered(entry(id, RoomType::Public, "Old Name"), false),
        RoomCommand::Change(change) => {
            seen.lock().expect("not poisoned").push(*change);
            Ok(RoomReply::Done { at: NOW })
        }
        RoomCommand::Destroy { name_key } => {
            assert!(name_key.is_some());
            Ok(RoomReply::Done { at: NOW })
        }
        other => panic!("{other:?}"),
    });
    let path = format!("/api/v1/chat/rooms/{}", room(9));
    let change = |body: Value| world.call(1, &Method::PATCH, &path, Some(body), None);
    assert_eq!(change(json!({})).status, StatusCode::OK);
    assert!(changes.lock().expect("not poisoned").is_empty());
    assert_eq!(change(json!({"name": "New", "description": "", "metadata": {"a": 1}})).status, StatusCode::OK);
    assert_eq!(change(json!({"retention_days": null})).status, StatusCode::OK);
    assert_eq!(change(json!({"retention_days": 7})).status, StatusCode::OK);
    change(json!({"retention_days": 0})).is(Code::BadRequest);
    change(json!({"metadata": [1]})).is(Code::BadMetadata);
    let changes = changes.lock().expect("not poisoned");
    let key = |name| Some(world.backend.name_key(crate::store::NameKind::Room, name));
    assert_eq!(changes.len(), 3);
    assert_eq!(changes[0].name.as_ref().map(|(name, _)| name.as_str()), Some("New"));
    assert_eq!(changes[0].name.as_ref().map(|(_, key)| *key), key("new"));
    assert_eq!(changes[0].old_name_key, key("old name"));
    assert_eq!(changes[0].description.as_deref(), Some(""));
    assert_eq!(changes[0].metadata.as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(changes[0].retention_days, None);
    assert_eq!(changes[1].retention_days, Some(None));
    assert_eq!(changes[2].retention_days, Some(Some(7)));
    assert_eq!(world.call(1, &Method::DELETE, &path, None, None).status, StatusCode::NO_CONTENT);
}

#[test]
fn profiles_are_read_found_and_changed() {
    let world = World::with_users(nowhere, |command| match command {
        UserCommand::Presence => Ok(UserReply::Presence(Status::Away, NOW)),
        _ => Ok(UserReply::Done),
    });
    let me = world.get("/api/v1/users/me").json();
    assert_eq!((&me["username"], &me["display_name"]), (&json!("alice"), &json!("<b>alice</b>")));
    let one = world.get(&format!("/api/v1/users/{}", user(2))).json();
    assert_eq!((&one["username"], &one["status"]), (&json!("bob"), &json!("away")));
    world.get(&format!("/api/v1/users/{}", user(99))).is(Code::UserNotFound);

    let found = world.get("/api/v1/users?query=BOB").json();
    assert_eq!(found["users"].as_array().map(Vec::len), Some(1));
    let mut names = Vec::new();
    let mut next = "/api/v1/users?limit=1".to_owned();
    loop {
        let page = world.get(&next).json();
        names.extend(page["users"].as_array().expect("a list").iter().map(|user| user["username"].clone()));
        let Some(cursor) = page["cursor"].as_str() else { break };
        next = format!("/api/v1/users?limit=1&cursor={cursor}");
    }
    assert_eq!(names, ["alice", "bob", "carol"]);

    let change = |body: Value| world.call(1, &Method::PATCH, "/api/v1/users/me", Some(body), None);
    assert_eq!(change(json!({"display_name": "Alice L."})).json()["display_name"], "Alice L.");
    assert_eq!(world.get("/api/v1/users/me").json()["display_name"], "Alice L.");
    let asked = world.users.lock().expect("not poisoned").clone();
    assert!(asked.contains(&(user(1), UserCommand::Reload)), "the owner must hear of it");
    assert_eq!(change(json!({"display_name": "a\nb"})).is(Code::BadName)["field"], "display_name");
    change(json!({"display_name": "x".repeat(65)})).is(Code::BadName);
}

#[test]
fn a_page_of_history_is_that_of_the_room() {
    let world = World::new(|id, _, command| {
        assert_eq!(command, RoomCommand::History { before: Some(Seq(9)), after: None, limit: 2 });
        let event = Event {
            room: id,
            epoch: Epoch(1),
            seq: Seq(8),
            number: Number(4),
            user: user(2),
            at: NOW,
            kind: EventKind::Message,
            content: "<script>".to_owned(),
            metadata: r#"{"k":"v"}"#.to_owned(),
            client_id: None,
            status: EventStatus::Live,
        };
        let (first_seq, last_seq) = (Seq(1), Seq(12));
        let events = vec![Arc::new(event)];
        Ok(RoomReply::Page(Box::new(HistoryPage {
            room: id,
            epoch: Epoch(1),
            first_seq,
            last_seq,
            more: true,
            events,
        })))
    });
    let page = world.get(&format!("/api/v1/chat/rooms/{}/messages?before=9&limit=2", room(9))).json();
    assert_eq!((&page["first_seq"], &page["last_seq"], &page["epoch"]), (&json!(1), &json!(12), &json!(1)));
    assert_eq!(page["more"], true);
    assert_eq!(page["messages"][0]["content"], "<script>");
    assert_eq!(page["messages"][0]["metadata"]["k"], "v");

    // The contract describes exactly what is written.
    let contract = world.send(raw("GET", "/api/openapi.json", &[], "")).json();
    let schemas = &contract["components"]["schemas"];
    for (schema, value) in [
        ("MessagePage", &page),
        ("Message", &page["messages"][0]),
        ("MessageMetadata", &page["messages"][0]["metadata"]),
    ] {
        let schema = &schemas[schema];
        for required in schema["required"].as_array().expect("a list") {
            assert!(!value[required.as_str().expect("a name")].is_null(), "{required} is missing in {value}");
        }
        for field in value.as_object().expect("an object").keys().filter(|field| *field != "k") {
            assert!(schema["properties"].get(field).is_some(), "{field} stands in no contract");
        }
    }
}

#[test]
fn participants_have_names_roles_and_presence() {
    let world = World::new(|_, _, command| match command {
        RoomCommand::Participants { after: None, limit: 2 } => Ok(RoomReply::Participants {
            members: vec![(user(1), Role::Owner, Status::Online), (user(2), Role::Member, Status::Offline)],
            total: 3,
            more: true,
        }),
        RoomCommand::Describe => entered(entry(room(9), RoomType::Private, "x"), false),
        RoomCommand::Add { user: who, role } => {
            assert_eq!((who, role), (user(2), Role::Member));
            Ok(RoomReply::Done { at: NOW })
        }
        RoomCommand::SetRole { .. } | RoomCommand::Remove { .. } | RoomCommand::Leave => Err(Code::NotAllowed.into()),
        other => panic!("{other:?}"),
    });
    let path = format!("/api/v1/chat/rooms/{}/participants", room(9));
    let page = world.get(&format!("{path}?limit=2")).json();
    let first = json!({"user_id": user(1), "username": "alice", "display_name": "<b>alice</b>", "role": "owner", "status": "online"});
    assert_eq!(page["participants"][0], first);
    assert_eq!((&page["total"], &page["cursor"]), (&json!(3), &json!(user(2))));
    assert_eq!(world.post(&path, json!({"user_id": user(2)})).status, StatusCode::OK);
    assert_eq!(world.post(&path, json!({"user_id": user(99)})).is(Code::UserNotFound)["field"], "user_id");
    world.post(&path, json!({"user_id": user(2), "role": "king"})).is(Code::BadRequest);
    world
        .call(1, &Method::PATCH, &format!("{path}/{}", user(2)), Some(json!({"role": "owner"})), None)
        .is(Code::NotAllowed);
    world.call(1, &Method::DELETE, &format!("{path}/{}", user(2)), None, None).is(Code::NotAllowed);
}

#[test]
fn our_own_faults_say_nothing_of_what_is_inside() {
    let world = World::new(|_, _, _| Ok(RoomReply::Reload { reason: "inside" }));
    let answer = world.get(&format!("/api/v1/chat/rooms/{}", room(9)));
    answer.is(Code::Internal);
    assert!(!answer.text.contains("inside") && !answer.text.contains("question"));
    let damaged = super::Problem::from(crate::store::Failure::Damaged("room 7, seq 3".to_owned()));
    assert_eq!(damaged.code(), Code::Internal);
    let full = super::Problem::from(crate::store::Failure::Unavailable("no space".to_owned()));
    assert_eq!(full.code(), Code::StorageUnavailable);
}

#[test]
fn pages_load_and_run_nothing() {
    let world = World::new(nowhere);
    for path in ["/", "/api/problems"] {
        let page = world.send(raw("GET", path, &[], ""));
        assert_eq!(page.status, StatusCode::OK);
        let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"));
        assert!(!page.text.contains("<script") && page.text.contains("<h1>"));
        for code in Code::ALL.iter().filter(|_| path == "/api/problems") {
            assert!(page.text.contains(&format!("<dt id=\"{}\">", code.name())));
            assert!(!code.sentence().contains(['<', '>', '&']) && !code.advice().contains(['<', '>', '&']));
        }
    }
    assert_eq!(world.send(raw("GET", "/healthz", &[], "")).status, StatusCode::OK);
    world.send(raw("GET", "/readyz", &[], "")).is(Code::Draining);
    world.ready.set(true);
    assert_eq!(world.send(raw("GET", "/readyz", &[], "")).status, StatusCode::OK);
}

#[test]
fn the_contract_holds_every_route_with_what_it_may_refuse() {
    let world = World::new(nowhere);
    let contract = world.send(raw("GET", "/api/openapi.json", &[], "")).json();
    assert_eq!(contract["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
    let mut names = BTreeSet::new();
    for (path, methods) in contract["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name.to_owned()), "{name} twice");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name} says nothing");
            let responses = operation["responses"].as_object().expect("answers");
            for status in ["500", "503"] {
                let schema = &responses[status]["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{name} {status}");
            }
            assert_eq!(
                responses.contains_key("400"),
                path.contains('{') || operation.get("requestBody").is_some() || operation.get("parameters").is_some(),
                "{name}"
            );
            // It is there: who has no token is told so, whoever needs none is told what is wrong.
            let open = super::contract::OPEN.contains(&name);
            assert_eq!(operation.get("security") == Some(&json!([])), open, "{name}");
            let path = path.replace("{room_id}", &room(1).to_string()).replace("{user_id}", &user(1).to_string());
            let path = path.replace("{message_id}", "1").replace("{session_id}", &user(1).to_string());
            let answer = world.send(raw(&method.to_uppercase(), &path, &[], ""));
            let found = answer.status.as_u16();
            assert_eq!(found, if open { 400 } else { 401 }, "{method} {path}");
        }
    }
    for name in
        ["get_me", "change_me", "find_users", "get_user", "list_rooms", "create_room", "get_room", "change_room"]
    {
        assert!(names.contains(name), "{name}");
    }
    // Every reference leads somewhere.
    let text = contract.to_string();
    for reference in text.split("\"$ref\":\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(contract.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
}
