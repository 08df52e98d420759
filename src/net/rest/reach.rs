//! The way from a handler to shards, store and blocking threads: the gateway, or in tests a stand-in for it.
//!
//! The verbs are those of [`Gateway`]; beside them are the few combinations that many handlers need.

use crate::base::time::Now;
use crate::base::{Refusal, RoomId, ShardId, UserId};
use crate::chat::{Actor, RoomCommand, RoomReply, UserCommand, UserReply};
use crate::runtime::gateway::Gateway;
use crate::shard::{Ask, AskAnswer};
use crate::store::{Answer, Backend, Failure, Outcome, Query, Write};

use super::problem::Problem;

/// The way to everything that is not a handler.
#[derive(Clone)]
pub enum Reach {
    /// The running server.
    Server(Gateway),
    /// A stand-in that answers from a closure, over a real backend.
    #[cfg(test)]
    Fake(std::sync::Arc<super::fake::Fake>),
}

impl From<Gateway> for Reach {
    fn from(gateway: Gateway) -> Self {
        Self::Server(gateway)
    }
}

impl Reach {
    /// Asks a shard; see [`Gateway::ask`].
    ///
    /// # Errors
    /// The shard's refusal, or `busy`.
    pub async fn ask(&self, to: ShardId, ask: Ask) -> Result<AskAnswer, Refusal> {
        match self {
            Self::Server(gateway) => gateway.ask(to, ask).await,
            #[cfg(test)]
            Self::Fake(fake) => fake.answer(to, ask),
        }
    }

    /// Asks the owner of a room; see [`Gateway::ask_room`].
    ///
    /// # Errors
    /// The shard's refusal, or `busy`.
    pub async fn ask_room(&self, room: RoomId, ask: Ask) -> Result<AskAnswer, Refusal> {
        match self {
            Self::Server(gateway) => gateway.ask_room(room, ask).await,
            #[cfg(test)]
            Self::Fake(fake) => fake.answer(ShardId(0), ask),
        }
    }

    /// Asks the owner of a user; see [`Gateway::ask_user`].
    ///
    /// # Errors
    /// The shard's refusal, or `busy`.
    pub async fn ask_user(&self, user: UserId, ask: Ask) -> Result<AskAnswer, Refusal> {
        match self {
            Self::Server(gateway) => gateway.ask_user(user, ask).await,
            #[cfg(test)]
            Self::Fake(fake) => fake.answer(ShardId(0), ask),
        }
    }

    /// Asks the owner of whatever has this slot.
    ///
    /// # Errors
    /// The shard's refusal, or `busy`.
    pub async fn ask_slot(&self, slot: crate::base::Slot, ask: Ask) -> Result<AskAnswer, Refusal> {
        match self {
            Self::Server(gateway) => gateway.ask(gateway.placement().owner(slot), ask).await,
            #[cfg(test)]
            Self::Fake(fake) => fake.answer(ShardId(slot.0), ask),
        }
    }

    /// Writes through the group commit; see [`Gateway::write`].
    ///
    /// # Errors
    /// When the store could not.
    pub async fn write(&self, write: Write) -> Result<Outcome, Failure> {
        match self {
            Self::Server(gateway) => gateway.write(write).await,
            #[cfg(test)]
            Self::Fake(fake) => fake.write(write),
        }
    }

    /// Reads; see [`Gateway::read`].
    ///
    /// # Errors
    /// When the store could not.
    pub async fn read(&self, query: Query) -> Result<Answer, Failure> {
        match self {
            Self::Server(gateway) => gateway.read(query).await,
            #[cfg(test)]
            Self::Fake(fake) => fake.backend.read(&query),
        }
    }

    /// The store, for its keyed hashes only.
    #[must_use]
    pub fn backend(&self) -> &dyn Backend {
        match self {
            Self::Server(gateway) => gateway.backend(),
            #[cfg(test)]
            Self::Fake(fake) => &*fake.backend,
        }
    }

    /// Runs something long on a blocking thread; see [`Gateway::blocking`].
    ///
    /// # Errors
    /// `busy`, or `internal`.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        match self {
            Self::Server(gateway) => gateway.blocking(work).await,
            #[cfg(test)]
            Self::Fake(_) => Ok(work()),
        }
    }

    /// Both clocks, read now.
    #[must_use]
    pub fn now(&self) -> Now {
        match self {
            Self::Server(gateway) => gateway.now(),
            #[cfg(test)]
            Self::Fake(fake) => fake.now(),
        }
    }

    /// Asks a room something in the name of `actor`.
    ///
    /// # Errors
    /// The room's refusal as a problem.
    pub async fn room(&self, room: RoomId, actor: Actor, command: RoomCommand) -> Result<RoomReply, Problem> {
        let AskAnswer::Room(reply) = self.ask_room(room, Ask::Room { room, actor, command }).await? else {
            return Err(Problem::unexpected("a room"));
        };
        Ok(reply)
    }

    /// Asks a user's owner something.
    ///
    /// # Errors
    /// The owner's refusal as a problem.
    pub async fn user(&self, user: UserId, command: UserCommand) -> Result<UserReply, Problem> {
        let AskAnswer::User(reply) = self.ask_user(user, Ask::User { user, command }).await? else {
            return Err(Problem::unexpected("a user"));
        };
        Ok(reply)
    }
}
