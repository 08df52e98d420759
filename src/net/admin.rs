//! The operators' listener: a second port on the loopback, the same TLS and HTTP, other routes.
//!
//! It has no WebSockets and its own small limits, so that a full public port does not shut the operators out.

use std::sync::Arc;

use super::{Admission, Certs, Settings, Site};

/// Connections of the operators' port.
const CONNECTIONS_MAX: usize = 64;

/// The operators' site: `router` answers `/metrics`, `/healthz`, `/readyz` and what else operators need.
#[must_use]
pub fn site(router: axum::Router, certs: Certs, settings: &Settings) -> Site {
    let settings = Settings { handshakes_per_shard: 16, echo: false, ..settings.clone() };
    Site {
        settings: Arc::new(settings),
        certs,
        router,
        admission: Admission::new(CONNECTIONS_MAX, u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX)),
        sockets: None,
    }
}
