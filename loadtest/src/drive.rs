//! The open loop: one thread, many connections, sends on a schedule that waits for nobody.
//!
//! A latency is counted from the moment at which a message was *meant* to be sent, so that a stall of the server or of this
//! thread shows in all that it delayed. The thread polls with epoll, reads what came, and sends what is due; how late it was is
//! recorded beside.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{Timespec, epoll};
use serde::Deserialize;
use tungstenite::{Message, WebSocket};
use uuid::Uuid;

use crate::check::{Answer, Entry, Sent, View};
use crate::plan::Shape;
use crate::prepare::Ready;
use crate::tls::Stream;
use crate::{Context as _, Failure};

/// What the threads of a run share.
#[derive(Debug, Default)]
pub struct Shared {
    /// When the first message is meant to be sent. Set once, when all are connected.
    pub start: OnceLock<Instant>,
    /// Enough: give up waiting and report.
    pub stop: AtomicBool,
    /// Messages sent, acks and refusals that came, deliveries that came: to see when all is in.
    pub sent: AtomicU64,
    /// See `sent`.
    pub answered: AtomicU64,
    /// See `sent`.
    pub delivered: AtomicU64,
}

/// What one thread saw.
pub struct Seen {
    /// What every connection saw of its room.
    pub views: Vec<View>,
    /// Every ack.
    pub answers: Vec<Answer>,
    /// Every user's sends.
    pub sent: Vec<Sent>,
    /// Deliveries from outside.
    pub foreign: Vec<(String, Uuid, u64)>,
    /// Errors by code, `resync`, `reload` and closes.
    pub troubles: HashMap<String, u64>,
    /// Intended send to ack, in microseconds.
    pub ack: Histogram<u64>,
    /// Intended send to each delivery, in microseconds.
    pub delivery: Histogram<u64>,
    /// How late a message was sent, in microseconds.
    pub lateness: Histogram<u64>,
    /// Connections still open at the end.
    pub open: usize,
}

/// A frame of the server, as far as it matters here.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    id: Option<Uuid>,
    room_id: Option<Uuid>,
    seq: Option<u64>,
    #[serde(borrow)]
    content: Option<std::borrow::Cow<'a, str>>,
}

struct Conn {
    socket: WebSocket<Stream>,
    user: usize,
    view: View,
    sent: Vec<Uuid>,
    open: bool,
    /// Something is still to be written: wait for room, too.
    blocked: bool,
}

/// The loop of one thread: number `thread` of `shape.threads`.
pub struct Driver {
    epoll: OwnedFd,
    shape: Shape,
    thread: usize,
    /// The messages this thread sends: their number and who sends them.
    schedule: Vec<(usize, usize)>,
    conns: Vec<Conn>,
    by_user: HashMap<usize, usize>,
    pending: HashMap<Uuid, (usize, Duration)>,
    shared: Arc<Shared>,
    seen: Seen,
}

impl Driver {
    /// A loop without connections.
    ///
    /// # Errors
    /// When the kernel gives no epoll.
    pub fn new(shape: Shape, thread: usize, shared: Arc<Shared>) -> Result<Self, Failure> {
        let senders = shape.senders();
        let schedule = (0..shape.messages())
            .map(|k| (k, senders[k % senders.len()]))
            .filter(|(_, user)| user % shape.threads == thread)
            .collect();
        let histogram = || Histogram::new_with_bounds(1, 120_000_000, 3).context("a histogram");
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).context("making an epoll")?,
            schedule,
            thread,
            conns: Vec::new(),
            by_user: HashMap::new(),
            pending: HashMap::new(),
            shared,
            seen: Seen {
                views: Vec::new(),
                answers: Vec::new(),
                sent: Vec::new(),
                foreign: Vec::new(),
                troubles: HashMap::new(),
                ack: histogram()?,
                delivery: histogram()?,
                lateness: histogram()?,
                open: 0,
            },
            shape,
        })
    }

    /// Takes connections, then sends and reads until told to stop.
    ///
    /// # Errors
    /// When epoll fails; what happens to single connections is part of what was seen.
    pub fn run(mut self, incoming: &Receiver<Ready>) -> Result<Seen, Failure> {
        let mut next = 0;
        let mut all_here = false;
        while !self.shared.stop.load(Ordering::Relaxed) {
            while !all_here {
                match incoming.try_recv() {
                    Ok(ready) => self.take(ready)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => all_here = true,
                }
            }
            let mut wait = Duration::from_millis(20);
            if let Some(&start) = self.shared.start.get() {
                let now = start.elapsed_signed();
                while let Some(&(k, user)) = self.schedule.get(next) {
                    let due = self.shape.due(k);
                    if now < Some(due) {
                        wait = wait.min(due.saturating_sub(now.unwrap_or_default()));
                        break;
                    }
                    self.send(user, due, start);
                    next += 1;
                }
            }
            self.poll(wait)?;
        }
        Ok(self.finish())
    }

    fn take(&mut self, ready: Ready) -> Result<(), Failure> {
        let Ready { user, client, room, after } = ready;
        let socket = client.into_socket();
        let tcp = &socket.get_ref().sock;
        tcp.set_nonblocking(true).context("making a socket non-blocking")?;
        let place = self.conns.len();
        let data = epoll::EventData::new_u64(place as u64);
        epoll::add(&self.epoll, tcp, data, epoll::EventFlags::IN).context("watching a socket")?;
        let view = View { who: format!("user {user}"), room, after, ..View::default() };
        self.by_user.insert(user, place);
        self.conns.push(Conn { socket, user, view, sent: Vec::new(), open: true, blocked: false });
        // What came with the upgrade may stand in the buffers already.
        self.read(place);
        Ok(())
    }

    fn send(&mut self, user: usize, due: Duration, start: Instant) {
        let Some(&place) = self.by_user.get(&user) else { return };
        let conn = &mut self.conns[place];
        let key = Uuid::now_v7();
        let mut content = format!("{key} {} ", due.as_nanos());
        while content.len() < self.shape.payload {
            content.push_str("lorem ipsum ");
        }
        content.truncate(self.shape.payload);
        // A JSON string of plain ASCII needs no escapes.
        let frame = format!(
            r#"{{"type":"chat","id":"{key}","room_id":"{}","content":"{}"}}"#,
            conn.view.room,
            content.trim_end()
        );
        let late = start.elapsed().saturating_sub(due);
        let _ = self.seen.lateness.record(micros(late));
        conn.sent.push(key);
        self.pending.insert(key, (place, due));
        self.shared.sent.fetch_add(1, Ordering::Relaxed);
        let outcome = conn.socket.send(Message::text(frame));
        self.written(place, outcome);
    }

    /// Keeps epoll's interest in line with whether something is left to write.
    fn written(&mut self, place: usize, outcome: Result<(), tungstenite::Error>) {
        let blocked = match outcome {
            Ok(()) => false,
            Err(tungstenite::Error::Io(why)) if why.kind() == io::ErrorKind::WouldBlock => true,
            Err(tungstenite::Error::WriteBufferFull(_)) => true,
            Err(why) => return self.lost(place, &format!("cut: {why}")),
        };
        let conn = &mut self.conns[place];
        if conn.blocked != blocked {
            conn.blocked = blocked;
            let mut flags = epoll::EventFlags::IN;
            flags.set(epoll::EventFlags::OUT, blocked);
            let data = epoll::EventData::new_u64(place as u64);
            let _ = epoll::modify(&self.epoll, &conn.socket.get_ref().sock, data, flags);
        }
    }

    fn poll(&mut self, wait: Duration) -> Result<(), Failure> {
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 256];
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
        let ready: Vec<(usize, epoll::EventFlags)> = match epoll::wait(&self.epoll, &mut events[..], Some(&timeout)) {
            Ok((ready, _)) => ready
                .iter()
                .map(|event| (usize::try_from(event.data.u64()).unwrap_or(usize::MAX), event.flags))
                .collect(),
            Err(rustix::io::Errno::INTR) => Vec::new(),
            Err(why) => return Err(Failure::new("waiting for sockets", why)),
        };
        for (place, flags) in ready {
            if flags.contains(epoll::EventFlags::OUT) && self.conns[place].open {
                let outcome = self.conns[place].socket.flush();
                self.written(place, outcome);
            }
            if self.conns[place].open {
                self.read(place);
            }
        }
        Ok(())
    }

    fn read(&mut self, place: usize) {
        loop {
            match self.conns[place].socket.read() {
                Ok(Message::Text(text)) => self.frame(place, text.as_str()),
                Ok(Message::Close(close)) => {
                    let code = close.map_or(1005, |c| u16::from(c.code));
                    return self.lost(place, &format!("closed {code}"));
                }
                Ok(_) => {}
                Err(tungstenite::Error::Io(why)) if why.kind() == io::ErrorKind::WouldBlock => break,
                Err(why) => return self.lost(place, &format!("cut: {why}")),
            }
        }
        // Pongs wait to be sent.
        let outcome = self.conns[place].socket.flush();
        self.written(place, outcome);
    }

    fn frame(&mut self, place: usize, text: &str) {
        let now = Instant::now();
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(text) else {
            return self.trouble("a frame that is no JSON");
        };
        let conn = &mut self.conns[place];
        let since = |start: &OnceLock<Instant>, due: Duration| {
            start.get().map(|start| micros(now.saturating_duration_since(*start).saturating_sub(due)))
        };
        match frame.kind.as_ref() {
            "ack" => {
                let (Some(key), Some(seq)) = (frame.id, frame.seq) else { return };
                let room = frame.room_id.unwrap_or(conn.view.room);
                conn.view.own.push(seq);
                self.seen.answers.push(Answer { key, room, seq });
                if let Some((_, due)) = self.pending.remove(&key) {
                    self.shared.answered.fetch_add(1, Ordering::Relaxed);
                    if let Some(took) = since(&self.shared.start, due) {
                        let _ = self.seen.ack.record(took);
                    }
                }
            }
            "error" => {
                if frame.id.and_then(|key| self.pending.remove(&key)).is_some() {
                    self.shared.answered.fetch_add(1, Ordering::Relaxed);
                }
                let whole: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
                let code = whole["metadata"]["code"].as_str().unwrap_or("?").to_owned();
                self.trouble(&format!("error {code}"));
            }
            "resync" | "reload" | "notice" => self.trouble(&frame.kind),
            "chat" | "join" | "leave" | "delete" | "system" => {
                let (Some(room), Some(seq)) = (frame.room_id, frame.seq) else { return };
                let message = frame.content.as_deref().and_then(message);
                let key = message.map(|(key, _)| key).filter(|_| frame.kind == "chat");
                if room == conn.view.room {
                    conn.view.live.push(Entry { seq, key });
                } else {
                    let who = conn.view.who.clone();
                    self.seen.foreign.push((who, room, seq));
                }
                if let Some((_, due)) = message {
                    self.shared.delivered.fetch_add(1, Ordering::Relaxed);
                    if let Some(took) = since(&self.shared.start, due) {
                        let _ = self.seen.delivery.record(took);
                    }
                }
            }
            // Presence, typing and the like stand in no log.
            _ => {}
        }
    }

    fn lost(&mut self, place: usize, why: &str) {
        let conn = &mut self.conns[place];
        if conn.open {
            conn.open = false;
            let _ = epoll::delete(&self.epoll, &conn.socket.get_ref().sock);
            self.trouble(why);
        }
    }

    fn trouble(&mut self, what: &str) {
        *self.seen.troubles.entry(what.to_owned()).or_default() += 1;
    }

    fn finish(mut self) -> Seen {
        for conn in self.conns {
            self.seen.open += usize::from(conn.open);
            let room = conn.view.room;
            let who = format!("user {} of thread {}", conn.user, self.thread);
            self.seen.sent.push(Sent { who, room, keys: conn.sent });
            self.seen.views.push(conn.view);
        }
        self.seen
    }
}

/// Which message a text is, and when it was meant to be sent.
#[must_use]
pub fn message(content: &str) -> Option<(Uuid, Duration)> {
    let due = content.split(' ').nth(1)?.parse().ok()?;
    Some((key(content)?, Duration::from_nanos(due)))
}

/// Which message a text is: its first word is the id it was sent with.
#[must_use]
pub fn key(content: &str) -> Option<Uuid> {
    Uuid::try_parse(content.split(' ').next()?).ok()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

/// Time since a moment that may still be to come.
trait Elapsed {
    /// `None` while it is to come.
    fn elapsed_signed(&self) -> Option<Duration>;
}

impl Elapsed for Instant {
    fn elapsed_signed(&self) -> Option<Duration> {
        Instant::now().checked_duration_since(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_its_message_and_its_time() {
        let key = Uuid::from_u128(5);
        assert_eq!(message(&format!("{key} 1500 lorem")), Some((key, Duration::from_nanos(1500))));
        assert_eq!(message("hello"), None);
        assert_eq!(super::key(&format!("{key}")), Some(key));
    }
}
