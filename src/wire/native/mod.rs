//! The native JSON protocol: text frames to typed frames and back.
//!
//! [`parse`] reads what a client sent, [`encode`] writes what the server says; [`json`] is the serializer that lets no markup out,
//! and [`shape`] holds the parts of frames as typed structs, from which the published schemas are made as well.
//!
//! Promises: `parse` answers every text with a frame or a refusal that names the field, never a panic and with a stack of bounded
//! depth; `encode` writes one JSON object in one pass, without `<`, `>`, `&`, U+2028 and U+2029. What frames mean is decided
//! elsewhere: no clock, no membership, no rates here.

pub mod client;
pub mod json;
pub mod server;
pub mod shape;
#[cfg(test)]
mod tests;

pub use client::{Malformed, parse};
pub use json::check_metadata;
pub use server::encode;
