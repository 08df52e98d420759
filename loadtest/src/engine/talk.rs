//! Sending: messages and requests when they are due, and once more what nobody answered before a connection broke.

use super::Totals;
use super::agenda::Action;
use super::conn::Pending;
use super::worker::Worker;
use crate::adapter::{Asked, Message, Request};
use crate::plan::split_mix;
use crate::scenario::Kind;
use crate::stamp::{Id, Stamp};

impl Worker {
    /// A message is due.
    pub(super) fn send(&mut self, user: u32, room: u32, action: Action, now: u64) {
        self.phases[action.phase].planned += 1;
        let Some((slot, room)) = self.speaker(user, room) else {
            *self.left_out.entry("messages that nobody could send, for all were away".to_owned()).or_default() += 1;
            return;
        };
        let conn = &mut self.conns[slot];
        let id = Id { user: conn.user, number: conn.messages };
        conn.messages += 1;
        let mut nth = 0;
        let place = self.setup.world.layout.place_of(conn.user, room);
        if let Some(count) = place.and_then(|place| conn.into_rooms.get_mut(place)) {
            nth = *count;
            *count += 1;
        }
        let key = id.key(self.unix_millis + now / 1_000_000, self.setup.world.bits);
        if self.setup.can.ack {
            conn.wait_for(action, id, key, room, nth, None, 0);
            Totals::add(&self.setup.totals.pending, 1);
        }
        self.write_message(slot, key, Stamp { id, due: action.at, room, nth, whole: true }, now);
        let late = now.saturating_sub(self.setup.start.get().map_or(0, |start| start + action.at)) / 1000;
        let others = self.setup.world.layout.members(room).len() as u64 - 1;
        let phase = &mut self.phases[action.phase];
        phase.sent += 1;
        phase.lateness.record_micros(late, 1);
        self.second.sent += 1;
        self.second.lateness.record_micros(late, 1);
        Totals::add(&self.setup.totals.sent, 1);
        if !self.setup.can.ack {
            phase.expected_deliveries += others;
            Totals::add(&self.setup.totals.expected, others);
        }
    }

    fn write_message(&mut self, slot: usize, key: uuid::Uuid, stamp: Stamp, now: u64) {
        self.text.clear();
        stamp.write(key, self.setup.world.payload, &mut self.text);
        let millis = self.unix_millis(now);
        let link = &mut self.conns[slot].link;
        link.millis = millis;
        let message = Message { room: stamp.room, id: stamp.id, key, text: &self.text };
        self.setup.adapter.send(&self.setup.world, link, &message, &mut self.frames);
        self.push(slot);
    }

    /// Who sends: the one meant, or else another member of the room who is there, or else anybody.
    fn speaker(&self, user: u32, room: u32) -> Option<(usize, u32)> {
        let held = |user: u32| self.setup.holds(self.number, user).then(|| self.setup.slot(user));
        let speaks = |slot: &usize| self.conns[*slot].speaks();
        if let Some(slot) = held(user).filter(speaks) {
            return Some((slot, room));
        }
        let layout = &self.setup.world.layout;
        let members = layout.members(room);
        let start = members.iter().position(|&member| member == user).unwrap_or(0);
        let others = members[start..].iter().chain(&members[..start]).take(200);
        if let Some(slot) = others.filter_map(|&member| held(member)).find(speaks) {
            return Some((slot, room));
        }
        let slot = self.speaker_after(user)?;
        let rooms = layout.rooms_of(self.conns[slot].user);
        Some((slot, rooms[room as usize % rooms.len()]))
    }

    /// Another request is due.
    pub(super) fn ask(&mut self, kind: Kind, user: u32, room: u32, action: Action, now: u64) {
        let Some((slot, mut room)) = self.speaker(user, room) else { return };
        let conn = &mut self.conns[slot];
        let mut seq = 0;
        if matches!(kind, Kind::Edit | Kind::Delete) {
            match conn.last_own {
                Some((of, at)) => (room, seq) = (of, at),
                None => {
                    let name = format!("{}: nothing of their own was there", kind.name());
                    *self.left_out.entry(name).or_default() += 1;
                    return;
                }
            }
        }
        let id = Id { user: conn.user, number: Id::REQUEST | conn.requests };
        conn.requests = (conn.requests + 1) & !Id::REQUEST;
        if kind == Kind::Read {
            seq = self.spot(slot, room).map_or(0, |spot| spot.position());
        }
        if kind == Kind::Past {
            let newest = self.spot(slot, room).map_or(0, |spot| spot.position());
            // Anywhere, by the seed alone.
            let chance = split_mix(self.setup.scenario.seed ^ u64::from(id.user) << 32 ^ u64::from(id.number));
            seq = 1 + chance % newest.max(1);
        }
        let millis = self.unix_millis(now);
        let key = id.key(millis, self.setup.world.bits);
        let conn = &mut self.conns[slot];
        conn.link.millis = millis;
        let request = Request { kind, room, id, key, seq };
        match self.setup.adapter.request(&self.setup.world, &mut conn.link, &request, &mut self.frames) {
            Asked::Unknown => {
                let name = format!("{}: the server does not know it", kind.name());
                *self.left_out.entry(name).or_default() += 1;
                return;
            }
            Asked::Silent => {}
            Asked::Answered => {
                if kind == Kind::Delete {
                    conn.last_own = None;
                }
                conn.wait_for(action, id, key, room, 0, Some(kind), seq);
                Totals::add(&self.setup.totals.pending, 1);
            }
        }
        let counts = &mut self.phases[action.phase].counts;
        *counts.entry(format!("{} sent", kind.name())).or_default() += 1;
        self.push(slot);
    }

    /// The user is back: what was not answered is sent again, in order and with the same keys.
    pub(super) fn send_again(&mut self, slot: usize) {
        if self.conns[slot].pending.is_empty() {
            return;
        }
        let now = self.setup.now();
        let generation = self.conns[slot].generation;
        let mut at = 0;
        while let Some(pending) = self.conns[slot].pending.get(at).copied() {
            if pending.generation == generation {
                at += 1;
                continue;
            }
            if let Some(kind) = pending.kind {
                // Whoever comes back asks anew, if it still matters.
                self.conns[slot].pending.remove(at);
                Totals::less(&self.setup.totals.pending, 1);
                self.count(&format!("{} given up", kind.name()), 1);
                continue;
            }
            let again = &mut self.conns[slot].pending[at];
            (again.retried, again.generation) = (true, generation);
            let id = Id { user: self.conns[slot].user, number: pending.number };
            self.setup.ledger.retried(id);
            let Pending { due, room, nth, .. } = pending;
            self.write_message(slot, pending.key, Stamp { id, due, room, nth, whole: true }, now);
            self.count("messages sent again", 1);
            at += 1;
        }
    }
}
