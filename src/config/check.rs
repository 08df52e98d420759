//! From what was written to [`Settings`]: each key by itself, then what must fit together, then the files that are named.
//!
//! [`read`] asks a [`Reader`] for every key there is, in the order of `config/default.toml`; the keys it asks for *are* the list of
//! keys, so nothing can be read without being known or known without being read. A value that cannot be used is a problem and its
//! default stands in, so that the rest can be checked too.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::problem::Problems;
use super::raw::{Raw, Source};
use super::reader::Reader;
use super::settings::{
    Algorithm, Audit, Auth, AuthMode, Drain, External, Jwks, KeyId, Log, LogFormat, MasterKey, Runtime, Secret, Server,
    Settings, Signup, Store, StoreKind, Test, Timeouts, Tls,
};
use crate::base::limits::{FRAME_BYTES_MAX, Limits};

/// Every key there is.
#[must_use]
pub fn known_keys() -> BTreeSet<String> {
    let mut problems = Problems::default();
    let mut reader = Reader::new(Raw::default(), &mut problems);
    read(&mut reader);
    reader.finish().into_iter().map(str::to_owned).collect()
}

impl Default for Settings {
    fn default() -> Self {
        Self::check(Raw::default(), &mut Problems::default())
    }
}

impl Settings {
    /// Checks what was written. What cannot be used is told in `problems`, with the default in its place.
    pub fn check(raw: Raw, problems: &mut Problems) -> Self {
        let mut reader = Reader::new(raw, problems);
        let settings = read(&mut reader);
        reader.finish();
        settings.check_relations(problems);
        settings
    }

    /// What is in range by itself but not together.
    fn check_relations(&self, problems: &mut Problems) {
        let mut say = |key: &str, says: String| problems.add(key, None, says);
        let server = &self.server;
        if server.listen == server.admin_listen && server.listen.port() != 0 {
            say(
                "server.admin_listen",
                format!("is the same as server.listen ({}): choose another port", server.listen),
            );
        }
        if !server.admin_listen.ip().is_loopback() {
            say(
                "server.admin_listen",
                format!(
                    "{} is open to others, and this port asks nobody who they are: use 127.0.0.1 or [::1] and a tunnel",
                    server.admin_listen
                ),
            );
        }
        if let (Some(shards), cores @ 1..) = (server.shards, server.cores.len())
            && usize::from(shards) != cores
        {
            say("server.shards", format!("is {shards}, but server.cores names {cores}: leave one of the two out"));
        }
        if server.cores.iter().collect::<BTreeSet<_>>().len() != server.cores.len() {
            say("server.cores", "names a core twice".to_owned());
        }
        let limits = &self.limits;
        if limits.messages_burst < limits.messages_per_second {
            say(
                "limits.messages_burst",
                format!("must be at least limits.messages_per_second ({})", limits.messages_per_second),
            );
        }
        if limits.outbox_budget_bytes < limits.outbox_bytes {
            say(
                "limits.outbox_budget_bytes",
                format!("must be at least limits.outbox_bytes ({})", limits.outbox_bytes),
            );
        }
        for (key, part) in [
            ("limits.connections_per_user", limits.connections_per_user),
            ("limits.connections_per_address", limits.connections_per_address),
        ] {
            if part > limits.connections {
                say(key, format!("cannot be more than limits.connections ({})", limits.connections));
            }
        }
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log.level) {
            say(
                "log.level",
                format!("{:?}: {error}; write a level, or levels by module: warn,causerie::net=debug", self.log.level),
            );
        }
        if self.test.echo && !server.listen.ip().is_loopback() {
            say(
                "test.echo",
                "answers strangers without a token: only with server.listen on a loopback address".to_owned(),
            );
        }
    }

    /// Whether the files that are named are there and can be read.
    pub fn check_files(&self, problems: &mut Problems) {
        let mut look = |key: &str, path: &Path| {
            if let Err(error) = std::fs::File::open(path) {
                problems.add(key, None, format!("{} cannot be read: {error}", path.display()));
            }
        };
        if let Some((cert, key)) = &self.tls.files {
            look("tls.cert", cert);
            look("tls.key", key);
        }
        let scylla = &self.store.scylla;
        if let Some(tls) = &scylla.tls {
            look("store.scylla.tls_ca", &tls.ca);
            if let Some((cert, key)) = &tls.own {
                look("store.scylla.tls_cert", cert);
                look("store.scylla.tls_key", key);
            }
        }
        if let Some(bundle) = &scylla.bundle {
            look("store.scylla.bundle", bundle);
        }
        if let MasterKey::File(path) = &self.master_key {
            look("keys.master_file", path);
        }
        if let AuthMode::External(external) = &self.auth.mode {
            for path in &external.public_keys {
                look("auth.external.public_keys", path);
            }
            if let Some(Jwks::File(path)) = &external.jwks {
                look("auth.external.jwks", path);
            }
        }
    }
}

/// Reads every key. No key may be read only sometimes: see [`known_keys`].
fn read(r: &mut Reader<'_>) -> Settings {
    let server = Server {
        listen: r.address("server.listen", SocketAddr::from(([127, 0, 0, 1], 8443))),
        admin_listen: r.address("server.admin_listen", SocketAddr::from(([127, 0, 0, 1], 9443))),
        shards: Some(r.number("server.shards", 0, 0..=256)).filter(|n| *n > 0),
        cores: r.numbers("server.cores", 0..=4095),
        origins: origins(r),
    };
    let data_dir = r.path("data.dir").unwrap_or_else(|| PathBuf::from("data"));
    let kind = store_kind(r);
    let store = Store {
        kind,
        cache_bytes: r.number("store.cache_bytes", 16 << 20, 1 << 20..=1 << 40),
        readers: r.number("store.readers", 2, 1..=64),
        scylla: super::scylla::read(r, kind == StoreKind::Scylla),
    };
    let master_key = master_key(r);
    let tls = tls(r);
    let auth = auth(r);
    let limits = limits(r);
    let retention_days = Some(r.number("retention.days", 90, 0..=36_500)).filter(|days| *days > 0);
    let timeouts = Timeouts {
        handshake_ms: r.number("timeouts.handshake_ms", 10_000, 100..=600_000),
        head_ms: r.number("timeouts.head_ms", 10_000, 100..=600_000),
        body_ms: r.number("timeouts.body_ms", 20_000, 100..=600_000),
        idle_ms: r.number("timeouts.idle_ms", 60_000, 100..=3_600_000),
    };
    let drain = Drain {
        window_ms: r.number("drain.window_ms", 5_000, 0..=3_600_000),
        deadline_ms: r.number("drain.deadline_ms", 15_000, 100..=3_600_000),
    };
    let log = Log {
        level: r.text("log.level").unwrap_or_else(|| "info".to_owned()),
        format: r.choice("log.format", LogFormat::Human, &[("human", LogFormat::Human), ("json", LogFormat::Json)]),
    };
    let audit = Audit {
        file: match r.text_or_empty("audit.file") {
            None => Some(data_dir.join("audit.log")),
            Some(text) if text.is_empty() => None,
            Some(text) => Some(PathBuf::from(text)),
        },
        in_log: r.flag("audit.in_log", false),
    };
    let runtime = Runtime {
        stall_ms: r.number("runtime.stall_ms", 20, 1..=60_000),
        spin_us: r.number("runtime.spin_us", 0, 0..=1_000_000),
        pace_ms: r.number("runtime.pace_ms", 40, 0..=1_000),
        send_batch: r.number("runtime.send_batch", 256, 0..=1024),
        handshake_us: r.number("runtime.handshake_us", 1_000, 0..=100_000),
        blocking_threads: r.number("runtime.blocking_threads", 2, 1..=64),
    };
    let test = Test { echo: r.flag("test.echo", false) };
    Settings {
        server,
        data_dir,
        store,
        master_key,
        tls,
        auth,
        limits,
        retention_days,
        timeouts,
        drain,
        log,
        audit,
        runtime,
        test,
    }
}

fn origins(r: &mut Reader<'_>) -> Vec<String> {
    let origins = r.texts("server.origins");
    for origin in &origins {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        if !host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', '*'])) {
            let says = format!("{origin:?} is not an origin: write it as https://chat.example.org, without a path");
            r.problem("server.origins", says);
        }
    }
    origins
}

fn store_kind(r: &mut Reader<'_>) -> StoreKind {
    let kinds = [("embedded", StoreKind::Embedded), ("scylla", StoreKind::Scylla), ("memory", StoreKind::Memory)];
    let kind = r.choice("store.kind", StoreKind::Embedded, &kinds);
    if kind == StoreKind::Scylla && !cfg!(feature = "scylla") {
        r.problem("store.kind", "\"scylla\" is not in this program: build it with --features scylla".to_owned());
    }
    kind
}

fn master_key(r: &mut Reader<'_>) -> MasterKey {
    let file = r.path("keys.master_file");
    let variable = r.text("keys.master_env");
    let command = r.text("keys.master_command");
    match (file, variable, command) {
        (None, None, None) => MasterKey::DataDir,
        (Some(file), None, None) => MasterKey::File(file),
        (None, Some(name), None) => MasterKey::Environment(name),
        (None, None, Some(command)) => MasterKey::Command(command),
        _ => {
            r.problem("keys", "set only one of keys.master_file, keys.master_env and keys.master_command".to_owned());
            MasterKey::DataDir
        }
    }
}

fn tls(r: &mut Reader<'_>) -> Tls {
    let cert = r.path("tls.cert");
    let key = r.path("tls.key");
    let files = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            r.problem("tls.key", "is missing: tls.cert is set, and a certificate needs its key".to_owned());
            None
        }
        (None, Some(_)) => {
            r.problem("tls.cert", "is missing: tls.key is set, and a key needs its certificate".to_owned());
            None
        }
    };
    Tls { files }
}

fn auth(r: &mut Reader<'_>) -> Auth {
    let external_wanted = r.choice("auth.mode", false, &[("builtin", false), ("external", true)]);
    let signup = r.choice(
        "auth.signup",
        Signup::Open,
        &[("open", Signup::Open), ("invite", Signup::Invite), ("closed", Signup::Closed)],
    );
    let access_token_seconds = r.number("auth.access_token_seconds", 900, 10..=86_400);
    let refresh_token_days = r.number("auth.refresh_token_days", 30, 1..=3650);
    let external = external(r, external_wanted);
    let mode = if external_wanted { AuthMode::External(Box::new(external)) } else { AuthMode::Builtin };
    Auth { mode, signup, access_token_seconds, refresh_token_days }
}

fn external(r: &mut Reader<'_>, wanted: bool) -> External {
    let names = [
        ("HS256", Algorithm::Hs256),
        ("RS256", Algorithm::Rs256),
        ("ES256", Algorithm::Es256),
        ("EdDSA", Algorithm::EdDsa),
    ];
    let algorithms = r.choices("auth.external.algorithms", &names);
    let secrets: Vec<Secret> = r.texts("auth.external.secrets").into_iter().map(Secret).collect();
    let public_keys: Vec<PathBuf> = r.texts("auth.external.public_keys").into_iter().map(PathBuf::from).collect();
    let jwks = r.text("auth.external.jwks").map(|at| {
        if at.contains("://") && !may_fetch(&at) {
            let says = "must be a file or an https:// address: who can change keys on their way can sign in as anybody";
            r.problem("auth.external.jwks", says.to_owned());
        }
        if at.contains("://") { Jwks::Url(at) } else { Jwks::File(PathBuf::from(at)) }
    });
    let external = External {
        algorithms,
        secrets,
        public_keys,
        jwks,
        issuer: r.text("auth.external.issuer"),
        audience: r.texts("auth.external.audience"),
        key_id: r.choice(
            "auth.external.key_id",
            KeyId::Header,
            &[("header", KeyId::Header), ("claim_sha256", KeyId::ClaimSha256)],
        ),
        leeway_seconds: r.number("auth.external.leeway_seconds", 30, 0..=600),
        username_claim: r.text("auth.external.username_claim").unwrap_or_else(|| "preferred_username".to_owned()),
        display_name_claim: r.text("auth.external.display_name_claim").unwrap_or_else(|| "name".to_owned()),
    };
    if wanted {
        check_external(r, &external);
    } else if external.is_set() {
        // Somebody thinks that tokens of a platform are accepted, and they are not: better said than found out.
        let says = "has no effect while auth.mode is \"builtin\": set auth.mode = \"external\", or remove it";
        r.problem("auth.external", says.to_owned());
    }
    external
}

/// Encrypted, or to this machine.
fn may_fetch(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return url.starts_with("https://") };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    ["127.0.0.1", "localhost", "[::1]"].contains(&host.map_or(authority, |(host, _)| host))
}

fn check_external(r: &mut Reader<'_>, external: &External) {
    let asymmetric = external.algorithms.iter().any(|a| *a != Algorithm::Hs256);
    let symmetric = external.algorithms.contains(&Algorithm::Hs256);
    let has_public = !external.public_keys.is_empty() || external.jwks.is_some();
    if external.algorithms.is_empty() {
        let says = "is empty: name what your platform signs with, such as [\"HS256\"] or [\"RS256\", \"ES256\"]";
        r.problem("auth.external.algorithms", says.to_owned());
    }
    if symmetric && external.secrets.is_empty() {
        r.problem("auth.external.secrets", "is empty, but auth.external.algorithms has HS256".to_owned());
    }
    if !symmetric && !external.secrets.is_empty() {
        r.problem("auth.external.secrets", "is set, but auth.external.algorithms does not have HS256".to_owned());
    }
    if asymmetric && !has_public {
        let says =
            "is empty and so is auth.external.jwks, but auth.external.algorithms has one that needs a public key";
        r.problem("auth.external.public_keys", says.to_owned());
    }
    if external.secrets.iter().any(|secret| secret.0.len() < 16) {
        r.problem("auth.external.secrets", "has a secret of fewer than 16 bytes, which can be guessed".to_owned());
    }
    if external.key_id == KeyId::ClaimSha256 && !symmetric {
        r.problem("auth.external.key_id", "\"claim_sha256\" is the hash of a shared secret: it needs HS256".to_owned());
    }
}

fn limits(r: &mut Reader<'_>) -> Limits {
    let d = Limits::default();
    Limits {
        messages_per_second: r.number("limits.messages_per_second", d.messages_per_second, 1..=1_000_000),
        messages_burst: r.number("limits.messages_burst", d.messages_burst, 1..=10_000_000),
        requests_per_second: r.number("limits.requests_per_second", d.requests_per_second, 1..=1_000_000),
        connections: r.number("limits.connections", d.connections, 1..=10_000_000),
        connections_per_user: r.number("limits.connections_per_user", d.connections_per_user, 1..=10_000_000),
        connections_per_address: r.number("limits.connections_per_address", d.connections_per_address, 1..=10_000_000),
        handshakes_per_shard: r.number("limits.handshakes_per_shard", d.handshakes_per_shard, 1..=100_000),
        outbox_bytes: r.number("limits.outbox_bytes", d.outbox_bytes, 2 * FRAME_BYTES_MAX..=1 << 30),
        outbox_budget_bytes: r.number("limits.outbox_budget_bytes", d.outbox_budget_bytes, 1 << 20..=1 << 40),
        timeline_budget_bytes: r.number("limits.timeline_budget_bytes", d.timeline_budget_bytes, 0..=1 << 40),
        resting_bytes: r.number("limits.resting_bytes", d.resting_bytes, 0..=1 << 40),
        rooms_per_user: r.number("limits.rooms_per_user", d.rooms_per_user, 1..=100_000),
        members_per_room: r.number("limits.members_per_room", d.members_per_room, 2..=1_000_000),
    }
}

/// Reads a TOML text as a whole configuration (for tests and tools).
///
/// # Errors
/// Every problem there is.
pub fn from_text(text: &str) -> Result<Settings, Problems> {
    let mut problems = Problems::default();
    let mut raw = Raw::default();
    raw.read_text(text, &Source::File(PathBuf::from("(text)")), &mut problems);
    let settings = Settings::check(raw, &mut problems);
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}
