//! Profiles: one's own, others', and the search for them.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::base::limits::DISPLAY_NAME_CHARS_MAX;
use crate::base::text::{check_line, fold_name};
use crate::base::{Code, Profile, Status, UserId};
use crate::chat::{UserCommand, UserReply};
use crate::store::{Answer, Outcome, Query, UserWrite, Write};
use crate::wire::native::shape::UserShape;

use super::extract::{Caller, Ids, JsonBody, Params};
use super::page::{PageParams, cut};
use super::{Problem, Reply, RestState};

/// The routes of users.
pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(me, change_me)).routes(routes!(find)).routes(routes!(one))
}

/// Your own profile.
#[utoipa::path(get, path = "/api/v1/users/me", operation_id = "get_me", tag = "users",
    responses((status = 200, description = "Your profile.", body = UserShape<'_>)))]
async fn me(caller: Caller) -> Reply {
    Reply::ok(&UserShape::from(&caller.profile))
}

/// What is to be different in your profile.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ChangeMe {
    /// What others see: 1 to 64 characters on one line.
    #[schema(max_length = 64)]
    display_name: Option<String>,
}

/// Changes your profile. What is left out stays as it is.
#[utoipa::path(patch, path = "/api/v1/users/me", operation_id = "change_me", tag = "users", request_body = ChangeMe,
    responses((status = 200, description = "Your profile as it is now.", body = UserShape<'_>)))]
async fn change_me(
    State(state): State<RestState>,
    caller: Caller,
    JsonBody(change): JsonBody<ChangeMe>,
) -> Result<Reply, Problem> {
    let Some(name) = change.display_name else { return Ok(Reply::ok(&UserShape::from(&caller.profile))) };
    check_line(&name, DISPLAY_NAME_CHARS_MAX)
        .map_err(|why| Problem::because(Code::BadName, format!("display_name: {why}.")).field("display_name"))?;
    let user = caller.actor.user;
    let _alone = state.alone(user.bytes()).await;
    let mut record = record(&state, user).await?;
    record.display_name = name;
    let profile = record.profile();
    let mut write = UserWrite::new(user);
    write.record = Some(record);
    let Outcome::Done { .. } = state.gateway.write(Write::User(Box::new(write))).await? else {
        return Err(Problem::internal("a profile could not be written"));
    };
    state.gateway.user(user, UserCommand::Reload).await?;
    Ok(Reply::ok(&UserShape::from(&profile)))
}

/// A user's own record.
///
/// # Errors
/// `user_not_found`.
pub async fn record(state: &RestState, user: UserId) -> Result<crate::base::User, Problem> {
    let Answer::User(loaded) = state.gateway.read(Query::User(user)).await? else {
        return Err(Problem::unexpected("the store"));
    };
    Ok(loaded.ok_or(Code::UserNotFound)?.user)
}

/// What others may see of users, in the order asked.
///
/// # Errors
/// When the store could not.
pub async fn profiles(state: &RestState, users: Vec<UserId>) -> Result<Vec<Option<Profile>>, Problem> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let Answer::Profiles(profiles) = state.gateway.read(Query::Profiles(users)).await? else {
        return Err(Problem::unexpected("the store"));
    };
    Ok(profiles)
}

/// All of these users exist.
///
/// # Errors
/// `user_not_found`, naming the field.
pub async fn must_exist(state: &RestState, users: Vec<UserId>, field: &str) -> Result<(), Problem> {
    if profiles(state, users).await?.iter().any(Option::is_none) {
        return Err(Problem::from(Code::UserNotFound).field(field));
    }
    Ok(())
}

/// Whom to look for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FindParams {
    /// The beginning or a part of a username or display name; empty or left out: everybody.
    #[param(max_length = 64)]
    query: Option<String>,
}

/// A page of users.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserPage<'a> {
    users: Vec<UserShape<'a>>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    cursor: Option<UserId>,
}

/// Looks up users by username and display name.
#[utoipa::path(get, path = "/api/v1/users", operation_id = "find_users", tag = "users", params(FindParams, PageParams),
    responses((status = 200, description = "A page of users, ascending by id.", body = UserPage<'_>)))]
async fn find(
    State(state): State<RestState>,
    _: Caller,
    Params(what): Params<FindParams>,
    Params(page): Params<PageParams>,
) -> Result<Reply, Problem> {
    let (limit, after) = page.get()?;
    let text = what.query.unwrap_or_default();
    if text.chars().count() > DISPLAY_NAME_CHARS_MAX {
        return Err(Problem::because(Code::BadRequest, "query: no name is that long.").field("query"));
    }
    let query = Query::FindUsers { text: fold_name(&text), after: after.map(UserId), limit: limit + 1 };
    let Answer::Found(mut found) = state.gateway.read(query).await? else {
        return Err(Problem::unexpected("the store"));
    };
    let more = cut(&mut found, limit);
    let cursor = found.last().filter(|_| more).map(|last| last.id);
    Ok(Reply::ok(&UserPage { users: found.iter().map(UserShape::from).collect(), cursor }))
}

/// A user with their presence.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserWithStatus<'a> {
    #[serde(flatten)]
    user: UserShape<'a>,
    status: Status,
}

/// One user, with presence.
#[utoipa::path(get, path = "/api/v1/users/{user_id}", operation_id = "get_user", tag = "users",
    params(("user_id" = Uuid, Path, description = "The user.")),
    responses((status = 200, description = "The user.", body = UserWithStatus<'_>)))]
async fn one(State(state): State<RestState>, _: Caller, Ids(user): Ids<UserId>) -> Result<Reply, Problem> {
    let profile = profiles(&state, vec![user]).await?.pop().flatten().ok_or(Code::UserNotFound)?;
    let UserReply::Presence(status, _) = state.gateway.user(user, UserCommand::Presence).await? else {
        return Err(Problem::unexpected("a user"));
    };
    Ok(Reply::ok(&UserWithStatus { user: UserShape::from(&profile), status }))
}
