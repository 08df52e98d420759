//! A short run of the load harness: 200 connections, nothing lost. Figures are printed, not asserted.

use causerie_load::plan::Plan;
use causerie_load::target::Target;
use causerie_load::{run, scenario};

use crate::support::Setup;

#[test]
fn two_hundred_talk_and_nothing_is_lost() {
    let server = Setup::default().set("limits.requests_per_second", 10_000).start();
    let target = Target::parse(&format!("wss://{}/ws/chat", server.address()), None).expect("a target");
    let scenario = scenario::find("short").expect("a scenario");
    let mut plan = Plan::new(target, scenario, server.issuer().clone());
    plan.server_pid = Some(server.pid());
    let report = run::run(&plan).expect("a run");
    eprintln!("{report}");
    // Whether the figures may be believed (`valid`) is not asked: other tests run beside this one.
    assert!(report.sound, "{report}");
    assert_eq!((report.sent, report.acked, report.delivered), (400, 400, report.expected_deliveries));
}
