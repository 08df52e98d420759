//! A short run of the load harness: 200 connections, nothing lost. Figures are printed, not asserted.

use causerie_load::plan::{Plan, Shape};
use causerie_load::run;
use causerie_load::tls::Trust;

use crate::support::Setup;

#[test]
fn two_hundred_talk_and_nothing_is_lost() {
    let server = Setup::default().set("limits.requests_per_second", 10_000).start();
    let shape = Shape { connections: 200, room_size: 25, rate: 40.0, seconds: 10.0, ..Shape::default() };
    let plan = Plan {
        address: server.address(),
        path: "/ws/chat".to_owned(),
        trust: Trust::Any,
        issuer: server.issuer().clone(),
        shape,
        server_pid: Some(server.pid()),
    };
    let report = run::run(&plan).expect("a run");
    eprintln!("{report}");
    // Whether the figures may be believed (`valid`) is not asked: other tests run beside this one.
    assert!(report.sound, "{report}");
    assert_eq!((report.sent, report.acked, report.delivered), (400, 400, report.expected_deliveries));
}
