//! `causerie copy` with the real binary: from the embedded store to ScyllaDB and back, between servers that are used before and after.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use causerie::store::copy::MARK;
use causerie::store::embedded::{Embedded, EmbeddedSettings, MasterKeySource};
use causerie::store::{Backend as _, Write};
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::database;
use super::support::server::without_settings;
use super::support::socket::chat;
use super::support::{Person, Server, Setup};

fn builtin() -> Setup {
    Setup::builtin().set("limits.messages_per_second", 100_000).set("limits.messages_burst", 100_000)
}

const PASSWORD: &str = "correct horse battery staple";

/// `causerie copy` with these words.
fn copy(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_causerie"));
    without_settings(&mut command);
    command.arg("copy").args(words).stdin(Stdio::null()).env("CAUSERIE_STORE__SCYLLA__REPLICATION", "1");
    command.output().expect("causerie copy")
}

fn embedded(dir: &Path) -> String {
    format!("embedded:{}", dir.display())
}

fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn log_in(server: &Server, name: &str) -> Person {
    let answer = server.call("POST", "/api/v1/auth/login", Some(&json!({"username": name, "password": PASSWORD})));
    assert_eq!(answer.status, 200, "{}", answer.text());
    Person::with_answer(server, name, &answer.json())
}

/// Everything that somebody can see of themselves and of these rooms. Presence and the time of the last sign-in are no part of it.
fn seen_by(person: &Person, rooms: &[Uuid]) -> Value {
    let mut me = person.get("/api/v1/users/me").json();
    me.as_object_mut().expect("an object").remove("last_seen");
    let pages: Vec<Value> = rooms.iter().map(|room| person.page(*room, "after=0&limit=100")).collect();
    let participants: Vec<Value> = rooms
        .iter()
        .map(|room| person.get(&format!("/api/v1/chat/rooms/{room}/participants")).json())
        .map(|list| {
            let all = list["participants"].as_array().cloned().unwrap_or_default();
            all.iter().map(|one| json!([one["user_id"], one["role"]])).collect()
        })
        .collect();
    let listed = person.get("/api/v1/chat/rooms").json();
    let listed: Vec<Value> = listed["rooms"].as_array().cloned().unwrap_or_default();
    let listed: Vec<Value> = listed
        .iter()
        .map(|room| json!([room["room_id"], room["name"], room["last_number"], room["read_number"]]))
        .collect();
    json!({"me": me, "pages": pages, "participants": participants, "rooms": listed})
}

#[test]
fn a_server_moves_to_scylla_and_back_with_all_that_it_has() {
    let place = tempfile::tempdir().expect("a folder");
    let (old, new) = (place.path().join("old"), place.path().join("new"));
    let mut server = builtin().data(&old).start();
    let ann = server.sign_up("ann", PASSWORD);
    let bob = server.sign_up("bob", PASSWORD);
    let (public, private) = (ann.room("Garden", "public"), ann.room("Cellar", "private"));
    let direct = ann.room_with(&json!({"type": "direct", "members": [bob.user_id]}));
    bob.join(public);
    ann.add(private, bob.user_id);
    let rooms = [public, private, direct];
    let (mut anns, mut bobs) = (ann.connect(), bob.connect());
    for n in 0..30 {
        anns.chat(rooms[n % 3], &format!("ann's message {n}"));
        bobs.chat(rooms[n % 3], &format!("bob's message {n}"));
    }
    let id = Uuid::now_v7();
    anns.send(&chat(public, id, "sent once"));
    let first = anns.answer(id);
    let gone = anns.chat(public, "taken back");
    let delete = json!({"type": "delete", "room_id": public, "message_id": gone["message_id"]});
    assert_eq!(anns.ask(delete)["type"], "ack");
    let before = [seen_by(&ann, &rooms), seen_by(&bob, &rooms)];
    assert!(before[0]["pages"].to_string().contains("bob's message 29"));

    let keyspace = database::keyspace();
    let scylla = format!("scylla:{}/{keyspace}", database::shared().contact);
    let data_dir = old.display().to_string();
    let forth = ["--from", &embedded(&old), "--to", &scylla, "--data-dir", &data_dir];
    let refused = failed(&copy(&forth));
    assert!(refused.contains("another process"), "a server uses it: {refused}");
    assert!(server.terminate().success());
    let said = succeeded(&copy(&forth));
    assert!(said.contains("2 users, 3 rooms"), "{said}");
    let again = failed(&copy(&forth));
    assert!(again.contains("the target is not empty"), "{again}");

    // The same folder, for the master key and the keys of the tokens; the data are in the keyspace now.
    std::fs::remove_file(old.join("store.redb")).expect("the old data are put aside");
    let mut server = builtin().data(&old).scylla(&database::shared().contact, &keyspace, 1).start();
    let (ann, bob) = (log_in(&server, "ann"), log_in(&server, "bob"));
    assert_eq!([seen_by(&ann, &rooms), seen_by(&bob, &rooms)], before);
    let taken = ann.post("/api/v1/chat/rooms", &json!({"name": "garden", "type": "public"}));
    assert_eq!((taken.status, &taken.json()["code"]), (409, &json!("name_taken")));
    assert_eq!(ann.room_with(&json!({"type": "direct", "members": [bob.user_id]})), direct);
    let mut anns = ann.connect();
    anns.send(&chat(public, id, "sent once"));
    let repeated = anns.answer(id);
    assert_eq!((&repeated["seq"], &repeated["metadata"]["duplicate"]), (&first["seq"], &json!(true)), "{repeated}");
    anns.chat(private, "written in ScyllaDB");
    let middle = seen_by(&ann, &rooms);
    assert!(middle["pages"].to_string().contains("written in ScyllaDB"));

    let back = ["--from", &scylla, "--to", &embedded(&new), "--data-dir", &data_dir];
    let refused = failed(&copy(&back));
    assert!(refused.contains("another process") || refused.contains("uses this keyspace"), "{refused}");
    assert!(server.terminate().success());
    succeeded(&copy(&back));
    let server = builtin().data(&new).start();
    let ann = log_in(&server, "ann");
    assert_eq!(seen_by(&ann, &rooms), middle);
    ann.connect().chat(public, "at home again");
}

#[test]
fn nobody_serves_from_an_unfinished_copy() {
    let place = tempfile::tempdir().expect("a folder");
    let half = place.path().join("half");
    let store = Embedded::open(&half, &MasterKeySource::DataDir, EmbeddedSettings::default()).expect("a store");
    let mark = Write::Setting { name: MARK.to_owned(), value: Some(b"embedded:/somewhere".to_vec()) };
    store.write(vec![mark]).expect("the mark");
    drop(store);
    let output = Command::new(env!("CARGO_BIN_EXE_causerie"))
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
        .arg(&half)
        .current_dir(place.path())
        .output()
        .expect("causerie serve");
    let said = failed(&output);
    assert!(said.contains("unfinished copy of embedded:/somewhere"), "{said}");
}

#[test]
fn strange_places_are_refused_before_anything_is_done() {
    let place = tempfile::tempdir().expect("a folder");
    let (none, other) = (place.path().join("none"), place.path().join("other"));
    let refused = failed(&copy(&["--from", &embedded(&none), "--to", &embedded(&other)]));
    assert!(refused.contains("there is no store.redb"), "{refused}");
    assert!(!none.exists() && !other.exists());
    let wrong = copy(&["--from", "memory:", "--to", &embedded(&other)]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}
