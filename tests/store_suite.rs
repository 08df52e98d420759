//! One suite over all backends: every promise of the store port, tried on the reference in memory and on the embedded store; and
//! what only the embedded store promises (crashes, damage, sealing, a full disk).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
#![allow(missing_docs)]

#[path = "store/damage.rs"]
mod damage;
#[path = "store/embedded.rs"]
mod embedded;
#[path = "store/kit.rs"]
mod kit;
#[path = "store/reads.rs"]
mod reads;
#[path = "store/rooms.rs"]
mod rooms;
#[path = "store/users.rs"]
mod users;
