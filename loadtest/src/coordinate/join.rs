//! A worker: joins a coordinator, carries its part of the run out, and hands over what it saw.

use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::line::Line;
use super::{FromWorker, HEARTBEAT, ToWorker, WIRE, identity};
use crate::run::{self, Prepared};
use crate::{Context as _, Failure};

/// How long the coordinator is looked for: it may be started a little later than its workers.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries to reach it.
const PAUSE: Duration = Duration::from_millis(200);
/// How long is listened before the own work is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What differs from worker to worker.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The server's process, when it is on this machine and the coordinator did not name it.
    pub server_pid: Option<u32>,
    /// Threads that hold connections; `None`: as many as the coordinator says.
    pub threads: Option<usize>,
    /// A line a second on the terminal, of this worker's part.
    pub progress: bool,
}

/// Joins the coordinator at `address` and stays until the run is over. `tell` gets a line for people now and then.
///
/// # Errors
/// When the coordinator cannot be reached, does not have the key, ends the run, or is gone. A part that is under way then is not
/// waited for: whoever calls ends the process.
pub fn join(address: &str, key: &str, options: &Options, tell: &mut dyn FnMut(&str)) -> Result<(), Failure> {
    let epoch = Instant::now();
    let mut line = reach(address, key)?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    line.say(&FromWorker::Hello { key: key.to_owned(), wire: WIRE, version, pid: std::process::id() })?;
    tell(&format!("joined {address}"));
    let (orders, to_do) = mpsc::channel();
    let (done, answers) = mpsc::channel();
    let options = options.clone();
    let work = thread::Builder::new().name("work".to_owned()).spawn(move || work(&to_do, &done, &options, epoch));
    work.context("starting the work")?;
    let mut told = Instant::now();
    loop {
        match line.hear::<ToWorker>(LOOK).map_err(|why| Failure::new("the coordinator is lost", why))? {
            Some(ToWorker::Clock) => line.say(&FromWorker::Clock { now: nanos(epoch.elapsed()) })?,
            Some(ToWorker::Stop { why }) if why.is_empty() => return Ok(()),
            Some(ToWorker::Stop { why }) => return Err(Failure::new("the coordinator ended the run", why)),
            Some(order) => {
                tell(match &order {
                    ToWorker::Prepare { .. } => "preparing",
                    ToWorker::Connect => "connecting",
                    _ => "running",
                });
                // Who works has ended only after it said that it failed.
                let _ = orders.send(order);
            }
            None => {}
        }
        loop {
            match answers.try_recv() {
                Ok(answer) => {
                    line.say(&answer)?;
                    if let FromWorker::Failed { why } = answer {
                        return Err(Failure::new("this part of the run", why));
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(Failure::new("this part of the run", "it panicked")),
            }
        }
        if told.elapsed() >= HEARTBEAT {
            line.say(&FromWorker::Alive)?;
            told = Instant::now();
        }
    }
}

fn reach(address: &str, key: &str) -> Result<Line, Failure> {
    let config = identity::client(key)?;
    let end = Instant::now() + PATIENCE;
    let tcp = loop {
        match std::net::TcpStream::connect(address) {
            Ok(tcp) => break tcp,
            Err(why) if Instant::now() >= end => return Err(Failure::new(format!("joining {address}"), why)),
            Err(_) => thread::sleep(PAUSE),
        }
    };
    let name = ServerName::try_from("coordinator").context("naming the coordinator")?;
    let mut tls = ClientConnection::new(config, name).context("encrypting the line")?;
    tcp.set_read_timeout(Some(PATIENCE)).context("preparing the line")?;
    let mut handshake = &tcp;
    tls.complete_io(&mut handshake)
        .map_err(|why| Failure::new(format!("joining {address}"), format!("is the key the one it printed? {why}")))?;
    Line::of_client(tcp, tls)
}

/// Does what it is told, step after step, beside the line: a step may take minutes.
fn work(orders: &Receiver<ToWorker>, done: &Sender<FromWorker>, options: &Options, epoch: Instant) {
    let mut prepared = None;
    while let Ok(order) = orders.recv() {
        let answer = step(order, &mut prepared, options, epoch);
        let failed = answer.is_err();
        let answer = answer.unwrap_or_else(|why| FromWorker::Failed { why: why.to_string() });
        if done.send(answer).is_err() || failed {
            // The channel stays open until the failure was taken from it.
            while orders.recv().is_ok() {}
            return;
        }
    }
}

fn step(
    order: ToWorker,
    prepared: &mut Option<Prepared>,
    options: &Options,
    epoch: Instant,
) -> Result<FromWorker, Failure> {
    let missing = || Failure::new("an order of the coordinator", "it came before the one that must come first");
    match order {
        ToWorker::Prepare { job, part, given } => {
            let mut plan = job.plan(part, given)?;
            plan.server_pid = options.server_pid.or(plan.server_pid);
            plan.workers = options.threads.unwrap_or(plan.workers).max(1);
            plan.progress = options.progress;
            let made = run::prepare(&plan)?;
            let given = made.given().clone();
            *prepared = Some(made);
            Ok(FromWorker::Prepared { given })
        }
        ToWorker::Connect => {
            prepared.as_mut().ok_or_else(missing)?.connect()?;
            Ok(FromWorker::Connected)
        }
        ToWorker::Start { at } => {
            let start = epoch + Duration::from_nanos(at);
            if start < Instant::now() {
                return Err(Failure::new("starting", "the moment was over when it was told: the machine is too slow"));
            }
            let report = prepared.take().ok_or_else(missing)?.go(start)?;
            Ok(FromWorker::Part { report: Box::new(report) })
        }
        ToWorker::Clock | ToWorker::Stop { .. } => Err(missing()),
    }
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
