//! What one client has seen of one numbered room: up to where without a hole, and what came beyond a hole. Pure and small: a hole costs a
//! few bytes, however much came after it.

/// A client's place in a room.
#[derive(Clone, Debug, Default)]
pub struct Spot {
    /// The first event that has not come; 0 as long as nobody said where the client begins.
    next: u64,
    /// The newest event that came as one (an own send's ack is none).
    newest: u64,
    /// The room's epoch, as last told.
    pub epoch: u64,
    /// Ranges beyond the first hole, ascending, ends included.
    #[allow(clippy::box_collection)] // there are millions of spots, and nearly all have none
    early: Option<Box<Vec<(u64, u64)>>>,
}

/// How an event came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// For the first time, in order.
    New,
    /// For the first time, but after a later one, which is named.
    Late(u64),
    /// It was there already.
    Again,
}

impl Spot {
    /// Whether anybody said where the client begins.
    #[must_use]
    pub fn known(&self) -> bool {
        self.next > 0
    }

    /// The client begins after this event.
    pub fn begin(&mut self, seq: u64, epoch: u64) {
        (self.next, self.newest, self.epoch, self.early) = (seq + 1, seq, epoch, None);
    }

    /// Nobody knows where the client stands: it begins with whatever comes next.
    pub fn forget(&mut self) {
        (self.next, self.early) = (0, None);
    }

    /// The last event before the first hole.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// The newest event that came as one, or the one that the client began after.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// The connection is gone: what came beyond a hole will come again.
    pub fn restart(&mut self) {
        self.early = None;
        self.newest = self.position();
    }

    /// An event came.
    pub fn event(&mut self, seq: u64) -> Came {
        if self.next == 0 {
            self.next = seq;
        }
        if !self.mark(seq) {
            return Came::Again;
        }
        if seq < self.newest {
            return Came::Late(self.newest);
        }
        self.newest = seq;
        Came::New
    }

    /// The ack of an own send came; it counts as the event. Whether it had not come already.
    pub fn own(&mut self, seq: u64) -> bool {
        if self.next == 0 {
            self.next = seq;
        }
        self.mark(seq)
    }

    fn mark(&mut self, seq: u64) -> bool {
        if seq < self.next {
            return false;
        }
        if seq == self.next {
            self.next += 1;
            if let Some(early) = &mut self.early {
                if early.first().is_some_and(|range| range.0 == self.next) {
                    self.next = early.remove(0).1 + 1;
                }
                if early.is_empty() {
                    self.early = None;
                }
            }
            return true;
        }
        let early = self.early.get_or_insert_default();
        let at = early.partition_point(|range| range.1 < seq);
        if early.get(at).is_some_and(|range| range.0 <= seq) {
            return false;
        }
        let joins_before = at > 0 && early[at - 1].1 + 1 == seq;
        let joins_after = early.get(at).is_some_and(|range| range.0 == seq + 1);
        match (joins_before, joins_after) {
            (true, true) => early[at - 1].1 = early.remove(at).1,
            (true, false) => early[at - 1].1 = seq,
            (false, true) => early[at].0 = seq,
            (false, false) => early.insert(at, (seq, seq)),
        }
        true
    }

    /// What has not come of everything up to `until`: ranges, ends included.
    pub fn missing(&self, until: u64) -> impl Iterator<Item = (u64, u64)> {
        let early = self.early.as_ref().map_or(&[][..], |early| early.as_slice());
        let starts = std::iter::once(self.next).chain(early.iter().map(|range| range.1 + 1));
        let ends = early.iter().map(|range| range.0 - 1).chain(std::iter::once(u64::MAX));
        let known = self.known();
        starts
            .zip(ends)
            .map(move |(start, end)| (start, end.min(until)))
            .filter(move |(start, end)| known && start <= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> Spot {
        let mut spot = Spot::default();
        spot.begin(seq, 1);
        spot
    }

    fn missing(spot: &Spot, until: u64) -> Vec<(u64, u64)> {
        spot.missing(until).collect()
    }

    #[test]
    fn in_order_nothing_is_kept() {
        let mut spot = at(10);
        for seq in 11..100 {
            assert_eq!(spot.event(seq), Came::New);
        }
        assert!(spot.early.is_none());
        assert_eq!((spot.position(), missing(&spot, 99)), (99, vec![]));
        assert_eq!(missing(&spot, 101), [(100, 101)]);
    }

    #[test]
    fn an_ack_fills_its_place_before_or_after() {
        let mut spot = at(0);
        assert!(spot.own(1));
        assert_eq!((spot.event(3), spot.event(4)), (Came::New, Came::New));
        assert_eq!(missing(&spot, 4), [(2, 2)]);
        assert!(spot.own(2));
        assert_eq!((spot.position(), spot.event(5)), (4, Came::New));
        // A copy of what was acked.
        assert_eq!(spot.event(2), Came::Again);
        assert!(!spot.own(5));
    }

    #[test]
    fn disorder_holes_and_doubles_are_told_apart() {
        let mut spot = at(0);
        assert_eq!(spot.event(2), Came::New);
        assert_eq!(spot.event(1), Came::Late(2));
        assert_eq!(spot.event(6), Came::New);
        assert_eq!(spot.event(4), Came::Late(6));
        assert_eq!(spot.event(6), Came::Again);
        assert_eq!(spot.event(4), Came::Again);
        assert_eq!(missing(&spot, 8), [(3, 3), (5, 5), (7, 8)]);
        assert_eq!(spot.event(5), Came::Late(6));
        assert_eq!(spot.event(3), Came::Late(6));
        assert_eq!((spot.position(), spot.early.is_none()), (6, true));
    }

    #[test]
    fn after_a_break_all_beyond_the_hole_comes_again() {
        let mut spot = at(0);
        for seq in [1, 3, 4] {
            spot.event(seq);
        }
        spot.restart();
        assert_eq!(spot.position(), 1);
        for seq in 2..=4 {
            assert_eq!(spot.event(seq), Came::New);
        }
    }

    #[test]
    fn who_was_not_told_where_it_begins_begins_with_what_comes() {
        let mut spot = Spot::default();
        assert_eq!(missing(&spot, 9), []);
        assert_eq!(spot.event(7), Came::New);
        assert_eq!((spot.position(), missing(&spot, 9)), (7, vec![(8, 9)]));
    }

    #[test]
    fn a_long_hole_costs_one_range() {
        let mut spot = at(0);
        for seq in (2..1000).rev() {
            spot.event(seq);
        }
        assert_eq!(spot.early.as_ref().map(|early| early.len()), Some(1));
    }
}
