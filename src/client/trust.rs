//! Which server is talked to: TLS with the system's authorities, a given one, a given fingerprint, or the certificate seen first.
//!
//! A server that makes its own certificate is recognised the way ssh does it: its fingerprint is asked for once and kept; another
//! one later is refused. The signature of the handshake is always checked, so a fingerprint is a proof.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// SHA-256 of a certificate. Shown as the server prints it: pairs of hex digits with colons.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        Self(digest.as_ref().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
    }

    /// Of the first certificate in a PEM file: a server's own, such as `tls-cert.pem` in its data directory.
    ///
    /// # Errors
    /// Names the file, when it cannot be read or holds none.
    pub fn of_file(file: &Path) -> io::Result<Self> {
        let named = |error: String| io::Error::other(format!("{}: {error}", file.display()));
        let pem = fs::read(file).map_err(|error| named(error.to_string()))?;
        match CertificateDer::pem_slice_iter(&pem).next() {
            Some(Ok(certificate)) => Ok(Self::of(&certificate)),
            _ => Err(named("there is no certificate in PEM form in it".to_owned())),
        }
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, digit) in self.0.chars().enumerate() {
            let colon = if i > 0 && i % 2 == 0 { ":" } else { "" };
            write!(f, "{colon}{}", digit.to_ascii_uppercase())?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        let hex: String =
            lower.trim_start_matches("sha256").chars().filter(|c| !matches!(c, ':' | ' ' | '=')).collect();
        if hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()) {
            return Ok(Self(hex));
        }
        Err("a fingerprint is the SHA-256 of the certificate: 64 hex digits, as the server prints it at its start"
            .to_owned())
    }
}

/// What makes a server the right one.
#[derive(Clone, Debug)]
pub enum Policy {
    /// Exactly this certificate.
    Pinned(Fingerprint),
    /// The first that is accepted, for as long as this process runs.
    Once,
    /// Any. What is read may be anybody's.
    Any,
    /// Signed by one of these, or known from before.
    Known {
        /// PEM file of authorities; `None`: the system's.
        authorities: Option<PathBuf>,
        /// `host:port`, the name under which it is known.
        server: String,
        /// The file of known servers.
        file: PathBuf,
    },
}

/// TLS for one server, and what is known of it.
#[derive(Debug)]
pub struct Trust {
    /// For connections.
    pub config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
}

impl Trust {
    /// TLS by this policy.
    ///
    /// # Errors
    /// When a file of authorities or known servers cannot be read; the text says which.
    pub fn new(policy: Policy) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (roots, pin) = match &policy {
            Policy::Pinned(pin) => (RootCertStore::empty(), Some(pin.clone())),
            Policy::Once | Policy::Any => (RootCertStore::empty(), None),
            Policy::Known { authorities, server, file } => {
                (roots(authorities.as_deref())?, known(file)?.remove(server))
            }
        };
        let authorities = if roots.is_empty() {
            None
        } else {
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            Some(builder.build().map_err(io::Error::other)?)
        };
        let (pin, seen) = (Mutex::new(pin), Mutex::new(None));
        let verifier = Arc::new(Verifier { policy, authorities, pin, seen, provider: Arc::clone(&provider) });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<Verifier>::clone(&verifier))
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), verifier })
    }

    /// The certificate that was refused last because nothing is known of it.
    #[must_use]
    pub fn stranger(&self) -> Option<Fingerprint> {
        lock(&self.verifier.seen).clone()
    }

    /// From now on, this certificate is the server's; written to the file of known servers.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn accept(&self, fingerprint: Fingerprint) -> io::Result<()> {
        if let Policy::Known { server, file, .. } = &self.verifier.policy {
            let mut all = known(file)?;
            all.insert(server.clone(), fingerprint.clone());
            let lines: Vec<_> = all.iter().map(|(server, pin)| format!("{server} sha256:{pin}\n")).collect();
            super::files::write(file, lines.concat().as_bytes())?;
        }
        *lock(&self.verifier.pin) = Some(fingerprint);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where Debian, Fedora, SUSE and the BSDs keep the system's authorities.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

fn roots(given: Option<&Path>) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    let Some(file) = given.or_else(|| BUNDLES.iter().map(Path::new).find(|file| file.exists())) else {
        return Ok(store);
    };
    let read = |error| io::Error::other(format!("{}: {error}", file.display()));
    let pem = fs::read(file).map_err(|error| read(error.to_string()))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
    let (added, _) = store.add_parsable_certificates(certificates);
    if given.is_some() && added == 0 {
        return Err(read("there is no certificate of an authority in it".to_owned()));
    }
    Ok(store)
}

fn known(file: &Path) -> io::Result<BTreeMap<String, Fingerprint>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(server, pin)| pin.parse().ok().map(|pin| (server.to_owned(), pin)))
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(io::Error::other(format!("{}: {error}", file.display()))),
    }
}

#[derive(Debug)]
struct Verifier {
    policy: Policy,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    pin: Mutex<Option<Fingerprint>>,
    seen: Mutex<Option<Fingerprint>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let fingerprint = Fingerprint::of(end_entity);
        let pin = lock(&self.pin).clone();
        if pin.as_ref() == Some(&fingerprint) || matches!(self.policy, Policy::Any) {
            return Ok(ServerCertVerified::assertion());
        }
        if let Some(authorities) = &self.authorities {
            let by = authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
            if by.is_ok() {
                return by;
            }
        }
        match (pin, &self.policy) {
            (Some(pin), Policy::Known { server, file, .. }) => Err(rustls::Error::General(format!(
                "the certificate of {server} is not the one that is known. Known is {pin}, seen was {fingerprint}. If the \
                 server got a new certificate, take its line out of {} and connect again",
                file.display()
            ))),
            (Some(pin), Policy::Pinned(_) | Policy::Once | Policy::Any) => {
                Err(rustls::Error::General(format!("the server's fingerprint is {fingerprint}, wanted is {pin}")))
            }
            (None, _) => {
                *lock(&self.seen) = Some(fingerprint);
                Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_in_the_usual_forms() {
        let hex = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        for text in [hex.clone(), format!("sha256:{hex}"), colons.clone(), format!("SHA256 {colons}")] {
            assert_eq!(text.parse(), Ok(Fingerprint(hex.clone())), "{text}");
            assert_eq!(Fingerprint(hex.clone()).to_string(), colons);
        }
        assert!("ab".parse::<Fingerprint>().is_err());
        assert!("zz".repeat(32).parse::<Fingerprint>().is_err());
    }

    #[test]
    fn accepted_servers_are_known_the_next_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("deep/known_servers");
        let policy = |server: &str| Policy::Known { authorities: None, server: server.into(), file: file.clone() };
        let pin: Fingerprint = "cd".repeat(32).parse().expect("hex");
        Trust::new(policy("a:1")).expect("trust").accept(pin.clone()).expect("written");
        Trust::new(policy("b:2")).expect("trust").accept("ef".repeat(32).parse().expect("hex")).expect("written");
        let again = Trust::new(policy("a:1")).expect("trust");
        assert_eq!(*lock(&again.verifier.pin), Some(pin));
    }
}
