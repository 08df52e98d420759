//! A small world that replays from a seed: real shards on a virtual clock, lanes that fill up, a store that is slow and fails, crashes, and
//! clients that hold the server to `docs/protocol.md`.
//!
//! One number says everything that happens. It is not a model of the network or of the disk: bytes arrive whole or not at all, and
//! what the store said it has is there after a crash.
//!
//! | file | what it is |
//! |---|---|
//! | `world.rs` | shards, lanes, sockets, store, time |
//! | `client.rs` | a client that keeps the rules of the protocol and complains when the server does not |
//! | `model.rs` | what ought to be true |
//! | `workload.rs` | what happens in a run, chosen by the seed |

pub mod client;
pub mod model;
pub mod workload;
pub mod world;

#[cfg(test)]
mod tests;

/// A random sequence that is the same everywhere (SplitMix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x5851_f42d_4c95_7f2d)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n` (0 when `n` is 0).
    pub fn below(&mut self, n: u64) -> u64 {
        self.any() % n.max(1)
    }

    /// A number from `from` to `to`, both included.
    pub fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    /// Happens once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of these, if there is one.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(usize::try_from(self.below(of.len() as u64)).unwrap_or(0)).copied()
    }

    /// A UUIDv7 made at this time.
    pub fn uuid_v7(&mut self, unix_ms: u64) -> uuid::Uuid {
        let high = (unix_ms << 16) | 0x7000 | self.below(0x1000);
        let low = (self.any() >> 2) | (1 << 63);
        uuid::Uuid::from_u64_pair(high, low)
    }
}
