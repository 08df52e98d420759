//! Causerie: a self-hosted real-time chat server, thread per core, encrypted, durable before it is delivered.
//!
//! The map. The **pure half** decides and compiles alone (`cargo check --lib --no-default-features`): no clock, socket, thread,
//! future or randomness of its own. The **shell** carries out.
//!
//! | folder | half | what it is |
//! |---|---|---|
//! | [`base`] | pure | identifiers, time, limits, codes, plain data |
//! | [`chat`] | pure | rooms and people: what may happen and what follows |
//! | [`wire`] | pure | bytes ↔ typed frames |
//! | [`auth`] | pure | who is speaking |
//! | [`connection`] | pure | one connection from first byte to last |
//! | [`shard`] | pure | what one core owns |
//! | [`store`] | pure (port, record, seal, memory) and shell (embedded) | keeping |
//! | `sim` | pure, feature `sim` | a small world that replays from a seed |
//! | [`metrics`] | pure (counters) and shell (expose) | watching |
//! | `runtime` | shell | glommio: executors, lanes, pump, pools |
//! | `net` | shell | sockets, TLS, HTTP, REST |
//! | `keys` | shell | where token keys come from; password hashing |
//! | `config` | shell | settings, raw and checked |
//! | `log`, `welcome` | shell | what operators are told |
//! | `app` | shell | joins all parts |
//! | `client` | shell | `causerie chat`, the reference client of the protocol |
//! | `top` | shell | `causerie top`, a server's numbers in the terminal |

#[deny(clippy::disallowed_methods, clippy::iter_over_hash_type)]
pub mod auth;
#[deny(clippy::disallowed_methods, clippy::iter_over_hash_type)]
pub mod base;
#[deny(clippy::disallowed_methods, clippy::iter_over_hash_type)]
pub mod chat;
#[deny(clippy::disallowed_methods, clippy::iter_over_hash_type)]
pub mod connection;
#[deny(clippy::disallowed_methods, clippy::iter_over_hash_type)]
pub mod metrics;
#[deny(clippy::disallowed_methods, clippy::iter_over_hash_type)]
pub mod shard;
#[cfg(any(test, feature = "sim"))]
#[deny(clippy::disallowed_methods, clippy::iter_over_hash_type)]
#[allow(clippy::expect_used, reason = "a broken world ends the run")]
pub mod sim;
pub mod store;
#[deny(clippy::disallowed_methods, clippy::iter_over_hash_type)]
pub mod wire;

#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod client;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod keys;
#[cfg(feature = "server")]
pub mod log;
#[cfg(feature = "server")]
pub mod net;
#[cfg(feature = "server")]
pub mod runtime;
#[cfg(feature = "server")]
pub mod top;
#[cfg(feature = "server")]
pub mod welcome;
