//! One thread: its loop and its clock.
//!
//! A turn of the loop takes what epoll has, but looks at the clock after every few sockets: what is due is sent before the rest is
//! read, and how late it was is recorded.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::mem::{self, MaybeUninit};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use rustix::event::{Timespec, epoll};

use super::agenda::{Action, Agenda, What};
use super::conn::Conn;
use super::tally::{Interval, Tally, own_cpu};
use super::{Order, Setup, Told, Totals};
use crate::adapter::{Frames, Said};
use crate::ledger::pairs::Pairs;
use crate::ledger::spot::Spot;
use crate::report::{PhaseReport, Verdict};
use crate::schedule::SECOND;
use crate::{Context as _, Failure};

/// Sockets that are served before the clock is looked at.
const AT_ONCE: usize = 16;
/// How long handshakes may take in one turn of the loop, in nanoseconds.
const ARRIVALS: u64 = SECOND / 1000;
/// What epoll says of one socket.
type Ready = (u64, epoll::EventFlags);
/// How long epoll may wait, in nanoseconds.
const PATIENCE: u64 = SECOND / 100;

/// A thread's whole state.
pub struct Worker {
    pub(super) setup: Arc<Setup>,
    pub(super) number: u32,
    orders: Receiver<Order>,
    tell: Sender<Told>,
    pub(super) epoll: OwnedFd,
    pub(super) conns: Vec<Conn>,
    pub(super) spots: Vec<Spot>,
    pub(super) pairs: Pairs,
    pub(super) agenda: Agenda,
    next_action: Option<Action>,
    going: bool,
    /// Which phase is under way.
    pub(super) phase: Option<usize>,
    /// Slots to be opened, in order.
    pub(super) queue: VecDeque<usize>,
    /// Connections on their way.
    pub(super) in_flight: usize,
    /// How many may be.
    pub(super) in_flight_max: usize,
    /// When the next may be opened, where there is a rate.
    pub(super) next_open: u64,
    /// Slots to be queued again at a time.
    pub(super) timers: BinaryHeap<Reverse<(u64, usize)>>,
    /// What [`Order`] is being carried out, until all are in or out.
    pub(super) under_way: Option<Order>,
    pub(super) second: Interval,
    second_began: u64,
    second_cpu: f64,
    phase_cpu: f64,
    pub(super) rounds: Vec<PhaseReport>,
    pub(super) phases: Vec<PhaseReport>,
    pub(super) verdict: Verdict,
    pub(super) left_out: BTreeMap<String, u64>,
    /// The beginning of what the server said last to somebody who was not in yet.
    pub(super) greeting: String,
    /// Why the run cannot go on.
    pub(super) fatal: Option<Failure>,
    pub(super) mask: u64,
    pub(super) unix_millis: u64,
    // Buffers that are used again and again.
    pub(super) received: Vec<u8>,
    pub(super) plain: Vec<u8>,
    pub(super) clear: Vec<u8>,
    pub(super) sealed: Vec<u8>,
    pub(super) said: Vec<Said>,
    pub(super) frames: Frames,
    pub(super) text: String,
}

impl Worker {
    /// A thread that holds nobody yet.
    ///
    /// # Errors
    /// When the kernel gives no epoll.
    pub fn new(setup: Arc<Setup>, number: u32, orders: Receiver<Order>, tell: Sender<Told>) -> Result<Self, Failure> {
        let layout = &setup.world.layout;
        let rooms_each = setup.scenario.population.rooms_per_user;
        let held = (0..layout.users()).filter(|&user| setup.holds(number, user));
        let conns: Vec<Conn> = held.map(|user| Conn::new(user, rooms_each)).collect();
        let phases = setup.scenario.phases.iter().map(|phase| PhaseReport {
            name: phase.name.clone(),
            seconds: phase.seconds,
            warm_up: phase.warm_up,
            ..PhaseReport::default()
        });
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            number,
            orders,
            tell,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).context("asking for epoll")?,
            spots: if setup.can.seq { vec![Spot::default(); conns.len() * rooms_each] } else { Vec::new() },
            conns,
            pairs: Pairs::new(layout),
            agenda: Agenda::new(&setup.scenario, layout),
            next_action: None,
            going: false,
            phase: None,
            queue: VecDeque::new(),
            in_flight: 0,
            in_flight_max: setup.scenario.connect.in_flight,
            next_open: 0,
            timers: BinaryHeap::new(),
            under_way: None,
            second: Interval::default(),
            second_began: setup.now(),
            second_cpu: 0.0,
            phase_cpu: 0.0,
            rounds: Vec::new(),
            phases: phases.collect(),
            verdict: Verdict::default(),
            left_out: BTreeMap::new(),
            greeting: String::new(),
            fatal: None,
            mask: setup.scenario.seed ^ u64::from(number),
            unix_millis: u64::try_from(unix.as_millis()).unwrap_or_default() - setup.now() / 1_000_000,
            received: vec![0; 256 * 1024],
            plain: Vec::new(),
            clear: Vec::new(),
            sealed: Vec::new(),
            said: Vec::new(),
            frames: Frames::default(),
            text: String::new(),
            setup,
        })
    }

    /// Works until told to stop.
    pub fn run(mut self) {
        match self.work() {
            Ok(()) => {
                // The second that has begun counts, too.
                self.tick(self.setup.now());
                let tell = self.tell.clone();
                let _ = tell.send(Told::Done(Box::new(self.tally())));
            }
            Err(why) => {
                let _ = self.tell.send(Told::Failed(why));
            }
        }
    }

    fn work(&mut self) -> Result<(), Failure> {
        self.second_cpu = own_cpu();
        let mut ready = [MaybeUninit::<epoll::Event>::uninit(); 512];
        let mut events: Vec<Ready> = Vec::with_capacity(512);
        loop {
            loop {
                match self.orders.try_recv() {
                    Ok(Order::Stop) => return Ok(()),
                    Ok(order) => self.ordered(order),
                    Err(TryRecvError::Empty) => break,
                    // Whoever would listen is gone.
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            let wait = self.due()?;
            let timeout = Timespec { tv_sec: 0, tv_nsec: i64::try_from(wait.min(PATIENCE)).unwrap_or(0) };
            events.clear();
            match epoll::wait(&self.epoll, &mut ready[..], Some(&timeout)) {
                Ok((ready, _)) => events.extend(ready.iter().map(|event| (event.data.u64(), event.flags))),
                Err(rustix::io::Errno::INTR) => {}
                Err(why) => return Err(Failure::new("waiting for sockets", why)),
            }
            // Those who are there come first, or a storm of handshakes would be measured as the server's slowness to the others.
            let there = self.arriving_last(&mut events);
            let (there, arriving) = events.split_at(there);
            for some in there.chunks(AT_ONCE) {
                for &(data, flags) in some {
                    self.ready(data, flags);
                }
                self.due()?;
            }
            let until = self.setup.now() + ARRIVALS;
            for &(data, flags) in arriving {
                self.ready(data, flags);
                self.due()?;
                // The kernel says again who else is ready.
                if self.setup.now() > until {
                    break;
                }
            }
        }
    }

    /// Puts who is on its way in behind who is there; answers how many are there.
    fn arriving_last(&self, events: &mut [Ready]) -> usize {
        if self.in_flight == 0 {
            return events.len();
        }
        let arrives = |&(data, _): &Ready| {
            let slot = usize::try_from(data & 0xffff_ffff).unwrap_or(usize::MAX);
            self.conns.get(slot).is_some_and(Conn::on_its_way)
        };
        events.sort_by_key(arrives);
        events.partition_point(|event| !arrives(event))
    }

    /// Does everything that is due, and says how long nothing will be.
    fn due(&mut self) -> Result<u64, Failure> {
        let mut now = self.setup.now();
        if now / SECOND > self.second_began / SECOND {
            self.tick(now);
        }
        let mut wait = PATIENCE;
        if self.going
            && let Some(&start) = self.setup.start.get()
        {
            if self.next_action.is_none() {
                self.next_action = self.next_own();
            }
            while let Some(action) = self.next_action {
                let at = start + action.at;
                if at > now {
                    wait = wait.min(at - now);
                    break;
                }
                self.act(action, start, now);
                self.next_action = self.next_own();
                now = self.setup.now();
            }
        }
        while let Some(&Reverse((at, slot))) = self.timers.peek() {
            if at > now {
                wait = wait.min(at - now);
                break;
            }
            self.timers.pop();
            self.enqueue(slot);
        }
        if self.open_some(now)? {
            wait = 0;
        }
        match self.fatal.take() {
            Some(why) => Err(why),
            None => Ok(wait),
        }
    }

    /// The next action that concerns this thread.
    fn next_own(&mut self) -> Option<Action> {
        loop {
            let action = self.agenda.next(&self.setup.world.layout)?;
            let user = match action.what {
                What::Begin | What::End => return Some(action),
                What::Send { user, .. } | What::Ask { user, .. } | What::Churn { user } => user,
            };
            if self.setup.holds(self.number, user) {
                return Some(action);
            }
        }
    }

    fn act(&mut self, action: Action, start: u64, now: u64) {
        match action.what {
            What::Begin => {
                self.phase = Some(action.phase);
                self.phase_cpu = own_cpu();
                self.phases[action.phase].start_seconds = seconds(start + action.at);
                self.begin_phase(action.phase, now);
            }
            What::End => {
                let phase = &mut self.phases[action.phase];
                phase.generator.cpu_seconds = own_cpu() - self.phase_cpu;
                phase.connections = self.conns.iter().filter(|conn| conn.open()).count() as u64;
                self.end_phase(action.phase, now);
            }
            What::Send { user, room } => self.send(user, room, action, now),
            What::Ask { kind, user, room } => self.ask(kind, user, room, action, now),
            What::Churn { user } => self.churn(user, now),
        }
    }

    fn ordered(&mut self, order: Order) {
        let now = self.setup.now();
        match order {
            Order::Connect => {
                let name = if self.setup.scenario.connect.rounds > 1 {
                    format!("connect {}", self.rounds.len() + 1)
                } else {
                    "connect".to_owned()
                };
                self.rounds.push(PhaseReport { name, warm_up: true, ..PhaseReport::default() });
                self.under_way = Some(order);
                self.connect_all(now);
            }
            Order::Leave => {
                self.under_way = Some(order);
                self.leave_all();
            }
            Order::Go => self.going = true,
            Order::Stop => {}
        }
        self.look_whether_done();
    }

    /// Tells when everybody is in or out, as ordered.
    pub(super) fn look_whether_done(&mut self) {
        let done = match self.under_way {
            Some(Order::Connect) => {
                self.queue.is_empty() && self.conns.iter().all(|conn| conn.stage == super::conn::Stage::Live)
            }
            Some(Order::Leave) => true,
            _ => false,
        };
        if done {
            self.under_way = None;
            let _ = self.tell.send(Told::Ready);
        }
    }

    fn tick(&mut self, now: u64) {
        let cpu = own_cpu();
        self.second.second = self.second_began / SECOND;
        self.second.cpu_seconds = cpu - self.second_cpu;
        self.second.seconds = seconds(now - self.second_began);
        self.second_cpu = cpu;
        self.second_began = now;
        let share = self.second.cpu_seconds / self.second.seconds;
        let current = self.current();
        current.generator.busiest_thread = current.generator.busiest_thread.max(share);
        let second = mem::take(&mut self.second);
        let _ = self.tell.send(Told::Second(Box::new(second)));
        self.give_up_on_the_stuck(now);
    }

    /// The part of the report that now belongs to.
    pub(super) fn current(&mut self) -> &mut PhaseReport {
        match self.phase {
            Some(phase) => &mut self.phases[phase],
            None => {
                if self.rounds.is_empty() {
                    self.rounds.push(PhaseReport { name: "connect".to_owned(), ..PhaseReport::default() });
                }
                let last = self.rounds.len() - 1;
                &mut self.rounds[last]
            }
        }
    }

    /// Something went wrong that the scenario did not ask for.
    pub(super) fn trouble(&mut self, name: &str) {
        self.verdict.trouble(name, 1);
        self.second.errors += 1;
    }

    /// Counts something in the current phase.
    pub(super) fn count(&mut self, name: &str, count: u64) {
        let counts = &mut self.current().counts;
        match counts.get_mut(name) {
            Some(known) => *known += count,
            None => drop(counts.insert(name.to_owned(), count)),
        }
    }

    /// Milliseconds since 1970.
    pub(super) fn unix_millis(&self, now: u64) -> u64 {
        self.unix_millis + now / 1_000_000
    }

    fn tally(mut self) -> Tally {
        for conn in &self.conns {
            for pending in conn.pending.iter().filter(|pending| pending.kind.is_none()) {
                self.phases[pending.phase].unanswered += 1;
            }
            Totals::less(&self.setup.totals.pending, conn.pending.len() as u64);
        }
        Tally {
            worker: self.number,
            rounds: self.rounds,
            phases: self.phases,
            verdict: self.verdict,
            conns: self.conns,
            spots: self.spots,
            pairs: self.pairs,
            left_out: self.left_out,
        }
    }
}

/// Nanoseconds as seconds.
#[allow(clippy::cast_precision_loss)] // far below 2^52 microseconds
pub(super) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
