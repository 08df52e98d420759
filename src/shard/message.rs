//! The one enum that crosses cores. Each variant says what happens when it is dropped.

/// What one shard tells another.
#[derive(Debug)]
pub enum ShardMessage {}
