//! Accounts: sign-up, login, refresh, the same answer to a wrong name and a wrong password, change of password.

use serde_json::{Value, json};

use crate::support::{Server, Setup};

const PASSWORD: &str = "correct horse battery";

fn login(server: &Server, name: &str, password: &str) -> (u16, Value) {
    let body = json!({"username": name, "password": password});
    let answer = server.call("POST", "/api/v1/auth/login", Some(&body));
    (answer.status, answer.json())
}

fn refresh(server: &Server, token: &str) -> (u16, Value) {
    let answer = server.call("POST", "/api/v1/auth/refresh", Some(&json!({"refresh_token": token})));
    (answer.status, answer.json())
}

#[test]
fn the_first_user_is_admin_and_names_are_compared_without_case() {
    let server = Setup::builtin().start();
    let ann = server.sign_up("Ann", PASSWORD);
    let bob = server.sign_up("bob", PASSWORD);
    assert_eq!(ann.get("/api/v1/users/me").json()["admin"], true);
    assert_eq!(bob.get("/api/v1/users/me").json()["admin"], false);

    let again = json!({"username": "ANN", "password": PASSWORD});
    let taken = server.call("POST", "/api/v1/auth/signup", Some(&again));
    assert_eq!((taken.status, taken.json()["code"].clone()), (409, json!("name_taken")));
    assert_eq!(taken.header("content-type"), Some("application/problem+json"));
    assert_eq!(login(&server, "aNN", PASSWORD).0, 200);
}

#[test]
fn names_and_passwords_that_cannot_be_used_are_refused_with_their_code() {
    let server = Setup::builtin().start();
    let try_with = |name: &str, password: &str| {
        let answer = server.call("POST", "/api/v1/auth/signup", Some(&json!({"username": name, "password": password})));
        (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
    };
    for name in ["ab", "a b c", "<script>", "", "../../etc", &"x".repeat(33)] {
        assert_eq!(try_with(name, PASSWORD), (422, "bad_name".into()), "{name:?}");
    }
    for password in ["short", "password", "12345678", &"x".repeat(257)] {
        assert_eq!(try_with("somebody", password), (422, "bad_password".into()), "{password:?}");
    }
    assert_eq!(try_with("somebody", PASSWORD).0, 201);
}

#[test]
fn a_wrong_name_and_a_wrong_password_are_answered_alike() {
    let server = Setup::builtin().start();
    server.sign_up("ann", PASSWORD);
    let (known, unknown) = (login(&server, "ann", "not her password"), login(&server, "nobody", "not her password"));
    assert_eq!(known.0, 401);
    assert_eq!(known.1["code"], "bad_credentials");
    assert_eq!(without_ids(known), without_ids(unknown));
}

/// An answer without what is different in each, such as the request's id.
fn without_ids((status, mut body): (u16, Value)) -> (u16, Value) {
    if let Some(object) = body.as_object_mut() {
        object.retain(|key, _| !matches!(key.as_str(), "instance" | "request_id"));
    }
    (status, body)
}

#[test]
fn a_refresh_token_is_good_once_and_its_reuse_ends_the_session() {
    let server = Setup::builtin().start();
    let ann = server.sign_up("ann", PASSWORD);
    let mut socket = ann.connect();
    let first = ann.refresh.clone().expect("a refresh token");

    let (status, second) = refresh(&server, &first);
    assert_eq!(status, 200);
    let second_token = second["refresh_token"].as_str().expect("a refresh token").to_owned();
    assert_ne!(first, second_token);

    assert_eq!(refresh(&server, &first).0, 401, "a token that was exchanged is shown again");
    assert_eq!(refresh(&server, &second_token).0, 401, "its successor died with the session");
    assert_eq!(socket.closed(), 4410);
    assert_eq!(ann.get("/api/v1/users/me").status, 401);
}

#[test]
fn a_new_password_ends_all_other_sessions_and_is_the_only_one_that_counts() {
    let server = Setup::builtin().start();
    let ann = server.sign_up("ann", PASSWORD);
    let (_, body) = login(&server, "ann", PASSWORD);
    let elsewhere = crate::support::Person::with_answer(&server, "ann", &body);
    let (mut here, mut there) = (ann.connect(), elsewhere.connect());

    let wrong =
        ann.post("/api/v1/auth/password", &json!({"current_password": "not it", "new_password": "a new password!"}));
    assert!(matches!(wrong.status, 401 | 403), "{} {}", wrong.status, wrong.text());
    let changed =
        ann.post("/api/v1/auth/password", &json!({"current_password": PASSWORD, "new_password": "a new password!"}));
    assert!(matches!(changed.status, 200 | 204), "{} {}", changed.status, changed.text());

    assert_eq!(there.closed(), 4410);
    here.fence();
    assert_eq!(login(&server, "ann", PASSWORD).0, 401);
    assert_eq!(login(&server, "ann", "a new password!").0, 200);
}

#[test]
fn attempts_are_limited_without_locking_the_owner_out_of_what_is_open() {
    let server = Setup::builtin().start();
    let ann = server.sign_up("ann", PASSWORD);
    let limited = (0..200).find_map(|_| {
        let (status, body) = login(&server, "ann", "a wrong guess");
        (status != 401).then_some((status, body))
    });
    let (status, body) = limited.expect("200 wrong attempts in a row are not limited");
    assert_eq!((status, &body["code"]), (429, &json!("too_many_attempts")));
    assert!(body["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0), "{body}");
    // Who is signed in stays so.
    assert_eq!(ann.get("/api/v1/users/me").status, 200);
    ann.connect().fence();
}

#[test]
fn closed_sign_up_refuses_all_but_the_first() {
    let server = Setup::builtin().set("auth.signup", "closed").start();
    server.sign_up("ann", PASSWORD);
    let body = json!({"username": "bob", "password": PASSWORD});
    let second = server.call("POST", "/api/v1/auth/signup", Some(&body));
    assert_eq!((second.status, second.json()["code"].clone()), (403, json!("signup_closed")));
}
