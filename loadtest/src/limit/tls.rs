//! How both ends of the limit are set up for TLS: as the server is, so that sealing costs the same here.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig};

use crate::tls::Trust;
use crate::{Context as _, Failure};

/// What the sending side makes its connections with: a certificate made now, TLS 1.3, two tickets a handshake, as the server has it.
///
/// # Errors
/// Never in practice.
pub(super) fn server_config() -> Result<Arc<ServerConfig>, Failure> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).context("making a certificate")?;
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .context("choosing TLS 1.3")?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .context("using the certificate")?;
    config.ticketer = ring::Ticketer::new().context("making tickets")?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 2;
    Ok(Arc::new(config))
}

/// What the receiving side makes its connections with: whoever answers is believed, for it was started by the same command.
///
/// # Errors
/// Never in practice.
pub(super) fn client_config() -> Result<Arc<ClientConfig>, Failure> {
    Trust::Any.config()
}
