//! The load harness of Causerie.
fn main() {}
