//! Making an account.

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::{JsonBody, Problem, Reply, RestState};
use super::client::Client;
use super::start::{self, SignedIn};
use super::{attempts, browser, built_in, invites, random};
use crate::auth::account::{self, Signup};
use crate::auth::throttle;
use crate::base::text::fold_name;
use crate::base::{Code, DeviceId, UserId};
use crate::keys::password;
use crate::store::{Answer, NameChange, NameKey, NameKind, Outcome, Query, UserWrite, Write};

/// A new account.
#[derive(Deserialize, ToSchema)]
pub(super) struct SignupBody {
    /// 3 to 32 letters, digits, dots, `_` and `-`; unique whatever the case.
    username: String,
    /// 8 to 256 characters, not a common one.
    password: String,
    /// What others see; the username unless given.
    display_name: Option<String>,
    /// The client's own id of this device.
    #[schema(value_type = Option<Uuid>)]
    device_id: Option<DeviceId>,
    /// Where one is needed.
    invite: Option<String>,
    /// Put the refresh token into a cookie instead of the answer.
    #[serde(default)]
    cookie: bool,
}

/// Makes an account and signs in. The first user of an empty server is its admin.
#[utoipa::path(post, path = "/api/v1/auth/signup", operation_id = "signup", tag = "auth", request_body = SignupBody,
    responses((status = 201, description = "The account is made and signed in.", body = SignedIn<'_>)))]
pub(super) async fn signup(
    State(state): State<RestState>,
    client: Client,
    JsonBody(body): JsonBody<SignupBody>,
) -> Result<Reply, Problem> {
    built_in(&state)?;
    browser::check_origin(&state, &client.headers, body.cookie)?;
    account::check_username(&body.username)?;
    account::check_new_password(&body.password, &body.username, "password")?;
    if let Some(name) = &body.display_name {
        account::check_display_name(name)?;
    }
    attempts::attempt(&state, &client, &[throttle::sign_up_key(client.address)]).await?;

    // Where signing up depends on what is there, nobody else may change that meanwhile.
    let _turn = if state.auth.signup == Signup::Open { None } else { Some(state.auth.turn.lock().await) };
    let invited = match state.auth.signup {
        Signup::Open => false,
        Signup::Invite | Signup::Closed if is_empty(&state).await? => false,
        Signup::Invite => match &body.invite {
            None => {
                return Err(Problem::because(Code::SignupClosed, "A new account needs an invitation.").field("invite"));
            }
            Some(code) => invites::is_good(&state, code).await?,
        },
        Signup::Closed => return Err(Code::SignupClosed.into()),
    };

    let name = state.gateway.backend().name_key(NameKind::User, &fold_name(&body.username));
    if is_taken(&state, name).await? {
        return Err(taken());
    }
    let salt = random()?;
    let plain = body.password;
    let hash = state.gateway.blocking(move || password::hash(&plain, salt)).await??;

    let user = UserId(Uuid::now_v7());
    let now = state.gateway.now().wall;
    let record = account::new_user(user, body.username, body.display_name, hash, now);
    let mut profile = record.profile();
    let mut write = UserWrite::new(user);
    write.create = true;
    write.admin_if_first = true;
    write.name = NameChange { release: None, take: Some(name) };
    write.record = Some(record);
    let (session, token, _) = start::begin_in(&state, &client, None, body.device_id, &mut write)?;
    if let Some(code) = body.invite.as_deref().filter(|_| invited) {
        invites::take(&state, code).await?;
    }
    match state.gateway.write(Write::User(Box::new(write))).await? {
        Outcome::Done { first_user } => profile.admin |= first_user,
        Outcome::NameTaken => {
            if let Some(code) = body.invite.as_deref().filter(|_| invited) {
                invites::put_back(&state, code).await?;
            }
            return Err(taken());
        }
        Outcome::Exists
        | Outcome::Conflict
        | Outcome::NotFound
        | Outcome::Rotated(_)
        | Outcome::Reused(_)
        | Outcome::Ended
        | Outcome::Trimmed(..) => return Err(Problem::internal("a new user could not be written")),
    }
    client.is(user);
    client.audit("signed_up", Some(user));
    start::tell(&state, session.clone(), Vec::new()).await?;
    start::answer(&state, StatusCode::CREATED, &session, &token, &profile, body.cookie)
}

fn taken() -> Problem {
    Problem::from(Code::NameTaken).field("username")
}

async fn is_taken(state: &RestState, name: NameKey) -> Result<bool, Problem> {
    let Answer::UserRecord(found) = state.gateway.read(Query::UserByName(name)).await? else {
        return Err(Problem::unexpected("the store"));
    };
    Ok(found.is_some())
}

/// Whether there is no user at all.
async fn is_empty(state: &RestState) -> Result<bool, Problem> {
    let anybody = Query::FindUsers { text: String::new(), after: None, limit: 1 };
    let Answer::Found(found) = state.gateway.read(anybody).await? else {
        return Err(Problem::unexpected("the store"));
    };
    Ok(found.is_empty())
}
