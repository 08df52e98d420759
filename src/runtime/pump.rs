//! The loop of a shard: gathers inputs, calls the machine, carries out what follows. The only caller of `Machine::handle`.
//!
//! A turn: answer the bell, read the clock, handle what is there (bounded by time, a share for every source), hand jobs to the store,
//! one batch to each other shard, answers to those who asked, then write once to each connection that has something. Then other tasks
//! run; with nothing left the pump sleeps until the bell, or the machine's next deadline. Promises that no source starves another,
//! that one write a connection and turn leaves, and that what did not fit a lane or the store comes back as an input. Decides nothing.

mod resting;
mod writing;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::os::fd::RawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use futures_channel::oneshot;
use glommio::timer::Timer;

use crate::base::time::Now;
use crate::base::{Close, ConnId, Moment, Refusal, ShardId};
use crate::metrics::counters::ShellCounters;
use crate::shard::message::ShardMessage;
use crate::shard::{AskAnswer, AskId, Effects, Input, Opened, StoreOp, StoreResult, StoreToken};
use crate::store::Failure;

use super::clock::Clock;
use super::gate::Gate;
use super::inbox::Inbox;
use super::launch::breathe;
use super::mesh::{Completion, Mailbox, Mesh, Order};
use super::pace::Pace;
use super::port::{Port, Socket};
use super::seam::{Machine, StorePort};
use super::sends::Sends;
use super::stall::{Kind, Tally};
use super::watch::{Watch, Watched};
use resting::Looked;
use writing::Sending;

/// Inputs are handled for so long in one turn, in microseconds, before what follows from them is carried out.
const HANDLE_US: u64 = 2_000;
/// Inputs of one source that are handled before the next source has its share.
const SHARE: usize = 64;
/// Batches of one lane in a share: a batch is many messages.
const SHARE_BATCHES: usize = 8;
/// Questions that may be unanswered; further ones wait in the mailbox, whose end is `busy`.
const ASKS_IN_FLIGHT: usize = 4096;
/// A buffer that grew beyond this gives its memory back when the shard is idle.
const KEEP_BYTES: usize = 256 * 1024;
/// The same for lists.
const KEEP_ITEMS: usize = 4096;

/// What the pump needs of the world.
pub struct PumpParts {
    /// Which shard it is.
    pub id: ShardId,
    /// All mailboxes.
    pub mesh: Mesh,
    /// Its own.
    pub mailbox: Arc<Mailbox>,
    /// The store's driver.
    pub store: Arc<dyn StorePort>,
    /// The process' clock.
    pub clock: Clock,
    /// Numbers of the shell on this shard.
    pub shell: Rc<RefCell<ShellCounters>>,
    /// Closed when the drain begins.
    pub gate: Gate,
    /// A longer turn is a stall, in milliseconds.
    pub stall_ms: u64,
    /// See [`super::LaunchSettings::pace_ms`].
    pub pace_ms: u64,
    /// See [`super::LaunchSettings::send_batch`].
    pub send_batch: usize,
    /// See [`super::LaunchSettings::spin_us`].
    pub spin_us: u64,
    /// The rings of this shard's executor; empty when they are not known: then it sleeps in its own way.
    pub rings: Vec<RawFd>,
}

/// The pump of one shard.
pub struct Pump<M> {
    parts: PumpParts,
    inbox: Rc<Inbox>,
    core: RefCell<Core<M>>,
    stop: Cell<bool>,
    draining: Cell<bool>,
    /// Where it sleeps, if not as the executor does.
    watch: Option<Watch>,
    looked: Cell<Looked>,
}

struct Core<M> {
    machine: M,
    effects: Effects,
    /// One batch a destination; empty between turns.
    batches: Vec<Vec<ShardMessage>>,
    /// Batches that did not fit: inputs of the next turn.
    returned: Vec<(ShardId, Vec<ShardMessage>)>,
    /// Connections to be written to.
    dirty: VecDeque<ConnId>,
    /// Connections that have something and were written to a moment ago, with the time of their next write; about in its order.
    paced: VecDeque<(Moment, ConnId)>,
    pace: Pace,
    /// Sealed bytes that wait to be sent together, and whose they are.
    sends: Sends,
    sending: Vec<Sending>,
    bytes: Vec<u8>,
    asks: HashMap<u64, oneshot::Sender<Result<AskAnswer, Refusal>>>,
    next_ask: u64,
    timer: Option<(Moment, Timer)>,
    /// Times at which writes became durable, to be measured when this turn's output was written.
    durable: Vec<Moment>,
}

/// Tells the shard what became of a job. Dropped untold (the queue was full, the driver is gone), it says so.
struct Ticket {
    token: StoreToken,
    write: bool,
    mailbox: Arc<Mailbox>,
    clock: Clock,
    told: bool,
}

impl Ticket {
    fn tell(mut self, result: StoreResult) {
        self.told = true;
        self.mailbox.complete(Completion { token: self.token, result, at: self.clock.mono() });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.told {
            let failure = Failure::Unavailable("the queue of the store is full".to_owned());
            let result = if self.write { StoreResult::Written(Err(failure)) } else { StoreResult::Read(Err(failure)) };
            self.mailbox.complete(Completion { token: self.token, result, at: self.clock.mono() });
        }
    }
}

impl<M: Machine> Pump<M> {
    /// A pump that has not run yet.
    pub fn new(machine: M, parts: PumpParts) -> Rc<Self> {
        let inbox = Rc::new(Inbox::new(parts.mailbox.clone()));
        let watch =
            (!parts.rings.is_empty()).then(|| Watch::new(parts.mailbox.bell.wire()?, &parts.rings)).and_then(|made| {
                made.inspect_err(|why| tracing::warn!(%why, "no watch over the sockets: they cost more")).ok()
            });
        let core = Core {
            machine,
            effects: Effects::default(),
            batches: (0..parts.mesh.shards()).map(|_| Vec::new()).collect(),
            returned: Vec::new(),
            dirty: VecDeque::new(),
            paced: VecDeque::new(),
            sends: Sends::new(parts.send_batch),
            sending: Vec::new(),
            pace: Pace::new(parts.pace_ms.saturating_mul(1000)),
            bytes: Vec::new(),
            asks: HashMap::new(),
            next_ask: 0,
            timer: None,
            durable: Vec::new(),
        };
        let core = RefCell::new(core);
        Rc::new(Self {
            parts,
            inbox,
            core,
            stop: Cell::new(false),
            draining: Cell::new(false),
            watch,
            looked: Cell::new(Looked::NEVER),
        })
    }

    /// Whether it sleeps in a watch of its own.
    pub fn watching(&self) -> bool {
        self.watch.is_some()
    }

    /// Runs until [`Order::Stop`].
    pub async fn run(self: Rc<Self>) {
        loop {
            let more = self.turn();
            if self.stop.get() {
                break;
            }
            if let Some(watch) = &self.watch {
                self.rest_watching(watch, more).await;
            } else if more || !self.sleep().await {
                // Work is left; all others and the sockets have their turn first.
                breathe().await;
            }
        }
        self.inbox.close();
        self.parts.mailbox.close();
        for conn in self.inbox.all() {
            if let Some(socket) = self.inbox.remove(conn) {
                socket.close(Close::Draining);
            }
        }
        self.core.borrow_mut().asks.clear();
    }

    /// One turn. Answers whether there is more to do right away.
    fn turn(&self) -> bool {
        let parts = &self.parts;
        parts.mailbox.bell.answer();
        let now = parts.clock.now();
        parts.mailbox.beat.begin(now.mono);
        let core = &mut *self.core.borrow_mut();
        let mut tally = Tally::default();

        let mut more = self.gather(core, now, &mut tally);
        core.machine.finish_turn(now, &mut core.effects);
        self.carry_out(core, &mut tally);
        more |= self.write_out(core, now.mono, &mut tally);
        more |= !core.returned.is_empty();

        self.inbox.wake_caught_up();
        let end = parts.clock.mono();
        if !tally.is_empty() {
            for at in core.durable.drain(..) {
                core.machine.counters().stored_to_written.record(end.micros_since(at));
            }
            self.close_books(end.micros_since(now.mono), &tally);
        }
        if self.draining.get() {
            let sockets = self.inbox.sockets();
            let quiet = core.machine.quiet() && core.machine.connections() == 0 && core.asks.is_empty() && !more;
            parts.mailbox.beat.show(quiet, sockets);
        }
        parts.mailbox.beat.end();
        more
    }

    fn close_books(&self, us: u64, tally: &Tally) {
        let shell = &mut *self.parts.shell.borrow_mut();
        shell.turns += 1;
        shell.turn.record(us);
        if us >= self.parts.stall_ms.saturating_mul(1000) {
            shell.stalls += 1;
            let (longest, longest_us) = tally.longest();
            tracing::warn!(
                shard = self.parts.id.0,
                ms = us / 1000,
                ran = tally.words(),
                longest = longest.name(),
                longest_us,
                "a turn took too long"
            );
        }
    }

    /// Handles what is there, in shares, until nothing is left or the time is over. Answers whether something is left.
    fn gather(&self, core: &mut Core<M>, now: Now, tally: &mut Tally) -> bool {
        let mailbox = &self.parts.mailbox;
        let mut last = now.mono;
        let mut handle = |core: &mut Core<M>, input: Input| {
            let kind = Kind::of(&input);
            mailbox.beat.busy(kind);
            core.machine.handle(input, now, &mut core.effects);
            let at = self.parts.clock.mono();
            tally.add(kind, at.micros_since(last));
            last = at;
        };
        for (to, batch) in std::mem::take(&mut core.returned) {
            handle(core, Input::LaneFull { to, batch });
        }
        if core.machine.next_deadline().is_some_and(|at| at <= now.mono) {
            handle(core, Input::Tick);
        }
        loop {
            let mut some = false;
            for _ in 0..SHARE {
                let Some(Completion { token, result, at }) = mailbox.next_completion() else { break };
                if matches!(result, StoreResult::Written(Ok(_))) {
                    core.durable.push(at);
                }
                handle(core, Input::Stored { token, result });
                some = true;
            }
            mailbox.lanes.drain(SHARE_BATCHES, |from, batch| {
                handle(core, Input::Lane { from, batch });
                some = true;
            });
            for _ in 0..SHARE {
                let Some(input) = self.inbox.next() else { break };
                let gone = if let Input::Gone { conn, .. } = &input { Some(*conn) } else { None };
                let writable = if let Input::Writable { conn } = &input { Some(*conn) } else { None };
                handle(core, input);
                if let Some(conn) = gone {
                    self.inbox.remove(conn);
                }
                if let Some(conn) = writable {
                    // The machine may not say `dirty` again for what it said while the socket was blocked.
                    let list =
                        self.inbox.with_slot(conn, |slot| slot.wants && !std::mem::replace(&mut slot.listed, true));
                    if list == Some(true) {
                        core.dirty.push_back(conn);
                    }
                }
                some = true;
            }
            while let Some(order) = mailbox.next_order() {
                self.obey(order, |input| handle(core, input));
                some = true;
            }
            for _ in 0..SHARE {
                if core.asks.len() >= ASKS_IN_FLIGHT {
                    break;
                }
                let Some(question) = mailbox.next_ask() else { break };
                core.next_ask += 1;
                let id = AskId(core.next_ask);
                core.asks.insert(id.0, question.answer);
                handle(core, Input::Ask { id, ask: question.ask });
                some = true;
            }
            if !some {
                return false;
            }
            if self.parts.clock.mono().micros_since(now.mono) >= HANDLE_US {
                return true;
            }
        }
    }

    fn obey(&self, order: Order, mut handle: impl FnMut(Input)) {
        self.others_woken();
        match order {
            Order::Keys(verifier) => handle(Input::Keys(verifier)),
            Order::Drain { window_ms } => {
                self.parts.gate.close();
                self.draining.set(true);
                handle(Input::Drain { window_ms });
            }
            Order::CloseAll => {
                for conn in self.inbox.all() {
                    if let Some(socket) = self.inbox.remove(conn) {
                        socket.close(Close::Draining);
                        handle(Input::Gone { conn, why: Close::Draining.reason() });
                    }
                }
            }
            Order::Stop => self.stop.set(true),
        }
    }

    /// Jobs first, for the disk is slowest; then what other cores wait for.
    fn carry_out(&self, core: &mut Core<M>, tally: &mut Tally) {
        let parts = &self.parts;
        parts.mailbox.beat.busy(Kind::Effects);
        let before = parts.clock.mono();
        let mut some = false;
        for job in core.effects.jobs.drain(..) {
            let write = matches!(job.op, StoreOp::Write(_));
            let ticket =
                Ticket { token: job.token, write, mailbox: parts.mailbox.clone(), clock: parts.clock, told: false };
            // A full queue drops the ticket, which comes back as an answer of the store.
            let _ = parts.store.submit(job.op, Box::new(move |result| ticket.tell(result)));
            some = true;
        }
        if !core.effects.sends.is_empty() {
            some = true;
            for (to, message) in core.effects.sends.drain(..) {
                if let Some(batch) = core.batches.get_mut(to.index()) {
                    batch.push(message);
                }
            }
            for (to, batch) in (0..).map(ShardId).zip(&mut core.batches) {
                if batch.is_empty() {
                    continue;
                }
                if let Err(batch) = parts.mesh.send(parts.id, to, std::mem::take(batch)) {
                    core.returned.push((to, batch));
                }
            }
        }
        for (id, mut answer) in core.effects.answers.drain(..) {
            some = true;
            self.others_woken();
            if let Ok(AskAnswer::Metrics(snapshot)) = &mut answer {
                snapshot.shard = parts.id.0;
                snapshot.shell = parts.shell.borrow().clone();
                snapshot.shell.inbox_depth = (parts.mailbox.depth() + self.inbox.waiting()) as u64;
            }
            if let Some(back) = core.asks.remove(&id.0) {
                // Who asked may have gone away.
                let _ = back.send(answer);
            }
        }
        for line in core.effects.audit.drain(..) {
            some = true;
            crate::log::audit(&line);
        }
        for conn in core.effects.dirty.drain(..) {
            let list = self.inbox.with_slot(conn, |slot| !std::mem::replace(&mut slot.listed, true));
            if list == Some(true) {
                core.dirty.push_back(conn);
            }
        }
        if some {
            tally.add(Kind::Effects, parts.clock.mono().micros_since(before));
        }
    }

    /// Gives memory of a past burst back.
    fn rest(&self) {
        let core = &mut *self.core.borrow_mut();
        if core.bytes.capacity() > KEEP_BYTES {
            core.bytes = Vec::new();
        }
        if core.dirty.is_empty() && core.dirty.capacity() > KEEP_ITEMS {
            core.dirty = VecDeque::new();
        }
        if core.paced.is_empty() && core.paced.capacity() > KEEP_ITEMS {
            core.paced = VecDeque::new();
        }
        let effects = &mut core.effects;
        if effects.sends.capacity() + effects.jobs.capacity() + effects.dirty.capacity() > KEEP_ITEMS {
            *effects = Effects::default();
        }
        self.inbox.rest();
    }
}

/// The port of one shard.
pub struct LocalPort<M>(pub Rc<Pump<M>>);

impl<M: Machine> Port for LocalPort<M> {
    fn open(&self, opened: Opened, socket: Rc<dyn Socket>) -> Result<ConnId, Close> {
        let pump = &self.0;
        if pump.stop.get() || pump.draining.get() {
            return Err(Close::Draining);
        }
        // Only a socket that opens another from within `send` could find the machine busy.
        let Ok(mut core) = pump.core.try_borrow_mut() else { return Err(Close::TooManyConnections) };
        let core = &mut *core;
        let conn = core.machine.open(opened, pump.parts.clock.now(), &mut core.effects)?;
        pump.inbox.insert(conn, socket);
        // What follows from it is carried out in the next turn; the deadline may have moved as well.
        pump.parts.mailbox.bell.ring();
        Ok(conn)
    }

    fn watch(&self, socket: RawFd) -> Option<Watched> {
        self.0.watch.as_ref()?.add(socket)
    }

    fn text(&self, conn: ConnId, text: String) -> bool {
        self.0.inbox.text(conn, text)
    }

    fn heard(&self, conn: ConnId) {
        self.0.inbox.heard(conn);
    }

    fn writable(&self, conn: ConnId) {
        self.0.inbox.writable(conn);
    }

    fn gone(&self, conn: ConnId, why: &'static str) {
        self.0.inbox.gone(conn, why);
    }

    fn caught_up(&self) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(self.0.inbox.caught_up())
    }
}

impl<M> Drop for Pump<M> {
    fn drop(&mut self) {
        // However it ended: who waits on another thread must learn of it.
        self.parts.mailbox.close();
    }
}
