//! The `causerie` command: reads what is asked for, does it, and ends with a code (0 fine, 2 wrong usage or configuration, 1 else).

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use causerie::config::{self, Flags, Problems};
use causerie::store::Failure;
use causerie::store::embedded::{self, Report};
use causerie::{app, client, log, top};
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
    /// Look through a configuration, or through all the data, and print every problem.
    Check(Check),
    /// Look whether this machine can carry the server: what is wrong, and the command that mends it.
    Doctor(Doctor),
    /// Talk from the terminal.
    Chat(client::ChatArgs),
    /// Watch a server's numbers in the terminal.
    Top(top::TopArgs),
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
    /// Look through the data kept here too (pages, records, seals, order); no server may be using it.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
}

#[derive(Debug, Args)]
struct Doctor {
    /// The configuration that the server would run with.
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
    #[error("the data could not be looked at: {0}")]
    Data(#[from] Failure),
    #[error("the data has {0} problem(s), named above; restore a backup, or ask with the text above")]
    Damaged(u64),
    #[error("cannot write to the terminal: {0}")]
    Terminal(#[from] io::Error),
}

impl Failed {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) => ExitCode::from(2),
            Self::Log(_) | Self::App(_) | Self::Machine | Self::Data(_) | Self::Damaged(_) | Self::Terminal(_) => {
                ExitCode::FAILURE
            }
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
        Command::Top(args) => return top::run(&args),
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

/// Prints every problem of a configuration, or that there is none; then, if asked for, every problem of the data.
fn check(args: &Check) -> Result<(), Failed> {
    let flags = Flags { data_dir: args.data.clone(), ..Flags::default() };
    let settings = config::load(args.file.as_deref(), environment(), &flags)?;
    say("the configuration is fine")?;
    if args.data.is_none() {
        return Ok(());
    }
    let report = embedded::inspect(&settings.data_dir, &app::master_key(&settings))?;
    for problem in &report.problems {
        say(problem)?;
    }
    if report.unclean_end {
        say("the server did not end in order the last time; its next start puts that right")?;
    }
    let Report { rooms, events, users, records, bytes, more_problems, .. } = report;
    say(&format!("looked through {rooms} rooms, {events} events, {users} users: {records} records in {bytes} bytes"))?;
    match report.problems.len() as u64 + more_problems {
        0 => say("the data is sound"),
        count => Err(Failed::Damaged(count)),
    }
}

/// Prints what was found; what keeps the server from running makes the exit code 1.
fn doctor(args: &Doctor) -> Result<(), Failed> {
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
