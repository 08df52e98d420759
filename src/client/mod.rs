//! `causerie chat`: the terminal client, and the reference client of the protocol.
//!
//! Blocking threads and one inbox; no runtime. [`session`] holds what a client must get right (positions, order, retries) and is
//! pure; [`transport`], [`rest`] and [`trust`] carry; [`terminal`], `show` and `commands` face the person; [`chat`] ties them
//! together.

pub mod chat;
mod commands;
pub mod effects;
pub mod files;
pub mod frames;
pub mod rest;
pub mod session;
#[cfg(test)]
mod session_tests;
mod show;
pub mod terminal;
pub mod transport;
pub mod trust;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use self::transport::Address;
use self::trust::Fingerprint;

/// Talk from the terminal.
#[derive(Clone, Debug, clap::Args)]
pub struct ChatArgs {
    /// The server.
    #[arg(long, default_value = "https://localhost:8443", value_name = "URL")]
    pub server: Address,
    /// Your username. The password is asked for, or taken from CAUSERIE_PASSWORD; an access token from elsewhere is taken from
    /// CAUSERIE_TOKEN instead.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Make the account when it is not there yet.
    #[arg(long)]
    pub signup: bool,
    /// Go into this room, and make it when there is none of this name.
    #[arg(long, value_name = "NAME")]
    pub room: Option<String>,
    /// Authorities to trust (a PEM file) instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Trust exactly the certificate with this SHA-256 fingerprint.
    #[arg(long, value_name = "HEX", conflicts_with = "ca")]
    pub fingerprint: Option<Fingerprint>,
    /// Trust a certificate that is seen for the first time without asking (of a server on this machine that is so anyway).
    #[arg(long)]
    pub accept_new: bool,
    /// For programs: each line of the input is sent, each event is printed as one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Runs the client until the person is done. Exit codes: 0 fine, 2 wrong usage, 1 anything else (something was not sent, the
/// server refused).
#[must_use]
pub fn run(args: &ChatArgs) -> ExitCode {
    match chat::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stopped) => {
            let _ = writeln!(io::stderr(), "causerie chat: {}", stopped.text);
            ExitCode::from(stopped.code)
        }
    }
}

/// Why the client ended before the person wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The exit code.
    pub code: u8,
    /// A sentence.
    pub text: String,
}

impl Stopped {
    /// Exit code 1.
    #[must_use]
    pub fn because(text: impl Into<String>) -> Self {
        Self { code: 1, text: text.into() }
    }

    /// Exit code 2.
    #[must_use]
    pub fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }
}
