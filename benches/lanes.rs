//! From shard to shard through `runtime::mesh`: a batch put in, found, taken out; and there and back between two sleeping threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::{self, JoinHandle, Thread};

use causerie::base::ShardId;
use causerie::runtime::mesh::Mesh;
use causerie::shard::ShardMessage;

use crate::meter::{Meter, Round, Subject, ensure};
use crate::world::{room_id, user_id};

pub const ALL: &[Subject] = &[
    Subject {
        name: "lane/in and out, 1 a batch",
        unit: "batch",
        rounds_max: 100_000,
        counted: true,
        make: || Ok(inside(1)),
    },
    Subject {
        name: "lane/in and out, 64 a batch",
        unit: "batch",
        rounds_max: 100_000,
        counted: true,
        make: || Ok(inside(64)),
    },
    Subject {
        name: "lane/there and back, both asleep",
        unit: "round trip",
        rounds_max: 100_000,
        counted: false,
        make: || Ok(between_threads()),
    },
];

const EACH: u64 = 50;
const HERE: ShardId = ShardId(0);
const THERE: ShardId = ShardId(1);

fn batch(n: usize) -> Vec<ShardMessage> {
    (0..n).map(|_| ShardMessage::Typing { room: room_id(1), user: user_id(1), active: true }).collect()
}

fn inside(n: usize) -> Round {
    let mesh = Mesh::new(2);
    Box::new(move |meter: &mut Meter| {
        let mut batches: Vec<_> = (0..EACH).map(|_| batch(n)).collect();
        let mailbox = mesh.mailbox(THERE).ok_or("no mailbox")?;
        let (mut seen, mut refused) = (0, 0);
        meter.section(|| {
            for batch in batches.drain(..) {
                refused += u32::from(mesh.send(HERE, THERE, batch).is_err());
                mailbox.bell.answer();
                mailbox.lanes.drain(64, |_, batch| seen += batch.len() as u64);
            }
        });
        ensure(refused == 0 && seen == EACH * n as u64, || format!("{seen} messages came, {refused} were refused"))?;
        Ok(EACH)
    })
}

/// Unparks a thread, as an executor's waker writes to its eventfd.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The thread that gives back what it gets. Ends when it is dropped.
struct Echo {
    mesh: Mesh,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(mailbox) = self.mesh.mailbox(THERE) {
            mailbox.bell.ring();
        }
        if let Some(thread) = self.thread.take() {
            // Whether it panicked: then the rounds did not get their answers and said so.
            let _ = thread.join();
        }
    }
}

/// Waits until something came, and takes it out. Answers how many messages.
fn take(mesh: &Mesh, me: ShardId, over: &AtomicBool, mut each: impl FnMut(Vec<ShardMessage>)) {
    let Some(mailbox) = mesh.mailbox(me) else { return };
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    while !over.load(Ordering::Acquire) {
        mailbox.bell.leave(&waker);
        if mailbox.bell.is_rung() {
            break;
        }
        thread::park();
    }
    mailbox.bell.take_back();
    mailbox.bell.answer();
    mailbox.lanes.drain(64, |_, batch| each(batch));
}

fn between_threads() -> Round {
    let (mesh, over) = (Mesh::new(2), Arc::new(AtomicBool::new(false)));
    let (there, ends) = (mesh.clone(), Arc::clone(&over));
    let thread = thread::spawn(move || {
        while !ends.load(Ordering::Acquire) {
            take(&there, THERE, &ends, |batch| {
                // A full lane is not possible: there is one batch in the world.
                let _ = there.send(THERE, HERE, batch);
            });
        }
    });
    let echo = Echo { mesh, over, thread: Some(thread) };
    Box::new(move |meter: &mut Meter| {
        let mut seen = 0;
        meter.section(|| {
            for _ in 0..EACH {
                let before = seen;
                if echo.mesh.send(HERE, THERE, batch(1)).is_err() {
                    return;
                }
                while seen == before {
                    take(&echo.mesh, HERE, &echo.over, |batch| seen += batch.len() as u64);
                }
            }
        });
        ensure(seen == EACH, || format!("{seen} of {EACH} came back"))?;
        Ok(EACH)
    })
}
