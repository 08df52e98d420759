//! The audit log: who signed in, who failed, who was refused, and never a token or a text.

use serde_json::json;

use crate::support::{Setup, eventually};

#[test]
fn acts_that_matter_stand_in_the_audit_log() {
    let server = Setup::builtin().start();
    let ann = server.sign_up("ann", "correct horse battery");
    let bob = server.sign_up("bob", "correct horse battery");
    server.call("POST", "/api/v1/auth/login", Some(&json!({"username": "ann", "password": "a wrong guess"})));
    server.call("POST", "/api/v1/auth/login", Some(&json!({"username": "ann", "password": "correct horse battery"})));
    let room = ann.room("Garden", "public");
    let mut socket = ann.connect();
    socket.chat(room, "words nobody logs");
    bob.join(room);
    bob.call("DELETE", &format!("/api/v1/chat/rooms/{room}"), None);
    let first = ann.refresh.clone().expect("a token");
    server.call("POST", "/api/v1/auth/refresh", Some(&json!({"refresh_token": first})));
    server.call("POST", "/api/v1/auth/refresh", Some(&json!({"refresh_token": first})));
    bob.call("POST", "/api/v1/auth/logout", None);

    let has = |what: &[&str]| {
        eventually(&format!("one of {what:?} in the audit log:\n{:#?}", server.audit()), || {
            server.audit().into_iter().find(|line| what.iter().any(|w| line["what"] == *w))
        })
    };
    let signed_in = has(&["signed_in", "login", "sign_in"]);
    assert!(signed_in.to_string().contains(&ann.user_id.to_string()), "{signed_in}");
    has(&["sign_in_failed", "login_failed"]);
    has(&["token_reused", "token_reuse", "refresh_reused"]);
    has(&["refused"]);
    has(&["session_ended", "signed_out", "logout", "logged_out"]);
    let all = server.audit().iter().map(ToString::to_string).collect::<String>();
    for secret in ["words nobody logs", "correct horse", "a wrong guess", &first, &ann.token] {
        assert!(!all.contains(secret), "{secret} stands in the audit log");
    }
}
