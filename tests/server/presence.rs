//! Who is there: online with the first connection, offline with the last, away when set so; names where watched, counts else.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Server, Setup, Socket};

fn status_of(user: Uuid, status: &'static str) -> impl Fn(&Value) -> bool {
    move |frame| {
        let users = frame["metadata"]["users"].as_array().cloned().unwrap_or_default();
        frame["type"] == "presence" && users.iter().any(|u| u["user_id"] == json!(user) && u["status"] == status)
    }
}

fn watch(socket: &mut Socket, room: Uuid) {
    socket.send(&json!({"type": "presence", "metadata": {"watch": [room]}}));
}

#[test]
fn online_away_and_offline_are_told_by_name_to_who_watches() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let mut anns = ann.connect();
    watch(&mut anns, room);
    let mut first = bob.connect();
    anns.expect("bob online", status_of(bob.user_id, "online"));
    first.send(&json!({"type": "presence", "metadata": {"status": "away"}}));
    anns.expect("bob away", status_of(bob.user_id, "away"));
    first.send(&json!({"type": "presence", "metadata": {"status": "online"}}));
    anns.expect("bob back", status_of(bob.user_id, "online"));

    // As long as one connection is left he is there.
    let had = anns.seen.len();
    let second = bob.connect();
    first.close();
    anns.chat(room, "a mark");
    anns.fence();
    assert!(!anns.seen[had..].iter().any(status_of(bob.user_id, "offline")));
    drop(second); // without a close
    let told = anns.expect("bob offline", status_of(bob.user_id, "offline"));
    let users = told["metadata"]["users"].as_array().expect("users");
    assert!(users.iter().any(|u| u["user_id"] == json!(bob.user_id) && u["last_seen"].is_string()), "{told}");
}

#[test]
fn who_does_not_watch_gets_counts_without_names() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let mut anns = ann.connect();
    let _bobs = bob.connect();
    let count = |f: &Value| f["type"] == "presence" && f["room_id"] == json!(room) && f["metadata"]["online"] == 2;
    anns.expect("two are there", count);
    let named =
        |f: &&Value| f["type"] == "presence" && f["metadata"]["users"].as_array().is_some_and(|u| !u.is_empty());
    assert_eq!(anns.seen.iter().find(named), None);
}

#[test]
fn many_who_come_at_once_are_few_frames() {
    let server = Setup::default().start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    let people: Vec<_> = (0..40).map(|n| server.person(&format!("p{n}"))).collect();
    people.iter().for_each(|p| p.join(room));
    let mut anns = ann.connect();
    watch(&mut anns, room);
    anns.fence();
    let had = anns.seen.len();
    let since = std::time::Instant::now();
    let sockets: Vec<_> = people.iter().map(crate::support::Person::connect).collect();
    let all = |f: &Value| f["type"] == "presence" && f["room_id"] == json!(room) && f["metadata"]["online"] == 41;
    anns.expect("41 are there", all);
    let took = since.elapsed();
    let frames = anns.seen[had..].iter().filter(|f| f["type"] == "presence" && f["room_id"] == json!(room)).count();
    // At most one in 250 ms, and one at each end of the time.
    let most = usize::try_from(took.as_millis() / 250).expect("a count") + 2;
    assert!(frames <= most, "{frames} frames in {took:?}");
    drop(sockets);
}

#[test]
fn participants_are_listed_with_role_and_presence() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let mut anns = ann.connect();
    anns.fence();
    let answer = ann.get(&format!("/api/v1/chat/rooms/{room}/participants"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let list = body["participants"].as_array().unwrap_or_else(|| panic!("no participants in {body}"));
    let one = |user: Uuid| {
        list.iter().find(|p| p["user_id"] == json!(user)).unwrap_or_else(|| panic!("{user} is not in {body}")).clone()
    };
    assert_eq!((&one(ann.user_id)["role"], &one(ann.user_id)["status"]), (&json!("owner"), &json!("online")));
    assert_eq!((&one(bob.user_id)["role"], &one(bob.user_id)["status"]), (&json!("member"), &json!("offline")));
}
