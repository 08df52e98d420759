//! Behaviour over the real binary and real sockets, one behaviour a file, in one test binary so that linking is cheap.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)] // a test may fail loudly
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
mod typing;
mod validation;
mod ways_in;
