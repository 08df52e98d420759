//! An open WebSocket: one task and one [`Socket`] on the shard that accepted it.
//!
//! Promises: [`Socket::send`] seals all it is given and makes one write that does not block; what is left is written by the task,
//! which then says [`Port::writable`]. A connection that waits holds no buffer, here or in its parser. Reading stops while the
//! shard is behind ([`Port::text`] answered `false`). The end is said in all three layers (close frame, close_notify, FIN), each
//! with a bounded wait, and the port hears of it exactly once, unless it asked for it. Heartbeats are the shard's.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;

use super::listener::Seat;
use super::stream::Io;
use super::upgrade::Target;
use super::{Settings, ShardContext, SharedScratch, http::Upgraded, within};
use crate::base::{Close, ConnId};
use crate::runtime::port::{Port, Sent, Socket};
use crate::wire::websocket::{self, Event, Parser, WebSocketLimits};

/// Pings answered one by one in what was read at once; of more than that, the last one is.
const PONGS_PER_READ: usize = 16;
/// While more than this waits to be written, only the last ping is answered.
const PONG_KEPT_BYTES_MAX: usize = 8 * 1024;

/// One open WebSocket, as its shard sees it.
struct Conn {
    /// Taken out at the end.
    io: RefCell<Option<Io>>,
    scratch: SharedScratch,
    state: Cell<State>,
    /// The shard was told `Blocked` and waits for [`Port::writable`].
    owed: Cell<bool>,
    /// The task, to be told of what the shard did.
    task: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The shard wants the end.
    Closing(Close),
    /// Nothing can be written any more.
    Broken,
}

impl Conn {
    fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// Seals and pushes whole frames. `false`: the connection is broken.
    fn push(&self, frames: &[u8]) -> bool {
        if self.state.get() == State::Broken {
            return false;
        }
        let pushed = self.io.borrow_mut().as_mut().is_some_and(|io| io.seal(frames, &self.scratch).is_ok());
        if !pushed {
            self.state.set(State::Broken);
        }
        pushed
    }

    /// Something was kept: the shard is owed a word when it is gone.
    fn blocked(&self) -> Sent {
        self.owed.set(true);
        // So that the task waits for the socket to be writable.
        self.wake();
        Sent::Blocked
    }

    fn kept_bytes(&self) -> usize {
        self.io.borrow().as_ref().map_or(0, Io::kept_bytes)
    }
}

impl Socket for Conn {
    fn send(&self, bytes: &[u8]) -> Sent {
        if self.state.get() != State::Open {
            return Sent::Broken;
        }
        if !self.push(bytes) {
            self.wake();
            return Sent::Broken;
        }
        if self.kept_bytes() == 0 { Sent::All } else { self.blocked() }
    }

    fn seal(&self, bytes: &[u8], sealed: &mut Vec<u8>) -> Option<RawFd> {
        if self.state.get() != State::Open {
            return None;
        }
        let mut io = self.io.borrow_mut();
        let io = io.as_mut()?;
        let from = sealed.len();
        if io.kept_bytes() > 0 {
            return None;
        }
        if io.tls.seal(bytes, sealed).is_err() {
            // `send` will find the same and say so.
            sealed.truncate(from);
            return None;
        }
        Some(io.tcp.as_raw_fd())
    }

    fn sealed(&self, sealed: &[u8], taken: io::Result<usize>) -> Sent {
        let rest = match taken {
            Ok(taken) => sealed.get(taken..).unwrap_or_default(),
            Err(_) => {
                self.state.set(State::Broken);
                self.wake();
                return Sent::Broken;
            }
        };
        if rest.is_empty() {
            return Sent::All;
        }
        if let Some(io) = &mut *self.io.borrow_mut() {
            io.keep(rest);
        }
        self.blocked()
    }

    fn close(&self, code: Close) {
        if self.state.get() == State::Open {
            self.state.set(State::Closing(code));
            self.wake();
        }
    }
}

/// To whom the messages go.
enum Behind {
    Shard {
        port: Rc<dyn Port>,
        id: ConnId,
    },
    Echo,
    /// The shard had no place for it.
    Nobody,
}

/// Why the loop of a connection ended.
enum End {
    /// The shard wants it.
    Asked(Close),
    /// The peer's close frame, to be answered with the same code.
    Peer(Option<u16>),
    /// We end it: code, reason, and the word for the port.
    Ours(u16, &'static str, &'static str),
    /// There is nobody to say anything to.
    Lost(&'static str),
}

/// What a turn of the task brought.
enum Step {
    /// Messages, perhaps none.
    Events(Vec<Event>),
    /// The shard has caught up.
    CaughtUp,
    End(End),
}

type Catching = Pin<Box<dyn Future<Output = ()>>>;

/// Everything of one connection; on the heap once, since what stands in a task is there several times over.
struct Life {
    conn: Rc<Conn>,
    behind: Behind,
    parser: Parser,
    /// What came behind the request.
    early: Vec<u8>,
    settings: Arc<Settings>,
    /// Given back when it is over.
    _seat: Seat,
}

/// Opens an upgraded connection on its shard; the task that is answered runs it to its end.
pub(crate) fn open(
    upgraded: Upgraded,
    shard: &ShardContext,
    settings: Arc<Settings>,
    seat: Seat,
) -> impl Future<Output = ()> + 'static {
    let Upgraded { mut io, scratch, early, upgrade } = upgraded;
    io.watched = shard.port.watch(io.tcp.as_raw_fd());
    let conn = Rc::new(Conn {
        io: RefCell::new(Some(io)),
        scratch,
        state: Cell::new(State::Open),
        owed: Cell::new(false),
        task: RefCell::new(None),
    });
    let (limits, behind) = match upgrade.target {
        Target::Echo => (WebSocketLimits::ECHO, Behind::Echo),
        Target::Chat => {
            let behind = match shard.port.open(upgrade.opened, Rc::clone(&conn) as Rc<dyn Socket>) {
                Ok(id) => Behind::Shard { port: Rc::clone(&shard.port), id },
                Err(code) => {
                    conn.state.set(State::Closing(code));
                    Behind::Nobody
                }
            };
            (WebSocketLimits::CHAT, behind)
        }
    };
    run(Box::new(Life { conn, behind, parser: Parser::new(limits), early, settings, _seat: seat }))
}

async fn run(mut life: Box<Life>) {
    let ended = until_the_end(&mut life).await;
    life.conn.task.replace(None);
    let gone = |why: &'static str| {
        if let Behind::Shard { port, id } = &life.behind {
            port.gone(*id, why);
        }
    };
    let silent = matches!(ended, End::Asked(Close::Silent));
    let (frame, wait) = match ended {
        End::Asked(code) => (websocket::close_frame(Some(code.number()), code.reason()), true),
        End::Peer(code) => {
            gone("peer");
            (websocket::close_frame(code, ""), false)
        }
        End::Ours(code, reason, why) => {
            gone(why);
            (websocket::close_frame(Some(code), reason), true)
        }
        End::Lost(why) => {
            gone(why);
            (Bytes::new(), false)
        }
    };
    // Boxed: its state is not to weigh on every open connection.
    Box::pin(end(life, frame, wait, silent)).await;
}

/// Reads, hands on and writes what was kept, until something ends it.
async fn until_the_end(life: &mut Life) -> End {
    let Life { conn, behind, parser, early, .. } = life;
    let mut catching: Option<Catching> = None;
    let mut pong: Option<Bytes> = None;
    let mut events = Vec::new();
    let early = std::mem::take(early);
    if !early.is_empty() {
        parser.feed(&early, &mut events);
        if let Behind::Shard { port, id } = behind {
            port.heard(*id);
        }
    }
    drop(early);
    loop {
        if let Some(ended) = handle(conn, behind, events, &mut catching, &mut pong) {
            return ended;
        }
        let step = std::future::poll_fn(|cx| turn(cx, conn, behind, parser, catching.as_mut(), &mut pong)).await;
        events = match step {
            Step::Events(events) => events,
            Step::CaughtUp => {
                catching = None;
                Vec::new()
            }
            Step::End(ended) => return ended,
        };
        // One busy connection is not to keep the others waiting.
        glommio::yield_if_needed().await;
    }
}

/// One poll of an open connection.
fn turn(
    cx: &mut Context<'_>,
    conn: &Conn,
    behind: &Behind,
    parser: &mut Parser,
    catching: Option<&mut Catching>,
    pong: &mut Option<Bytes>,
) -> Poll<Step> {
    {
        let mut task = conn.task.borrow_mut();
        if task.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }
    match conn.state.get() {
        State::Open => {}
        State::Closing(code) => return Poll::Ready(Step::End(End::Asked(code))),
        State::Broken => return Poll::Ready(Step::End(End::Lost("error"))),
    }
    let mut io = conn.io.borrow_mut();
    let Some(io) = io.as_mut() else { return Poll::Ready(Step::End(End::Lost("error"))) };
    if io.kept_bytes() > 0 {
        match io.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                if conn.owed.replace(false)
                    && let Behind::Shard { port, id } = behind
                {
                    port.writable(*id);
                }
                if let Some(payload) = pong.take()
                    && io.seal(&websocket::pong_frame(&payload), &conn.scratch).is_err()
                {
                    return Poll::Ready(Step::End(End::Lost("error")));
                }
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Step::End(End::Lost("error"))),
            // The echo is its own back-pressure; the chat goes on reading, its outbox is bounded by the shard.
            Poll::Pending if matches!(behind, Behind::Echo) => return Poll::Pending,
            Poll::Pending => {}
        }
    }
    if let Some(catching) = catching {
        return catching.as_mut().poll(cx).map(|()| Step::CaughtUp);
    }
    let mut plain = std::mem::take(&mut conn.scratch.borrow_mut().plain);
    plain.clear();
    let read = io.poll_read(cx, &conn.scratch, &mut plain);
    let (eof, orderly) = (io.eof, io.tls.peer_closed());
    let step = match read {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Err(_)) => Poll::Ready(Step::End(End::Lost("error"))),
        // Without a close frame and without close_notify: the wire was cut.
        Poll::Ready(Ok(_)) if eof && plain.is_empty() => {
            Poll::Ready(Step::End(End::Lost(if orderly { "peer" } else { "error" })))
        }
        Poll::Ready(Ok(_)) => {
            let mut events = Vec::new();
            parser.feed(&plain, &mut events);
            if let Behind::Shard { port, id } = behind {
                port.heard(*id);
            }
            Poll::Ready(Step::Events(events))
        }
    };
    plain.clear();
    let mut scratch = conn.scratch.borrow_mut();
    scratch.plain = plain;
    scratch.clear();
    step
}

/// Hands on what came in at once.
fn handle(
    conn: &Conn,
    behind: &Behind,
    events: Vec<Event>,
    catching: &mut Option<Catching>,
    pong: &mut Option<Bytes>,
) -> Option<End> {
    let mut pongs = Vec::new();
    let mut count = 0;
    let mut ended = None;
    for event in events {
        match event {
            Event::Text(text) => match behind {
                Behind::Shard { port, id } => {
                    if !port.text(*id, text) && catching.is_none() {
                        *catching = Some(port.caught_up());
                    }
                }
                Behind::Echo => _ = conn.push(&websocket::text_frame(&text)),
                Behind::Nobody => {}
            },
            Event::Binary(bytes) => match behind {
                Behind::Shard { .. } | Behind::Nobody => {
                    let code = Close::Protocol;
                    ended = Some(End::Ours(code.number(), "text frames only", code.reason()));
                    break;
                }
                Behind::Echo => _ = conn.push(&websocket::binary_frame(&bytes)),
            },
            Event::Ping(payload) => {
                count += 1;
                if count <= PONGS_PER_READ && conn.kept_bytes() <= PONG_KEPT_BYTES_MAX {
                    if matches!(behind, Behind::Echo) {
                        // Between the echoes, in order.
                        conn.push(&websocket::pong_frame(&payload));
                    } else {
                        pongs.extend_from_slice(&websocket::pong_frame(&payload));
                    }
                } else {
                    *pong = Some(payload);
                }
            }
            Event::Pong => {}
            Event::Close(code) => {
                ended = Some(End::Peer(code.map(answerable)));
                break;
            }
            Event::Malformed { code, reason } => {
                ended = Some(End::Ours(code, reason, Close::Protocol.reason()));
                break;
            }
        }
    }
    if conn.kept_bytes() == 0
        && let Some(payload) = pong.take()
    {
        pongs.extend_from_slice(&websocket::pong_frame(&payload));
    }
    if !pongs.is_empty() {
        conn.push(&pongs);
    }
    ended
}

/// The code that answers a peer's close code: the same, but never one that must not stand in a frame.
fn answerable(code: u16) -> u16 {
    match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => code,
        _ => 1002,
    }
}

/// The end in all layers: our close frame after what was sent, the peer's (if it is waited for), then TLS and TCP. Who was `silent` and
/// stays so is reset: otherwise the kernel would offer it for minutes what it does not read.
async fn end(mut life: Box<Life>, frame: Bytes, wait: bool, silent: bool) {
    let Life { conn, parser, settings, .. } = &mut *life;
    let pushed = !frame.is_empty() && conn.push(&frame);
    conn.state.set(State::Broken);
    let alone = frame.is_empty() || !pushed;
    if pushed && wait {
        within(settings.close_time, peers_close(conn, parser)).await;
    }
    let (flush, linger) =
        if alone { (Duration::ZERO, Duration::ZERO) } else { (settings.close_time, settings.linger_time) };
    let Some(mut io) = conn.io.borrow_mut().take() else { return };
    if alone {
        let _ = io.tcp.shutdown(std::net::Shutdown::Both).await;
    } else {
        let taken = io.finish(&conn.scratch, flush, linger).await;
        if silent && !taken {
            io.break_off();
        }
    }
}

/// Writes what is kept and reads until the peer's close frame or its end; messages on the way are thrown away.
async fn peers_close(conn: &Conn, parser: &mut Parser) {
    let mut events = Vec::new();
    std::future::poll_fn(|cx| {
        let mut io = conn.io.borrow_mut();
        let Some(io) = io.as_mut() else { return Poll::Ready(()) };
        if let Poll::Ready(Err(_)) = io.poll_flush(cx) {
            return Poll::Ready(());
        }
        let mut plain = std::mem::take(&mut conn.scratch.borrow_mut().plain);
        plain.clear();
        let read = io.poll_read(cx, &conn.scratch, &mut plain);
        parser.feed(&plain, &mut events);
        conn.scratch.borrow_mut().plain = plain;
        let closed = events.drain(..).any(|event| matches!(event, Event::Close(_) | Event::Malformed { .. }));
        match read {
            Poll::Ready(Ok(_)) if !io.eof && !closed => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
}
