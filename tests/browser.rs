//! Chromium against the real binary with the web client in it: what people do, what a lost network does to them, what nobody may do.
//!
//! Each test runs one file of `tests/browser` with Node, which starts servers and browsers of its own and cleans up after itself; what it says
//! is shown when it fails. The files can be run alone too: `CAUSERIE_BIN=target/debug/causerie node --test tests/browser/talk.test.mjs`.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

#[allow(dead_code)] // the browser uses its part
#[path = "support/database.rs"]
mod database;

/// One browser at a time: several of them on a small machine measure the machine.
static TURN: Mutex<()> = Mutex::new(());

#[track_caller]
fn run(name: &str, settings: &[(&str, &str)]) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pack = std::fs::metadata(root.join("target/web/client.pack")).map_or(0, |pack| pack.len());
    assert!(pack > 0, "the web client is not built into the server: run scripts/setup test, then cargo again");
    let done = Command::new("node")
        // A test that fails may leave a server or a proxy: that must end with it.
        .args(["--test", "--test-force-exit", "--test-reporter=spec"])
        .arg(root.join("tests/browser").join(name))
        .env("CAUSERIE_BIN", env!("CARGO_BIN_EXE_causerie"))
        .envs(settings.iter().copied())
        .output()
        .expect("node can be run: see scripts/setup test");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{name}:\n{said}\n{}", String::from_utf8_lossy(&done.stderr));
}

macro_rules! files {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// Its name lets other runs leave these tests out (`--skip in_the_browser::`).
        mod in_the_browser {
            $($(#[$doc])* #[test] fn $name() { super::run(concat!(stringify!($name), ".test.mjs"), &[]); })*
        }

        #[test]
        fn every_file_is_run() {
            let listed = [$(concat!(stringify!($name), ".test.mjs")),*];
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
            for entry in std::fs::read_dir(folder).expect("the folder").flatten() {
                let name = entry.file_name().into_string().expect("a name");
                assert!(!name.ends_with(".test.mjs") || listed.contains(&name.as_str()), "{name} is not listed here");
            }
        }
    };
}

files! {
    devices;
    hostile;
    long;
    network;
    notify;
    offline;
    page;
    reach;
    session;
    talk;
}

/// The same on ScyllaDB's store: talking, and what a killed server kept.
mod on_scylla_in_the_browser {
    use super::database;

    fn run(name: &str) {
        let keyspace = database::keyspace();
        let settings = [("TEST_NODES", database::shared().contact.as_str()), ("TEST_KEYSPACE", keyspace.as_str())];
        super::run(name, &settings);
        database::forget(&keyspace);
    }

    #[test]
    fn talk() {
        run("talk.test.mjs");
    }

    #[test]
    fn offline() {
        run("offline.test.mjs");
    }
}

/// What no fake can promise: the model of the web client over real sockets, without a browser.
#[test]
fn the_model_of_the_client_and_the_real_server() {
    let done = Command::new("node")
        .args(["node_modules/vitest/vitest.mjs", "run", "--reporter=verbose", "tests/live"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("web"))
        .env("CAUSERIE_BIN", env!("CARGO_BIN_EXE_causerie"))
        .env("NO_COLOR", "1")
        .output()
        .expect("node can be run: see scripts/setup test");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains(" passed") && !said.contains("skipped"), "it did not run:\n{said}");
}
