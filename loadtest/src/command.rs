//! The command line.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use causerie_load::plan::Plan;
use causerie_load::report::file::replace;
use causerie_load::report::html;
use causerie_load::scenario::{self, BUILT_IN, Scenario, Shape};
use causerie_load::target::Target;
use causerie_load::token::Issuer;
use causerie_load::{Failure, limit, run};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Puts load on a chat server and checks every answer and delivery.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Carries a scenario out, checks what everybody saw, and reports.
    Run(Box<Run>),
    /// Measures what one core can seal and send at most, without a server: the yardstick for one.
    Limit(limit::Call),
    /// Lists the built-in scenarios.
    Scenarios,
    /// Measures what one core can seal and send at most, without a server: the yardstick for one.
    Limit(limit::Call),
}

/// Where the server is and who signs tokens.
#[derive(Args)]
pub struct Place {
    /// The socket
    #[arg(long, default_value = "wss://127.0.0.1:8443/ws/chat")]
    target: String,
    /// What the server speaks
    #[arg(long, default_value = "causerie")]
    adapter: String,
    /// The secret that the server shares with its token issuer
    #[arg(long, default_value = "")]
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
    /// URL of the server's metrics, e.g. http://127.0.0.1:8081/metrics
    #[arg(long)]
    metrics: Option<String>,
    /// The server's certificate (PEM). Without it any certificate is taken
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// Threads that hold the connections
    #[arg(long, default_value_t = 1)]
    workers: usize,
}

#[derive(Args)]
struct Run {
    /// A built-in scenario (see `causerie-load scenarios`) or the path of a TOML file
    scenario: String,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    change: Change,
    /// Where the report goes as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where the report goes as a page
    #[arg(long)]
    html: Option<PathBuf>,
    /// Nothing on the terminal while it runs
    #[arg(long)]
    quiet: bool,
}

/// What of the scenario is to be otherwise.
#[derive(Args)]
pub struct Change {
    /// Connections, one user each
    #[arg(long)]
    connections: Option<usize>,
    /// Members of each room
    #[arg(long)]
    room_size: Option<usize>,
    /// Rooms that each user is in
    #[arg(long)]
    rooms_per_user: Option<usize>,
    /// Characters of a message
    #[arg(long)]
    payload: Option<usize>,
    /// Messages a second over all, in every measured phase that sends messages
    #[arg(long)]
    rate: Option<f64>,
    /// How the messages of those phases arrive: constant or poisson
    #[arg(long)]
    shape: Option<Arrival>,
    /// Seconds of every measured phase
    #[arg(long)]
    seconds: Option<f64>,
    /// Decides everything that is left to chance
    #[arg(long)]
    seed: Option<u64>,
}

/// The shapes that need nothing but a rate.
#[derive(Clone, Copy, ValueEnum)]
pub enum Arrival {
    /// Even distances.
    Constant,
    /// As independent people do.
    Poisson,
}

impl Change {
    fn apply(&self, mut scenario: Scenario) -> Result<Scenario, Failure> {
        fn set<T: Copy>(place: &mut T, value: Option<T>) {
            *place = value.unwrap_or(*place);
        }
        set(&mut scenario.population.connections, self.connections);
        set(&mut scenario.population.room_size, self.room_size);
        set(&mut scenario.population.rooms_per_user, self.rooms_per_user);
        set(&mut scenario.population.payload, self.payload);
        set(&mut scenario.seed, self.seed);
        for phase in scenario.phases.iter_mut().filter(|phase| !phase.warm_up) {
            set(&mut phase.seconds, self.seconds);
            let Some(messages) = &mut phase.messages else { continue };
            if let Some(shape) = self.shape {
                messages.shape = match shape {
                    Arrival::Constant => Shape::Constant,
                    Arrival::Poisson => Shape::Poisson,
                };
                (messages.to, messages.burst, messages.every) = (None, None, None);
            }
            set(&mut messages.rate, self.rate);
        }
        scenario.checked()
    }
}

impl Place {
    fn plan(&self, scenario: Scenario) -> Result<Plan, Failure> {
        let target = Target::parse(&self.target, self.certificate.as_deref())?;
        let issuer =
            Issuer { secret: self.secret.clone(), issuer: self.issuer.clone(), audience: self.audience.clone() };
        let mut plan = Plan::new(target, scenario, issuer);
        plan.adapter.clone_from(&self.adapter);
        plan.server_pid = self.server_pid;
        plan.metrics.clone_from(&self.metrics);
        plan.workers = self.workers.max(1);
        Ok(plan)
    }
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(run) => carry_out(&run),
        Command::Limit(call) => {
            let (text, code) = call.carry_out();
            say(&text, code)
        }
        Command::Scenarios => {
            let mut text = String::new();
            for (name, toml) in BUILT_IN {
                let about = Scenario::read(toml).map(|scenario| scenario.about).unwrap_or_default();
                let _ = writeln!(text, "{name:<16} {about}");
            }
            say(&text, 0)
        }
        Command::Limit(call) => {
            let (text, code) = call.carry_out();
            say(&text, code)
        }
    }
}

fn carry_out(run: &Run) -> ExitCode {
    let plan = scenario::find(&run.scenario)
        .and_then(|scenario| run.change.apply(scenario))
        .and_then(|scenario| run.place.plan(scenario));
    let mut plan = match plan {
        Ok(plan) => plan,
        Err(why) => return say(&format!("{why}\n"), 2),
    };
    plan.progress = !run.quiet;
    let report = match run::run(&plan) {
        Ok(report) => report,
        Err(why) => return say(&format!("the run could not be carried out: {why}\n"), 1),
    };
    if let Some(place) = &run.json
        && let Err(why) = report.write(place)
    {
        return say(&format!("{why}\n"), 1);
    }
    if let Some(place) = &run.html
        && let Err(why) = replace(place, html::page(&report).as_bytes())
    {
        return say(&format!("{why}\n"), 1);
    }
    say(&report.to_string(), u8::from(!report.passed()))
}

fn say(text: &str, code: u8) -> ExitCode {
    // Nobody may be listening any more; the exit code still says it.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::from(code)
}
