//! One busy room does not hold up another, and one who asks for much does not hold up who asks for little.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::Setup;

#[test]
fn a_flooded_room_and_long_pages_do_not_stop_a_quiet_room() {
    let server = Setup::default()
        .shards(1) // the worst case: all on one shard
        .set("limits.messages_per_second", 100_000)
        .set("limits.messages_burst", 100_000)
        .set("limits.requests_per_second", 100_000)
        .start();
    let (ann, bob, eve) = (server.person("ann"), server.person("bob"), server.person("eve"));
    let (busy, quiet) = (eve.room("Busy", "public"), ann.room("Quiet", "public"));
    bob.join(quiet);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut eves = eve.connect();
            let text = "x".repeat(2000);
            while !stop.load(Ordering::Relaxed) {
                let ids: Vec<_> = (0..200).map(|_| eves.say(busy, &text)).collect();
                for id in ids {
                    eves.answer(id);
                }
                for _ in 0..10 {
                    eves.ask(json!({"type": "history", "room_id": busy, "metadata": {"limit": 100}}));
                }
                eves.forget();
            }
        });
        let (mut anns, mut bobs) = (ann.connect(), bob.connect());
        let mut slowest = std::time::Duration::ZERO;
        for n in 0..50 {
            let since = std::time::Instant::now();
            anns.chat(quiet, &format!("quiet {n}"));
            assert_eq!(bobs.message(quiet)["content"], format!("quiet {n}"));
            slowest = slowest.max(since.elapsed());
        }
        eprintln!("slowest of 50 messages in the quiet room: {slowest:?}");
        stop.store(true, Ordering::Relaxed);
    });
}
