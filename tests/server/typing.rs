//! Typing marks reach the others in the room, are never stored, and expire by themselves.

use serde_json::json;

use crate::support::Server;

#[test]
fn a_typing_mark_is_told_and_ends_by_itself() {
    let server = Server::start();
    let (ann, bob) = (server.person("ann"), server.person("bob"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    let (mut anns, mut bobs) = (ann.connect(), bob.connect());
    let before = ann.page(room, "limit=1")["last_seq"].clone();
    anns.send(&json!({"type": "typing", "room_id": room, "metadata": {"active": true}}));
    let on = bobs.expect("typing", |f| f["type"] == "typing");
    assert_eq!((&on["user_id"], &on["metadata"]["active"]), (&json!(ann.user_id), &json!(true)));
    let off = bobs.expect("its end", |f| f["type"] == "typing");
    assert_eq!((&off["user_id"], &off["metadata"]["active"]), (&json!(ann.user_id), &json!(false)));
    anns.fence();
    assert!(!anns.seen.iter().any(|f| f["type"] == "typing"), "one does not hear of one's own");
    assert_eq!(ann.page(room, "limit=1")["last_seq"], before, "never stored");
}
