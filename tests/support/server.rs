//! A real server in a process of its own, on free ports and with a data directory of its own.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causerie_load::http::{Answer, Http};
use causerie_load::tls::Trust;
use causerie_load::token::{Issuer, user_id};
use rustix::process::{Pid, Signal, kill_process};
use rustls::ClientConfig;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::database;
use super::people::Person;
use super::ports::{Reserved, reserve};
use super::{WATCHDOG, eventually};

/// The secret that the test servers share with the tests.
pub const SECRET: &str = "a-secret-of-the-tests-that-is-long-enough-for-HS256";

/// How a server is to be started.
#[derive(Clone)]
pub struct Setup {
    env: Vec<(String, String)>,
    under: Vec<String>,
    arguments: Vec<String>,
    shards: usize,
    data: Option<PathBuf>,
    keyspace: Option<String>,
    /// Goes with the server.
    keyspace_of_its_own: Option<String>,
}

impl Default for Setup {
    /// External tokens, two shards, the embedded store.
    fn default() -> Self {
        let env = [
            ("CAUSERIE_AUTH__MODE", "external"),
            ("CAUSERIE_AUTH__EXTERNAL__ALGORITHMS", "HS256"),
            ("CAUSERIE_AUTH__EXTERNAL__SECRETS", SECRET),
            ("CAUSERIE_AUTH__EXTERNAL__ISSUER", "go42"),
            ("CAUSERIE_AUTH__EXTERNAL__AUDIENCE", "go42"),
            ("CAUSERIE_AUTH__EXTERNAL__KEY_ID", "claim_sha256"),
            ("CAUSERIE_STORE__CACHE_BYTES", "16777216"),
        ];
        let env = env.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
        let plain = Self {
            env,
            under: Vec::new(),
            arguments: Vec::new(),
            shards: 2,
            data: None,
            keyspace: None,
            keyspace_of_its_own: None,
        };
        plain.on_the_store_of_this_run()
    }
}

impl Setup {
    /// Accounts with passwords instead of external tokens.
    pub fn builtin() -> Self {
        let env = vec![("CAUSERIE_STORE__CACHE_BYTES".into(), "16777216".into())];
        Self { env, arguments: Vec::new(), ..Self::default() }.on_the_store_of_this_run()
    }

    /// `CAUSERIE_TEST_STORE=scylla` runs the same tests on the database that all tests share, each server with a keyspace of its own.
    fn on_the_store_of_this_run(self) -> Self {
        match std::env::var("CAUSERIE_TEST_STORE").as_deref() {
            Ok("scylla") => {
                let contact = database::shared().contact.clone();
                // Others use the same two cores: a slow answer is no fault here.
                let keyspace = database::keyspace();
                Self { keyspace_of_its_own: Some(keyspace.clone()), ..self }
                    .scylla(&contact, &keyspace, 1)
                    .set("store.scylla.request_timeout_ms", 20_000)
                    .set("store.scylla.give_up_ms", 40_000)
                    .set("store.scylla.lease_ms", 40_000)
            }
            Ok("embedded") | Err(_) => self,
            Ok(other) => panic!("CAUSERIE_TEST_STORE is {other}: embedded or scylla"),
        }
    }

    /// One key of the configuration, as `CAUSERIE_SECTION__KEY`.
    pub fn set(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        let (section, name) = key.rsplit_once('.').expect("section.key");
        let variable = format!("CAUSERIE_{}__{}", section.replace('.', "__").to_uppercase(), name.to_uppercase());
        self.env.retain(|(k, _)| *k != variable);
        self.env.push((variable, value.to_string()));
        self
    }

    /// Keeps everything in this keyspace instead of in the data directory; makes its tables at the first start.
    pub fn scylla(mut self, nodes: &str, keyspace: &str, replicas: usize) -> Self {
        self.keyspace = Some(keyspace.to_owned());
        self.set("store.kind", "scylla")
            .set("store.scylla.nodes", nodes)
            .set("store.scylla.keyspace", keyspace)
            .set("store.scylla.replication", replicas)
            .argument("--migrate")
    }

    /// One more word for `causerie serve`.
    pub fn argument(mut self, word: &str) -> Self {
        self.arguments.push(word.to_owned());
        self
    }

    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    /// Keeps everything here instead of in a folder of its own.
    pub fn data(mut self, place: &Path) -> Self {
        self.data = Some(place.to_owned());
        self
    }

    /// Runs it under another program, such as strace.
    pub fn under(mut self, command: &[&str]) -> Self {
        self.under = command.iter().map(ToString::to_string).collect();
        self
    }

    pub fn start(self) -> Server {
        Server::start_with(self)
    }
}

pub struct Server {
    setup: Setup,
    child: Child,
    /// The server itself, also when it runs under another program.
    pid: Pid,
    public: Reserved,
    operators: Reserved,
    pub data: PathBuf,
    folder: TempDir,
    config: Arc<ClientConfig>,
    issuer: Issuer,
    starts: usize,
}

impl Server {
    /// A server with external tokens, two shards and the embedded store.
    pub fn start() -> Self {
        Setup::default().start()
    }

    fn start_with(setup: Setup) -> Self {
        let folder = tempfile::Builder::new().prefix("causerie-test-").tempdir().expect("a folder");
        let data = setup.data.clone().unwrap_or_else(|| folder.path().join("data"));
        let (public, operators) = (reserve(), reserve());
        let child = spawn(&setup, &data, folder.path(), public.port, operators.port, 0);
        let trust = Trust::Any.config().expect("a TLS configuration");
        let pid = pid_of(&child);
        let mut server = Self {
            setup,
            child,
            pid,
            public,
            operators,
            data,
            folder,
            config: trust,
            issuer: Issuer::go42(SECRET),
            starts: 1,
        };
        server.wait_ready();
        server
    }

    fn wait_ready(&mut self) {
        let end = Instant::now() + WATCHDOG;
        loop {
            if let Some(status) = self.child.try_wait().expect("waiting for a child") {
                panic!("the server ended at once with {status}:\n{}", self.log());
            }
            if let Some(certificate) = certificate(&self.data) {
                self.config = Trust::file(&certificate).and_then(Trust::config).expect("pinning the certificate");
                let answer = self.http().call("GET", "/readyz", None, &[], None);
                if answer.is_ok_and(|answer| answer.status == 200) {
                    break;
                }
            }
            assert!(Instant::now() < end, "the server is not ready after {WATCHDOG:?}:\n{}", self.log());
            super::wait_out(Duration::from_millis(20));
        }
        if !self.setup.under.is_empty() {
            let strace = self.child.id();
            self.pid = eventually("the child of the program that it runs under", || {
                let children = fs::read_to_string(format!("/proc/{strace}/task/{strace}/children")).ok()?;
                Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
            });
        }
    }

    /// `host:port` where everybody comes in.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.public.port)
    }

    /// `host:port` where operators come in.
    pub fn admin_address(&self) -> String {
        format!("127.0.0.1:{}", self.operators.port)
    }

    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    pub fn pid(&self) -> u32 {
        u32::try_from(self.pid.as_raw_nonzero().get()).expect("a pid")
    }

    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// A fresh connection to REST.
    pub fn http(&self) -> Http {
        Http::new(&self.address(), &self.config)
    }

    /// A request without a token.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.http().call(method, path, None, &[], body).expect("an answer")
    }

    /// A request to the operators' listener.
    pub fn admin(&self, path: &str) -> Answer {
        Http::new(&self.admin_address(), &self.config).call("GET", path, None, &[], None).expect("an answer")
    }

    /// Somebody of the outside platform.
    pub fn person(&self, name: &str) -> Person {
        let subject = user_id(name);
        let token = self.issuer.token(subject, name, 3600);
        Person::with_token(self, name, &token)
    }

    /// Somebody with an account of this server.
    pub fn sign_up(&self, name: &str, password: &str) -> Person {
        let answer = self.call("POST", "/api/v1/auth/signup", Some(&json!({"username": name, "password": password})));
        assert_eq!(answer.status, 201, "{}", answer.text());
        Person::with_answer(self, name, &answer.json())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("a signal");
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits until it has ended by itself.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + WATCHDOG;
        loop {
            if let Some(status) = self.child.try_wait().expect("waiting for a child") {
                return status;
            }
            assert!(Instant::now() < end, "the server did not end:\n{}", self.log());
            super::wait_out(Duration::from_millis(10));
        }
    }

    /// Starts it again on the same data and ports, ended or not (then by SIGKILL).
    pub fn restart(&mut self) {
        self.kill();
        self.child =
            spawn(&self.setup, &self.data, self.folder.path(), self.public.port, self.operators.port, self.starts);
        self.starts += 1;
        self.pid = pid_of(&self.child);
        self.wait_ready();
    }

    /// Starts it on the same data and kills it so soon that it may not even be ready: a crash while it recovers.
    pub fn stumble(&mut self, after: Duration) {
        self.kill();
        self.child =
            spawn(&self.setup, &self.data, self.folder.path(), self.public.port, self.operators.port, self.starts);
        self.starts += 1;
        self.pid = pid_of(&self.child);
        super::wait_out(after);
        self.kill();
    }

    /// Changes the setup for the next [`Server::restart`].
    pub fn change(&mut self, change: impl FnOnce(Setup) -> Setup) {
        self.setup = change(self.setup.clone());
    }

    /// What it wrote to its standard error and output, of all starts.
    pub fn log(&self) -> String {
        (0..self.starts)
            .map(|n| fs::read(log_file(self.folder.path(), n)).unwrap_or_default())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect()
    }

    /// Lines of the audit log.
    pub fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.data.join("audit.log")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Every folder in which something of what it keeps may stand: the data directory; and of the database that all tests share, once
    /// its memory was written out, the keyspace and the log.
    pub fn places(&self) -> Vec<PathBuf> {
        let mut places = vec![self.data.clone()];
        if let Some(keyspace) = &self.setup.keyspace {
            places.extend(database::flushed(keyspace));
        }
        places
    }

    /// A folder of this test's own, beside the data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The sum of a metric over all its labels that hold all these words.
    pub fn metric(&self, name: &str, words: &[&str]) -> f64 {
        let answer = self.admin("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let of_name = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
                && words.iter().all(|w| line.contains(w))
        };
        let value = |line: &str| line.rsplit(' ').next().and_then(|v| v.parse::<f64>().ok());
        answer.text().lines().filter(of_name).filter_map(value).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if let Some(keyspace) = &self.setup.keyspace_of_its_own {
            database::forget(keyspace);
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the server's log, its end:");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn log_file(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("server-{number}.log"))
}

fn spawn(setup: &Setup, data: &Path, folder: &Path, public: u16, operators: u16, number: usize) -> Child {
    let binary = env!("CARGO_BIN_EXE_causerie");
    let mut command = match setup.under.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
        None => Command::new(binary),
    };
    let log = File::create(log_file(folder, number)).expect("a log file");
    command
        .args(["serve", "--listen", &format!("127.0.0.1:{public}")])
        .args(["--admin-listen", &format!("127.0.0.1:{operators}")])
        .args(["--shards", &setup.shards.to_string()])
        .arg("--data-dir")
        .arg(data)
        .args(&setup.arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log file"))
        .stderr(log);
    without_settings(&mut command);
    command.envs(setup.env.iter().map(|(k, v)| (k, v)));
    command.spawn().unwrap_or_else(|why| panic!("starting {command:?}: {why}"))
}

/// A setting of whoever runs the tests must not reach what they start.
pub fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CAUSERIE_") {
            command.env_remove(name);
        }
    }
}

/// The file with the server's certificate, once it is there in full.
pub fn certificate(data: &Path) -> Option<PathBuf> {
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).ok()?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "pem" || e == "crt") {
                let text = fs::read_to_string(&path).unwrap_or_default();
                if text.contains("-----END CERTIFICATE-----") {
                    return Some(path);
                }
            }
        }
    }
    None
}

/// Whether a process was ended by this signal.
pub fn killed_by(status: ExitStatus) -> Option<i32> {
    status.signal()
}
