//! How a session starts: what is written with it, and the answer with its tokens. Sign-up, sign-in and refresh end here.

use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::{Problem, Reply, RestState};
use super::client::Client;
use super::{browser, random};
use crate::auth::session::{Begin, RefreshToken, begin, lives};
use crate::base::{Code, Device, DeviceId, Profile, Session, SessionId, UserId, WallTime};
use crate::chat::UserCommand;
use crate::store::{LoadedUser, UserWrite};
use crate::wire::native::shape::UserShape;

/// Sessions of one user that live at a time; a further one ends the one that was unused for longest.
const SESSIONS_MAX: usize = 100;

/// The answer to sign-up, sign-in and refresh.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignedIn<'a> {
    /// For `Authorization: Bearer` and the first frame.
    access_token: String,
    /// For one refresh. Absent when it is in the cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    /// Seconds until the access token ends.
    expires_in: u64,
    user: UserShape<'a>,
    /// Keep it and give it at the next sign-in.
    #[schema(value_type = Uuid)]
    device_id: DeviceId,
    #[schema(value_type = Uuid)]
    session_id: SessionId,
}

/// A new session of `user` with its device, put into `write`. Returns it with its refresh token, and the sessions that end for it.
pub(super) fn begin_in(
    state: &RestState,
    client: &Client,
    loaded: Option<&LoadedUser>,
    device: Option<DeviceId>,
    write: &mut UserWrite,
) -> Result<(Session, RefreshToken, Vec<SessionId>), Problem> {
    let now = state.gateway.now().wall;
    let user = write.user;
    let device = device.unwrap_or_else(|| DeviceId(Uuid::new_v4()));
    let first_seen = loaded.and_then(|loaded| loaded.devices.iter().find(|known| known.id == device));
    write.devices.push(Device {
        id: device,
        user,
        created_at: first_seen.map_or(now, |known| known.created_at),
        seen_at: now,
    });
    let secret = random()?;
    let (mut session, token) =
        begin(&Begin { user, session: SessionId(Uuid::now_v7()), device, secret, agent: client.agent() }, now);
    session.expires_at = now.plus_ms(state.auth.refresh_ms);
    let over = loaded.map(|loaded| too_many(loaded, now)).unwrap_or_default();
    let ended = over.iter().map(|session| session.id).collect();
    write.sessions.extend(over.into_iter().map(|session| Session { ended_at: Some(now), ..session }));
    write.sessions.push(session.clone());
    Ok((session, token, ended))
}

/// The sessions to end so that one more is not too many.
fn too_many(loaded: &LoadedUser, now: WallTime) -> Vec<Session> {
    let living = loaded.sessions.iter().filter(|session| lives(session, loaded.user.sessions_valid_from, now));
    let mut living: Vec<Session> = living.cloned().collect();
    living.sort_by_key(|session| std::cmp::Reverse(session.used_at));
    living.split_off(living.len().min(SESSIONS_MAX - 1))
}

/// Tells the user's owner of a session that was written, and of those that ended for it.
pub(super) async fn tell(state: &RestState, session: Session, ended: Vec<SessionId>) -> Result<(), Problem> {
    let user: UserId = session.user;
    state.gateway.user(user, UserCommand::SessionWritten(Box::new(session))).await?;
    for session in ended {
        state.gateway.user(user, UserCommand::EndSession(session)).await?;
    }
    Ok(())
}

/// The answer with the tokens of a session.
pub(super) fn answer(
    state: &RestState,
    status: StatusCode,
    session: &Session,
    token: &RefreshToken,
    profile: &Profile,
    cookie: bool,
) -> Result<Reply, Problem> {
    let now = state.gateway.now().wall;
    let signer = state.auth.signer.get().ok_or(Code::AuthExternal)?;
    let (access_token, expires_at) = signer.sign(session.user, session.id, session.device, now)?;
    let body = SignedIn {
        access_token,
        refresh_token: (!cookie).then(|| token.text()),
        expires_in: expires_at.0.saturating_sub(now.0) / 1000,
        user: UserShape::from(profile),
        device_id: session.device,
        session_id: session.id,
    };
    let reply = Reply::new(status, &body);
    if !cookie {
        return Ok(reply);
    }
    let seconds = session.expires_at.0.saturating_sub(now.0) / 1000;
    Ok(reply.header(header::SET_COOKIE, browser::set_cookie(token.text(), seconds)?))
}
