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
    let talk = report.phases.last().expect("a phase");
    eprintln!("delivered {} in {:.1} s, p99 {:.1} ms", talk.delivered, talk.seconds, talk.delivery.at(0.99));
    // Whether the figures may be believed (`validity`) is not asked: other tests run beside this one.
    assert!(report.verdict.sound(), "{:?}", report.verdict);
    assert_eq!((talk.sent, talk.acked, talk.delivered), (400, 400, talk.expected_deliveries));
}
