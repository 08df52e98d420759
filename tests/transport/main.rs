//! The transport over real sockets: TLS, HTTP and WebSocket against clients from rustls and tungstenite.

mod client;
mod http;
mod server;
mod tls;
mod websocket;
