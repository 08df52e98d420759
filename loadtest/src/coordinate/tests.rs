//! A coordinator with workers that speak the line but carry nothing out: what it tells whom and when, and what it says when one is lost.

use std::net::TcpStream;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::lead::Lead;
use super::line::Line;
use super::{FromWorker, Job, ToWorker, WIRE, identity, join};
use crate::Failure;
use crate::plan::Given;
use crate::report::Report;
use crate::scenario::Scenario;

const WATCHDOG: Duration = Duration::from_mins(1);
const KEY: &str = "a key that is long enough to be one";

fn job() -> Job {
    Job {
        target: "wss://127.0.0.1:9/ws/chat".to_owned(),
        certificate: None,
        adapter: "causerie".to_owned(),
        scenario: Scenario::read("name = \"x\"").unwrap(),
        issuer: ("secret".to_owned(), "go42".to_owned(), "go42".to_owned()),
        threads: 1,
        server_pid: Some(7),
        metrics: None,
    }
}

/// How a worker of these tests ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Well,
    FailsToConnect,
    LeavesWhileRunning,
}

/// A worker whose clock is `ahead`. Answers with the moment at which it was told to start, in everybody's time.
fn worker(address: &str, ahead: Duration, end: End) -> Result<Instant, Failure> {
    let epoch = Instant::now();
    let now = || u64::try_from((epoch.elapsed() + ahead).as_nanos()).unwrap();
    let tls = ClientConnection::new(identity::client(KEY)?, ServerName::try_from("coordinator").unwrap()).unwrap();
    let mut line = Line::of_client(TcpStream::connect(address).unwrap(), tls)?;
    line.say(&FromWorker::Hello { key: KEY.to_owned(), wire: WIRE, version: "0".to_owned(), pid: 1 })?;
    let mut start = None;
    loop {
        match line.hear::<ToWorker>(WATCHDOG)?.expect("an order") {
            ToWorker::Clock => line.say(&FromWorker::Clock { now: now() })?,
            ToWorker::Prepare { part, given, job } => {
                assert_eq!(part.index == 0, given.is_none(), "only the first makes rooms");
                assert_eq!(
                    job.plan(part, None)?.server_pid,
                    (part.index == 0).then_some(7),
                    "only one looks at the server"
                );
                let rooms = given.map_or_else(|| vec!["hall".to_owned()], |given| given.rooms);
                line.say(&FromWorker::Prepared { given: Given { mark: "m".to_owned(), rooms } })?;
            }
            ToWorker::Connect if end == End::FailsToConnect => {
                line.say(&FromWorker::Failed { why: "the server is full".to_owned() })?;
            }
            ToWorker::Connect => line.say(&FromWorker::Connected)?,
            ToWorker::Start { .. } if end == End::LeavesWhileRunning => return Err(Failure::new("left", "on purpose")),
            ToWorker::Start { at } => {
                start = Some(epoch + Duration::from_nanos(at).checked_sub(ahead).expect("a moment of this clock"));
                let report = Report { format: crate::report::FORMAT, processes: 1, ..Report::default() };
                line.say(&FromWorker::Part { report: Box::new(report) })?;
            }
            ToWorker::Stop { why } if why.is_empty() => return Ok(start.expect("a start")),
            ToWorker::Stop { why } => return Err(Failure::new("stopped", why)),
        }
    }
}

/// Leads these workers; what came of it, and what each worker says.
fn led(ends: &[(Duration, End)]) -> (Result<Report, Failure>, Vec<Result<Instant, Failure>>) {
    let lead = Lead::listen("127.0.0.1:0", Some(KEY)).unwrap();
    let address = lead.address().to_string();
    thread::scope(|scope| {
        let workers: Vec<_> = ends
            .iter()
            .map(|&(ahead, end)| {
                let address = &address;
                scope.spawn(move || worker(address, ahead, end))
            })
            .collect();
        let outcome = lead.run(&job(), ends.len(), &mut |_| ());
        (outcome, workers.into_iter().map(|worker| worker.join().unwrap()).collect())
    })
}

#[test]
fn all_start_at_one_moment_whatever_their_clocks_say() {
    let hours = |n: u64| Duration::from_secs(n * 3600);
    let (report, starts) = led(&[(hours(0), End::Well), (hours(5), End::Well), (hours(1), End::Well)]);
    let report = report.unwrap();
    assert_eq!((report.processes, report.notes.len()), (3, 3), "{:?}", report.notes);
    let starts: Vec<Instant> = starts.into_iter().map(Result::unwrap).collect();
    // The notes say how far the clocks may be wrong: the starts do not lie farther apart.
    let known: f64 = report
        .notes
        .iter()
        .map(|note| note.split("at the start to ").nth(1).unwrap().split(' ').next().unwrap().parse::<f64>().unwrap())
        .fold(0.0, f64::max);
    let spread = starts.iter().max().unwrap().duration_since(*starts.iter().min().unwrap());
    assert!(spread.as_secs_f64() * 1e3 <= 2.0 * known + 0.001, "{spread:?} apart, known to {known} ms");
}

#[test]
fn one_that_fails_ends_it_for_all_and_is_named() {
    let none = Duration::ZERO;
    let (report, workers) = led(&[(none, End::Well), (none, End::FailsToConnect)]);
    let why = report.unwrap_err().to_string();
    assert!(why.contains("worker ") && why.contains("the server is full"), "{why}");
    let told: Vec<String> = workers.into_iter().map(|worker| worker.unwrap_err().to_string()).collect();
    assert!(told.iter().any(|words| words.contains("the server is full")), "{told:?}");
}

#[test]
fn one_that_dies_ends_it_for_all_and_is_named() {
    let none = Duration::ZERO;
    let (report, _) = led(&[(none, End::LeavesWhileRunning), (none, End::LeavesWhileRunning)]);
    let why = report.unwrap_err().to_string();
    assert!(why.contains("worker ") && why.contains("is lost") && why.contains("process 1 at 127.0.0.1"), "{why}");
}

#[test]
fn strangers_are_sent_away_and_disturb_nobody() {
    let lead = Lead::listen("127.0.0.1:0", Some(KEY)).unwrap();
    let address = lead.address().to_string();
    let heard = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let run = scope.spawn(|| lead.run(&job(), 1, &mut |news: &str| heard.lock().unwrap().push(news.to_owned())));
        // Somebody with another key finds out before saying it; somebody without TLS gets nowhere.
        let wrong = join::join(&address, "another key of enough characters", &join::Options::default(), &mut |_| ());
        assert!(wrong.unwrap_err().to_string().contains("is the key the one it printed?"));
        std::io::Write::write_all(&mut TcpStream::connect(&address).unwrap(), b"GET / HTTP/1.1\r\n\r\n").unwrap();
        // With the right certificate and the wrong word.
        let tls = ClientConnection::new(identity::client(KEY).unwrap(), ServerName::try_from("coordinator").unwrap());
        let mut line = Line::of_client(TcpStream::connect(&address).unwrap(), tls.unwrap()).unwrap();
        line.say(&FromWorker::Hello { key: "no".to_owned(), wire: WIRE, version: String::new(), pid: 1 }).unwrap();
        assert!(line.hear::<ToWorker>(WATCHDOG).is_err());
        let end = Instant::now() + WATCHDOG;
        while heard.lock().unwrap().len() < 3 {
            assert!(Instant::now() < end, "three strangers, and not all were seen");
            thread::yield_now();
        }
        worker(&address, Duration::ZERO, End::Well).unwrap();
        assert_eq!(run.join().unwrap().unwrap().processes, 1);
    });
    let heard = heard.into_inner().unwrap();
    assert_eq!(heard.iter().filter(|news| news.contains("is no worker")).count(), 3, "{heard:?}");
}

#[test]
fn a_clock_that_moved_makes_the_run_invalid() {
    // Said by a worker whose clock runs: it gains an hour when it is told to start.
    let lead = Lead::listen("127.0.0.1:0", Some(KEY)).unwrap();
    let address = lead.address().to_string();
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            let epoch = Instant::now();
            let mut gained = Duration::ZERO;
            let tls =
                ClientConnection::new(identity::client(KEY).unwrap(), ServerName::try_from("coordinator").unwrap());
            let mut line = Line::of_client(TcpStream::connect(&address).unwrap(), tls.unwrap()).unwrap();
            line.say(&FromWorker::Hello { key: KEY.to_owned(), wire: WIRE, version: String::new(), pid: 1 }).unwrap();
            loop {
                let answer = match line.hear::<ToWorker>(WATCHDOG).unwrap().expect("an order") {
                    ToWorker::Clock => {
                        let now = u64::try_from((epoch.elapsed() + gained).as_nanos()).unwrap();
                        FromWorker::Clock { now }
                    }
                    ToWorker::Prepare { .. } => {
                        FromWorker::Prepared { given: Given { mark: String::new(), rooms: vec![] } }
                    }
                    ToWorker::Connect => FromWorker::Connected,
                    ToWorker::Start { .. } => {
                        gained = Duration::from_secs(3600);
                        let report = Report { format: crate::report::FORMAT, processes: 1, ..Report::default() };
                        FromWorker::Part { report: Box::new(report) }
                    }
                    ToWorker::Stop { .. } => return,
                };
                line.say(&answer).unwrap();
            }
        });
        lead.run(&job(), 1, &mut |_| ()).unwrap()
    });
    assert!(matches!(&report.validity.reasons[..], [why] if why.contains("may have moved by 3600")), "{report:?}");
}
