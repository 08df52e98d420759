//! Sockets, TLS, HTTP and REST.

pub mod peer;
pub mod rest;

pub use peer::Peer;
