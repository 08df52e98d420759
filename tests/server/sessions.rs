//! Logout ends a session and closes its sockets on all shards; sessions are listed and ended one by one.

use std::time::Instant;

use serde_json::json;

use crate::support::people::Person;
use crate::support::{Server, Setup};

const PASSWORD: &str = "correct horse battery";

fn login(server: &Server) -> Person {
    let body = json!({"username": "ann", "password": PASSWORD});
    let answer = server.call("POST", "/api/v1/auth/login", Some(&body));
    assert_eq!(answer.status, 200, "{}", answer.text());
    Person::with_answer(server, "ann", &answer.json())
}

#[test]
fn logout_closes_the_sockets_of_its_session_wherever_they_are_and_no_others() {
    let server = Setup::builtin().shards(4).start();
    server.sign_up("ann", PASSWORD);
    let (leaving, staying) = (login(&server), login(&server));
    // The kernel spreads them over the shards.
    let mut gone: Vec<_> = (0..16).map(|_| leaving.connect()).collect();
    let mut here: Vec<_> = (0..4).map(|_| staying.connect()).collect();

    let answer = leaving.call("POST", "/api/v1/auth/logout", None);
    let since = Instant::now();
    assert_eq!(answer.status, 204, "{}", answer.text());
    for socket in &mut gone {
        assert_eq!(socket.closed(), 4410);
    }
    eprintln!("16 sockets on 4 shards were closed {:?} after the answer", since.elapsed());
    here.iter_mut().for_each(crate::support::Socket::fence);

    let again = leaving.get("/api/v1/users/me");
    assert_eq!(again.status, 401, "{}", again.text());
    let refused = leaving.try_open(&[]).err().expect("a token of an ended session opens no socket");
    assert!(refused.to_string().contains("401"), "{refused}");
}

#[test]
fn an_ended_session_stays_ended_after_a_restart() {
    let mut server = Setup::builtin().start();
    server.sign_up("ann", PASSWORD);
    let (leaving, staying) = (login(&server), login(&server));
    assert_eq!(leaving.call("POST", "/api/v1/auth/logout", None).status, 204);
    server.restart();
    assert_eq!(leaving.get("/api/v1/users/me").status, 401);
    assert_eq!(staying.get("/api/v1/users/me").status, 200);
}

#[test]
fn sessions_are_listed_and_one_can_be_ended_from_another() {
    let server = Setup::builtin().start();
    let first = server.sign_up("ann", PASSWORD);
    let second = login(&server);
    let mut socket = second.connect();
    let session = socket.hello["metadata"]["session_id"].clone();

    let list = first.get("/api/v1/auth/sessions");
    assert_eq!(list.status, 200, "{}", list.text());
    let list = list.json();
    let sessions = list["sessions"].as_array().cloned().unwrap_or_else(|| panic!("no sessions in {list}"));
    assert_eq!(sessions.len(), 2);
    assert!(sessions.iter().any(|s| s["session_id"] == session), "{list}");

    let ended = first.call("DELETE", &format!("/api/v1/auth/sessions/{}", session.as_str().expect("an id")), None);
    assert_eq!(ended.status, 204, "{}", ended.text());
    assert_eq!(socket.closed(), 4410);
    assert_eq!(second.get("/api/v1/users/me").status, 401);
    assert_eq!(first.get("/api/v1/users/me").status, 200);
}

#[test]
fn somebody_elses_session_cannot_be_ended() {
    let server = Setup::builtin().start();
    let ann = server.sign_up("ann", PASSWORD);
    let bob = server.sign_up("bob", PASSWORD);
    let mut socket = ann.connect();
    let session = socket.hello["metadata"]["session_id"].as_str().expect("an id").to_owned();
    assert_eq!(bob.call("DELETE", &format!("/api/v1/auth/sessions/{session}"), None).status, 404);
    socket.fence();
}
