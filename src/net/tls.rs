//! TLS 1.2/1.3 without IO, server side: ciphertext in, plaintext out, and the other way round, over rustls' unbuffered API.
//!
//! Promises: an idle connection keeps only rustls' own state and the bytes of a record that is not complete yet; what a peer may
//! send before it is established is bounded; alerts and close_notify are made for the caller to send; an end without
//! close_notify can be told from an orderly one ([`Tls::peer_closed`]). It does not do: sockets, time limits, certificates.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

/// Bytes that a peer may send until the handshake is done (a client's hello with everything in it is below 4 KiB).
pub const HANDSHAKE_BYTES_MAX: usize = 32 * 1024;
/// Bytes of an incomplete record (and of handshake messages after the handshake) that are kept.
const INCOMPLETE_BYTES_MAX: usize = 20 * 1024;
/// What a record adds to its plaintext at most: header, explicit nonce, tag, content type; rounded up.
const RECORD_OVERHEAD: usize = 40;
/// The first byte of a TLS record that carries a handshake.
const HANDSHAKE_RECORD: u8 = 0x16;
const RECORD_PLAIN: usize = 16 * 1024;

/// Why a TLS connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// rustls refused what the peer sent; an alert was appended for the peer.
    #[error(transparent)]
    Peer(#[from] rustls::Error),
    /// The first byte is not that of a TLS handshake record.
    #[error("the peer does not speak TLS")]
    NotTls,
    /// More bytes than a handshake or a record may have.
    #[error("the peer sent more than a handshake or a record may hold")]
    TooMuch,
    /// Plaintext cannot be sealed: not established, already closed, or the keys are worn out.
    #[error("the connection cannot be written to any more")]
    Unwritable,
}

/// One TLS connection.
pub struct Tls {
    conn: UnbufferedServerConnection,
    /// The beginning of what is not complete yet; unallocated otherwise.
    incoming: Vec<u8>,
    handshake_bytes: usize,
    established: bool,
    peer_closed: bool,
    failed: bool,
}

impl Tls {
    /// A connection at its beginning.
    ///
    /// # Errors
    /// When the configuration does not fit rustls.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, TlsError> {
        Ok(Self {
            conn: UnbufferedServerConnection::new(config)?,
            incoming: Vec::new(),
            handshake_bytes: 0,
            established: false,
            peer_closed: false,
            failed: false,
        })
    }

    /// Whether the handshake is done.
    #[must_use]
    pub fn established(&self) -> bool {
        self.established
    }

    /// Whether the peer has said close_notify: what came before is complete.
    #[must_use]
    pub fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Bytes of an incomplete record that are held.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.incoming.capacity()
    }

    /// What was agreed on, for logs and tests: version and whether the session was resumed. `None` before the handshake is done.
    #[must_use]
    pub fn agreed(&self) -> Option<(rustls::ProtocolVersion, bool)> {
        let version = self.conn.protocol_version()?;
        Some((version, self.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed)))
    }

    /// Takes ciphertext (changed in place), appends decrypted bytes to `plain` and what the peer must be sent to `out`.
    ///
    /// # Errors
    /// The connection cannot go on; an alert for the peer was appended to `out` where there is one.
    pub fn feed(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), TlsError> {
        if self.failed {
            return Err(TlsError::Unwritable);
        }
        if self.peer_closed {
            return Ok(());
        }
        if self.handshake_bytes == 0 && bytes.first().is_some_and(|first| *first != HANDSHAKE_RECORD) {
            self.failed = true;
            return Err(TlsError::NotTls);
        }
        if !self.established {
            self.handshake_bytes += bytes.len();
            if self.handshake_bytes > HANDSHAKE_BYTES_MAX {
                self.failed = true;
                return Err(TlsError::TooMuch);
            }
        }
        let used;
        if self.incoming.is_empty() {
            used = self.run(bytes, plain, out)?;
            if let Some(rest) = bytes.get(used..)
                && !rest.is_empty()
                && !self.peer_closed
            {
                self.incoming = rest.to_vec();
            }
        } else {
            let mut all = std::mem::take(&mut self.incoming);
            all.extend_from_slice(bytes);
            used = self.run(&mut all, plain, out)?;
            if used < all.len() && !self.peer_closed {
                all.drain(..used);
                all.shrink_to_fit();
                self.incoming = all;
            }
        }
        if self.incoming.len() > INCOMPLETE_BYTES_MAX {
            self.failed = true;
            return Err(TlsError::TooMuch);
        }
        Ok(())
    }

    /// Lets rustls work on `buf` until it wants more; answers how many bytes it is done with.
    fn run(&mut self, buf: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<usize, TlsError> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state, .. } =
                self.conn.process_tls_records(buf.get_mut(used..).unwrap_or_default());
            let mut more = true;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, out)?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(ConnectionState::WriteTraffic(_)) => {
                    self.established = true;
                    more = false;
                }
                // Early data is not offered; `Closed` and `BlockedHandshake` have nothing more.
                Ok(_) => more = false,
                Err(error) => {
                    used += discard;
                    self.failed = true;
                    self.alert(buf.get_mut(used..).unwrap_or_default(), out);
                    return Err(error.into());
                }
            }
            used += discard;
            if !more {
                return Ok(used);
            }
        }
    }

    /// Appends the alert that rustls has made for its last error.
    fn alert(&mut self, rest: &mut [u8], out: &mut Vec<u8>) {
        while let Ok(ConnectionState::EncodeTlsData(mut data)) = self.conn.process_tls_records(rest).state {
            if encode(&mut data, out).is_err() {
                return;
            }
        }
    }

    /// Appends `plaintext`, sealed, to `out`: one record for each 16 KiB.
    ///
    /// # Errors
    /// [`TlsError::Unwritable`]; nothing was appended.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        let start = out.len();
        let mut room = plaintext.len() + (plaintext.len() / RECORD_PLAIN + 1) * RECORD_OVERHEAD;
        self.write(out, |traffic, out| {
            loop {
                out.resize(start + room, 0);
                match traffic.encrypt(plaintext, out.get_mut(start..).unwrap_or_default()) {
                    Ok(written) => {
                        out.truncate(start + written);
                        return Ok(());
                    }
                    // More than a record's own: a key update waits to be sent with it.
                    Err(EncryptError::InsufficientSize(size)) if size.required_size > room => room = size.required_size,
                    Err(_) => {
                        out.truncate(start);
                        return Err(TlsError::Unwritable);
                    }
                }
            }
        })
    }

    /// Appends close_notify to `out`, if the connection is in a state to say it.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        // A failure means that the peer gets none, which is what it will see.
        let _ = self.write(out, |traffic, out| {
            out.resize(start + 128, 0);
            let written = traffic.queue_close_notify(out.get_mut(start..).unwrap_or_default()).unwrap_or(0);
            out.truncate(start + written);
            Ok(())
        });
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        act: impl FnOnce(
            &mut rustls::unbuffered::WriteTraffic<'_, rustls::server::ServerConnectionData>,
            &mut Vec<u8>,
        ) -> Result<(), TlsError>,
    ) -> Result<(), TlsError> {
        if self.failed {
            return Err(TlsError::Unwritable);
        }
        loop {
            // The incomplete bytes are shown again, since rustls remembers how far into them it is.
            match self.conn.process_tls_records(&mut self.incoming).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => return act(&mut traffic, out),
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, out)?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(_) => return Err(TlsError::Unwritable),
                Err(error) => {
                    self.failed = true;
                    return Err(error.into());
                }
            }
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("established", &self.established)
            .field("peer_closed", &self.peer_closed)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

fn encode(
    data: &mut rustls::unbuffered::EncodeTlsData<'_, rustls::server::ServerConnectionData>,
    out: &mut Vec<u8>,
) -> Result<(), TlsError> {
    let start = out.len();
    let mut room = 0;
    loop {
        out.resize(start + room, 0);
        match data.encode(out.get_mut(start..).unwrap_or_default()) {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(size)) if size.required_size > room => room = size.required_size,
            Err(_) => {
                out.truncate(start);
                return Err(TlsError::Unwritable);
            }
        }
    }
}
