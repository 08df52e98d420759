//! The transport over real sockets: TLS, HTTP and WebSocket against clients from rustls and tungstenite.

// A whole file of tests: what clippy.toml allows inside `#[test]` is meant for its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::unwrap_in_result, clippy::panic)]
#![allow(clippy::wildcard_enum_match_arm)]

mod asset;
mod client;
mod http;
mod server;
mod tls;
mod websocket;
