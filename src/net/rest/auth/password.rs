//! A new password. It ends all other sessions: whoever changes it may have a reason.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::{Caller, JsonBody, Problem, Reply, RestState};
use super::client::Client;
use super::login::load;
use super::{attempts, built_in, random};
use crate::auth::account;
use crate::auth::throttle;
use crate::base::text::fold_name;
use crate::base::{Code, Session, UserId};
use crate::chat::UserCommand;
use crate::keys::password;
use crate::store::{Outcome, UserWrite, Write};

/// How often the record is written anew when somebody else wrote an older one over it.
const TRIES: usize = 4;

/// The present password and the next one.
#[derive(Deserialize, ToSchema)]
pub(super) struct PasswordBody {
    /// The present one.
    current_password: String,
    /// 8 to 256 characters, not a common one.
    new_password: String,
}

/// Changes your password and ends all your other sessions. This one stays, with its tokens.
#[utoipa::path(post, path = "/api/v1/auth/password", operation_id = "change_password", tag = "auth",
    request_body = PasswordBody, responses((status = 204, description = "The password is changed.")))]
pub(super) async fn change_password(
    State(state): State<RestState>,
    client: Client,
    caller: Caller,
    JsonBody(body): JsonBody<PasswordBody>,
) -> Result<Reply, Problem> {
    built_in(&state)?;
    let user = caller.actor.user;
    let username = &caller.profile.username;
    account::check_new_password(&body.new_password, username, "new_password")?;
    // Who found an open laptop must not guess any faster than elsewhere.
    let keys = throttle::sign_in_keys(client.address, &fold_name(username), Some(caller.actor.device));
    attempts::attempt(&state, &client, &keys).await?;
    let stored = load(&state, user).await?.ok_or(Code::SessionEnded)?.user.password_hash;
    let salt = random()?;
    let plain = if account::may_be_password(&body.current_password) { body.current_password } else { String::new() };
    let next = body.new_password;
    let work = move || password::verify(&plain, Some(&stored)).then(|| password::hash(&next, salt));
    let Some(hash) = state.gateway.blocking(work).await? else {
        client.audit("password_change_failed", Some(user));
        return Err(
            Problem::because(Code::BadCredentials, "The present password is not right.").field("current_password")
        );
    };
    attempts::succeeded(&state, &keys).await;
    let session = set(&state, user, caller.actor.session, &hash?).await?;
    client.audit("password_changed", Some(user));
    state.gateway.user(user, UserCommand::SessionWritten(Box::new(session))).await?;
    state.gateway.user(user, UserCommand::EndOtherSessions(caller.actor.session)).await?;
    Ok(Reply::empty())
}

/// Writes the hash, ends the other sessions and dates this one anew, in one go. The user's owner may be writing the record from
/// what it has in memory at the same time: so it is told to load it, and what stands there afterwards is looked at.
async fn set(state: &RestState, user: UserId, current: crate::base::SessionId, hash: &str) -> Result<Session, Problem> {
    let _alone = state.alone(user.bytes()).await;
    for _ in 0..TRIES {
        let loaded = load(state, user).await?.ok_or(Code::SessionEnded)?;
        let now = state.gateway.now().wall;
        let mut write = UserWrite::new(user);
        let mut kept = None;
        for mut session in loaded.sessions.into_iter().filter(|session| session.ended_at.is_none()) {
            if session.id == current {
                // Sessions that began before the change are over; this one begins again.
                session.created_at = now;
                kept = Some(session.clone());
            } else {
                session.ended_at = Some(now);
            }
            write.sessions.push(session);
        }
        let kept = kept.ok_or(Code::SessionEnded)?;
        let mut record = loaded.user;
        hash.clone_into(&mut record.password_hash);
        record.sessions_valid_from = now;
        write.record = Some(record);
        let Outcome::Done { .. } = state.gateway.write(Write::User(Box::new(write))).await? else {
            return Err(Problem::internal("a password could not be written"));
        };
        state.gateway.user(user, UserCommand::Reload).await?;
        let stands = load(state, user).await?.is_some_and(|loaded| loaded.user.password_hash == hash);
        if stands {
            return Ok(kept);
        }
    }
    Err(Problem::internal("a new password was overwritten again and again"))
}
