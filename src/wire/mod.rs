//! Bytes to typed frames and back; no opinion on what they mean.
//!
//! Promises: whatever the bytes are, the answer is a frame or a [`crate::base::Refusal`], never a panic; and no `<`, `>`, `&`,
//! U+2028 or U+2029 leaves in any JSON.

pub mod frame;
pub mod native;
pub mod schema;
pub mod websocket;
