//! One suite over all backends: every promise of the store port, tried on the reference in memory and on the embedded store; and
//! what only the embedded store promises (crashes, damage, sealing, a full disk).

// In tests an answer of the wrong kind is a panic like any other, also in the short ways of the kit.
#![allow(clippy::wildcard_enum_match_arm, clippy::unwrap_in_result)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![allow(missing_docs)]

#[path = "store/copy.rs"]
mod copy;
#[path = "store/damage.rs"]
mod damage;
#[allow(dead_code)] // the suite uses its part
#[path = "support/database.rs"]
mod database;
#[path = "store/embedded.rs"]
mod embedded;
#[path = "store/kit.rs"]
mod kit;
#[path = "store/log.rs"]
mod log;
#[path = "store/mark.rs"]
mod mark;
#[path = "store/model.rs"]
mod model;
#[path = "store/reads.rs"]
mod reads;
#[path = "store/rooms.rs"]
mod rooms;
#[path = "store/users.rs"]
mod users;
