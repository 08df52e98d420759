//! The settings as real types. Who holds a [`Settings`] from [`super::load`] need not check again: it is in range and consistent.
//!
//! What each key means to who runs a server stands in `config/default.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::base::limits::Limits;

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `[server]`
    pub server: Server,
    /// `data.dir`: where everything is kept.
    pub data_dir: PathBuf,
    /// `[store]`
    pub store: Store,
    /// `[keys]`: where the master key comes from.
    pub master_key: MasterKey,
    /// `[tls]`
    pub tls: Tls,
    /// `[auth]`
    pub auth: Auth,
    /// `[limits]`
    pub limits: Limits,
    /// `retention.days`: how long messages are kept where a room says nothing; `None`: for ever.
    pub retention_days: Option<u32>,
    /// `[timeouts]`
    pub timeouts: Timeouts,
    /// `[drain]`
    pub drain: Drain,
    /// `[log]`
    pub log: Log,
    /// `[audit]`
    pub audit: Audit,
    /// `[runtime]`
    pub runtime: Runtime,
    /// `[test]`
    pub test: Test,
}

/// Where the server listens, and on which cores it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The public port: REST, WebSocket, pages. Port 0: any free one.
    pub listen: SocketAddr,
    /// The operators' port: metrics and health. Always a loopback address.
    pub admin_listen: SocketAddr,
    /// How many shards; `None`: one for each of `cores`, or for each core there is.
    pub shards: Option<u16>,
    /// To which cores they are pinned, in order; empty: to any that the process may use.
    pub cores: Vec<usize>,
    /// Origins of pages that may talk to the server besides its own, such as `https://chat.example.org`.
    pub origins: Vec<String>,
}

/// What keeps the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Which backend.
    pub kind: StoreKind,
    /// Bytes of the embedded store's cache.
    pub cache_bytes: usize,
    /// Threads that read from the embedded store.
    pub readers: usize,
    /// `[store.scylla]`
    pub scylla: Scylla,
}

/// The database, when `store.kind` is `scylla`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scylla {
    /// `host:port` of nodes that are asked first.
    pub nodes: Vec<String>,
    /// Where the tables are.
    pub keyspace: String,
    /// How often each row is kept when the keyspace is made: in every data centre (`None`), or in this one.
    pub replication: Vec<(Option<String>, u8)>,
    /// How many replicas must confirm or answer.
    pub consistency: Replicas,
    /// The same for some tables.
    pub table_consistency: Vec<(String, Replicas)>,
    /// The data centre whose nodes are asked.
    pub datacenter: Option<String>,
    /// User and password.
    pub login: Option<(String, Secret)>,
    /// Encryption on the way there; `None`: none.
    pub tls: Option<ScyllaTls>,
    /// A secure connection bundle: a directory in which a hosted database's certificates, nodes and login stand.
    pub bundle: Option<PathBuf>,
    /// One try of a statement, in milliseconds.
    pub request_timeout_ms: u64,
    /// All tries of a statement, in milliseconds.
    pub give_up_ms: u64,
    /// Statements under way at once.
    pub in_flight: usize,
    /// Writes that may wait.
    pub write_jobs: u64,
    /// Bytes that may wait in writes.
    pub write_bytes: u64,
    /// Reads that may wait.
    pub read_jobs: u64,
    /// How long this server owns its slots after the last renewal, in milliseconds.
    pub lease_ms: u64,
}

/// PEM files for the way to the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScyllaTls {
    /// Who signed the database's certificates.
    pub ca: PathBuf,
    /// Our own certificate and its key, if the database wants to see one.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// How many replicas must confirm or answer, as CQL names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as CQL names them
pub enum Replicas {
    One,
    LocalOne,
    Quorum,
    LocalQuorum,
    EachQuorum,
    All,
}

/// Which backend keeps the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// On this machine's disk, in `data.dir`.
    Embedded,
    /// In a database of its own: `ScyllaDB` or Apache Cassandra.
    Scylla,
    /// Nowhere: all is gone at the end. For tests.
    Memory,
}

/// Where the master key comes from, which wraps all other keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterKey {
    /// From `master.key` in `data.dir`, which is made at the first start.
    DataDir,
    /// From this file, which must be there.
    File(PathBuf),
    /// From this environment variable, in base64 or hex.
    Environment(String),
    /// From the output of this command, run by `sh -c`.
    Command(String),
}

/// Certificate and key of both listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM files of the certificate chain and its key; `None`: a self-signed one is made in `data.dir`.
    pub files: Option<(PathBuf, PathBuf)>,
}

/// Who may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Who keeps the accounts.
    pub mode: AuthMode,
    /// Who may make an account (built-in accounts only).
    pub signup: Signup,
    /// How long an access token is valid, in seconds.
    pub access_token_seconds: u64,
    /// How long an unused session stays, in days.
    pub refresh_token_days: u32,
}

/// Who keeps the accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// This server.
    Builtin,
    /// Somebody else, whose tokens are checked here.
    External(Box<External>),
}

/// Who may make an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signup {
    /// Everybody.
    Open,
    /// Who has an invitation.
    Invite,
    /// Nobody (but the first user of an empty server).
    Closed,
}

/// How the tokens of an external issuer are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// Which algorithms are accepted.
    pub algorithms: Vec<Algorithm>,
    /// Shared secrets for HS256, the newest first.
    pub secrets: Vec<Secret>,
    /// PEM files of public keys.
    pub public_keys: Vec<PathBuf>,
    /// A set of public keys: a file, or an `https://` address.
    pub jwks: Option<Jwks>,
    /// What `iss` must be, if it matters.
    pub issuer: Option<String>,
    /// One of these must be in `aud`; empty: a token that names an audience is refused, being meant for somebody else.
    pub audience: Vec<String>,
    /// How a token says which key it was signed with.
    pub key_id: KeyId,
    /// Seconds that clocks may differ.
    pub leeway_seconds: u64,
    /// The claim that holds the username.
    pub username_claim: String,
    /// The claim that holds the display name.
    pub display_name_claim: String,
}

/// A signature algorithm of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// HMAC with SHA-256 and a shared secret.
    Hs256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// How a token says which key it was signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyId {
    /// `kid` in the header, as RFC 7515 has it.
    Header,
    /// `kid` in the claims: the lower-case hex SHA-256 of the secret (go42).
    ClaimSha256,
}

/// Where a set of public keys is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jwks {
    /// In this file.
    File(PathBuf),
    /// At this address.
    Url(String),
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How long a client may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TLS handshake, in milliseconds.
    pub handshake_ms: u64,
    /// For a whole request head, in milliseconds.
    pub head_ms: u64,
    /// For a whole request body, in milliseconds.
    pub body_ms: u64,
    /// Between two requests on one connection, in milliseconds.
    pub idle_ms: u64,
}

/// How the server stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Over which time clients are asked to come back, in milliseconds.
    pub window_ms: u64,
    /// After which time the process ends, done or not, in milliseconds.
    pub deadline_ms: u64,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Which events, by module: `info`, or `warn,causerie::net=debug` (the syntax of tracing's `EnvFilter`).
    pub level: String,
    /// In which form.
    pub format: LogFormat,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Where the audit log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The file; `None`: none is written.
    pub file: Option<PathBuf>,
    /// Whether it stands in the normal log too.
    pub in_log: bool,
}

/// How the shards run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// A turn longer than this is counted and logged, in milliseconds.
    pub stall_ms: u64,
    /// How long an idle shard spins before it sleeps, in microseconds. Burns a core.
    pub spin_us: u64,
    /// The longest wait of a busy connection for its next write, in milliseconds.
    pub pace_ms: u64,
    /// Writes that go to the kernel together at most; 0: one by one.
    pub send_batch: usize,
    /// How long handshakes and requests are worked on before those who talk have their turn, in microseconds; 0: no bound.
    pub handshake_us: u64,
    /// Threads for what takes long (argon2, key sets).
    pub blocking_threads: usize,
}

/// For tests only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// Open a WebSocket at `/ws/echo` that answers every message with itself and asks for no token.
    pub echo: bool,
}

impl External {
    /// Whether anything in it says whose tokens are meant.
    pub(super) fn is_set(&self) -> bool {
        let lists = [self.algorithms.len(), self.secrets.len(), self.public_keys.len(), self.audience.len()];
        lists.iter().any(|len| *len > 0) || self.jwks.is_some() || self.issuer.is_some()
    }
}
