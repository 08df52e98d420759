//! A proxy between Causerie and its database that can be told to disturb what goes through it: toxiproxy, in a process of its own.
//!
//! Each fault lasts until [`Proxy::heal`]. Connections that exist feel it as well as new ones.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{WATCHDOG, eventually};

pub struct Proxy {
    child: Child,
    api: SocketAddr,
    /// Where it listens.
    pub listen: String,
}

impl Proxy {
    /// Listens on `listen` and hands everything on to `upstream`.
    pub fn between(listen: &str, upstream: &str) -> Self {
        let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".cache/toxiproxy");
        assert!(program.exists(), "the proxy is not here. Build it with: scripts/setup test");
        // Somebody may take the port between the look and the use: then the proxy ends at once, and another one is tried.
        let proxy = eventually("a proxy", || {
            let api = TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).expect("a port");
            // It ends with the thread of the test, in whatever way that ends.
            let mut child = Command::new("setpriv")
                .args(["--pdeathsig", "KILL"])
                .arg(&program)
                .args(["-host", &api.ip().to_string(), "-port", &api.port().to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("setpriv and toxiproxy");
            let up = eventually("the proxy's answer", || {
                if child.try_wait().expect("a child").is_some() {
                    return Some(false);
                }
                TcpStream::connect(api).is_ok().then_some(true)
            });
            up.then_some((child, api))
        });
        let this = Self { child: proxy.0, api: proxy.1, listen: listen.to_owned() };
        this.call("POST", "/proxies", Some(&json!({"name": "database", "listen": listen, "upstream": upstream})));
        this
    }

    /// Every piece takes so much longer, in each direction.
    pub fn slow(&self, ms: u64, jitter_ms: u64) {
        self.toxic("latency", &json!({"latency": ms, "jitter": jitter_ms}));
    }

    /// So many kilobytes a second pass, in each direction.
    pub fn narrow(&self, kilobytes: u64) {
        self.toxic("bandwidth", &json!({"rate": kilobytes}));
    }

    /// Nothing passes any more, and nobody is told: connections stay, and new ones come about.
    pub fn black_hole(&self) {
        self.toxic("timeout", &json!({"timeout": 0}));
    }

    /// Every connection is reset, also each new one.
    pub fn reset(&self) {
        self.toxic("reset_peer", &json!({"timeout": 0}));
    }

    /// Connections are closed, and new ones refused.
    pub fn cut(&self) {
        self.call("POST", "/proxies/database", Some(&json!({"enabled": false})));
    }

    /// All is well again.
    pub fn heal(&self) {
        self.call("POST", "/reset", None);
    }

    fn toxic(&self, kind: &str, attributes: &Value) {
        for stream in ["upstream", "downstream"] {
            let toxic =
                json!({"name": format!("{kind}_{stream}"), "type": kind, "stream": stream, "attributes": attributes});
            self.call("POST", "/proxies/database/toxics", Some(&toxic));
        }
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) {
        let mut stream = TcpStream::connect(self.api).expect("the proxy's own interface");
        stream.set_read_timeout(Some(WATCHDOG)).expect("a timeout");
        let body = body.map(ToString::to_string).unwrap_or_default();
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: proxy\r\nUser-Agent: tests\r\nConnection: close\r\n");
        write!(stream, "{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
            .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(status.starts_with('2'), "{method} {path} {body}: {answer}");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connections that exist to an address now, seen from who opened them.
pub fn connections_to(address: &str) -> usize {
    let address: SocketAddr = address.parse().expect("an address");
    let SocketAddr::V4(address) = address else { panic!("only IPv4 is used here") };
    // As /proc/net/tcp writes it: the address in the machine's order.
    let place = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    let established = |line: &&str| {
        let mut columns = line.split_whitespace();
        columns.nth(2) == Some(&*place) && columns.next() == Some("01")
    };
    table.lines().filter(established).count()
}
