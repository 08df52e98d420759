//! A database that wants to know who asks and says nothing in the clear: certificates on both sides, user and password, and the bundle that
//! a hosted database gives out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use super::support::database::{self, Nodes};
use super::support::server::without_settings;
use super::support::{Server, Setup};

/// The node, and what a client needs for it.
struct Guarded {
    nodes: Nodes,
    keyspace: String,
}

/// `(key, value)` of `[store.scylla]`.
type Keys = Vec<(&'static str, String)>;

impl Guarded {
    fn file(&self, name: &str) -> String {
        self.nodes.folder().join("tls").join(name).to_string_lossy().into_owned()
    }

    /// All that is right.
    fn keys(&self) -> Keys {
        vec![
            ("nodes", self.nodes.contacts[0].clone()),
            ("user", "cassandra".to_owned()),
            ("password", "cassandra".to_owned()),
            ("tls_ca", self.file("ca.pem")),
            ("tls_cert", self.file("client.pem")),
            ("tls_key", self.file("client.key")),
        ]
    }

    /// `causerie migrate status`, with these keys and nothing else.
    fn status(&self, keys: &Keys) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_causerie"));
        without_settings(&mut command);
        command.args(["migrate", "status"]).env("CAUSERIE_STORE__KIND", "scylla");
        command.env("CAUSERIE_STORE__SCYLLA__KEYSPACE", &self.keyspace);
        for (key, value) in keys {
            command.env(format!("CAUSERIE_STORE__SCYLLA__{}", key.to_uppercase()), value);
        }
        command.output().expect("the command")
    }

    fn server(&self, keys: &Keys) -> Server {
        let setup = Setup::default().scylla(&self.nodes.contacts[0], &self.keyspace, 1);
        keys.iter().fold(setup, |setup, (key, value)| setup.set(&format!("store.scylla.{key}"), value)).start()
    }

    /// The folder of a secure connection bundle, unpacked.
    fn bundle(&self, place: &Path) -> PathBuf {
        let folder = place.join("bundle");
        fs::create_dir(&folder).expect("a folder");
        for (from, to) in [("ca.pem", "ca.crt"), ("client.pem", "cert"), ("client.key", "key")] {
            fs::copy(self.file(from), folder.join(to)).expect("copied");
        }
        let (host, port) = self.nodes.contacts[0].rsplit_once(':').expect("host:port");
        let says = json!({"host": host, "cql_port": port.parse::<u16>().expect("a port"), "keyspace": self.keyspace,
            "username": "cassandra", "password": "cassandra"});
        fs::write(folder.join("config.json"), says.to_string()).expect("written");
        folder
    }
}

fn without(keys: &Keys, names: &[&str]) -> Keys {
    keys.iter().filter(|(key, _)| !names.contains(key)).cloned().collect()
}

fn with(keys: &Keys, name: &'static str, value: String) -> Keys {
    let mut keys = without(keys, &[name]);
    keys.push((name, value));
    keys
}

fn refused(output: &Output, words: &str) {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(matches!(output.status.code(), Some(1 | 2)), "{said}");
    assert!(said.contains(words), "{words:?} in: {said}");
}

#[test]
fn who_shows_certificate_and_password_is_let_in_and_nobody_else() {
    let guarded = Guarded { nodes: Nodes::start(&["--tls", "--password"]), keyspace: database::keyspace() };
    let keys = guarded.keys();

    // A conversation, and it is still there for a server that starts anew.
    let mut server = guarded.server(&keys);
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    ann.connect().chat(room, "only the two of us");
    server.restart();
    assert!(ann.page(room, "limit=5")["messages"].to_string().contains("only the two of us"));
    server.terminate();

    // Each of the things that are needed is missing or wrong once. What is said names what to look at.
    let wrong = |keys: Keys, words: &str| refused(&guarded.status(&keys), words);
    wrong(with(&keys, "password", "guessed".to_owned()), "store.scylla.password is wrong");
    wrong(without(&keys, &["user", "password"]), "set store.scylla.user and store.scylla.password");
    wrong(without(&keys, &["tls_cert", "tls_key"]), "set store.scylla.tls_cert and store.scylla.tls_key");
    wrong(with(&keys, "tls_ca", guarded.file("client.pem")), "store.scylla.tls_ca is not who signed its certificate");
    wrong(without(&keys, &["tls_ca", "tls_cert", "tls_key"]), "if it wants TLS, set store.scylla.tls_ca");
    wrong(with(&keys, "tls_ca", "/nowhere/ca.pem".to_owned()), "/nowhere/ca.pem");
    // And the other way round: TLS, where nobody speaks it.
    let plain = with(&keys, "nodes", database::shared().contact.clone());
    wrong(plain, "it does not speak TLS there");

    // The bundle holds all of it, the names of nodes and keyspace too.
    let place = tempfile::tempdir().expect("a folder");
    let bundle = guarded.bundle(place.path());
    let output = guarded.status(&vec![("bundle", bundle.to_string_lossy().into_owned())]);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("applied 001_chat.cql"), "{said}");
}
