//! Parts of several processes become one report, and what follows from the parts is worked out.

use std::collections::BTreeMap;

use super::{Distribution, FORMAT, Moment, Outcome, PhaseReport, Report, Sample, ServerUse, WORDS_MAX};
use crate::Failure;

/// From this share on deliveries that came after their phase are not counted to its CPU time.
const LATE: f64 = 0.05;

impl Report {
    /// Takes in the part of another process of the same run. Phases and seconds are matched by their order; sums are summed,
    /// histograms merged, faults and reasons gathered. What only one process sees (the server) is taken from whichever has it.
    /// Expectations are dropped: they are to be looked at over the whole, afterwards.
    ///
    /// # Errors
    /// When the parts are not of the same run: another scenario, other phases, another form.
    pub fn merge(&mut self, other: &Self) -> Result<(), Failure> {
        let differs =
            |what: &str| Err(Failure::new("merging reports of one run", format!("they differ in their {what}")));
        if self.format != other.format {
            return differs("form: one harness is older than the other");
        }
        if self.scenario_name != other.scenario_name || self.seed != other.seed {
            return differs("scenario or seed");
        }
        if self.phases.iter().map(|p| &p.name).ne(other.phases.iter().map(|p| &p.name)) {
            return differs("phases");
        }
        if !self.timeline_matches(other) {
            return differs("seconds: their timelines began at different moments");
        }
        self.processes += other.processes;
        self.outcome = Outcome::default();
        self.expectations.clear();
        let seen = std::iter::once(&self.machine).chain(&self.other_machines);
        if !seen.clone().any(|known| known.same(&other.machine)) {
            self.other_machines.push(other.machine.clone());
        }
        if self.server_version.is_none() {
            self.server_version.clone_from(&other.server_version);
        }
        if other.started_at < self.started_at {
            self.started_at.clone_from(&other.started_at);
        }
        for (ours, theirs) in self.phases.iter_mut().zip(&other.phases) {
            ours.merge(theirs);
        }
        for (at, theirs) in other.timeline.iter().enumerate() {
            match self.timeline.get_mut(at) {
                Some(ours) => ours.merge(theirs),
                None => self.timeline.push(theirs.clone()),
            }
        }
        add(&mut self.verdict.faults, &other.verdict.faults);
        add(&mut self.verdict.checked, &other.verdict.checked);
        add(&mut self.verdict.troubles, &other.verdict.troubles);
        self.verdict.words.extend(other.verdict.words.iter().cloned());
        self.verdict.words.truncate(WORDS_MAX);
        union(&mut self.verdict.not_checked, &other.verdict.not_checked);
        union(&mut self.validity.reasons, &other.validity.reasons);
        union(&mut self.notes, &other.notes);
        Ok(())
    }

    fn timeline_matches(&self, other: &Self) -> bool {
        self.timeline.iter().zip(&other.timeline).all(|(a, b)| (a.began() - b.began()).abs() < 0.5)
    }

    /// Works out what follows from the rest: figures per CPU second and connection, and the outcome. Drops the histograms of single
    /// seconds, which only merging needs. To be called once all parts are in and expectations were looked at; again does no harm.
    pub fn finish(&mut self) {
        self.format = FORMAT;
        let mut live = 0;
        for phase in &mut self.phases {
            if let Some(server) = phase.server.as_mut().filter(|_| self.processes > 1) {
                // The process that looks at the server knows of its own connections only.
                server.connections_before = live;
            }
            live = phase.connections;
            let came = came_within(&self.timeline, phase);
            phase.work_out(came);
        }
        for sample in &mut self.timeline {
            for moment in [&mut sample.ack, &mut sample.delivery, &mut sample.lateness] {
                moment.hdr = None;
            }
        }
        self.outcome = Outcome { passed: self.passed(), why: self.shortcomings() };
    }

    /// Whether the run passed: no fault, figures that may be believed, and every expectation met.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.verdict.sound() && self.validity.valid() && self.expectations.iter().all(super::Expectation::met)
    }

    /// Why it did not pass, in words.
    fn shortcomings(&self) -> Vec<String> {
        let faults = self.verdict.faults.iter().filter(|(_, count)| **count > 0);
        let mut why: Vec<String> = faults.map(|(kind, count)| format!("{kind}: {count}")).collect();
        why.extend(self.validity.reasons.iter().map(|reason| format!("not to be believed: {reason}")));
        why.extend(self.expectations.iter().filter(|e| !e.met()).map(|e| format!("not as expected: {e}")));
        why
    }
}

impl PhaseReport {
    /// Takes in what another thread or process counted of the same phase.
    pub fn merge(&mut self, other: &Self) {
        self.start_seconds = self.start_seconds.min(other.start_seconds);
        self.seconds = self.seconds.max(other.seconds);
        self.connections += other.connections;
        self.planned += other.planned;
        self.sent += other.sent;
        self.acked += other.acked;
        self.unanswered += other.unanswered;
        self.delivered += other.delivered;
        self.expected_deliveries += other.expected_deliveries;
        add(&mut self.refused, &other.refused);
        add(&mut self.counts, &other.counts);
        for (ours, theirs) in self.distributions_mut().into_iter().zip(other.distributions()) {
            ours.merge(theirs.1);
        }
        for (name, theirs) in &other.extra {
            self.extra.entry(name.clone()).or_default().merge(theirs);
        }
        self.generator.cpu_seconds += other.generator.cpu_seconds;
        self.generator.busiest_thread = self.generator.busiest_thread.max(other.generator.busiest_thread);
        if self.server.is_none() {
            self.server.clone_from(&other.server);
        }
    }

    /// Its fixed distributions with the names that people read.
    #[must_use]
    pub fn distributions(&self) -> [(&'static str, &Distribution); 6] {
        [
            ("send to ack", &self.ack),
            ("send to delivery", &self.delivery),
            ("generator late", &self.lateness),
            ("connect to live", &self.connect),
            ("caught up", &self.catch_up),
            ("history read", &self.history),
        ]
    }

    /// All its distributions that hold something, the extra ones too.
    pub fn all_distributions(&self) -> impl Iterator<Item = (&str, &Distribution)> {
        let extra = self.extra.iter().map(|(name, times)| (name.as_str(), times));
        self.distributions().into_iter().chain(extra).filter(|(_, times)| !times.is_empty())
    }

    fn distributions_mut(&mut self) -> [&mut Distribution; 6] {
        [
            &mut self.ack,
            &mut self.delivery,
            &mut self.lateness,
            &mut self.connect,
            &mut self.catch_up,
            &mut self.history,
        ]
    }

    #[allow(clippy::cast_precision_loss)] // counts and bytes far below 2^52
    fn work_out(&mut self, came_within: Option<f64>) {
        let Some(server) = &mut self.server else { return };
        // Seconds lie across the borders of phases, so their sum is a little off where the rate changes; what the phase counted itself is
        // exact unless its messages came late.
        let own = self.delivered as f64;
        let delivered = came_within.filter(|came| (came - own).abs() > LATE * own).unwrap_or(own);
        let per_second = (delivered > 0.0 && server.cpu_seconds > 0.0).then(|| delivered / server.cpu_seconds);
        let came = self.connections.saturating_sub(server.connections_before);
        let grown = server.rss_after as f64 - server.rss_before as f64;
        let connects = self.connect.count();
        let quiet = self.sent == 0 && self.delivered == 0;
        server.deliveries_per_cpu_second = per_second;
        // Fewer connections than this are drowned by what else the server allocates.
        server.bytes_per_connection = (came >= 100).then(|| grown / came as f64);
        server.cpu_ms_per_connect = (connects > 0 && quiet).then(|| server.cpu_seconds * 1000.0 / connects as f64);
    }
}

impl Sample {
    fn merge(&mut self, other: &Self) {
        // It ended with the process that ended last.
        let (began, length) = (self.began(), self.length().max(other.length()));
        self.t = began + length;
        self.seconds = (self.seconds.is_some() && other.seconds.is_some()).then_some(length);
        self.sent += other.sent;
        self.acked += other.acked;
        self.delivered += other.delivered;
        self.errors += other.errors;
        self.open += other.open;
        self.ack.merge(&other.ack);
        self.delivery.merge(&other.delivery);
        self.lateness.merge(&other.lateness);
        self.generator_cpu_seconds += other.generator_cpu_seconds;
        if self.server.is_none() {
            self.server.clone_from(&other.server);
        }
    }
}

impl Moment {
    /// With the histograms of both it is exact. Without, the median of the larger one and the worst of the rest stand, which is
    /// the careful side.
    fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            self.clone_from(other);
            return;
        }
        let read = |moment: &Self| moment.hdr.as_deref().and_then(|hdr| Distribution::decoded(hdr).ok());
        if let (Some(mut ours), Some(theirs)) = (read(self), read(other)) {
            ours.merge(&theirs);
            *self = Self::of(&ours, true);
            return;
        }
        let p50_ms = if self.count >= other.count { self.p50_ms } else { other.p50_ms };
        *self = Self {
            count: self.count + other.count,
            p50_ms,
            p99_ms: self.p99_ms.max(other.p99_ms),
            max_ms: self.max_ms.max(other.max_ms),
            hdr: None,
        };
    }
}

impl ServerUse {
    /// The share of one core that the server used while it was looked at, or else over a phase of `seconds`.
    #[must_use]
    pub fn cores(&self, seconds: f64) -> f64 {
        let seconds = if self.seconds > 0.0 { self.seconds } else { seconds };
        if seconds > 0.0 { self.cpu_seconds / seconds } else { 0.0 }
    }
}

/// Deliveries that came within a phase, by the seconds of the timeline; those at the borders count by how much of them lies inside.
#[allow(clippy::cast_precision_loss)] // counts of a second
fn came_within(timeline: &[Sample], phase: &PhaseReport) -> Option<f64> {
    let (from, to) = (phase.start_seconds, phase.start_seconds + phase.seconds);
    let inside = |sample: &Sample| ((sample.t.min(to) - sample.began().max(from)) / sample.length()).clamp(0.0, 1.0);
    let came = timeline.iter().map(|sample| sample.delivered as f64 * inside(sample)).sum();
    (!timeline.is_empty()).then_some(came)
}

fn add(into: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>) {
    for (name, count) in from {
        *into.entry(name.clone()).or_default() += count;
    }
}

fn union(into: &mut Vec<String>, from: &[String]) {
    for words in from {
        if !into.contains(words) {
            into.push(words.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Expectation, Relation, ServerSample, sample};
    use super::*;

    /// What processes saw, by a number that says whose part it is: seconds with their histograms.
    fn part(process: u64, processes: u64, seconds: u64) -> Report {
        let mut talk =
            PhaseReport { name: "talk".to_owned(), seconds: 20.0, connections: 50, ..PhaseReport::default() };
        let mut timeline = Vec::new();
        let mut noise = sample::Noise(4);
        for second in 0..seconds {
            let mut delivery = Distribution::new();
            for n in 0..1000 {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let micros = (500.0 / (noise.next() + 0.0005)) as u64;
                if n % processes == process {
                    delivery.record_micros(micros, 1);
                }
            }
            talk.delivery.merge(&delivery);
            let delivery = Moment::of(&delivery, true);
            #[allow(clippy::cast_precision_loss)]
            let t = second as f64 + 1.0;
            timeline.push(Sample { t, sent: 10, delivered: delivery.count, open: 50, delivery, ..Sample::default() });
        }
        talk.delivered = talk.delivery.count();
        talk.server = (process == 0).then(|| ServerUse {
            cpu_seconds: 2.0,
            connections_before: 25,
            rss_before: 1 << 20,
            rss_after: 16 << 20,
            ..ServerUse::default()
        });
        talk.extra.insert(format!("of {process}"), talk.delivery.clone());
        talk.refused.insert("busy".to_owned(), 1 + process);
        let started_at = format!("2026-11-22T16:20:2{}Z", 5 - process);
        let mut report =
            Report { format: FORMAT, processes: 1, phases: vec![talk], timeline, started_at, ..Report::default() };
        report.verdict.checked.insert("deliveries".to_owned(), 7);
        report
    }

    #[test]
    fn the_last_second_counts_by_its_length() {
        let second = |t, seconds, delivered| Sample { t, seconds, delivered, ..Sample::default() };
        let (whole, rest) = (second(8.0, None, 50), second(8.25, Some(0.25), 10));
        assert_eq!((whole.a_second(50), rest.a_second(10), rest.began()), (50.0, 40.0, 8.0));
        let phase = PhaseReport { start_seconds: 7.0, seconds: 1.125, ..PhaseReport::default() };
        assert_eq!(came_within(&[whole.clone(), rest.clone()], &phase), Some(55.0));
        assert!(!phase.holds(&rest) && phase.holds(&whole));
        // A process ended in the middle of it, another one went on to its end, a third one still further.
        let merged = |mut one: Sample, other: &Sample| {
            one.merge(other);
            (one.t, one.seconds, one.delivered)
        };
        let full = second(9.0, None, 7);
        assert_eq!(merged(rest.clone(), &full), (9.0, None, 17));
        assert_eq!(merged(full, &rest), (9.0, None, 17));
        assert_eq!(merged(rest, &second(8.5, Some(0.5), 1)), (8.5, Some(0.5), 11));
    }

    #[test]
    fn parts_give_what_one_process_would_have_seen() {
        let whole = part(0, 1, 20);
        let mut merged = part(0, 3, 20);
        for process in [1, 2] {
            // As it goes over the wire.
            let text = serde_json::to_vec(&part(process, 3, 20)).unwrap();
            merged.merge(&Report::from_json(&text).unwrap()).unwrap();
        }
        let (one, many) = (&whole.phases[0], &merged.phases[0]);
        assert_eq!(one.delivery, many.delivery);
        assert_eq!((many.delivered, many.connections, many.refused["busy"]), (one.delivered, 150, 6));
        for (one, many) in whole.timeline.iter().zip(&merged.timeline) {
            assert_eq!((&one.delivery.p99_ms, &one.delivery.p50_ms), (&many.delivery.p99_ms, &many.delivery.p50_ms));
            assert_eq!((one.delivery.max_ms, one.delivered), (many.delivery.max_ms, many.delivered));
            assert_eq!((many.sent, many.open), (30, 150));
        }
        assert_eq!(merged.processes, 3);
        assert_eq!(merged.started_at, "2026-11-22T16:20:23Z");
        assert_eq!(many.extra.len(), 3);
        assert_eq!(merged.verdict.checked["deliveries"], 21);
        merged.finish();
        let server = merged.phases[0].server.as_ref().unwrap();
        assert_eq!(
            server.bytes_per_connection,
            Some(f64::from(15 << 20) / 150.0),
            "over the connections of all processes"
        );
        assert_eq!(server.deliveries_per_cpu_second, Some(10_000.0), "over the deliveries of all processes");
        assert!(merged.timeline.iter().all(|second| second.delivery.hdr.is_none()));
    }

    #[test]
    fn what_came_after_the_phase_is_not_paid_by_its_cpu() {
        let rate = |late: u64| {
            let mut report = sample::report(20, 1.0);
            // Nothing came in the first seconds of the talk; it came after its end.
            for second in report.timeline.iter_mut().skip(3).take(usize::try_from(late).unwrap()) {
                second.delivered = 0;
            }
            report.finish();
            report.phases[1].server.as_ref().unwrap().deliveries_per_cpu_second.unwrap()
        };
        assert!((rate(5) / rate(0) - 0.75).abs() < 1e-9, "{} {}", rate(0), rate(5));
        assert_eq!(rate(1).to_bits(), rate(0).to_bits(), "a second more or less at the border is no lateness");
    }

    #[test]
    fn one_part_that_failed_fails_the_whole() {
        let good = part(0, 2, 2);
        let with = |change: &dyn Fn(&mut Report)| {
            let (mut whole, mut other) = (good.clone(), part(1, 2, 2));
            change(&mut other);
            whole.merge(&other).unwrap();
            whole.finish();
            whole
        };
        assert!(with(&|_| {}).outcome.passed);
        let faulty = with(&|part| part.verdict.fault("gap", || "user 3 misses 7".to_owned()));
        assert_eq!(faulty.outcome.why, ["gap: 1"]);
        let late = with(&|part| part.validity.reasons.push("late".to_owned()));
        assert!(!late.outcome.passed);
        let with_server = with(&|part| part.timeline[0].server = Some(ServerSample::default()));
        assert!(with_server.timeline[0].server.is_some());
    }

    #[test]
    fn parts_of_different_runs_are_refused() {
        let refused = |change: &dyn Fn(&mut Report)| {
            let mut other = part(1, 2, 3);
            change(&mut other);
            part(0, 2, 3).merge(&other).unwrap_err().to_string()
        };
        assert!(refused(&|part| part.seed = 9).contains("seed"));
        assert!(refused(&|part| part.format = 2).contains("form"));
        assert!(refused(&|part| part.phases[0].name = "x".to_owned()).contains("phases"));
        assert!(refused(&|part| part.timeline[1].t += 2.0).contains("seconds"));
    }

    #[test]
    fn moments_without_histograms_merge_to_the_careful_side() {
        let moment = |count, p50_ms, p99_ms| Moment { count, p50_ms, p99_ms, max_ms: p99_ms, hdr: None };
        let mut one = moment(10, 1.0, 5.0);
        one.merge(&moment(30, 2.0, 4.0));
        assert_eq!(one, moment(40, 2.0, 5.0));
        let mut none = Moment::default();
        none.merge(&one);
        assert_eq!(none, one);
    }

    #[test]
    fn an_expectation_that_was_not_measured_is_not_met() {
        let mut expectation = Expectation { limit: 5.0, relation: Relation::AtLeast, ..Expectation::default() };
        assert!(!expectation.met());
        expectation.value = Some(5.0);
        assert!(expectation.met());
        expectation.value = Some(f64::NAN);
        assert!(!expectation.met());
    }
}
