//! A stand-in for the gateway: shards are a closure, the store is a real backend.

use crate::base::time::Now;
use crate::base::{Refusal, ShardId};
use crate::shard::{Ask, AskAnswer};
use crate::store::{Backend, Failure, Outcome, Write};

type Answers = dyn Fn(Ask) -> Result<AskAnswer, Refusal> + Send + Sync;

/// Answers questions from a closure.
pub struct Fake {
    pub backend: std::sync::Arc<dyn Backend>,
    pub answers: Box<Answers>,
    pub now: Now,
}

impl Fake {
    pub fn answer(&self, _to: ShardId, ask: Ask) -> Result<AskAnswer, Refusal> {
        (self.answers)(ask)
    }

    pub fn write(&self, write: Write) -> Result<Outcome, Failure> {
        self.backend.write(vec![write]).map(|mut outcomes| outcomes.remove(0))
    }

    pub fn now(&self) -> Now {
        self.now
    }
}
