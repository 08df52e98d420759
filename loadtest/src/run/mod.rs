//! One run from end to end: prepare, connect, let everything happen, wait for the last delivery, hold it against the logs, report.
//!
//! | file | what it is |
//! |---|---|
//! | this one | the order of things |
//! | `course` | the run while it is under way: seconds, marks, the line on the terminal |
//! | [`expectations`] | what the scenario asked for, against what came out |
//! | `judge` | the last checks, and whether the harness itself was in the way |
//! | `log` | a room's log through the server's history |

mod course;
pub mod expectations;
mod judge;
mod log;

use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use uuid::Uuid;

use crate::adapter::{self, Adapter, Ground};
use crate::engine::{Crew, Order, Setup, Tally, Told, Totals};
use crate::observe::{self, Mark, Watcher};
use crate::plan::{Given, Plan};
use crate::report::{PhaseReport, Report};
use crate::schedule::nanos;
use crate::scrape::Source;
use crate::world::World;
use crate::{Failure, machine};
use course::Course;

pub use log::read_log;

/// How long nothing may come until a run whose deliveries are not complete is taken to be over.
const QUIET: Duration = Duration::from_secs(5);
/// How long is waited for what comes too often.
const LATE_DOUBLES: Duration = Duration::from_millis(300);

/// A run whose rooms are there and whose users are in them.
pub struct Prepared {
    plan: Plan,
    given: Given,
    setup: Option<Setup>,
    running: Option<Running>,
}

/// A run whose users are connected.
struct Running {
    crew: Crew,
    course: Course,
    started_at: String,
    /// Marks before and after each round of connecting, and after each leaving.
    rounds: Vec<Round>,
    server_version: Option<String>,
    machine: machine::Machine,
}

/// One round of connecting.
struct Round {
    began: f64,
    seconds: f64,
    connections: u64,
    before: Mark,
    after: Mark,
    /// When all left again: how long that took, and the server after it.
    left: Option<(f64, f64, Mark)>,
}

/// Makes users and rooms, or takes those that were given.
///
/// # Errors
/// When the server refuses, or there is no such adapter.
pub fn prepare(plan: &Plan) -> Result<Prepared, Failure> {
    prepare_with(plan, adapter::by_name(&plan.adapter)?)
}

/// The same with an adapter of one's own.
///
/// # Errors
/// When the server refuses.
pub fn prepare_with(plan: &Plan, adapter: Box<dyn Adapter>) -> Result<Prepared, Failure> {
    let mark = Uuid::now_v7().simple().to_string()[4..12].to_owned() + &Uuid::new_v4().simple().to_string()[..4];
    let mark = plan.given.as_ref().map_or(&*mark, |given| &*given.mark);
    let population = &plan.scenario.population;
    let world = World::new(population, &plan.issuer, mark);
    let ground = Ground { target: &plan.target, population, issuer: &plan.issuer, mark };
    let rooms = match &plan.given {
        Some(given) => given.rooms.clone(),
        None => {
            course::say(plan, &format!("{} users, {} rooms: preparing", world.layout.users(), world.layout.rooms()));
            adapter.rooms(&ground, &world)?
        }
    };
    let given = Given { mark: mark.to_owned(), rooms: rooms.clone() };
    let setup = Setup::new(plan, adapter, world.with_rooms(rooms))?;
    Ok(Prepared { plan: plan.clone(), given, setup: Some(setup), running: None })
}

impl Prepared {
    /// What the other processes of the run must know.
    #[must_use]
    pub fn given(&self) -> Given {
        self.given.clone()
    }

    /// Opens every connection, with all rounds of the scenario, and waits until all are live. Called twice it does nothing more.
    ///
    /// # Errors
    /// When the server cannot be reached, or refuses a user.
    pub fn connect(&mut self) -> Result<(), Failure> {
        let Some(mut setup) = self.setup.take() else { return Ok(()) };
        raise_open_files(setup.held());
        let metrics = match &self.plan.metrics {
            Some(url) => Some(Source::start(url, &self.plan.target.trust)?),
            None => None,
        };
        let server_version = metrics.as_ref().and_then(Source::version);
        let watcher = Watcher::new(self.plan.server_pid, true, metrics);
        // Before there is any load of our own.
        let data = self.plan.server_pid.and_then(machine::data_folder);
        let machine = machine::here(data.as_deref());
        setup.zero = Instant::now();
        let crew = Crew::start(setup)?;
        let mut running = Running {
            course: Course::new(&self.plan, watcher, &crew.setup),
            crew,
            started_at: crate::report::file::now(),
            rounds: Vec::new(),
            server_version,
            machine,
        };
        let connect = &self.plan.scenario.connect;
        for round in 1..=connect.rounds {
            running.round(connect.settle_seconds, round < connect.rounds)?;
        }
        self.running = Some(running);
        Ok(())
    }

    /// Carries the phases out, the first of which begins at `start`; then waits for the last delivery, checks and reports.
    ///
    /// # Errors
    /// When the run could not be carried out at all. What the server did wrong stands in the report.
    pub fn go(mut self, start: Instant) -> Result<Report, Failure> {
        self.connect()?;
        let Some(mut running) = self.running.take() else {
            return Err(Failure::new("the run", "it was not connected"));
        };
        let setup = running.crew.setup.clone();
        let start = u64::try_from(start.saturating_duration_since(setup.zero).as_nanos()).unwrap_or(u64::MAX);
        let _ = setup.start.set(start);
        running.crew.order(Order::Go);
        let marks = running.phases(start)?;
        running.drain()?;
        let tallies = running.stop()?;
        self.report(running, &setup, start, &marks, tallies)
    }

    fn report(
        &self,
        mut running: Running,
        setup: &Setup,
        start: u64,
        marks: &[Mark],
        tallies: Vec<Tally>,
    ) -> Result<Report, Failure> {
        let plan = &self.plan;
        let mut report = Report {
            format: crate::report::FORMAT,
            harness_version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: machine::commit(),
            server_version: running.server_version.take(),
            machine: running.machine.clone(),
            target: plan.target.url.clone(),
            adapter: setup.adapter.name().to_owned(),
            scenario_name: plan.scenario.name.clone(),
            scenario: serde_json::to_value(&plan.scenario).unwrap_or_default(),
            seed: plan.scenario.seed,
            started_at: running.started_at.clone(),
            processes: 1,
            ..Report::default()
        };
        // A process of several counts from the common start, so that their seconds are the same.
        let shift = if plan.part.of > 1 { course::whole_seconds(start) } else { 0.0 };
        let mut phases = judge::sum_up(&mut report, setup, &tallies);
        for ((phase, from), to) in phases.iter_mut().zip(marks).zip(marks.iter().skip(1)) {
            phase.server = running.course.watcher.between(from, to);
        }
        let rounds = judge::rounds(&tallies);
        report.phases = running.rounds_as_phases(rounds);
        report.phases.append(&mut phases);
        for phase in &mut report.phases {
            phase.start_seconds -= shift;
        }
        judge::check_the_end(&mut report, plan, setup, &tallies)?;
        judge::validity(&mut report, plan, &mut running.course);
        if let Some(pid) = plan.server_pid.filter(|pid| observe::usage(Some(*pid)).is_none()) {
            report.notes.push(format!(
                "--server-pid {pid}: no such process is here: nothing is known of its CPU time and memory"
            ));
        }
        report.timeline = running.course.timeline(shift);
        if plan.part.of == 1 {
            expectations::look(&plan.scenario, &mut report);
            report.finish();
        }
        Ok(report)
    }
}

impl Running {
    /// All in, a while of quiet, and all out again if more rounds follow.
    fn round(&mut self, settle: f64, leave: bool) -> Result<(), Failure> {
        let before = self.course.mark(&self.crew.setup);
        let began = self.course.seconds();
        self.crew.order(Order::Connect);
        self.all_ready()?;
        let seconds = self.course.seconds() - began;
        self.wait(settle)?;
        let connections = Totals::get(&self.crew.setup.totals.open);
        let after = self.course.mark(&self.crew.setup);
        let mut left = None;
        if leave {
            let began = self.course.seconds();
            self.crew.order(Order::Leave);
            self.all_ready()?;
            self.wait(settle)?;
            left = Some((began, self.course.seconds() - began, self.course.mark(&self.crew.setup)));
        }
        self.rounds.push(Round { began, seconds, connections, before, after, left });
        Ok(())
    }

    fn all_ready(&mut self) -> Result<(), Failure> {
        let mut left = self.crew.size();
        while left > 0 {
            if let Some(Told::Ready) = self.course.hear(&self.crew)? {
                left -= 1;
            }
        }
        Ok(())
    }

    fn wait(&mut self, seconds: f64) -> Result<(), Failure> {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < end {
            self.course.hear(&self.crew)?;
        }
        Ok(())
    }

    /// Waits through the phases. Answers a mark for the start and one for each phase's end.
    fn phases(&mut self, start: u64) -> Result<Vec<Mark>, Failure> {
        let setup = self.crew.setup.clone();
        let mut marks = Vec::new();
        for end in std::iter::once(0).chain(setup.ends.iter().copied()) {
            while setup.now() < start + end {
                self.course.hear(&self.crew)?;
            }
            let next = setup.scenario.phases.get(marks.len()).map(|phase| phase.name.clone());
            self.course.phase = Some(next.unwrap_or_else(|| "the last".to_owned()));
            marks.push(self.course.mark(&setup));
        }
        Ok(marks)
    }

    /// Waits for the last answers and deliveries, and for the last who comes back.
    fn drain(&mut self) -> Result<(), Failure> {
        let setup = self.crew.setup.clone();
        let totals = &setup.totals;
        let end = Instant::now() + Duration::from_nanos(nanos(setup.scenario.drain_seconds));
        let (mut last, mut since) = (0, Instant::now());
        while Instant::now() < end {
            let (pending, behind) = (Totals::get(&totals.pending), Totals::get(&totals.behind));
            let (delivered, expected) = (Totals::get(&totals.delivered), Totals::get(&totals.expected));
            if delivered != last {
                (last, since) = (delivered, Instant::now());
            }
            let settled = pending == 0 && behind == 0;
            // Another process knows how much must come from its users.
            let quiet = since.elapsed() > if setup.part.of > 1 { Duration::from_secs(1) } else { QUIET };
            if settled && (quiet || setup.part.of == 1 && delivered >= expected) {
                break;
            }
            self.course.hear(&self.crew)?;
        }
        self.wait(LATE_DOUBLES.as_secs_f64())
    }

    fn stop(&mut self) -> Result<Vec<Tally>, Failure> {
        self.crew.order(Order::Stop);
        let mut tallies = Vec::new();
        while tallies.len() < self.crew.size() {
            if let Some(Told::Done(tally)) = self.course.hear(&self.crew)? {
                tallies.push(*tally);
            }
        }
        tallies.sort_by_key(|tally| tally.worker);
        self.course.end();
        Ok(tallies)
    }

    /// Rounds of connecting and leaving as parts of the report.
    fn rounds_as_phases(&self, counted: Vec<PhaseReport>) -> Vec<PhaseReport> {
        let mut all = Vec::new();
        for (number, (round, mut phase)) in (1..).zip(self.rounds.iter().zip(counted)) {
            phase.start_seconds = round.began;
            phase.seconds = round.seconds;
            phase.connections = round.connections;
            phase.server = self.course.watcher.between(&round.before, &round.after);
            all.push(phase);
            if let Some((began, seconds, after)) = &round.left {
                all.push(PhaseReport {
                    name: format!("leave {number}"),
                    start_seconds: *began,
                    seconds: *seconds,
                    warm_up: true,
                    server: self.course.watcher.between(&round.after, after),
                    ..PhaseReport::default()
                });
            }
        }
        all
    }
}

/// All of it in one process: prepare, connect, go.
///
/// # Errors
/// See [`prepare`], [`Prepared::connect`] and [`Prepared::go`].
pub fn run(plan: &Plan) -> Result<Report, Failure> {
    let mut prepared = prepare(plan)?;
    prepared.connect()?;
    prepared.go(Instant::now() + Duration::from_millis(50))
}

/// Each connection is an open file: as many as the system lets us have.
fn raise_open_files(connections: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < connections + 200) {
        limit.current = limit.maximum;
        // Where it is not enough, opening a socket says so.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}
