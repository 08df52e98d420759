//! The harness against a server that does wrong on purpose: each fault is found, named as what it is, and makes the run fail; and a
//! server that does right is not accused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]

mod fake;

use std::collections::BTreeMap;

use causerie_load::report::Report;
use fake::{Deed, Fake, Fault, Plan, ResumeFault, Setup};

/// Six people in two rooms of three; long enough that there is always a next message.
const TALK: &str = "
name = 'talk'
drain_seconds = 60
population = { connections = 6, room_size = 3, payload = 120 }
connect = { settle_seconds = 0 }
[[phase]]
name = 'talk'
seconds = 1
messages = { rate = 60 }
";

/// The same, but not waiting long for what will not come.
fn impatient() -> String {
    TALK.replace("drain_seconds = 60", "drain_seconds = 4")
}

/// A run against a server with this fault: the report, and what the server did.
fn faulty(scenario: &str, plan: Plan) -> (Report, Vec<Deed>) {
    let fake = Fake::start(Setup { plan, ..Setup::default() });
    let report = fake.run(scenario);
    let record = fake.record();
    assert_eq!(record.violations, [""; 0]);
    (report, record.deeds.clone())
}

/// The faults that were found with the tenth message done wrong, by kind; each has words for people.
fn found(fault: Fault) -> BTreeMap<String, u64> {
    let (report, deeds) = faulty(&impatient(), Plan::one(10, fault));
    assert_eq!(deeds.len(), 1, "the server did it once");
    assert!(!report.passed(), "{fault:?} must not pass");
    assert!(!report.outcome.passed && !report.outcome.why.is_empty(), "{:?}", report.outcome);
    assert_eq!(report.verdict.words.is_empty(), report.verdict.faults.is_empty(), "{:?}", report.verdict);
    report.verdict.faults
}

fn kinds(faults: &[(&str, u64)]) -> BTreeMap<String, u64> {
    faults.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
}

#[test]
fn a_server_that_does_right_is_not_accused() {
    let (report, _) = faulty(TALK, Plan::default());
    assert_eq!(report.verdict.faults, kinds(&[]), "{:?}", report.verdict.words);
    let talk = &report.phases[report.phases.len() - 1];
    assert_eq!((talk.planned, talk.sent, talk.acked, talk.unanswered), (60, 60, 60, 0));
    assert_eq!((talk.delivered, talk.expected_deliveries), (120, 120));
    assert_eq!((talk.ack.count(), talk.delivery.count(), talk.lateness.count()), (60, 120, 60));
    assert!(report.verdict.troubles.is_empty(), "{:?}", report.verdict.troubles);
    // A verdict over nothing is none.
    assert!(!report.verdict.checked.is_empty() && report.verdict.checked.values().all(|count| *count > 0));
}

#[test]
fn a_delivery_that_never_came() {
    assert_eq!(found(Fault::DropDelivery), kinds(&[("gap", 1)]));
}

#[test]
fn a_delivery_that_came_twice() {
    assert_eq!(found(Fault::DeliverTwice), kinds(&[("duplicate", 1)]));
}

#[test]
fn a_copy_to_whoever_sent_it() {
    assert_eq!(found(Fault::CopyToSender), kinds(&[("duplicate", 1)]));
}

#[test]
fn deliveries_in_the_wrong_order() {
    assert_eq!(found(Fault::SwapDeliveries), kinds(&[("disorder", 1)]));
}

#[test]
fn a_delivery_to_somebody_outside_the_room() {
    assert_eq!(found(Fault::DeliverOutside), kinds(&[("stranger", 1)]));
}
