//! TLS without IO: ciphertext in, plaintext out, and the other way round, over rustls' unbuffered API. An idle connection keeps rustls'
//! own state and the bytes of a record that is not complete yet, and nothing else. Serves clients, and the server's end of the limit.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, ServerConfig};

/// What a record adds to its plaintext at most, rounded up.
const OVERHEAD: usize = 64;
/// Plaintext of one record at most.
pub const RECORD: usize = 16 * 1024;

/// The two ends of a connection; rustls has the same function for both, but not in one trait.
pub trait End {
    /// rustls' data of this end.
    type Data;
    /// `process_tls_records` of this end.
    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl End for UnbufferedClientConnection {
    type Data = rustls::client::ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }
}

impl End for UnbufferedServerConnection {
    type Data = rustls::server::ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }
}

/// One end of one connection.
pub struct Tls<E = UnbufferedClientConnection> {
    end: E,
    rest: Vec<u8>,
    /// Whether the handshake is done.
    pub established: bool,
    /// Whether the peer said that nothing more comes.
    pub ended: bool,
}

impl Tls {
    /// A client's connection at its beginning: what is to be sent first is appended to `out`.
    ///
    /// # Errors
    /// When rustls refuses the configuration.
    pub fn new(config: Arc<ClientConfig>, name: ServerName<'static>, out: &mut Vec<u8>) -> Result<Self, rustls::Error> {
        let end = UnbufferedClientConnection::new(config, name)?;
        let mut tls = Self { end, rest: Vec::new(), established: false, ended: false };
        tls.run(&mut [], &mut Vec::new(), out)?;
        Ok(tls)
    }
}

impl Tls<UnbufferedServerConnection> {
    /// A server's connection at its beginning.
    ///
    /// # Errors
    /// When rustls refuses the configuration.
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        let end = UnbufferedServerConnection::new(config)?;
        Ok(Self { end, rest: Vec::new(), established: false, ended: false })
    }
}

impl<E: End> Tls<E> {
    /// Takes ciphertext (changed in place), appends plaintext to `plain` and what must be sent to `out`.
    ///
    /// # Errors
    /// When the connection cannot go on.
    pub fn feed(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), rustls::Error> {
        if self.rest.is_empty() {
            let used = self.run(bytes, plain, out)?;
            if used < bytes.len() {
                self.rest = bytes[used..].to_vec();
            }
        } else {
            let mut all = std::mem::take(&mut self.rest);
            all.extend_from_slice(bytes);
            let used = self.run(&mut all, plain, out)?;
            if used < all.len() {
                all.drain(..used);
                self.rest = all;
            }
        }
        Ok(())
    }

    /// Lets rustls work until it wants more; answers how many bytes it is done with.
    fn run(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<usize, rustls::Error> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state, .. } = self.end.process(&mut bytes[used..]);
            let mut more = true;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, out)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.ended = true,
                ConnectionState::WriteTraffic(_) => {
                    self.established = true;
                    more = false;
                }
                _ => more = false,
            }
            used += discard;
            if !more {
                return Ok(used);
            }
        }
    }

    /// Appends `plain`, sealed, to `out`.
    ///
    /// # Errors
    /// When the connection cannot be written to.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), rustls::Error> {
        loop {
            // The incomplete bytes are shown again, since rustls remembers how far into them it is.
            match self.end.process(&mut self.rest).state? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let start = out.len();
                    let mut room = plain.len() + (plain.len() / RECORD + 1) * OVERHEAD;
                    loop {
                        out.resize(start + room, 0);
                        match traffic.encrypt(plain, &mut out[start..]) {
                            Ok(written) => {
                                out.truncate(start + written);
                                return Ok(());
                            }
                            Err(EncryptError::InsufficientSize(size)) if size.required_size > room => {
                                room = size.required_size;
                            }
                            Err(why) => {
                                out.truncate(start);
                                return Err(rustls::Error::General(why.to_string()));
                            }
                        }
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, out)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.ended = true,
                _ => return Err(rustls::Error::HandshakeNotComplete),
            }
        }
    }
}

fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, out: &mut Vec<u8>) -> Result<(), rustls::Error> {
    let start = out.len();
    let mut room = 4096;
    loop {
        out.resize(start + room, 0);
        match data.encode(&mut out[start..]) {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(size)) if size.required_size > room => room = size.required_size,
            Err(why) => {
                out.truncate(start);
                return Err(rustls::Error::General(why.to_string()));
            }
        }
    }
}
