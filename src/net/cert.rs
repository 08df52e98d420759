//! The server's certificate: made at the first start or read from configured files, changed while running, shared by all shards.
//!
//! Promises: one `ServerConfig` for all shards, so that a session may be resumed on any of them; [`Certs::reload`] changes what
//! new handshakes use and touches no connection; a failed reload leaves the old certificate in place and says what is wrong.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// How long a self-signed certificate is valid: below the 825 days that Apple's clients allow.
const SELF_SIGNED_DAYS: u64 = 800;
/// A new one is made at a start this long before its end.
const SELF_SIGNED_RENEW_DAYS: u64 = 30;
const DAY: Duration = Duration::from_hours(24);

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum CertSource {
    /// PEM files given in the configuration (`tls.cert`, `tls.key`).
    Files {
        /// The certificate and its chain, leaf first.
        cert: PathBuf,
        /// The private key (PKCS #8, SEC 1 or PKCS #1).
        key: PathBuf,
    },
    /// `tls-cert.pem` and `tls-key.pem` in this directory, made when they are missing or about to expire.
    SelfSigned {
        /// The data directory.
        dir: PathBuf,
    },
}

/// What is wrong with a certificate or key, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CertProblem {
    /// A file cannot be read or written.
    #[error("{path}: {source}; check that the file exists and that this user may use it")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{path}: {what}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong and what was wanted.
        what: String,
    },
    /// Certificate and key are no pair.
    #[error("{cert} and {key} do not belong together; give the key that this certificate was made for")]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// rcgen or rustls refused.
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
}

/// The certificate of the moment and the configuration that uses it. Clone and share between shards.
#[derive(Clone, Debug)]
pub struct Certs {
    source: CertSource,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

/// What new handshakes use. The lock is held for a clone, in a handshake only.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    fn get(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

impl Certs {
    /// Loads (or makes) the certificate.
    ///
    /// # Errors
    /// What is wrong, with the file's name.
    pub fn load(source: CertSource) -> Result<Self, CertProblem> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let current = Arc::new(Current(RwLock::new(Arc::new(certified(&source, &provider)?))));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| CertProblem::Unusable(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        // Tickets that any shard can open, instead of a cache that all shards would lock.
        config.ticketer =
            rustls::crypto::ring::Ticketer::new().map_err(|error| CertProblem::Unusable(error.to_string()))?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 2;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { source, current, config: Arc::new(config) })
    }

    /// Reads the files again; new handshakes use what they hold. Answers the fingerprint.
    ///
    /// # Errors
    /// What is wrong; the certificate stays as it was.
    pub fn reload(&self) -> Result<String, CertProblem> {
        let fresh = Arc::new(certified(&self.source, self.config.crypto_provider())?);
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(self.fingerprint())
    }

    /// SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` and browsers print it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let key = self.current.get();
        let Some(leaf) = key.cert.first() else { return String::new() };
        let digest = ring::digest::digest(&ring::digest::SHA256, leaf);
        digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }

    /// When the certificate ends, in seconds since 1970. `None`: it does not say so in a form that is understood.
    #[must_use]
    pub fn ends(&self) -> Option<u64> {
        super::expiry::not_after(self.current.get().cert.first()?)
    }

    /// Whether this is the certificate that the server made itself.
    #[must_use]
    pub fn self_signed(&self) -> bool {
        matches!(self.source, CertSource::SelfSigned { .. })
    }

    /// The file of the certificate, for clients that pin it.
    #[must_use]
    pub fn cert_path(&self) -> PathBuf {
        match &self.source {
            CertSource::Files { cert, .. } => cert.clone(),
            CertSource::SelfSigned { dir } => dir.join("tls-cert.pem"),
        }
    }

    /// What connections are made with.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

fn certified(source: &CertSource, provider: &CryptoProvider) -> Result<CertifiedKey, CertProblem> {
    match source {
        CertSource::Files { cert, key } => read_pair(cert, key, provider),
        CertSource::SelfSigned { dir } => {
            let (cert, key) = (dir.join("tls-cert.pem"), dir.join("tls-key.pem"));
            if !usable_for_long(&cert) || !key.exists() {
                make(dir, &cert, &key)?;
            }
            read_pair(&cert, &key, provider)
        }
    }
}

fn read_pair(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, CertProblem> {
    let content = |path: &Path, what: String| CertProblem::Content { path: path.to_owned(), what };
    let chain = CertificateDer::pem_slice_iter(&read(cert)?).collect::<Result<Vec<_>, _>>().map_err(|error| {
        content(cert, format!("not readable as PEM ({error}); a certificate in PEM form is wanted"))
    })?;
    if chain.is_empty() {
        return Err(content(cert, "holds no certificate; it must begin with -----BEGIN CERTIFICATE-----".into()));
    }
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| {
        content(key, format!("holds no private key in PEM form ({error}); encrypted keys must be decrypted first"))
    })?;
    let signer = provider.key_provider.load_private_key(secret).map_err(|error| {
        content(key, format!("a key of this kind cannot be used ({error}); use ECDSA P-256 or RSA"))
    })?;
    let pair = CertifiedKey::new(chain, signer);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(CertProblem::Mismatch { cert: cert.to_owned(), key: key.to_owned() })
        }
        Err(error) => Err(content(cert, format!("not a certificate that can be used ({error})"))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CertProblem> {
    fs::read(path).map_err(|source| CertProblem::File { path: path.to_owned(), source })
}

/// The self-made file says in a line of its own, before the PEM block, when it ends.
const UNTIL: &str = "Valid until (unix seconds): ";

fn usable_for_long(cert: &Path) -> bool {
    let Ok(text) = fs::read_to_string(cert) else { return false };
    let until = text.lines().find_map(|line| line.strip_prefix(UNTIL)?.trim().parse::<u64>().ok());
    let renew = unix_now() + SELF_SIGNED_RENEW_DAYS * DAY.as_secs();
    // A file without the line was put there by hand: leave it alone.
    until.is_none_or(|until| until > renew)
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn make(dir: &Path, cert: &Path, key: &Path) -> Result<(), CertProblem> {
    let unusable = |error: rcgen::Error| CertProblem::Unusable(error.to_string());
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if !host.is_empty() && host.chars().all(plain) && !names.contains(&host) {
        names.push(host);
    }
    let mut params = rcgen::CertificateParams::new(names).map_err(unusable)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Causerie, self-signed");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::now();
    let until = now + DAY * u32::try_from(SELF_SIGNED_DAYS).unwrap_or(0);
    params.not_before = (now - DAY).into();
    params.not_after = until.into();
    let pair = rcgen::KeyPair::generate().map_err(unusable)?;
    let made = params.self_signed(&pair).map_err(unusable)?;
    let until = until.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());

    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CertProblem::File { path, source }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    write_whole(key, pair.serialize_pem().as_bytes(), 0o600).map_err(failed(key))?;
    write_whole(cert, format!("{UNTIL}{until}\n{}", made.pem()).as_bytes(), 0o644).map_err(failed(cert))
}

/// Writes beside and renames, so that a crash leaves the old file or the new one.
fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = path.with_extension("pem.new");
    let _ = fs::remove_file(&beside);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_self_signed_certificate_is_made_once_and_its_key_is_for_nobody_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let source = CertSource::SelfSigned { dir: dir.path().join("data") };
        let certs = Certs::load(source.clone()).expect("made");
        assert_eq!(certs.fingerprint().len(), 32 * 3 - 1);
        assert!(certs.self_signed());
        let key = dir.path().join("data/tls-key.pem");
        assert_eq!(fs::metadata(key).expect("a key").permissions().mode() & 0o777, 0o600);
        assert_eq!(Certs::load(source.clone()).expect("read").fingerprint(), certs.fingerprint());

        // About to end: a new one at the next start.
        let path = certs.cert_path();
        let text = fs::read_to_string(&path).expect("a certificate");
        let old: String =
            text.lines().map(|l| if l.starts_with(UNTIL) { format!("{UNTIL}5\n") } else { format!("{l}\n") }).collect();
        fs::write(&path, old).expect("written");
        assert_ne!(Certs::load(source).expect("made again").fingerprint(), certs.fingerprint());
    }

    #[test]
    fn what_is_wrong_with_files_is_said_by_name_and_a_failed_reload_changes_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        for name in ["a", "b"] {
            Certs::load(CertSource::SelfSigned { dir: path(name) }).expect("made");
        }
        let files = |cert: &str, key: &str| CertSource::Files { cert: path(cert), key: path(key) };
        let problem = |source| Certs::load(source).expect_err("must be refused").to_string();
        assert!(problem(files("none.pem", "a/tls-key.pem")).contains("none.pem"));
        assert!(problem(files("a/tls-cert.pem", "b/tls-key.pem")).contains("do not belong together"));
        assert!(problem(files("a/tls-key.pem", "a/tls-key.pem")).contains("holds no certificate"));
        assert!(problem(files("a/tls-cert.pem", "a/tls-cert.pem")).contains("holds no private key"));

        fs::copy(path("a/tls-cert.pem"), path("live.pem")).expect("copied");
        fs::copy(path("a/tls-key.pem"), path("live-key.pem")).expect("copied");
        let certs = Certs::load(files("live.pem", "live-key.pem")).expect("loaded");
        let before = certs.fingerprint();
        fs::copy(path("b/tls-cert.pem"), path("live.pem")).expect("copied");
        assert!(certs.reload().is_err());
        assert_eq!(certs.fingerprint(), before);
        fs::copy(path("b/tls-key.pem"), path("live-key.pem")).expect("copied");
        assert_ne!(certs.reload().expect("reloaded"), before);
    }
}
