//! A TLS connection over a glommio socket: the bytes that hyper reads and writes, and the same socket after the upgrade.
//!
//! Reading goes through the shard's shared buffer, so a connection that waits holds none. What the kernel does not take is kept
//! and written when the socket is writable. Promises: output stays in order; what is kept is bounded by what the caller writes
//! before it flushes ([`TlsStream::poll_write`] takes no more above 64 KiB).

use std::io;
use std::net::Shutdown as Half;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead as _, AsyncWrite as _};
use glommio::net::TcpStream;
use rustls::ServerConfig;

use super::http::Activity;
use super::tls::{Tls, TlsError};
use super::{SharedScratch, within};
use crate::runtime::port::Watched;

/// Above this many kept bytes nothing more is taken.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// What a closing connection reads and throws away at most.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// A socket and its TLS state; what HTTP and WebSocket are spoken over.
#[derive(Debug)]
pub(crate) struct Io {
    /// How it is read from, once it is a WebSocket. Dropped before the socket.
    pub(crate) watched: Option<Watched>,
    pub(crate) tcp: TcpStream,
    pub(crate) tls: Tls,
    /// Ciphertext that the kernel has not taken yet; unallocated when empty.
    kept: Vec<u8>,
    kept_from: usize,
    /// The peer sends no more.
    pub(crate) eof: bool,
}

impl Io {
    pub(crate) fn kept_bytes(&self) -> usize {
        self.kept.len() - self.kept_from
    }

    /// Hands ciphertext to the kernel in one write that does not block; keeps the rest.
    pub(crate) fn push(&mut self, cipher: &[u8]) -> io::Result<()> {
        if cipher.is_empty() {
            return Ok(());
        }
        if self.kept_bytes() > 0 {
            self.kept.extend_from_slice(cipher);
            return Ok(());
        }
        // Whoever owns the task polls again with its own waker when something was kept.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let sent = match Pin::new(&mut self.tcp).poll_write(&mut cx, cipher) {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        if let Some(rest) = cipher.get(sent..)
            && !rest.is_empty()
        {
            self.kept = rest.to_vec();
            self.kept_from = 0;
        }
        Ok(())
    }

    /// Keeps ciphertext that the kernel did not take; nothing is kept yet.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.kept.extend_from_slice(rest);
    }

    /// Writes what is kept.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.kept_bytes() > 0 {
            let rest = self.kept.get(self.kept_from..).unwrap_or_default();
            let sent = ready!(Pin::new(&mut self.tcp).poll_write(cx, rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.kept_from += sent;
        }
        self.kept = Vec::new();
        self.kept_from = 0;
        Poll::Ready(Ok(()))
    }

    /// Seals `plain` and pushes it.
    pub(crate) fn seal(&mut self, plain: &[u8], scratch: &SharedScratch) -> io::Result<()> {
        let mut scratch = scratch.borrow_mut();
        scratch.clear();
        self.tls.seal(plain, &mut scratch.out).map_err(to_io)?;
        self.push(&scratch.out)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        match &self.watched {
            Some(watched) => watched.poll_read(cx, into),
            None => Pin::new(&mut self.tcp).poll_read(cx, into),
        }
    }

    /// Reads once; appends what was decrypted to `plain`. `Ready(0)`: the peer sends no more. Answers the bytes of ciphertext read.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &SharedScratch,
        plain: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let mut scratch = scratch.borrow_mut();
        let scratch = &mut *scratch;
        let read = ready!(self.poll_recv(cx, &mut scratch.cipher))?;
        if read == 0 {
            self.eof = true;
            return Poll::Ready(Ok(0));
        }
        scratch.out.clear();
        let fed = self.tls.feed(scratch.cipher.get_mut(..read).unwrap_or_default(), plain, &mut scratch.out);
        // An alert goes out even when the connection cannot go on.
        let pushed = self.push(&scratch.out);
        fed.map_err(to_io)?;
        pushed?;
        if self.tls.peer_closed() {
            self.eof = true;
        }
        Poll::Ready(Ok(read))
    }

    /// Ends the connection so that the peer reads what was said: close_notify, the rest of our bytes, our half of TCP, then what the
    /// peer still sends is thrown away until it closes its half. `flush` bounds the first part, `linger` the second. Answers whether the
    /// peer took it all.
    pub(crate) async fn finish(&mut self, scratch: &SharedScratch, flush: Duration, linger: Duration) -> bool {
        {
            let mut scratch = scratch.borrow_mut();
            scratch.clear();
            self.tls.close(&mut scratch.out);
            if self.push(&scratch.out).is_err() {
                return false;
            }
        }
        let flushed = within(flush, std::future::poll_fn(|cx| self.poll_flush(cx))).await;
        if !matches!(flushed, Some(Ok(()))) {
            return false;
        }
        let _ = self.tcp.shutdown(Half::Write).await;
        let drain = std::future::poll_fn(|cx| {
            let mut scratch = scratch.borrow_mut();
            let mut seen = 0;
            while seen < LINGER_BYTES_MAX {
                match ready!(self.poll_recv(cx, &mut scratch.cipher)) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => seen += read,
                }
            }
            Poll::Ready(())
        });
        within(linger, drain).await.is_some()
    }

    /// When this is dropped the peer is told at once that all is over, and what it has not taken is thrown away. Otherwise the kernel
    /// goes on offering it to a peer that does not read, gives up after minutes without a word, and leaves the peer with half a connection.
    pub(crate) fn break_off(&self) {
        if let Some(watched) = &self.watched {
            watched.break_off();
        }
    }
}

pub(crate) fn to_io(error: TlsError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What hyper reads and writes.
pub(crate) struct TlsStream {
    pub(crate) io: Io,
    pub(crate) scratch: SharedScratch,
    /// Decrypted and not yet read.
    plain: Vec<u8>,
    plain_from: usize,
    activity: Rc<Activity>,
}

/// What becomes of a TCP connection before there is TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeFailure {
    /// The first byte is not that of TLS.
    #[error("the peer does not speak TLS")]
    NotTls(Box<Io>),
    /// The peer went away or the socket broke.
    #[error("the connection was closed during the handshake")]
    Gone,
    /// rustls refused.
    #[error("{0}")]
    Tls(#[from] TlsError),
}

/// How long the alert that ends a failed handshake may take to go out, and to be read.
const ALERT_TIME: Duration = Duration::from_millis(200);

/// Does the handshake. The caller bounds the time.
pub(crate) async fn handshake(
    tcp: TcpStream,
    config: Arc<ServerConfig>,
    scratch: &SharedScratch,
) -> Result<TlsStream, HandshakeFailure> {
    let mut io = Io { watched: None, tcp, tls: Tls::new(config)?, kept: Vec::new(), kept_from: 0, eof: false };
    let mut plain = Vec::new();
    loop {
        let read = std::future::poll_fn(|cx| {
            // What rustls said goes out before more is read; a peer that does not take it is not read from.
            if ready!(io.poll_flush(cx)).is_err() {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if io.tls.established() {
                return Poll::Ready(Ok(1));
            }
            io.poll_read(cx, scratch, &mut plain)
        })
        .await;
        match read {
            Ok(0) => return Err(HandshakeFailure::Gone),
            Ok(_) if io.tls.established() && io.kept_bytes() == 0 => break,
            Ok(_) => {}
            Err(error) => {
                let refused = error.into_inner().and_then(|inner| inner.downcast::<TlsError>().ok());
                return match refused.map(|refused| *refused) {
                    Some(TlsError::NotTls) => Err(HandshakeFailure::NotTls(Box::new(io))),
                    Some(refused) => {
                        // Lets the alert arrive.
                        io.finish(scratch, ALERT_TIME, ALERT_TIME).await;
                        Err(HandshakeFailure::Tls(refused))
                    }
                    None => Err(HandshakeFailure::Gone),
                };
            }
        }
    }
    Ok(TlsStream { io, scratch: Rc::clone(scratch), plain, plain_from: 0, activity: Rc::default() })
}

impl TlsStream {
    /// What HTTP is at on this connection.
    pub(crate) fn activity(&self) -> Rc<Activity> {
        Rc::clone(&self.activity)
    }

    /// The socket, and what was decrypted and not read.
    pub(crate) fn into_parts(self) -> (Io, Vec<u8>) {
        let rest = self.plain.get(self.plain_from..).unwrap_or_default().to_vec();
        (self.io, rest)
    }
}

impl hyper::rt::Read for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let waiting = this.plain.get(this.plain_from..).unwrap_or_default();
            if !waiting.is_empty() {
                let take = waiting.len().min(buf.remaining());
                buf.put_slice(waiting.get(..take).unwrap_or_default());
                this.plain_from += take;
                if this.plain_from == this.plain.len() {
                    this.plain = Vec::new();
                    this.plain_from = 0;
                }
                this.activity.bytes_came();
                return Poll::Ready(Ok(()));
            }
            if this.io.eof {
                return Poll::Ready(Ok(()));
            }
            // Answers to the peer's TLS (key updates) that were kept go out by the way.
            if let Poll::Ready(Err(error)) = this.io.poll_flush(cx) {
                return Poll::Ready(Err(error));
            }
            ready!(this.io.poll_read(cx, &this.scratch, &mut this.plain))?;
        }
    }
}

impl hyper::rt::Write for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.io.kept_bytes() > KEPT_BYTES_MAX {
            ready!(this.io.poll_flush(cx))?;
        }
        let part = buf.get(..KEPT_BYTES_MAX).unwrap_or(buf);
        this.io.seal(part, &this.scratch)?;
        Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.io.poll_flush(cx))?;
        this.activity.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The end is said by `Io::finish`, which also waits for the peer.
        self.get_mut().io.poll_flush(cx)
    }
}
