//! What a benchmark is, and what is measured of it.
//!
//! A benchmark is a function that prepares a round, has the part that counts done within [`Meter::section`], and looks afterwards
//! whether it really happened. So preparing and checking cost nothing in the figures, whichever way they are taken.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::alloc::allocated;

/// Whatever goes wrong ends the run with its words.
pub type Res<T> = Result<T, Box<dyn Error>>;

/// One round; answers how many units of work were done in its sections.
pub type Round = Box<dyn FnMut(&mut Meter) -> Res<u64>>;

/// One benchmark.
#[derive(Clone, Copy)]
pub struct Subject {
    /// `group/what`.
    pub name: &'static str,
    /// What the figures are for one of.
    pub unit: &'static str,
    /// Rounds that a prepared world stands; then it is made anew.
    pub rounds_max: u32,
    /// Instructions are counted too. Not where threads, the disk or sleep decide.
    pub counted: bool,
    /// Makes the world.
    pub make: fn() -> Res<Round>,
}

/// What the sections of some rounds took together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Time on the wall.
    pub time: Duration,
    /// Blocks allocated.
    pub blocks: u64,
    /// Bytes allocated.
    pub bytes: u64,
}

/// Measures the sections of rounds.
#[derive(Debug, Default)]
pub struct Meter {
    /// Off while a world warms up.
    pub on: bool,
    /// Up to now.
    pub taken: Taken,
}

impl Meter {
    /// Does what counts.
    pub fn section<R>(&mut self, act: impl FnOnce() -> R) -> R {
        if !self.on {
            return act();
        }
        let (before, begun) = (allocated(), Instant::now());
        let result = causerie_measured(act);
        self.taken.time += begun.elapsed();
        let after = allocated();
        self.taken.blocks += after.blocks - before.blocks;
        self.taken.bytes += after.bytes - before.bytes;
        result
    }
}

/// Valgrind counts while this function runs and knows it by its name (`callgrind.rs`), so it must stay a function of its own.
#[inline(never)]
fn causerie_measured<R>(act: impl FnOnce() -> R) -> R {
    black_box(act())
}

/// An error when a benchmark did not do what it measures.
pub fn ensure(right: bool, what: impl FnOnce() -> String) -> Res<()> {
    if right { Ok(()) } else { Err(what().into()) }
}
