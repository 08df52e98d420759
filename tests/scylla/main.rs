//! The real server on a database that misbehaves: slow, gone, silent, killed, one node of three down. What must hold: nothing acked is lost,
//! nothing unacked is shown, who sends is told to try again, what needs no database goes on, and all is well again by itself.
//!
//! Apache Cassandra stands in for ScyllaDB (`scripts/cassandra`), toxiproxy makes the faults (`scripts/setup test` gets both).

// A test may fail loudly, and prints what it measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::unwrap_in_result, clippy::panic, clippy::print_stderr)]
#![allow(clippy::wildcard_enum_match_arm, clippy::needless_pass_by_value)]
#![allow(missing_docs)]

mod cluster;
mod faults;
mod fight;
mod late;
mod load;
mod moving;
mod schema;
mod secured;
#[path = "../support/mod.rs"]
mod support;
