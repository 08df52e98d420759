//! A shard's own side of [`Port`](super::port::Port): what its sockets said and the pump has not handled yet, and the table of sockets.
//!
//! Promises that a connection's inputs keep their order and that a connection which says too much is told to stop reading. All calls
//! are made on the shard's own core and never wait. Does not decide and does not write.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::base::{ConnId, Moment};
use crate::shard::Input;

use super::mesh::Mailbox;
use super::port::Socket;

/// Texts of one connection that may wait before it is told to stop reading.
pub const TEXTS_WAITING_MAX: u32 = 64;
/// A queue that grew beyond this gives its memory back when the shard is idle.
const KEEP: usize = 1024;

/// How it stands with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It may be sent to.
    Open,
    /// It keeps bytes; it will say when they are gone.
    Blocked,
    /// It is gone or broken; its task said so or will.
    Broken,
}

/// One open socket.
pub struct Slot {
    conn: ConnId,
    /// The socket.
    pub socket: Rc<dyn Socket>,
    /// May it be sent to?
    pub flow: Flow,
    /// The machine has more for it.
    pub wants: bool,
    /// It stands in one of the pump's lists of those to be written to.
    pub listed: bool,
    /// When it was last written to.
    pub written: Moment,
    /// Bytes that the machine handed out while the socket was blocked.
    pub kept: Vec<u8>,
    texts: u32,
    heard: bool,
    gone: bool,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Input>,
    slots: Vec<Option<Slot>>,
    open: usize,
    told: u64,
    handled: u64,
    sleepers: Vec<(u64, u64, Waker)>,
    next_sleeper: u64,
}

/// The inbox of one shard.
pub struct Inbox {
    state: RefCell<State>,
    mailbox: Arc<Mailbox>,
}

impl Inbox {
    /// An empty inbox that rings this mailbox's bell.
    pub fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { state: RefCell::default(), mailbox }
    }

    /// Takes a socket in.
    pub fn insert(&self, conn: ConnId, socket: Rc<dyn Socket>) {
        let state = &mut *self.state.borrow_mut();
        let index = conn.index as usize;
        if state.slots.len() <= index {
            state.slots.resize_with(index + 1, || None);
        }
        if let Some(place) = state.slots.get_mut(index) {
            let slot = Slot {
                conn,
                socket,
                flow: Flow::Open,
                wants: false,
                listed: false,
                written: Moment(0),
                kept: Vec::new(),
                texts: 0,
                heard: false,
                gone: false,
            };
            if place.replace(slot).is_none() {
                state.open += 1;
            }
        }
    }

    /// Forgets a socket.
    pub fn remove(&self, conn: ConnId) -> Option<Rc<dyn Socket>> {
        let state = &mut *self.state.borrow_mut();
        let place = state.slots.get_mut(conn.index as usize)?;
        if place.as_ref().is_none_or(|slot| slot.conn != conn) {
            return None;
        }
        state.open -= 1;
        place.take().map(|slot| slot.socket)
    }

    /// Works on the slot of a connection, if it is (still) there.
    pub fn with_slot<T>(&self, conn: ConnId, work: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let state = &mut *self.state.borrow_mut();
        state.slot(conn).map(work)
    }

    /// All connections that are open.
    pub fn all(&self) -> Vec<ConnId> {
        self.state.borrow().slots.iter().flatten().map(|slot| slot.conn).collect()
    }

    /// How many sockets are open.
    pub fn sockets(&self) -> usize {
        self.state.borrow().open
    }

    /// A text came in; `false`: stop reading until it was handled.
    pub fn text(&self, conn: ConnId, text: String) -> bool {
        let state = &mut *self.state.borrow_mut();
        let Some(slot) = state.slot(conn) else { return true };
        slot.texts += 1;
        let go_on = slot.texts < TEXTS_WAITING_MAX;
        state.tell(Input::Text { conn, text });
        self.mailbox.bell.ring();
        go_on
    }

    /// Bytes came in. Several in one turn count once.
    pub fn heard(&self, conn: ConnId) {
        let state = &mut *self.state.borrow_mut();
        let Some(slot) = state.slot(conn) else { return };
        if !std::mem::replace(&mut slot.heard, true) {
            state.tell(Input::Heard { conn });
            self.mailbox.bell.ring();
        }
    }

    /// The socket's own buffer is empty again.
    pub fn writable(&self, conn: ConnId) {
        let state = &mut *self.state.borrow_mut();
        let Some(slot) = state.slot(conn) else { return };
        if slot.flow == Flow::Blocked {
            slot.flow = Flow::Open;
            state.tell(Input::Writable { conn });
            self.mailbox.bell.ring();
        }
    }

    /// The socket is gone. What it said before is still handled first.
    pub fn gone(&self, conn: ConnId, why: &'static str) {
        let state = &mut *self.state.borrow_mut();
        let Some(slot) = state.slot(conn) else { return };
        if std::mem::replace(&mut slot.gone, true) {
            return;
        }
        slot.flow = Flow::Broken;
        slot.kept = Vec::new();
        state.tell(Input::Gone { conn, why });
        self.mailbox.bell.ring();
    }

    /// The next input, in order.
    pub fn next(&self) -> Option<Input> {
        let state = &mut *self.state.borrow_mut();
        let input = state.waiting.pop_front()?;
        state.handled += 1;
        // Other kinds do not come through here.
        if let Input::Text { conn, .. } = &input {
            let conn = *conn;
            if let Some(slot) = state.slot(conn) {
                slot.texts = slot.texts.saturating_sub(1);
            }
        } else if let Input::Heard { conn } = &input {
            let conn = *conn;
            if let Some(slot) = state.slot(conn) {
                slot.heard = false;
            }
        }
        Some(input)
    }

    /// How many inputs wait.
    pub fn waiting(&self) -> usize {
        self.state.borrow().waiting.len()
    }

    /// Wakes those whose inputs were handled.
    pub fn wake_caught_up(&self) {
        let mut state = self.state.borrow_mut();
        if state.sleepers.is_empty() {
            return;
        }
        let handled = state.handled;
        let due: Vec<_> = state.sleepers.extract_if(.., |(upto, ..)| *upto <= handled).collect();
        drop(state);
        for (.., waker) in due {
            waker.wake();
        }
    }

    /// Resolves when what was told so far was handled.
    pub fn caught_up(self: &Rc<Self>) -> impl Future<Output = ()> + 'static {
        let inbox = self.clone();
        let (upto, sleeper) = {
            let state = &mut *self.state.borrow_mut();
            state.next_sleeper += 1;
            (state.told, state.next_sleeper)
        };
        poll_fn(move |cx| {
            let state = &mut *inbox.state.borrow_mut();
            if state.handled >= upto {
                return Poll::Ready(());
            }
            state.sleepers.retain(|(_, id, _)| *id != sleeper);
            state.sleepers.push((upto, sleeper, cx.waker().clone()));
            Poll::Pending
        })
    }

    /// Nothing will be handled any more: drops what waits and wakes all that wait for it.
    pub fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.waiting.clear();
        state.handled = u64::MAX;
        drop(state);
        self.wake_caught_up();
    }

    /// Gives memory of a past burst back.
    pub fn rest(&self) {
        let state = &mut *self.state.borrow_mut();
        if state.waiting.is_empty() && state.waiting.capacity() > KEEP {
            state.waiting = VecDeque::new();
        }
    }
}

impl State {
    fn slot(&mut self, conn: ConnId) -> Option<&mut Slot> {
        self.slots.get_mut(conn.index as usize)?.as_mut().filter(|slot| slot.conn == conn)
    }

    fn tell(&mut self, input: Input) {
        self.waiting.push_back(input);
        self.told += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Close, ShardId};
    use crate::runtime::mesh::Mesh;
    use crate::runtime::port::Sent;

    struct Mute;

    impl Socket for Mute {
        fn send(&self, _: &[u8]) -> Sent {
            Sent::All
        }
        fn close(&self, _: Close) {}
    }

    fn inbox() -> Rc<Inbox> {
        Rc::new(Inbox::new(Mesh::new(1).mailbox(ShardId(0)).unwrap().clone()))
    }

    fn conn(index: u32, generation: u32) -> ConnId {
        ConnId { shard: ShardId(0), index, generation }
    }

    #[test]
    fn who_says_too_much_is_told_to_stop_and_others_are_not() {
        let inbox = inbox();
        for n in 0..2 {
            inbox.insert(conn(n, 1), Rc::new(Mute));
        }
        for _ in 1..TEXTS_WAITING_MAX {
            assert!(inbox.text(conn(0, 1), String::new()));
        }
        assert!(!inbox.text(conn(0, 1), String::new()));
        assert!(inbox.text(conn(1, 1), String::new()));
        inbox.next();
        inbox.next();
        assert!(inbox.text(conn(0, 1), String::new()));
    }

    #[test]
    fn a_later_generation_is_not_mistaken_for_the_earlier_one() {
        let inbox = inbox();
        inbox.insert(conn(3, 1), Rc::new(Mute));
        assert!(inbox.remove(conn(3, 2)).is_none());
        assert!(inbox.remove(conn(3, 1)).is_some());
        inbox.insert(conn(3, 2), Rc::new(Mute));
        inbox.gone(conn(3, 1), "peer");
        inbox.text(conn(3, 1), "late".to_owned());
        assert!(inbox.next().is_none());
        assert_eq!(inbox.with_slot(conn(3, 2), |slot| slot.flow), Some(Flow::Open));
        assert_eq!(inbox.sockets(), 1);
    }

    #[test]
    fn bytes_heard_count_once_a_turn() {
        let inbox = inbox();
        inbox.insert(conn(0, 1), Rc::new(Mute));
        inbox.heard(conn(0, 1));
        inbox.heard(conn(0, 1));
        assert!(matches!(inbox.next(), Some(Input::Heard { .. })));
        assert!(inbox.next().is_none());
        inbox.heard(conn(0, 1));
        assert!(inbox.next().is_some());
    }

    #[test]
    fn caught_up_waits_for_what_was_told_before_it_and_no_more() {
        let inbox = inbox();
        inbox.insert(conn(0, 1), Rc::new(Mute));
        inbox.text(conn(0, 1), "one".to_owned());
        let mut wait = Box::pin(inbox.caught_up());
        inbox.text(conn(0, 1), "two".to_owned());
        let mut cx = std::task::Context::from_waker(Waker::noop());
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        assert_eq!(inbox.state.borrow().sleepers.len(), 1, "polled twice, waits once");
        inbox.next();
        inbox.wake_caught_up();
        assert!(inbox.state.borrow().sleepers.is_empty());
        assert!(wait.as_mut().poll(&mut cx).is_ready());
    }
}
