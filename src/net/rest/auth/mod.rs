//! Sign-up, sign-in, refresh, logout, password, sessions, invitations.
//!
//! Promises: "no such user" and "wrong password" take the same steps and give the same answer; passwords are hashed on blocking
//! threads; neither passwords nor tokens are logged. Where accounts are kept elsewhere, all that needs a password answers
//! `auth_external`.

mod attempts;
mod browser;
mod client;
mod invites;
mod login;
mod password;
mod sessions;
mod signup;
mod start;
#[cfg(test)]
mod tests;

use ring::rand::{SecureRandom as _, SystemRandom};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Problem, RestState};
use crate::auth::account::Signup;
use crate::auth::session::REFRESH_MS;
use crate::base::Code;
use crate::keys::CurrentSigner;

/// What these routes need beside the rest.
#[derive(Debug)]
pub struct AuthState {
    /// Signs access tokens; holds `None` where accounts are kept elsewhere.
    pub signer: CurrentSigner,
    /// Who may make an account.
    pub signup: Signup,
    /// How long a refresh token lives, in milliseconds.
    pub refresh_ms: u64,
    /// Origins beside the server's own whose pages may sign in (`server.origins`).
    pub origins: Vec<String>,
    /// Sign-ups that depend on what is there (invitations, an empty server) take turns.
    turn: futures_util::lock::Mutex<()>,
}

impl AuthState {
    /// From the settings.
    #[must_use]
    pub fn new(signer: CurrentSigner, signup: Signup, refresh_ms: u64, origins: Vec<String>) -> Self {
        Self { signer, signup, refresh_ms, origins, turn: futures_util::lock::Mutex::new(()) }
    }
}

impl Default for AuthState {
    fn default() -> Self {
        Self::new(CurrentSigner::new(None), Signup::Open, REFRESH_MS, Vec::new())
    }
}

/// The routes, with their whole paths (`/api/v1/auth/…`).
pub fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(signup::signup))
        .routes(routes!(login::login))
        .routes(routes!(login::refresh))
        .routes(routes!(sessions::logout))
        .routes(routes!(password::change_password))
        .routes(routes!(sessions::list_sessions))
        .routes(routes!(sessions::end_session))
        .routes(routes!(invites::create_invite))
}

/// Accounts are kept here.
fn built_in(state: &RestState) -> Result<(), Problem> {
    if state.keys.get().is_external() { Err(Code::AuthExternal.into()) } else { Ok(()) }
}

/// Random bytes from the system.
fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Problem::internal("the system gives no random bytes"))?;
    Ok(bytes)
}
