//! The border between sockets (`net`) and their shard: what a socket task may say, and what the pump may ask of a socket.

use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

use crate::base::{Close, ConnId};
use crate::shard::Opened;

pub use super::watch::Watched;

/// What the pump asks of one open WebSocket. Implemented by `net`; called on the shard's own core only.
pub trait Socket {
    /// Sends these bytes (whole WebSocket frames of the server, not masked, not yet encrypted) in one TLS record where they fit
    /// and one write. Never blocks: what the kernel does not take is kept by the socket, which says [`Port::writable`] when it is
    /// gone. Not called again before that.
    fn send(&self, bytes: &[u8]) -> Sent;

    /// The first half of [`Socket::send`], for who writes to many sockets at once: appends to `sealed` what would be written, and
    /// answers to which descriptor, which stays open until [`Socket::sealed`] is called. `None`: it cannot be had in halves now; `send` can.
    fn seal(&self, bytes: &[u8], sealed: &mut Vec<u8>) -> Option<RawFd> {
        let _ = (bytes, sealed);
        None
    }

    /// The second half: of what [`Socket::seal`] appended, the kernel took so many bytes (0: the socket was full).
    fn sealed(&self, sealed: &[u8], taken: io::Result<usize>) -> Sent {
        let _ = (sealed, taken);
        Sent::Broken
    }

    /// Ends the connection after what was sent: close frame with this code, the peer's answer awaited for a bounded time, then
    /// TLS and TCP. The socket says nothing to the port any more.
    fn close(&self, code: Close);
}

/// What became of [`Socket::send`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel has it all.
    All,
    /// Some is kept; [`Port::writable`] will follow.
    Blocked,
    /// The socket is broken; its task says [`Port::gone`].
    Broken,
}

/// What a socket task says to its shard. Calls return at once; they take effect in the pump's next turn.
pub trait Port {
    /// A WebSocket is open. `Err`: there is no place for it; close it with this code.
    ///
    /// # Errors
    /// The code to close with.
    fn open(&self, opened: Opened, socket: Rc<dyn Socket>) -> Result<ConnId, Close>;

    /// Watches a socket's descriptor for its task, which is cheaper than the executor's way. It stays open as long as what is answered.
    /// `None`: that cannot be had here.
    fn watch(&self, socket: RawFd) -> Option<Watched> {
        let _ = socket;
        None
    }

    /// A complete text message came in. Answers `false` when so much of this connection is waiting to be handled that the task
    /// should not read further before [`Port::caught_up`].
    fn text(&self, conn: ConnId, text: String) -> bool;

    /// Bytes came in (any; once a read is enough).
    fn heard(&self, conn: ConnId);

    /// All that was kept is gone.
    fn writable(&self, conn: ConnId);

    /// The socket is gone, for this reason (a word for the metrics).
    fn gone(&self, conn: ConnId, why: &'static str);

    /// Resolves when what this shard has been told so far was handled.
    fn caught_up(&self) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;
}
