//! Taking a message back: its text is gone from pages, resume and disk at once; others are told; it is one's own message only.

use serde_json::json;

use crate::support::Server;

#[test]
fn a_message_taken_back_is_gone_everywhere() {
    let mut server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let (mut anns, mut bobs) = (ann.connect(), bob.connect());
    let said = anns.chat(room, "I should not have said this");
    bobs.message(room);
    assert_eq!(bobs.refused(json!({"type": "delete", "room_id": room, "seq": said["seq"]})), "not_allowed");

    let answer = anns.ask(json!({"type": "delete", "room_id": room, "message_id": said["message_id"]}));
    assert_eq!(answer["type"], "ack", "{answer}");
    let told = bobs.expect("the deletion", |f| f["type"] == "delete");
    assert_eq!((&told["metadata"]["target_seq"], &told["user_id"]), (&said["seq"], &json!(ann.user_id)));
    assert_eq!(told["metadata"]["target"], said["message_id"]);

    let check = |text: &str| {
        assert!(!text.contains("should not have said"), "{text}");
        assert!(text.contains("\"deleted\":true"), "{text}");
    };
    let path = format!("/api/v1/chat/rooms/{room}/messages");
    check(&bob.get(&path).text());
    check(&bobs.ask(json!({"type": "history", "room_id": room})).to_string());
    server.restart();
    check(&bob.get(&path).text());

    // Done is done: again is no second event.
    let mut anns = ann.connect();
    let head = || bob.page(room, "limit=1")["last_seq"].clone();
    let before = head();
    anns.ask(json!({"type": "delete", "room_id": room, "seq": said["seq"]}));
    assert_eq!(head(), before);
    // Numbers of messages are not given anew.
    assert_eq!(anns.chat(room, "next")["metadata"]["number"], 2);
}

#[test]
fn an_owner_may_take_back_what_others_said() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let said = bob.connect().chat(room, "rude");
    let answer = ann.connect().ask(json!({"type": "delete", "room_id": room, "seq": said["seq"]}));
    assert_eq!(answer["type"], "ack", "{answer}");
    assert!(!bob.get(&format!("/api/v1/chat/rooms/{room}/messages")).text().contains("rude"));
}

#[test]
fn what_is_no_message_cannot_be_taken_back() {
    let server = Server::start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    let mut anns = ann.connect();
    let first = ann.page(room, "limit=1")["first_seq"].clone();
    assert_eq!(anns.refused(json!({"type": "delete", "room_id": room, "seq": first})), "message_not_found");
}
