//! TLS over memory for both ends of the limit: rustls' unbuffered API, as the server uses it, so that sealing costs the same here.
//!
//! It does: the handshake, sealing one record, opening whole records. It does not do: alerts, close_notify, key updates; a
//! connection that gets one is broken, and with it the measurement.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, ServerConfig};

use crate::tls::Trust;
use crate::{Context as _, Failure};

/// What a record adds to its plaintext at most.
const RECORD_OVERHEAD: usize = 40;

/// The two ends of a connection; rustls has the same function for both, but not in one trait.
pub(super) trait End {
    /// rustls' data of this end.
    type Data;
    /// `process_tls_records` of this end.
    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl End for UnbufferedServerConnection {
    type Data = rustls::server::ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }
}

impl End for UnbufferedClientConnection {
    type Data = rustls::client::ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }
}

/// One end of one connection.
pub(super) struct Tls<E> {
    end: E,
    /// The beginning of a record that is not complete yet; unallocated otherwise.
    incoming: Vec<u8>,
    /// Whether data may be sent.
    pub(super) established: bool,
}

impl Tls<UnbufferedServerConnection> {
    /// A server's end.
    ///
    /// # Errors
    /// When rustls does not like the configuration.
    pub(super) fn server(config: &Arc<ServerConfig>) -> Result<Self, Failure> {
        let end = UnbufferedServerConnection::new(Arc::clone(config)).context("making a TLS connection")?;
        Ok(Self { end, incoming: Vec::new(), established: false })
    }
}

impl Tls<UnbufferedClientConnection> {
    /// A client's end.
    ///
    /// # Errors
    /// When rustls does not like the configuration.
    pub(super) fn client(config: &Arc<ClientConfig>) -> Result<Self, Failure> {
        let name = ServerName::try_from("localhost").context("naming the server")?;
        let end = UnbufferedClientConnection::new(Arc::clone(config), name).context("making a TLS connection")?;
        Ok(Self { end, incoming: Vec::new(), established: false })
    }
}

impl<E: End> Tls<E> {
    /// Takes what was read; hands decrypted bytes to `plain` and appends to `out` what must be sent.
    ///
    /// # Errors
    /// When the peer said something that rustls refuses, or ended the connection.
    pub(super) fn feed(
        &mut self,
        bytes: &mut [u8],
        plain: &mut dyn FnMut(&[u8]),
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        if self.incoming.is_empty() {
            let used = self.work(bytes, plain, out)?;
            if let Some(rest @ [_, ..]) = bytes.get(used..) {
                self.incoming = rest.to_vec();
            }
            return Ok(());
        }
        let mut all = std::mem::take(&mut self.incoming);
        all.extend_from_slice(bytes);
        let used = self.work(&mut all, plain, out)?;
        if used < all.len() {
            all.drain(..used);
            self.incoming = all;
        }
        Ok(())
    }

    fn work(&mut self, bytes: &mut [u8], plain: &mut dyn FnMut(&[u8]), out: &mut Vec<u8>) -> Result<usize, Failure> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state, .. } =
                self.end.process(bytes.get_mut(used..).unwrap_or_default());
            let mut more = true;
            match state.context("TLS")? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.context("TLS")?;
                        discard += record.discard;
                        plain(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    let start = out.len();
                    let mut room = 2048;
                    loop {
                        out.resize(start + room, 0);
                        match data.encode(out.get_mut(start..).unwrap_or_default()) {
                            Ok(written) => break out.truncate(start + written),
                            Err(EncodeError::InsufficientSize(size)) if size.required_size > room => {
                                room = size.required_size;
                            }
                            Err(why) => return Err(Failure::new("TLS", why)),
                        }
                    }
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::WriteTraffic(_) => {
                    self.established = true;
                    more = false;
                }
                ConnectionState::BlockedHandshake => more = false,
                _ => return Err(Failure::new("TLS", "the peer ended the connection")),
            }
            used += discard;
            if !more {
                return Ok(used);
            }
        }
    }

    /// Appends `plain` to `out` as one record.
    ///
    /// # Errors
    /// When the handshake is not done, or the plaintext does not fit into a record.
    pub(super) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let start = out.len();
        let ConnectionState::WriteTraffic(mut traffic) = self.end.process(&mut []).state.context("sealing")? else {
            return Err(Failure::new("sealing", "the connection is not established"));
        };
        out.resize(start + plain.len() + RECORD_OVERHEAD, 0);
        match traffic.encrypt(plain, out.get_mut(start..).unwrap_or_default()) {
            Ok(written) => out.truncate(start + written),
            Err(EncryptError::InsufficientSize(_)) => {
                return Err(Failure::new("sealing", "it is more than one record; take a smaller batch"));
            }
            Err(why) => return Err(Failure::new("sealing", why)),
        }
        Ok(())
    }
}

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
