//! Somebody in 500 rooms connects: all of them are told, page after page, and each is subscribed.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::json;

use crate::support::Setup;

#[test]
fn all_rooms_are_told_and_subscribed() {
    let server = Setup::default().set("limits.requests_per_second", 10_000).start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let rooms: Vec<uuid::Uuid> = (0..500)
        .map(|n| ann.room_with(&json!({"name": format!("room {n}"), "type": "private", "members": [bob.user_id]})))
        .collect();

    let since = Instant::now();
    let mut bobs = bob.connect();
    eprintln!(
        "hello of a user in 500 rooms came {:?} after the first byte (debug build, client included)",
        since.elapsed()
    );
    let mut told = BTreeSet::new();
    let mut take = |metadata: &serde_json::Value| {
        for room in metadata["rooms"].as_array().expect("rooms") {
            assert!(told.insert(room["room_id"].as_str().expect("an id").to_owned()), "told twice: {room}");
        }
        metadata["cursor"].clone()
    };
    let hello = bobs.hello["metadata"].clone();
    assert_eq!((&hello["more_rooms"], hello["rooms"].as_array().expect("rooms").len()), (&json!(true), 100));
    let mut cursor = take(&hello);
    while !cursor.is_null() {
        let page = bobs.ask(json!({"type": "rooms", "metadata": {"cursor": cursor}}));
        assert_eq!(page["type"], "rooms", "{page}");
        cursor = take(&page["metadata"]);
    }
    assert_eq!(told, rooms.iter().map(ToString::to_string).collect());

    let mut anns = ann.connect();
    for &room in [&rooms[0], &rooms[250], &rooms[499]] {
        anns.chat(room, "are you here?");
        assert_eq!(bobs.message(room)["content"], "are you here?");
    }
}
