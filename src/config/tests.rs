//! What the settings promise: order of sources, every problem told by key, nothing unknown passed over, no secret shown.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::check::{from_text, known_keys};
use super::settings::{AuthMode, KeyId, MasterKey};
use super::{Flags, Problems, Raw, Settings, Source, load};
use crate::base::limits::Limits;

fn problems(text: &str) -> Vec<String> {
    from_text(text).map_or_else(|p| p.iter().map(|p| format!("{}: {}", p.key, p.says)).collect(), |_| Vec::new())
}

#[track_caller]
fn one_problem(text: &str, key: &str, part: &str) {
    let found = problems(text);
    assert!(matches!(&found[..], [one] if one.starts_with(&format!("{key}: ")) && one.contains(part)), "{found:#?}");
}

#[test]
fn nothing_written_is_fine_and_gives_the_defaults_of_the_design() {
    let settings = from_text("").unwrap();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8443");
    assert_eq!(settings.server.admin_listen.to_string(), "127.0.0.1:9443");
    assert_eq!((settings.server.shards, settings.retention_days), (None, Some(90)));
    assert_eq!(settings.limits, Limits::default());
    assert_eq!(settings.auth.mode, AuthMode::Builtin);
    assert_eq!(settings, Settings::default());
}

#[test]
fn flags_go_before_environment_before_file_before_default() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "[server]\nlisten = \"127.0.0.1:1\"\nadmin_listen = \"127.0.0.1:2\"\nshards = 3\n").unwrap();
    let environment = [("CAUSERIE_SERVER__LISTEN", "127.0.0.1:4"), ("CAUSERIE_SERVER__SHARDS", "5")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let flags = Flags { shards: Some("6".to_owned()), ..Flags::default() };
    let settings = load(Some(file.path()), environment, &flags).unwrap();
    assert_eq!(settings.server.shards, Some(6), "the flag");
    assert_eq!(settings.server.listen.port(), 4, "the environment");
    assert_eq!(settings.server.admin_listen.port(), 2, "the file");
    assert_eq!(settings.data_dir, PathBuf::from("data"), "the default");
}

#[test]
fn every_key_can_be_set_by_its_environment_variable() {
    for key in known_keys() {
        let mut found = Problems::default();
        let mut raw = Raw::default();
        // No key takes this text for a value without a problem, or it is one that takes any text.
        let name = super::raw::variable(&key);
        raw.read_environment([(name.clone(), "\u{1}".to_owned())], &known_keys(), &mut found);
        let entry = raw.get(&key).unwrap_or_else(|| panic!("{name} does not reach {key}"));
        assert_eq!(entry.source, Source::Environment(name));
    }
}

#[test]
fn go42_is_set_up_from_the_environment_alone() {
    let environment = [
        ("CAUSERIE_AUTH__MODE", "external"),
        ("CAUSERIE_AUTH__EXTERNAL__ALGORITHMS", "HS256"),
        ("CAUSERIE_AUTH__EXTERNAL__SECRETS", "the newest secret of all, the second newest one"),
        ("CAUSERIE_AUTH__EXTERNAL__ISSUER", "go42"),
        ("CAUSERIE_AUTH__EXTERNAL__AUDIENCE", "go42"),
        ("CAUSERIE_AUTH__EXTERNAL__KEY_ID", "claim_sha256"),
        ("CAUSERIE_PORT", "tcp://10.0.0.1:80"),
        ("PATH", "/bin"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = load(None, environment, &Flags::default()).unwrap();
    let AuthMode::External(external) = settings.auth.mode else { panic!("not external") };
    assert_eq!(
        external.secrets.iter().map(|s| s.0.as_str()).collect::<Vec<_>>(),
        ["the newest secret of all", "the second newest one"]
    );
    assert_eq!((external.audience, external.key_id), (vec!["go42".to_owned()], KeyId::ClaimSha256));
}

#[test]
fn wrong_names_in_the_environment_are_told_with_a_hint() {
    let environment = [("CAUSERIE_SERVER__LISEN", "x"), ("CAUSERIE_SERVER_LISTEN", "x"), ("CAUSERIE_NO__SUCH", "x")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let told = load(None, environment, &Flags::default()).unwrap_err().to_string();
    assert!(
        told.contains(
            "CAUSERIE_SERVER__LISEN: there is no setting server.lisen, did you mean CAUSERIE_SERVER__LISTEN?"
        ),
        "{told}"
    );
    assert!(told.contains("CAUSERIE_SERVER_LISTEN: sets nothing: write CAUSERIE_SERVER__LISTEN"), "{told}");
    assert!(told.contains("CAUSERIE_NO__SUCH: there is no setting no.such"), "{told}");
}

#[test]
fn every_problem_is_told_at_once_by_key() {
    let found = problems(
        "colour = 1\n[server]\nlisten = \"here\"\nshards = -1\ncores = [\"a\"]\norigins = [\"https://a.example/x\"]\n\
         [tls]\ncert = \"c.pem\"\n[limits]\nmessages_per_second = \"10\"\n[store]\nkind = \"scylla\"\n\
         [log]\nlevel = \"causerie=loud\"\nformat = \"xml\"\n[test]\necho = 1\n",
    );
    let keys: Vec<&str> = found.iter().filter_map(|p| p.split(": ").next()).collect();
    assert_eq!(
        keys,
        [
            "colour",
            "limits.messages_per_second",
            "log.format",
            "log.level",
            "server.cores",
            "server.listen",
            "server.origins",
            "server.shards",
            "store.scylla.nodes",
            "test.echo",
            "tls.key"
        ]
    );
}

#[test]
fn what_is_wrong_with_the_database_is_told() {
    let scylla = |text: &str| format!("[store]\nkind = \"scylla\"\n[store.scylla]\nnodes = [\"a:9042\"]\n{text}");
    assert_eq!(problems(&scylla("")), [""; 0]);
    for (text, key, part) in [
        ("keyspace = \"A\"", "keyspace", "cannot be a keyspace"),
        ("replication = [\"dc1:0\"]", "replication", "neither a number"),
        ("replication = [\"3\", \"dc1:3\"]", "replication", "either one number"),
        ("consistency = \"some\"", "consistency", "local_quorum"),
        ("table_consistency = [\"chat_cursors\"]", "table_consistency", "table=consistency"),
        ("user = \"a\"", "password", "is missing"),
        ("password = \"a\"", "user", "is missing"),
        ("tls_cert = \"c\"", "tls_key", "is missing"),
        ("give_up_ms = 1000", "give_up_ms", "at least"),
        ("lease_ms = 1000", "lease_ms", "at least twice"),
    ] {
        one_problem(&scylla(text), &format!("store.scylla.{key}"), part);
    }
    one_problem("[store.scylla]\nnodes = [\"a\"]", "store.scylla.nodes", "host:port");
    let settings =
        from_text(&scylla("replication = [\"dc1:3\", \"dc2:2\"]\nuser = \"u\"\npassword = \"secret\"")).unwrap();
    let found = settings.store.scylla;
    assert_eq!(found.replication, [(Some("dc1".to_owned()), 3), (Some("dc2".to_owned()), 2)]);
    assert!(!format!("{found:?}").contains("secret"));
}

#[test]
fn what_does_not_fit_together_is_told() {
    one_problem("server = { listen = \"127.0.0.1:9443\" }", "server.admin_listen", "another port");
    one_problem("server = { admin_listen = \"0.0.0.0:9443\" }", "server.admin_listen", "open to others");
    one_problem("server = { shards = 3, cores = [0, 1] }", "server.shards", "names 2");
    one_problem("server = { cores = [1, 1] }", "server.cores", "twice");
    one_problem("limits = { messages_burst = 1 }", "limits.messages_burst", "at least");
    one_problem(
        "limits = { outbox_budget_bytes = 1_048_576, outbox_bytes = 2_000_000 }",
        "limits.outbox_budget_bytes",
        "at least",
    );
    one_problem("limits = { connections_per_user = 20_000 }", "limits.connections_per_user", "cannot be more");
    one_problem("[server]\nlisten = \"0.0.0.0:1\"\n[test]\necho = true", "test.echo", "without a token");
    one_problem("keys = { master_env = \"A\", master_command = \"b\" }", "keys", "only one");
    assert_eq!(from_text("keys = { master_env = \"A\" }").unwrap().master_key, MasterKey::Environment("A".to_owned()));
    one_problem("tls = { key = \"k\" }", "tls.cert", "is missing");
    one_problem("auth = { external = { issuer = \"x\" } }", "auth.external", "no effect");
}

#[test]
fn an_external_issuer_needs_keys_that_fit_its_algorithms() {
    let external = |text: &str| format!("auth = {{ mode = \"external\", external = {{ {text} }} }}");
    let secrets = "secrets = [\"0123456789abcdef\"]";
    one_problem(&external(""), "auth.external.algorithms", "is empty");
    one_problem(&external("algorithms = [\"HS256\"]"), "auth.external.secrets", "is empty");
    one_problem(&external("algorithms = [\"RS256\"]"), "auth.external.public_keys", "needs a public key");
    one_problem(&external("algorithms = [\"HS256\"], secrets = [\"short\"]"), "auth.external.secrets", "fewer than 16");
    let claim = "algorithms = [\"ES256\"], public_keys = [\"k\"], key_id = \"claim_sha256\"";
    one_problem(&external(claim), "auth.external.key_id", "needs HS256");
    one_problem(
        &external(&format!("algorithms = [\"RS256\"], jwks = \"j\", {secrets}")),
        "auth.external.secrets",
        "does not have HS256",
    );
    for url in ["http://a.example/j", "http://localhost.a.example/j", "http://127.0.0.1@a.example/", "ftp://a.example"]
    {
        one_problem(
            &external(&format!("algorithms = [\"RS256\"], jwks = \"{url}\"")),
            "auth.external.jwks",
            "https://",
        );
    }
    for at in ["https://a.example/jwks", "http://[::1]:1/j", "http://localhost:1/j", "http://127.0.0.1/j", "keys.json"]
    {
        assert_eq!(problems(&external(&format!("algorithms = [\"RS256\"], jwks = \"{at}\""))), [""; 0]);
    }
    assert!(from_text(&external("algorithms = [\"none\"]")).is_err());
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let environment = [("CAUSERIE_TLS__CERT", "/nowhere/c.pem"), ("CAUSERIE_TLS__KEY", "/nowhere/k.pem")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let told = load(None, environment, &Flags::default()).unwrap_err().to_string();
    assert!(
        told.contains("tls.cert: /nowhere/c.pem cannot be read") && told.contains("tls.key: /nowhere/k.pem"),
        "{told}"
    );
    let told = load(Some(Path::new("/nowhere/c.toml")), [], &Flags::default()).unwrap_err().to_string();
    assert!(told.contains("/nowhere/c.toml: cannot be read"), "{told}");
}

#[test]
fn a_secret_is_never_shown() {
    let secret = "correct horse battery";
    let text =
        format!("[auth]\nmode = \"external\"\n[auth.external]\nalgorithms = [\"HS256\"]\nsecrets = [\"{secret}\"]\n");
    assert!(!format!("{:?}", from_text(&text).unwrap()).contains("horse"));
    for broken in [
        text.replace("\"]", "]"),
        text.replace('[', "[["),
        text.replace("secrets = [", "secrets = ").replace("y\"]", "y\""),
    ] {
        assert!(!from_text(&broken).unwrap_err().to_string().contains("horse"), "{broken}");
    }
}

/// `config/default.toml` with its commented keys taken in.
fn uncommented(text: &str) -> String {
    let is_key = |line: &str| {
        line.split_once(" = ")
            .is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'))
    };
    let lines = text.lines().map(|line| line.strip_prefix('#').filter(|rest| is_key(rest)).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn default_toml_names_every_key_and_changes_nothing() {
    let text = include_str!("../../config/default.toml");
    assert_eq!(from_text(text).unwrap(), Settings::default(), "default.toml sets something else than the default");
    let mut raw = Raw::default();
    raw.read_text(&uncommented(text), &Source::Flag("default.toml"), &mut Problems::default());
    let named: BTreeSet<String> = raw.left().map(|(key, _)| key).collect();
    let known = known_keys();
    assert_eq!(known.difference(&named).collect::<Vec<_>>(), [""; 0], "not explained in default.toml");
    assert_eq!(named.difference(&known).collect::<Vec<_>>(), [""; 0], "explained in default.toml but not known");
}

#[test]
fn every_file_of_config_loads() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config")).unwrap() {
        let path = entry.unwrap().path();
        if let Err(problems) = load(Some(&path), [], &Flags::default()) {
            panic!("{}: {problems}", path.display());
        }
    }
}
