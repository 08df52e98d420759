//! The poll loop of the fake server: sockets, time, stamps. What is said to whom, [`super::world`] decides.

use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustls::{ServerConfig, ServerConnection};
use serde_json::json;
use uuid::Uuid;

use super::socket::{Input, Request, Socket};
use super::world::{Out, What, World};
use super::{Record, Setup, Stamp, lock, rest};

/// The listener's place among the sockets.
const LISTENER: u64 = u64::MAX;

struct Conn {
    socket: Socket,
    user: Option<Uuid>,
    blocked: bool,
    /// Nothing is sent before this: what waits for a delay is not overtaken.
    not_before: Instant,
    pings: u64,
    /// Stamps that wait for the pong with their number: of deliveries (true) and of acks.
    unread: VecDeque<(u64, bool, usize)>,
}

/// Something that is sent when its time has come. The heap gives the earliest first, in the order of making.
struct Timed {
    at: Instant,
    order: u64,
    out: Out,
}

impl Ord for Timed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}
impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Timed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Timed {}

pub struct Server {
    listener: TcpListener,
    epoll: OwnedFd,
    tls: Arc<ServerConfig>,
    setup: Setup,
    stop: Arc<AtomicBool>,
    record: Arc<Mutex<Record>>,
    world: World,
    conns: HashMap<u64, Conn>,
    next_conn: u64,
    waiting: BinaryHeap<Timed>,
    order: u64,
    /// Deliveries and acks so far.
    said: u64,
    /// Messages read so far.
    heard: u64,
}

impl Server {
    pub fn new(
        listener: TcpListener,
        tls: Arc<ServerConfig>,
        mut setup: Setup,
        stop: Arc<AtomicBool>,
        record: Arc<Mutex<Record>>,
    ) -> Self {
        listener.set_nonblocking(true).unwrap();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN).unwrap();
        let world = World::new(std::mem::take(&mut setup.plan));
        Self {
            listener,
            epoll,
            tls,
            setup,
            stop,
            record,
            world,
            conns: HashMap::new(),
            next_conn: 0,
            waiting: BinaryHeap::new(),
            order: 0,
            said: 0,
            heard: 0,
        }
    }

    pub fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            let pause = self.waiting.peek().map_or(Duration::from_millis(20), |next| next.at.duration_since(now));
            for (place, flags) in self.poll(pause.min(Duration::from_millis(20))) {
                if place == LISTENER {
                    self.accept();
                } else {
                    self.serve(place, flags);
                }
            }
            self.send_what_is_due();
        }
    }

    fn poll(&self, pause: Duration) -> Vec<(u64, epoll::EventFlags)> {
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 256];
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(pause.subsec_nanos()) };
        match epoll::wait(&self.epoll, &mut events[..], Some(&timeout)) {
            Ok((ready, _)) => ready.iter().map(|event| (event.data.u64(), event.flags)).collect(),
            Err(rustix::io::Errno::INTR) => Vec::new(),
            Err(why) => panic!("epoll: {why}"),
        }
    }

    fn accept(&mut self) {
        while let Ok((tcp, _)) = self.listener.accept() {
            tcp.set_nonblocking(true).unwrap();
            tcp.set_nodelay(true).unwrap();
            let place = self.next_conn;
            self.next_conn += 1;
            epoll::add(&self.epoll, &tcp, epoll::EventData::new_u64(place), epoll::EventFlags::IN).unwrap();
            let socket = Socket::new(tcp, ServerConnection::new(self.tls.clone()).unwrap());
            let (blocked, not_before) = (false, Instant::now());
            let unread = VecDeque::new();
            self.conns.insert(place, Conn { socket, user: None, blocked, not_before, pings: 0, unread });
        }
    }

    fn serve(&mut self, place: u64, flags: epoll::EventFlags) {
        if !flags.is_empty() {
            let inputs = self.conns.get_mut(&place).map(|conn| conn.socket.read()).unwrap_or_default();
            for input in inputs {
                self.take(place, input);
            }
        }
        self.flush(place);
    }

    fn take(&mut self, place: u64, input: Input) {
        match input {
            Input::Request(request) if request.header("upgrade").is_some() => self.upgrade(place, &request),
            Input::Request(request) => {
                let user = request.bearer().and_then(rest::subject);
                let (status, body) = match user {
                    Some(user) => rest::answer(&mut self.world, user, &request),
                    None => rest::problem(401, "not_authenticated"),
                };
                if let Some(conn) = self.conns.get_mut(&place) {
                    conn.socket.answer(status, &body);
                }
                self.push_outs();
            }
            Input::Frame(frame) => {
                let now = Instant::now();
                let kind = frame["type"].as_str().unwrap_or("?").to_owned();
                *lock(&self.record).frames.entry(kind.clone()).or_default() += 1;
                let user = self.conns.get(&place).and_then(|conn| conn.user);
                match user {
                    Some(user) => {
                        if kind == "chat" {
                            self.hear(&frame, now);
                        }
                        self.world.handle(place, user, &frame);
                    }
                    // Who did not say it at the upgrade says it in the first frame.
                    None => match frame["content"].as_str().filter(|_| kind == "auth").and_then(rest::subject) {
                        Some(user) => self.welcome(place, user),
                        None => self.world.say(place, What::Close(4401)),
                    },
                }
                self.push_outs();
            }
            Input::Pong(number) => {
                let now = Instant::now();
                let Some(conn) = self.conns.get_mut(&place) else { return };
                let mut record = lock(&self.record);
                // A client may answer only the newest ping.
                while let Some(&(_, delivery, index)) = conn.unread.front().filter(|(ping, ..)| *ping <= number) {
                    let stamps = if delivery { &mut record.deliveries } else { &mut record.acks };
                    stamps[index].read_by = Some(now);
                    conn.unread.pop_front();
                }
            }
            Input::Violation(what) => {
                lock(&self.record).violations.push(what);
                self.world.say(place, What::Close(4400));
                self.push_outs();
            }
            Input::End => {
                self.world.gone(place);
                self.conns.remove(&place);
            }
        }
    }

    fn upgrade(&mut self, place: u64, request: &Request) {
        let user = request.bearer().map(rest::subject);
        let Some(conn) = self.conns.get_mut(&place) else { return };
        if request.path != "/ws/chat" || user == Some(None) {
            let (status, body) = rest::problem(401, "not_authenticated");
            return conn.socket.answer(status, &body);
        }
        conn.socket.upgrade(request);
        lock(&self.record).opened += 1;
        if let Some(Some(user)) = user {
            self.welcome(place, user);
            self.push_outs();
        }
        // What came with the request stands in the buffer already.
        self.serve(place, epoll::EventFlags::IN);
    }

    fn welcome(&mut self, place: u64, user: Uuid) {
        if let Some(conn) = self.conns.get_mut(&place) {
            conn.user = Some(user);
            conn.not_before = Instant::now() + self.setup.hello_delay;
        }
        match self.setup.greeting {
            Some("") => {}
            Some(other) => self.world.say_first(place, other),
            None => self.world.hello(place, user),
        }
    }

    /// Stamps a message, and stalls after it if that is asked for.
    fn hear(&mut self, frame: &serde_json::Value, now: Instant) {
        if let Some((key, due)) = frame["content"].as_str().and_then(key_and_due) {
            lock(&self.record).messages.push((key, due, now));
        }
        if self.setup.stall.is_some_and(|(at, _)| at == self.heard) {
            let time = self.setup.stall.unwrap_or_default().1;
            std::thread::sleep(time);
            lock(&self.record).stalled = Some((now, Instant::now()));
        }
        self.heard += 1;
    }

    /// Puts what the world wants said in line.
    fn push_outs(&mut self) {
        let now = Instant::now();
        // Before anybody can see them.
        lock(&self.record).deeds.append(&mut self.world.deeds);
        for out in self.world.take_outs() {
            let delay = match (&out.what, self.setup.delay) {
                (What::Frame { message: Some(_), .. }, Some(delay)) => {
                    self.said += 1;
                    delay(self.said - 1)
                }
                _ => Duration::ZERO,
            };
            let Some(conn) = self.conns.get_mut(&out.to) else { continue };
            conn.not_before = conn.not_before.max(now + delay);
            self.order += 1;
            self.waiting.push(Timed { at: conn.not_before, order: self.order, out });
        }
    }

    fn send_what_is_due(&mut self) {
        let mut touched = Vec::new();
        while self.waiting.peek().is_some_and(|next| next.at <= Instant::now()) {
            let Some(Timed { out, .. }) = self.waiting.pop() else { break };
            let Some(conn) = self.conns.get_mut(&out.to) else { continue };
            touched.push(out.to);
            match out.what {
                What::Frame { frame, message } => {
                    let mut ping = None;
                    if let Some((key, due, delivery)) = message {
                        let to = conn.user.unwrap_or_default();
                        let mut record = lock(&self.record);
                        let stamps = if delivery { &mut record.deliveries } else { &mut record.acks };
                        stamps.push(Stamp { key, due, to, sent: Instant::now(), read_by: None });
                        if self.setup.pings {
                            conn.pings += 1;
                            ping = Some(conn.pings);
                            conn.unread.push_back((conn.pings, delivery, stamps.len() - 1));
                        }
                    }
                    conn.socket.send(frame.to_string(), ping);
                }
                What::Close(code) => conn.socket.close(code),
                What::Cut => {
                    if let Some(tcp) = conn.socket.tcp() {
                        let _ = tcp.shutdown(std::net::Shutdown::Both);
                    }
                }
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for place in touched {
            self.flush(place);
        }
    }

    /// Writes what has room, and waits for more room if some is left.
    fn flush(&mut self, place: u64) {
        let Some(conn) = self.conns.get_mut(&place) else { return };
        let blocked = conn.socket.flush();
        if blocked != conn.blocked
            && let Some(tcp) = conn.socket.tcp()
        {
            let mut flags = epoll::EventFlags::IN;
            flags.set(epoll::EventFlags::OUT, blocked);
            epoll::modify(&self.epoll, tcp, epoll::EventData::new_u64(place), flags).unwrap();
            conn.blocked = blocked;
        }
        if self.conns.get_mut(&place).is_some_and(|conn| conn.socket.has_more()) {
            self.serve(place, epoll::EventFlags::IN);
        }
    }
}

/// The two words at the front of every text of the harness.
pub fn key_and_due(content: &str) -> Option<(Uuid, Duration)> {
    let mut words = content.split(' ');
    let key = Uuid::try_parse(words.next()?).ok()?;
    Some((key, Duration::from_nanos(words.next()?.parse().ok()?)))
}

/// A frame of the server.
pub fn frame(kind: &str) -> serde_json::Value {
    json!({"type": kind, "timestamp": "2026-11-22T13:45:07.123Z"})
}
