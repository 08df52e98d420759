//! Group commit, order, bounds and the end, over backends that can be held back.

use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::base::UserId;
use crate::store::memory::Memory;
use crate::store::{NameKey, NameKind};

/// Ends a test that hangs; never decides about a test that does not.
const WATCHDOG: Duration = Duration::from_mins(1);

/// Holds each batch back until it is let go, and notes how large it was.
struct Gate {
    inner: Memory,
    entered: Mutex<mpsc::Sender<usize>>,
    go: Mutex<mpsc::Receiver<Verdict>>,
}

enum Verdict {
    Go,
    Fail,
    Panic,
}

impl Backend for Gate {
    fn write_each(&self, batch: Vec<Write>) -> Result<Vec<Result<Outcome, Failure>>, Failure> {
        let told = locked(&self.entered).send(batch.len());
        match locked(&self.go).recv_timeout(WATCHDOG) {
            Ok(Verdict::Go) => self.inner.write_each(batch),
            Ok(Verdict::Fail) => Err(Failure::Unavailable("no space".to_owned())),
            Ok(Verdict::Panic) => panic!("on purpose"),
            Err(e) => panic!("the test does not let it go: {e}, {told:?}"),
        }
    }

    fn read(&self, query: &Query) -> Result<Answer, Failure> {
        self.inner.read(query)
    }

    fn name_key(&self, kind: NameKind, folded: &str) -> NameKey {
        self.inner.name_key(kind, folded)
    }

    fn pair_key(&self, a: UserId, b: UserId) -> [u8; 16] {
        self.inner.pair_key(a, b)
    }

    fn server_key(&self) -> [u8; 32] {
        self.inner.server_key()
    }

    fn size_bytes(&self) -> u64 {
        0
    }
}

struct Bench {
    driver: Driver,
    entered: mpsc::Receiver<usize>,
    go: mpsc::Sender<Verdict>,
    answer_in: mpsc::Sender<(usize, StoreResult)>,
    answers: mpsc::Receiver<(usize, StoreResult)>,
}

impl Bench {
    fn new(settings: DriverSettings) -> Self {
        let (entered_in, entered) = mpsc::channel();
        let (go, go_out) = mpsc::channel();
        let gate = Gate { inner: Memory::new([0; 32]), entered: Mutex::new(entered_in), go: Mutex::new(go_out) };
        let driver = Driver::start(Arc::new(gate), settings).expect("threads");
        let (answer_in, answers) = mpsc::channel();
        Self { driver, entered, go, answer_in, answers }
    }

    fn submit(&self, n: usize) -> Result<(), Full> {
        self.submit_op(n, StoreOp::Write(setting(n)))
    }

    fn submit_op(&self, n: usize, op: StoreOp) -> Result<(), Full> {
        let to = self.answer_in.clone();
        self.driver.submit(op, Box::new(move |result| to.send((n, result)).expect("the test listens")))
    }

    fn batch(&self) -> usize {
        self.entered.recv_timeout(WATCHDOG).expect("a batch")
    }

    fn answer(&self) -> (usize, StoreResult) {
        self.answers.recv_timeout(WATCHDOG).expect("an answer")
    }
}

/// The last of these writes decides what the setting holds.
fn setting(n: usize) -> Write {
    Write::Setting { name: "n".to_owned(), value: Some(n.to_be_bytes().to_vec()) }
}

#[test]
fn what_arrives_during_a_commit_is_the_next_batch_and_is_answered_in_order() {
    let bench = Bench::new(DriverSettings { batch_jobs: 5, ..DriverSettings::default() });
    bench.submit(0).expect("room");
    assert_eq!(bench.batch(), 1);
    for n in 1..=7 {
        bench.submit(n).expect("room");
    }
    for (size, verdict) in [(5, Verdict::Go), (2, Verdict::Go)] {
        bench.go.send(verdict).expect("the gate listens");
        assert_eq!(bench.batch(), size, "bounded by count");
    }
    bench.go.send(Verdict::Go).expect("the gate listens");
    for n in 0..=7 {
        let (got, result) = bench.answer();
        assert_eq!(got, n);
        assert!(matches!(result, StoreResult::Written(Ok(Outcome::Done { .. }))));
    }
    bench.submit_op(9, StoreOp::Read(Query::Setting("n".to_owned()))).expect("room");
    let (_, result) = bench.answer();
    let StoreResult::Read(Ok(Answer::Setting(Some(value)))) = result else { panic!("{result:?}") };
    assert_eq!(value, 7usize.to_be_bytes());
    let numbers = bench.driver.numbers();
    assert_eq!((numbers.commits, numbers.writes, numbers.reads, numbers.batch_size.max()), (3, 8, 1, 5));
}

#[test]
fn a_batch_is_bounded_by_bytes_and_nothing_is_lost_between_two() {
    let one = weight(&setting(0));
    let bench = Bench::new(DriverSettings { batch_bytes: 2 * one, ..DriverSettings::default() });
    bench.submit(0).expect("room");
    assert_eq!(bench.batch(), 1);
    for n in 1..=3 {
        bench.submit(n).expect("room");
    }
    for size in [2, 1] {
        bench.go.send(Verdict::Go).expect("the gate listens");
        assert_eq!(bench.batch(), size);
    }
    bench.go.send(Verdict::Go).expect("the gate listens");
    assert_eq!((0..4).map(|_| bench.answer().0).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn a_full_queue_says_so_by_count_and_by_bytes_and_recovers() {
    let one = weight(&setting(0));
    for settings in [
        DriverSettings { write_jobs: 2, ..DriverSettings::default() },
        DriverSettings { write_bytes: 3 * one, ..DriverSettings::default() },
    ] {
        let bench = Bench::new(settings);
        bench.submit(0).expect("room");
        assert_eq!(bench.batch(), 1);
        bench.submit(1).expect("room");
        bench.submit(2).expect("room");
        assert_eq!(bench.submit(3), Err(Full::Queue));
        bench.go.send(Verdict::Go).expect("the gate listens");
        assert_eq!(bench.batch(), 2);
        bench.submit(4).expect("there is room again");
        bench.go.send(Verdict::Go).expect("the gate listens");
        bench.go.send(Verdict::Go).expect("the gate listens");
        assert_eq!((0..4).map(|_| bench.answer().0).collect::<Vec<_>>(), [0, 1, 2, 4]);
        assert_eq!(bench.driver.numbers().refused, 1);
    }
}

#[test]
fn a_failed_or_panicking_batch_is_answered_and_the_next_one_goes_on() {
    let bench = Bench::new(DriverSettings::default());
    for (n, verdict) in [Verdict::Fail, Verdict::Panic, Verdict::Go].into_iter().enumerate() {
        let good = matches!(verdict, Verdict::Go);
        bench.submit(n).expect("room");
        bench.go.send(verdict).expect("the gate listens");
        let (got, StoreResult::Written(result)) = bench.answer() else { panic!("a write's answer") };
        assert_eq!((got, result.is_ok()), (n, good));
        assert!(good || result.is_err_and(|failure| failure.ambiguous()));
    }
    let numbers = bench.driver.numbers();
    assert_eq!((numbers.commits, numbers.commits_failed, numbers.writes_failed), (1, 2, 2));
}

#[test]
fn draining_answers_all_that_was_accepted_and_takes_nothing_more() {
    let driver = Driver::start(Arc::new(Memory::new([0; 32])), DriverSettings::default()).expect("threads");
    let (to, answers) = mpsc::channel();
    let submitters: Vec<_> = (0..4)
        .map(|_| {
            let (driver, to) = (driver.clone(), to.clone());
            std::thread::spawn(move || {
                let mut accepted = 0usize;
                for n in 0.. {
                    let to = to.clone();
                    let op = if n % 3 == 0 {
                        StoreOp::Read(Query::Setting("n".to_owned()))
                    } else {
                        StoreOp::Write(setting(n))
                    };
                    match driver.submit(op, Box::new(move |_| to.send(()).expect("the test listens"))) {
                        Ok(()) => accepted += 1,
                        Err(Full::Queue) => std::thread::yield_now(),
                        Err(Full::Stopped) => return accepted,
                    }
                }
                accepted
            })
        })
        .collect();
    // Some were accepted, many are under way.
    for _ in 0..1000 {
        answers.recv_timeout(WATCHDOG).expect("an answer");
    }
    driver.drain();
    driver.drain();
    let accepted: usize = submitters.into_iter().map(|thread| thread.join().expect("no panic")).sum();
    drop(to);
    assert_eq!(answers.iter().count() + 1000, accepted);
    assert_eq!(driver.submit(StoreOp::Write(setting(0)), Box::new(|_| ())), Err(Full::Stopped));
}
