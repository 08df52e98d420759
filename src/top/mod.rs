//! `causerie top`: a server's numbers in the terminal, refreshed from `/metrics` of its operators' listener.
//!
//! [`page`] reads the text, [`interval`] compares two of them, [`view`] names what is shown, [`tables`] lays it out: all pure.
//! [`source`] asks the server, `app` and `screen` face the person. Works with any server whose metrics have these names; what an older one
//! does not have is shown as not known.

mod app;
pub mod format;
pub mod interval;
pub mod page;
mod plain;
mod screen;
pub mod source;
pub mod table;
pub mod tables;
pub mod view;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::client::Stopped;
use crate::client::transport::Address;
use crate::client::trust::Fingerprint;

use self::source::Source;

/// Watch a server's numbers in the terminal.
#[derive(Clone, Debug, clap::Args)]
pub struct TopArgs {
    /// The operators' listener (server.admin_listen). Through a tunnel: ssh -L 9443:localhost:9443 HOST.
    #[arg(long, default_value = "https://localhost:9443", value_name = "URL")]
    pub target: Address,
    /// Trust exactly the certificate in this PEM file, such as tls-cert.pem of the server's data directory.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data_dir", "fingerprint", "insecure"])]
    pub certificate: Option<PathBuf>,
    /// The data directory of a server on this machine: trust the certificate that it made there.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["fingerprint", "insecure"])]
    pub data_dir: Option<PathBuf>,
    /// Trust exactly the certificate with this SHA-256 fingerprint.
    #[arg(long, value_name = "HEX", conflicts_with = "insecure")]
    pub fingerprint: Option<Fingerprint>,
    /// Authorities to trust (a PEM file) instead of the system's.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate", "data_dir", "fingerprint", "insecure"])]
    pub ca: Option<PathBuf>,
    /// Trust a certificate that is seen for the first time and remember it (of an address of this machine the first is trusted anyway).
    #[arg(long)]
    pub accept_new: bool,
    /// Trust anybody.
    #[arg(long)]
    pub insecure: bool,
    /// A file with a token to send as `Authorization: Bearer`, for a proxy in front of the listener.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Seconds between two looks.
    #[arg(long, default_value = "1", value_name = "SECONDS", value_parser = interval)]
    pub interval: Duration,
    /// Look twice, an interval apart, print what was between, and end. For scripts.
    #[arg(long)]
    pub once: bool,
    /// JSON instead of tables: one object a line. Without --once: one after each interval, until ended.
    #[arg(long)]
    pub json: bool,
}

/// From a tenth of a second to an hour.
fn interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds, such as 1 or 0.5".to_owned())?;
    if !(0.1..=3600.0).contains(&seconds) {
        return Err("from 0.1 to 3600 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Runs until the person is done. Exit codes: 0 fine, 2 wrong usage, 1 anything else (with `--once`: no numbers).
#[must_use]
pub fn run(args: &TopArgs) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stopped) => {
            let _ = writeln!(io::stderr(), "causerie top: {}", stopped.text);
            ExitCode::from(stopped.code)
        }
    }
}

fn start(args: &TopArgs) -> Result<(), Stopped> {
    let source = Source::new(args)?;
    let target = args.target.authority();
    if args.once {
        return plain::once(&source, args.interval, &target, args.json);
    }
    if args.json {
        return plain::stream(source, args.interval, &target);
    }
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return Err(Stopped::usage("this is no terminal: give --once for a table, --json for one object a line"));
    }
    app::run(source, args.interval, &target)
}
