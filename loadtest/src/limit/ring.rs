//! Many sends with one call into the kernel: a small io_uring of its own, for the experiment `--send uring`.
//!
//! Promises: nothing handed to the kernel outlives [`Ring::submit`]. Sends carry `MSG_DONTWAIT`, so the kernel answers each of them
//! before the call returns, with what it took or with `EAGAIN`; `submit` waits for all answers before it gives the buffer back.
//! It does not do: reading, waiting for readiness, partly sent rests (the caller sees how much was taken).

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

use io_uring::{IoUring, opcode, squeue, types};

/// `MSG_DONTWAIT | MSG_NOSIGNAL` of Linux.
const FLAGS: i32 = 0x40 | 0x4000;

/// How a ring is set up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    /// Sockets are registered once, so that the kernel does not look them up for each send.
    pub(super) registered: bool,
}

/// A ring that sends.
pub(super) struct Ring {
    inner: IoUring,
    /// Sends a submission at most.
    capacity: usize,
    registered: bool,
}

/// One send: which socket, and which part of the buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Send {
    /// A descriptor, or its number among the registered ones.
    target: i32,
    from: usize,
    to: usize,
}

impl Send {
    /// Bytes `from..to` of the buffer go to `fd`; `number` is its place among the registered ones.
    pub(super) fn new(ring: &Ring, fd: BorrowedFd<'_>, number: usize, from: usize, to: usize) -> Self {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        Self { target: if ring.registered { number } else { fd.as_raw_fd() }, from, to }
    }
}

impl Ring {
    /// A ring for `capacity` sends a submission; `sockets` are registered when `options` say so.
    ///
    /// # Errors
    /// What the kernel says: too old, not allowed, out of memory.
    pub(super) fn new(capacity: usize, sockets: &[RawFd], options: Options) -> io::Result<Self> {
        let entries = u32::try_from(capacity.next_power_of_two()).unwrap_or(u32::MAX);
        let ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_submit_all().build(entries)?;
        if options.registered {
            ring.submitter().register_files(sockets)?;
        }
        Ok(Self { inner: ring, capacity, registered: options.registered })
    }

    /// Sends a submission at most.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Hands all of `sends` to the kernel and answers each: its place in `sends`, and the bytes taken or the error's number, negative.
    ///
    /// # Errors
    /// When the ring itself fails, or a send lies outside of `buffer`.
    pub(super) fn submit(
        &mut self,
        sends: &[Send],
        buffer: &[u8],
        mut answer: impl FnMut(usize, i32),
    ) -> io::Result<()> {
        if sends.len() > self.capacity {
            return Err(io::Error::other("more sends than the ring has places"));
        }
        // Before anything is queued: what is queued must be submitted within this call.
        if sends.iter().any(|send| buffer.get(send.from..send.to).is_none_or(|part| u32::try_from(part.len()).is_err()))
        {
            return Err(io::Error::other("a send lies outside of the buffer"));
        }
        {
            let mut queue = self.inner.submission();
            for (at, send) in (0u64..).zip(sends) {
                let bytes = buffer.get(send.from..send.to).unwrap_or_default();
                let length = u32::try_from(bytes.len()).unwrap_or_default();
                let entry = if self.registered {
                    opcode::Send::new(
                        types::Fixed(u32::try_from(send.target).unwrap_or(u32::MAX)),
                        bytes.as_ptr(),
                        length,
                    )
                    .flags(FLAGS)
                    .build()
                } else {
                    opcode::Send::new(types::Fd(send.target), bytes.as_ptr(), length).flags(FLAGS).build()
                };
                let entry: squeue::Entry = entry.user_data(at);
                // SAFETY: the kernel reads `bytes` until the entry is answered. `buffer` is borrowed for this whole function, and it
                // does not return before every entry pushed here was answered (below); where that cannot be had, it aborts.
                // The queue has place: it is empty between two calls, and `capacity` is its size at most.
                if unsafe { queue.push(&entry) }.is_err() {
                    std::process::abort();
                }
            }
        }
        let mut left = sends.len();
        while left > 0 {
            match self.inner.submit_and_wait(left) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Entries may be with the kernel, which would read memory that is no longer ours.
                Err(_) => std::process::abort(),
            }
            for done in self.inner.completion() {
                left = left.saturating_sub(1);
                answer(usize::try_from(done.user_data()).unwrap_or(usize::MAX), done.result());
            }
        }
        Ok(())
    }
}
