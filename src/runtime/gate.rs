//! A gate that is open until it is closed, once: how listeners and waiting tasks of one shard learn that the server is about to stop.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// The gate of one shard. Copies are the same gate.
#[derive(Clone, Default)]
pub struct Gate {
    inner: Rc<Inner>,
}

#[derive(Default)]
struct Inner {
    closed: Cell<bool>,
    next: Cell<u64>,
    waiting: RefCell<Vec<(u64, Waker)>>,
}

impl Gate {
    /// Closes it and wakes all that wait for that.
    pub fn close(&self) {
        self.inner.closed.set(true);
        for (_, waker) in self.inner.waiting.take() {
            waker.wake();
        }
    }

    /// Whether it is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.closed.get()
    }

    /// Resolves when it is closed. Meant for a few tasks a shard (listeners), not for one a connection.
    pub fn closed(&self) -> impl Future<Output = ()> + 'static {
        let inner = self.inner.clone();
        let me = inner.next.replace(inner.next.get() + 1);
        let leave = Leave { me, inner: inner.clone() };
        poll_fn(move |cx| {
            let _ = &leave;
            if inner.closed.get() {
                return Poll::Ready(());
            }
            let waiting = &mut *inner.waiting.borrow_mut();
            waiting.retain(|(id, _)| *id != me);
            waiting.push((me, cx.waker().clone()));
            Poll::Pending
        })
    }
}

/// Takes the waker of a future that was dropped out again.
struct Leave {
    me: u64,
    inner: Rc<Inner>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.inner.waiting.borrow_mut().retain(|(id, _)| *id != self.me);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use super::*;

    #[test]
    fn closing_is_seen_by_who_waits_and_by_who_comes_later_and_leavers_leave_nothing() {
        let gate = Gate::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut early = Box::pin(gate.closed());
        assert!(early.as_mut().poll(&mut cx).is_pending());
        let mut leaver = Box::pin(gate.closed());
        assert!(leaver.as_mut().poll(&mut cx).is_pending());
        assert_eq!(gate.inner.waiting.borrow().len(), 2);
        drop(leaver);
        assert_eq!(gate.inner.waiting.borrow().len(), 1);
        gate.close();
        assert!(early.as_mut().poll(&mut cx).is_ready());
        assert!(Box::pin(gate.closed()).as_mut().poll(&mut cx).is_ready());
    }
}
