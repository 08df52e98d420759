//! The last checks: what never came, what the history does not hold, and whether the harness itself was in the way.

use std::collections::{BTreeMap, HashMap};

use super::course::{self, Course};
use crate::Failure;
use crate::check::Log;
use crate::engine::conn::Stage;
use crate::engine::{Setup, Tally};
use crate::ledger::close::check_spot;
use crate::plan::Plan;
use crate::report::{PhaseReport, Report, Verdict, WORDS_MAX, short};

/// Adds up what the threads counted: phases come back, verdict and notes go into the report.
pub(super) fn sum_up(report: &mut Report, setup: &Setup, tallies: &[Tally]) -> Vec<PhaseReport> {
    let mut phases: Vec<PhaseReport> = Vec::new();
    let mut left_out: BTreeMap<&str, u64> = BTreeMap::new();
    let verdict = &mut report.verdict;
    for tally in tallies {
        merge(&mut phases, &tally.phases);
        for (kind, count) in &tally.verdict.faults {
            *verdict.faults.entry(kind.clone()).or_default() += count;
        }
        for (name, count) in &tally.verdict.troubles {
            verdict.trouble(name, *count);
        }
        verdict.words.extend(tally.verdict.words.iter().cloned());
        for (name, count) in &tally.left_out {
            *left_out.entry(name).or_default() += count;
        }
    }
    verdict.words.truncate(WORDS_MAX);
    report.notes.extend(left_out.iter().map(|(name, count)| format!("left out: {name} ({count} times)")));
    let sum = |of: fn(&PhaseReport) -> u64| phases.iter().map(of).sum::<u64>();
    verdict.checked.insert("deliveries".to_owned(), sum(|phase| phase.delivered));
    verdict.checked.insert("acks".to_owned(), sum(|phase| phase.acked));
    if !setup.can.seq {
        verdict.not_checked.push("places in rooms: the server numbers nothing".to_owned());
        for words in tallies.iter().flat_map(|tally| tally.pairs.not_checked()) {
            if !verdict.not_checked.contains(&words) {
                verdict.not_checked.push(words);
            }
        }
    }
    if !setup.can.ack {
        verdict.not_checked.push("answers: the server does not ack".to_owned());
    }
    if !setup.can.log {
        verdict.not_checked.push("history: the server keeps none".to_owned());
    }
    phases
}

/// The rounds of connecting, over all threads.
pub(super) fn rounds(tallies: &[Tally]) -> Vec<PhaseReport> {
    let mut rounds = Vec::new();
    for tally in tallies {
        merge(&mut rounds, &tally.rounds);
    }
    rounds
}

fn merge(into: &mut Vec<PhaseReport>, from: &[PhaseReport]) {
    for (number, phase) in from.iter().enumerate() {
        match into.get_mut(number) {
            Some(known) => known.merge(phase),
            None => into.push(phase.clone()),
        }
    }
}

/// Holds everything against the history, and everybody's places against where the rooms ended.
///
/// # Errors
/// When the history cannot be read.
pub(super) fn check_the_end(report: &mut Report, plan: &Plan, setup: &Setup, tallies: &[Tally]) -> Result<(), Failure> {
    let verdict = &mut report.verdict;
    let mut ends: HashMap<u32, u64> = HashMap::new();
    if setup.can.log {
        // Several processes each read what they know of.
        let rooms = setup.ledger.rooms_to_read(plan.scenario.seed);
        course::say(plan, &format!("reading the history of {} rooms back", rooms.len()));
        let logs = setup.adapter.logs(&plan.target, &setup.world, &rooms)?;
        let all = (0..setup.world.layout.rooms()).filter(|&room| setup.ledger.known(room) > 0).count();
        if rooms.len() < all {
            let words = format!("history of all rooms: {} of {all} were read back", rooms.len());
            verdict.not_checked.push(words);
        }
        check_logs(verdict, setup, &rooms, &logs, &mut ends);
    }
    for tally in tallies {
        check_clients(verdict, setup, tally, &ends);
    }
    if !setup.can.seq {
        check_pairs(verdict, setup, tallies);
    }
    Ok(())
}

fn check_logs(verdict: &mut Verdict, setup: &Setup, rooms: &[u32], logs: &[Log], ends: &mut HashMap<u32, u64>) {
    let mut stored = HashMap::new();
    let mut entries = 0;
    for (&room, log) in rooms.iter().zip(logs) {
        setup.ledger.hold_against(room, log, &mut stored, verdict);
        entries += log.entries.len() as u64;
        if let Some(last) = log.entries.last() {
            ends.insert(room, last.seq);
        }
    }
    verdict.checked.insert("rooms read back".to_owned(), rooms.len() as u64);
    verdict.checked.insert("entries of history".to_owned(), entries);
}

fn check_clients(verdict: &mut Verdict, setup: &Setup, tally: &Tally, ends: &HashMap<u32, u64>) {
    let each = setup.scenario.population.rooms_per_user;
    let mut places = 0;
    for (slot, conn) in tally.conns.iter().enumerate() {
        if conn.stage != Stage::Live {
            let stage = conn.stage;
            verdict.fault("not back", || format!("user {} was not there in the end: {stage:?}", conn.user));
            continue;
        }
        if !setup.can.seq {
            continue;
        }
        for (place, &room) in setup.world.layout.rooms_of(conn.user).iter().enumerate() {
            let until = ends.get(&room).copied().unwrap_or_else(|| setup.ledger.newest(room));
            check_spot(conn.user, room, &tally.spots[slot * each + place], until, verdict);
            places += 1;
        }
    }
    *verdict.checked.entry("clients' places in rooms".to_owned()).or_default() += places;
}

/// Where nothing is numbered: what each sender sent against what each receiver got.
fn check_pairs(verdict: &mut Verdict, setup: &Setup, tallies: &[Tally]) {
    let sent: HashMap<u32, u32> =
        tallies.iter().flat_map(|tally| tally.conns.iter().map(|conn| (conn.user, conn.messages))).collect();
    let gap = |verdict: &mut Verdict, receiver: u32, sender: u32, missing: u32| {
        verdict.fault("gap", || format!("user {receiver} never got {missing} messages of user {sender}"));
        *verdict.faults.entry("gap".to_owned()).or_default() += u64::from(missing) - 1;
    };
    for tally in tallies {
        for (receiver, sender, missing) in tally.pairs.gaps(|sender| sent.get(&sender).copied()) {
            gap(verdict, receiver, sender, missing);
        }
        if !tally.pairs.dense() {
            continue;
        }
        for conn in tally.conns.iter().filter(|conn| conn.generation == 1 && tally.pairs.looks_at(conn.user)) {
            for &room in setup.world.layout.rooms_of(conn.user) {
                for &sender in setup.world.layout.members(room) {
                    let missing = sent.get(&sender).copied().unwrap_or(0);
                    if sender != conn.user && missing > 0 && !tally.pairs.has(conn.user, sender) {
                        gap(verdict, conn.user, sender, missing);
                    }
                }
            }
        }
    }
}

/// Whether the figures say something about the server.
pub(super) fn validity(report: &mut Report, plan: &Plan, course: &mut Course) {
    let limit = plan.scenario.lateness_limit_ms;
    for phase in report.phases.iter().filter(|phase| !phase.warm_up) {
        let late = phase.lateness.at(0.99);
        if late > limit {
            let words =
                format!("the generator was late in {}: p99 {} ms > {} ms", phase.name, short(late), short(limit));
            report.validity.reasons.push(words);
        }
    }
    let seconds = course.overworked();
    let share = seconds.iter().copied().fold(0.0, f64::max);
    if !seconds.is_empty() {
        let words = format!(
            "the generator used {:.0} % of its core in {} s in which it was late (p99 > {} ms)",
            share * 100.0,
            seconds.len(),
            short(limit)
        );
        report.validity.reasons.push(words);
    }
}
