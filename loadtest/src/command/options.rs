//! What several commands are told: where the server is, what of the scenario is to be otherwise, where the results go.

use std::path::PathBuf;

use causerie_load::Failure;
use causerie_load::plan::Plan;
use causerie_load::scenario::{self, Scenario, Shape};
use causerie_load::target::Target;
use causerie_load::token::Issuer;
use clap::{Args, ValueEnum};

/// Where the server is and who signs tokens.
#[derive(Args)]
pub struct Place {
    /// The socket
    #[arg(long, default_value = "wss://127.0.0.1:8443/ws/chat")]
    pub target: String,
    /// What the server speaks: see loadtest/README.md
    #[arg(long, default_value = "causerie")]
    pub adapter: String,
    /// The secret that the server shares with its token issuer
    #[arg(long, default_value = "")]
    pub secret: String,
    /// `iss` of the tokens
    #[arg(long, default_value = "go42")]
    pub issuer: String,
    /// `aud` of the tokens
    #[arg(long, default_value = "go42")]
    pub audience: String,
    /// Process id of the server, to read its CPU time and memory
    #[arg(long)]
    pub server_pid: Option<u32>,
    /// URL of the server's metrics, e.g. https://localhost:9443/metrics
    #[arg(long)]
    pub metrics: Option<String>,
    /// The server's certificate (PEM). Without it any certificate is taken
    #[arg(long)]
    pub certificate: Option<PathBuf>,
    /// Threads that hold the connections
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
}

impl Place {
    /// The plan of a run of this scenario here.
    ///
    /// # Errors
    /// When the target or the certificate cannot be used.
    pub fn plan(&self, scenario: Scenario) -> Result<Plan, Failure> {
        let target = Target::parse(&self.target, self.certificate.as_deref())?;
        let issuer =
            Issuer { secret: self.secret.clone(), issuer: self.issuer.clone(), audience: self.audience.clone() };
        let mut plan = Plan::new(target, scenario, issuer);
        causerie_load::adapter::by_name(&self.adapter)?;
        plan.adapter.clone_from(&self.adapter);
        plan.server_pid = self.server_pid;
        plan.metrics.clone_from(&self.metrics);
        plan.workers = self.workers.clamp(1, 256);
        Ok(plan)
    }
}

/// What is to be run, against what, and where the results go.
#[derive(Args)]
pub struct Task {
    /// A built-in scenario (see `causerie-load scenarios`) or the path of a TOML file
    scenario: String,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    pub results: Results,
}

impl Task {
    /// The plan of it.
    ///
    /// # Errors
    /// When there is no such scenario, or it or the place makes no sense; the text names the key.
    pub fn plan(&self) -> Result<Plan, Failure> {
        let mut plan = self.place.plan(self.change.scenario(&self.scenario)?)?;
        plan.progress = !self.results.quiet;
        Ok(plan)
    }
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
    /// Messages a second over all, in every phase that sends messages
    #[arg(long)]
    rate: Option<f64>,
    /// How the messages of those phases arrive
    #[arg(long)]
    shape: Option<Arrival>,
    /// Seconds of every measured phase
    #[arg(long)]
    seconds: Option<f64>,
    /// All times of the scenario, warm-ups and settling too, become so much of what they are (after --seconds): 0.1 is a tenth
    #[arg(long)]
    time_share: Option<f64>,
    /// Decides everything that is left to chance
    #[arg(long)]
    seed: Option<u64>,
}

/// The shapes that need nothing but a rate.
#[derive(Clone, Copy, ValueEnum)]
pub enum Arrival {
    /// At even distances
    Constant,
    /// As independent people do
    Poisson,
}

impl Change {
    /// The scenario of this name or file, changed and checked.
    ///
    /// # Errors
    /// When there is none, or it makes no sense; the text names the key.
    pub fn scenario(&self, name: &str) -> Result<Scenario, Failure> {
        self.apply(scenario::find(name)?)
    }

    fn apply(&self, mut scenario: Scenario) -> Result<Scenario, Failure> {
        fn set<T: Copy>(place: &mut T, value: Option<T>) {
            *place = value.unwrap_or(*place);
        }
        set(&mut scenario.population.connections, self.connections);
        set(&mut scenario.population.room_size, self.room_size);
        set(&mut scenario.population.rooms_per_user, self.rooms_per_user);
        set(&mut scenario.population.payload, self.payload);
        set(&mut scenario.seed, self.seed);
        for phase in &mut scenario.phases {
            if !phase.warm_up {
                set(&mut phase.seconds, self.seconds);
            }
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
        if let Some(share) = self.time_share {
            if !(share > 0.0 && share.is_finite()) {
                return Err(Failure::new("--time-share", format!("{share} is no share of a time: 0.1 is a tenth")));
            }
            scenario.connect.settle_seconds *= share;
            scenario.phases.iter_mut().for_each(|phase| phase.seconds *= share);
        }
        scenario.checked()
    }
}

/// Where the results go.
#[derive(Args)]
pub struct Results {
    /// Where the report goes as JSON; - is the standard output, instead of the table
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Where the report goes as a page
    #[arg(long)]
    pub html: Option<PathBuf>,
    /// Nothing on the terminal while it runs
    #[arg(long)]
    pub quiet: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        change: Change,
    }

    fn changed(line: &str) -> Result<Scenario, Failure> {
        let words = std::iter::once("x").chain(line.split_whitespace());
        Line::try_parse_from(words).expect("options").change.scenario("rooms-100")
    }

    #[test]
    fn options_change_the_scenario() {
        let scenario = changed("--connections 500 --rate 30 --seconds 7 --shape poisson --seed 5").expect("a scenario");
        let [warm_up, talk] = &scenario.phases[..] else { panic!("two phases") };
        assert_eq!((scenario.population.connections, scenario.seed, warm_up.seconds, talk.seconds), (500, 5, 5.0, 7.0));
        let messages = talk.messages.as_ref().expect("messages");
        assert_eq!((messages.rate, messages.shape), (30.0, Shape::Poisson));
        assert_eq!(warm_up.messages.as_ref().map(|m| m.rate), Some(30.0));
    }

    #[test]
    fn all_times_shrink_together() {
        let scenario = changed("--seconds 10 --time-share 0.5").expect("a scenario");
        let [warm_up, talk] = &scenario.phases[..] else { panic!("two phases") };
        assert_eq!((warm_up.seconds, talk.seconds, scenario.connect.settle_seconds), (2.5, 5.0, 1.0));
    }

    #[test]
    fn a_change_that_makes_no_sense_is_named() {
        let why = changed("--time-share 0").expect_err("no time").to_string();
        assert!(why.contains("--time-share"), "{why}");
        let why = changed("--payload 5").expect_err("too short").to_string();
        assert!(why.contains("population.payload"), "{why}");
    }
}
