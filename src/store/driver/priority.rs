//! How soon the kernel runs a thread that has something to do, where others want the same core.
//!
//! The store's writer works for some hundred microseconds and sleeps three times for each commit. If it shares its core with a shard that is
//! busy, the kernel by itself lets the shard finish its slice of some milliseconds first, three times: an ack then waits for that and not
//! for the disk. A thread with a shorter slice of its own is run at once (Linux 6.12 and later; older ones take the wish and do nothing with it). It
//! needs no right and gives no thread more of the core than it had; whoever wants that, by its nice value, needs a right. Nothing here
//! fails: where something is refused it stays as it was.

use std::time::Duration;

/// Slices of threads that work shortly and are waited for, from the most urgent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    /// The store's writer: everybody waits for it. The shortest that the kernel knows.
    Writer,
    /// A shard: longer than the writer's, shorter than that of readers, of the thread that fills the database, and of other processes.
    Shard,
}

impl Slice {
    fn time(self) -> Duration {
        match self {
            Self::Writer => Duration::from_micros(100),
            Self::Shard => Duration::from_micros(500),
        }
    }
}

/// `struct sched_attr` of Linux 3.14, which all later ones take.
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Gives the calling thread this slice.
pub fn slice(slice: Slice) {
    let nice = rustix::process::getpriority_process(None).unwrap_or(0);
    let runtime = u64::try_from(slice.time().as_nanos()).unwrap_or(u64::MAX);
    let attributes = Attributes {
        size: u32::try_from(size_of::<Attributes>()).unwrap_or(0),
        policy: 0, // SCHED_OTHER, as it is
        flags: 0,
        nice,
        priority: 0,
        runtime,
        deadline: 0,
        period: 0,
    };
    // SAFETY: the kernel reads `size` bytes from this pointer, during the call alone; 0 is the calling thread.
    #[allow(unsafe_code)]
    let answer = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if answer != 0 {
        let why = std::io::Error::last_os_error();
        tracing::debug!("this thread keeps its slice: {why}");
    }
}

/// Gives the calling thread this nice value, if that is allowed.
pub fn nice(nice: i32) {
    // On Linux a thread's id stands for that thread alone here.
    if let Err(refused) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice) {
        tracing::debug!("this thread keeps its priority: {refused}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slice in `/proc` stands among much else, and not in every kernel; so the kernel is asked as it was told.
    #[allow(unsafe_code)]
    fn kept() -> (u64, i32) {
        let mut kept =
            Attributes { size: 0, policy: 0, flags: 0, nice: 0, priority: 0, runtime: 0, deadline: 0, period: 0 };
        let size = size_of::<Attributes>();
        // SAFETY: the kernel writes at most `size` bytes to this pointer, during the call alone.
        let answer = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut kept, size, 0) };
        assert_eq!(answer, 0);
        (kept.runtime, kept.nice)
    }

    #[test]
    fn a_slice_is_taken_and_leaves_the_nice_value_as_it_is() {
        nice(7);
        for wanted in [Slice::Shard, Slice::Writer] {
            slice(wanted);
            let (runtime, nice) = kept();
            assert_eq!(nice, 7);
            // Linux before 6.12 does not keep it.
            assert!(runtime == 0 || u128::from(runtime) == wanted.time().as_nanos(), "{runtime}");
        }
    }
}
