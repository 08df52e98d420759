//! Rooms: public ones are found and joined, private ones do not exist for who is not in them, names are unique.

use serde_json::json;
use uuid::Uuid;

use crate::support::{Person, Server};

#[test]
fn a_public_room_is_listed_joined_talked_in_and_left() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    let list = bob.get("/api/v1/chat/rooms").json();
    assert!(list["rooms"].as_array().expect("rooms").iter().any(|r| r["room_id"] == json!(room)), "{list}");

    let (mut anns, mut bobs) = (ann.connect(), bob.connect());
    assert_eq!(bobs.refused(json!({"type": "chat", "room_id": room, "content": "let me in"})), "not_member");
    let answer = bobs.ask(json!({"type": "join", "room_id": room}));
    assert_eq!(answer["type"], "ack", "{answer}");
    assert_eq!(answer["metadata"]["room"]["name"], "Garden");
    let joined = anns.expect("the join", |f| f["type"] == "join");
    assert_eq!((&joined["user_id"], &joined["metadata"]["reason"]), (&json!(bob.user_id), &json!("joined")));

    let ack = bobs.chat(room, "hello");
    let message = anns.message(room);
    assert_eq!((&message["content"], &message["user_id"]), (&json!("hello"), &json!(bob.user_id)));
    assert_eq!((&message["seq"], &message["message_id"]), (&ack["seq"], &ack["message_id"]));
    assert_eq!(message["metadata"]["message_type"], "text");

    let answer = bobs.ask(json!({"type": "leave", "room_id": room}));
    assert_eq!(answer["type"], "ack", "{answer}");
    anns.expect("the leave", |f| f["type"] == "leave" && f["user_id"] == json!(bob.user_id));
    anns.chat(room, "now alone");
    bobs.fence();
    assert!(bobs.messages(room).is_empty(), "who left hears nothing: {:?}", bobs.messages(room));
}

/// Everything that can be asked of a room over REST.
fn asked(person: &Person, room: Uuid) -> Vec<(u16, String)> {
    let id = Uuid::now_v7().to_string();
    let base = format!("/api/v1/chat/rooms/{room}");
    let message = json!({"content": "x"});
    let change = json!({"description": "y"});
    let answers = [
        person.get(&base),
        person.call("PATCH", &base, Some(&change)),
        person.call("DELETE", &base, None),
        person.call("POST", &format!("{base}/join"), None),
        person.call("POST", &format!("{base}/leave"), None),
        person.get(&format!("{base}/messages")),
        person.call_with("POST", &format!("{base}/messages"), &[("Idempotency-Key", &id)], Some(&message)),
        person.get(&format!("{base}/participants")),
    ];
    let shown = answers.iter().map(|answer| {
        let mut body = answer.json();
        if let Some(object) = body.as_object_mut() {
            object.retain(|key, _| !matches!(key.as_str(), "instance" | "request_id"));
        }
        (answer.status, body.to_string())
    });
    shown.collect()
}

#[test]
fn a_private_room_answers_a_stranger_as_one_that_does_not_exist() {
    let server = Server::start();
    let (ann, eve) = (server.person("ann"), server.person("eve"));
    let (room, nowhere) = (ann.room("Secret council", "private"), Uuid::now_v7());
    ann.connect().chat(room, "between us");

    let (there, not_there) = (asked(&eve, room), asked(&eve, nowhere));
    assert_eq!(there, not_there);
    assert!(there.iter().all(|(status, _)| *status == 404), "{there:?}");
    let list = eve.get("/api/v1/chat/rooms").text();
    assert!(!list.contains(&room.to_string()) && !list.contains("Secret"), "{list}");

    let mut socket = eve.connect();
    for frame in [
        json!({"type": "chat", "content": "x"}),
        json!({"type": "join"}),
        json!({"type": "leave"}),
        json!({"type": "history"}),
        json!({"type": "typing", "metadata": {"active": true}}),
        json!({"type": "read", "seq": 1}),
        json!({"type": "delete", "seq": 1}),
    ] {
        let mut ask = |room: Uuid| {
            let mut frame = frame.clone();
            frame["room_id"] = json!(room);
            let answer = socket.ask(frame);
            assert_eq!(answer["type"], "error", "{answer}");
            (answer["content"].clone(), answer["metadata"].clone())
        };
        assert_eq!(ask(room), ask(nowhere), "{frame}");
    }
    let places = json!([{"room_id": room, "epoch": 1, "seq": 0}, {"room_id": nowhere, "epoch": 1, "seq": 0}]);
    socket.send(&json!({"type": "resume", "metadata": {"rooms": places}}));
    let reasons: Vec<_> =
        (0..2).map(|_| socket.expect("reload", |f| f["type"] == "reload")["metadata"]["reason"].clone()).collect();
    assert_eq!(reasons[0], reasons[1]);
    socket.send(&json!({"type": "presence", "metadata": {"watch": [room]}}));
    socket.fence();
    let told = socket.seen.iter().filter(|f| f["room_id"] == json!(room) && f["type"] == "presence").count();
    assert_eq!(told, 0, "a stranger learns nothing of who is there");
}

#[test]
fn names_of_rooms_are_unique_in_the_whole_application_and_free_again() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Council", "private");
    for name in ["Council", "council", "  COUNCIL ", "Ｃouncil"] {
        let taken = bob.post("/api/v1/chat/rooms", &json!({"name": name, "type": "public"}));
        assert_eq!((taken.status, taken.json()["code"].clone()), (409, json!("name_taken")), "{name:?}");
    }
    let renamed = ann.call("PATCH", &format!("/api/v1/chat/rooms/{room}"), Some(&json!({"name": "Parliament"})));
    assert_eq!(renamed.status, 200, "{}", renamed.text());
    let free = bob.room("Council", "public");
    let removed = bob.call("DELETE", &format!("/api/v1/chat/rooms/{free}"), None);
    assert!(matches!(removed.status, 200 | 204), "{}", removed.text());
    assert_eq!(bob.get(&format!("/api/v1/chat/rooms/{free}")).status, 404);
    bob.room("Council", "private");
}

#[test]
fn of_two_who_take_a_name_at_the_same_time_one_gets_it() {
    let server = Server::start();
    let people: Vec<Person> = (0..8).map(|n| server.person(&format!("p{n}"))).collect();
    for round in 0..5 {
        let made = std::thread::scope(|scope| {
            let threads: Vec<_> = people
                .iter()
                .map(|person| {
                    let body = json!({"name": format!("race {round}"), "type": "public"});
                    scope.spawn(move || person.post("/api/v1/chat/rooms", &body).status)
                })
                .collect();
            threads.into_iter().map(|t| t.join().expect("a thread")).filter(|status| *status == 201).count()
        });
        assert_eq!(made, 1, "round {round}");
    }
}

#[test]
fn who_was_brought_into_a_private_room_hears_of_it_and_reads_from_there_on() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let mut bobs = bob.connect();
    let room = ann.room_with(&json!({"name": "Two of us", "type": "private", "members": [bob.user_id]}));
    let added = bobs.expect("the user stream", |f| f["type"] == "stream" && f["room_id"] == json!(room));
    assert_eq!(added["metadata"]["event"], "added");
    let mut anns = ann.connect();
    anns.chat(room, "welcome");
    assert_eq!(bobs.message(room)["content"], "welcome");
    assert_eq!(bob.get(&format!("/api/v1/chat/rooms/{room}")).json()["name"], "Two of us");
}

#[test]
fn rooms_survive_a_restart() {
    let mut server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    server.restart();
    let entry = bob.get(&format!("/api/v1/chat/rooms/{room}")).json();
    assert_eq!((&entry["name"], &entry["members"], &entry["role"]), (&json!("Garden"), &json!(2), &json!("member")));
    let hello = bob.connect().hello;
    assert_eq!(hello["metadata"]["rooms"][0]["room_id"], json!(room));
}
