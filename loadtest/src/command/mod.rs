//! The command line: what is done with it.

mod options;
mod several;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use causerie_load::report::file::replace;
use causerie_load::report::repeat::Summary;
use causerie_load::report::{Report, compare, html, repeats};
use causerie_load::scenario::{BUILT_IN, Scenario};
use causerie_load::{Failure, limit, run};
use clap::{Args, Parser, Subcommand};

use options::{Results, Task};

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
    Run(Box<Task>),
    /// Carries a scenario out several times: medians and spreads.
    Repeat(Box<several::Repeat>),
    /// Says what changed beyond noise from one report to another.
    Compare(Compare),
    /// Shows the report of an earlier run again, or makes a page of it.
    Report(Earlier),
    /// Leads a run of several processes or machines, and reports.
    Coordinate(Box<several::Coordinate>),
    /// Joins a run that another process leads.
    Join(several::Join),
    /// Measures what one core can seal and send at most, without a server: the yardstick for one.
    Limit(limit::Call),
    /// Lists the built-in scenarios.
    Scenarios,
}

#[derive(Args)]
struct Compare {
    /// The report of the run before, or the summary of several (repeat N … --json FILE)
    before: PathBuf,
    /// The report of the run after, or a summary again
    after: PathBuf,
    /// Ends with exit code 1 when something got worse beyond noise
    #[arg(long)]
    fail_on_worse: bool,
}

#[derive(Args)]
struct Earlier {
    /// The report, as JSON
    report: PathBuf,
    /// Writes it as a page instead of showing it
    #[arg(long)]
    html: Option<PathBuf>,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(call) => carry_out(&call),
        Command::Repeat(call) => call.carry_out(),
        Command::Compare(call) => two_reports(&call),
        Command::Report(call) => earlier_report(&call),
        Command::Coordinate(call) => call.carry_out(),
        Command::Join(call) => call.carry_out(),
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
    }
}

fn carry_out(call: &Task) -> ExitCode {
    let plan = match call.plan() {
        Ok(plan) => plan,
        Err(why) => return say(&format!("{why}\n"), 2),
    };
    match run::run(&plan) {
        Ok(report) => show(&report, &call.results),
        Err(why) => say(&format!("the run could not be carried out: {why}\n"), 1),
    }
}

fn two_reports(call: &Compare) -> ExitCode {
    match (Summary::read(&call.before), Summary::read(&call.after)) {
        (Some(before), Some(after)) => {
            let comparison = repeats::compare(&before, &after);
            return say(&comparison.to_string(), u8::from(call.fail_on_worse && comparison.worse()));
        }
        (None, None) => {}
        _ => {
            let words = "one of them is what `repeat` sums up and the other is not: give two single reports, or two summaries\n";
            return say(words, 2);
        }
    }
    match Report::read(&call.before).and_then(|before| Ok((before, Report::read(&call.after)?))) {
        Ok((before, after)) => {
            let comparison = compare::compare(&before, &after);
            say(&comparison.to_string(), u8::from(call.fail_on_worse && comparison.worse()))
        }
        Err(why) => say(&format!("{why}\n"), 2),
    }
}

/// Showing a run that failed is no failure.
fn earlier_report(call: &Earlier) -> ExitCode {
    let report = match Report::read(&call.report) {
        Ok(report) => report,
        Err(why) => return say(&format!("{why}\n"), 2),
    };
    match &call.html {
        None => say(&report.to_string(), 0),
        Some(place) => match html::write(&report, place) {
            Ok(()) => say("", 0),
            Err(why) => say(&format!("{why}\n"), 1),
        },
    }
}

/// Keeps a report where it was asked for, and shows it.
fn show(report: &Report, results: &Results) -> ExitCode {
    let code = u8::from(!report.passed());
    if let Err(why) = keep(report, results.json.as_deref(), results.html.as_deref()) {
        return say(&format!("{report}{why}\n"), 1);
    }
    if results.json.as_deref() == Some(Path::new("-")) {
        let text = serde_json::to_string_pretty(report).unwrap_or_default();
        return say(&format!("{text}\n"), code);
    }
    say(&report.to_string(), code)
}

fn keep(report: &Report, json: Option<&Path>, page: Option<&Path>) -> Result<(), Failure> {
    if let Some(place) = json.filter(|place| *place != Path::new("-")) {
        report.write(place)?;
    }
    if let Some(place) = page {
        replace(place, html::page(report).as_bytes())?;
    }
    Ok(())
}

fn say(text: &str, code: u8) -> ExitCode {
    // Nobody may be listening any more; the exit code still says it.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::from(code)
}

/// A line for whoever looks on.
fn tell(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
