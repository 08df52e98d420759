//! Encryption on the way to the database, and the folder in which a hosted database puts all that a client needs.
//!
//! rustls with our own provider (ring), whatever the driver's features bring along. The nodes' certificates are checked against the one
//! authority that is named, and their names against the addresses that are asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use scylla::client::session_builder::SessionBuilder;

use super::connect::TlsFiles;
use crate::store::Failure;

fn refuse<T>(text: String) -> Result<T, Failure> {
    Err(Failure::Unavailable(text))
}

pub(super) fn encrypt(builder: SessionBuilder, files: Option<&TlsFiles>) -> Result<SessionBuilder, Failure> {
    let Some(files) = files else { return Ok(builder) };
    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>, Failure> {
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        read.map_err(|e| Failure::Unavailable(format!("{}: {e}", path.display())))
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(&files.ca)? {
        roots.add(certificate).map_err(|e| Failure::Unavailable(format!("{}: {e}", files.ca.display())))?;
    }
    if roots.is_empty() {
        return refuse(format!("{} holds no certificate", files.ca.display()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|e| Failure::Unavailable(e.to_string()))?.with_root_certificates(roots);
    let config = match &files.own {
        None => config.with_no_client_auth(),
        Some((cert, key)) => {
            let own = PrivateKeyDer::from_pem_file(key);
            let own = own.map_err(|e| Failure::Unavailable(format!("{}: {e}", key.display())))?;
            let config = config.with_client_auth_cert(certificates(cert)?, own);
            config.map_err(|e| Failure::Unavailable(format!("{}: {e}", cert.display())))?
        }
    };
    Ok(builder.tls_context(Some(Arc::new(config))))
}

/// What a secure connection bundle says, unpacked into a folder: `config.json` (`host`, `cql_port` or `port`, `keyspace`, `localDC`,
/// `username`, `password`), `ca.crt`, `cert`, `key`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    pub(super) nodes: Vec<String>,
    pub(super) keyspace: Option<String>,
    pub(super) datacenter: Option<String>,
    pub(super) login: Option<(String, String)>,
    pub(super) tls: TlsFiles,
}

impl Bundle {
    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("config.json");
        let said = |why: &dyn std::fmt::Display| format!("the bundle {}: {why}", path.display());
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) => return refuse(said(&e)),
        };
        let json: serde_json::Value = match serde_json::from_str(&text) {
            Ok(json) => json,
            Err(e) => return refuse(said(&e)),
        };
        let word = |name: &str| json.get(name).and_then(serde_json::Value::as_str).filter(|word| !word.is_empty());
        let port = ["cql_port", "port"].iter().find_map(|name| json.get(*name).and_then(serde_json::Value::as_u64));
        let (Some(host), Some(port)) = (word("host"), port) else {
            return refuse(said(&"it lacks host and cql_port"));
        };
        let login =
            word("username").zip(word("password")).map(|(user, password)| (user.to_owned(), password.to_owned()));
        let own: (PathBuf, PathBuf) = (folder.join("cert"), folder.join("key"));
        Ok(Self {
            nodes: vec![format!("{host}:{port}")],
            keyspace: word("keyspace").map(str::to_owned),
            datacenter: word("localDC").map(str::to_owned),
            login,
            tls: TlsFiles { ca: folder.join("ca.crt"), own: own.0.exists().then_some(own) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_read_and_what_it_lacks_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Bundle::read(folder.path()).is_err());
        let write = |text: &str| std::fs::write(folder.path().join("config.json"), text).expect("written");
        write("{\"host\": \"db.example\"}");
        assert!(Bundle::read(folder.path()).expect_err("no port").to_string().contains("cql_port"));
        write(
            "{\"host\": \"db.example\", \"cql_port\": 29042, \"keyspace\": \"k\", \"localDC\": \"dc1\", \"username\": \"u\", \"password\": \"p\"}",
        );
        let bundle = Bundle::read(folder.path()).expect("whole");
        assert_eq!(bundle.nodes, ["db.example:29042"]);
        assert_eq!((bundle.keyspace.as_deref(), bundle.datacenter.as_deref()), (Some("k"), Some("dc1")));
        assert_eq!(bundle.login, Some(("u".to_owned(), "p".to_owned())));
        assert_eq!(bundle.tls, TlsFiles { ca: folder.path().join("ca.crt"), own: None });
        std::fs::write(folder.path().join("cert"), "x").expect("written");
        assert!(Bundle::read(folder.path()).expect("whole").tls.own.is_some());
    }
}
