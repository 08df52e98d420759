//! Handshakes and requests, done in portions between the turns of those who talk.
//!
//! An executor runs a queue of tasks until nothing in it is ready, and looks at no socket meanwhile: a thousand handshakes that are ready at
//! once would be a quarter of a second in which nobody else is heard. So tasks of that queue run in a [`Portioned`], which lets them do so
//! much in a row; the rest wait in a line until the executor has looked at its sockets and all that was ready has run, the shard's
//! turn with it. Promises: first come, first served; however busy those who talk are, each pass has its portion, so the line always
//! moves; and with nobody else to wait for, the next portion begins at once. Does not know what the tasks do.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::metrics::counters::ShellCounters;

use super::launch::{breathe, yield_once};

/// One part in so many of the time that all others took since the last portion, if that is more than the smallest portion.
const PART: u64 = 3;
/// A portion is never larger than so many of the smallest.
const LARGEST: u64 = 4;

/// Who waits, and how much may still be done in this portion. Times are in microseconds.
#[derive(Debug, Default)]
struct Line {
    /// The smallest portion; 0: no bounds.
    least: u64,
    portion: u64,
    spent: u64,
    waiting: VecDeque<(u64, Waker)>,
    /// Was woken to run and has not begun.
    called: Option<u64>,
    next: u64,
}

impl Line {
    fn new(least: u64) -> Self {
        Self { least, portion: least, ..Self::default() }
    }

    /// Whether a task that does not wait yet may run at once.
    fn free(&self) -> bool {
        self.least == 0 || (self.waiting.is_empty() && self.called.is_none() && self.spent < self.portion)
    }

    /// Takes a place at the end.
    fn enter(&mut self, waker: Waker) -> u64 {
        self.next += 1;
        self.waiting.push_back((self.next, waker));
        self.next
    }

    /// The task with this place is polled: may it run? If not, it goes on waiting.
    fn admit(&mut self, place: u64, waker: &Waker) -> bool {
        if self.called == Some(place) {
            self.called = None;
            return true;
        }
        if let Some((_, kept)) = self.waiting.iter_mut().find(|(other, _)| *other == place) {
            kept.clone_from(waker);
        }
        false
    }

    /// The next of the line, if the portion is not used up. It is to be woken.
    fn call(&mut self) -> Option<Waker> {
        if self.called.is_some() || self.spent >= self.portion {
            return None;
        }
        let (place, waker) = self.waiting.pop_front()?;
        self.called = Some(place);
        Some(waker)
    }

    /// A task gave up.
    fn leave(&mut self, place: u64) {
        if self.called == Some(place) {
            self.called = None;
        } else {
            self.waiting.retain(|(other, _)| *other != place);
        }
    }

    /// Somebody waits, and not before the next portion is it his turn.
    fn stuck(&self) -> bool {
        self.called.is_none() && !self.waiting.is_empty() && self.spent >= self.portion
    }

    /// A new portion, after all others took so long.
    fn open(&mut self, others: u64) {
        self.spent = 0;
        self.portion = (others / PART).clamp(self.least, self.least.saturating_mul(LARGEST));
    }
}

/// The portions of one shard.
pub struct Portions {
    line: RefCell<Line>,
    /// Opens the next portion.
    opener: Cell<Option<Waker>>,
    shell: Rc<RefCell<ShellCounters>>,
}

impl Portions {
    /// Portions of at least so many microseconds each; 0: everything runs as it comes.
    #[must_use]
    pub fn new(least_us: u64, shell: Rc<RefCell<ShellCounters>>) -> Rc<Self> {
        Rc::new(Self { line: RefCell::new(Line::new(least_us)), opener: Cell::new(None), shell })
    }

    /// Opens portions for ever. To be run among the tasks of those who talk, so that it comes after those that are ready.
    pub async fn open(self: Rc<Self>) {
        loop {
            poll_fn(|cx| {
                if self.line.borrow().stuck() {
                    return Poll::Ready(());
                }
                self.opener.set(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
            let closed = Instant::now();
            breathe().await;
            self.line.borrow_mut().open(micros(closed.elapsed()));
            self.go_on();
        }
    }

    /// A task whose polls are parts of portions. `waited` adds up for how long it stood in the line.
    pub fn task<F: Future<Output = ()>>(self: &Rc<Self>, waited: Waited, work: F) -> Portioned<F> {
        Portioned { portions: Rc::clone(self), waited, place: None, work: Box::pin(work) }
    }

    /// Calls the next, or has the next portion opened.
    fn go_on(&self) {
        let mut line = self.line.borrow_mut();
        let next = line.call();
        let stuck = line.stuck();
        self.shell.borrow_mut().requests_waiting = line.waiting.len() as u64;
        drop(line);
        if let Some(waker) = next {
            waker.wake();
        } else if stuck && let Some(opener) = self.opener.take() {
            opener.wake();
        }
    }
}

/// For how long a task stood in the line so far: time that is not its peer's.
#[derive(Clone, Debug, Default)]
pub struct Waited(Rc<Cell<Duration>>);

impl Waited {
    /// All of it.
    #[must_use]
    pub fn so_far(&self) -> Duration {
        self.0.get()
    }

    /// It stood there for so long.
    pub(crate) fn add(&self, time: Duration) {
        self.0.set(self.0.get() + time);
    }
}

/// See [`Portions::task`].
pub struct Portioned<F> {
    portions: Rc<Portions>,
    waited: Waited,
    place: Option<(u64, Instant)>,
    work: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> Future for Portioned<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let begin = Instant::now();
        {
            let mut line = this.portions.line.borrow_mut();
            match this.place {
                None if line.free() => {}
                None => {
                    this.place = Some((line.enter(cx.waker().clone()), begin));
                    drop(line);
                    this.portions.go_on();
                    return Poll::Pending;
                }
                Some((place, since)) => {
                    if !line.admit(place, cx.waker()) {
                        return Poll::Pending;
                    }
                    this.place = None;
                    this.waited.add(begin.duration_since(since));
                }
            }
        }
        let done = this.work.as_mut().poll(cx);
        this.portions.line.borrow_mut().spent += micros(begin.elapsed());
        this.portions.go_on();
        done
    }
}

impl<F> Drop for Portioned<F> {
    fn drop(&mut self) {
        if let Some((place, _)) = self.place {
            self.portions.line.borrow_mut().leave(place);
            self.portions.go_on();
        }
    }
}

/// Lets the other tasks of the portion run, or those of the next if this one is used up. For a [`Portioned`] task that does much in a row.
pub async fn step() {
    yield_once().await;
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn waker() -> (Arc<Woken>, Waker) {
        let woken = Arc::new(Woken::default());
        (Arc::clone(&woken), Waker::from(woken))
    }

    #[test]
    fn a_portion_is_so_much_work_and_the_rest_waits_in_order_for_the_next() {
        let mut line = Line::new(1000);
        assert!(line.free());
        line.spent += 999;
        assert!(line.free(), "what was begun in time is finished");
        line.spent += 500;
        assert!(!line.free() && !line.stuck());
        let places: Vec<_> = (0..4).map(|_| line.enter(Waker::noop().clone())).collect();
        assert!(line.stuck() && line.call().is_none());
        line.open(0);
        // One at a time, for what each will take is not known before.
        assert!(line.call().is_some() && line.call().is_none());
        assert!(!line.admit(places[1], Waker::noop()), "not before the one in front of it");
        assert!(line.admit(places[0], Waker::noop()));
        assert!(!line.free(), "nobody overtakes those who wait");
        line.spent += 600;
        assert!(line.call().is_some() && line.admit(places[1], Waker::noop()));
        line.spent += 600;
        assert!(line.call().is_none() && line.stuck());
        line.open(0);
        assert!(line.call().is_some() && line.admit(places[2], Waker::noop()));
    }

    #[test]
    fn who_gives_up_holds_up_nobody() {
        let mut line = Line::new(1000);
        line.spent = 1000;
        let places: Vec<_> = (0..3).map(|_| line.enter(Waker::noop().clone())).collect();
        line.open(0);
        assert!(line.call().is_some());
        line.leave(places[1]);
        line.leave(places[0]);
        assert!(line.call().is_some() && line.admit(places[2], Waker::noop()));
        assert!(line.call().is_none() && line.free());
    }

    #[test]
    fn a_portion_grows_with_the_time_of_all_others_but_not_for_ever() {
        let mut line = Line::new(1000);
        for (others, portion) in [(0, 1000), (3000, 1000), (6000, 2000), (9000, 3000), (u64::MAX, 4000)] {
            line.open(others);
            assert_eq!(line.portion, portion, "after {others}");
        }
    }

    #[test]
    fn without_bounds_nothing_waits() {
        let mut line = Line::new(0);
        line.spent = u64::MAX / 2;
        assert!(line.free());
    }

    #[test]
    fn tasks_run_until_the_portion_is_used_up_and_are_woken_for_the_next() {
        let shell: Rc<RefCell<ShellCounters>> = Rc::default();
        let portions = Portions::new(1, Rc::clone(&shell));
        let ran = Rc::new(Cell::new(0));
        let task = |waited: &Waited| {
            let ran = Rc::clone(&ran);
            Box::pin(portions.task(waited.clone(), async move {
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_micros(2) {}
                ran.set(ran.get() + 1);
            }))
        };
        let (woken, waker) = waker();
        let mut cx = Context::from_waker(&waker);
        let (mut first, waited) = (task(&Waited::default()), Waited::default());
        assert!(first.as_mut().poll(&mut cx).is_ready());
        let (mut second, mut third) = (task(&waited), task(&Waited::default()));
        let gone = task(&Waited::default());
        assert!(second.as_mut().poll(&mut cx).is_pending() && third.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_pending(), "woken by somebody else it goes on waiting");
        drop(gone);
        assert_eq!((ran.get(), woken.0.load(Ordering::Relaxed), shell.borrow().requests_waiting), (1, 0, 2));
        assert_eq!(waited.so_far(), Duration::ZERO);
        portions.line.borrow_mut().open(0);
        portions.go_on();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(third.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_ready());
        assert!(waited.so_far() > Duration::ZERO);
        assert_eq!((ran.get(), shell.borrow().requests_waiting), (2, 1));
        drop(third);
        assert_eq!(shell.borrow().requests_waiting, 0);
    }
}
