//! A retried send gives the first answer again: on the same connection, another, and after a crash of the server.

use serde_json::json;
use uuid::Uuid;

use crate::support::Server;
use crate::support::socket::{Socket, chat, code};

/// Sends again and waits for the answer to this very send.
fn again(socket: &mut Socket, room: Uuid, id: Uuid, text: &str) -> serde_json::Value {
    let had = socket.seen.len();
    socket.send(&chat(room, id, text));
    socket.fence();
    // The answer may take a look into the store: a later request may be answered first.
    if let Some(frame) = socket.seen[had..].iter().find(|f| f["id"] == json!(id)) {
        return frame.clone();
    }
    socket.expect("the answer", |f| f["id"] == json!(id) && f["type"] != "chat")
}

#[test]
fn the_same_id_gets_the_same_answer_and_another_text_is_refused() {
    let mut server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let mut bobs = bob.connect();
    let id = Uuid::now_v7();
    let mut anns = ann.connect();
    anns.send(&chat(room, id, "once"));
    let first = anns.answer(id);
    assert_eq!(first["type"], "ack", "{first}");

    let check = |answer: &serde_json::Value| {
        assert_eq!(answer["type"], "ack", "{answer}");
        assert_eq!(answer["metadata"]["duplicate"], true, "{answer}");
        for field in ["seq", "message_id", "room_id", "timestamp"] {
            assert_eq!(answer[field], first[field], "{field}: {answer} instead of {first}");
        }
    };
    check(&again(&mut anns, room, id, "once"));
    check(&again(&mut ann.connect(), room, id, "once"));
    assert_eq!(code(&again(&mut anns, room, id, "twice")), "id_reused");
    bobs.chat(room, "a mark");
    anns.expect("the mark", |f| f["type"] == "chat" && f["content"] == "a mark");
    bobs.fence();
    assert_eq!(bobs.messages(room).len(), 1, "delivered once: {:?}", bobs.messages(room));

    server.restart();
    let mut anns = ann.connect();
    check(&again(&mut anns, room, id, "once"));
    assert_eq!(code(&again(&mut anns, room, id, "twice")), "id_reused");
    let page = ann.page(room, "");
    let stored = page["messages"].as_array().expect("messages").iter().filter(|m| m["content"] == "once").count();
    assert_eq!(stored, 1);
}

#[test]
fn an_id_is_its_users_and_its_rooms_own() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let (room, other) = (ann.room("Garden", "public"), ann.room("Shed", "public"));
    bob.join(room);
    let (mut anns, mut bobs) = (ann.connect(), bob.connect());
    let id = Uuid::now_v7();
    for (socket, room, text) in [(&mut anns, room, "ann's"), (&mut bobs, room, "bob's")] {
        let answer = again(socket, room, id, text);
        assert_eq!((&answer["type"], &answer["metadata"]["duplicate"]), (&json!("ack"), &json!(null)), "{answer}");
    }
    let answer = again(&mut anns, other, id, "elsewhere");
    assert_eq!((&answer["type"], &answer["metadata"]["duplicate"]), (&json!("ack"), &json!(null)), "{answer}");
}

#[test]
fn the_same_send_many_times_at_once_is_stored_once() {
    let server = Server::start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    let mut sockets: Vec<_> = (0..6).map(|_| ann.connect()).collect();
    let id = Uuid::now_v7();
    for socket in &mut sockets {
        socket.send(&chat(room, id, "from all"));
    }
    let seqs: Vec<_> = sockets
        .iter_mut()
        .map(|s| s.expect("an ack", |f| f["type"] == "ack" && f["id"] == json!(id))["seq"].clone())
        .collect();
    assert!(seqs.iter().all(|seq| *seq == seqs[0]), "{seqs:?}");
    let page = ann.page(room, "");
    assert_eq!(page["messages"].as_array().expect("messages").iter().filter(|m| m["type"] == "chat").count(), 1);
}
