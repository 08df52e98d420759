//! What every handler is given: the way to shards and store, the keys of the moment, and whether the server is ready.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::auth::token::Verifier;
use crate::base::Slot;
use crate::base::limits::Limits;

use super::auth::AuthState;
use super::reach::Reach;

/// The state of the REST interface. Cheap to clone.
#[derive(Clone)]
pub struct RestState(Arc<Shared>);

/// What [`RestState`] holds.
pub struct Shared {
    /// The way to shards, store and blocking threads.
    pub gateway: Reach,
    /// Checks access tokens.
    pub keys: Keys,
    /// What `/readyz` says.
    pub ready: Ready,
    /// Limits as configured.
    pub limits: Limits,
    /// Of sign-up and sign-in.
    pub auth: AuthState,
    /// See [`RestState::alone`].
    pub turns: Turns,
}

/// Locks, one for each of a few parts of all ids.
pub struct Turns([futures_util::lock::Mutex<()>; 64]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| futures_util::lock::Mutex::new(())))
    }
}

impl RestState {
    /// The state, ready to be shared.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Waits until no other request is between reading and writing the same record, and keeps the others out until dropped. For
    /// whoever changes a stored record in two steps (a profile, a password, a room's name). Hold one at a time.
    pub async fn alone(&self, id: &[u8; 16]) -> futures_util::lock::MutexGuard<'_, ()> {
        self.0.turns.0[usize::from(Slot::of(id).0) % self.0.turns.0.len()].lock().await
    }
}

impl Deref for RestState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The verifier of the moment; replaced when keys change (not on the path of a message).
#[derive(Clone, Debug)]
pub struct Keys(Arc<RwLock<Arc<Verifier>>>);

impl Keys {
    /// Starts with this verifier.
    #[must_use]
    pub fn new(verifier: Arc<Verifier>) -> Self {
        Self(Arc::new(RwLock::new(verifier)))
    }

    /// The verifier of the moment.
    #[must_use]
    pub fn get(&self) -> Arc<Verifier> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces it.
    pub fn set(&self, verifier: Arc<Verifier>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = verifier;
    }
}

/// Whether the server takes new work: false until it is started, and again from the beginning of its drain.
#[derive(Clone, Debug, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Whether new work is taken.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Says whether new work is taken.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }
}
