//! The numbers at `/metrics` agree with what was done.

use crate::support::{Server, eventually};

#[allow(clippy::cast_possible_truncation)] // a count
fn connections(server: &Server) -> i64 {
    server.metric("causerie_connections_active", &[]) as i64
}

#[test]
fn the_counters_agree_with_what_was_done() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let (mut anns, mut bobs) = (ann.connect(), bob.connect());
    let text = server.admin("/metrics");
    assert!(text.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{:?}", text.headers);
    let names =
        ["causerie_messages_received_total", "causerie_messages_stored_total", "causerie_messages_delivered_total"];
    let before: Vec<f64> = names.iter().map(|name| server.metric(name, &[])).collect();
    for n in 0..10 {
        anns.chat(room, &format!("message {n}"));
        bobs.message(room);
    }
    for (name, before) in names.iter().zip(before) {
        eventually(&format!("10 more in {name}:\n{}", server.admin("/metrics").text()), || {
            (server.metric(name, &[]) - before >= 10.0).then_some(())
        });
    }
    eventually("two connections", || (connections(&server) == 2).then_some(()));
    bobs.close();
    eventually("one connection", || (connections(&server) == 1).then_some(()));
}

#[test]
fn what_is_for_operators_is_not_served_to_everybody() {
    let server = Server::start();
    assert_eq!(server.call("GET", "/metrics", None).status, 404);
    assert_eq!(server.call("GET", "/admin/v1", None).status, 404);
    assert_eq!(server.admin("/metrics").status, 200);
    assert_eq!(server.admin("/healthz").status, 200);
}
