//! From where a request came: put into the request's extensions by whoever accepted the socket.

use std::net::IpAddr;

/// The address of the client (behind a configured load balancer: the one it forwards).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);
