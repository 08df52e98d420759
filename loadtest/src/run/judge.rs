//! The last checks: what never came, what the history does not hold, and whether the harness itself was in the way.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::course::{self, Course};
use crate::Failure;
use crate::check::Log;
use crate::engine::conn::{Conn, Stage};
use crate::engine::{Setup, Tally};
use crate::ledger::close::check_spot;
use crate::ledger::pairs::{Gap, Pair};
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
        for words in tallies.iter().filter_map(|tally| tally.pairs.not_checked()) {
            if !verdict.not_checked.contains(&words) {
                verdict.not_checked.push(words);
            }
        }
    }
    if !setup.can.seq && setup.part.of > 1 {
        let words = "which of a sender's last messages never came to another process: they only count as missing";
        verdict.not_checked.push(words.to_owned());
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

/// Where nothing is numbered: what each sender sent into each room against what each receiver got there.
fn check_pairs(verdict: &mut Verdict, setup: &Setup, tallies: &[Tally]) {
    let layout = &setup.world.layout;
    let conns = || tallies.iter().flat_map(|tally| &tally.conns);
    let senders: HashMap<u32, &Conn> = conns().map(|conn| (conn.user, conn)).collect();
    let refused: HashSet<(u32, u32, u32)> =
        conns().flat_map(|conn| conn.refused.iter().map(|&(room, number)| (conn.user, room, number))).collect();
    // 0 where another process knows.
    let sent = |sender: u32, room: u32| {
        let conn = senders.get(&sender)?;
        conn.into_rooms.get(layout.place_of(sender, room)?).copied()
    };
    for tally in tallies {
        for conn in tally.conns.iter().filter(|conn| tally.pairs.looks_at(conn.user)) {
            for &room in layout.rooms_of(conn.user) {
                for &sender in layout.members(room).iter().filter(|&&sender| sender != conn.user) {
                    let pair = Pair { receiver: conn.user, room, sender };
                    // Who came later begins with what came first then.
                    if conn.generation > 1 && !tally.pairs.has(pair) {
                        continue;
                    }
                    for gap in tally.pairs.gaps(pair, sent(sender, room).unwrap_or(0)) {
                        pair_gap(verdict, gap, &refused);
                    }
                }
            }
        }
    }
}

fn pair_gap(verdict: &mut Verdict, gap: Gap, refused: &HashSet<(u32, u32, u32)>) {
    let Pair { receiver, room, sender } = gap.pair;
    let mut missing = (gap.first..=gap.last).filter(|&number| !refused.contains(&(sender, room, number)));
    let Some(first) = missing.next() else { return };
    let more = missing.count() as u64;
    verdict.fault("gap", || {
        let last = gap.last;
        format!("user {receiver} in room {room}: {first} to {last} of user {sender}'s messages there never came")
    });
    *verdict.faults.entry("gap".to_owned()).or_default() += more;
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
