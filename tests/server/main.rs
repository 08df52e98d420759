//! Behaviour over the real binary and real sockets, one behaviour a file, in one test binary so that linking is cheap.

// A test may fail loudly, and prints what it measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::unwrap_in_result, clippy::panic, clippy::print_stderr)]
#![allow(clippy::wildcard_enum_match_arm, clippy::needless_pass_by_value, clippy::needless_for_each)]
#![allow(missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod at_rest;
mod audit;
mod bad_input;
mod deletion;
mod direct;
mod drain;
mod external;
mod full_disk;
mod head_of_line;
mod history;
mod load;
mod many_rooms;
mod metrics;
mod naughty;
mod order;
mod plain_http;
mod presence;
mod rate;
mod read_marker;
mod reload;
mod resume;
mod retry;
mod roles;
mod rooms;
mod sessions;
mod sign_in;
mod slow_reader;
mod system_messages;
mod token_end;
mod top;
mod typing;
mod validation;
mod ways_in;
