//! Owner, moderator, member: who may do what, and that a room keeps an owner.

use serde_json::json;

use crate::support::Server;

#[test]
fn a_member_may_not_change_or_remove_a_room_nor_others_words() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let path = format!("/api/v1/chat/rooms/{room}");
    for (method, body) in [("PATCH", Some(json!({"name": "Bob's"}))), ("DELETE", None)] {
        let answer = bob.call(method, &path, body.as_ref());
        assert_eq!((answer.status, answer.json()["code"].clone()), (403, json!("not_allowed")), "{method}");
    }
    let mut anns = ann.connect();
    let said = anns.chat(room, "mine");
    let mut bobs = bob.connect();
    assert_eq!(bobs.refused(json!({"type": "delete", "room_id": room, "seq": said["seq"]})), "not_allowed");
    assert_eq!(ann.get(&path).json()["name"], "Garden");
}

#[test]
fn an_owner_may_change_the_room() {
    let server = Server::start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    let path = format!("/api/v1/chat/rooms/{room}");
    let change = json!({"description": "where things grow", "metadata": {"colour": "green"}});
    let changed = ann.call("PATCH", &path, Some(&change));
    assert_eq!(changed.status, 200, "{}", changed.text());
    let entry = ann.get(&path).json();
    assert_eq!((&entry["description"], &entry["metadata"]["colour"]), (&json!("where things grow"), &json!("green")));
    assert_eq!(entry["role"], "owner");
}

#[test]
fn the_last_owner_does_not_leave_others_without_one() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let mut anns = ann.connect();
    assert_eq!(anns.refused(json!({"type": "leave", "room_id": room})), "last_owner");
}
