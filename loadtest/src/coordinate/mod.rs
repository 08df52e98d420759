//! Several processes or machines make one run: a coordinator that sends nothing itself, and workers that join it.
//!
//! | file | what it is |
//! |---|---|
//! | this one | what they say to each other |
//! | [`lead`] | the coordinator: waits for workers, gives each its part, starts all at one moment, merges what they report |
//! | [`join`] | a worker |
//! | `line` | JSON lines over TLS |
//! | `identity` | the certificate that follows from the key which both sides know |
//! | [`clock`] | how far two clocks lie apart. Pure |
//!
//! The users are cut by their numbers: worker `i` of `n` holds those that leave `i` when divided by `n`. The first worker makes the
//! rooms. Every worker works out the same schedule from the same scenario and seed, and sends what its own users have to send. What
//! a delivery took is counted by its receiver, from the intended time of the sender; so the clocks have to agree. They are compared
//! before the start, which is then told to each worker in its own clock, and again at the end; the report says how well they agreed.

pub mod clock;
mod identity;
pub mod join;
pub mod lead;
mod line;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::{Given, Part, Plan};
use crate::report::Report;
use crate::scenario::Scenario;
use crate::target::Target;
use crate::tls::Trust;
use crate::token::Issuer;
use crate::{Context as _, Failure};

/// The form of what is said; both sides must have the same.
const WIRE: u32 = 2;
/// How often a worker says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Who says nothing for so long is gone: a heartbeat is late by seconds on a busy machine, not by half a minute.
const SILENCE: Duration = Duration::from_secs(30);

/// What is to be done, as it is handed to workers. The part and the rooms come to it on the way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The socket, as a URL.
    pub target: String,
    /// The server's certificate (PEM), the only one that is believed. `None`: any is.
    pub certificate: Option<String>,
    /// Name of the adapter.
    pub adapter: String,
    /// What is done. Checked.
    pub scenario: Scenario,
    /// `secret`, `iss` and `aud` of the users' tokens.
    pub issuer: (String, String, String),
    /// Threads of each worker.
    pub threads: usize,
    /// The server's process, on the machine of the first worker.
    pub server_pid: Option<u32>,
    /// URL of the server's metrics, as the first worker reaches it.
    pub metrics: Option<String>,
}

impl Job {
    /// The job of a plan. `certificate` is the file that the plan's target was made with.
    ///
    /// # Errors
    /// When the certificate cannot be read.
    pub fn of(plan: &Plan, certificate: Option<&Path>) -> Result<Self, Failure> {
        let certificate = certificate
            .map(|file| std::fs::read_to_string(file).context(&format!("reading {}", file.display())))
            .transpose()?;
        let issuer = &plan.issuer;
        Ok(Self {
            target: plan.target.url.clone(),
            certificate,
            adapter: plan.adapter.clone(),
            scenario: plan.scenario.clone(),
            issuer: (issuer.secret.clone(), issuer.issuer.clone(), issuer.audience.clone()),
            threads: plan.workers,
            server_pid: plan.server_pid,
            metrics: plan.metrics.clone(),
        })
    }

    /// The plan of one worker.
    fn plan(&self, part: Part, given: Option<Given>) -> Result<Plan, Failure> {
        let mut target = Target::parse(&self.target, None)?;
        if let Some(pem) = &self.certificate {
            target.trust = Trust::pem(pem)?;
            target.tls = target.tls.and(Some(target.trust.clone().config()?));
        }
        let (secret, issuer, audience) = self.issuer.clone();
        let mut plan = Plan::new(target, self.scenario.clone(), Issuer { secret, issuer, audience });
        plan.adapter.clone_from(&self.adapter);
        plan.workers = self.threads;
        // Only one looks at the server, or it would be counted twice.
        if part.index == 0 {
            plan.server_pid = self.server_pid;
            plan.metrics.clone_from(&self.metrics);
        }
        plan.part = part;
        plan.given = given;
        Ok(plan)
    }
}

/// What the coordinator says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ToWorker {
    /// What time is it there?
    Clock,
    /// This is to be done; the one who is given no rooms makes them.
    Prepare { job: Box<Job>, part: Part, given: Option<Given> },
    /// Open all connections.
    Connect,
    /// The run begins at this moment of the worker's clock.
    Start { at: u64 },
    /// It is over, and why.
    Stop { why: String },
}

/// What a worker says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FromWorker {
    /// The first word.
    Hello { key: String, wire: u32, version: String, pid: u32 },
    /// Nanoseconds of its clock.
    Clock { now: u64 },
    /// It is still there.
    Alive,
    /// Rooms and users are there.
    Prepared { given: Given },
    /// All its connections are live.
    Connected,
    /// What it saw.
    Part { report: Box<Report> },
    /// It cannot go on.
    Failed { why: String },
}
