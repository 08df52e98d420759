//! Nothing readable at rest: a planted sentence is found nowhere in the data directory, nor in the log.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::{Server, Setup};

/// Texts that must not be found, each its own word.
const TEXT: &str = "PlantedSentenceAlpha7731";
const META: &str = "PlantedMetadataBravo7732";
const PRIVATE: &str = "PlantedRoomCharlie7733";
const DISPLAY: &str = "PlantedDisplayDelta7734";
const DESCRIPTION: &str = "PlantedDescriptionEcho7735";

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten().map(|e| e.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn holds(bytes: &[u8], word: &str) -> bool {
    let utf16: Vec<u8> = word.encode_utf16().flat_map(u16::to_le_bytes).collect();
    [word.as_bytes(), &utf16, word.to_lowercase().as_bytes()]
        .iter()
        .any(|w| bytes.windows(w.len()).any(|part| part == *w))
}

fn nowhere(server: &Server, words: &[&str]) {
    let mut looked = 0;
    for path in server.places().iter().flat_map(|place| files(place)) {
        let bytes = match fs::read(&path) {
            // The database puts its files together while we look: what is gone stands in another one.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !path.starts_with(&server.data) => continue,
            other => other.expect("a file"),
        };
        looked += bytes.len();
        for word in words {
            assert!(!holds(&bytes, word), "{word} stands in {}", path.display());
        }
    }
    for place in server.places() {
        assert!(!files(&place).is_empty(), "nothing is kept in {}", place.display());
    }
    assert!(looked > 10_000, "only {looked} bytes were found to look through");
    for word in words {
        assert!(!holds(server.log().as_bytes(), word), "{word} stands in the log");
    }
}

#[test]
fn what_was_said_is_nowhere_to_be_read() {
    let mut server = Setup::builtin().set("log.level", "trace").start();
    let body = json!({"username": "ann", "password": "correct horse battery", "display_name": DISPLAY});
    let answer = server.call("POST", "/api/v1/auth/signup", Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let ann = crate::support::Person::with_answer(&server, "ann", &answer.json());
    let room = ann.room_with(&json!({"name": PRIVATE, "type": "private", "description": DESCRIPTION}));
    let mut socket = ann.connect();
    let answer = socket.ask(json!({"type": "chat", "room_id": room, "content": TEXT, "metadata": {"note": META}}));
    assert_eq!(answer["type"], "ack", "{answer}");
    let tokens = [ann.token.as_str(), ann.refresh.as_deref().expect("a token"), "correct horse battery"];
    let words: Vec<&str> = [TEXT, META, PRIVATE, DISPLAY, DESCRIPTION].into_iter().chain(tokens).collect();
    nowhere(&server, &words);
    assert_eq!(server.terminate().code(), Some(0));
    nowhere(&server, &words);
    server.restart();
    assert_eq!(ann.page(room, "limit=1")["messages"][0]["content"], TEXT);
}

#[test]
fn the_search_finds_what_is_there() {
    assert!(holds(b"xx PlantedSentenceAlpha7731 xx", TEXT));
    assert!(!holds(b"xx PlantedSentenceAlpha77 31", TEXT));
}

#[test]
fn the_data_folder_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::start();
    for path in files(&server.data).into_iter().chain([server.data.clone()]) {
        let mode = fs::metadata(&path).expect("metadata").permissions().mode();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Nothing for group and others. A certificate is no secret.
        assert!(mode.trailing_zeros() >= 6 || name.contains("cert"), "{}: {mode:o}", path.display());
    }
}
