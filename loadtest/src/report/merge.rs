//! Parts of several processes become one report, and what follows from the parts is worked out.

use std::collections::BTreeMap;

use super::{Distribution, FORMAT, Moment, Outcome, PhaseReport, Report, Sample, ServerUse, WORDS_MAX};
use crate::Failure;

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
        self.timeline.iter().zip(&other.timeline).all(|(a, b)| (a.t - b.t).abs() < 0.5)
    }

    /// Works out what follows from the rest: figures per CPU second and connection, and the outcome. Drops the histograms of single
    /// seconds, which only merging needs. To be called once all parts are in and expectations were looked at; again does no harm.
    pub fn finish(&mut self) {
        self.format = FORMAT;
        for phase in &mut self.phases {
            phase.work_out();
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
        match (&mut self.server, &other.server) {
            (None, theirs) => self.server.clone_from(theirs),
            // Each process knows of its own connections only.
            (Some(ours), Some(theirs)) => ours.connections_before += theirs.connections_before,
            (Some(_), None) => {}
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
    fn work_out(&mut self) {
        let Some(server) = &mut self.server else { return };
        let per_cpu = |count: u64| (count > 0 && server.cpu_seconds > 0.0).then(|| count as f64 / server.cpu_seconds);
        let per_second = per_cpu(self.delivered);
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
    /// The share of one core that the server used, over a phase of `seconds`.
    #[must_use]
    pub fn cores(&self, seconds: f64) -> f64 {
        if seconds > 0.0 { self.cpu_seconds / seconds } else { 0.0 }
    }
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
