//! The coordinator: waits for its workers, gives each its part, starts all at one moment, and makes one report of theirs.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection};

use super::clock::{Exchange, Offset};
use super::join::nanos;
use super::line::Line;
use super::{FromWorker, Job, SILENCE, ToWorker, WIRE, identity};
use crate::plan::{Given, Part};
use crate::report::Report;
use crate::run::expectations;
use crate::{Context as _, Failure};

/// How long a caller has for its first word.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// Exchanges of time with each worker.
const EXCHANGES: usize = 32;
/// From the moment at which all are ready to the start: the word must have reached everybody.
const LEAD_TIME: Duration = Duration::from_millis(500);
/// How long is listened before other things are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A coordinator that listens.
pub struct Lead {
    listener: TcpListener,
    address: SocketAddr,
    key: String,
    tls: Arc<ServerConfig>,
    epoch: Instant,
}

/// What a worker's thread has to tell.
enum News {
    Came {
        pid: u32,
        orders: Sender<ToWorker>,
    },
    Prepared(Given),
    Connected(Offset),
    Part(Box<Report>, Offset),
    /// It is over with this one, and why.
    Lost(String),
}

/// A worker.
struct Worker {
    /// Which conversation.
    id: usize,
    name: String,
    orders: Sender<ToWorker>,
    /// How its clock stood to ours just before the start.
    offset: Offset,
}

impl Lead {
    /// Listens at `address` (`host:port`). Without a key a fresh one is made.
    ///
    /// # Errors
    /// When the address cannot be listened at, or the key is too short.
    pub fn listen(address: &str, key: Option<&str>) -> Result<Self, Failure> {
        let key = key.map_or_else(identity::fresh_key, |key| Ok(key.to_owned()))?;
        identity::checked(&key)?;
        let what = format!("listening at {address}");
        let listener = TcpListener::bind(address).context(&what)?;
        listener.set_nonblocking(true).context(&what)?;
        let address = listener.local_addr().context(&what)?;
        Ok(Self { listener, address, tls: identity::server(&key)?, key, epoch: Instant::now() })
    }

    /// Where workers find it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What workers must show.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Carries the job out with so many workers. `tell` gets a line for people at every step. The report is one of the whole run.
    ///
    /// # Errors
    /// When a worker fails or is lost: the others are told to stop.
    pub fn run(&self, job: &Job, workers: usize, tell: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
        let (to, news) = mpsc::channel();
        let mut team = Team { workers: Vec::new(), news };
        let outcome = self.gather(&mut team, &to, workers, tell).and_then(|()| self.lead(&mut team, job, tell));
        let why = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        for worker in &team.workers {
            let _ = worker.orders.send(ToWorker::Stop { why: why.clone() });
        }
        // They are gone when the last word is said.
        for worker in std::mem::take(&mut team.workers) {
            drop(worker.orders);
        }
        drop(to);
        while team.news.recv_timeout(FIRST_WORD).is_ok() {}
        outcome
    }

    /// Waits until all are there.
    fn gather(
        &self,
        team: &mut Team,
        to: &Sender<(usize, News)>,
        wanted: usize,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), Failure> {
        let mut calls: Vec<String> = Vec::new();
        while team.workers.len() < wanted {
            match self.listener.accept() {
                Ok((tcp, from)) => {
                    let (id, to, tls) = (calls.len(), to.clone(), self.tls.clone());
                    let (key, epoch) = (self.key.clone(), self.epoch);
                    calls.push(from.to_string());
                    thread::Builder::new()
                        .name(format!("worker {id}"))
                        .spawn(move || {
                            let why = converse(tcp, tls, &key, epoch, id, &to).err();
                            let why = why.map_or_else(|| "it left".to_owned(), |why| why.to_string());
                            let _ = to.send((id, News::Lost(why)));
                        })
                        .context("listening to a worker")?;
                }
                Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(why) => return Err(Failure::new("waiting for workers", why)),
            }
            match team.news.recv_timeout(LOOK) {
                Ok((id, News::Came { pid, orders })) => {
                    let name = format!("{} (process {pid} at {})", team.workers.len(), calls[id]);
                    team.workers.push(Worker { id, name: name.clone(), orders, offset: Offset::default() });
                    tell(&format!("worker {name} joined, {} of {wanted}", team.workers.len()));
                }
                Ok((id, News::Lost(why))) => {
                    // One that was counted already would be missing later; a stranger is none.
                    if let Some(lost) = team.workers.iter().find(|worker| worker.id == id) {
                        return Err(Failure::new(format!("worker {} is lost", lost.name), why));
                    }
                    tell(&format!("{} is no worker: {why}", calls[id]));
                }
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::new("waiting for workers", "nobody listens"));
                }
            }
        }
        Ok(())
    }

    /// Step after step, all together.
    fn lead(&self, team: &mut Team, job: &Job, tell: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
        let of = u32::try_from(team.workers.len()).unwrap_or(u32::MAX);
        let order = |index: usize, given: Option<Given>| {
            let part = Part { index: u32::try_from(index).unwrap_or(u32::MAX), of };
            ToWorker::Prepare { job: Box::new(job.clone()), part, given }
        };
        tell("worker 0 makes the rooms");
        team.order(0, order(0, None));
        let given = team.each_of(0..1, |news| if let News::Prepared(given) = news { Some(given) } else { None })?;
        for index in 1..team.workers.len() {
            team.order(index, order(index, given.first().cloned()));
        }
        let all = 0..team.workers.len();
        team.each_of(1..all.end, |news| if let News::Prepared(_) = news { Some(()) } else { None })?;
        tell("all connect");
        all.clone().for_each(|index| team.order(index, ToWorker::Connect));
        // Connecting may have taken minutes: the clocks were compared again after it.
        let offsets = team.each_of(all.clone(), |news| if let News::Connected(at) = news { Some(at) } else { None })?;
        for (worker, offset) in team.workers.iter_mut().zip(offsets) {
            worker.offset = offset;
        }
        let start = nanos(self.epoch.elapsed() + LEAD_TIME);
        for index in all.clone() {
            let at = team.workers[index].offset.to_theirs(start);
            team.order(index, ToWorker::Start { at });
        }
        tell(&format!("all are connected; the run takes {:.0} s and what is awaited after it", job.scenario.seconds()));
        let parts = team.each_of(all.clone(), |news| {
            if let News::Part(report, offset) = news { Some((report, offset)) } else { None }
        })?;
        let mut parts = parts.into_iter().zip(&team.workers);
        let Some(((mut whole, later), first)) = parts.next() else {
            return Err(Failure::new("merging", "there were no workers"));
        };
        let mut clocks = vec![(first, later)];
        for ((part, later), worker) in parts {
            whole.merge(&part)?;
            clocks.push((worker, later));
        }
        for (worker, later) in clocks {
            say_clock(&mut whole, worker, later, job.scenario.lateness_limit_ms);
        }
        expectations::look(&job.scenario, &mut whole);
        whole.finish();
        Ok(*whole)
    }
}

/// Puts into the report how well a worker's clock agreed.
fn say_clock(report: &mut Report, worker: &Worker, later: Offset, limit_ms: f64) {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let error = millis(Duration::from_nanos(worker.offset.error));
    let moved = millis(worker.offset.moved(later));
    report.notes.push(format!(
        "worker {}: its clock was set at the start to {error:.3} ms, and moved by at most {moved:.3} ms until the end; what one \
         worker sends and another receives may be wrong by that much",
        worker.name
    ));
    if moved > limit_ms {
        report.validity.reasons.push(format!(
            "the clock of worker {} may have moved by {moved:.1} ms during the run > {limit_ms} ms",
            worker.name
        ));
    }
}

/// All workers, and what they tell.
struct Team {
    workers: Vec<Worker>,
    news: Receiver<(usize, News)>,
}

impl Team {
    fn order(&self, index: usize, order: ToWorker) {
        // One that is gone is told of by its own thread.
        let _ = self.workers[index].orders.send(order);
    }

    /// Waits until each of these workers said what is wanted. In the workers' order.
    fn each_of<T>(
        &mut self,
        who: std::ops::Range<usize>,
        wanted: impl Fn(News) -> Option<T>,
    ) -> Result<Vec<T>, Failure> {
        let mut said: Vec<Option<T>> = who.clone().map(|_| None).collect();
        while said.iter().any(Option::is_none) {
            let (id, news) = self.news.recv().context("listening to workers")?;
            let Some(index) = self.workers.iter().position(|worker| worker.id == id) else { continue };
            if let News::Lost(why) = news {
                return Err(Failure::new(format!("worker {} is lost", self.workers[index].name), why));
            }
            match (wanted(news), index.checked_sub(who.start).and_then(|place| said.get_mut(place))) {
                (Some(value), Some(place)) => *place = Some(value),
                _ => {
                    return Err(Failure::new(
                        format!("worker {}", self.workers[index].name),
                        "it said something out of turn",
                    ));
                }
            }
        }
        Ok(said.into_iter().flatten().collect())
    }
}

/// One worker's conversation: hello, clock, then orders one way and news the other.
fn converse(
    tcp: TcpStream,
    tls: Arc<ServerConfig>,
    key: &str,
    epoch: Instant,
    id: usize,
    to: &Sender<(usize, News)>,
) -> Result<(), Failure> {
    let mut line = Line::of_server(tcp, ServerConnection::new(tls).context("encrypting the line")?)?;
    let pid = match line.hear(FIRST_WORD)? {
        Some(FromWorker::Hello { key: shown, wire, version, pid }) => {
            if !identity::same(key, &shown) {
                return Err(Failure::new("its key", "it is another one"));
            }
            if wire != WIRE {
                let why =
                    format!("causerie-load {version} speaks another form of it than {}", env!("CARGO_PKG_VERSION"));
                let _ = line.say(&ToWorker::Stop { why: why.clone() });
                return Err(Failure::new("its language", why));
            }
            pid
        }
        _ => return Err(Failure::new("its first word", "it did not say who it is")),
    };
    let (orders, to_pass_on) = mpsc::channel::<ToWorker>();
    let tell = |news: News| to.send((id, news)).context("the run is over");
    tell(News::Came { pid, orders })?;
    let mut heard = Instant::now();
    loop {
        match line.hear::<FromWorker>(LOOK)? {
            Some(said) => {
                heard = Instant::now();
                match said {
                    FromWorker::Alive | FromWorker::Clock { .. } => {}
                    FromWorker::Prepared { given } => tell(News::Prepared(given))?,
                    FromWorker::Connected => {
                        let offset = compare(&mut line, epoch)?;
                        tell(News::Connected(offset))?;
                    }
                    FromWorker::Part { report } => {
                        let later = compare(&mut line, epoch)?;
                        tell(News::Part(report, later))?;
                    }
                    FromWorker::Failed { why } => return Err(Failure::new("its part of the run", why)),
                    FromWorker::Hello { .. } => return Err(Failure::new("its second word", "it was hello again")),
                }
            }
            None if heard.elapsed() > SILENCE => {
                return Err(Failure::new("listening to it", format!("silent for {} s", SILENCE.as_secs())));
            }
            None => {}
        }
        while let Ok(order) = to_pass_on.try_recv() {
            line.say(&order)?;
            if let ToWorker::Stop { .. } = order {
                return Ok(());
            }
        }
    }
}

/// Compares the clocks.
fn compare(line: &mut Line, epoch: Instant) -> Result<Offset, Failure> {
    let mut exchanges = Vec::with_capacity(EXCHANGES);
    while exchanges.len() < EXCHANGES {
        let asked = nanos(epoch.elapsed());
        line.say(&ToWorker::Clock)?;
        loop {
            match line.hear(SILENCE)? {
                Some(FromWorker::Clock { now }) => {
                    exchanges.push(Exchange { asked, theirs: now, heard: nanos(epoch.elapsed()) });
                    break;
                }
                // It may have been on its way.
                Some(FromWorker::Alive) => {}
                _ => return Err(Failure::new("comparing clocks", "it does not say what time it is")),
            }
        }
    }
    Offset::of(&exchanges).ok_or_else(|| Failure::new("comparing clocks", "nothing was said"))
}
