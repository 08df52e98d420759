//! Opening, reading, writing and losing a connection, without ever waiting.

use std::mem;
use std::ops::Range;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::conn::Stage;
use super::wire::{self, Opcode};
use super::worker::Worker;
use crate::Failure;
use crate::plan::split_mix;
use crate::schedule::SECOND;
use crate::secure::Tls;

/// An answer to the upgrade is not longer.
const HEAD_MAX: usize = 16 * 1024;
/// Bytes that may wait for a server that does not read.
const OUT_MAX: usize = 4 * 1024 * 1024;
/// Connections that are opened before the sockets are looked at again.
const OPEN_AT_ONCE: usize = 8;
/// How long a connection may be on its way.
const OPENING_MAX: u64 = 60 * SECOND;
/// How long a server with heartbeats may say nothing.
const SILENCE_MAX: u64 = 30 * SECOND;
/// How long the first one who comes may wait for the server's greeting.
const GREETING_MAX: u64 = 20 * SECOND;
/// Attempts until a user of the first connecting gives up and the run with it.
const ATTEMPTS_MAX: u32 = 10;

impl Worker {
    /// Opens a few connections that wait, as many as may be on their way. Answers whether more could be opened at once.
    pub(super) fn open_some(&mut self, now: u64) -> Result<bool, Failure> {
        let rate = self.setup.scenario.connect.rate.filter(|_| self.phase.is_none());
        let mut opened = 0;
        while self.in_flight < self.in_flight_max && (rate.is_none() || self.next_open <= now) {
            if opened == OPEN_AT_ONCE {
                return Ok(!self.queue.is_empty());
            }
            let Some(slot) = self.queue.pop_front() else { break };
            self.conns[slot].queued = false;
            if !self.conns[slot].wanted || self.conns[slot].stage != Stage::Away {
                continue;
            }
            let mut began = now;
            if let Some(rate) = rate {
                began = if self.next_open == 0 { now } else { self.next_open };
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
                let step = (1e9 * f64::from(self.setup.workers) / rate) as u64;
                self.next_open = began + step;
            }
            self.open(slot, began)?;
            opened += 1;
        }
        Ok(false)
    }

    fn open(&mut self, slot: usize, began: u64) -> Result<(), Failure> {
        let conn = &mut self.conns[slot];
        conn.began = began;
        conn.generation += 1;
        conn.attempts += 1;
        let address = self.setup.addresses[(conn.attempts as usize - 1) % self.setup.addresses.len()];
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(family, SocketType::STREAM, flags, None).map_err(|why| {
            let hint = if why == Errno::MFILE { " (raise the limit of open files: ulimit -n)" } else { "" };
            Failure::new("opening a socket", format!("{why}{hint}"))
        })?;
        let _ = sockopt::set_tcp_nodelay(&socket, true);
        let outcome = net::connect(&socket, &address);
        let data = EventData::new_u64(u64::from(conn.generation) << 32 | slot as u64);
        let watched = epoll::add(&self.epoll, &socket, data, EventFlags::IN | EventFlags::OUT);
        watched.map_err(|why| Failure::new("watching a socket", why))?;
        conn.socket = Some(socket);
        conn.stage = Stage::Connecting;
        conn.watches_room = true;
        self.in_flight += 1;
        match outcome {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(why) => self.lost(slot, &format!("connect: {why}")),
        }
        Ok(())
    }

    /// A socket has something to read, or room to write.
    pub(super) fn ready(&mut self, data: u64, flags: EventFlags) {
        let slot = usize::try_from(data & 0xffff_ffff).unwrap_or(usize::MAX);
        // An event of a connection that is gone.
        if self.conns[slot].socket.is_none() || u64::from(self.conns[slot].generation) != data >> 32 {
            return;
        }
        if self.conns[slot].stage == Stage::Connecting {
            self.connected(slot);
        } else if flags.contains(EventFlags::OUT) {
            self.flush(slot);
        }
        if self.conns[slot].frozen {
            // It ended while nobody read. It is looked at when somebody does.
            if flags.intersects(EventFlags::HUP | EventFlags::ERR)
                && let Some(socket) = &self.conns[slot].socket
            {
                let _ = epoll::delete(&self.epoll, socket);
            }
            return;
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            self.read(slot);
        }
    }

    fn connected(&mut self, slot: usize) {
        let conn = &mut self.conns[slot];
        let Some(socket) = &conn.socket else { return };
        match sockopt::socket_error(socket) {
            Ok(Ok(())) => {}
            Ok(Err(why)) | Err(why) => return self.lost(slot, &format!("connect: {why}")),
        }
        match &self.setup.tls {
            Some((config, name)) => match Tls::new(config.clone(), name.clone(), &mut conn.out) {
                Ok(tls) => {
                    conn.tls = Some(Box::new(tls));
                    conn.stage = Stage::Shaking;
                    self.flush(slot);
                }
                Err(why) => self.lost(slot, &format!("TLS: {why}")),
            },
            None => self.upgrade(slot),
        }
    }

    /// Sends the HTTP request that makes a WebSocket of it.
    fn upgrade(&mut self, slot: usize) {
        use std::io::Write as _;
        let conn = &mut self.conns[slot];
        conn.stage = Stage::Upgrading;
        let asked = self.setup.adapter.upgrade(&self.setup.world, conn.user);
        let path = if asked.path.is_empty() { &self.setup.path } else { &asked.path };
        let key = tungstenite::handshake::client::generate_key();
        let mut head = mem::take(&mut self.clear);
        head.clear();
        let _ = write!(head, "GET {path} HTTP/1.1\r\nHost: {}\r\n", self.setup.host);
        let _ = write!(head, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
        let _ = write!(head, "Sec-WebSocket-Key: {key}\r\n");
        for (name, value) in &asked.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.extend_from_slice(b"\r\n");
        // The answer must be derived from the key; it is kept until it comes.
        conn.pieces = tungstenite::handshake::derive_accept_key(key.as_bytes()).into_bytes();
        self.clear = head;
        self.write_clear(slot);
    }

    /// Seals and sends what stands in `clear`.
    pub(super) fn write_clear(&mut self, slot: usize) {
        let conn = &mut self.conns[slot];
        let Some(socket) = &conn.socket else { return };
        self.sealed.clear();
        let bytes: &[u8] = match &mut conn.tls {
            Some(tls) => {
                if let Err(why) = tls.seal(&self.clear, &mut self.sealed) {
                    return self.lost(slot, &format!("TLS: {why}"));
                }
                &self.sealed
            }
            None => &self.clear,
        };
        if !conn.out.is_empty() {
            conn.out.extend_from_slice(bytes);
            if conn.out.len() > OUT_MAX {
                self.lost(slot, "the server does not read");
            }
            return;
        }
        let sent = match net::send(socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => sent,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(why) => return self.lost(slot, &format!("cut: {why}")),
        };
        if sent < bytes.len() {
            conn.out = bytes[sent..].to_vec();
            self.watch(slot);
        }
    }

    /// Sends what waits.
    fn flush(&mut self, slot: usize) {
        let conn = &mut self.conns[slot];
        let Some(socket) = &conn.socket else { return };
        while !conn.out.is_empty() {
            match net::send(socket, &conn.out, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(conn.out.drain(..sent)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(why) => return self.lost(slot, &format!("cut: {why}")),
            }
        }
        if conn.out.is_empty() {
            conn.out = Vec::new();
        }
        self.watch(slot);
    }

    /// Keeps epoll's interest in line with what is wanted.
    pub(super) fn watch(&mut self, slot: usize) {
        let conn = &mut self.conns[slot];
        let Some(socket) = &conn.socket else { return };
        let room = !conn.out.is_empty();
        if room == conn.watches_room && !conn.frozen {
            return;
        }
        conn.watches_room = room;
        let mut flags = if conn.frozen { EventFlags::empty() } else { EventFlags::IN };
        flags.set(EventFlags::OUT, room);
        let data = EventData::new_u64(u64::from(conn.generation) << 32 | slot as u64);
        let _ = epoll::modify(&self.epoll, socket, data, flags);
    }

    pub(super) fn read(&mut self, slot: usize) {
        let mut received = mem::take(&mut self.received);
        let mut plain = mem::take(&mut self.plain);
        while let Some(socket) = &self.conns[slot].socket {
            let got = match net::recv(socket, &mut received[..], RecvFlags::empty()) {
                Ok((0, _)) => {
                    self.lost(slot, "cut: the server ended the connection");
                    break;
                }
                Ok((got, _)) => got,
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(why) => {
                    self.lost(slot, &format!("cut: {why}"));
                    break;
                }
            };
            self.received(slot, &mut received[..got], &mut plain);
            // What is left makes epoll say so again.
            if got < received.len() {
                break;
            }
        }
        self.received = received;
        self.plain = plain;
    }

    fn received(&mut self, slot: usize, bytes: &mut [u8], plain: &mut Vec<u8>) {
        let now = self.setup.now();
        let conn = &mut self.conns[slot];
        conn.heard = now;
        let Some(tls) = &mut conn.tls else { return self.plain(slot, bytes, now) };
        plain.clear();
        let waiting = conn.out.len();
        if let Err(why) = tls.feed(bytes, plain, &mut conn.out) {
            return self.lost(slot, &format!("TLS: {why}"));
        }
        let (answers, shaken) = (conn.out.len() > waiting, tls.established && conn.stage == Stage::Shaking);
        if answers {
            self.flush(slot);
        }
        if shaken && self.conns[slot].stage == Stage::Shaking {
            self.upgrade(slot);
        }
        if !plain.is_empty() {
            self.plain(slot, plain, now);
        }
    }

    /// Bytes of HTTP, then of WebSocket frames.
    fn plain(&mut self, slot: usize, bytes: &[u8], now: u64) {
        let conn = &mut self.conns[slot];
        let mut joined = mem::take(&mut conn.rest);
        let bytes = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        let mut at = 0;
        if conn.stage == Stage::Upgrading {
            let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
                if bytes.len() > HEAD_MAX {
                    return self.lost(slot, "upgrade: an endless answer");
                }
                self.conns[slot].rest = bytes.to_vec();
                return;
            };
            if let Err(why) = accepted(&bytes[..end], &mem::take(&mut conn.pieces)) {
                return self.lost(slot, &why);
            }
            at = end + 4;
            conn.stage = Stage::Opening;
            self.frames.clear();
            self.setup.adapter.opened(&self.setup.world, &mut self.conns[slot].link, &mut self.frames);
            self.push(slot);
        }
        let generation = self.conns[slot].generation;
        loop {
            match wire::read(bytes, at) {
                Ok(Some(frame)) => {
                    at = frame.payload.end;
                    self.frame(slot, bytes, frame.opcode, frame.last, frame.payload, now);
                }
                Ok(None) => break,
                Err(why) => {
                    self.verdict.fault("nonsense", || why.to_owned());
                    return self.lost(slot, "nonsense");
                }
            }
            let conn = &self.conns[slot];
            if conn.socket.is_none() || conn.generation != generation {
                return;
            }
        }
        if at < bytes.len() {
            self.conns[slot].rest = bytes[at..].to_vec();
        }
        if !self.conns[slot].goal.is_empty() {
            self.look_at_goal(slot, now);
        }
    }

    fn frame(&mut self, slot: usize, bytes: &[u8], opcode: Opcode, last: bool, payload: Range<usize>, now: u64) {
        let payload = &bytes[payload];
        match opcode {
            Opcode::Text | Opcode::Binary if last => self.message(slot, payload, now),
            Opcode::Text | Opcode::Binary => self.conns[slot].pieces = payload.to_vec(),
            Opcode::Continuation => {
                let pieces = &mut self.conns[slot].pieces;
                pieces.extend_from_slice(payload);
                if pieces.len() > wire::MESSAGE_MAX {
                    return self.lost(slot, "a message larger than 16 MiB");
                }
                if last {
                    let whole = mem::take(pieces);
                    self.message(slot, &whole, now);
                }
            }
            Opcode::Ping => {
                self.clear.clear();
                let mask = self.next_mask();
                wire::write(Opcode::Pong, payload, mask, &mut self.clear);
                self.write_clear(slot);
            }
            Opcode::Pong => {}
            Opcode::Close => {
                let code = wire::close_code(payload);
                // Its words are the last that is said to who was not in yet.
                if self.conns[slot].stage == Stage::Opening
                    && let Some(words) = payload.get(2..).filter(|words| !words.is_empty())
                {
                    self.greeting = String::from_utf8_lossy(words).into_owned();
                }
                self.lost(slot, &format!("closed {code}"));
            }
        }
    }

    /// Sends the frames that stand in `frames`.
    pub(super) fn push(&mut self, slot: usize) {
        if self.frames.is_empty() {
            return;
        }
        self.clear.clear();
        let frames = mem::take(&mut self.frames);
        for frame in frames.iter() {
            let mask = self.next_mask();
            wire::write(Opcode::Text, frame.as_bytes(), mask, &mut self.clear);
        }
        self.frames = frames;
        self.frames.clear();
        self.write_clear(slot);
    }

    #[allow(clippy::cast_possible_truncation)] // half of it is enough
    pub(super) fn next_mask(&mut self) -> u32 {
        self.mask = split_mix(self.mask);
        self.mask as u32
    }

    /// The connection is gone, and not because we wanted it.
    pub(super) fn lost(&mut self, slot: usize, why: &str) {
        let now = self.setup.now();
        let conn = &self.conns[slot];
        if conn.socket.is_none() {
            return;
        }
        let (arriving, wanted, frozen) = (conn.on_its_way(), conn.wanted, conn.frozen);
        let ungreeted = conn.stage == Stage::Opening;
        self.take_down(slot, now);
        if !wanted {
            return;
        }
        if arriving {
            self.count("connects that failed", 1);
            self.second.errors += 1;
            if self.phase.is_none() && self.conns[slot].attempts >= ATTEMPTS_MAX {
                self.fatal = Some(if ungreeted {
                    self.not_greeted(&format!("did not come: {why} ({ATTEMPTS_MAX} attempts)"))
                } else {
                    Failure::new(
                        format!("connecting user {}", self.conns[slot].user),
                        format!("{why} ({ATTEMPTS_MAX} attempts)"),
                    )
                });
                return;
            }
        } else if frozen || self.conns[slot].slow {
            self.count(&format!("slow: {why}"), 1);
        } else {
            self.trouble(why);
        }
        // Not all at once: clients come back with chance in it.
        let attempts = self.conns[slot].attempts.min(6);
        let chance = u64::from(self.next_mask()) % 100;
        let wait = ((SECOND / 20) << attempts) / 100 * (50 + chance);
        self.timers.push(std::cmp::Reverse((now + wait, slot)));
    }

    /// Ends a connection on this side, without a word.
    pub(super) fn take_down(&mut self, slot: usize, now: u64) {
        let conn = &mut self.conns[slot];
        if let Some(socket) = &conn.socket {
            // Closing does it as well, but not while the descriptor is shared.
            let _ = epoll::delete(&self.epoll, socket);
        }
        if conn.on_its_way() {
            self.in_flight -= 1;
        }
        if conn.open() {
            super::Totals::less(&self.setup.totals.open, 1);
        }
        if conn.lost_at == 0 && conn.generation > 0 && conn.wanted && conn.open() {
            conn.lost_at = now;
            super::Totals::add(&self.setup.totals.behind, 1);
        }
        conn.drop_connection();
        self.restart_spots(slot);
    }

    /// Once a second: connections that hang on their way.
    pub(super) fn give_up_on_the_stuck(&mut self, now: u64) {
        for slot in 0..self.conns.len() {
            let conn = &self.conns[slot];
            if !conn.on_its_way() {
                // An end that got lost on the way shows in no other way: whoever only listens is never told.
                if self.setup.can.heartbeat && conn.open() && !conn.frozen && now > conn.heard + SILENCE_MAX {
                    self.lost(slot, "silent: nothing came for 30 s");
                }
                continue;
            }
            let waited = now.saturating_sub(conn.began);
            if conn.stage == Stage::Opening && self.phase.is_none() {
                // While nobody at all comes in, more of the same does not help; one of many may try once more.
                let nobody = super::Totals::get(&self.setup.totals.open) == 0;
                if nobody && waited > GREETING_MAX || waited > OPENING_MAX && conn.attempts > 1 {
                    let why = format!("did not come within {} s", waited / SECOND);
                    self.fatal = Some(self.not_greeted(&why));
                    return;
                }
            }
            if waited > OPENING_MAX {
                self.lost(slot, "connect: nothing came for 60 s");
            }
        }
    }
}

/// Whether the answer to an upgrade is the right one.
fn accepted(head: &[u8], key: &[u8]) -> Result<(), String> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or("");
    if status.split(' ').nth(1) != Some("101") {
        let advice = if status.contains(" 404") {
            ": is the path of --target, and the --adapter, that of the server?"
        } else {
            ""
        };
        return Err(format!("upgrade: {status}{advice}"));
    }
    let accept =
        lines.filter_map(|line| line.split_once(':')).find(|(n, _)| n.eq_ignore_ascii_case("sec-websocket-accept"));
    match accept {
        Some((_, value)) if value.trim().as_bytes() == key => Ok(()),
        _ => Err("upgrade: not the answer to our key".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_our_key_counts() {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nsec-websocket-accept: abc";
        assert_eq!(accepted(head, b"abc"), Ok(()));
        assert!(accepted(head, b"abd").is_err());
        assert_eq!(accepted(b"HTTP/1.1 401 Unauthorized\r\n", b""), Err("upgrade: HTTP/1.1 401 Unauthorized".into()));
    }
}
