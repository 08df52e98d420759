//! The `causerie` command: reads what is asked for, does it, and ends with a code (0 fine, 2 wrong usage or configuration, 1 else).

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use causerie::config::{self, Flags, Problems};
use causerie::{app, client, log};
use clap::{Args, Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A self-hosted real-time chat server.
#[derive(Debug, Parser)]
#[command(name = "causerie", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(Serve),
    /// Look through a configuration and print every problem, by key.
    Check(Check),
    /// Look whether this machine can carry the server: what is wrong, and the command that mends it.
    Doctor(Check),
    /// Talk from the terminal.
    Chat(client::ChatArgs),
    /// Print the version.
    Version,
}

#[derive(Debug, Args)]
struct Serve {
    /// The configuration; config/default.toml explains every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everybody comes in (server.listen).
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Where operators come in (server.admin_listen).
    #[arg(long, value_name = "ADDR:PORT")]
    admin_listen: Option<String>,
    /// Where everything is kept (data.dir).
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// What keeps it: embedded or memory (store.kind).
    #[arg(long, value_name = "KIND")]
    store: Option<String>,
    /// How many shards; 0 is one a core (server.shards).
    #[arg(long, value_name = "N")]
    shards: Option<String>,
}

#[derive(Debug, Args)]
struct Check {
    /// The configuration; without it, what the environment sets is checked.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Configuration(#[from] Problems),
    #[error(transparent)]
    Log(#[from] log::LogError),
    #[error(transparent)]
    App(#[from] app::AppError),
    #[error("this machine is not ready; see FAIL above")]
    Machine,
    #[error("cannot write to the terminal: {0}")]
    Terminal(#[from] io::Error),
}

impl Failed {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) => ExitCode::from(2),
            Self::Log(_) | Self::App(_) | Self::Machine | Self::Terminal(_) => ExitCode::FAILURE,
        }
    }
}

fn main() -> ExitCode {
    // Whoever makes a TLS configuration names ring; this is for a library that would choose by itself.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match Cli::parse().command {
        Command::Serve(args) => serve(args),
        Command::Check(args) => check(&args),
        Command::Doctor(args) => doctor(&args),
        Command::Chat(args) => return client::run(&args),
        Command::Version => say(&format!("causerie {}", env!("CARGO_PKG_VERSION"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            // A terminal that is gone can be told nothing; the exit code remains.
            let _ = writeln!(io::stderr(), "causerie: {failed}");
            failed.exit_code()
        }
    }
}

/// Reads the settings, opens the logs, and runs the server until it is told to stop.
fn serve(args: Serve) -> Result<(), Failed> {
    let flags = Flags {
        listen: args.listen,
        admin_listen: args.admin_listen,
        data_dir: args.data_dir,
        store: args.store,
        shards: args.shards,
    };
    let settings = config::load(args.config.as_deref(), environment(), &flags)?;
    // Held until the end: what waits to be written is written when it goes.
    let log = log::init(&settings.log, &settings.audit)?;
    Ok(app::run(&settings, log.dropped_counter())?)
}

/// Prints every problem of a configuration, or that there is none.
fn check(args: &Check) -> Result<(), Failed> {
    config::load(args.file.as_deref(), environment(), &Flags::default())?;
    say("the configuration is fine")
}

/// Prints what was found; what keeps the server from running makes the exit code 1.
fn doctor(args: &Check) -> Result<(), Failed> {
    let settings = config::load(args.file.as_deref(), environment(), &Flags::default())?;
    let findings = app::findings(&settings);
    for finding in &findings {
        say(&finding.to_string())?;
    }
    match causerie::runtime::doctor::refusal(&findings) {
        Some(_) => Err(Failed::Machine),
        None => Ok(()),
    }
}

/// The environment, as far as it is text; names of ours are, and other programs' may be anything.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn say(line: &str) -> Result<(), Failed> {
    Ok(writeln!(io::stdout(), "{line}")?)
}
