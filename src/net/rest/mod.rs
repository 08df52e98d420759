//! The REST interface: `/api/v1`, the contract, health; and, where no route is, the web client.
//!
//! Handlers are `Send`, know no socket and no runtime, and reach shards and store through [`reach::Reach`] only. Every wrong
//! thing is a [`problem::Problem`]; all JSON that leaves is escaped ([`json`]). Whoever serves HTTP calls [`router`] as a tower
//! service and puts a [`Peer`](crate::net::peer::Peer) into each request's extensions; limits on heads, time and connections,
//! and the security headers of every answer are that one's.

pub mod auth;
pub mod contract;
pub mod extract;
#[cfg(test)]
pub(crate) mod fake;
pub mod json;
mod members;
mod messages;
mod page;
pub mod pages;
pub mod problem;
pub mod reach;
mod rooms;
pub mod state;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod users;

pub use extract::{Caller, IdempotencyKey, Ids, JsonBody, Params};
pub use json::Reply;
pub use problem::Problem;
pub use reach::Reach;
pub use state::{Keys, Ready, RestState, Shared, Turns};

use axum::extract::DefaultBodyLimit;
use http::{HeaderMap, Method, Uri};
use utoipa_axum::router::OpenApiRouter;

use super::web::Client;
use crate::base::Code;

/// Bytes of a request's body where the route says nothing else.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// All routes, ready to be called. What no route has is the web client's to answer.
pub fn router(state: RestState, client: Client) -> axum::Router {
    let (router, api) = all().split_for_parts();
    router
        .merge(pages::routes(
            contract::text(contract::document(api)),
            contract::text(Ok(crate::wire::schema::asyncapi())),
        ))
        .fallback(async move |method: Method, uri: Uri, headers: HeaderMap| {
            client.answer(&method, uri.path(), &headers)
        })
        .method_not_allowed_fallback(async || Problem::from(Code::MethodNotAllowed))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn(trace::around))
        .with_state(state)
}

/// The OpenAPI document: what `/api/openapi.json` answers, and what stands in `schema/protocol/openapi.json`.
///
/// # Errors
/// See [`contract::document`].
pub fn openapi() -> Result<serde_json::Value, serde_json::Error> {
    contract::document(all().split_for_parts().1)
}

/// The routes that stand in the contract.
fn all() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .merge(auth::routes())
        .merge(users::routes())
        .merge(rooms::routes())
        .merge(members::routes())
        .merge(messages::routes())
}
