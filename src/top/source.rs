//! Where the pages come from: `/metrics` of the operators' listener, over TLS, asked by a thread of its own.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::TopArgs;
use super::interval::Snapshot;
use super::page::Page;
use crate::client::transport::Address;
use crate::client::trust::{Fingerprint, Policy, Trust};
use crate::client::{Stopped, files, rest};

/// How long one page may take, all in.
const CALL: Duration = Duration::from_secs(5);
/// Bytes of a page at most: some thousand series of each of some hundred shards.
const PAGE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One server's `/metrics`.
pub struct Source {
    address: Address,
    agent: ureq::Agent,
    trust: Trust,
    accept: bool,
    token: Option<String>,
    started: Instant,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Source {
    /// The source that the command line names. Does not connect.
    ///
    /// # Errors
    /// A file of a certificate, of authorities or of a token that cannot be read.
    pub fn new(args: &TopArgs) -> Result<Self, Stopped> {
        let usage = |error: std::io::Error| Stopped::usage(error.to_string());
        let own: Option<PathBuf> =
            args.certificate.clone().or_else(|| args.data_dir.as_ref().map(|dir| dir.join("tls-cert.pem")));
        let loopback = args.target.is_loopback();
        let policy = match (&args.fingerprint, own) {
            (Some(pin), _) => Policy::Pinned(pin.clone()),
            (None, Some(file)) => Policy::Pinned(Fingerprint::of_file(&file).map_err(usage)?),
            (None, None) if args.insecure => Policy::Any,
            // Behind an address of this machine there may be another server each time: at the end of a tunnel.
            (None, None) if loopback && args.ca.is_none() => Policy::Once,
            (None, None) => Policy::Known {
                authorities: args.ca.clone(),
                server: args.target.authority(),
                file: files::folder().join("known_servers"),
            },
        };
        let accept = args.accept_new || matches!(policy, Policy::Once);
        let trust = Trust::new(policy).map_err(usage)?;
        let agent = rest::agent(trust.config.clone(), concat!("causerie-top/", env!("CARGO_PKG_VERSION")), CALL);
        let token = args.token_file.as_ref().map(|file| {
            let named = |error| Stopped::usage(format!("{}: {error}", file.display()));
            std::fs::read_to_string(file).map(|text| text.trim().to_owned()).map_err(named)
        });
        let token = token.transpose()?;
        Ok(Self { address: args.target.clone(), agent, trust, accept, token, started: Instant::now() })
    }

    /// Seconds since the start, on a clock that only goes forward.
    #[must_use]
    pub fn now(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Asks once.
    ///
    /// # Errors
    /// A sentence: why there is no page, and what to do where that is known.
    pub fn page(&self) -> Result<Snapshot, String> {
        let asked = self.ask();
        let Err(why) = asked else { return asked };
        let Some(seen) = self.trust.stranger() else { return Err(why) };
        if !self.accept {
            return Err(format!(
                "the certificate is signed by nobody known. If this is its SHA-256 fingerprint as the server printed it \
                 at its start, give --fingerprint {seen}; else see --certificate and --ca"
            ));
        }
        self.trust.accept(seen).map_err(|error| error.to_string())?;
        self.ask()
    }

    fn ask(&self) -> Result<Snapshot, String> {
        let at = self.now();
        let mut request = self.agent.get(format!("https://{}/metrics", self.address.authority()));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        // rustls calls what our own look at the certificate says unexpected.
        let plain = |error: &ureq::Error| rest::plain(error).replace("unexpected error: ", "");
        let mut response = request.call().map_err(|error| plain(&error))?;
        let hint = "this should be the operators' listener (server.admin_listen), by default port 9443";
        let status = response.status().as_u16();
        if status != 200 {
            return Err(format!("/metrics answered {status}; {hint}"));
        }
        let body = response.body_mut().with_config().limit(PAGE_BYTES_MAX).read_to_string();
        let text = body.map_err(|error| plain(&error))?;
        let page = Page::parse(&text).map_err(|error| format!("/metrics: {error}; {hint}"))?;
        if !page.has("causerie_build_info") {
            return Err(format!("/metrics has no causerie_build_info, so this is no Causerie; {hint}"));
        }
        Ok(Snapshot { at, page })
    }

    /// Asks again and again, from a thread of its own, so that a server that does not answer holds nobody up.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn watch(self, every: Duration) -> std::io::Result<Receiver<Result<Snapshot, String>>> {
        let (sender, receiver): (SyncSender<_>, _) = sync_channel(4);
        thread::Builder::new().name("causerie-top".to_owned()).spawn(move || {
            let mut next = Instant::now();
            // Ends when nobody listens any more.
            while sender.send(self.page()).is_ok() {
                // What was missed (a slow answer, a stopped process) is not made up for.
                next = (next + every).max(Instant::now());
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        })?;
        Ok(receiver)
    }
}
