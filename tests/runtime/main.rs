//! The runtime over real executors, with a machine, sockets and a store that do what a test tells them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may stop where it stands"
)]

mod ends;
mod fake;
mod load;
mod turns;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use causerie::runtime::clock::Clock;
use causerie::runtime::{LaunchSettings, Parts, Pinning, Server, ShardHandle, launch};
use causerie::shard::Placement;
use fake::{Fake, FakeStore, NoBackend};

/// Ends a hang; no test waits for it.
pub const HANG: Duration = Duration::from_mins(1);

/// Nothing pinned: many servers run in this process at a time.
pub fn settings() -> LaunchSettings {
    LaunchSettings { pinning: Pinning::Off, ..LaunchSettings::default() }
}

/// What a server with so many shards is started with.
pub fn parts(shards: u16) -> Parts {
    Parts {
        placement: Placement::even(shards),
        store: FakeStore::new(),
        backend: Arc::new(NoBackend),
        clock: Clock::start(),
    }
}

/// Starts shards with fake machines on which nothing runs.
pub fn bare(shards: u16) -> Server {
    launch(&settings(), parts(shards), |id, _| Fake::new(id), |_| async { Ok(()) }).unwrap()
}

/// Runs `scenario` on the one shard of a fresh server; its result is asserted on the test's own thread, for a panic on a shard ends
/// the process.
pub fn on_shard<T, S, Fut>(settings: &LaunchSettings, scenario: S) -> T
where
    T: Send + 'static,
    S: Fn(ShardHandle) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = T> + 'static,
{
    let (tx, rx) = mpsc::channel();
    let scenario = Arc::new(scenario);
    let start = move |handle: ShardHandle| {
        let (tx, scenario) = (tx.clone(), scenario.clone());
        async move {
            // Beside the start, so that a hang does not stop the launch.
            handle.clone().spawn(causerie::runtime::Work::Live, async move {
                tx.send(scenario(handle).await).unwrap();
            });
            Ok(())
        }
    };
    let server = launch(settings, parts(1), |id, _| Fake::new(id), start).unwrap();
    let result = rx.recv_timeout(HANG).expect("the scenario hangs");
    server.stop();
    result
}
