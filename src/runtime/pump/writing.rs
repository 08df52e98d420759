//! The end of a turn: what is written to the sockets, together where that is cheaper, and not too often to one.

use std::rc::Rc;

use crate::base::limits::WRITE_BYTES_MAX;
use crate::base::{ConnId, Moment};
use crate::runtime::inbox::Flow;
use crate::runtime::port::{Sent, Socket};
use crate::runtime::seam::Machine;
use crate::runtime::stall::{Kind, Tally};

use super::{Core, Pump};

/// Sockets are written to for so long in one turn, in microseconds; the rest follows in the next turn, with what came in meanwhile.
const WRITE_US: u64 = 5_000;

/// One of the connections that are written to together.
pub(super) struct Sending {
    conn: ConnId,
    socket: Rc<dyn Socket>,
    /// Bytes before they were sealed.
    bytes: usize,
    /// The machine has more for it.
    more: bool,
}

impl<M: Machine> Pump<M> {
    /// One write for each connection that has something, in the turn that began at `turn`. Answers whether some are left.
    pub(super) fn write_out(&self, core: &mut Core<M>, turn: Moment, tally: &mut Tally) -> bool {
        let parts = &self.parts;
        if core.dirty.is_empty() && core.paced.is_empty() {
            core.pace.spent(0, turn);
            return false;
        }
        parts.mailbox.beat.busy(Kind::Writing);
        let begin = parts.clock.mono();
        while let Some(&(due, conn)) = core.paced.front()
            && due <= begin
        {
            core.paced.pop_front();
            core.dirty.push_back(conn);
        }
        let wait_us = if self.draining.get() { 0 } else { core.pace.wait_us() };
        let mut last = begin;
        let mut closed = false;
        for _ in 0..core.dirty.len() {
            let Some(conn) = core.dirty.pop_front() else { break };
            if wait_us > 0
                && let Some(due) = self.inbox.with_slot(conn, |slot| Moment(slot.written.0.saturating_add(wait_us)))
                && due > begin
            {
                core.paced.push_back((due, conn));
                continue;
            }
            closed |= self.write_one(core, conn, begin);
            if core.sends.len() > 0 && !core.sends.is_full() {
                continue;
            }
            self.send_all(core);
            let at = parts.clock.mono();
            tally.add(Kind::Writing, at.micros_since(last));
            last = at;
            if at.micros_since(begin) >= WRITE_US {
                break;
            }
        }
        if core.sends.len() > 0 {
            self.send_all(core);
            let at = parts.clock.mono();
            tally.add(Kind::Writing, at.micros_since(last));
            last = at;
        }
        core.pace.spent(last.micros_since(begin), last);
        // What the machine has to do about a connection that is over, it does in the next turn: now, not at its next deadline.
        closed || !core.dirty.is_empty()
    }

    /// Answers whether the connection was closed.
    fn write_one(&self, core: &mut Core<M>, conn: ConnId, now: Moment) -> bool {
        let taken = self.inbox.with_slot(conn, |slot| {
            slot.listed = false;
            slot.wants = false;
            slot.written = now;
            (slot.socket.clone(), slot.flow, std::mem::take(&mut slot.kept))
        });
        let Some((socket, flow, kept)) = taken else { return false };
        let bytes = &mut core.bytes;
        bytes.clear();
        match flow {
            // Its task has said `gone`, or will: the machine hears of it.
            Flow::Broken => {}
            Flow::Blocked => {
                bytes.extend_from_slice(&kept);
                let output = core.machine.take_output(conn, 0, bytes);
                if let Some(code) = output.close {
                    self.inbox.remove(conn);
                    socket.close(code);
                    return true;
                }
                self.inbox.with_slot(conn, |slot| {
                    slot.wants = true;
                    slot.kept.extend_from_slice(bytes);
                });
            }
            Flow::Open => {
                let (more, close) = if kept.is_empty() {
                    let output = core.machine.take_output(conn, WRITE_BYTES_MAX, bytes);
                    (output.more, output.close)
                } else {
                    bytes.extend_from_slice(&kept);
                    (true, None)
                };
                if !bytes.is_empty() && close.is_none() && core.sends.enabled() {
                    let from = core.sends.buffer().len();
                    if let Some(fd) = socket.seal(bytes, core.sends.buffer()) {
                        core.sends.push(fd, from);
                        core.sending.push(Sending { conn, socket, bytes: bytes.len(), more });
                        return false;
                    }
                }
                let sent = if bytes.is_empty() {
                    Sent::All
                } else {
                    let sent = socket.send(bytes);
                    self.count(bytes.len(), sent);
                    sent
                };
                if let Some(code) = close {
                    self.inbox.remove(conn);
                    socket.close(code);
                    return true;
                }
                if self.was_sent(conn, sent, more) {
                    core.dirty.push_back(conn);
                }
            }
        }
        false
    }

    /// Sends what was gathered with as few calls into the kernel as can be.
    fn send_all(&self, core: &mut Core<M>) {
        let Core { sends, sending, dirty, .. } = core;
        sends.submit(|place, sealed, taken| {
            let Some(Sending { conn, socket, bytes, more }) = sending.get(place) else { return };
            let sent = socket.sealed(sealed, taken);
            self.count(*bytes, sent);
            if self.was_sent(*conn, sent, *more) {
                dirty.push_back(*conn);
            }
        });
        sending.clear();
    }

    /// Notes what became of a write. Answers whether the connection is to be written to again.
    fn was_sent(&self, conn: ConnId, sent: Sent, more: bool) -> bool {
        let list = self.inbox.with_slot(conn, |slot| {
            match sent {
                Sent::All => slot.listed |= more,
                Sent::Blocked => {
                    // The socket may have said `gone` from within `send`.
                    if slot.flow == Flow::Open {
                        slot.flow = Flow::Blocked;
                    }
                    slot.wants |= more;
                }
                Sent::Broken => slot.flow = Flow::Broken,
            }
            sent == Sent::All && more
        });
        list == Some(true)
    }

    fn count(&self, bytes: usize, sent: Sent) {
        let shell = &mut *self.parts.shell.borrow_mut();
        shell.writes += 1;
        shell.written_bytes += bytes as u64;
        shell.writes_blocked += u64::from(sent == Sent::Blocked);
    }
}
