//! The seal-and-send limit end to end, small: two processes, every way of sending, everything arrives.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::path::Path;

use causerie_load::limit::{Cores, Order, Shape, Way, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_causerie-load");

fn shape() -> Shape {
    Shape {
        connections: 20,
        room_size: 8,
        payload: 200,
        batch: vec![1, 4],
        rate: vec![0.0, 2000.0],
        send: vec![Way::Plain, Way::Grouped, Way::Uring, Way::Fixed],
        group: vec![5],
        order: Order::Shuffled,
        seconds: 0.05,
        repeat: 2,
        discard: false,
    }
}

#[test]
fn every_way_of_sending_delivers_everything_and_is_measured_in_turn() {
    let limit = run(Path::new(PROGRAM), &shape(), Cores::default()).unwrap();
    // The receivers counted and opened every byte, or there would be no figures.
    assert_eq!(limit.figures.len(), 16);
    assert_eq!(limit.windows.len(), 32);
    let ways = |windows: &[causerie_load::limit::Window]| windows.iter().map(|w| w.setup).collect::<Vec<_>>();
    assert_eq!(ways(&limit.windows[..16]), ways(&limit.windows[16..]), "A B A B");
    for window in &limit.windows {
        assert_eq!(window.deliveries, window.writes * window.setup.batch as u64);
        assert!(window.writes > 0 && window.cpu_seconds > 0.0, "{window:?}");
    }
    assert!(limit.connect_cpu_ms > 0.0 && limit.frame_bytes > 400);
    assert!(limit.to_string().contains("uring"));
}

#[test]
fn receivers_that_throw_away_are_counted_too() {
    let shape = Shape { discard: true, batch: vec![2], rate: vec![0.0], send: vec![Way::Plain], ..shape() };
    let limit = run(Path::new(PROGRAM), &shape, Cores::default()).unwrap();
    assert!(limit.windows.iter().all(|window| window.deliveries > 0));
}

#[test]
fn a_rate_is_kept_to() {
    let shape =
        Shape { batch: vec![1], rate: vec![1000.0], send: vec![Way::Plain], seconds: 0.4, repeat: 1, ..shape() };
    let limit = run(Path::new(PROGRAM), &shape, Cores::default()).unwrap();
    // A slow machine may send fewer, never more than the schedule and one burst.
    let sent = limit.windows.iter().map(|window| window.deliveries).sum::<u64>();
    assert!((1..=408).contains(&sent), "{sent}");
}

#[test]
fn what_cannot_be_measured_is_refused_with_its_option() {
    let refused = |shape: Shape, option: &str| {
        let why = shape.checked().unwrap_err().to_string();
        assert!(why.starts_with(option), "{why}");
    };
    assert!(shape().checked().is_ok());
    refused(Shape { connections: 0, ..shape() }, "--connections");
    refused(Shape { room_size: 21, ..shape() }, "--room-size");
    refused(Shape { batch: vec![1, 100], ..shape() }, "--batch");
    refused(Shape { rate: vec![-1.0], ..shape() }, "--rate");
    refused(Shape { group: vec![0], ..shape() }, "--group");
}
