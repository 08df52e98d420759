//! The handlers over the reference backend, with a small honest owner in place of the shards.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use super::super::fake::Fake;
use super::super::{Keys, Reach, Ready, RestState, Shared, router};
use super::AuthState;
use crate::auth::account::Signup;
use crate::auth::keyset::{Algorithm, Key};
use crate::auth::session::{REFRESH_MS, lives};
use crate::auth::throttle::Throttle;
use crate::auth::token::{KeyId, Signer, Verifier};
use crate::base::time::{Moment, Now};
use crate::base::{Code, DeviceId, Refusal, Session, SessionId, UserId, WallTime};
use crate::chat::{Actor, UserCommand, UserReply};
use crate::keys::CurrentSigner;
use crate::net::Peer;
use crate::shard::{Ask, AskAnswer};
use crate::store::memory::Memory;
use crate::store::{Answer as Stored, Backend, LoadedUser, Query, UserWrite, Write};

const START: WallTime = WallTime(1_795_000_000_000);
const PASSWORD: &str = "a fine long pass phrase";

/// Runs a future that never has to wait: nothing here does.
fn run<F: Future>(future: F) -> F::Output {
    let waker = futures_util::task::noop_waker();
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("a handler waited for something that nobody will do"),
    }
}

/// What the owners of users do, as far as sign-in needs it.
struct Owner {
    backend: Arc<dyn Backend>,
    throttle: Mutex<Throttle>,
    /// What was asked of users, in order.
    told: Mutex<Vec<(UserId, UserCommand)>>,
}

impl Owner {
    fn load(&self, user: UserId) -> Option<Box<LoadedUser>> {
        let Stored::User(found) = self.backend.read(&Query::User(user)).expect("memory") else { panic!() };
        found
    }

    fn end(&self, user: UserId, which: impl Fn(&Session) -> bool, now: WallTime) {
        let mut write = UserWrite::new(user);
        let sessions = self.load(user).expect("a user").sessions;
        let ending = sessions.into_iter().filter(|session| session.ended_at.is_none() && which(session));
        write.sessions = ending.map(|session| Session { ended_at: Some(now), ..session }).collect();
        self.backend.write(vec![Write::User(Box::new(write))]).expect("memory");
    }

    #[allow(clippy::wildcard_enum_match_arm)]
    fn answer(&self, ask: Ask, now: Now) -> Result<AskAnswer, Refusal> {
        match ask {
            Ask::Attempt { key } => {
                let allowed = self.throttle.lock().expect("not poisoned").attempt(&key, now.mono);
                allowed.map_err(|ms| Refusal::new(Code::TooManyAttempts).retry_after(ms))?;
                Ok(AskAnswer::Allowed)
            }
            Ask::AttemptSucceeded { key } => {
                self.throttle.lock().expect("not poisoned").succeeded(&key);
                Ok(AskAnswer::Allowed)
            }
            Ask::Authenticate { claims } => {
                let loaded = self.load(claims.user).ok_or(Code::SessionEnded)?;
                let session = loaded.sessions.iter().find(|session| session.id == claims.session);
                let session = session.ok_or(Code::SessionEnded)?;
                if !lives(session, loaded.user.sessions_valid_from, now.wall) {
                    return Err(Code::SessionEnded.into());
                }
                if loaded.user.suspended {
                    return Err(Code::Suspended.into());
                }
                let actor = Actor {
                    user: claims.user,
                    session: claims.session,
                    device: session.device,
                    admin: loaded.user.admin,
                };
                let profile = loaded.user.profile();
                Ok(AskAnswer::User(UserReply::Identity(Box::new(actor), Box::new(profile))))
            }
            Ask::User { user, command } => {
                self.told.lock().expect("not poisoned").push((user, command.clone()));
                Ok(AskAnswer::User(match command {
                    UserCommand::EndSession(id) => {
                        self.end(user, |session| session.id == id, now.wall);
                        UserReply::Done
                    }
                    UserCommand::EndOtherSessions(id) => {
                        self.end(user, |session| session.id != id, now.wall);
                        UserReply::Done
                    }
                    UserCommand::Sessions => {
                        let loaded = self.load(user).ok_or(Code::UserNotFound)?;
                        let from = loaded.user.sessions_valid_from;
                        UserReply::Sessions(loaded.sessions.into_iter().filter(|s| lives(s, from, now.wall)).collect())
                    }
                    _ => UserReply::Done,
                }))
            }
            other => panic!("{other:?} was not expected"),
        }
    }
}

struct World {
    owner: Arc<Owner>,
    signup: Signup,
    at: WallTime,
    address: &'static str,
    external: bool,
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

    #[track_caller]
    fn is(&self, code: Code) -> Value {
        let body = self.json();
        assert_eq!((body["code"].as_str(), self.status.as_u16()), (Some(code.name()), code.status()), "{}", self.text);
        body
    }

    #[track_caller]
    fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    fn cookie(&self) -> Option<&str> {
        self.headers.get(header::SET_COOKIE).map(|value| value.to_str().expect("text"))
    }
}

impl World {
    fn new() -> Self {
        let backend: Arc<dyn Backend> = Arc::new(Memory::new([7; 32]));
        let owner = Owner { backend, throttle: Mutex::default(), told: Mutex::default() };
        Self { owner: Arc::new(owner), signup: Signup::Open, at: START, address: "192.0.2.1", external: false }
    }

    fn router(&self) -> axum::Router {
        let signer = Signer::from_seed([9; 32], 900_000).expect("a seed");
        let own = Verifier::own(vec![signer.public().expect("a key")]).expect("one key");
        let secret = vec![Key::secret("the secret of somebody else").expect("a key")];
        let external =
            Verifier::external(crate::auth::claims::Rules::default(), KeyId::Header, &[Algorithm::Hs256], secret);
        let verifier = if self.external { external.expect("one key") } else { own };
        let signer = (!self.external).then(|| Arc::new(signer));
        let now = Now { mono: Moment((self.at.0 - START.0) * 1000), wall: self.at };
        let owner = Arc::clone(&self.owner);
        let answers = Box::new(move |ask| owner.answer(ask, now));
        let fake = Fake { backend: Arc::clone(&self.owner.backend), answers, now };
        let origins = vec!["https://chat.example".to_owned()];
        let state = RestState::new(Shared {
            gateway: Reach::Fake(Arc::new(fake)),
            keys: Keys::new(Arc::new(verifier)),
            ready: Ready::default(),
            limits: crate::base::limits::Limits::default(),
            auth: AuthState::new(CurrentSigner::new(signer), self.signup, REFRESH_MS, origins),
            turns: super::super::state::Turns::default(),
        });
        router(state, crate::net::web::Client::default())
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("/api/v1/auth/{path}"));
        request = request.extension(Peer(self.address.parse().expect("an address"))).header("host", "localhost:8443");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.header("content-type", "application/json").body(body).expect("a request");
        let (parts, body) = run(self.router().oneshot(request)).expect("never fails").into_parts();
        let bytes = run(body.collect()).expect("a body").to_bytes();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).expect("text") }
    }

    fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[], Some(body))
    }

    fn as_(&self, token: &Value, method: &str, path: &str, body: Option<Value>) -> Answer {
        let bearer = format!("Bearer {}", token["access_token"].as_str().expect("a token"));
        self.send(method, path, &[("authorization", &bearer)], body)
    }

    fn sign_up(&self, name: &str) -> Value {
        self.post("signup", json!({"username": name, "password": PASSWORD})).ok(201)
    }

    fn sign_in(&self, name: &str, password: &str) -> Answer {
        self.post("login", json!({"username": name, "password": password}))
    }

    fn refresh(&self, token: &Value) -> Answer {
        self.post("refresh", json!({"refresh_token": token["refresh_token"]}))
    }

    fn alive(&self, token: &Value) -> bool {
        self.as_(token, "GET", "sessions", None).status == StatusCode::OK
    }

    fn told(&self) -> Vec<UserCommand> {
        self.owner.told.lock().expect("not poisoned").iter().map(|(_, command)| command.clone()).collect()
    }
}

fn id(value: &Value) -> Uuid {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("not an id: {value}"))
}

#[test]
fn the_first_user_is_admin_and_everybody_can_sign_in_in_any_case() {
    let world = World::new();
    let ann = world.sign_up("Ann.Smith");
    assert_eq!((&ann["user"]["admin"], &ann["user"]["username"]), (&json!(true), &json!("Ann.Smith")));
    assert_eq!((&ann["user"]["display_name"], &ann["expires_in"]), (&json!("Ann.Smith"), &json!(900)));
    let bob =
        json!({"username": "bob", "password": PASSWORD, "display_name": "Bob <3", "device_id": Uuid::from_u128(8)});
    let bob = world.post("signup", bob).ok(201);
    assert_eq!((&bob["user"]["admin"], &bob["user"]["display_name"]), (&json!(false), &json!("Bob <3")));
    assert_eq!(id(&bob["device_id"]), Uuid::from_u128(8));

    for name in ["Ann.Smith", "ann.smith", "ＡＮＮ.SMITH"] {
        let again = world.sign_in(name, PASSWORD).ok(200);
        assert_eq!(again["user"]["user_id"], ann["user"]["user_id"]);
        assert_ne!(again["session_id"], ann["session_id"]);
        assert!(world.alive(&again));
    }
    assert!(world.alive(&ann));
    let written = world.told().iter().filter(|told| matches!(told, UserCommand::SessionWritten(_))).count();
    assert_eq!(written, 5);
}

#[test]
fn bad_sign_ups_are_refused_with_the_field() {
    let world = World::new();
    world.sign_up("ann");
    let field = |body: Value, code: Code| world.post("signup", body).is(code)["field"].clone();
    let taken = json!({"username": "ANN", "password": PASSWORD});
    assert_eq!(field(taken, Code::NameTaken), "username");
    assert_eq!(field(json!({"username": "a b", "password": PASSWORD}), Code::BadName), "username");
    assert_eq!(field(json!({"username": "bob", "password": "Password1"}), Code::BadPassword), "password");
    let blank = json!({"username": "bob", "password": PASSWORD, "display_name": " "});
    assert_eq!(field(blank, Code::BadName), "display_name");
    assert_eq!(field(json!({"username": "bob"}), Code::BadRequest), Value::Null);
    world.sign_up("bob");
}

#[test]
fn no_such_user_and_a_wrong_password_get_the_same_answer_and_the_same_steps() {
    let world = World::new();
    let ann = world.sign_up("ann");
    let strip = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        headers.remove("x-request-id");
        (answer.status, answer.text.clone(), format!("{headers:?}"))
    };
    let wrong = world.sign_in("ann", "not the pass phrase");
    wrong.is(Code::BadCredentials);
    for (name, password) in [("bob", PASSWORD), ("bob", "short"), ("no such name!", PASSWORD), ("", ""), ("ann", "")] {
        let other = world.sign_in(name, password);
        assert_eq!(strip(&other), strip(&wrong), "{name}");
    }
    let huge = "x".repeat(10_000);
    assert_eq!(strip(&world.sign_in("ann", &huge)), strip(&wrong));
    // With a device of hers, too.
    let device = json!({"username": "ann", "password": "wrong", "device_id": ann["device_id"]});
    assert_eq!(strip(&world.post("login", device)), strip(&wrong));
}

#[test]
fn guessing_is_slowed_for_the_guesser_and_not_for_the_owner_of_the_name() {
    let mut world = World::new();
    let ann = world.sign_up("ann");
    world.address = "198.51.100.66";
    for _ in 0..6 {
        world.sign_in("ann", "a wrong pass phrase").is(Code::BadCredentials);
    }
    let slowed = world.sign_in("ann", PASSWORD);
    assert_eq!(slowed.is(Code::TooManyAttempts)["retry_after_ms"], 1000);
    assert_eq!(slowed.headers[header::RETRY_AFTER], "1");
    world.address = "192.0.2.1";
    world.sign_in("ann", PASSWORD).ok(200);

    // From everywhere at once: her own device does not notice.
    for _ in 0..60 {
        let _ = world.owner.throttle.lock().expect("not poisoned").attempt("all:ann", Moment(0));
    }
    world.sign_in("ann", PASSWORD).is(Code::TooManyAttempts);
    world.post("login", json!({"username": "ann", "password": PASSWORD, "device_id": ann["device_id"]})).ok(200);
    world.at = world.at.plus_ms(2000);
    world.sign_in("ann", PASSWORD).ok(200);
}

#[test]
fn a_refresh_token_is_good_for_one_use_and_a_second_use_ends_its_session() {
    let mut world = World::new();
    let first = world.sign_up("ann");
    let other = world.sign_in("ann", PASSWORD).ok(200);
    world.at = world.at.plus_ms(60_000);
    let second = world.refresh(&first).ok(200);
    assert_eq!(second["session_id"], first["session_id"]);
    assert_eq!(second["device_id"], first["device_id"]);
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    let third = world.refresh(&second).ok(200);
    assert!(world.alive(&third));

    world.refresh(&second).is(Code::SessionEnded);
    let ended = SessionId(id(&first["session_id"]));
    assert!(world.told().contains(&UserCommand::EndSession(ended)));
    assert!(!world.alive(&third));
    world.refresh(&third).is(Code::SessionEnded);
    assert!(world.alive(&other));

    // What never was one, and one that is too old.
    for garbage in [json!("x"), json!(""), first["access_token"].clone()] {
        world.refresh(&json!({"refresh_token": garbage})).is(Code::NotAuthenticated);
    }
    world.post("refresh", json!({})).is(Code::NotAuthenticated);
    let mut changed = other["refresh_token"].as_str().expect("a token").to_owned();
    let last = if changed.ends_with('A') { 'E' } else { 'A' };
    changed.replace_range(88.., &last.to_string());
    world.refresh(&json!({"refresh_token": changed})).is(Code::NotAuthenticated);
    assert!(world.alive(&other));
    world.at = world.at.plus_ms(REFRESH_MS);
    world.refresh(&other).is(Code::SessionEnded);
}

#[test]
fn logout_and_the_list_of_sessions() {
    let world = World::new();
    let (one, two) = (world.sign_up("ann"), world.sign_in("ann", PASSWORD).ok(200));
    let three = world.sign_in("ann", PASSWORD).ok(200);
    let bob = world.sign_up("bob");
    let list = world.as_(&one, "GET", "sessions", None).ok(200);
    let ids = |list: &Value| -> BTreeSet<Uuid> {
        list["sessions"].as_array().expect("a list").iter().map(|session| id(&session["session_id"])).collect()
    };
    assert_eq!(ids(&list), [&one, &two, &three].map(|token| id(&token["session_id"])).into());
    let current: Vec<_> =
        list["sessions"].as_array().expect("a list").iter().filter(|session| session["current"] == true).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["session_id"], one["session_id"]);
    assert_eq!(current[0]["created_at"], START.rfc3339());

    world.as_(&two, "POST", "logout", None).ok(204);
    assert!(!world.alive(&two));
    world.refresh(&two).is(Code::SessionEnded);

    let path = format!("sessions/{}", id(&three["session_id"]));
    world.as_(&bob, "DELETE", &path, None).is(Code::NotFound);
    assert!(world.alive(&three));
    world.as_(&one, "DELETE", &path, None).ok(204);
    assert!(!world.alive(&three));
    world.as_(&one, "DELETE", &path, None).is(Code::NotFound);
    world.as_(&one, "DELETE", "sessions/x", None).is(Code::BadRequest);
    assert!(world.alive(&one));
}

#[test]
fn a_new_password_ends_all_other_sessions_and_keeps_this_one() {
    let mut world = World::new();
    let (one, two) = (world.sign_up("ann"), world.sign_in("ann", PASSWORD).ok(200));
    world.at = world.at.plus_ms(60_000);
    let change = |current: &str, new: &str| {
        world.as_(&one, "POST", "password", Some(json!({"current_password": current, "new_password": new})))
    };
    assert_eq!(
        change("wrong wrong wrong", "another long pass phrase").is(Code::BadCredentials)["field"],
        "current_password"
    );
    assert_eq!(change(PASSWORD, "password1").is(Code::BadPassword)["field"], "new_password");
    assert!(world.alive(&two));
    change(PASSWORD, "another long pass phrase").ok(204);
    assert!(world.alive(&one) && !world.alive(&two));
    let told = world.told();
    assert!(told.contains(&UserCommand::EndOtherSessions(SessionId(id(&one["session_id"])))));
    assert!(told.contains(&UserCommand::Reload));
    world.refresh(&two).is(Code::SessionEnded);
    world.refresh(&one).ok(200);
    world.sign_in("ann", PASSWORD).is(Code::BadCredentials);
    world.sign_in("ann", "another long pass phrase").ok(200);
}

#[test]
fn a_suspended_user_learns_it_only_with_the_right_password() {
    let world = World::new();
    let ann = world.sign_up("ann");
    let user = UserId(id(&ann["user"]["user_id"]));
    let mut write = UserWrite::new(user);
    let mut record = world.owner.load(user).expect("a user").user;
    record.suspended = true;
    write.record = Some(record);
    world.owner.backend.write(vec![Write::User(Box::new(write))]).expect("memory");
    world.sign_in("ann", "a wrong pass phrase").is(Code::BadCredentials);
    world.sign_in("ann", PASSWORD).is(Code::Suspended);
    world.refresh(&ann).is(Code::Suspended);
}

#[test]
fn browsers_get_the_refresh_token_as_a_cookie_and_must_say_where_they_are() {
    let world = World::new();
    let origin = ("origin", "https://localhost:8443");
    let body = json!({"username": "ann", "password": PASSWORD, "cookie": true});
    world.post("signup", body.clone()).is(Code::BadOrigin);
    world.send("POST", "signup", &[("origin", "https://evil.example")], Some(body.clone())).is(Code::BadOrigin);
    world.send("POST", "signup", &[("origin", "http://localhost:8443")], Some(body.clone())).is(Code::BadOrigin);
    world.send("POST", "signup", &[("origin", "null")], Some(body.clone())).is(Code::BadOrigin);
    let made = world.send("POST", "signup", &[origin], Some(body.clone()));
    let tokens = made.ok(201);
    assert_eq!(tokens["refresh_token"], Value::Null);
    let set = made.cookie().expect("a cookie");
    let (pair, rest) = set.split_once("; ").expect("attributes");
    assert_eq!(rest, format!("Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Strict", REFRESH_MS / 1000));
    let secret = pair.strip_prefix("__Host-causerie=").expect("its name");
    assert!(!made.text.contains(secret));

    let cookie = ("cookie", format!("theme=dark; {pair}"));
    let cookie = (cookie.0, cookie.1.as_str());
    let refresh = |headers: &[(&str, &str)]| world.send("POST", "refresh", headers, Some(json!({"cookie": true})));
    refresh(&[cookie]).is(Code::BadOrigin);
    refresh(&[cookie, ("origin", "https://evil.example")]).is(Code::BadOrigin);
    refresh(&[origin]).is(Code::NotAuthenticated);
    // An allowed origin beside the own one.
    let next = refresh(&[cookie, ("origin", "https://chat.example")]);
    assert_eq!(next.ok(200)["refresh_token"], Value::Null);
    assert_ne!(next.cookie(), Some(set));
    // The cookie is not looked at unless it is asked for.
    world.send("POST", "refresh", &[origin, cookie], Some(json!({}))).is(Code::NotAuthenticated);
    let again = world.send("POST", "login", &[origin], Some(body)).ok(200);
    let bearer = format!("Bearer {}", again["access_token"].as_str().expect("a token"));
    let out = world.send("POST", "logout", &[("authorization", &bearer), cookie], None);
    out.ok(204);
    assert!(out.cookie().expect("a cookie").contains("Max-Age=0"));
}

#[test]
fn a_cookie_whose_answer_was_lost_is_answered_again_and_a_stolen_one_ends_the_session() {
    let mut world = World::new();
    let headers = |set: &str| format!("x=y; {}", set.split(';').next().expect("a pair"));
    let refresh = |world: &World, cookie: &str| {
        let headers = [("origin", "https://localhost:8443"), ("cookie", cookie)];
        world.send("POST", "refresh", &headers, Some(json!({"cookie": true})))
    };
    let body = json!({"username": "ann", "password": PASSWORD, "cookie": true});
    let made = world.send("POST", "signup", &[("origin", "https://localhost:8443")], Some(body));
    let first = headers(made.cookie().expect("a cookie"));
    let asked = refresh(&world, &first);
    asked.ok(200);
    let second = headers(asked.cookie().expect("a cookie"));
    assert_ne!(first, second);
    // The page was loaded anew before the answer came: the same once more, and the successor is the same one.
    world.at = world.at.plus_ms(29_999);
    let again = refresh(&world, &first);
    again.ok(200);
    assert_eq!(headers(again.cookie().expect("a cookie")), second);
    // Later it is a theft.
    world.at = world.at.plus_ms(1);
    refresh(&world, &first).is(Code::SessionEnded);
    refresh(&world, &second).is(Code::SessionEnded);
}

#[test]
fn of_two_who_hold_one_cookie_the_later_ends_the_session_for_both() {
    let mut world = World::new();
    let cookie = |answer: &Answer| answer.cookie().and_then(|set| set.split(';').next()).expect("a pair").to_owned();
    let refresh = |world: &World, cookie: &str| {
        let headers = [("origin", "https://localhost:8443"), ("cookie", cookie)];
        world.send("POST", "refresh", &headers, Some(json!({"cookie": true})))
    };
    let body = json!({"username": "ann", "password": PASSWORD, "cookie": true});
    let stolen = cookie(&world.send("POST", "signup", &[("origin", "https://localhost:8443")], Some(body)));
    let anns = cookie(&refresh(&world, &stolen));
    // The thief is quick, and has the same successor.
    assert_eq!(cookie(&refresh(&world, &stolen)), anns);
    world.at = world.at.plus_ms(60_000);
    refresh(&world, &anns).ok(200);
    world.at = world.at.plus_ms(60_000);
    refresh(&world, &anns).is(Code::SessionEnded);
}

#[test]
fn a_closed_server_lets_only_its_first_user_in() {
    let mut world = World::new();
    world.signup = Signup::Closed;
    let admin = world.sign_up("ann");
    assert_eq!(admin["user"]["admin"], true);
    world.post("signup", json!({"username": "bob", "password": PASSWORD})).is(Code::SignupClosed);
}

#[test]
fn an_invite_is_good_for_one_account_and_a_week() {
    let mut world = World::new();
    world.signup = Signup::Invite;
    let admin = world.sign_up("ann");
    let invite = |world: &World| world.as_(&admin, "POST", "invites", None).ok(201)["invite"].clone();
    let (first, second) = (invite(&world), invite(&world));
    let join = |world: &World, name: &str, invite: &Value| {
        world.post("signup", json!({"username": name, "password": PASSWORD, "invite": invite}))
    };
    join(&world, "bob", &Value::Null).is(Code::SignupClosed);
    assert_eq!(join(&world, "bob", &json!("x")).is(Code::SignupClosed)["field"], "invite");
    // A refused sign-up does not use it up.
    join(&world, "ann", &first).is(Code::NameTaken);
    let bob = join(&world, "bob", &first).ok(201);
    assert_eq!(bob["user"]["admin"], false);
    join(&world, "carol", &first).is(Code::SignupClosed);
    world.as_(&bob, "POST", "invites", None).is(Code::NotAllowed);
    world.at = world.at.plus_ms(7 * 24 * 3_600_000);
    join(&world, "carol", &second).is(Code::SignupClosed);
}

#[test]
fn where_accounts_are_kept_elsewhere_nothing_that_needs_a_password_is_there() {
    let mut world = World::new();
    world.external = true;
    let body = json!({"username": "ann", "password": PASSWORD});
    for path in ["signup", "login"] {
        world.post(path, body.clone()).is(Code::AuthExternal);
    }
    world.post("refresh", json!({"refresh_token": "x"})).is(Code::AuthExternal);
}

#[test]
fn a_user_has_a_bounded_number_of_sessions_and_the_least_used_one_goes() {
    let mut world = World::new();
    let first = world.sign_up("ann");
    let user = UserId(id(&first["user"]["user_id"]));
    let mut write = UserWrite::new(user);
    let like = world.owner.load(user).expect("a user").sessions.remove(0);
    let many = (1..100).map(|n| Session {
        id: SessionId(Uuid::from_u128(n)),
        device: DeviceId(Uuid::from_u128(n)),
        used_at: START.plus_ms(u64::try_from(n).expect("small")),
        ..like.clone()
    });
    write.sessions = many.collect();
    world.owner.backend.write(vec![Write::User(Box::new(write))]).expect("memory");
    world.at = START.plus_ms(1000);
    let last = world.sign_in("ann", PASSWORD).ok(200);
    assert!(!world.alive(&first));
    assert!(world.told().contains(&UserCommand::EndSession(SessionId(id(&first["session_id"])))));
    let list = world.as_(&last, "GET", "sessions", None).ok(200);
    assert_eq!(list["sessions"].as_array().expect("a list").len(), 100);
}
