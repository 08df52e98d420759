//! Who is to be there: all at the start, those that are cut or leave and come back, and those that stop reading for a while.

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::sockopt;

use super::conn::Stage;
use super::wire::{self, Opcode};
use super::worker::Worker;
use super::{Order, Totals};

/// What the kernel may hold for a client that does not read: little, so that the server notices.
const SLOW_BUFFER: usize = 8 * 1024;
/// And when they read again.
const READING_BUFFER: usize = 256 * 1024;

impl Worker {
    /// Everybody is to be there.
    pub(super) fn connect_all(&mut self, now: u64) {
        self.in_flight_max = share(self.setup.scenario.connect.in_flight, self.setup.workers);
        self.next_open = 0;
        for slot in 0..self.conns.len() {
            let conn = &mut self.conns[slot];
            conn.wanted = true;
            conn.attempts = 0;
            conn.caught_up = now;
            self.enqueue(slot);
        }
    }

    /// Everybody leaves, as a client does that was closed.
    pub(super) fn leave_all(&mut self) {
        let now = self.setup.now();
        for slot in 0..self.conns.len() {
            self.conns[slot].wanted = false;
            self.leave(slot, now);
        }
    }

    fn leave(&mut self, slot: usize, now: u64) {
        if self.conns[slot].open() {
            self.clear.clear();
            let mask = self.next_mask();
            wire::write(Opcode::Close, &1000u16.to_be_bytes(), mask, &mut self.clear);
            self.write_clear(slot);
        }
        self.take_down(slot, now);
    }

    /// Waits for its turn to be opened.
    pub(super) fn enqueue(&mut self, slot: usize) {
        let conn = &mut self.conns[slot];
        if conn.wanted && conn.stage == Stage::Away && !conn.queued {
            conn.queued = true;
            self.queue.push_back(slot);
        }
    }

    /// The phase begins: cuts and stalls.
    pub(super) fn begin_phase(&mut self, phase: usize, now: u64) {
        self.in_flight_max = share(self.setup.scenario.connect.storm_in_flight, self.setup.workers);
        let (cut, slow) = (self.setup.scenario.phases[phase].cut, self.setup.scenario.phases[phase].slow);
        if cut == 0.0 && slow == 0.0 {
            return;
        }
        let mut gone = 0;
        for slot in 0..self.conns.len() {
            let user = self.conns[slot].user;
            if self.agenda.among(user, cut) {
                self.take_down(slot, now);
                self.enqueue(slot);
                gone += 1;
            } else if self.agenda.among(user, cut + slow) {
                self.freeze(slot);
            }
        }
        self.count("cut", gone);
    }

    /// The phase ends: whoever stalled reads again.
    pub(super) fn end_phase(&mut self, _phase: usize, now: u64) {
        for slot in 0..self.conns.len() {
            if self.conns[slot].frozen {
                self.thaw(slot, now);
            }
        }
    }

    fn freeze(&mut self, slot: usize) {
        let conn = &mut self.conns[slot];
        let Some(socket) = conn.socket.as_ref().filter(|_| conn.stage == Stage::Live) else { return };
        let _ = sockopt::set_socket_recv_buffer_size(socket, SLOW_BUFFER);
        conn.frozen = true;
        conn.slow = true;
        self.watch(slot);
        self.count("stalled", 1);
    }

    fn thaw(&mut self, slot: usize, now: u64) {
        let conn = &mut self.conns[slot];
        conn.frozen = false;
        conn.heard = now;
        let rooms = self.setup.world.layout.rooms_of(conn.user);
        if self.setup.can.seq && self.setup.can.resume {
            let newest = rooms.iter().map(|&room| (room, self.setup.ledger.newest(room)));
            conn.goal = newest.filter(|(_, seq)| *seq > 0).collect();
        }
        if conn.lost_at == 0 {
            conn.lost_at = now;
            Totals::add(&self.setup.totals.behind, 1);
        }
        let Some(socket) = &conn.socket else { return };
        // With the small one each of the server's segments would wait for a probe of the kernel's.
        let _ = sockopt::set_socket_recv_buffer_size(socket, READING_BUFFER);
        let data = EventData::new_u64(u64::from(conn.generation) << 32 | slot as u64);
        // It is not watched any more when it ended meanwhile; reading tells how.
        let _ = epoll::add(&self.epoll, socket, data, EventFlags::IN);
        conn.watches_room = conn.out.is_empty();
        self.watch(slot);
        self.read(slot);
        self.look_at_goal(slot, now);
    }

    /// Whether everything that there was has come.
    pub(super) fn look_at_goal(&mut self, slot: usize, now: u64) {
        let mut goal = std::mem::take(&mut self.conns[slot].goal);
        goal.retain(|&(room, seq)| self.spot(slot, room).is_some_and(|spot| spot.position() < seq));
        let reached = goal.is_empty();
        self.conns[slot].goal = goal;
        if reached {
            self.perhaps_caught_up(slot, now);
        }
    }

    /// If nothing is awaited any more, the user is where all are.
    pub(super) fn perhaps_caught_up(&mut self, slot: usize, now: u64) {
        let conn = &mut self.conns[slot];
        if !conn.open() || conn.awaited > 0 || !conn.goal.is_empty() {
            return;
        }
        conn.stage = Stage::Live;
        conn.slow = false;
        if conn.lost_at > 0 {
            let took = now.saturating_sub(conn.lost_at);
            conn.lost_at = 0;
            conn.caught_up = now;
            Totals::less(&self.setup.totals.behind, 1);
            self.current().catch_up.record_micros(took / 1000, 1);
        }
        self.send_again(slot);
        if self.under_way == Some(Order::Connect)
            && self.queue.is_empty()
            && self.in_flight == 0
            && self.timers.is_empty()
        {
            self.look_whether_done();
        }
    }

    /// Somebody leaves and comes back.
    pub(super) fn churn(&mut self, user: u32, now: u64) {
        let Some(slot) = self.speaker_after(user) else { return };
        self.leave(slot, now);
        self.enqueue(slot);
        self.count("left and came back", 1);
    }

    /// The slot of this user, or of the next of ours who can speak.
    pub(super) fn speaker_after(&self, user: u32) -> Option<usize> {
        let candidates = (0..200).map(|n| self.agenda.after(user, n));
        candidates
            .filter(|&user| self.setup.holds(self.number, user))
            .map(|user| self.setup.slot(user))
            .find(|&slot| self.conns[slot].speaks())
    }
}

fn share(of: usize, workers: u32) -> usize {
    of.div_ceil(workers.max(1) as usize)
}
