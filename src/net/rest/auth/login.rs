//! Signing in and staying signed in.

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::{JsonBody, Problem, Reply, RestState};
use super::client::Client;
use super::start::{self, SignedIn};
use super::{attempts, browser, built_in, random};
use crate::auth::account::may_be_password;
use crate::auth::session::{RefreshToken, lives};
use crate::auth::throttle;
use crate::base::text::{check_username, fold_name};
use crate::base::{Code, DeviceId, User, UserId};
use crate::chat::UserCommand;
use crate::keys::password;
use crate::store::{Answer, LoadedUser, NameKind, Outcome, Query, UserWrite, Write};

/// Who signs in.
#[derive(Deserialize, ToSchema)]
pub(super) struct LoginBody {
    /// In any case.
    username: String,
    password: String,
    /// The client's own id of this device, from the last sign-in.
    #[schema(value_type = Option<Uuid>)]
    device_id: Option<DeviceId>,
    /// Put the refresh token into a cookie instead of the answer.
    #[serde(default)]
    cookie: bool,
}

/// Signs in with a password.
#[utoipa::path(post, path = "/api/v1/auth/login", operation_id = "login", tag = "auth", request_body = LoginBody,
    responses((status = 200, description = "Signed in.", body = SignedIn<'_>)))]
pub(super) async fn login(
    State(state): State<RestState>,
    client: Client,
    JsonBody(body): JsonBody<LoginBody>,
) -> Result<Reply, Problem> {
    built_in(&state)?;
    browser::check_origin(&state, &client.headers, body.cookie)?;
    // A name that nobody can have is looked up like any other: the steps are the same for all.
    let name = if check_username(&body.username).is_ok() { fold_name(&body.username) } else { String::new() };
    let found = by_name(&state, &name).await?;
    let loaded = load(&state, found.as_ref().map_or(UserId(Uuid::nil()), |user| user.id)).await?;
    let devices = loaded.iter().flat_map(|loaded| &loaded.devices);
    let known = body.device_id.filter(|given| devices.clone().any(|device| device.id == *given));
    let keys = throttle::sign_in_keys(client.address, &name, known);
    attempts::attempt(&state, &client, &keys).await?;

    let hash = found.map(|user| user.password_hash);
    let plain = if may_be_password(&body.password) { body.password } else { String::new() };
    let right = state.gateway.blocking(move || password::verify(&plain, hash.as_deref())).await?;
    let whose = loaded.as_ref().map(|loaded| loaded.user.id);
    let Some(loaded) = loaded.filter(|_| right) else {
        client.audit("sign_in_failed", whose);
        return Err(Code::BadCredentials.into());
    };
    let user = loaded.user.id;
    client.is(user);
    attempts::succeeded(&state, &keys).await;
    if loaded.user.suspended {
        return Err(Code::Suspended.into());
    }
    let mut write = UserWrite::new(user);
    let (session, token, ended) = start::begin_in(&state, &client, Some(&loaded), body.device_id, &mut write)?;
    let Outcome::Done { .. } = state.gateway.write(Write::User(Box::new(write))).await? else {
        return Err(Problem::internal("a session could not be written"));
    };
    client.audit("signed_in", Some(user));
    start::tell(&state, session.clone(), ended).await?;
    start::answer(&state, StatusCode::OK, &session, &token, &loaded.user.profile(), body.cookie)
}

/// The record of the user with this folded name.
async fn by_name(state: &RestState, name: &str) -> Result<Option<Box<User>>, Problem> {
    let key = state.gateway.backend().name_key(NameKind::User, name);
    let Answer::UserRecord(found) = state.gateway.read(Query::UserByName(key)).await? else {
        return Err(Problem::unexpected("the store"));
    };
    Ok(found)
}

pub(super) async fn load(state: &RestState, user: UserId) -> Result<Option<Box<LoadedUser>>, Problem> {
    let Answer::User(found) = state.gateway.read(Query::User(user)).await? else {
        return Err(Problem::unexpected("the store"));
    };
    Ok(found)
}

/// Which session is to go on.
#[derive(Default, Deserialize, ToSchema)]
pub(super) struct RefreshBody {
    /// From the last answer; left out when it is in the cookie.
    refresh_token: Option<String>,
    /// Take the token from the cookie and put its successor there.
    #[serde(default)]
    cookie: bool,
}

/// Exchanges a refresh token for a new access token and the next refresh token. Each is good for one use: the second use of one
/// ends the session. Only a cookie may be shown once more within 30 seconds, for an answer that was lost on its way, and gets the same successor.
#[utoipa::path(post, path = "/api/v1/auth/refresh", operation_id = "refresh", tag = "auth", request_body = RefreshBody,
    responses((status = 200, description = "The session goes on.", body = SignedIn<'_>)))]
pub(super) async fn refresh(
    State(state): State<RestState>,
    client: Client,
    JsonBody(body): JsonBody<RefreshBody>,
) -> Result<Reply, Problem> {
    built_in(&state)?;
    browser::check_origin(&state, &client.headers, body.cookie)?;
    let text = if body.cookie { browser::cookie(&client.headers) } else { body.refresh_token };
    let Some(text) = text else {
        let missing =
            if body.cookie { "There is no cookie with a refresh token." } else { "refresh_token is missing." };
        return Err(Problem::because(Code::NotAuthenticated, missing));
    };
    let token = RefreshToken::parse(&text)?;
    let now = state.gateway.now().wall;
    // Of two requests with one cookie the second must see what became of the first.
    let _alone = if body.cookie { Some(state.alone(token.user().bytes()).await) } else { None };
    // Looked at before it is written: who guesses costs a read and no commit.
    let loaded = load(&state, token.user()).await?.ok_or(Code::NotAuthenticated)?;
    let session = loaded.sessions.iter().find(|session| session.id == token.session()).ok_or(Code::NotAuthenticated)?;
    if ![session.refresh_hash, session.previous_hash].contains(&token.hash()) {
        return Err(Code::NotAuthenticated.into());
    }
    client.is(token.user());
    if !lives(session, loaded.user.sessions_valid_from, now) {
        return Err(Code::SessionEnded.into());
    }
    if loaded.user.suspended {
        return Err(Code::Suspended.into());
    }
    let secret = if body.cookie { browser::successor(&state, &token) } else { random()? };
    let next = RefreshToken::new(token.user(), token.session(), secret);
    if body.cookie && browser::asked_again(session, &token, &next, now) {
        return start::answer(&state, StatusCode::OK, session, &next, &loaded.user.profile(), true);
    }
    let write = Write::RotateRefresh {
        user: token.user(),
        session: token.session(),
        presented: token.hash(),
        next: next.hash(),
        at: now,
        expires_at: now.plus_ms(state.auth.refresh_ms),
    };
    match state.gateway.write(write).await? {
        Outcome::Rotated(session) => {
            start::tell(&state, (*session).clone(), Vec::new()).await?;
            start::answer(&state, StatusCode::OK, &session, &next, &loaded.user.profile(), body.cookie)
        }
        Outcome::Reused(session) => {
            client.audit("token_reused", Some(session.user));
            state.gateway.user(session.user, UserCommand::EndSession(session.id)).await?;
            Err(Problem::because(Code::SessionEnded, "This refresh token was used before; its session has ended."))
        }
        Outcome::Ended => Err(Code::SessionEnded.into()),
        Outcome::NotFound => Err(Code::NotAuthenticated.into()),
        Outcome::Done { .. } | Outcome::NameTaken | Outcome::Exists | Outcome::Conflict | Outcome::Trimmed(..) => {
            Err(Problem::unexpected("the store"))
        }
    }
}
