//! Direct rooms: one per pair, made at first use, the same id whoever starts.

use serde_json::json;

use crate::support::Server;

#[test]
fn a_pair_has_one_room_whoever_starts() {
    let mut server = Server::start();
    let (ann, bob, eve) = (server.person("ann"), server.person("bob"), server.person("eve"));
    let from_ann = ann.room_with(&json!({"type": "direct", "members": [bob.user_id]}));
    let from_bob = bob.room_with(&json!({"type": "direct", "members": [ann.user_id]}));
    assert_eq!(from_ann, from_bob);
    assert_ne!(from_ann, ann.room_with(&json!({"type": "direct", "members": [eve.user_id]})));
    assert_eq!(eve.get(&format!("/api/v1/chat/rooms/{from_ann}")).status, 404);

    let (mut anns, mut bobs) = (ann.connect(), bob.connect());
    anns.chat(from_ann, "just us");
    assert_eq!(bobs.message(from_ann)["content"], "just us");
    server.restart();
    assert_eq!(from_ann, bob.room_with(&json!({"type": "direct", "members": [ann.user_id]})));
    assert_eq!(
        bob.page(from_ann, "")["messages"].as_array().expect("messages").last().expect("one")["content"],
        "just us"
    );
}

#[test]
fn a_pair_that_starts_at_the_same_time_has_one_room() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let rooms = std::thread::scope(|scope| {
        let one = scope.spawn(|| ann.room_with(&json!({"type": "direct", "members": [bob.user_id]})));
        let two = scope.spawn(|| bob.room_with(&json!({"type": "direct", "members": [ann.user_id]})));
        [one.join().expect("ann"), two.join().expect("bob")]
    });
    assert_eq!(rooms[0], rooms[1]);
    assert_eq!(ann.get(&format!("/api/v1/chat/rooms/{}", rooms[0])).json()["members"], 2);
}

#[test]
fn a_direct_room_with_nobody_or_too_many_is_refused() {
    let server = Server::start();
    let (ann, bob, eve) = (server.person("ann"), server.person("bob"), server.person("eve"));
    for members in [json!([]), json!([bob.user_id, eve.user_id]), json!([uuid::Uuid::now_v7()])] {
        let answer = ann.post("/api/v1/chat/rooms", &json!({"type": "direct", "members": members}));
        assert!((400..500).contains(&answer.status), "{members}: {}", answer.text());
    }
}
