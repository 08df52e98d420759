//! The checker that looks on while a run is under way, in bounded memory.
//!
//! | file | what it is |
//! |---|---|
//! | this one | the table that all threads share: which message each place of each room holds, as first heard |
//! | [`spot`] | what one client saw of one numbered room |
//! | [`pairs`] | what one client got of one sender, where nothing is numbered |
//! | [`close`] | at the end: what never came, and whether the stored history holds what was acked |
//!
//! A place costs eight bytes. What is found has a kind: `gap` (an event never came), `duplicate`, `disorder`, `stranger` (from a room
//! where the receiver is not), `differs` (not the message that others were shown there, or not its text), `two answers` (to one
//! id), `lost` (acked and not in the history), `unstored` (shown and not in the history), `stored twice`, `log` (the history has holes
//! or is not ascending), `sender order`, `reload` (missed events could not be had any more), `nonsense` (no frame of the protocol).

pub mod close;
pub mod pairs;
pub mod spot;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::stamp::Id;

/// A place may lie at most so far beyond those that are known; beyond that the number itself is nonsense.
const LEAP_MAX: u64 = 10_000_000;

const ACKED: u64 = 1 << 63;
const EVENT: u64 = 1 << 62;
const GONE: u64 = 1 << 61;
const MESSAGE: u64 = 1 << 60;
const ID: u64 = (1 << 56) - 1;

/// What stands at a place, as somebody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// This message.
    Message(Id),
    /// This message, and its sender was told so.
    Acked(Id),
    /// Something else.
    Event,
    /// A message that was taken back.
    Gone,
}

/// What is known of all places of all rooms. Shared by the threads of a process.
#[derive(Debug)]
pub struct Ledger {
    rooms: Vec<Mutex<Table>>,
    /// Messages that were sent again: they may stand in another order than meant.
    retried: Mutex<HashSet<u64>>,
}

#[derive(Debug, Default)]
struct Table {
    /// The place of the first cell.
    base: u64,
    cells: Vec<u64>,
}

impl Ledger {
    /// Nothing is known.
    #[must_use]
    pub fn new(rooms: u32) -> Self {
        Self { rooms: (0..rooms).map(|_| Mutex::default()).collect(), retried: Mutex::default() }
    }

    /// Somebody says what stands at a place.
    ///
    /// # Errors
    /// What was said of the place before, in words, when that is something else.
    pub fn learn(&self, room: u32, seq: u64, holds: Holds) -> Result<(), String> {
        let Some(table) = self.rooms.get(room as usize) else { return Ok(()) };
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = table.cell(seq)?;
        let told = match holds {
            Holds::Message(id) => id.packed() & ID | MESSAGE,
            Holds::Acked(id) => id.packed() & ID | MESSAGE | ACKED,
            Holds::Event => EVENT,
            Holds::Gone => GONE,
        };
        let known = *cell;
        if known == 0 {
            *cell = told;
            return Ok(());
        }
        let agree = match (known & EVENT != 0, told & EVENT != 0) {
            (false, false) => known & MESSAGE == 0 || told & MESSAGE == 0 || known & ID == told & ID,
            (known, told) => known == told,
        };
        if agree {
            *cell |= told;
            Ok(())
        } else {
            Err(words(known))
        }
    }

    /// The newest place that is known of a room.
    #[must_use]
    pub fn newest(&self, room: u32) -> u64 {
        let Some(table) = self.rooms.get(room as usize) else { return 0 };
        let table = table.lock().unwrap_or_else(PoisonError::into_inner);
        match table.cells.iter().rposition(|&cell| cell != 0) {
            Some(at) => table.base + at as u64,
            None => 0,
        }
    }

    /// Where the message stands, if anywhere in the room.
    #[must_use]
    pub fn find(&self, room: u32, id: Id) -> Option<u64> {
        let table = self.rooms.get(room as usize)?.lock().unwrap_or_else(PoisonError::into_inner);
        let at = table.cells.iter().position(|&cell| cell & MESSAGE != 0 && cell & ID == id.packed() & ID)?;
        Some(table.base + at as u64)
    }

    /// The message was sent a second time.
    pub fn retried(&self, id: Id) {
        self.retried.lock().unwrap_or_else(PoisonError::into_inner).insert(id.packed());
    }

    /// How many places of a room are known.
    #[must_use]
    pub fn known(&self, room: u32) -> usize {
        self.rooms
            .get(room as usize)
            .map_or(0, |table| table.lock().unwrap_or_else(PoisonError::into_inner).cells.len())
    }
}

impl Table {
    fn cell(&mut self, seq: u64) -> Result<&mut u64, String> {
        if self.cells.is_empty() {
            self.base = seq;
        }
        if seq < self.base {
            let more = self.base - seq;
            if more > LEAP_MAX {
                return Err(format!("nothing near {}", self.base));
            }
            self.cells.splice(0..0, std::iter::repeat_n(0, usize::try_from(more).unwrap_or_default()));
            self.base = seq;
        }
        let at = seq - self.base;
        if at > self.cells.len() as u64 + LEAP_MAX {
            return Err(format!("nothing beyond {}", self.base + self.cells.len() as u64));
        }
        let at = usize::try_from(at).unwrap_or_default();
        if at >= self.cells.len() {
            self.cells.resize(at + 1, 0);
        }
        Ok(&mut self.cells[at])
    }
}

fn words(cell: u64) -> String {
    match cell {
        _ if cell & MESSAGE != 0 => say(Id::unpacked(cell & ID)),
        _ if cell & EVENT != 0 => "an event".to_owned(),
        _ => "a message that was taken back".to_owned(),
    }
}

/// A message, in words.
#[must_use]
pub fn say(id: Id) -> String {
    format!("message {} of user {}", id.number, id.user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> Id {
        Id { user: 3, number }
    }

    #[test]
    fn what_was_heard_first_holds() {
        let ledger = Ledger::new(2);
        assert_eq!(ledger.learn(0, 10, Holds::Message(id(0))), Ok(()));
        assert_eq!(ledger.learn(0, 10, Holds::Acked(id(0))), Ok(()));
        assert_eq!(ledger.learn(0, 10, Holds::Message(id(1))), Err("message 0 of user 3".into()));
        assert_eq!(ledger.learn(0, 10, Holds::Event), Err("message 0 of user 3".into()));
        assert_eq!(ledger.learn(0, 10, Holds::Gone), Ok(()));
        assert_eq!(ledger.learn(1, 10, Holds::Message(id(1))), Ok(()));
        assert_eq!(ledger.learn(0, 12, Holds::Event), Ok(()));
        assert_eq!(ledger.learn(0, 12, Holds::Message(id(2))), Err("an event".into()));
        assert_eq!((ledger.newest(0), ledger.find(0, id(0)), ledger.find(0, id(7))), (12, Some(10), None));
    }

    #[test]
    fn earlier_places_may_come_later_and_nonsense_takes_no_memory() {
        let ledger = Ledger::new(1);
        assert_eq!(ledger.learn(0, 100, Holds::Message(id(1))), Ok(()));
        assert_eq!(ledger.learn(0, 5, Holds::Message(id(0))), Ok(()));
        assert_eq!((ledger.newest(0), ledger.find(0, id(0)), ledger.find(0, id(1))), (100, Some(5), Some(100)));
        assert!(ledger.learn(0, u64::MAX, Holds::Event).is_err());
        assert_eq!(ledger.known(0), 96);
    }
}
