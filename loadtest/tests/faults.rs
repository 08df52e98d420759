//! The harness against a server that does wrong on purpose: each fault is found, named as what it is, and makes the run fail; and a
//! server that does right is not accused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]

mod fake;

use std::collections::BTreeMap;

use causerie_load::report::Report;
use fake::{Deed, Fake, Fault, Plan, ResumeFault, Setup, talk};

/// Six people in two rooms of three; long enough that there is always a next message.
fn six() -> String {
    talk(6, 3, 1.0, 60)
}

/// The same, but not waiting long for what will not come.
fn impatient() -> String {
    six().replace("drain_seconds = 60", "drain_seconds = 4")
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
    let (report, _) = faulty(&six(), Plan::default());
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
    // One fault, although it shows twice: when the copy comes, and when the ack names a place that came already.
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

#[test]
fn another_text_than_was_sent() {
    assert_eq!(found(Fault::OtherText), kinds(&[("differs", 1)]));
}

#[test]
fn another_message_than_is_stored() {
    let faults = found(Fault::OtherMessage);
    assert!(faults.contains_key("differs"), "{faults:?}");
    // Which of two stories is the wrong one, only the history says; so it may be held against the others that they differ.
    assert!(faults.keys().all(|kind| ["differs", "unstored", "lost"].contains(&&**kind)), "{faults:?}");
}

#[test]
fn acked_and_not_stored() {
    let faults = found(Fault::AckOnly);
    assert_eq!(faults.get("lost"), Some(&1), "{faults:?}");
    // The place is given to the next message, too: two stories of it.
    assert!(faults.keys().all(|kind| ["lost", "differs", "duplicate"].contains(&&**kind)), "{faults:?}");
}

#[test]
fn delivered_and_not_stored() {
    let faults = found(Fault::DeliverOnly);
    assert_eq!(faults, kinds(&[("lost", 1)]), "it was acked, so it is lost");
}

#[test]
fn two_answers_to_one_id() {
    assert_eq!(found(Fault::TwoAnswers), kinds(&[("two answers", 1)]));
}

#[test]
fn a_message_that_is_stored_twice() {
    let faults = found(Fault::StoreTwice);
    // Its sender was told of one place; the other one never came to them.
    assert_eq!(faults, kinds(&[("stored twice", 1), ("gap", 1)]));
}

#[test]
fn a_hole_in_the_log() {
    let faults = found(Fault::LogHole);
    assert_eq!(faults.get("log"), Some(&1), "{faults:?}");
    // For those who were there it is a gap, each of them.
    assert_eq!(faults, kinds(&[("log", 1), ("gap", 3)]));
}

#[test]
fn a_senders_messages_in_the_wrong_order() {
    assert_eq!(found(Fault::SwapStored), kinds(&[("sender order", 1)]));
}

#[test]
fn an_ack_that_never_came() {
    let (report, _) = faulty(&impatient(), Plan::one(10, Fault::SwallowAck));
    assert!(!report.passed());
    assert_eq!(report.phases.last().unwrap().unanswered, 1);
    assert!(report.outcome.why.iter().any(|why| why.contains("unanswered")), "{:?}", report.outcome);
}

#[test]
fn a_message_that_is_refused() {
    let (report, deeds) = faulty(&six(), Plan::one(10, Fault::Refuse("not_allowed")));
    assert_eq!(deeds.len(), 1);
    assert!(!report.passed());
    let talk = report.phases.last().unwrap();
    assert_eq!((talk.acked, talk.unanswered, talk.refused.get("not_allowed")), (59, 0, Some(&1)));
    assert_eq!(report.verdict.faults, kinds(&[]), "refused is not lost: {:?}", report.verdict.words);
    assert!(report.outcome.why.iter().any(|why| why.contains("troubles")), "{:?}", report.outcome);
}

#[test]
fn a_connection_that_ends_is_a_trouble_and_what_it_missed_is_had_again() {
    for (fault, name) in [(Fault::Close(4503), "4503"), (Fault::Cut, "cut")] {
        let (report, deeds) = faulty(&six(), Plan::one(10, fault));
        assert_eq!(deeds.len(), 1);
        assert!(!report.passed(), "nobody asked for it");
        assert_eq!(report.verdict.faults, kinds(&[]), "{:?}", report.verdict.words);
        let troubles = &report.verdict.troubles;
        assert!(troubles.len() == 1 && troubles.iter().all(|(t, n)| t.contains(name) && *n == 1), "{troubles:?}");
        let talk = report.phases.last().unwrap();
        assert_eq!((talk.delivered, talk.expected_deliveries, talk.catch_up.count()), (120, 120, 1));
    }
}

/// All are cut at the start of the second phase, while others speak; `hello` waits, so that there is something to catch up with.
const STORM: &str = "
name = 'storm'
drain_seconds = 60
population = { connections = 12, room_size = 6, payload = 120 }
connect = { settle_seconds = 0 }
[[phase]]
name = 'before'
seconds = 0.5
messages = { rate = 80 }
[[phase]]
name = 'storm'
seconds = 1.5
cut = 0.5
messages = { rate = 80 }
";

fn storm(resume: Option<ResumeFault>) -> (Report, Vec<Deed>) {
    let plan = Plan { resume, faults: Vec::new() };
    let hello_delay = std::time::Duration::from_millis(300);
    let fake = Fake::start(Setup { plan, hello_delay, ..Setup::default() });
    let report = fake.run(
        &STORM.replace("drain_seconds = 60", if resume.is_some() { "drain_seconds = 4" } else { "drain_seconds = 60" }),
    );
    let deeds = fake.record().deeds.clone();
    (report, deeds)
}

#[test]
fn whoever_is_cut_gets_what_was_missed() {
    let (report, _) = storm(None);
    assert_eq!(report.verdict.faults, kinds(&[]), "{:?}", report.verdict.words);
    assert!(report.passed() || !report.validity.valid(), "{:?}", report.outcome);
    let storm = report.phases.last().unwrap();
    // Chance decides who is cut; each one caught up, and not before hello came.
    assert!(
        storm.catch_up.count() > 0 && Some(&storm.catch_up.count()) == storm.counts.get("cut"),
        "{:?}",
        storm.counts
    );
    assert!(storm.catch_up.min() >= 300.0, "{} ms", storm.catch_up.min());
    assert_eq!(report.phases.iter().map(|p| p.delivered).sum::<u64>(), 160 * 5);
}

#[test]
fn a_gap_after_a_resume() {
    let (report, deeds) = storm(Some(ResumeFault::Gap));
    assert_eq!(deeds.len(), 1);
    assert!(!report.passed());
    let faults = &report.verdict.faults;
    assert!(faults.len() == 1 && faults.contains_key("gap"), "{:?}", report.verdict.words);
}

#[test]
fn a_duplicate_while_catching_up_is_counted_and_no_fault() {
    // The protocol lets an event come live and once more among the resumed ones, and nobody can tell which is which.
    let (report, deeds) = storm(Some(ResumeFault::Twice));
    assert_eq!(deeds.len(), 1);
    assert_eq!(report.verdict.faults, kinds(&[]), "{:?}", report.verdict.words);
    let counts = &report.phases.last().unwrap().counts;
    assert!(counts.get("came again while catching up").is_some_and(|count| *count > 0), "{counts:?}");
}

#[test]
fn a_resume_that_cannot_be_had() {
    let (report, deeds) = storm(Some(ResumeFault::Reload));
    assert_eq!(deeds.len(), 1);
    assert!(!report.passed());
    assert_eq!(report.verdict.faults.get("reload"), Some(&1), "{:?}", report.verdict.words);
}
