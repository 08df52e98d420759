//! A set of public keys (JWKS) from a file or an address.
//!
//! An address is asked with a time-out, without following redirects (a redirect could leave TLS, or this network), and against the
//! certificates the system trusts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::{KeysError, files};
use crate::auth::keyset::{Algorithm, KEY_TEXT_BYTES_MAX, Key, parse_jwks};

/// Where a set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// In a file.
    File(PathBuf),
    /// At an address: `https://`, or `http://` on this machine (which the configuration has checked).
    Url(String),
}

const TIMEOUT: Duration = Duration::from_secs(10);
/// Where systems keep the certificates they trust; `SSL_CERT_FILE` goes before them.
const TRUSTED: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Reads the set. Keys for algorithms that are not allowed, and entries that cannot be used, are passed over and logged.
pub(super) fn load(at: &At, algorithms: &[Algorithm]) -> Result<Vec<Key>, KeysError> {
    let (name, text) = match at {
        At::File(path) => (path.display().to_string(), files::read_limited(path)?),
        At::Url(url) => (url.clone(), fetch(url)?),
    };
    let set = parse_jwks(&text).map_err(|flaw| KeysError::Key { at: name.clone(), flaw })?;
    for (entry, flaw) in set.skipped {
        tracing::debug!(at = name, entry, %flaw, "a key was passed over");
    }
    Ok(set.keys.into_iter().filter(|key| algorithms.contains(&key.algorithm())).collect())
}

fn fetch(url: &str) -> Result<Vec<u8>, KeysError> {
    let failed = |cause: String| KeysError::Fetch { url: url.to_owned(), cause };
    let mut config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).max_redirects(0);
    if url.starts_with("https://") {
        config = config.https_only(true).tls_config(tls().map_err(failed)?);
    }
    let agent = config.build().new_agent();
    let mut response =
        agent.get(url).header("accept", "application/json").call().map_err(|error| failed(error.to_string()))?;
    if response.status() != http::StatusCode::OK {
        return Err(failed(format!("it answered {} and not 200", response.status())));
    }
    let body = response.body_mut().with_config().limit(KEY_TEXT_BYTES_MAX as u64).read_to_vec();
    body.map_err(|error| failed(error.to_string()))
}

fn tls() -> Result<TlsConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCerts::from(trusted()?);
    Ok(TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(roots).build())
}

fn trusted() -> Result<Vec<ureq::tls::Certificate<'static>>, String> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let mut places = named.into_iter().chain(TRUSTED.iter().map(PathBuf::from));
    let Some(bytes) = places.find_map(|path| std::fs::read(path).ok()) else {
        return Err("this machine has no list of trusted certificates: install ca-certificates, or set SSL_CERT_FILE"
            .to_owned());
    };
    let certificates = parse_pem(&bytes).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        Ok(_) | Err(_) => None,
    });
    Ok(certificates.collect())
}
