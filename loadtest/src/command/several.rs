//! Several runs one after the other, and several processes in one run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use causerie_load::coordinate::Job;
use causerie_load::coordinate::join::{Options, join};
use causerie_load::coordinate::lead::Lead;
use causerie_load::report::{Report, repeat};
use causerie_load::run::{self, expectations};
use clap::Args;

use super::options::Task;
use super::{keep, say, show, tell};

/// `causerie-load repeat`
#[derive(Args)]
pub struct Repeat {
    /// How often
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    times: u16,
    #[command(flatten)]
    task: Task,
}

impl Repeat {
    /// Runs one after the other; each report is kept with its number in the name, the summary without.
    pub fn carry_out(&self) -> ExitCode {
        let plan = match self.task.plan() {
            Ok(plan) => plan,
            Err(why) => return say(&format!("{why}\n"), 2),
        };
        let mut reports: Vec<Report> = Vec::new();
        for time in 1..=self.times {
            let json = self.task.results.json.as_deref().map(|place| numbered(place, time));
            let page = self.task.results.html.as_deref().map(|place| numbered(place, time));
            let report = match run::run(&plan) {
                Ok(report) => report,
                Err(why) => return say(&format!("run {time} could not be carried out: {why}\n"), 1),
            };
            if let Err(why) = keep(&report, json.as_deref(), page.as_deref()) {
                return say(&format!("{why}\n"), 1);
            }
            if !self.task.results.quiet {
                let outcome = if report.passed() { "passed".to_owned() } else { report.outcome.why.join("; ") };
                tell(&format!("run {time} of {}: {outcome}", self.times));
            }
            reports.push(report);
        }
        let summary = repeat::summary(&reports);
        let text = serde_json::to_string_pretty(&summary).unwrap_or_default() + "\n";
        let code = u8::from(summary.passed < summary.runs);
        match self.task.results.json.as_deref() {
            Some(place) if place == Path::new("-") => return say(&text, code),
            Some(place) => {
                if let Err(why) = causerie_load::report::file::replace(place, text.as_bytes()) {
                    return say(&format!("{summary}{why}\n"), 1);
                }
            }
            None => {}
        }
        say(&summary.to_string(), code)
    }
}

/// `report.json` with a number: `report-3.json`.
fn numbered(place: &Path, number: u16) -> PathBuf {
    if place == Path::new("-") {
        return place.to_owned();
    }
    let stem = place.file_stem().unwrap_or_default().to_string_lossy();
    let ending = place.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default();
    place.with_file_name(format!("{stem}-{number}{ending}"))
}

/// `causerie-load coordinate`
#[derive(Args)]
pub struct Coordinate {
    /// Processes that will join
    #[arg(long, default_value_t = 2)]
    processes: usize,
    /// Where they find this one
    #[arg(long, default_value = "127.0.0.1:7700")]
    listen: String,
    /// What they must show; at least 20 characters. Not set: $CAUSERIE_LOAD_KEY, or else a fresh one is made and printed
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    task: Task,
}

impl Coordinate {
    /// Waits for the workers, leads them, reports.
    pub fn carry_out(&self) -> ExitCode {
        let job = self
            .task
            .plan()
            .and_then(|plan| Ok((Job::of(&plan, self.task.place.certificate.as_deref())?, plan.scenario)));
        let (job, scenario) = match job {
            Ok(job) => job,
            Err(why) => return say(&format!("{why}\n"), 2),
        };
        let quiet = self.task.results.quiet;
        let given = key(self.key.as_ref());
        let lead = match Lead::listen(&self.listen, given.as_deref()) {
            Ok(lead) => lead,
            Err(why) => return say(&format!("{why}\n"), 2),
        };
        if given.is_none() || !quiet {
            let (address, key) = (lead.address(), lead.key());
            tell(&format!("waiting for {}: causerie-load join {address} --key {key}", self.processes));
        }
        let mut report = match lead.run(&job, self.processes, &mut |line| {
            if !quiet {
                tell(line);
            }
        }) {
            Ok(report) => report,
            Err(why) => return say(&format!("the run could not be carried out: {why}\n"), 1),
        };
        expectations::look(&scenario, &mut report);
        report.finish();
        show(&report, &self.task.results)
    }
}

/// `causerie-load join`
#[derive(Args)]
pub struct Join {
    /// Where the coordinator listens
    address: String,
    /// The key that it printed. Not set: $CAUSERIE_LOAD_KEY
    #[arg(long)]
    key: Option<String>,
    /// Process id of the server, when it is on this machine
    #[arg(long)]
    server_pid: Option<u32>,
    /// Threads that hold connections; without it as many as the coordinator says
    #[arg(long)]
    workers: Option<usize>,
    /// Nothing on the terminal
    #[arg(long)]
    quiet: bool,
}

impl Join {
    /// Stays until the run is over.
    pub fn carry_out(&self) -> ExitCode {
        let options = Options { server_pid: self.server_pid, threads: self.workers, progress: !self.quiet };
        let mut line = |line: &str| {
            if !self.quiet {
                tell(line);
            }
        };
        let Some(key) = key(self.key.as_ref()) else {
            return say("--key: what the coordinator printed is needed, or CAUSERIE_LOAD_KEY\n", 2);
        };
        match join(&self.address, &key, &options, &mut line) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => say(&format!("{why}\n"), 1),
        }
    }
}

/// The key that was given, or else that of the environment, where others of this machine do not see it.
fn key(given: Option<&String>) -> Option<String> {
    given.cloned().or_else(|| std::env::var("CAUSERIE_LOAD_KEY").ok().filter(|key| !key.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_single_runs_are_numbered() {
        assert_eq!(numbered(Path::new("a/report.json"), 3), Path::new("a/report-3.json"));
        assert_eq!(numbered(Path::new("page"), 1), Path::new("page-1"));
        assert_eq!(numbered(Path::new("-"), 1), Path::new("-"));
    }
}
