//! Which part of a log somebody may read: pages of history and what was missed, by membership intervals.
//!
//! Logs are dense, so a part is a first and a last seq, and a page of `n` events is `n` seqs.

use std::sync::Arc;

use crate::base::limits::{PAGE_BYTES_MAX, PAGE_ROWS_MAX, RESUME_ROWS_MAX};
use crate::base::{Event, Interval, Member, Position, Seq};
use crate::store::{Query, Span};

/// A part of a log: at most `limit` events of `lo..=hi`, the newest or the oldest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The first seq that may be given.
    pub lo: Seq,
    /// The last one. Smaller than `lo`: there is nothing.
    pub hi: Seq,
    /// Whether the newest are wanted.
    pub newest: bool,
    /// How many at most.
    pub limit: usize,
    /// There is more beyond `lo..=hi` in the direction asked for.
    pub beyond: bool,
    /// Where one stands when all of it was given.
    pub upto: Seq,
}

impl Want {
    fn nothing(upto: Seq) -> Self {
        Self { lo: Seq(1), hi: Seq(0), newest: false, limit: 0, beyond: false, upto }
    }

    /// The seqs that a page consists of, if bytes allow.
    #[must_use]
    pub fn page(&self) -> (Seq, Seq) {
        if self.lo > self.hi {
            return (self.lo, self.hi);
        }
        let limit = self.limit.max(1) as u64;
        if self.newest {
            (Seq(self.lo.0.max((self.hi.0 + 1).saturating_sub(limit))), self.hi)
        } else {
            (self.lo, Seq(self.hi.0.min(self.lo.0 + limit - 1)))
        }
    }

    /// The question to the store.
    #[must_use]
    pub fn query(&self, room: crate::base::RoomId) -> Query {
        let (from, to) = self.page();
        let limit = usize::try_from(to.0.saturating_sub(from.0) + 1).unwrap_or(self.limit);
        let span = if self.newest { Span::Before(to.next()) } else { Span::Between(from.previous(), to.next()) };
        Query::Events { room, span, limit, bytes_max: PAGE_BYTES_MAX }
    }

    /// Cuts what was read to bytes, and says whether there is more.
    #[must_use]
    pub fn cut<'a>(&self, events: impl DoubleEndedIterator<Item = &'a Arc<Event>>) -> (Vec<Arc<Event>>, bool) {
        let mut bytes = 0;
        let mut fits = |event: &&Arc<Event>| {
            let first = bytes == 0;
            bytes += event.weight();
            first || bytes <= PAGE_BYTES_MAX
        };
        let kept: Vec<Arc<Event>> = if self.newest {
            let mut kept: Vec<_> = events.rev().take_while(&mut fits).cloned().collect();
            kept.reverse();
            kept
        } else {
            events.take_while(&mut fits).cloned().collect()
        };
        let reached = if self.newest {
            kept.first().is_none_or(|first| first.seq <= self.lo)
        } else {
            kept.last().is_none_or(|last| last.seq >= self.hi)
        };
        (kept, self.beyond || !reached)
    }
}

/// The part of the log `first..=newest` that is a page of history for this member.
#[must_use]
pub fn history(member: &Member, first: Seq, newest: Seq, before: Option<Seq>, after: Option<Seq>, limit: u32) -> Want {
    let limit = usize::try_from(limit).unwrap_or(PAGE_ROWS_MAX).clamp(1, PAGE_ROWS_MAX);
    let upper = before.map_or(newest, |before| before.previous().min(newest));
    let lower = after.map_or(first, |after| after.next().max(first));
    let readable = |i: &Interval| {
        let (lo, hi) = (i.from.max(lower), i.to.unwrap_or(newest).min(upper));
        (lo <= hi).then_some((lo, hi))
    };
    let mut parts = member.intervals.iter().filter_map(readable);
    let ascending = after.is_some();
    let part = if ascending { parts.next() } else { parts.next_back() };
    let Some((lo, hi)) = part else { return Want::nothing(newest) };
    let beyond = parts.next().is_some();
    Want { lo, hi, newest: !ascending, limit, beyond, upto: newest }
}

/// The part of the log `first..=newest` that this member missed since `from`.
///
/// # Errors
/// Why it cannot be told: `future`, `retention`.
pub fn missed(member: &Member, first: Seq, newest: Seq, from: Position) -> Result<Want, &'static str> {
    if from.seq > newest {
        return Err("future");
    }
    let lower = from.seq.next();
    let lost = member.intervals.iter().any(|i| {
        let (lo, hi) = (i.from.max(lower), i.to.unwrap_or(newest).min(first.previous()));
        lo <= hi
    });
    if lost {
        return Err("retention");
    }
    let mut want = history(member, first, newest, None, Some(from.seq), 1);
    want.limit = RESUME_ROWS_MAX;
    Ok(want)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::base::{Epoch, Number, Role, RoomId, UserId};
    use crate::chat::room::tests::message;

    fn member(intervals: &[(u64, Option<u64>)]) -> Member {
        Member {
            room: RoomId(Uuid::nil()),
            user: UserId(Uuid::nil()),
            role: Role::Member,
            intervals: intervals.iter().map(|&(from, to)| Interval { from: Seq(from), to: to.map(Seq) }).collect(),
            read_number: Number(0),
        }
    }

    fn at(seq: u64) -> Position {
        Position { epoch: Epoch(1), seq: Seq(seq) }
    }

    #[test]
    fn what_was_said_while_one_was_away_is_not_read() {
        let one = member(&[(3, Some(5)), (9, None)]);
        let want = history(&one, Seq(1), Seq(12), None, None, 100);
        assert_eq!((want.page(), want.beyond), ((Seq(9), Seq(12)), true));
        let want = history(&one, Seq(1), Seq(12), Some(Seq(9)), None, 2);
        assert_eq!((want.page(), want.beyond), ((Seq(4), Seq(5)), false));
        let want = missed(&one, Seq(1), Seq(12), at(4)).unwrap();
        assert_eq!((want.page(), want.beyond), ((Seq(5), Seq(5)), true));
        let want = missed(&one, Seq(1), Seq(12), at(5)).unwrap();
        assert_eq!((want.page(), want.beyond), ((Seq(9), Seq(12)), false));
    }

    #[test]
    fn what_retention_took_is_a_reload_only_for_who_could_have_read_it() {
        assert_eq!(missed(&member(&[(1, None)]), Seq(5), Seq(9), at(3)), Err("retention"));
        assert!(missed(&member(&[(1, None)]), Seq(5), Seq(9), at(4)).is_ok());
        assert!(missed(&member(&[(6, None)]), Seq(5), Seq(9), at(0)).is_ok());
        assert_eq!(missed(&member(&[(1, None)]), Seq(1), Seq(9), at(10)), Err("future"));
    }

    proptest! {
        /// Resuming again and again from where one stands gives each readable event once, in order.
        #[test]
        fn resuming_until_there_is_no_more_gives_all_once(
            cuts in proptest::collection::btree_set(1u64..60, 0..6),
            newest in 60u64..80,
            start in 0u64..60,
            size in 1usize..40_000,
        ) {
            let cuts: Vec<u64> = cuts.into_iter().collect();
            let mut intervals: Vec<(u64, Option<u64>)> = cuts.chunks_exact(2).map(|c| (c[0], Some(c[1]))).collect();
            intervals.push((60, None));
            let one = member(&intervals);
            let text = "x".repeat(size);
            let (mut stand, mut got, mut rounds) = (start, Vec::new(), 0);
            loop {
                let want = missed(&one, Seq(1), Seq(newest), at(stand)).unwrap();
                let (from, to) = want.page();
                let all: Vec<_> = (from.0..=to.0).map(|seq| message(seq, &text)).collect();
                let (events, more) = want.cut(all.iter());
                got.extend(events.iter().map(|e| e.seq.0));
                stand = if more { events.last().unwrap().seq.0 } else { want.upto.0 };
                rounds += 1;
                prop_assert!(rounds < 200);
                if !more { break; }
            }
            let expected: Vec<u64> = (start + 1..=newest).filter(|&s| one.may_read(Seq(s))).collect();
            prop_assert_eq!(got, expected);
            prop_assert_eq!(stand, newest);
        }
    }
}
