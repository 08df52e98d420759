//! Who is at the other end, before anybody has signed in.

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, header};

use super::super::trace::Trace;
use super::super::{Problem, RestState};
use crate::base::UserId;
use crate::net::peer::Peer;

/// The other end of a request.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// From where.
    pub(super) address: IpAddr,
    /// For cookies, `Origin` and `User-Agent`.
    pub(super) headers: HeaderMap,
    trace: Option<Trace>,
}

impl Client {
    /// `User-Agent`, or empty.
    pub(super) fn agent(&self) -> String {
        let agent = self.headers.get(header::USER_AGENT);
        agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned()).unwrap_or_default()
    }

    /// It has become known who it is.
    pub(super) fn is(&self, user: UserId) {
        if let Some(trace) = &self.trace {
            trace.is(user);
        }
    }

    /// A line in the audit log.
    pub(super) fn audit(&self, what: &'static str, user: Option<UserId>) {
        let user = user.map(|user| user.to_string()).unwrap_or_default();
        let id = self.trace.as_ref().map(|trace| trace.id().to_string()).unwrap_or_default();
        tracing::info!(target: "audit", what, id, user, peer = %self.address);
    }
}

impl FromRequestParts<RestState> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &RestState) -> Result<Self, Problem> {
        // Without an address (a test without sockets) all are taken for one.
        let address = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
        let trace = parts.extensions.get::<Trace>().cloned();
        Ok(Self { address, headers: parts.headers.clone(), trace })
    }
}
