//! Counters as plain numbers, one set a shard, and how they are shown to Prometheus.

pub mod counters;
#[cfg(feature = "server")]
pub mod expose;
#[cfg(feature = "server")]
pub mod process;
#[cfg(feature = "server")]
pub mod text;

pub use counters::{Counters, Snapshot};
