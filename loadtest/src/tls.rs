//! TLS to a server whose certificate is pinned: nothing but exactly that certificate is believed, and its signatures are checked.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::{Context as _, Failure};

/// An encrypted stream.
pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Which server is believed.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The one that shows one of these certificates.
    Pinned(Vec<CertificateDer<'static>>),
    /// Any. For runs against a server of one's own on loopback.
    Any,
}

impl Trust {
    /// Believes the certificates of a PEM file.
    ///
    /// # Errors
    /// When it cannot be read or holds none.
    pub fn file(path: &Path) -> Result<Self, Failure> {
        let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
            .context("reading the certificate")?
            .collect::<Result<_, _>>()
            .context("reading the certificate")?;
        if certificates.is_empty() {
            return Err(Failure::new(format!("{}", path.display()), "it holds no certificate"));
        }
        Ok(Self::Pinned(certificates))
    }

    /// Believes the certificates of a PEM text.
    ///
    /// # Errors
    /// When it holds none.
    pub fn pem(text: &str) -> Result<Self, Failure> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<_, _>>()
            .context("reading the certificate")?;
        if certificates.is_empty() {
            return Err(Failure::new("reading the certificate", "the text holds none"));
        }
        Ok(Self::Pinned(certificates))
    }

    /// The configuration of clients that believe so. Sessions are not resumed: each connection shakes hands in full.
    ///
    /// # Errors
    /// Never in practice: ring knows the versions asked for.
    pub fn config(self) -> Result<Arc<ClientConfig>, Failure> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .context("choosing TLS versions")?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { trust: self, provider }))
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// Opens TCP to `host:port` and puts TLS on it. The handshake happens with the first bytes.
///
/// # Errors
/// When nobody answers within ten seconds.
pub fn connect(address: &str, config: &Arc<ClientConfig>) -> Result<Stream, Failure> {
    let what = format!("connecting to {address}");
    // A name such as localhost may have several addresses, of which the server listens on one.
    let mut tcp = Err(Failure::new(&what, "the name has no address"));
    for resolved in address.to_socket_addrs().context(&what)? {
        tcp = TcpStream::connect_timeout(&resolved, Duration::from_secs(10)).context(&what);
        if tcp.is_ok() {
            break;
        }
    }
    let tcp = tcp?;
    tcp.set_nodelay(true).context(&what)?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).to_owned();
    let name = ServerName::try_from(host).context(&what)?;
    let connection = ClientConnection::new(config.clone(), name).context(&what)?;
    Ok(StreamOwned::new(connection, tcp))
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.trust {
            Trust::Any => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(known) if known.contains(end_entity) => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(_) => Err(rustls::Error::General("this is not the pinned certificate".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
