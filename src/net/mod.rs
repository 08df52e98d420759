//! Sockets: listeners, TLS, HTTP, WebSocket; and REST.
pub mod cert;
pub mod peer;
pub mod rest;
pub mod operators;
pub mod tls;

pub use peer::Peer;
