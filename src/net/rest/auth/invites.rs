//! Invitations: codes for one account each, made by an admin, good for a week.
//!
//! All that stand open are one setting of the store: a bounded list of hashes. Changes to it take turns (`AuthState::turn`).

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::{Caller, Problem, Reply, RestState};
use super::client::Client;
use super::{built_in, random};
use crate::auth::hex_sha256;
use crate::base::{Code, UserId, WallTime};
use crate::store::{Answer, Outcome, Query, Write};
use crate::wire::native::json::Stamp;

const SETTING: &str = "invites";
const LIVES_MS: u64 = 7 * 24 * 3_600_000;
/// That stand open at a time.
const OPEN_MAX: usize = 1000;

/// One that stands open, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Open {
    /// Of the code.
    sha256: String,
    by: UserId,
    expires_at: WallTime,
}

/// An invitation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Invitation<'a> {
    /// Give it to whoever shall sign up. It is shown only now.
    invite: &'a str,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Stamp,
}

/// Makes an invitation for one new account. For admins.
#[utoipa::path(post, path = "/api/v1/auth/invites", operation_id = "create_invite", tag = "auth",
    responses((status = 201, description = "The invitation.", body = Invitation<'_>)))]
pub(super) async fn create_invite(
    State(state): State<RestState>,
    client: Client,
    caller: Caller,
) -> Result<Reply, Problem> {
    built_in(&state)?;
    if !caller.actor.admin {
        return Err(Problem::because(Code::NotAllowed, "Only an admin of this server can invite."));
    }
    let code = URL_SAFE_NO_PAD.encode(random::<16>()?);
    let expires_at = state.gateway.now().wall.plus_ms(LIVES_MS);
    let _turn = state.auth.turn.lock().await;
    let mut open = read(&state).await?;
    if open.len() >= OPEN_MAX {
        let detail = format!("{OPEN_MAX} invitations stand open; wait until some are used or run out.");
        return Err(Problem::because(Code::Busy, detail));
    }
    open.push(Open { sha256: hex_sha256(code.as_bytes()), by: caller.actor.user, expires_at });
    write(&state, &open).await?;
    client.audit("invited", Some(caller.actor.user));
    Ok(Reply::created(&Invitation { invite: &code, expires_at: Stamp(expires_at) }))
}

/// `true`, or a refusal. The caller holds the turn.
pub(super) async fn is_good(state: &RestState, code: &str) -> Result<bool, Problem> {
    let hash = hex_sha256(code.as_bytes());
    if read(state).await?.iter().any(|open| open.sha256 == hash) {
        return Ok(true);
    }
    Err(Problem::because(Code::SignupClosed, "This invitation is not known, was used, or has run out.").field("invite"))
}

/// Uses it up. The caller holds the turn.
pub(super) async fn take(state: &RestState, code: &str) -> Result<(), Problem> {
    let hash = hex_sha256(code.as_bytes());
    let mut open = read(state).await?;
    open.retain(|open| open.sha256 != hash);
    write(state, &open).await
}

/// It was not used after all. The caller holds the turn.
pub(super) async fn put_back(state: &RestState, code: &str) -> Result<(), Problem> {
    let mut open = read(state).await?;
    let expires_at = state.gateway.now().wall.plus_ms(LIVES_MS);
    open.push(Open { sha256: hex_sha256(code.as_bytes()), by: UserId(uuid::Uuid::nil()), expires_at });
    write(state, &open).await
}

/// Those that have not run out.
async fn read(state: &RestState) -> Result<Vec<Open>, Problem> {
    let Answer::Setting(stored) = state.gateway.read(Query::Setting(SETTING.to_owned())).await? else {
        return Err(Problem::unexpected("the store"));
    };
    let Some(stored) = stored else { return Ok(Vec::new()) };
    let mut open: Vec<Open> = serde_json::from_slice(&stored)
        .map_err(|error| Problem::internal(format!("the stored invitations cannot be read: {error}")))?;
    let now = state.gateway.now().wall;
    open.retain(|open| now < open.expires_at);
    Ok(open)
}

async fn write(state: &RestState, open: &[Open]) -> Result<(), Problem> {
    let value = serde_json::to_vec(open).map_err(|error| Problem::internal(error.to_string()))?;
    let Outcome::Done { .. } =
        state.gateway.write(Write::Setting { name: SETTING.to_owned(), value: Some(value) }).await?
    else {
        return Err(Problem::internal("the invitations could not be written"));
    };
    Ok(())
}
