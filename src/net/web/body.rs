//! A file on its way out, a piece at a time.
//!
//! The HTTP library copies a piece before it is encrypted; so pieces are small, and a reader who takes nothing costs one of them.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Bytes of a piece: one TLS record.
const PIECE: usize = 16 * 1024;

/// What of a file is still to be sent.
#[derive(Debug)]
pub(super) struct Pieces {
    rest: Bytes,
}

impl Pieces {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
