//! What the terminal shows at the end of a run: the verdict first when it failed, then what a load tester asks, and no more.

use std::fmt::{self, Display, Formatter};

use super::figures::{float, trusted};
use super::{PhaseReport, Report, ServerUse, short};

/// Percentiles that fit on a line.
const STEPS: [(&str, f64); 5] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// Faults that are shown in words; all are counted.
const SHOWN: usize = 10;

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let passed = self.passed();
        if !passed {
            self.failures(f)?;
            writeln!(f)?;
        }
        let server = self.server_version.as_ref().map_or(String::new(), |version| format!(" {version}"));
        writeln!(
            f,
            "{} against {}{server} at {}, seed {}, {}",
            self.scenario_name, self.adapter, self.target, self.seed, self.started_at
        )?;
        writeln!(f, "{}", self.machine.line())?;
        if let Some(data) = &self.machine.data {
            writeln!(f, "data: {}", data.line())?;
        }
        writeln!(f)?;
        self.phases_table(f)?;
        writeln!(f)?;
        self.times_table(f)?;
        for phase in &self.phases {
            if let Some(server) = &phase.server {
                server_lines(f, phase, server)?;
            }
        }
        self.rest(f)?;
        writeln!(f, "{}", if passed { "passed" } else { "FAILED (why stands at the top)" })
    }
}

impl Report {
    fn failures(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "FAILED")?;
        for (kind, count) in self.verdict.faults.iter().filter(|(_, count)| **count > 0) {
            writeln!(f, "  fault: {kind}: {}", short(float(*count)))?;
        }
        for words in self.verdict.words.iter().take(SHOWN) {
            writeln!(f, "    {words}")?;
        }
        let left = self.verdict.fault_count().saturating_sub(SHOWN as u64);
        if left > 0 {
            writeln!(f, "    … and {} more", short(float(left)))?;
        }
        for reason in &self.validity.reasons {
            writeln!(f, "  INVALID: {reason}; the figures say nothing about the server")?;
        }
        for missed in self.expectations.iter().filter(|expectation| !expectation.met()) {
            writeln!(f, "  not as expected: {missed}")?;
        }
        Ok(())
    }

    fn phases_table(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rows = vec![
            ["phase", "seconds", "live", "sent", "acked", "refused", "no answer", "delivered", "a second", "missing"]
                .map(str::to_owned)
                .to_vec(),
        ];
        for phase in &self.phases {
            let rate = if phase.seconds > 0.0 { float(phase.delivered) / phase.seconds } else { 0.0 };
            let mut row = vec![phase.name.clone(), format!("{:.1}", phase.seconds)];
            let refused: u64 = phase.refused.values().sum();
            let counts = [phase.connections, phase.sent, phase.acked, refused, phase.unanswered, phase.delivered];
            row.extend(counts.map(|count| short(float(count))));
            row.push(short(rate.round()));
            row.push(short(float(phase.missing())));
            rows.push(row);
        }
        columns(f, &rows)
    }

    fn times_table(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rows = vec![vec!["milliseconds".to_owned()]];
        rows[0].extend(STEPS.iter().map(|(name, _)| (*name).to_owned()));
        rows[0].extend(["max", "count"].map(str::to_owned));
        for phase in &self.phases {
            for (name, times) in phase.all_distributions() {
                let mut row = vec![format!("{}: {name}", phase.name)];
                row.extend(
                    STEPS.iter().map(|(_, q)| if trusted(times, *q) { short(times.at(*q)) } else { "–".to_owned() }),
                );
                row.push(short(times.max()));
                row.push(short(float(times.count())));
                rows.push(row);
            }
        }
        if rows.len() == 1 {
            return Ok(());
        }
        columns(f, &rows)?;
        writeln!(f)
    }

    fn rest(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let cpu: f64 = self.phases.iter().map(|phase| phase.generator.cpu_seconds).sum();
        let busiest = self.phases.iter().map(|phase| phase.generator.busiest_thread).fold(0.0, f64::max);
        let processes = if self.processes > 1 { format!(", {} processes", self.processes) } else { String::new() };
        writeln!(
            f,
            "generator: {cpu:.2} CPU s, its busiest thread used {:.0} % of a core{processes}",
            busiest * 100.0
        )?;
        let checked: Vec<String> =
            self.verdict.checked.iter().map(|(name, count)| format!("{} {name}", short(float(*count)))).collect();
        if !checked.is_empty() {
            writeln!(f, "checked: {}", checked.join(", "))?;
        }
        for words in &self.verdict.not_checked {
            writeln!(f, "not checked: {words}")?;
        }
        for (name, count) in &self.verdict.troubles {
            writeln!(f, "trouble: {name}: {}", short(float(*count)))?;
        }
        for phase in &self.phases {
            for (code, count) in &phase.refused {
                writeln!(f, "refused: {}: {code}: {}", phase.name, short(float(*count)))?;
            }
        }
        for met in self.expectations.iter().filter(|expectation| expectation.met()) {
            writeln!(f, "as expected: {met}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

fn server_lines(f: &mut Formatter<'_>, phase: &PhaseReport, server: &ServerUse) -> fmt::Result {
    let mut parts = vec![format!("{:.2} CPU s ({:.2} cores)", server.cpu_seconds, server.cores(phase.seconds))];
    if let Some(rate) = server.deliveries_per_cpu_second {
        parts.push(format!("{} deliveries a CPU second", short(rate.round())));
    }
    if let Some(cost) = server.cpu_ms_per_connect {
        parts.push(format!("{cost:.2} CPU ms a connect"));
    }
    if server.rss_after > 0 {
        parts.push(format!("RSS {} → {} MiB", mib(server.rss_before), mib(server.rss_after)));
    }
    if let Some(bytes) = server.bytes_per_connection {
        parts.push(format!("{:.1} KiB a connection", bytes / 1024.0));
    }
    writeln!(f, "server, {}: {}", phase.name, parts.join(", "))?;
    let mut threads: Vec<(&String, &f64)> = server.by_thread.iter().collect();
    threads.sort_by(|a, b| b.1.total_cmp(a.1));
    let share = |seconds: f64| if phase.seconds > 0.0 { seconds / phase.seconds * 100.0 } else { 0.0 };
    let busy = threads.iter().filter(|(_, seconds)| share(**seconds) >= 0.5).take(6);
    let busy: Vec<String> = busy.map(|(name, seconds)| format!("{name} {:.0} %", share(**seconds))).collect();
    if !busy.is_empty() {
        writeln!(f, "  threads: {}", busy.join(", "))?;
    }
    let Some(counters) = &server.counters else { return Ok(()) };
    let mut parts = Vec::new();
    let named = [
        ("writes", "socket writes"),
        ("store_commits", "commits"),
        ("store_writes", "stored"),
        ("stalls", "stalls"),
        ("writes_blocked", "writes that found a socket full"),
        ("connections_closed", "closed"),
    ];
    for (name, words) in named {
        if let Some(count) = counters.grew(name) {
            parts.push(format!("{} {words}", short(count)));
        }
    }
    for (name, words) in [("turn_seconds", "a turn"), ("store_commit_seconds", "a commit")] {
        if let Some(mean) = counters.mean(name) {
            parts.push(format!("{} ms {words}", short(mean * 1000.0)));
        }
    }
    if counters.restarted {
        parts.push("THE SERVER BEGAN ANEW".to_owned());
    }
    if parts.is_empty() { Ok(()) } else { writeln!(f, "  counted: {}", parts.join(", ")) }
}

/// Writes rows with the first column to the left and the others to the right.
pub(super) fn columns(f: &mut Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    for row in rows {
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if at == 0 {
                write!(f, "{cell:<width$}")?;
            } else {
                write!(f, "  {cell:>width$}")?;
            }
        }
        writeln!(f)?;
    }
    Ok(())
}

pub(super) fn mib(bytes: u64) -> String {
    format!("{:.1}", float(bytes) / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::super::{Expectation, Relation, sample};

    #[test]
    fn a_run_that_passed_ends_so_and_shows_its_figures() {
        let text = sample::report(30, 1.0).to_string();
        assert!(text.ends_with("\npassed\n"), "{text}");
        for part in ["talk: send to delivery", "deliveries a CPU second", "KiB a connection", "shard-0", "600,000"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        println!("{text}");
    }

    #[test]
    fn a_run_that_failed_says_why_first() {
        let mut report = sample::report(5, 1.0);
        for at in 0..25 {
            report.verdict.fault("gap", || format!("user {at} misses seq 7"));
        }
        report.validity.reasons.push("the generator was late: p99 35 ms > 20 ms".to_owned());
        report.expectations.push(Expectation {
            name: "talk: delivery p99".to_owned(),
            value: Some(31.25),
            relation: Relation::AtMost,
            limit: 20.0,
            unit: "ms".to_owned(),
        });
        report.finish();
        let text = report.to_string();
        assert!(text.starts_with("FAILED\n  fault: gap: 25\n    user 0 misses"), "{text}");
        for part in ["… and 15 more", "INVALID: the generator was late", "talk: delivery p99 31.25 ms, asked ≤ 20 ms"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(report.outcome.why.len(), 3);
        assert!(!report.outcome.passed);
    }
}
