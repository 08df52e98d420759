//! glommio: one executor a core, lanes between them, the pump that drives a shard, the pools beside it.
//!
//! glommio's types occur here and in `net` alone. `port` is how sockets reach their shard, `gateway` how everything else does.

#[cfg(feature = "scylla")]
pub mod bridge;
pub mod clock;
pub mod doctor;
pub mod drain;
pub mod gate;
pub mod gateway;
mod inbox;
pub mod launch;
pub mod mesh;
mod pace;
pub mod pool;
pub mod port;
pub mod portions;
mod pump;
pub mod seam;
mod sends;
pub mod stall;
mod watch;

pub use gateway::Gateway;
pub use launch::{LaunchError, LaunchSettings, Parts, Pinning, Server, ShardHandle, Work, breathe, launch};
pub use seam::{Machine, StoreDone, StoreFull, StorePort};
