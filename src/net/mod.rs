//! Sockets: listeners, TLS, HTTP, WebSocket.
pub mod cert;
pub mod tls;
