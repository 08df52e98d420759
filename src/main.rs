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

/// The web client, as `scripts/setup run` packs it; empty before that. It stands in the binary alone and not in the library, so that a new
/// client means a new link and not a new compilation of everything.
static WEB: &[u8] = include_bytes!("../target/web/client.pack");

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
    /// Make the keyspace and the tables in ScyllaDB, or bring them up to this version.
    #[cfg(feature = "scylla")]
    Migrate(Migrate),
    /// Copy everything into another store: from the embedded one to ScyllaDB, or back.
    #[cfg(feature = "scylla")]
    Copy(Copy),
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
    /// What keeps it: embedded, scylla or memory (store.kind).
    #[arg(long, value_name = "KIND")]
    store: Option<String>,
    /// How many shards; 0 is one a core (server.shards).
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// With ScyllaDB: bring its tables up to this version first, as `causerie migrate` does.
    #[cfg(feature = "scylla")]
    #[arg(long)]
    migrate: bool,
}

/// Safe when two run at once, and when everything is there already.
#[cfg(feature = "scylla")]
#[derive(Debug, Args)]
struct Migrate {
    #[command(subcommand)]
    command: Option<MigrateCommand>,
    /// The configuration, with [store.scylla].
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[cfg(feature = "scylla")]
#[derive(Debug, Subcommand)]
enum MigrateCommand {
    /// Only say what was applied and what is missing; the exit code is 1 when something is.
    Status,
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

/// Neither store may be used by a server meanwhile. Given again after a break it goes on; at the end both are compared.
#[cfg(feature = "scylla")]
#[derive(Debug, Args)]
struct Copy {
    /// What is copied: embedded:DIR or scylla:HOST:PORT,HOST:PORT…/KEYSPACE.
    #[arg(long, value_name = "STORE")]
    from: app::moving::Place,
    /// Where to: an empty store of either kind, or an unfinished copy of the same source.
    #[arg(long, value_name = "STORE")]
    to: app::moving::Place,
    /// The configuration: master key, and how to come into the database.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory of the server on ScyllaDB, where its master key lies unless it comes from elsewhere (data.dir).
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
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
    #[error("{0}")]
    Data(#[from] Failure),
    #[error("the data has {0} problem(s), named above; restore a backup, or ask with the text above")]
    Damaged(u64),
    #[cfg(feature = "scylla")]
    #[error("the schema: {0}")]
    Schema(String),
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
            #[cfg(feature = "scylla")]
            Self::Schema(_) => ExitCode::FAILURE,
        }
    }
}

fn main() -> ExitCode {
    // Whoever makes a TLS configuration names ring; this is for a library that would choose by itself.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match Cli::parse().command {
        Command::Serve(args) => serve(args),
        Command::Check(args) => check(&args),
        #[cfg(feature = "scylla")]
        Command::Migrate(args) => migrate(&args),
        #[cfg(feature = "scylla")]
        Command::Copy(args) => copy(args),
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
    #[cfg(feature = "scylla")]
    if args.migrate && settings.store.kind == config::settings::StoreKind::Scylla {
        for step in app::scylla::migrate_before(&settings)? {
            tracing::info!("the schema has {step} now");
        }
    }
    Ok(app::run(&settings, log.dropped_counter(), WEB)?)
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

/// Brings the schema up to this program, or says how it stands.
#[cfg(feature = "scylla")]
fn migrate(args: &Migrate) -> Result<(), Failed> {
    let flags = Flags { store: Some("scylla".to_owned()), ..Flags::default() };
    let settings = config::load(args.config.as_deref(), environment(), &flags)?;
    let keyspace = &settings.store.scylla.keyspace;
    if args.command.is_none() {
        for step in app::scylla::migrate(&settings)? {
            say(&format!("applied {step}"))?;
        }
        return say(&format!("the keyspace {keyspace} is up to date"));
    }
    let status = app::scylla::status(&settings)?;
    for (version, name, at) in &status.applied {
        let at = time::OffsetDateTime::from_unix_timestamp(i64::try_from(at / 1000).unwrap_or(0));
        let at = at.ok().and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok());
        say(&format!("applied {name} ({version}) at {}", at.unwrap_or_default()))?;
    }
    for step in &status.missing {
        say(&format!("missing {}", step.name))?;
    }
    match (status.newer, status.missing.len()) {
        (Some(newer), _) => Err(Failed::Schema(format!("step {newer} is newer than this program: start a newer one"))),
        (None, 0) => say(&format!("the keyspace {keyspace} is up to date")),
        (None, missing) => Err(Failed::Schema(format!("{missing} step(s) are missing: run `causerie migrate`"))),
    }
}

/// Copies one store into another, and prints what was copied.
#[cfg(feature = "scylla")]
fn copy(args: Copy) -> Result<(), Failed> {
    let flags = Flags { data_dir: args.data_dir, ..Flags::default() };
    let settings = config::load(args.config.as_deref(), environment(), &flags)?;
    let copied = app::moving::copy(&settings, &args.from, &args.to)?;
    let causerie::store::copy::Copied { settings, users, rooms, names, events, checksum } = copied;
    say(&format!(
        "copied and found the same in both: {users} users, {rooms} rooms, {events} events, {names} names, {settings} settings, checksum \
         {checksum:016x}"
    ))
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
