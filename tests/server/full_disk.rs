//! A full disk: sends are refused with `storage_unavailable`, reads go on, and it recovers by itself when there is space.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use uuid::Uuid;

use crate::support::socket::{chat, code};
use crate::support::{Setup, eventually};

/// A small file system of its own; taken away at the end.
struct Small(PathBuf);

impl Small {
    /// `None` where one may not mount.
    fn new(place: &Path, mebibytes: u32) -> Option<Self> {
        fs::create_dir_all(place).expect("a folder");
        let size = format!("size={mebibytes}m");
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "causerie-test"]).arg(place).output().ok()?;
        done.status.success().then(|| Self(place.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn sends_are_refused_reads_go_on_and_it_recovers() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(small) = Small::new(&folder.path().join("small"), 24) else {
        eprintln!("not run: a small file system cannot be mounted here (needs root)");
        return;
    };
    let ballast = small.0.join("ballast");
    let mut server = Setup::default()
        .data(&small.0.join("data"))
        .set("limits.messages_per_second", 100_000)
        .set("limits.messages_burst", 100_000)
        .start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    let mut anns = ann.connect();
    let first = anns.chat(room, "before");

    // All that is left is taken away, byte by byte at the end.
    let mut file = fs::File::create(&ballast).expect("a file");
    for size in [1 << 20, 1 << 12, 1] {
        while std::io::Write::write_all(&mut file, &vec![0; size]).is_ok() {}
    }
    let text = "x".repeat(4000);
    let mut acked = vec![first["seq"].as_u64().expect("a seq")];
    let (id, refused) = (0..5000)
        .find_map(|_| {
            let id = Uuid::now_v7();
            anns.send(&chat(room, id, &text));
            let answer = anns.answer(id);
            anns.forget();
            if answer["type"] == "ack" {
                acked.push(answer["seq"].as_u64().expect("a seq"));
                return None;
            }
            Some((id, answer))
        })
        .expect("20 MB fit where there is no space");
    assert_eq!(code(&refused), "storage_unavailable", "{refused}");
    assert!(refused["metadata"]["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0), "{refused}");

    let page = ann.page(room, "after=0&limit=3");
    assert!(page["messages"].to_string().contains("before"), "reads go on: {page}");
    assert_eq!(anns.ask(json!({"type": "history", "room_id": room}))["type"], "history");

    drop(file);
    fs::remove_file(&ballast).expect("removed");
    // The same id, as the advice says, until there is space.
    let ack = eventually("a send after there is space", || {
        let had = anns.seen.len();
        anns.send(&chat(room, id, &text));
        let answer = anns.expect("an answer", |f| f["id"] == json!(id));
        crate::support::wait_out(std::time::Duration::from_millis(100));
        anns.seen[had..].iter().any(|f| f["type"] == "ack").then_some(answer)
    });
    acked.push(ack["seq"].as_u64().expect("a seq"));
    let after = anns.chat(room, "after");
    acked.push(after["seq"].as_u64().expect("a seq"));

    let check = |ann: &crate::support::Person| {
        let log = causerie_load::run::read_log(&mut ann.http(), &ann.token, room).expect("the log");
        for seq in &acked {
            assert!(log.entries.iter().any(|e| e.seq == *seq), "acked {seq} is gone");
        }
        let dense = log.entries.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1);
        assert!(dense, "the log has a hole: {:?}", log.entries);
    };
    check(&ann);
    server.restart();
    check(&ann);
}
