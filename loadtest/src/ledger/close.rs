//! The end of the checking: what never came, and whether the stored history holds what was acked and shown.

use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;

use super::spot::Spot;
use super::{ACKED, GONE, ID, Ledger, MESSAGE, say};
use crate::check::Log;
use crate::report::Verdict;
use crate::stamp::Id;

/// Messages of which the whole history is read back.
pub const READ_BACK_MAX: usize = 200_000;

impl Ledger {
    /// Rooms whose history is to be read back: all, or as many as hold [`READ_BACK_MAX`] places, chosen by the seed.
    #[must_use]
    pub fn rooms_to_read(&self, seed: u64) -> Vec<u32> {
        let rooms = u32::try_from(self.rooms.len()).unwrap_or(u32::MAX);
        let mut order: Vec<u32> = (0..rooms).filter(|&room| self.known(room) > 0).collect();
        let all: usize = order.iter().map(|&room| self.known(room)).sum();
        if all > READ_BACK_MAX {
            order.sort_by_cached_key(|&room| crate::plan::split_mix(seed ^ u64::from(room)));
            let mut left = READ_BACK_MAX;
            let fit = order.iter().take_while(|&&room| {
                let fits = left > 0;
                left = left.saturating_sub(self.known(room));
                fits
            });
            let count = fit.count();
            order.truncate(count);
        }
        order
    }

    /// Holds a room's history against everything that was said of the room.
    pub fn hold_against(&self, room: u32, log: &Log, stored: &mut HashMap<u64, (u32, u64)>, verdict: &mut Verdict) {
        for pair in log.entries.windows(2) {
            let (before, found) = (pair[0].seq, pair[1].seq);
            if found != before + 1 {
                verdict.fault("log", || format!("history of room {room}: after {before} comes {found}"));
            }
        }
        let by_seq: BTreeMap<u64, Option<u64>> =
            log.entries.iter().map(|entry| (entry.seq, entry.key.map(|key| Id::of_key(key).packed() & ID))).collect();
        self.check_stored(room, &by_seq, stored, verdict);
        let Some(table) = self.rooms.get(room as usize) else { return };
        let table = table.lock().unwrap_or_else(PoisonError::into_inner);
        for (seq, &cell) in (table.base..).zip(&table.cells) {
            if cell & MESSAGE == 0 {
                continue;
            }
            let id = cell & ID;
            let message = say(Id::unpacked(id));
            match by_seq.get(&seq) {
                Some(Some(found)) if *found == id => {}
                Some(None) if cell & GONE != 0 => {}
                found => {
                    let kind = if cell & ACKED != 0 { "lost" } else { "unstored" };
                    let told = if cell & ACKED != 0 { "acked" } else { "shown" };
                    let found = match found {
                        None => "nothing".to_owned(),
                        Some(None) => "no message".to_owned(),
                        Some(Some(other)) => say(Id::unpacked(*other)),
                    };
                    verdict.fault(kind, || {
                        format!("{message} was {told} at {seq} of room {room}, where {found} is stored")
                    });
                }
            }
        }
    }

    /// Whether a message is stored once, and each sender's in the order in which they were sent.
    fn check_stored(
        &self,
        room: u32,
        log: &BTreeMap<u64, Option<u64>>,
        stored: &mut HashMap<u64, (u32, u64)>,
        verdict: &mut Verdict,
    ) {
        let retried = self.retried.lock().unwrap_or_else(PoisonError::into_inner);
        let mut newest: HashMap<u32, u32> = HashMap::new();
        for (&seq, id) in log {
            let Some(packed) = *id else { continue };
            let id = Id::unpacked(packed);
            if let Some((other, first)) = stored.insert(packed, (room, seq)) {
                let message = say(id);
                verdict.fault("stored twice", || {
                    format!("{message} is stored at {first} of room {other} and at {seq} of room {room}")
                });
            }
            if retried.contains(&packed) {
                continue;
            }
            let last = newest.entry(id.user).or_insert(id.number);
            if id.number < *last {
                let (message, last) = (say(id), *last);
                verdict.fault("sender order", || {
                    format!("{message} stands at {seq} of room {room}, behind their message {last}")
                });
            }
            *last = id.number.max(*last);
        }
    }
}

/// What a client that was there to the end did not get of a room.
pub fn check_spot(user: u32, room: u32, spot: &Spot, until: u64, verdict: &mut Verdict) {
    for (first, last) in spot.missing(until) {
        let count = last - first + 1;
        verdict.fault("gap", || format!("user {user} in room {room}: {first} to {last} never came"));
        *verdict.faults.entry("gap".to_owned()).or_default() += count - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Holds;
    use super::*;
    use crate::check::Entry;

    fn id(user: u32, number: u32) -> Id {
        Id { user, number }
    }

    fn log(ids: &[Option<Id>]) -> Log {
        let entries = (1..).zip(ids).map(|(seq, id)| Entry { seq, key: id.map(|id| id.key(1, 1)) }).collect();
        Log { entries }
    }

    fn told() -> Ledger {
        let ledger = Ledger::new(1);
        ledger.learn(0, 1, Holds::Event).unwrap();
        ledger.learn(0, 2, Holds::Acked(id(1, 0))).unwrap();
        ledger.learn(0, 3, Holds::Message(id(2, 0))).unwrap();
        ledger.learn(0, 4, Holds::Acked(id(1, 1))).unwrap();
        ledger
    }

    fn faults(ledger: &Ledger, log: &Log) -> Vec<String> {
        let mut verdict = Verdict::default();
        ledger.hold_against(0, log, &mut HashMap::new(), &mut verdict);
        verdict.faults.into_keys().collect()
    }

    #[test]
    fn a_history_that_holds_all_has_no_fault() {
        assert_eq!(faults(&told(), &log(&[None, Some(id(1, 0)), Some(id(2, 0)), Some(id(1, 1))])), [""; 0]);
    }

    #[test]
    fn what_is_missing_or_other_is_named() {
        assert_eq!(faults(&told(), &log(&[None, Some(id(1, 0)), Some(id(2, 0))])), ["lost"]);
        assert_eq!(faults(&told(), &log(&[None, Some(id(1, 0)), None, Some(id(1, 1))])), ["unstored"]);
        assert_eq!(
            faults(&told(), &log(&[None, Some(id(1, 1)), Some(id(2, 0)), Some(id(1, 0))])),
            ["lost", "sender order"]
        );
        let twice = log(&[None, Some(id(1, 0)), Some(id(2, 0)), Some(id(1, 1)), Some(id(2, 0))]);
        assert_eq!(faults(&told(), &twice), ["stored twice"]);
        let mut holed = log(&[None, Some(id(1, 0)), Some(id(2, 0)), Some(id(1, 1)), None, None]);
        holed.entries.remove(4);
        assert_eq!(faults(&told(), &holed), ["log"]);
    }

    #[test]
    fn what_was_taken_back_may_be_empty() {
        let ledger = told();
        ledger.learn(0, 3, Holds::Gone).unwrap();
        assert_eq!(faults(&ledger, &log(&[None, Some(id(1, 0)), None, Some(id(1, 1))])), [""; 0]);
    }

    #[test]
    fn a_retried_message_may_come_later() {
        let ledger = told();
        ledger.retried(id(1, 0));
        ledger.learn(0, 5, Holds::Acked(id(3, 1))).unwrap();
        ledger.learn(0, 6, Holds::Acked(id(3, 0))).unwrap();
        ledger.retried(id(3, 0));
        let all = log(&[None, Some(id(1, 0)), Some(id(2, 0)), Some(id(1, 1)), Some(id(3, 1)), Some(id(3, 0))]);
        assert_eq!(faults(&ledger, &all), [""; 0]);
    }

    #[test]
    fn each_missing_event_counts() {
        let mut spot = Spot::default();
        spot.begin(0, 1);
        spot.event(1);
        spot.event(5);
        let mut verdict = Verdict::default();
        check_spot(7, 0, &spot, 6, &mut verdict);
        assert_eq!((verdict.faults["gap"], verdict.words.len()), (4, 2));
    }

    #[test]
    fn a_large_run_is_read_back_in_part() {
        let ledger = Ledger::new(10);
        for room in 0..10 {
            ledger.learn(room, 1, Holds::Event).unwrap();
            ledger.learn(room, 50_000, Holds::Event).unwrap();
        }
        let some = ledger.rooms_to_read(1);
        assert_eq!(some.len(), 4);
        assert_eq!(some, ledger.rooms_to_read(1));
        assert_ne!(some, ledger.rooms_to_read(2));
    }
}
