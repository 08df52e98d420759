//! Between two turns: all other tasks that are ready run, and with nothing left the shard sleeps.
//!
//! With a [`Watch`] the pump sleeps there itself, on behalf of the whole executor, whose own way is dearer by far. It may do so only
//! when no other task is ready. Tasks of sockets are in the pump's own queue, first come first served, so one round of that queue is enough for
//! those. For all others the executor is given *passes* (it looks at its rings, its timers and what other threads woke, and runs
//! what is ready): after an event of one of its rings, after another thread woke a task, while somebody is in [`breathe`], and every
//! [`PASS_US`], which bounds how late a timer of the executor may be. Passes go on until two in a row ran nothing but the pump.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use glommio::timer::Timer;

use crate::base::Moment;
use crate::runtime::launch::{breathe, breathing, yield_once};
use crate::runtime::seam::Machine;
use crate::runtime::watch::Watch;

use super::Pump;

/// The executor has a pass at least this often, in microseconds.
const PASS_US: u64 = 20_000;
/// So many passes in a row that ran nothing say that nothing is ready.
const QUIET_PASSES: u32 = 2;
/// While there is always something to do, the sockets are looked at this often, in microseconds.
const LOOK_US: u64 = 300;

/// When the executor and the sockets were last looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looked {
    pass: Moment,
    sockets: Moment,
    /// Passes that are still to find nothing.
    passes: u32,
    /// How often the pump has waited since the last pass, which is how often it was run.
    waits: u64,
}

impl Looked {
    pub(super) const NEVER: Self = Self { pass: Moment(0), sockets: Moment(0), passes: QUIET_PASSES, waits: 0 };
}

impl<M: Machine> Pump<M> {
    /// Lets all others run, then sleeps until there is something for a turn; not if there is `more` already.
    pub(super) async fn rest_watching(&self, watch: &Watch, more: bool) {
        let bell = &self.parts.mailbox.bell;
        self.rest();
        let deadline = if more { None } else { self.deadline() };
        let spin_from = self.parts.clock.mono();
        loop {
            self.yield_now().await;
            let now = self.parts.clock.mono();
            let mut looked = self.looked.get();
            if bell.take_task_woken() || now.micros_since(looked.pass) >= PASS_US || breathing() {
                looked.passes = QUIET_PASSES;
            }
            let stay = !more && !bell.is_rung();
            if looked.passes > 0 {
                breathe().await;
                // Counted since it was asked the last time, at the end of each run over all that was ready.
                let run = glommio::executor().executor_stats().tasks_executed();
                looked.passes = if run <= looked.waits + 1 { looked.passes - 1 } else { QUIET_PASSES };
                looked.waits = 0;
                looked.pass = self.parts.clock.mono();
                self.looked.set(looked);
            }
            if !stay || looked.passes > 0 {
                if now.micros_since(looked.sockets) >= LOOK_US {
                    self.look(watch, Duration::ZERO, now);
                    self.yield_now().await;
                }
                if !stay {
                    return;
                }
                continue;
            }
            let now = self.parts.clock.mono();
            let until_pass = PASS_US.saturating_sub(now.micros_since(looked.pass));
            let until = match deadline {
                Some(deadline) if deadline <= now => return,
                Some(deadline) => until_pass.min(deadline.micros_since(now)),
                None => until_pass,
            };
            if now.micros_since(spin_from) < self.parts.spin_us {
                self.look(watch, Duration::ZERO, now);
            } else if bell.fall_asleep() {
                self.look(watch, Duration::from_micros(until), now);
                bell.wake_up();
            }
        }
    }

    /// Lets the other tasks of this queue run that are ready.
    async fn yield_now(&self) {
        yield_once().await;
        let looked = self.looked.get();
        self.looked.set(Looked { waits: looked.waits + 1, ..looked });
    }

    fn look(&self, watch: &Watch, time: Duration, now: Moment) {
        let executor = watch.wait(time);
        let mut looked = self.looked.get();
        looked.sockets = now;
        if executor {
            looked.passes = QUIET_PASSES;
        }
        self.looked.set(looked);
    }

    /// The executor is to look for tasks that a turn has woken outside of the pump's own queue.
    pub(super) fn others_woken(&self) {
        let looked = self.looked.get();
        self.looked.set(Looked { passes: QUIET_PASSES, ..looked });
    }

    /// Sleeps until the bell is rung or the next deadline is there. Answers `false` when there was no need to sleep: the caller
    /// must let others run, or a bell that is rung all the time would keep the core.
    pub(super) async fn sleep(&self) -> bool {
        self.rest();
        let bell = &self.parts.mailbox.bell;
        self.set_timer();
        let mut slept = false;
        poll_fn(|cx| {
            bell.leave(cx.waker());
            if bell.is_rung() {
                return Poll::Ready(());
            }
            let core = &mut *self.core.borrow_mut();
            if let Some((_, timer)) = &mut core.timer
                && Pin::new(timer).poll(cx).is_ready()
            {
                core.timer = None;
                return Poll::Ready(());
            }
            slept = true;
            Poll::Pending
        })
        .await;
        bell.take_back();
        slept
    }

    /// When a turn is due without anything coming in.
    fn deadline(&self) -> Option<Moment> {
        let core = &mut *self.core.borrow_mut();
        let paced = core.paced.front().map(|&(due, _)| due);
        core.machine.next_deadline().into_iter().chain(paced).min()
    }

    /// A timer that rings too early is left as it is: one needless turn is cheaper than a new timer each turn.
    fn set_timer(&self) {
        let Some(deadline) = self.deadline() else { return };
        let core = &mut *self.core.borrow_mut();
        if core.timer.as_ref().is_none_or(|(at, _)| *at > deadline) {
            let wait = deadline.micros_since(self.parts.clock.mono());
            core.timer = Some((deadline, Timer::new(Duration::from_micros(wait))));
        }
    }
}
