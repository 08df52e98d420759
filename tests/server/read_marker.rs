//! The read marker moves forward only, counts messages, and is told to the reader's other devices.

use serde_json::json;

use crate::support::Server;

#[test]
fn the_marker_is_kept_and_told_to_other_devices() {
    let mut server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room); // an event that is no message, so that seq and number differ
    let mut anns = ann.connect();
    let acks: Vec<_> = (0..5).map(|n| anns.chat(room, &format!("message {n}"))).collect();
    assert_eq!(acks[0]["metadata"]["number"], 1);

    let (mut phone, mut desk) = (bob.connect(), bob.connect());
    let entry = |socket: &crate::support::Socket| socket.hello["metadata"]["rooms"][0].clone();
    assert_eq!((&entry(&phone)["read_number"], &entry(&phone)["last_number"]), (&json!(0), &json!(5)));
    let answer = phone.ask(json!({"type": "read", "room_id": room, "seq": acks[2]["seq"]}));
    assert_eq!(answer["type"], "ack", "{answer}");
    let told = desk.expect("the stream", |f| f["type"] == "stream" && f["metadata"]["event"] == "read");
    assert_eq!((&told["room_id"], &told["metadata"]["number"]), (&json!(room), &json!(3)));

    // Backwards it does not move.
    phone.ask(json!({"type": "read", "room_id": room, "seq": acks[0]["seq"]}));
    assert_eq!(entry(&bob.connect())["read_number"], 3);
    server.restart();
    assert_eq!(entry(&bob.connect())["read_number"], 3);
    // It is the reader's own: the others' markers stand where they stood.
    assert_ne!(entry(&ann.connect())["read_number"], 3);
}
