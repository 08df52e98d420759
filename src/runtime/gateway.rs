//! How everything that is not a socket reaches shards, store and blocking pool: a handle that may be cloned and sent anywhere.

use crate::base::time::Now;
use crate::base::{Refusal, RoomId, ShardId, UserId};
use crate::shard::{Ask, AskAnswer, Placement};
use crate::store::{Answer, Backend, Failure, Outcome, Query, Write};

/// A handle to the running server. Cheap to clone; its futures need no runtime of their own.
#[derive(Clone)]
pub struct Gateway {}

impl Gateway {
    /// Asks a shard and waits for its answer. A full inbox is `busy`.
    ///
    /// # Errors
    /// The shard's refusal, or `busy`.
    pub async fn ask(&self, to: ShardId, ask: Ask) -> Result<AskAnswer, Refusal> {
        let _ = (to, ask);
        unimplemented!("skeleton")
    }

    /// Asks the owner of a room.
    ///
    /// # Errors
    /// The shard's refusal, or `busy`.
    pub async fn ask_room(&self, room: RoomId, ask: Ask) -> Result<AskAnswer, Refusal> {
        self.ask(self.placement().of_room(room), ask).await
    }

    /// Asks the owner of a user.
    ///
    /// # Errors
    /// The shard's refusal, or `busy`.
    pub async fn ask_user(&self, user: UserId, ask: Ask) -> Result<AskAnswer, Refusal> {
        self.ask(self.placement().of_user(user), ask).await
    }

    /// Which shard owns what.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        unimplemented!("skeleton")
    }

    /// Writes through the group commit; durable on return.
    ///
    /// # Errors
    /// When the store could not.
    pub async fn write(&self, write: Write) -> Result<Outcome, Failure> {
        let _ = write;
        unimplemented!("skeleton")
    }

    /// Reads on one of the store's reader threads.
    ///
    /// # Errors
    /// When the store could not.
    pub async fn read(&self, query: Query) -> Result<Answer, Failure> {
        let _ = query;
        unimplemented!("skeleton")
    }

    /// The store itself, for its keyed hashes ([`Backend::name_key`], [`Backend::pair_key`]). Never call its blocking verbs on a shard.
    #[must_use]
    pub fn backend(&self) -> &dyn Backend {
        unimplemented!("skeleton")
    }

    /// Runs something long (argon2) on one of a few blocking threads. A full queue is `busy`.
    ///
    /// # Errors
    /// `busy`, or `internal` when it panicked.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let _ = work;
        unimplemented!("skeleton")
    }

    /// Both clocks, read now.
    #[must_use]
    pub fn now(&self) -> Now {
        unimplemented!("skeleton")
    }
}
