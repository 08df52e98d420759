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
        let fresh = bytes.len();
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
        if !self.established {
            self.handshake_bytes += fresh;
        }
        // Counted after the work, since data may follow the end of the handshake in the same bytes.
        let too_long = !self.established && self.handshake_bytes > HANDSHAKE_BYTES_MAX;
        if too_long || self.incoming.len() > INCOMPLETE_BYTES_MAX {
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
                    self.failed = true;
                    self.alert(out);
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
    fn alert(&mut self, out: &mut Vec<u8>) {
        // Only while there is something to be sent: rustls must not look at the peer's bytes a second time.
        while self.conn.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(mut data)) = self.conn.process_tls_records(&mut []).state else {
                return;
            };
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

    use super::*;
    use crate::net::{CertSource, Certs};

    struct Pair {
        client: ClientConnection,
        server: Tls,
        plain: Vec<u8>,
        got: Vec<u8>,
        _dir: tempfile::TempDir,
    }

    fn pair(version: &'static SupportedProtocolVersion) -> Pair {
        use rustls_pki_types::pem::PemObject as _;
        let dir = tempfile::tempdir().expect("a directory");
        let certs = Certs::load(CertSource::SelfSigned { dir: dir.path().to_owned() }).expect("certificate");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certs.cert_path()).expect("a certificate")).expect("a root");
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        Pair {
            client: ClientConnection::new(Arc::new(config), name).expect("a client"),
            server: Tls::new(certs.server_config()).expect("a server"),
            plain: Vec::new(),
            got: Vec::new(),
            _dir: dir,
        }
    }

    impl Pair {
        /// Carries bytes both ways, to the server in pieces of `cut` bytes, until both have nothing to say.
        fn carry(&mut self, cut: usize) -> Result<(), TlsError> {
            loop {
                let mut up = Vec::new();
                // Into memory: cannot fail.
                while self.client.wants_write() && self.client.write_tls(&mut up).is_ok() {}
                let mut down = Vec::new();
                for piece in up.chunks_mut(cut) {
                    self.server.feed(piece, &mut self.plain, &mut down)?;
                }
                if up.is_empty() && down.is_empty() {
                    return Ok(());
                }
                self.deliver(&down);
            }
        }

        fn deliver(&mut self, mut down: &[u8]) {
            while !down.is_empty() {
                self.client.read_tls(&mut down).expect("memory");
                self.client.process_new_packets().expect("the server speaks TLS");
                let mut buf = [0; 4096];
                while let Ok(n @ 1..) = self.client.reader().read(&mut buf) {
                    self.got.extend_from_slice(&buf[..n]);
                }
            }
        }

        fn read_client(&mut self) -> Vec<u8> {
            std::mem::take(&mut self.got)
        }
    }

    #[test]
    fn both_versions_talk_both_ways_however_the_bytes_are_cut_and_hold_nothing_after() {
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            for cut in [1, 7, 100, 100_000] {
                let mut pair = pair(version);
                if cut > HANDSHAKE_BYTES_MAX {
                    // The end of the handshake and much data in one piece.
                    pair.client.writer().write_all(&vec![0; 40_000]).expect("memory");
                }
                pair.carry(cut).expect("a handshake");
                pair.plain.clear();
                assert!(pair.server.established());
                assert_eq!(pair.server.agreed(), Some((version.version, false)));
                let sent: Vec<u8> = (0..40_000u32).map(|n| (n % 251) as u8).collect();
                pair.client.writer().write_all(&sent).expect("memory");
                pair.carry(cut).expect("data");
                assert_eq!(pair.plain, sent);
                assert_eq!(pair.server.held_bytes(), 0, "an idle connection holds no bytes");

                let mut out = Vec::new();
                pair.server.seal(&sent, &mut out).expect("established");
                assert!(out.len() < sent.len() + 3 * RECORD_OVERHEAD, "three records");
                for piece in out.chunks(10_000) {
                    pair.deliver(piece);
                }
                assert_eq!(pair.read_client(), sent);
            }
        }
    }

    #[test]
    fn an_orderly_end_differs_from_a_cut_wire_both_ways() {
        let mut pair = pair(&rustls::version::TLS13);
        pair.carry(100_000).expect("a handshake");
        assert!(!pair.server.peer_closed());
        let mut out = Vec::new();
        pair.server.close(&mut out);
        assert!(!out.is_empty());
        pair.deliver(&out);
        let mut buf = [0; 8];
        assert_eq!(pair.client.reader().read(&mut buf).expect("close_notify"), 0);
        pair.client.send_close_notify();
        pair.carry(100_000).expect("data");
        assert!(pair.server.peer_closed());
    }

    #[test]
    fn keys_are_changed_on_request_while_the_server_speaks() {
        let mut pair = pair(&rustls::version::TLS13);
        pair.carry(100_000).expect("a handshake");
        for round in 0..3u8 {
            pair.client.refresh_traffic_keys().expect("TLS 1.3");
            pair.client.writer().write_all(&[round; 10]).expect("memory");
            pair.carry(100_000).expect("data");
            let mut out = Vec::new();
            pair.server.seal(&[round; 20], &mut out).expect("established");
            pair.deliver(&out);
            assert_eq!(pair.read_client(), [round; 20]);
        }
        assert_eq!(pair.plain.len(), 30);
    }

    #[test]
    fn what_is_no_handshake_is_refused_with_an_alert_and_too_much_of_it_too() {
        let mut server = pair(&rustls::version::TLS13).server;
        let (mut plain, mut out) = (Vec::new(), Vec::new());
        let refused = server.feed(&mut b"GET / HTTP/1.1\r\n".to_vec(), &mut plain, &mut out);
        assert!(matches!(refused, Err(TlsError::NotTls)));
        assert!(server.seal(b"x", &mut out).is_err());

        let mut server = pair(&rustls::version::TLS13).server;
        let refused = server.feed(&mut [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 9], &mut plain, &mut out);
        assert!(matches!(refused, Err(TlsError::Peer(_))));
        assert_eq!(out.first(), Some(&0x15), "an alert");

        let mut server = pair(&rustls::version::TLS13).server;
        // Records that announce a handshake message larger than allowed and never end it.
        let mut hello = vec![0x16, 3, 1, 0x3f, 0xff, 1, 0, 0xff, 0];
        hello.resize(5 + 0x3fff, 0);
        let mut result = Ok(());
        for _ in 0..4 {
            result = server.feed(&mut hello.clone(), &mut plain, &mut out);
            if result.is_err() {
                break;
            }
        }
        assert!(result.is_err());
        assert!(plain.is_empty());
    }

    #[test]
    fn a_changed_byte_ends_the_connection_with_an_alert() {
        let mut pair = pair(&rustls::version::TLS13);
        pair.carry(100_000).expect("a handshake");
        pair.client.writer().write_all(b"hello").expect("memory");
        let mut up = Vec::new();
        pair.client.write_tls(&mut up).expect("memory");
        let last = up.len() - 1;
        up[last] ^= 1;
        let mut out = Vec::new();
        assert!(pair.server.feed(&mut up, &mut pair.plain, &mut out).is_err());
        assert!(!out.is_empty());
        assert!(pair.plain.is_empty());
    }
}
