//! What one core owns: the connections it accepted, and the rooms and users of its slots.
//!
//! `Shard::handle(input, now, &mut effects)` is the only way in, `Shard::next_deadline()` says when it wants to be called
//! again. It decides everything and does nothing: what is to be done stands in [`Effects`], which the shell carries out.

pub mod input;
pub mod message;
pub mod placement;

pub use input::{Ask, AskAnswer, AskId, Effects, Input, Opened, Output, StoreJob, StoreOp, StoreResult, StoreToken};
pub use placement::Placement;

use std::sync::Arc;

use crate::auth::token::Verifier;
use crate::base::limits::Limits;
use crate::base::time::Now;
use crate::base::{Close, ConnId, Moment, ShardId};
use crate::metrics::Counters;

/// What a shard is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Which shard this is.
    pub id: ShardId,
    /// Who owns what.
    pub placement: Placement,
    /// Limits as configured.
    pub limits: Limits,
    /// For tokens in first frames.
    pub verifier: Arc<Verifier>,
    /// Days that messages are kept where a room says nothing; `None`: for ever.
    pub retention_days: Option<u32>,
    /// Seed for all that needs chance (jitter).
    pub seed: u64,
}

/// One shard: connections, rooms, users.
#[derive(Debug)]
pub struct Shard {
    setup: Setup,
    counters: Counters,
}

impl Shard {
    /// An empty shard.
    #[must_use]
    pub fn new(setup: Setup, now: Now) -> Self {
        let _ = now;
        Self { setup, counters: Counters::default() }
    }

    /// A WebSocket is open.
    ///
    /// # Errors
    /// There is no place for it: close it with this code.
    pub fn open(&mut self, opened: Opened, now: Now, effects: &mut Effects) -> Result<ConnId, Close> {
        let _ = (opened, now, effects, &self.setup);
        unimplemented!("skeleton")
    }

    /// Something happened.
    pub fn handle(&mut self, input: Input, now: Now, effects: &mut Effects) {
        let _ = (input, now, effects);
        unimplemented!("skeleton")
    }

    /// When [`Input::Tick`] is wanted at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        unimplemented!("skeleton")
    }

    /// Appends what `conn` has to write, whole frames, about `bytes_max` at most (a larger frame goes alone).
    pub fn take_output(&mut self, conn: ConnId, bytes_max: usize, into: &mut Vec<u8>) -> Output {
        let _ = (conn, bytes_max, into);
        unimplemented!("skeleton")
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        unimplemented!("skeleton")
    }

    /// Whether nothing is in flight any more: no store job, no unanswered question, no waiting bytes (for the drain).
    #[must_use]
    pub fn quiet(&self) -> bool {
        unimplemented!("skeleton")
    }

    /// The numbers, for `/metrics` and for the pump's own observations.
    pub fn counters(&mut self) -> &mut Counters {
        &mut self.counters
    }
}
