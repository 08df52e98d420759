//! A token ends: the client is told a minute before, a new token prolongs the connection, without one it is closed with 4401.

use std::time::Instant;

use serde_json::json;

use crate::support::{Person, Setup};

#[test]
fn a_connection_ends_with_its_token() {
    // Without leeway the end is exact to the second.
    let server = Setup::default().set("auth.external.leeway_seconds", 0).start();
    let mut ann = server.person("ann");
    ann.token = server.issuer().token(causerie_load::token::user_id("ann"), "ann", 4);
    let since = Instant::now();
    let mut socket = ann.connect();
    let notice = socket.expect("token_expiring", |f| f["type"] == "notice");
    assert_eq!(notice["metadata"]["code"], "token_expiring");
    assert_eq!(socket.closed(), 4401);
    assert!(since.elapsed().as_secs() >= 2, "closed before the end of the token: {:?}", since.elapsed());
}

#[test]
fn a_new_token_prolongs_the_connection() {
    let server = Setup::default().set("auth.external.leeway_seconds", 0).start();
    let mut ann = server.person("ann");
    let subject = causerie_load::token::user_id("ann");
    ann.token = server.issuer().token(subject, "ann", 4);
    let since = Instant::now();
    let mut socket = ann.connect();
    let answer = socket.ask(json!({"type": "auth", "content": server.issuer().token(subject, "ann", 3600)}));
    assert_eq!(answer["type"], "ack", "{answer}");
    while since.elapsed().as_secs() < 6 {
        socket.fence();
        crate::support::wait_out(std::time::Duration::from_millis(200));
    }
    socket.fence();
}

#[test]
fn a_token_of_somebody_else_does_not_prolong() {
    let server = Setup::default().start();
    let (ann, bob): (Person, Person) = (server.person("ann"), server.person("bob"));
    let mut socket = ann.connect();
    for token in [bob.token.as_str(), "garbage"] {
        assert_eq!(socket.refused(json!({"type": "auth", "content": token})), "not_authenticated");
    }
    // The connection stays what it was, Ann's, until her own token ends.
    socket.fence();
}
