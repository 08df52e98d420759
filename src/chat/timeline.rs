//! The newest events of a room, kept in memory for resume and history. Only what is durable is in it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::limits::{TIMELINE_BYTES, TIMELINE_EVENTS};
use crate::base::{Event, Seq};

/// A contiguous run of events that ends at the newest durable one.
#[derive(Debug, Default)]
pub struct Timeline {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
}

impl Timeline {
    /// Appends the next event; one that does not follow starts the run anew.
    pub fn push(&mut self, event: Arc<Event>) {
        if self.events.back().is_some_and(|last| last.seq.next() != event.seq) {
            self.clear();
        }
        self.bytes += event.weight();
        self.events.push_back(event);
        while self.events.len() > TIMELINE_EVENTS || (self.bytes > TIMELINE_BYTES && self.events.len() > 1) {
            if let Some(gone) = self.events.pop_front() {
                self.bytes -= gone.weight();
            }
        }
    }

    /// Takes over a page read from the store, if it ends where the log ends and reaches further back.
    pub fn fill(&mut self, page: &[Arc<Event>], newest: Seq) {
        let ends_at_newest = page.last().is_some_and(|last| last.seq == newest);
        if ends_at_newest && page.len() > self.events.len() {
            self.clear();
            for event in page {
                self.push(Arc::clone(event));
            }
        }
    }

    /// An older event has a new state.
    pub fn replace(&mut self, event: &Arc<Event>) {
        if let Some(place) = self.place(event.seq)
            && let Some(old) = self.events.get_mut(place)
        {
            self.bytes = self.bytes - old.weight() + event.weight();
            *old = Arc::clone(event);
        }
    }

    /// The event with this seq, if it is here.
    #[must_use]
    pub fn get(&self, seq: Seq) -> Option<&Arc<Event>> {
        self.events.get(self.place(seq)?)
    }

    fn place(&self, seq: Seq) -> Option<usize> {
        let first = self.events.front()?.seq;
        usize::try_from(seq.0.checked_sub(first.0)?).ok().filter(|&place| place < self.events.len())
    }

    /// The seq of the oldest event here.
    #[must_use]
    pub fn first(&self) -> Option<Seq> {
        self.events.front().map(|event| event.seq)
    }

    /// Events with `from <= seq <= to`, if all of them are here; `None`: ask the store.
    #[must_use]
    pub fn range(&self, from: Seq, to: Seq) -> Option<impl DoubleEndedIterator<Item = &Arc<Event>>> {
        let (start, end) = if from > to { (0, 0) } else { (self.place(from)?, self.place(to)? + 1) };
        Some(self.events.range(start..end))
    }

    /// Events before `seq` are gone (retention).
    pub fn trim(&mut self, first_kept: Seq) {
        while self.events.front().is_some_and(|event| event.seq < first_kept) {
            if let Some(gone) = self.events.pop_front() {
                self.bytes -= gone.weight();
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.events.clear();
        self.bytes = 0;
    }

    /// Forgets everything and gives its memory back.
    pub fn give_back(&mut self) {
        *self = Self::default();
    }

    /// How many events are here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// What they weigh ([`Event::weight`]), in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::room::tests::message;

    fn seqs<'a>(events: impl Iterator<Item = &'a Arc<Event>>) -> Vec<u64> {
        events.map(|event| event.seq.0).collect()
    }

    #[test]
    fn holds_the_newest_and_answers_only_what_it_has() {
        let mut timeline = Timeline::default();
        for seq in 1..=200 {
            timeline.push(message(seq, "x"));
        }
        assert_eq!(timeline.first(), Some(Seq(200 - TIMELINE_EVENTS as u64 + 1)));
        assert_eq!(seqs(timeline.range(Seq(198), Seq(200)).unwrap()), [198, 199, 200]);
        assert!(timeline.range(Seq(5), Seq(200)).is_none());
        assert!(timeline.range(Seq(199), Seq(201)).is_none());
        assert_eq!(timeline.range(Seq(201), Seq(200)).unwrap().count(), 0);
    }

    #[test]
    fn a_gap_starts_it_anew_and_bytes_bound_it() {
        let mut timeline = Timeline::default();
        timeline.push(message(1, "x"));
        timeline.push(message(3, "x"));
        assert_eq!(timeline.first(), Some(Seq(3)));
        for seq in 4..100 {
            timeline.push(message(seq, &"y".repeat(4096)));
        }
        assert!(timeline.bytes <= TIMELINE_BYTES);
        assert!(timeline.get(Seq(99)).is_some());
    }
}
