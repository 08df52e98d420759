//! SIGTERM: not ready any more, clients are told when to come back, commits are finished, 4501, exit 0.

use serde_json::json;

use crate::support::Setup;
use crate::support::server::killed_by;

#[test]
fn clients_are_told_and_nothing_acked_is_lost() {
    let mut server = Setup::default().set("drain.window_ms", 1000).set("drain.deadline_ms", 10_000).start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let (mut anns, mut bobs) = (ann.connect(), bob.connect());
    let ids: Vec<_> = (0..15).map(|n| anns.say(room, &format!("message {n}"))).collect();
    let acked: Vec<_> = ids.into_iter().map(|id| anns.answer(id)).filter(|a| a["type"] == "ack").collect();

    server.signal(rustix::process::Signal::TERM);
    for socket in [&mut anns, &mut bobs] {
        let notice = socket.expect("the notice", |f| f["type"] == "notice");
        assert_eq!(notice["metadata"]["code"], "draining");
        let wait = notice["metadata"]["reconnect_after_ms"].as_u64().expect("reconnect_after_ms");
        assert!(wait <= 10_000, "{notice}");
        assert_eq!(socket.closed(), 4501);
    }
    let status = server.ended();
    assert_eq!((status.code(), killed_by(status)), (Some(0), None), "{status}");

    server.restart();
    let page = bob.page(room, "after=0");
    let stored = page["messages"].as_array().expect("messages");
    for ack in &acked {
        assert!(stored.iter().any(|m| m["message_id"] == ack["message_id"]), "{ack} is gone");
    }
}

#[test]
fn readyz_goes_off_first() {
    let mut server = Setup::default().set("drain.window_ms", 3000).set("drain.deadline_ms", 20_000).start();
    assert_eq!(server.admin("/readyz").status, 200);
    assert_eq!(server.admin("/healthz").status, 200);
    let ann = server.person("ann");
    let mut socket = ann.connect();
    // A connection that was there before the signal can still ask.
    let mut http = causerie_load::http::Http::new(&server.admin_address(), &server.config());
    assert_eq!(http.call("GET", "/readyz", None, &[], None).expect("an answer").status, 200);
    server.signal(rustix::process::Signal::TERM);
    socket.expect("the notice", |f| f["type"] == "notice" && f["metadata"]["code"] == "draining");
    if let Ok(answer) = http.call("GET", "/readyz", None, &[], None) {
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn clients_that_do_not_react_do_not_hold_it_beyond_the_deadline() {
    let mut server = Setup::default().set("drain.window_ms", 500).set("drain.deadline_ms", 2000).start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    let _deaf: Vec<_> = (0..5).map(|_| ann.connect()).collect(); // nobody reads on them
    ann.connect().ask(json!({"type": "history", "room_id": room}));
    let status = server.terminate();
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn the_end_leaves_nothing_to_mend_and_data_that_pass_every_check() {
    let mut server = Setup::default().start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    ann.connect().chat(room, "the last words");
    assert_eq!(server.terminate().code(), Some(0));
    let check = std::process::Command::new(env!("CARGO_BIN_EXE_causerie"))
        .args(["check", "--data"])
        .arg(&server.data)
        .output()
        .expect("causerie runs");
    let said = String::from_utf8_lossy(&check.stdout);
    assert!(
        check.status.success() && said.contains("the data is sound"),
        "{said}{}",
        String::from_utf8_lossy(&check.stderr)
    );
    assert!(said.contains("1 rooms") && !said.contains("did not end in order"), "{said}");
}
