//! Two processes make one run, by the real command: the same verdict and the same counts as one process, and a word when one is lost.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]

mod fake;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use causerie_load::report::Report;
use fake::{Fake, Fault, Plan, Setup};

const KEY: &str = "a key for tests that is long enough";

/// Members of every room are held by both processes: users are dealt out by their number.
const TALK: &str = "
name = 'talk'
drain_seconds = 20
lateness_limit_ms = 60000
population = { connections = 10, room_size = 5, payload = 120 }
connect = { settle_seconds = 0 }
[[phase]]
name = 'talk'
seconds = 2
messages = { rate = 60 }
";

fn command(what: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_causerie-load"));
    command.arg(what).env("CAUSERIE_LOAD_KEY", KEY).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A coordinator for two, and where it listens.
struct Lead {
    child: Child,
    words: BufReader<std::process::ChildStderr>,
    address: String,
}

fn lead(fake: &Fake, folder: &Path, scenario: &str) -> Lead {
    std::fs::write(folder.join("talk.toml"), scenario).unwrap();
    std::fs::write(folder.join("certificate.pem"), fake.pem()).unwrap();
    let mut child = command("coordinate")
        .arg(folder.join("talk.toml"))
        .args(["--processes", "2", "--listen", "127.0.0.1:0", "--secret", "nobody looks at it"])
        .args(["--target", &format!("wss://{}/ws/chat", fake.address())])
        .arg("--certificate")
        .arg(folder.join("certificate.pem"))
        .arg("--json")
        .arg(folder.join("report.json"))
        .spawn()
        .unwrap();
    let words = BufReader::new(child.stderr.take().unwrap());
    let mut lead = Lead { child, words, address: String::new() };
    let line = lead.wait_for("causerie-load join ");
    line.split("join ").nth(1).unwrap().split(' ').next().unwrap().clone_into(&mut lead.address);
    lead
}

impl Lead {
    /// The line that holds these words.
    fn wait_for(&mut self, words: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert!(self.words.read_line(&mut line).unwrap() > 0, "{words:?} was never said: {seen}");
            if line.contains(words) {
                return line;
            }
            seen += &line;
        }
    }

    /// Its exit code, and what it said at the end.
    fn end(mut self) -> (i32, String) {
        let (mut rest, mut out) = (String::new(), String::new());
        self.words.read_to_string(&mut rest).unwrap();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        (self.child.wait().unwrap().code().unwrap(), rest + &out)
    }
}

fn worker(address: &str) -> Child {
    command("join").arg(address).arg("--quiet").spawn().unwrap()
}

/// A run of two processes against a server with this plan.
fn two(plan: Plan, scenario: &str) -> (Report, i32) {
    let fake = Fake::start(Setup { plan, ..Setup::default() });
    let folder = tempfile::tempdir().unwrap();
    let lead = lead(&fake, folder.path(), scenario);
    let workers = [worker(&lead.address), worker(&lead.address)];
    let (code, words) = lead.end();
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let report = Report::read(&folder.path().join("report.json")).unwrap_or_else(|why| panic!("{why}: {words}"));
    (report, code)
}

fn one(plan: Plan, scenario: &str) -> Report {
    Fake::start(Setup { plan, ..Setup::default() }).run(scenario)
}

#[test]
fn two_count_what_one_counts() {
    let ((two, code), one) = (two(Plan::default(), TALK), one(Plan::default(), TALK));
    assert_eq!((two.processes, one.processes), (2, 1));
    assert_eq!(two.verdict.faults, one.verdict.faults, "{:?}", two.verdict.words);
    assert!(two.verdict.sound() && two.verdict.troubles.is_empty(), "{:?}", two.verdict);
    let names = |report: &Report| report.phases.iter().map(|phase| phase.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&two), names(&one));
    for (two, one) in two.phases.iter().zip(&one.phases) {
        assert_eq!(
            (two.planned, two.sent, two.acked, two.unanswered),
            (one.planned, one.sent, one.acked, one.unanswered)
        );
        assert_eq!((two.delivered, two.expected_deliveries), (one.delivered, one.expected_deliveries));
        assert_eq!((two.ack.count(), two.delivery.count()), (one.ack.count(), one.delivery.count()));
        assert_eq!((two.connect.count(), two.connections), (one.connect.count(), one.connections));
    }
    // A last second that was not full stands in no timeline; of two processes it is the same seconds that are added.
    let seconds = two.timeline.iter().map(|second| second.delivered).sum::<u64>();
    assert!((240..=480).contains(&seconds), "{seconds} of 480");
    assert!(two.notes.iter().filter(|note| note.contains("clock")).count() == 2, "{:?}", two.notes);
    assert_eq!((two.passed(), code), (true, 0), "{:?}", two.outcome);
}

#[test]
fn two_find_what_one_finds() {
    for fault in [Fault::DropDelivery, Fault::DeliverTwice, Fault::AckOnly] {
        let scenario = TALK.replace("drain_seconds = 20", "drain_seconds = 4");
        // The last message of the log, so that its place is not given away again.
        let plan = || Plan::one(110, fault);
        let ((two, code), one) = (two(plan(), &scenario), one(plan(), &scenario));
        let kinds = |report: &Report| report.verdict.faults.keys().cloned().collect::<Vec<_>>();
        assert_eq!(kinds(&two), kinds(&one), "{:?} and {:?}", two.verdict.words, one.verdict.words);
        assert_eq!((two.passed(), one.passed(), code), (false, false, 1), "{fault:?}");
    }
}

#[test]
fn a_worker_that_dies_ends_the_run_with_its_name() {
    let fake = Fake::start(Setup::default());
    let folder = tempfile::tempdir().unwrap();
    let scenario = TALK.replace("seconds = 2\n", "seconds = 600\n");
    let mut lead = lead(&fake, folder.path(), &scenario);
    let (mut dies, stays) = (worker(&lead.address), worker(&lead.address));
    let pid = dies.id();
    lead.wait_for("the run takes 600 s");
    dies.kill().unwrap();
    dies.wait().unwrap();
    let (code, words) = lead.end();
    assert_eq!(code, 1);
    assert!(words.contains(&format!("process {pid} at")) && words.contains("is lost"), "{words}");
    // The other one does not go on by itself.
    let output = stays.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("is lost"));
    assert!(!folder.path().join("report.json").exists());
}
