//! What one shard does in its turns.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use causerie::base::Close;
use causerie::runtime::port::Sent;
use causerie::runtime::{LaunchSettings, ShardHandle, Work, breathe};
use glommio::timer::sleep;

use crate::fake::{FakeSocket, opened};
use crate::{on_shard, settings};

/// Lets the pump run until a condition holds.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Long enough that what should not happen would have happened. Only for asserting absence.
async fn a_while() {
    sleep(Duration::from_millis(50)).await;
}

#[test]
fn what_is_ready_in_one_turn_leaves_in_one_write_and_in_order() {
    let writes = on_shard(&settings(), |handle: ShardHandle| async move {
        let socket = FakeSocket::new();
        let conn = handle.port.open(opened(""), socket.clone()).unwrap();
        for n in 0..5 {
            assert!(handle.port.text(conn, format!("say {n}")));
        }
        handle.port.caught_up().await;
        until(|| !socket.writes.borrow().is_empty()).await;
        let shell = handle.shell.borrow().clone();
        (socket.writes.borrow().clone(), shell.writes, shell.written_bytes)
    });
    assert_eq!(writes, (vec!["0|1|2|3|4|".to_owned()], 1, 10));
}

#[test]
fn a_connection_gets_one_bounded_write_a_turn_until_all_has_left() {
    let sizes = on_shard(&settings(), |handle: ShardHandle| async move {
        let socket = FakeSocket::new();
        let conn = handle.port.open(opened(""), socket.clone()).unwrap();
        handle.port.text(conn, "big".to_owned());
        until(|| socket.all().len() >= 180_003).await;
        socket.writes.borrow().iter().map(String::len).collect::<Vec<_>>()
    });
    assert_eq!(sizes, [60_001, 60_001, 60_001]);
}

#[test]
fn a_blocked_socket_is_left_alone_until_it_is_writable_and_then_gets_what_came_meanwhile() {
    let (before, after, blocked) = on_shard(&settings(), |handle: ShardHandle| async move {
        let socket = FakeSocket::new();
        let conn = handle.port.open(opened(""), socket.clone()).unwrap();
        socket.answer.set(Sent::Blocked);
        handle.port.text(conn, "say a".to_owned());
        until(|| socket.all() == "a|").await;
        for text in ["say b", "say c"] {
            handle.port.text(conn, text.to_owned());
            handle.port.caught_up().await;
        }
        a_while().await;
        let before = socket.all();
        socket.answer.set(Sent::All);
        handle.port.writable(conn);
        until(|| socket.all().len() > before.len()).await;
        let blocked = handle.shell.borrow().writes_blocked;
        (before, socket.writes.borrow().clone(), blocked)
    });
    assert_eq!(before, "a|");
    assert_eq!(after, ["a|", "b|c|"]);
    assert_eq!(blocked, 1);
}

#[test]
fn a_blocked_socket_is_closed_when_the_machine_says_so() {
    let closed = on_shard(&settings(), |handle: ShardHandle| async move {
        let socket = FakeSocket::new();
        let conn = handle.port.open(opened(""), socket.clone()).unwrap();
        socket.answer.set(Sent::Blocked);
        handle.port.text(conn, "say a".to_owned());
        until(|| socket.all() == "a|").await;
        handle.port.text(conn, "say b".to_owned());
        handle.port.text(conn, "close".to_owned());
        until(|| socket.closed.get().is_some()).await;
        // Nothing that it says any more reaches the machine, which would not know it.
        handle.port.text(conn, "panic".to_owned());
        handle.port.gone(conn, "peer");
        handle.port.caught_up().await;
        (socket.closed.get(), socket.all())
    });
    assert_eq!(closed, (Some(Close::TooSlow), "a|".to_owned()));
}

#[test]
fn texts_before_the_end_of_a_socket_are_handled_and_nothing_is_sent_to_it_any_more() {
    let (own, other) = on_shard(&settings(), |handle: ShardHandle| async move {
        let (socket, watcher) = (FakeSocket::new(), FakeSocket::new());
        let conn = handle.port.open(opened(""), socket.clone()).unwrap();
        handle.port.open(opened(""), watcher.clone()).unwrap();
        handle.port.text(conn, "say_all hi".to_owned());
        handle.port.gone(conn, "error");
        handle.port.gone(conn, "twice");
        until(|| watcher.all().contains("gone")).await;
        a_while().await;
        (socket.all(), watcher.all())
    });
    assert_eq!(own, "");
    assert_eq!(other, "hi|gone error|");
}

#[test]
fn the_machine_may_refuse_a_socket() {
    let refused = on_shard(&settings(), |handle: ShardHandle| async move {
        handle.port.open(opened("unwanted"), FakeSocket::new()).err()
    });
    assert_eq!(refused, Some(Close::TooManyConnections));
}

#[test]
fn the_store_answers_each_job_once_and_a_full_store_says_so() {
    let said = on_shard(&settings(), |handle: ShardHandle| async move {
        let socket = FakeSocket::new();
        let conn = handle.port.open(opened(""), socket.clone()).unwrap();
        for (verb, answer) in [("store x", "written|"), ("store full", "unavailable|"), ("store read", "read|")] {
            let before = socket.all();
            handle.port.text(conn, verb.to_owned());
            until(|| socket.all() == format!("{before}{answer}")).await;
        }
        let measured = handle.gateway.metrics().await;
        (socket.all(), measured.first().map(|snapshot| snapshot.counters.stored_to_written.histogram().len()))
    });
    assert_eq!(said, ("written|unavailable|read|".to_owned(), Some(1)));
}

#[test]
fn a_tick_comes_at_the_deadline_and_not_before() {
    let said = on_shard(&settings(), |handle: ShardHandle| async move {
        let socket = FakeSocket::new();
        let conn = handle.port.open(opened(""), socket.clone()).unwrap();
        handle.port.text(conn, "tick 80".to_owned());
        // A nearer one later: the timer has to move forward.
        handle.port.caught_up().await;
        handle.port.text(conn, "tick 20".to_owned());
        until(|| !socket.all().is_empty()).await;
        a_while().await;
        a_while().await;
        socket.all()
    });
    assert_eq!(said, "tick|");
}

#[test]
fn a_long_turn_is_counted_as_a_stall() {
    let (stalls, longest) = on_shard(&settings(), |handle: ShardHandle| async move {
        let conn = handle.port.open(opened(""), FakeSocket::new()).unwrap();
        handle.port.text(conn, "burn 30".to_owned());
        handle.port.caught_up().await;
        until(|| handle.shell.borrow().stalls > 0).await;
        let shell = handle.shell.borrow();
        (shell.stalls, shell.turn.histogram().max())
    });
    assert_eq!(stalls, 1);
    assert!(longest >= 30_000);
}

#[test]
fn a_connection_that_says_too_much_waits_until_it_is_caught_up() {
    let (first_no, after) = on_shard(&settings(), |handle: ShardHandle| async move {
        let conn = handle.port.open(opened(""), FakeSocket::new()).unwrap();
        let first_no = (0..1000).position(|_| !handle.port.text(conn, "say x".to_owned()));
        handle.port.caught_up().await;
        (first_no, handle.port.text(conn, "say x".to_owned()))
    });
    assert_eq!(first_no, Some(63));
    assert!(after);
}

#[test]
fn other_queues_and_timers_run_while_the_pump_always_has_work() {
    let ran = on_shard(&settings(), |handle: ShardHandle| async move {
        let conn = handle.port.open(opened(""), FakeSocket::new()).unwrap();
        let stop = Rc::new(Cell::new(false));
        let (port, flood_stop) = (handle.port.clone(), stop.clone());
        handle.spawn(Work::Live, async move {
            while !flood_stop.get() {
                while port.text(conn, "burn 0".to_owned()) {}
                port.caught_up().await;
            }
        });
        let done = Rc::new(Cell::new(0));
        let count = done.clone();
        handle.spawn(Work::Background, async move {
            for _ in 0..20 {
                glommio::executor().yield_now().await;
                sleep(Duration::from_millis(1)).await;
                count.set(count.get() + 1);
            }
        });
        until(|| done.get() == 20).await;
        stop.set(true);
        done.get()
    });
    assert_eq!(ran, 20);
}

/// Texts to a socket whose writes take long, one after the other as soon as the one before was handled: how many writes they took.
fn writes_of_a_busy_shard(pace_ms: u64) -> usize {
    const TEXTS: usize = 400;
    let writes = on_shard(&LaunchSettings { pace_ms, ..settings() }, |handle: ShardHandle| async move {
        let socket = FakeSocket::new();
        let conn = handle.port.open(opened(""), socket.clone()).unwrap();
        socket.takes_us.set(2000);
        for n in 0..TEXTS {
            handle.port.text(conn, format!("say {n}"));
            handle.port.caught_up().await;
            // The next one is for the next turn.
            breathe().await;
        }
        until(|| socket.all().ends_with(&format!("|{}|", TEXTS - 1))).await;
        let all = socket.all();
        let numbers = all.split_terminator('|').map(|n| n.parse().ok());
        assert!(numbers.eq((0..TEXTS).map(Some)), "all of it, in order: {all}");
        socket.writes.borrow().len()
    });
    assert!(writes > 0);
    writes
}

#[test]
fn frames_of_a_busy_shard_share_writes_and_nothing_is_lost_or_turned_round() {
    let (each, paced) = (writes_of_a_busy_shard(0), writes_of_a_busy_shard(40));
    assert!(paced * 2 < each, "{paced} writes with a pace, {each} without");
}
