//! What the tests over the real binary share: a server started for a test, people with tokens, sockets that expect.
//!
//! Nothing here waits for a time to pass: whatever is expected is awaited, and a watchdog of a minute ends what never comes.

#![allow(dead_code, unused_imports)] // each test binary uses its part

pub mod database;
pub mod people;
pub mod ports;
pub mod proxy;
pub mod server;
pub mod socket;
pub mod transcript;

use std::time::{Duration, Instant};

pub use people::Person;
pub use server::{Server, Setup};
pub use socket::Socket;

/// How long anything may take before a test is ended. Not a limit on performance: the machine is noisy.
pub const WATCHDOG: Duration = Duration::from_mins(1);

/// Asks again and again until there is an answer; panics when there is none within [`WATCHDOG`].
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + WATCHDOG;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "never came: {what}");
        wait_out(Duration::from_millis(20));
    }
}

/// Lets a time pass that the thing itself demands: a `retry_after_ms`, the moment of a crash, the pause between two looks. Never
/// instead of waiting for what is expected.
pub fn wait_out(time: Duration) {
    std::thread::sleep(time);
}
