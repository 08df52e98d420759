//! Access tokens: made and checked. (Skeleton: the faces are fixed, the bodies are not.)

use crate::auth::Claims;
use crate::base::{Refusal, WallTime};

/// Checks tokens against the keys of the moment. Immutable; a change of keys makes a new one.
#[derive(Debug)]
pub struct Verifier {}

impl Verifier {
    /// Checks signature, issuer, audience and times.
    ///
    /// # Errors
    /// `token_expired` or `not_authenticated`; never says why in more detail than that.
    pub fn verify(&self, token: &str, now: WallTime) -> Result<Claims, Refusal> {
        let _ = (token, now);
        unimplemented!("skeleton")
    }
}
