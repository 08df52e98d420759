//! Tokens of an outside platform: go42's form is taken as it is, everything forged is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use causerie_load::token::{Issuer, unix_seconds, user_id};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::server::SECRET;
use crate::support::{Server, Setup};

fn status(server: &Server, token: &str) -> u16 {
    server.http().call("GET", "/api/v1/users/me", Some(token), &[], None).expect("an answer").status
}

fn claims() -> Value {
    let now = unix_seconds();
    json!({"iss": "go42", "aud": ["go42"], "sub": user_id("ann"), "exp": now + 600, "iat": now, "kid": Issuer::go42(SECRET).key_id()})
}

#[test]
fn a_user_is_made_at_first_sight_and_is_the_same_ever_after() {
    let mut server = Server::start();
    let ann = server.person("ann");
    let me = ann.get("/api/v1/users/me").json();
    server.restart();
    assert_eq!(server.person("ann").user_id, ann.user_id);
    assert_eq!(ann.get("/api/v1/users/me").json()["username"], me["username"]);
}

#[test]
fn two_people_with_one_username_are_two() {
    let server = Server::start();
    let issuer = server.issuer();
    let who = |subject: &str| {
        let token = issuer.token(user_id(subject), "ann", 600);
        let me = server.http().call("GET", "/api/v1/users/me", Some(&token), &[], None).expect("an answer").json();
        (me["user_id"].clone(), me["username"].clone())
    };
    let (first, second) = (who("one"), who("two"));
    assert_ne!(first.0, second.0);
    assert_ne!(first.1, second.1);
}

#[test]
fn forged_and_foreign_tokens_are_refused() {
    let server = Server::start();
    let good = Issuer::go42(SECRET);
    assert_eq!(status(&server, &good.sign(&claims())), 200);
    let with = |name: &str, value: Value| {
        let mut changed = claims();
        changed[name] = value;
        good.sign(&changed)
    };
    let other = Issuer::go42("another secret that the server was never told of");
    let mut stolen_kid = claims();
    stolen_kid["kid"] = json!(good.key_id());
    let parts: Vec<String> = good.sign(&claims()).split('.').map(str::to_owned).collect();
    let header = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let bad = [
        ("signed by another", other.sign(&claims())),
        ("signed by another under our kid", other.sign(&stolen_kid)),
        ("another issuer", with("iss", json!("somebody"))),
        ("another audience", with("aud", json!(["other"]))),
        ("no audience", with("aud", Value::Null)),
        ("expired", with("exp", json!(unix_seconds() - 600))),
        ("never expires", with("exp", Value::Null)),
        ("of the future", with("nbf", json!(unix_seconds() + 600))),
        ("nobody", with("sub", Value::Null)),
        ("alg none", format!("{}.{}.", header(r#"{"alg":"none","typ":"JWT"}"#), parts[1])),
        ("alg none with our signature", format!("{}.{}.{}", header(r#"{"alg":"none"}"#), parts[1], parts[2])),
        ("alg HS384", format!("{}.{}.{}", header(r#"{"alg":"HS384"}"#), parts[1], parts[2])),
        ("alg RS256", format!("{}.{}.{}", header(r#"{"alg":"RS256"}"#), parts[1], parts[2])),
        ("cut", format!("{}.{}", parts[0], parts[1])),
        ("changed", format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims().to_string() + " "), parts[2])),
        ("long", "x".repeat(60_000)),
    ];
    for (what, token) in bad {
        let got = status(&server, &token);
        assert!(matches!(got, 401 | 431), "{what}: {got}");
    }
    let no_kid = {
        let mut without = claims();
        without.as_object_mut().expect("an object").remove("kid");
        good.sign(&without)
    };
    assert_eq!(status(&server, &no_kid), 200, "the newest secret is tried when no kid fits");
}

#[test]
fn up_to_three_secrets_are_valid_at_a_time() {
    let (old, middle) = ("the-oldest-secret-of-three-0123456789abcdef", "the-second-secret-of-three-0123456789abcde");
    let server = Setup::default().set("auth.external.secrets", format!("{SECRET},{middle},{old}")).start();
    for secret in [SECRET, middle, old] {
        let issuer = Issuer::go42(secret);
        assert_eq!(status(&server, &issuer.token(user_id("ann"), "ann", 600)), 200, "{secret}");
    }
}

#[test]
fn accounts_are_kept_elsewhere() {
    let server = Server::start();
    let ann = server.person("ann");
    for path in ["signup", "login", "refresh", "password"] {
        let body = json!({"username": "ann", "password": "correct horse battery", "refresh_token": "x",
            "current_password": "correct horse battery", "new_password": "another battery"});
        let answer = ann.post(&format!("/api/v1/auth/{path}"), &body);
        assert_eq!((answer.status, answer.json()["code"].clone()), (404, json!("auth_external")), "{path}");
    }
}

#[test]
fn the_subject_of_go42_is_a_uuid_and_needs_no_name() {
    let server = Server::start();
    let mut claims = claims();
    claims["sub"] = json!(Uuid::now_v7());
    let token = server.issuer().sign(&claims);
    let me = server.http().call("GET", "/api/v1/users/me", Some(&token), &[], None).expect("an answer");
    assert_eq!(me.status, 200, "{}", me.text());
    assert!(me.json()["username"].as_str().is_some_and(|name| name.len() >= 3), "{}", me.text());
}
