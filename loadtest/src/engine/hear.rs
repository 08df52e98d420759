//! What the server's words mean: for the clock, for the checker, for what is done next.

use std::mem;

use super::Totals;
use super::conn::{Pending, Stage};
use super::worker::Worker;
use crate::Failure;
use crate::adapter::{NAMES, Position, Said, UNKNOWN_ROOM};
use crate::ledger::spot::{Came, Spot};
use crate::ledger::{Holds, say};
use crate::scenario::Kind;
use crate::stamp::{Id, Stamp};

/// Characters of a greeting that an error shows.
const GREETING_SHOWN: usize = 200;

impl Worker {
    /// A whole message of the server.
    pub(super) fn message(&mut self, slot: usize, payload: &[u8], now: u64) {
        let Ok(text) = std::str::from_utf8(payload) else {
            self.verdict.fault("nonsense", || "a frame that is not UTF-8".to_owned());
            return;
        };
        if self.conns[slot].stage == Stage::Opening {
            self.greeting.clear();
            self.greeting.extend(text.chars().take(GREETING_SHOWN));
        }
        let mut said = mem::take(&mut self.said);
        let link = &mut self.conns[slot].link;
        link.millis = self.unix_millis + now / 1_000_000;
        self.setup.adapter.hear(&self.setup.world, link, text, &mut said, &mut self.frames);
        // What is answered goes out before anything else is made.
        self.push(slot);
        for item in said.drain(..) {
            self.told(slot, item, now);
        }
        self.said = said;
    }

    /// Nobody comes in, for the server does not say what it should: what it said, what was expected, what to do.
    pub(super) fn not_greeted(&self, why: &str) -> Failure {
        let said = if self.greeting.is_empty() { "nothing".to_owned() } else { format!("`{}`", self.greeting) };
        let adapter = &self.setup.adapter;
        let (name, expected) = (adapter.name(), adapter.greeting());
        Failure::new(
            "the server's greeting",
            format!(
                "it {why}. Received after the upgrade: {said}. Expected with --adapter {name}: {expected}. Choose the adapter \
                 that this server speaks (--adapter {}), and see whether --target names its WebSocket (here the path is {})",
                NAMES.join(", "),
                self.setup.path
            ),
        )
    }

    fn told(&mut self, slot: usize, said: Said, now: u64) {
        match said {
            Said::Delivery { room, seq, stamp } => self.delivery(slot, room, seq, stamp, now),
            Said::Ack { id, room, seq } => self.acked(slot, id, room, seq, now),
            Said::Event { room, seq } => drop(self.event(slot, room, seq, Holds::Event)),
            Said::Gone { room, seq } => drop(self.event(slot, room, seq, Holds::Gone)),
            Said::Other(name) => self.count(name, 1),
            Said::Done { id, seq } => self.done(slot, id, seq, 0, now),
            Said::History { id, rows } => self.done(slot, id, None, rows, now),
            Said::Position { room, epoch, seq } => self.position(slot, room, epoch, seq),
            Said::Ready => self.arrived(slot, now),
            Said::Resumed { room, seq, more } => self.resumed(slot, room, seq, more, now),
            Said::Resync { room } => self.resync(slot, room, now),
            Said::Reload { room, reason } => {
                let user = self.conns[slot].user;
                self.verdict.fault("reload", || format!("user {user} cannot resume room {room}: {reason}"));
                if let Some(spot) = self.spot_mut(slot, room) {
                    spot.forget();
                }
                self.conns[slot].awaited = self.conns[slot].awaited.saturating_sub(1);
                self.perhaps_caught_up(slot, now);
            }
            Said::Refused { id, code, .. } => self.refused(slot, id, &code),
            // Whoever does not understand the greeting will not understand the rest. Later it is a fault as any other.
            Said::Nonsense(_) if self.conns[slot].stage == Stage::Opening && self.phase.is_none() => {
                self.fatal = Some(self.not_greeted("is not understood"));
            }
            Said::Nonsense(what) => self.verdict.fault("nonsense", || what.into()),
        }
    }

    /// The user's place in a room.
    pub(super) fn spot(&self, slot: usize, room: u32) -> Option<&Spot> {
        let layout = &self.setup.world.layout;
        let place = layout.place_of(self.conns[slot].user, room)?;
        self.spots.get(slot * self.setup.scenario.population.rooms_per_user + place)
    }

    fn spot_mut(&mut self, slot: usize, room: u32) -> Option<&mut Spot> {
        let place = self.setup.world.layout.place_of(self.conns[slot].user, room)?;
        self.spots.get_mut(slot * self.setup.scenario.population.rooms_per_user + place)
    }

    /// The connection is gone: what stood beyond a hole comes again, or nobody knows.
    pub(super) fn restart_spots(&mut self, slot: usize) {
        if !self.setup.can.seq {
            return;
        }
        let each = self.setup.scenario.population.rooms_per_user;
        for spot in &mut self.spots[slot * each..(slot + 1) * each] {
            if self.setup.can.resume { spot.restart() } else { spot.forget() }
        }
    }

    /// A place in a room is told. Whether it counts: it came for the first time, from a room of the user.
    fn event(&mut self, slot: usize, room: u32, seq: u64, holds: Holds) -> bool {
        let user = self.conns[slot].user;
        // While something is resumed, live events stand between and may come again.
        let strict = self.conns[slot].stage == Stage::Live;
        let Some(spot) = self.spot_mut(slot, room) else {
            let room = if room == UNKNOWN_ROOM { "a room of nobody".to_owned() } else { format!("room {room}") };
            self.verdict.fault("stranger", || format!("user {user} got {seq} of {room} without being in it"));
            return false;
        };
        let counts = match spot.event(seq) {
            Came::New => true,
            Came::Late(after) => {
                if strict {
                    let words = || format!("user {user} in room {room}: {seq} came after {after}");
                    self.verdict.fault("disorder", words);
                }
                true
            }
            Came::Again => {
                if strict {
                    self.verdict.fault("duplicate", || format!("user {user} in room {room}: {seq} came twice"));
                } else {
                    self.count("came again while catching up", 1);
                }
                false
            }
        };
        if let Err(known) = self.setup.ledger.learn(room, seq, holds) {
            let words = || format!("user {user} in room {room}: {seq} was shown as {holds:?} but is {known}");
            self.verdict.fault("differs", words);
        }
        counts
    }

    fn delivery(&mut self, slot: usize, room: u32, seq: Option<u64>, stamp: Stamp, now: u64) {
        let (user, stage, generation) = (self.conns[slot].user, self.conns[slot].stage, self.conns[slot].generation);
        let message = stamp.id;
        if self.setup.world.layout.place_of(user, room).is_none() || stamp.room != room {
            let words = || format!("user {user} got {} of room {} from room {room}", say(message), stamp.room);
            return self.verdict.fault("stranger", words);
        }
        if !stamp.whole {
            self.verdict
                .fault("differs", || format!("user {user} in room {room}: the text of {} is damaged", say(message)));
        }
        let own = message.user == user;
        let counts = match seq {
            Some(seq) => {
                let counts = self.event(slot, room, seq, Holds::Message(message));
                if counts && own && !self.setup.can.echo && stage == Stage::Live {
                    let words = || format!("user {user} in room {room}: a copy of the own {}", say(message));
                    self.verdict.fault("duplicate", words);
                }
                counts
            }
            None if own => false,
            None => match self.pairs.came(user, generation, message.user, room, stamp.nth) {
                Came::New => true,
                Came::Late(after) => {
                    let words = || {
                        let (message, sender) = (say(message), message.user);
                        format!(
                            "user {user} in room {room}: {message} ({sender}'s {} there) came after their {after} there",
                            stamp.nth
                        )
                    };
                    self.verdict.fault("disorder", words);
                    true
                }
                Came::Again => {
                    self.verdict
                        .fault("duplicate", || format!("user {user} in room {room}: {} came twice", say(message)));
                    false
                }
            },
        };
        if !counts || own {
            return;
        }
        let Some(&start) = self.setup.start.get() else { return };
        let due = start + stamp.due;
        let took = now.saturating_sub(due) / 1000;
        let phase = &mut self.phases[self.setup.phase_at(stamp.due)];
        phase.delivered += 1;
        self.second.delivered += 1;
        Totals::add(&self.setup.totals.delivered, 1);
        if stage == Stage::Live && due >= self.conns[slot].caught_up && !self.conns[slot].slow {
            phase.delivery.record_micros(took, 1);
            self.second.delivery.record_micros(took, 1);
        } else {
            extra(phase, "delivery after a break").record_micros(took, 1);
        }
    }

    fn acked(&mut self, slot: usize, id: Id, room: Option<u32>, seq: Option<u64>, now: u64) {
        let user = self.conns[slot].user;
        let found = self.take_pending(slot, id);
        let Some(pending) = found else {
            let words = || format!("user {user}: {} was answered, although nothing was awaited: seq {seq:?}", say(id));
            return self.verdict.fault("two answers", words);
        };
        if room.is_some_and(|room| room != pending.room) {
            let words = || format!("user {user}: {} for room {} was acked for {room:?}", say(id), pending.room);
            self.verdict.fault("differs", words);
        }
        let members = self.setup.world.layout.members(pending.room).len() as u64;
        let took = now.saturating_sub(self.since_start(pending.due)) / 1000;
        let phase = &mut self.phases[pending.phase];
        phase.acked += 1;
        phase.expected_deliveries += members - 1;
        Totals::add(&self.setup.totals.expected, members - 1);
        self.second.acked += 1;
        if pending.retried {
            extra(phase, "ack after a retry").record_micros(took, 1);
        } else {
            phase.ack.record_micros(took, 1);
            self.second.ack.record_micros(took, 1);
        }
        let Some(seq) = seq else { return };
        self.conns[slot].last_own = Some((pending.room, seq));
        // A copy that came before was found when it came.
        if let Some(spot) = self.spot_mut(slot, pending.room) {
            spot.own(seq);
        }
        if let Err(known) = self.setup.ledger.learn(pending.room, seq, Holds::Acked(id)) {
            let words = || format!("{} was acked at {seq} of room {}, where {known} stands", say(id), pending.room);
            self.verdict.fault("differs", words);
        }
    }

    fn since_start(&self, due: u64) -> u64 {
        self.setup.start.get().map_or(due, |start| start + due)
    }

    fn take_pending(&mut self, slot: usize, id: Id) -> Option<Pending> {
        let conn = &mut self.conns[slot];
        let at = conn.pending.iter().position(|pending| pending.number == id.number && id.user == conn.user)?;
        Totals::less(&self.setup.totals.pending, 1);
        // The order of the others is that in which they are sent again.
        Some(conn.pending.remove(at))
    }

    fn done(&mut self, slot: usize, id: Id, seq: Option<u64>, rows: u32, now: u64) {
        let Some(pending) = self.take_pending(slot, id) else {
            let user = self.conns[slot].user;
            let words = || format!("user {user}: request {} was answered, although nothing was awaited", id.number);
            return self.verdict.fault("two answers", words);
        };
        let Some(kind) = pending.kind else { return };
        let took = now.saturating_sub(self.since_start(pending.due)) / 1000;
        let phase = &mut self.phases[pending.phase];
        if matches!(kind, Kind::History | Kind::Past) {
            phase.history.record_micros(took, 1);
            *phase.counts.entry("history rows".to_owned()).or_default() += u64::from(rows);
        } else {
            extra(phase, kind.name()).record_micros(took, 1);
        }
        if kind == Kind::Delete {
            let _ = self.setup.ledger.learn(pending.room, pending.seq, Holds::Gone);
            if let Some(seq) = seq {
                if let Some(spot) = self.spot_mut(slot, pending.room) {
                    spot.own(seq);
                }
                let _ = self.setup.ledger.learn(pending.room, seq, Holds::Event);
            }
        }
    }

    fn refused(&mut self, slot: usize, id: Option<Id>, code: &str) {
        self.trouble(&format!("error {code}"));
        let Some(pending) = id.and_then(|id| self.take_pending(slot, id)) else { return };
        if pending.kind.is_none() && !self.setup.can.seq {
            self.conns[slot].refused.push((pending.room, pending.nth));
        }
        let phase = &mut self.phases[pending.phase];
        match pending.kind {
            None => *phase.refused.entry(code.to_owned()).or_default() += 1,
            Some(kind) => *phase.counts.entry(format!("{} refused", kind.name())).or_default() += 1,
        }
    }

    /// Where a room stands, as the server greets the user.
    fn position(&mut self, slot: usize, room: u32, epoch: u64, seq: u64) {
        let Some(spot) = self.spot_mut(slot, room) else { return };
        if !spot.known() {
            spot.begin(seq, epoch);
        } else if seq > spot.position() || epoch != spot.epoch {
            let at = Position { room, epoch: spot.epoch, seq: spot.position() };
            self.conns[slot].to_resume.push(at);
        }
    }

    /// The server knows the user to be there.
    fn arrived(&mut self, slot: usize, now: u64) {
        let conn = &mut self.conns[slot];
        if conn.stage != Stage::Opening {
            return;
        }
        conn.stage = Stage::CatchingUp;
        conn.attempts = 0;
        if self.phase.is_none() {
            conn.caught_up = now;
        }
        self.in_flight -= 1;
        Totals::add(&self.setup.totals.open, 1);
        let took = now.saturating_sub(conn.began) / 1000;
        let to_resume = mem::take(&mut conn.to_resume);
        self.current().connect.record_micros(took, 1);
        if self.setup.can.resume && !to_resume.is_empty() {
            self.conns[slot].awaited = u32::try_from(to_resume.len()).unwrap_or(u32::MAX);
            self.resume(slot, &to_resume);
        } else if !self.conns[slot].goal.is_empty() {
            self.look_at_goal(slot, now);
        } else {
            self.perhaps_caught_up(slot, now);
        }
    }

    fn resume(&mut self, slot: usize, positions: &[Position]) {
        self.setup.adapter.resume(&self.setup.world, &mut self.conns[slot].link, positions, &mut self.frames);
        self.push(slot);
        self.count("rooms resumed", positions.len() as u64);
    }

    fn resumed(&mut self, slot: usize, room: u32, seq: u64, more: bool, now: u64) {
        let user = self.conns[slot].user;
        let Some(spot) = self.spot(slot, room) else { return };
        let at = Position { room, epoch: spot.epoch, seq: spot.position() };
        if at.seq < seq {
            self.verdict.fault("gap", || {
                format!("user {user} in room {room}: resumed to {seq}, but {} never came", at.seq + 1)
            });
        }
        if more {
            return self.resume(slot, &[at]);
        }
        self.conns[slot].awaited = self.conns[slot].awaited.saturating_sub(1);
        if self.conns[slot].goal.is_empty() { self.perhaps_caught_up(slot, now) } else { self.look_at_goal(slot, now) }
    }

    /// The server dropped live frames of a room.
    fn resync(&mut self, slot: usize, room: u32, now: u64) {
        let Some(spot) = self.spot(slot, room) else { return };
        let at = Position { room, epoch: spot.epoch, seq: spot.position() };
        if self.conns[slot].slow {
            self.count("slow: resync", 1);
        } else {
            self.trouble("resync");
        }
        let conn = &mut self.conns[slot];
        conn.stage = Stage::CatchingUp;
        conn.awaited += 1;
        if conn.lost_at == 0 {
            conn.lost_at = now;
            Totals::add(&self.setup.totals.behind, 1);
        }
        self.resume(slot, &[at]);
    }
}

/// A further distribution of a phase.
pub(super) fn extra<'a>(phase: &'a mut crate::report::PhaseReport, name: &str) -> &'a mut crate::report::Distribution {
    if !phase.extra.contains_key(name) {
        phase.extra.insert(name.to_owned(), crate::report::Distribution::new());
    }
    phase.extra.entry(name.to_owned()).or_default()
}
