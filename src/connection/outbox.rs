//! The bytes waiting for one connection, bounded: a slow reader loses its place in the live stream, never its position.
//!
//! Three classes: what is ephemeral (typing, presence) goes first when space is short; events of rooms are refused when the
//! bound is reached ([`Push::Slow`]), upon which the connection's link to that room is gated; control frames (answers, `resync`)
//! have a reserve beyond the bound, and when even that is used up the connection is to be closed ([`Push::Full`]). Pages, which are
//! large, are asked for one after the other (`shard/pages.rs`), so that one answer beyond the reserve is the most there can be.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::Moment;
use crate::base::limits::OUTBOX_RESERVE_BYTES;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// An answer or notice: not shed.
    Control,
    /// An event of a room or of the user stream: refused when there is no space.
    Event,
    /// Typing or presence: shed first.
    Ephemeral,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// It waits.
    Queued,
    /// An event found no space: the reader is behind.
    Slow,
    /// An ephemeral frame was shed.
    Shed,
    /// Not even a control frame fits: close.
    Full,
}

/// The waiting frames of one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The oldest frame. Nearly always the only one, so that a delivery allocates nothing here.
    first: Option<(Class, Bytes)>,
    /// The others; empty while there is no `first`.
    rest: VecDeque<(Class, Bytes)>,
    bytes: usize,
    /// Since when something waits without any having left.
    waiting_since: Option<Moment>,
    /// How many ephemeral frames were shed by newer events.
    shed: u64,
}

impl Outbox {
    /// Puts a frame at the end; `bytes_max` is the bound for events.
    pub fn push(&mut self, class: Class, frame: Bytes, bytes_max: usize, now: Moment) -> Push {
        let full = self.bytes + frame.len() > bytes_max;
        match class {
            Class::Ephemeral if self.bytes + frame.len() > bytes_max / 2 => {
                self.shed += 1;
                return Push::Shed;
            }
            Class::Event if full => {
                self.shed_ephemeral();
                if self.bytes + frame.len() > bytes_max {
                    return Push::Slow;
                }
            }
            // One answer may be larger than what is left (a page of history): what counts is what waits before it.
            Class::Control if self.bytes > bytes_max + OUTBOX_RESERVE_BYTES => {
                self.shed_ephemeral();
                if self.bytes > bytes_max + OUTBOX_RESERVE_BYTES {
                    return Push::Full;
                }
            }
            Class::Control | Class::Event | Class::Ephemeral => {}
        }
        self.bytes += frame.len();
        match &self.first {
            None => self.first = Some((class, frame)),
            Some(_) => self.rest.push_back((class, frame)),
        }
        self.waiting_since.get_or_insert(now);
        Push::Queued
    }

    /// Puts a frame before all others (the `hello`).
    pub fn push_front(&mut self, frame: Bytes, now: Moment) {
        self.bytes += frame.len();
        if let Some(second) = self.first.replace((Class::Control, frame)) {
            self.rest.push_front(second);
        }
        self.waiting_since.get_or_insert(now);
    }

    fn shed_ephemeral(&mut self) {
        let mut shed = 0;
        let mut keep = |(class, frame): &(Class, Bytes)| {
            let keep = *class != Class::Ephemeral;
            if !keep {
                self.bytes -= frame.len();
                shed += 1;
            }
            keep
        };
        self.rest.retain(&mut keep);
        if !self.first.as_ref().is_none_or(keep) {
            self.first = self.rest.pop_front();
        }
        self.shed += shed;
    }

    /// Moves whole frames into `into`, about `bytes_max` at most; a larger one goes alone. Answers whether more waits.
    pub fn take(&mut self, bytes_max: usize, into: &mut Vec<u8>) -> bool {
        let start = into.len();
        while let Some((_, frame)) = &self.first {
            if into.len() > start && into.len() - start + frame.len() > bytes_max {
                return true;
            }
            self.bytes -= frame.len();
            into.extend_from_slice(frame);
            self.first = self.rest.pop_front();
        }
        self.waiting_since = None;
        // An idle connection holds no buffer.
        if self.rest.capacity() > 0 {
            self.rest = VecDeque::new();
        }
        false
    }

    /// Something has left for the kernel: the reader is alive.
    pub fn moved(&mut self, now: Moment) {
        if self.waiting_since.is_some() {
            self.waiting_since = Some(now);
        }
    }

    /// Whether an event of `len` bytes has place without anything being shed for it.
    #[must_use]
    pub fn fits(&self, len: usize, bytes_max: usize) -> bool {
        self.bytes + len <= bytes_max
    }

    /// Bytes waiting.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Since when something waits without any having left.
    #[must_use]
    pub fn waiting_since(&self) -> Option<Moment> {
        self.waiting_since
    }

    /// How many ephemeral frames were shed since the last call.
    pub fn take_shed(&mut self) -> u64 {
        std::mem::take(&mut self.shed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(len: usize) -> Bytes {
        Bytes::from(vec![b'x'; len])
    }

    #[test]
    fn ephemeral_frames_go_first_and_answers_have_a_reserve() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(Class::Ephemeral, frame(400), 1000, Moment(0)), Push::Queued);
        assert_eq!(outbox.push(Class::Ephemeral, frame(200), 1000, Moment(0)), Push::Shed);
        assert_eq!(outbox.push(Class::Event, frame(600), 1000, Moment(0)), Push::Queued);
        assert_eq!(outbox.push(Class::Event, frame(300), 1000, Moment(0)), Push::Queued);
        assert_eq!(outbox.bytes(), 900);
        assert_eq!(outbox.push(Class::Event, frame(200), 1000, Moment(0)), Push::Slow);
        assert_eq!(outbox.push(Class::Control, frame(200), 1000, Moment(0)), Push::Queued);
        assert_eq!(outbox.push(Class::Control, frame(OUTBOX_RESERVE_BYTES), 1000, Moment(0)), Push::Queued);
        assert_eq!(outbox.push(Class::Control, frame(1), 1000, Moment(0)), Push::Full);
        assert_eq!(outbox.take_shed(), 2);
    }

    #[test]
    fn taking_keeps_order_and_whole_frames() {
        let mut outbox = Outbox::default();
        for n in 0..5u8 {
            outbox.push(Class::Event, Bytes::from(vec![n; 10]), 1000, Moment(1));
        }
        outbox.push_front(Bytes::from_static(b"hello"), Moment(1));
        let mut out = Vec::new();
        assert!(outbox.take(30, &mut out));
        assert_eq!(out, [b"hello".as_slice(), &[0; 10], &[1; 10]].concat());
        assert!(!outbox.take(1000, &mut out));
        assert!(outbox.is_empty() && outbox.bytes() == 0 && outbox.waiting_since().is_none());
    }

    proptest! {
        #[test]
        fn the_bound_holds_whatever_comes(steps in proptest::collection::vec((0u8..4, 1usize..3000), 0..300)) {
            let mut outbox = Outbox::default();
            for (kind, len) in steps {
                match kind {
                    0 => { outbox.push(Class::Ephemeral, frame(len), 10_000, Moment(0)); }
                    1 => { outbox.push(Class::Event, frame(len), 10_000, Moment(0)); }
                    2 => { outbox.push(Class::Control, frame(len), 10_000, Moment(0)); }
                    _ => { outbox.take(len, &mut Vec::new()); }
                }
                // The bound, the reserve, and one answer.
                prop_assert!(outbox.bytes() <= 10_000 + OUTBOX_RESERVE_BYTES + 3000);
                let sum: usize = outbox.first.iter().chain(&outbox.rest).map(|(_, f)| f.len()).sum();
                prop_assert!(outbox.first.is_some() || outbox.rest.is_empty());
                prop_assert_eq!(sum, outbox.bytes());
            }
        }
    }
}
