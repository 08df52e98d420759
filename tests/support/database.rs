//! Apache Cassandra for the tests, in ScyllaDB's place: one node for all tests of a run, or nodes of a test's own (`scripts/cassandra`).
//!
//! The node for all is started by whoever asks first, in whichever process, exactly once; `make test` asks while it still builds. It is held
//! by a lock on a file, which the kernel lets go when a process ends in whatever way; half a minute after the last one it is ended and its
//! data are removed. A test takes a keyspace of its own in it, and removes it. Nodes of a test's own end with the test, and at the
//! latest with its process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use causerie::store::scylla::{self, ScyllaSettings};
use tempfile::TempDir;
use uuid::Uuid;

/// The node that all tests share.
#[derive(Debug)]
pub struct Shared {
    /// `address:port` of the node.
    pub contact: String,
    /// Held while this process lives.
    _users: File,
}

/// The node for all tests; starts it if it does not run.
///
/// # Panics
/// When there is no database to be had: the text says what to install.
pub fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let folder = root().join(".cache/database");
        std::fs::create_dir_all(root().join(".cache")).expect("a folder");
        let users = File::options().append(true).create(true).open(folder.with_extension("users")).expect("a file");
        users.lock_shared().expect("a lock");
        let contact = script(&["shared", &folder.to_string_lossy()]);
        Shared { contact: contact.trim().to_owned(), _users: users }
    })
}

/// Has the shared node write its memory out; gives the folders of a keyspace and of the log.
pub fn flushed(keyspace: &str) -> [PathBuf; 2] {
    let folder = root().join(".cache/database");
    script(&["flush", &folder.to_string_lossy()]);
    [folder.join("node1/data").join(keyspace), folder.join("node1/commitlog")]
}

/// Removes a keyspace from the shared node: so many tables take memory that it cannot hold those of every test.
pub fn forget(keyspace: &str) {
    let settings = ScyllaSettings {
        nodes: vec![shared().contact.clone()],
        keyspace: keyspace.to_owned(),
        request_timeout: Duration::from_secs(30),
        ..ScyllaSettings::default()
    };
    if let Err(failure) = scylla::drop_keyspace(&settings) {
        eprintln!("the keyspace {keyspace} stays: {failure}");
    }
}

/// The name of a keyspace that nobody has.
pub fn keyspace() -> String {
    format!("t{}", Uuid::new_v4().simple())
}

/// Nodes of a test's own.
#[derive(Debug)]
pub struct Nodes {
    folder: TempDir,
    /// `address:port` of each.
    pub contacts: Vec<String>,
    /// What the nodes tell drivers instead (`--proxied`): where a proxy goes.
    pub advertised: Vec<String>,
}

impl Nodes {
    /// Starts them with options of `scripts/cassandra start`.
    pub fn start(options: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("causerie-nodes-").tempdir().expect("a folder");
        let place = folder.path().to_string_lossy().into_owned();
        let owner = std::process::id().to_string();
        let mut words = vec!["start", place.as_str(), "--owner", owner.as_str()];
        words.extend(options);
        script(&words);
        let lines = |name: &str| {
            let text = std::fs::read_to_string(folder.path().join(name)).expect("what the script wrote");
            text.lines().map(str::to_owned).collect()
        };
        Self { contacts: lines("contact"), advertised: lines("advertised"), folder }
    }

    /// Where they keep everything: `node1` …, `tls`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A verb of `scripts/cassandra` for one node, from 1 on: `kill`, `up`, `down`, `pause`, `resume`, `flush`.
    pub fn node(&self, number: usize, verb: &str) {
        script(&[verb, &self.folder.path().to_string_lossy(), &number.to_string()]);
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for n in 1..=self.contacts.len() {
                let log = std::fs::read_to_string(self.folder.path().join(format!("node{n}/log"))).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(15).collect();
                eprintln!("--- the log of database node {n}, its end:");
                tail.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
        let _ = command(&["stop", &self.folder.path().to_string_lossy()]).status();
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(root().join("scripts/cassandra"));
    command.args(words).stdin(Stdio::null()).stderr(Stdio::inherit());
    command
}

fn script(words: &[&str]) -> String {
    let output = command(words).output().expect("scripts/cassandra");
    assert!(output.status.success(), "scripts/cassandra {} failed; see above", words.join(" "));
    String::from_utf8(output.stdout).expect("text")
}
