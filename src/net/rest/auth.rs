//! Sign-up, sign-in, refresh, logout, password and sessions. (Skeleton.)

use utoipa_axum::router::OpenApiRouter;

use super::RestState;

/// What these routes need beside the rest: signer, settings, throttle.
#[derive(Debug, Default)]
pub struct AuthState {}

/// The routes, with their whole paths (`/api/v1/auth/…`).
pub fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
}
