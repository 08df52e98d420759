//! Sockets: listeners, TLS, HTTP, WebSocket.
pub mod cert;
pub mod operators;
pub mod tls;
