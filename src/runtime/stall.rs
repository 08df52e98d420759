//! Finds turns that take too long: by a look at the clock when a turn is over, and by a watchdog thread for those that do not end.
//!
//! Promises that a stall is counted and logged with what ran, and that a shard which stopped turning while work waits is named in the
//! log. Does not interrupt anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::base::Moment;
use crate::shard::Input;

use super::clock::Clock;
use super::mesh::Mesh;

/// What a turn may be busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Nothing (between turns).
    Nothing,
    /// A text message.
    Text,
    /// Bytes were heard.
    Heard,
    /// A socket became writable.
    Writable,
    /// A socket is gone.
    Gone,
    /// A batch from another shard.
    Lane,
    /// A batch that found its lane full.
    LaneFull,
    /// The store answered.
    Stored,
    /// A question.
    Ask,
    /// New keys.
    Keys,
    /// The drain began.
    Drain,
    /// A deadline passed.
    Tick,
    /// Jobs, batches and answers were handed out.
    Effects,
    /// Sockets were written to.
    Writing,
}

/// How many kinds there are.
pub const KINDS: usize = 14;

impl Kind {
    const ALL: [Self; KINDS] = [
        Self::Nothing,
        Self::Text,
        Self::Heard,
        Self::Writable,
        Self::Gone,
        Self::Lane,
        Self::LaneFull,
        Self::Stored,
        Self::Ask,
        Self::Keys,
        Self::Drain,
        Self::Tick,
        Self::Effects,
        Self::Writing,
    ];

    /// Which kind an input is.
    #[must_use]
    pub fn of(input: &Input) -> Self {
        match input {
            Input::Text { .. } => Self::Text,
            Input::Heard { .. } => Self::Heard,
            Input::Writable { .. } => Self::Writable,
            Input::Gone { .. } => Self::Gone,
            Input::Lane { .. } => Self::Lane,
            Input::LaneFull { .. } => Self::LaneFull,
            Input::Stored { .. } => Self::Stored,
            Input::Ask { .. } => Self::Ask,
            Input::Keys(_) => Self::Keys,
            Input::Drain { .. } => Self::Drain,
            Input::Tick => Self::Tick,
        }
    }

    /// A word for the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Text => "text",
            Self::Heard => "heard",
            Self::Writable => "writable",
            Self::Gone => "gone",
            Self::Lane => "lane",
            Self::LaneFull => "lane_full",
            Self::Stored => "stored",
            Self::Ask => "ask",
            Self::Keys => "keys",
            Self::Drain => "drain",
            Self::Tick => "tick",
            Self::Effects => "effects",
            Self::Writing => "writing",
        }
    }

    fn from_u8(n: u8) -> Self {
        Self::ALL.get(usize::from(n)).copied().unwrap_or(Self::Nothing)
    }
}

/// What ran in one turn.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: [u32; KINDS],
    longest_us: u64,
    longest: u8,
}

impl Tally {
    /// One thing was done, in so many microseconds.
    pub fn add(&mut self, kind: Kind, us: u64) {
        if let Some(count) = self.counts.get_mut(kind as usize) {
            *count += 1;
        }
        if us >= self.longest_us {
            self.longest_us = us;
            self.longest = kind as u8;
        }
    }

    /// Whether nothing was done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|&n| n == 0)
    }

    /// The longest single thing.
    #[must_use]
    pub fn longest(&self) -> (Kind, u64) {
        (Kind::from_u8(self.longest), self.longest_us)
    }

    /// `text 12, lane 3, writing 40`.
    #[must_use]
    pub fn words(&self) -> String {
        let words: Vec<_> = Kind::ALL
            .iter()
            .filter_map(|&kind| {
                let count = self.counts.get(kind as usize).copied().unwrap_or(0);
                (count > 0).then(|| format!("{} {count}", kind.name()))
            })
            .collect();
        words.join(", ")
    }
}

/// What a shard shows of itself to other threads. Written by its pump alone, relaxed: who reads it wants a rough idea.
#[derive(Debug, Default)]
pub struct Beat {
    /// When the turn that runs now began, in microseconds; 0 between turns.
    started: AtomicU64,
    busy: AtomicU8,
    turns: AtomicU64,
    quiet: AtomicBool,
    sockets: AtomicUsize,
}

impl Beat {
    /// A turn begins.
    pub fn begin(&self, now: Moment) {
        self.started.store(now.0.max(1), Ordering::Relaxed);
    }

    /// The turn is busy with this from now on.
    pub fn busy(&self, kind: Kind) {
        self.busy.store(kind as u8, Ordering::Relaxed);
    }

    /// The turn is over.
    pub fn end(&self) {
        self.busy.store(Kind::Nothing as u8, Ordering::Relaxed);
        self.started.store(0, Ordering::Relaxed);
        // Only this thread writes it: a load and a store are enough.
        self.turns.store(self.turns.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// What the drain waits for.
    pub fn show(&self, quiet: bool, sockets: usize) {
        self.sockets.store(sockets, Ordering::Relaxed);
        self.quiet.store(quiet, Ordering::Release);
    }

    /// Whether nothing is in flight, and how many sockets are open (shown while draining only).
    #[must_use]
    pub fn shown(&self) -> (bool, usize) {
        (self.quiet.load(Ordering::Acquire), self.sockets.load(Ordering::Relaxed))
    }

    /// Turns since the start.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }
}

/// What the watchdog found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A turn does not end.
    TurnHangs {
        /// On which shard.
        shard: usize,
        /// Since so many milliseconds.
        ms: u64,
        /// Busy with this.
        busy: Kind,
    },
    /// Work waits, but the pump does not turn: another task holds the core, or the executor sleeps.
    NotTurning {
        /// Which shard.
        shard: usize,
        /// Since at least so many milliseconds.
        ms: u64,
    },
    /// It goes on.
    Recovered {
        /// Which shard.
        shard: usize,
    },
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    turns: u64,
    /// Since when work waits without a turn.
    waiting: Option<Moment>,
    alarmed: bool,
}

/// Looks at all shards from time to time.
#[derive(Debug)]
pub struct Watchdog {
    mesh: Mesh,
    limit_ms: u64,
    seen: Vec<Seen>,
}

impl Watchdog {
    /// Raises an alarm after `limit_ms` milliseconds.
    #[must_use]
    pub fn new(mesh: Mesh, limit_ms: u64) -> Self {
        let seen = vec![Seen::default(); usize::from(mesh.shards())];
        Self { mesh, limit_ms, seen }
    }

    /// One look. An alarm is raised once, until the shard goes on.
    pub fn look(&mut self, now: Moment) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        for (shard, (mailbox, seen)) in self.mesh.all().zip(&mut self.seen).enumerate() {
            if mailbox.is_closed() {
                continue;
            }
            let beat = &mailbox.beat;
            let started = beat.started.load(Ordering::Relaxed);
            let turns = beat.turns();
            let moved = turns != seen.turns;
            seen.turns = turns;
            let alarm = if started != 0 {
                seen.waiting = None;
                let ms = now.micros_since(Moment(started)) / 1000;
                let busy = Kind::from_u8(beat.busy.load(Ordering::Relaxed));
                (ms >= self.limit_ms).then_some(Alarm::TurnHangs { shard, ms, busy })
            } else if mailbox.bell.is_rung() && !moved {
                let since = *seen.waiting.get_or_insert(now);
                let ms = now.micros_since(since) / 1000;
                (ms >= self.limit_ms).then_some(Alarm::NotTurning { shard, ms })
            } else {
                seen.waiting = None;
                None
            };
            match alarm {
                Some(alarm) if !seen.alarmed => {
                    seen.alarmed = true;
                    alarms.push(alarm);
                }
                None if seen.alarmed => {
                    seen.alarmed = false;
                    alarms.push(Alarm::Recovered { shard });
                }
                _ => {}
            }
        }
        alarms
    }

    /// Looks four times in each limit on a thread of its own, until all shards are gone.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(mut self, clock: Clock) -> std::io::Result<()> {
        let pause = Duration::from_millis((self.limit_ms / 4).max(10));
        let run = move || {
            while !self.mesh.all().all(|mailbox: &Arc<_>| mailbox.is_closed()) {
                thread::sleep(pause);
                for alarm in self.look(clock.mono()) {
                    match alarm {
                        Alarm::TurnHangs { shard, ms, busy } => {
                            tracing::error!(shard, ms, busy = busy.name(), "a turn does not end");
                        }
                        Alarm::NotTurning { shard, ms } => {
                            tracing::error!(shard, ms, "work waits, but the shard does not turn");
                        }
                        Alarm::Recovered { shard } => tracing::warn!(shard, "the shard goes on"),
                    }
                }
            }
        };
        thread::Builder::new().name("watchdog".to_owned()).spawn(run).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ShardId;

    #[test]
    fn a_turn_that_hangs_is_named_once_with_what_it_does_and_its_end_is_told() {
        let mesh = Mesh::new(2);
        let mut dog = Watchdog::new(mesh.clone(), 100);
        let beat = &mesh.mailbox(ShardId(1)).unwrap().beat;
        beat.begin(Moment(1_000));
        beat.busy(Kind::Lane);
        assert_eq!(dog.look(Moment(100_000)), []);
        assert_eq!(dog.look(Moment(101_000)), [Alarm::TurnHangs { shard: 1, ms: 100, busy: Kind::Lane }]);
        assert_eq!(dog.look(Moment(900_000)), []);
        beat.end();
        assert_eq!(dog.look(Moment(901_000)), [Alarm::Recovered { shard: 1 }]);
    }

    #[test]
    fn a_shard_that_does_not_turn_while_work_waits_is_named_and_an_idle_or_busy_one_is_not() {
        let mesh = Mesh::new(1);
        let mut dog = Watchdog::new(mesh.clone(), 100);
        let mailbox = mesh.mailbox(ShardId(0)).unwrap();
        assert_eq!(dog.look(Moment(0)), []);
        assert_eq!(dog.look(Moment(500_000)), [], "idle");
        mailbox.bell.ring();
        for at in [600_000, 650_000, 690_000] {
            assert_eq!(dog.look(Moment(at)), []);
        }
        mailbox.beat.end();
        assert_eq!(dog.look(Moment(710_000)), [], "it turned; the bell was rung again");
        assert_eq!(dog.look(Moment(720_000)), []);
        assert_eq!(dog.look(Moment(820_000)), [Alarm::NotTurning { shard: 0, ms: 100 }]);
        mailbox.bell.answer();
        assert_eq!(dog.look(Moment(830_000)), [Alarm::Recovered { shard: 0 }]);
    }

    #[test]
    fn a_tally_knows_what_ran_and_what_took_longest() {
        let mut tally = Tally::default();
        assert!(tally.is_empty());
        tally.add(Kind::Text, 5);
        tally.add(Kind::Text, 3);
        tally.add(Kind::Writing, 90);
        tally.add(Kind::Lane, 4);
        assert_eq!(tally.words(), "text 2, lane 1, writing 1");
        assert_eq!(tally.longest(), (Kind::Writing, 90));
        assert!(Kind::ALL.iter().enumerate().all(|(n, &kind)| kind as usize == n));
    }
}
