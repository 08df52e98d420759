//! glommio: one executor a core, lanes between them, the pump that drives a shard, the pools beside it.
//!
//! glommio's types occur here and in `net` alone. `port` is how sockets reach their shard, `gateway` how everything else does.

pub mod gateway;
pub mod port;
