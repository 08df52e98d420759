//! Many sends with one call into the kernel: what a shard's pump writes in a turn goes through a small io_uring of its own.
//!
//! Promises: every send is answered within [`Sends::submit`], by the bytes the kernel took or by its error; sends carry `MSG_DONTWAIT`,
//! so a full socket answers at once and nothing waits. The bytes stand in a buffer owned here, which outlives whatever the
//! kernel does with it: should the ring itself fail, the buffer is given up to it and sends go one by one from then on. Where no ring can be had
//! they do so from the start. It does not do: reading, waiting, what becomes of a rest.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use io_uring::{IoUring, opcode, types};
use rustix::net::SendFlags;

use super::watch::making_rings;

/// Bytes in the buffer from which on a batch counts as full, however few sends it has.
const FULL_BYTES: usize = 256 * 1024;
/// A buffer that grew beyond this gives its memory back.
const KEEP_BYTES: usize = 512 * 1024;

/// One send that waits to be submitted.
#[derive(Clone, Copy, Debug)]
struct Entry {
    fd: RawFd,
    from: usize,
    to: usize,
    answer: Option<i32>,
}

/// The sends of one shard.
pub(super) struct Sends {
    ring: Option<IoUring>,
    buffer: Vec<u8>,
    entries: Vec<Entry>,
    /// Sends a batch at most; 0: no batches.
    most: usize,
}

impl Sends {
    /// Batches of at most `most` sends; 0: none are made, [`Sends::enabled`] says so.
    pub(super) fn new(most: usize) -> Self {
        let ring = (most > 0).then(|| making_rings(|| ring(most)).0).and_then(|made| {
            made.inspect_err(|why| tracing::warn!(%why, "no ring for sends: they go one by one")).ok()
        });
        Self { ring, buffer: Vec::new(), entries: Vec::new(), most }
    }

    /// Whether batches are made.
    pub(super) fn enabled(&self) -> bool {
        self.most > 0
    }

    /// Where the bytes of the next send are appended; [`Sends::push`] says how many there are.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// What was appended to the buffer since `from` is to be sent to `fd`, which stays open until the batch was submitted.
    pub(super) fn push(&mut self, fd: RawFd, from: usize) {
        self.entries.push(Entry { fd, from, to: self.buffer.len(), answer: None });
    }

    /// How many sends wait.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the batch is to be submitted before anything is added.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= self.most || self.buffer.len() >= FULL_BYTES
    }

    /// Sends all that waits and tells what came of each, in their order: its place, its bytes, how many of them the kernel took.
    /// A socket that is full took 0.
    pub(super) fn submit(&mut self, mut each: impl FnMut(usize, &[u8], io::Result<usize>)) {
        // One send alone is cheaper without a ring.
        if self.entries.len() > 1
            && let Some(ring) = &mut self.ring
            && let Err(why) = submit(ring, &self.buffer, &mut self.entries)
        {
            tracing::error!(%why, "the ring for sends failed; they go one by one from now on");
            // The kernel may still read from both.
            std::mem::forget(self.ring.take());
            let copy = self.buffer.clone();
            std::mem::forget(std::mem::replace(&mut self.buffer, copy));
            for entry in &mut self.entries {
                // Whether it was sent cannot be known: nobody may send on this stream again.
                entry.answer.get_or_insert(-rustix::io::Errno::IO.raw_os_error());
            }
        }
        for (place, entry) in self.entries.drain(..).enumerate() {
            let bytes = self.buffer.get(entry.from..entry.to).unwrap_or_default();
            let taken = match entry.answer {
                Some(answer) => usize::try_from(answer).map_err(|_| io::Error::from_raw_os_error(-answer)),
                None => send(entry.fd, bytes),
            };
            let taken = match taken {
                Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
                other => other,
            };
            each(place, bytes, taken);
        }
        self.buffer.clear();
        if self.buffer.capacity() > KEEP_BYTES {
            self.buffer = Vec::new();
        }
    }
}

fn ring(most: usize) -> io::Result<IoUring> {
    let entries = u32::try_from(most.next_power_of_two()).unwrap_or(u32::MAX);
    // Cheaper where the kernel has them (6.1); the plain one does the same.
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .build(entries)
        .or_else(|_| IoUring::new(entries))
}

fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: who pushed the entry keeps the socket open until the batch was submitted.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(rustix::net::send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
}

/// Returns when all are answered; an error says that the ring cannot be used any more, and answers may be missing.
fn submit(ring: &mut IoUring, buffer: &[u8], entries: &mut [Entry]) -> io::Result<()> {
    let flags = i32::try_from((SendFlags::DONTWAIT | SendFlags::NOSIGNAL).bits()).unwrap_or_default();
    let places = ring.params().sq_entries() as usize;
    let mut queued = 0;
    let mut left = entries.len();
    while left > 0 {
        {
            let mut queue = ring.submission();
            while queued < entries.len() && queue.len() < places {
                let Some(entry) = entries.get(queued) else { break };
                let bytes = buffer.get(entry.from..entry.to).unwrap_or_default();
                let length = u32::try_from(bytes.len()).unwrap_or_default();
                let operation = opcode::Send::new(types::Fd(entry.fd), bytes.as_ptr(), length)
                    .flags(flags)
                    .build()
                    .user_data(queued as u64);
                // SAFETY: the kernel reads these bytes until the send is answered. The caller keeps the buffer until then: this returns
                // without an error only when all were answered, and after an error the buffer is never freed.
                if unsafe { queue.push(&operation) }.is_err() {
                    break;
                }
                queued += 1;
            }
        }
        let in_flight = queued - (entries.len() - left);
        match ring.submit_and_wait(in_flight.max(1)) {
            Ok(_) => {}
            // Short of memory for a moment, or a signal: what was not taken is still queued.
            Err(why) if why.raw_os_error().is_some_and(again) => {}
            Err(why) => return Err(why),
        }
        for done in ring.completion() {
            let place = usize::try_from(done.user_data()).unwrap_or(usize::MAX);
            if let Some(entry) = entries.get_mut(place)
                && entry.answer.replace(done.result()).is_none()
            {
                left -= 1;
            }
        }
    }
    Ok(())
}

fn again(errno: i32) -> bool {
    use rustix::io::Errno;
    [Errno::INTR, Errno::AGAIN, Errno::BUSY].iter().any(|known| known.raw_os_error() == errno)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        (server, client)
    }

    fn push(sends: &mut Sends, socket: &TcpStream, bytes: &[u8]) {
        let from = sends.buffer().len();
        sends.buffer().extend_from_slice(bytes);
        sends.push(socket.as_raw_fd(), from);
    }

    #[test]
    fn each_socket_gets_its_bytes_with_a_ring_and_without() {
        for with_ring in [true, false] {
            let mut sends = Sends::new(8);
            assert!(sends.ring.is_some(), "this machine has io_uring, or nothing of the server would run");
            if !with_ring {
                sends.ring = None;
            }
            let pairs: Vec<_> = (0..20).map(|_| pair()).collect();
            for round in 0..3 {
                // More than the ring has places.
                for (n, (server, _)) in pairs.iter().enumerate() {
                    push(&mut sends, server, format!("{round} {n:03};").as_bytes());
                }
                assert!(sends.is_full() && sends.len() == 20);
                let mut places = Vec::new();
                sends.submit(|place, bytes, taken| {
                    assert_eq!(taken.unwrap(), bytes.len());
                    places.push(place);
                });
                assert!(places.into_iter().eq(0..20) && sends.len() == 0);
            }
            for (n, (_, client)) in pairs.iter().enumerate() {
                let mut client = client;
                let mut got = [0; 18];
                client.read_exact(&mut got).unwrap();
                assert_eq!(String::from_utf8_lossy(&got), format!("0 {n:03};1 {n:03};2 {n:03};"));
            }
        }
    }

    #[test]
    fn a_full_socket_answers_at_once_and_a_broken_one_says_so_and_the_others_go_on() {
        let mut sends = Sends::new(8);
        let ((full, _reader), (broken, gone), (fine, mut reader)) = (pair(), pair(), pair());
        drop(gone);
        // The first write after the end is answered by a reset, the next one breaks.
        while send(broken.as_raw_fd(), b"x").is_ok() {}
        while send(full.as_raw_fd(), &[0; 8 * 1024]).is_ok() {}
        push(&mut sends, &full, b"no place");
        push(&mut sends, &broken, b"nobody");
        push(&mut sends, &fine, b"hello");
        let mut answers = Vec::new();
        sends.submit(|_, _, taken| answers.push(taken.map_err(|why| why.kind())));
        assert_eq!(answers, [Ok(0), Err(io::ErrorKind::BrokenPipe), Ok(5)]);
        let mut got = [0; 5];
        reader.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hello");
    }
}
