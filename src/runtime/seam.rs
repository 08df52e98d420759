//! What the runtime drives and what it hands work to, as two small traits: the machine that decides (`Shard`; a fake in tests) and
//! the store's driver.

use crate::base::time::Now;
use crate::base::{Close, ConnId, Moment};
use crate::metrics::Counters;
use crate::shard::{Effects, Input, Opened, Output, Shard, StoreOp, StoreResult};

/// What decides on one shard. Implemented by [`Shard`]; its promises are described there.
pub trait Machine: 'static {
    /// A WebSocket is open.
    ///
    /// # Errors
    /// There is no place for it: close it with this code.
    fn open(&mut self, opened: Opened, now: Now, effects: &mut Effects) -> Result<ConnId, Close>;

    /// Something happened.
    fn handle(&mut self, input: Input, now: Now, effects: &mut Effects);

    /// The end of a turn, after its inputs.
    fn finish_turn(&mut self, now: Now, effects: &mut Effects) {
        let _ = (now, effects);
    }

    /// When [`Input::Tick`] is wanted at the latest.
    fn next_deadline(&self) -> Option<Moment>;

    /// Appends what `conn` has to write. With `bytes_max` 0 the pump asks about a blocked socket whether it is to be closed; no
    /// bytes are wanted then (if there are some, the pump keeps them until the socket is writable).
    fn take_output(&mut self, conn: ConnId, bytes_max: usize, into: &mut Vec<u8>) -> Output;

    /// How many connections are open.
    fn connections(&self) -> usize;

    /// Whether nothing is in flight any more.
    fn quiet(&self) -> bool;

    /// The numbers.
    fn counters(&mut self) -> &mut Counters;
}

impl Machine for Shard {
    fn open(&mut self, opened: Opened, now: Now, effects: &mut Effects) -> Result<ConnId, Close> {
        Self::open(self, opened, now, effects)
    }

    fn handle(&mut self, input: Input, now: Now, effects: &mut Effects) {
        Self::handle(self, input, now, effects);
    }

    fn finish_turn(&mut self, now: Now, effects: &mut Effects) {
        Self::finish_turn(self, now, effects);
    }

    fn next_deadline(&self) -> Option<Moment> {
        Self::next_deadline(self)
    }

    fn take_output(&mut self, conn: ConnId, bytes_max: usize, into: &mut Vec<u8>) -> Output {
        Self::take_output(self, conn, bytes_max, into)
    }

    fn connections(&self) -> usize {
        Self::connections(self)
    }

    fn quiet(&self) -> bool {
        Self::quiet(self)
    }

    fn counters(&mut self) -> &mut Counters {
        Self::counters(self)
    }
}

/// Called once with the result, on any thread. Dropped uncalled, it says that the job was not done.
pub type StoreDone = Box<dyn FnOnce(StoreResult) + Send>;

/// The store's queue is full; the job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreFull;

/// Who carries out jobs on the store, on threads of its own.
pub trait StorePort: Send + Sync + 'static {
    /// Takes a job; `done` is called when it is over. Never blocks. Writes of one caller take effect in the order given.
    ///
    /// # Errors
    /// [`StoreFull`]; `done` is dropped.
    fn submit(&self, op: StoreOp, done: StoreDone) -> Result<(), StoreFull>;

    /// Returns when all that was taken is over. Blocks; not for shards.
    fn drain(&self);

    /// Jobs taken and not over yet, for the metrics.
    fn depth(&self) -> usize {
        0
    }
}
