//! Who does not read loses its place in the live stream and nothing else; others do not wait, and memory stays bounded.

use std::time::Duration;

use causerie_load::client::Got;
use serde_json::json;

use crate::support::Setup;
use crate::support::socket::{is_event, seq};

#[test]
fn a_reader_that_stops_is_told_to_resume_and_others_do_not_wait() {
    let server =
        Setup::default().set("limits.messages_per_second", 100_000).set("limits.messages_burst", 100_000).start();
    let (ann, bob, eve) = (server.person("ann"), server.person("bob"), server.person("eve"));
    let room = ann.room("Garden", "public");
    bob.join(room);
    eve.join(room);
    let (mut anns, mut bobs, mut slow) = (ann.connect(), bob.connect(), eve.connect());
    let stand = slow.hello["metadata"]["rooms"][0]["last_seq"].as_u64().expect("last_seq");
    let epoch = slow.hello["metadata"]["rooms"][0]["epoch"].clone();
    let before = causerie_load::observe::usage(Some(server.pid())).expect("its memory").rss_bytes;

    // Far more than the kernel's buffers and the outbox hold: 40 MB to one who does not read.
    let text = "x".repeat(4000);
    let mut newest = 0;
    for n in 0..10_000 {
        let id = anns.say(room, &format!("{n:05} {text}"));
        if n % 10 == 9 {
            newest = seq(&anns.answer(id));
            anns.forget();
            // Bob reads along and gets all: he does not wait for Eve.
            while bobs.message(room)["seq"] != json!(newest) {}
            bobs.forget();
        }
    }
    let after = causerie_load::observe::usage(Some(server.pid())).expect("its memory").rss_bytes;
    eprintln!("memory: {} KiB before, {} KiB after 40 MB to a reader that stopped", before / 1024, after / 1024);
    // 40 MB went past it. What stays beside one outbox is the store's page cache (16 MiB here) and the allocator's slack.
    assert!(after < before + 64 * 1024 * 1024, "{before} before, {after} after");

    // Eve reads again: told where she stands, or asked to come back.
    let mut got: Vec<u64> = Vec::new();
    let from = loop {
        match slow.poll(Duration::from_mins(1)) {
            Got::Frame(frame) if is_event(&frame) => got.push(seq(&frame)),
            Got::Frame(frame) if frame["type"] == "resync" => {
                assert_eq!(frame["room_id"], json!(room));
                break frame["metadata"]["position"]["seq"].as_u64().expect("a position");
            }
            Got::Frame(_) => {}
            Got::Closed(code, _) => {
                // Too slow, or silent: who does not read does not answer pings either. Both say: come back and resume.
                assert!(matches!(code, 4503 | 4504), "{code}");
                slow = eve.connect_by_frame(&json!({"hold": true}));
                break got.last().copied().unwrap_or(stand);
            }
            Got::Cut(_) => {
                // Its close frame did not fit into buffers that nobody emptied.
                slow = eve.connect_by_frame(&json!({"hold": true}));
                break got.last().copied().unwrap_or(stand);
            }
            Got::Nothing => panic!("neither resync nor close"),
        }
    };
    assert_eq!(got, (stand + 1..=from).collect::<Vec<_>>(), "up to the position all came, in order, once");
    assert!(from < newest, "40 MB fitted into the outbox?");
    let mut at = from;
    let had = slow.seen.len();
    loop {
        slow.send(&json!({"type": "resume", "metadata": {"rooms": [{"room_id": room, "epoch": epoch, "seq": at}]}}));
        let end = slow.expect("resumed", |f| f["type"] == "resumed" || f["type"] == "reload");
        assert_eq!(end["type"], "resumed", "{end}");
        at = seq(&end);
        if end["metadata"]["more"] != true {
            break;
        }
    }
    let resumed: Vec<u64> = slow.seen[had..].iter().filter(|f| is_event(f)).map(seq).collect();
    assert_eq!(resumed, (from + 1..=newest).collect::<Vec<_>>());
    let shed = server.metric("causerie_shed_total", &[]);
    let closed = server.metric("causerie_connections_closed_total", &["too slow"]);
    assert!(shed > 0.0 || closed > 0.0, "what is shed is counted");
}
