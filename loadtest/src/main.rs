//! `causerie-load`: carries a run out and prints its report. Exit codes: 0 passed, 1 failed or not to be believed, 2 wrong usage.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::main()
}
