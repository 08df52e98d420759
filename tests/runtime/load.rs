//! Many threads against the shards: nothing is lost, nothing hangs, and an idle shard sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use causerie::base::{Code, ShardId};
use causerie::runtime::{LaunchSettings, ShardHandle};
use causerie::shard::Ask;
use causerie::store::{Query, Write};
use futures_util::future::join_all;

use crate::{HANG, bare, on_shard, settings};

/// A `block_on` for threads that are not shards.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::task::Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    let end = Instant::now() + HANG;
    loop {
        if let std::task::Poll::Ready(result) = future.as_mut().poll(&mut cx) {
            return result;
        }
        assert!(Instant::now() < end, "no answer in {HANG:?}");
        thread::park_timeout(HANG);
    }
}

fn attempt() -> Ask {
    Ask::Attempt { key: "name:a".to_owned() }
}

#[test]
fn every_question_from_foreign_threads_is_answered() {
    const THREADS: usize = 4;
    const EACH: usize = 2_000;
    let server = bare(2);
    let busy = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|n| {
            let (gateway, busy) = (server.gateway().clone(), busy.clone());
            thread::spawn(move || {
                for round in 0..EACH {
                    let to = ShardId(((n + round) % 2) as u16);
                    // One at a time and many at a time: an idle shard and one that is flooded.
                    let width = if round % 100 == 0 { 600 } else { 1 };
                    let answers = block_on(join_all((0..width).map(|_| gateway.ask(to, attempt()))));
                    for answer in answers {
                        match answer {
                            Ok(_) => {}
                            Err(refusal) if refusal.code == Code::Busy => {
                                busy.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    server.stop();
}

#[test]
fn a_full_inbox_answers_busy_and_a_shard_that_is_gone_answers_draining() {
    let server = bare(1);
    let gateway = server.gateway().clone();
    // The machine never answers these: they stay in flight, then fill the mailbox.
    let never = || gateway.ask(ShardId(0), Ask::Attempt { key: "never".to_owned() });
    let mut waiting: Vec<_> = (0..6_000).map(|_| Box::pin(never())).collect();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut refused = 0;
    waiting.retain_mut(|ask| match ask.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(answer) => {
            assert_eq!(answer.unwrap_err().code, Code::Busy);
            refused += 1;
            false
        }
        std::task::Poll::Pending => true,
    });
    assert!(refused > 0 && waiting.len() >= 1024, "{refused} refused, {} wait", waiting.len());
    server.stop();
    let code = block_on(gateway.ask(ShardId(0), attempt())).unwrap_err().code;
    assert_eq!(code, Code::Draining);
    // Those that waited learn of it as well, each of them.
    let ends = block_on(join_all(waiting));
    assert!(ends.iter().all(|end| end.as_ref().is_err_and(|refusal| refusal.code == Code::Draining)));
}

#[test]
fn the_store_and_the_blocking_pool_answer_from_any_thread() {
    let server = bare(1);
    let gateway = server.gateway().clone();
    block_on(gateway.write(Write::Setting { name: "a".to_owned(), value: None })).unwrap();
    assert!(block_on(gateway.write(Write::Setting { name: "full".to_owned(), value: None })).unwrap_err().ambiguous());
    block_on(gateway.read(Query::RoomIds { after: None, limit: 1 })).unwrap();
    assert_eq!(block_on(gateway.blocking(|| 6 * 7)), Ok(42));
    assert_eq!(block_on(gateway.blocking(|| panic!("on purpose"))).map(|()| 0).unwrap_err().code, Code::Internal);
    assert_eq!(gateway.shared_figures().store_bytes, 7);
    server.stop();
}

/// Interrupted as often as this, an executor falls asleep over its own tasks all the time (decision 0008): within a second, without its heartbeats,
/// for good. Nothing else comes that could wake it: no socket, no other thread.
#[test]
fn a_shard_that_fell_asleep_over_tasks_that_are_ready_is_woken() {
    let settings = LaunchSettings { look_every: Duration::from_micros(30), ..settings() };
    let answers = on_shard(&settings, |handle: ShardHandle| async move {
        let (begin, mut answers) = (Instant::now(), 0_u64);
        while begin.elapsed() < Duration::from_secs(4) {
            // The answer comes sooner and later than the shard falls asleep.
            let us = answers % 300;
            let work = move || {
                let end = Instant::now() + Duration::from_micros(us);
                while Instant::now() < end {}
            };
            handle.gateway.blocking(work).await.expect("an answer");
            answers += 1;
        }
        answers
    });
    assert!(answers > 0);
}

#[test]
fn the_numbers_of_all_shards_are_told() {
    let server = bare(3);
    let shards: Vec<_> = block_on(server.gateway().metrics()).iter().map(|snapshot| snapshot.shard).collect();
    assert_eq!(shards, [0, 1, 2]);
    let again = block_on(server.gateway().metrics());
    assert!(again.iter().all(|snapshot| snapshot.shell.turns >= 1));
    server.stop();
}

/// CPU time of the threads of this process with this name, in clock ticks (10 ms).
fn cpu_ticks(name: &str) -> u64 {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let Ok(stat) = std::fs::read_to_string(task.unwrap().path().join("stat")) else { continue };
        let (head, tail) = stat.rsplit_once(") ").unwrap();
        if head.ends_with(name) {
            let fields: Vec<_> = tail.split(' ').collect();
            ticks += fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        }
    }
    ticks
}

#[test]
fn an_idle_shard_sleeps() {
    // A number that no other test of this process uses: its threads are told apart by their names.
    let server = bare(9);
    block_on(server.gateway().metrics());
    let before = (cpu_ticks("shard-8"), block_on(server.gateway().metrics())[8].shell.turns);
    thread::sleep(Duration::from_secs(1));
    let after = (cpu_ticks("shard-8"), block_on(server.gateway().metrics())[8].shell.turns);
    assert!(after.0 - before.0 <= 3, "{} ticks of 10 ms in a second", after.0 - before.0);
    // A question each was asked.
    assert!(after.1 - before.1 <= 2, "{} turns", after.1 - before.1);
    server.stop();
}
