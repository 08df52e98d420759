//! Sockets: listeners, TLS, HTTP, WebSocket; and REST.
pub mod cert;
pub mod operators;
pub mod peer;
pub mod rest;
pub mod tls;

pub use peer::Peer;
