//! One's sessions: the list of them, and their end.

use axum::extract::State;
use http::header;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::{Caller, Ids, Problem, Reply, RestState};
use super::browser;
use super::client::Client;
use crate::base::{Code, DeviceId, Session, SessionId};
use crate::chat::{UserCommand, UserReply};
use crate::wire::native::json::Stamp;

/// Ends the session of the access token. Its sockets close within a second.
#[utoipa::path(post, path = "/api/v1/auth/logout", operation_id = "logout", tag = "auth",
    responses((status = 204, description = "The session has ended.")))]
pub(super) async fn logout(State(state): State<RestState>, client: Client, caller: Caller) -> Result<Reply, Problem> {
    state.gateway.user(caller.actor.user, UserCommand::EndSession(caller.actor.session)).await?;
    client.audit("logged_out", Some(caller.actor.user));
    let reply = Reply::empty();
    if browser::cookie(&client.headers).is_none() {
        return Ok(reply);
    }
    Ok(reply.header(header::SET_COOKIE, browser::remove_cookie()))
}

/// One login on one device.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionShape<'a> {
    #[schema(value_type = Uuid)]
    session_id: SessionId,
    #[schema(value_type = Uuid)]
    device_id: DeviceId,
    #[schema(value_type = String, format = DateTime)]
    created_at: Stamp,
    /// Last sign-in, refresh or connection.
    #[schema(value_type = String, format = DateTime)]
    used_at: Stamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Stamp,
    /// What the program called itself.
    agent: &'a str,
    /// It is the one that asks.
    current: bool,
}

/// Sessions that live, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionList<'a> {
    sessions: Vec<SessionShape<'a>>,
}

/// Your sessions that live, newest first.
#[utoipa::path(get, path = "/api/v1/auth/sessions", operation_id = "list_sessions", tag = "auth",
    responses((status = 200, description = "Your sessions.", body = SessionList<'_>)))]
pub(super) async fn list_sessions(State(state): State<RestState>, caller: Caller) -> Result<Reply, Problem> {
    let sessions = living(&state, &caller).await?;
    let shape = |session| shape(session, caller.actor.session);
    Ok(Reply::ok(&SessionList { sessions: sessions.iter().map(shape).collect() }))
}

/// Ends one of your sessions. Its sockets close within a second.
#[utoipa::path(delete, path = "/api/v1/auth/sessions/{session_id}", operation_id = "end_session", tag = "auth",
    params(("session_id" = Uuid, Path, description = "The session.")),
    responses((status = 204, description = "The session has ended.")))]
pub(super) async fn end_session(
    State(state): State<RestState>,
    client: Client,
    caller: Caller,
    Ids(session): Ids<SessionId>,
) -> Result<Reply, Problem> {
    if !living(&state, &caller).await?.iter().any(|living| living.id == session) {
        return Err(Problem::because(Code::NotFound, "You have no such session (any more)."));
    }
    state.gateway.user(caller.actor.user, UserCommand::EndSession(session)).await?;
    client.audit("session_ended", Some(caller.actor.user));
    Ok(Reply::empty())
}

async fn living(state: &RestState, caller: &Caller) -> Result<Vec<Session>, Problem> {
    let UserReply::Sessions(sessions) = state.gateway.user(caller.actor.user, UserCommand::Sessions).await? else {
        return Err(Problem::unexpected("a user"));
    };
    // What has run out is over, even if nobody has looked since.
    let now = state.gateway.now().wall;
    Ok(sessions.into_iter().filter(|session| now < session.expires_at).collect())
}

fn shape(session: &Session, current: SessionId) -> SessionShape<'_> {
    SessionShape {
        session_id: session.id,
        device_id: session.device,
        created_at: Stamp(session.created_at),
        used_at: Stamp(session.used_at),
        expires_at: Stamp(session.expires_at),
        agent: &session.agent,
        current: session.id == current,
    }
}
