//! `causerie-load`: carries a run out and prints its report. Exit codes: 0 passed, 1 failed or not to be believed, 2 wrong usage.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use causerie_load::plan::{Plan, Shape};
use causerie_load::tls::Trust;
use causerie_load::token::Issuer;
use causerie_load::{Failure, limit, run};
use clap::{Args, Parser, Subcommand};

/// Puts load on a Causerie server and checks every answer and delivery.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Connects many users, lets them talk on a schedule, and checks what everybody saw against the logs.
    Run(Box<Run>),
    /// Measures what one core can seal and send at most, without a server: the yardstick for one.
    Limit(limit::Call),
}

#[derive(Args)]
struct Run {
    /// The socket, e.g. wss://127.0.0.1:8443/ws/chat
    #[arg(long, default_value = "wss://127.0.0.1:8443/ws/chat")]
    target: String,
    /// Sockets, one user each
    #[arg(long, default_value_t = 200)]
    connections: usize,
    /// Members of each room
    #[arg(long, default_value_t = 50)]
    room_size: usize,
    /// Messages a second, over all
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// How long messages are sent
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Characters of a message
    #[arg(long, default_value_t = 120)]
    payload: usize,
    /// Threads that hold the connections
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Connections that are opened at the same time
    #[arg(long, default_value_t = 4)]
    connectors: usize,
    /// Pause before the first message, in seconds
    #[arg(long, default_value_t = 2.0)]
    settle: f64,
    /// Chooses the order in which users speak
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The secret that the server shares with its token issuer
    #[arg(long)]
    secret: String,
    /// `iss` of the tokens
    #[arg(long, default_value = "go42")]
    issuer: String,
    /// `aud` of the tokens
    #[arg(long, default_value = "go42")]
    audience: String,
    /// Process id of the server, to read its CPU time and memory
    #[arg(long)]
    server_pid: Option<u32>,
    /// The server's certificate (PEM). Without it any certificate is taken
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// Where the report goes as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = match Cli::parse().command {
        Command::Run(arguments) => arguments,
        Command::Limit(call) => {
            let (text, code) = call.carry_out();
            return say(&text, code);
        }
    };
    let json = arguments.json.clone();
    let plan = match plan(*arguments) {
        Ok(plan) => plan,
        Err(why) => return say(&format!("{why}\n"), 2),
    };
    let report = match run::run(&plan) {
        Ok(report) => report,
        Err(why) => return say(&format!("the run could not be carried out: {why}\n"), 1),
    };
    if let Some(place) = json {
        let text = serde_json::to_string_pretty(&report).unwrap_or_default();
        if let Err(why) = std::fs::write(&place, text) {
            return say(&format!("writing {}: {why}\n", place.display()), 1);
        }
    }
    say(&report.to_string(), u8::from(!report.passed()))
}

fn plan(run: Run) -> Result<Plan, Failure> {
    let rest = run.target.strip_prefix("wss://").ok_or_else(|| Failure::new("--target", "it begins with wss://"))?;
    let (address, path) = rest.split_once('/').map_or((rest, "/ws/chat".to_owned()), |(a, p)| (a, format!("/{p}")));
    let address = if address.contains(':') { address.to_owned() } else { format!("{address}:443") };
    let trust = match &run.certificate {
        Some(file) => Trust::file(file)?,
        None => Trust::Any,
    };
    let shape = Shape {
        connections: run.connections,
        room_size: run.room_size,
        rate: run.rate,
        seconds: run.seconds,
        payload: run.payload,
        threads: run.threads,
        connectors: run.connectors,
        settle_seconds: run.settle,
        seed: run.seed,
        ..Shape::default()
    }
    .checked()?;
    let issuer = Issuer { secret: run.secret, issuer: run.issuer, audience: run.audience };
    Ok(Plan { address, path, trust, issuer, shape, server_pid: run.server_pid })
}

fn say(text: &str, code: u8) -> ExitCode {
    // Nobody may be listening any more; the exit code still says it.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::from(code)
}
