//! The page of a report: one file that needs nothing else, no script and no network, light or dark as the reader has it.

mod plots;
mod svg;

use std::fmt::Write as _;
use std::path::Path;

use super::figures::{float, trusted};
use super::table::mib;
use super::{LADDER, PhaseReport, Report, file, short};
use crate::Failure;

/// How the page looks.
const STYLE: &str = include_str!("style.css");

/// Faults in words that stand open; the others unfold.
const FAULTS: usize = 10;

/// The page. It is well-formed as XML, too, and everything that came from outside is escaped.
#[must_use]
pub fn page(report: &Report) -> String {
    let passed = report.passed();
    let (class, verdict) = if passed { ("passed", "PASSED") } else { ("failed", "FAILED") };
    let name = escape(&report.scenario_name);
    // Writing to a String cannot fail, here and below.
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <title>{verdict}: {name}</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n\
         <p class=\"verdict {class}\">{verdict}</p>\n<h1>{name}</h1>\n"
    );
    let server = report.server_version.as_ref().map_or(String::new(), |version| format!(" {version}"));
    let _ = writeln!(
        out,
        "<p class=\"meta\">{}{} at {} · {} · seed {}</p>",
        escape(&report.adapter),
        escape(&server),
        escape(&report.target),
        escape(&report.started_at),
        report.seed
    );
    failures(&mut out, report);
    cards(&mut out, report);
    let _ = writeln!(out, "<h2>Over time</h2>\n<div class=\"plots\">\n{}</div>", plots::all(report));
    phases(&mut out, report);
    times(&mut out, report);
    servers(&mut out, report);
    expectations(&mut out, report);
    checker(&mut out, report);
    run(&mut out, report);
    out += "</main></body></html>\n";
    out
}

/// Writes the page to a file.
///
/// # Errors
/// When the place cannot be written to.
pub fn write(report: &Report, place: &Path) -> Result<(), Failure> {
    file::replace(place, page(report).as_bytes())
}

/// Text from outside, harmless in text and in attributes. What XML cannot hold becomes a mark.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            '\n' | '\t' => out.push(letter),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

fn failures(out: &mut String, report: &Report) {
    if report.passed() {
        return;
    }
    *out += "<div class=\"why\"><b>Why it failed</b><ul>";
    for (kind, count) in report.verdict.faults.iter().filter(|(_, count)| **count > 0) {
        let _ = write!(out, "<li>The checker found {} × {}.</li>", short(float(*count)), escape(kind));
    }
    for reason in &report.validity.reasons {
        let _ = write!(out, "<li>The figures say nothing about the server: {}.</li>", escape(reason));
    }
    for missed in report.expectations.iter().filter(|expectation| !expectation.met()) {
        let _ = write!(out, "<li>Not as expected: {}.</li>", escape(&missed.to_string()));
    }
    *out += "</ul></div>\n";
}

fn cards(out: &mut String, report: &Report) {
    let mut cards: Vec<(String, &str, String)> = Vec::new();
    let mut card = |value: Option<f64>, unit, words: &str| {
        if let Some(value) = value {
            let value = if value >= 100.0 { value.round() } else { value };
            cards.push((short(value), unit, words.to_owned()));
        }
    };
    let best = |name: &str| report.phases.iter().find_map(|phase| report.figure(Some(&phase.name), name));
    let main = |name: &str| report.figure(None, name);
    let live = report.phases.iter().map(|phase| phase.connections).max();
    card(live.map(float), "", "connections live");
    card(main("delivered_per_second").filter(|rate| *rate > 0.0), "/s", "deliveries");
    card(main("delivery.p50"), "ms", "delivery p50");
    card(main("delivery.p99"), "ms", "delivery p99");
    card(main("ack.p99"), "ms", "ack p99");
    card(main("server.deliveries_per_cpu_second"), "", "deliveries per server CPU second");
    card(main("server.cores"), "cores", "used by the server");
    card(best("server.kib_per_connection"), "KiB", "RSS per connection");
    card(best("server.cpu_ms_per_connect"), "ms", "server CPU per connect");
    card(best("catch_up.max"), "ms", "until the last was caught up");
    if cards.is_empty() {
        return;
    }
    *out += "<ul class=\"cards\">";
    for (value, unit, words) in cards {
        let unit = if unit.is_empty() { String::new() } else { format!("<small>{unit}</small>") };
        let _ = write!(out, "<li><b>{value}{unit}</b><span>{}</span></li>", escape(&words));
    }
    *out += "</ul>\n";
    if let Some(main) = report.main_phase().filter(|_| report.phases.len() > 1) {
        let _ = writeln!(
            out,
            "<p class=\"soft\">Rates and latencies of the phase “{}”, the busiest.</p>",
            escape(&main.name)
        );
    }
}

/// A table. The first cell of a row is its head; cells come escaped.
fn table(out: &mut String, heads: &[&str], rows: &[Vec<String>]) {
    *out += "<div class=\"scroll\"><table>";
    if !heads.is_empty() {
        *out += "<thead><tr>";
        for head in heads {
            let _ = write!(out, "<th scope=\"col\">{head}</th>");
        }
        *out += "</tr></thead>";
    }
    *out += "<tbody>\n";
    for row in rows {
        *out += "<tr>";
        for (at, cell) in row.iter().enumerate() {
            let (open, close) = if at == 0 { ("th scope=\"row\"", "th") } else { ("td", "td") };
            // A cell may bring a class of its own.
            match cell.strip_prefix('\u{1}').and_then(|rest| rest.split_once('\u{1}')) {
                Some((class, cell)) => drop(write!(out, "<{open} class=\"{class}\">{cell}</{close}>")),
                None => drop(write!(out, "<{open}>{cell}</{close}>")),
            }
        }
        *out += "</tr>\n";
    }
    *out += "</tbody></table></div>\n";
}

/// A cell with a class. The marks are controls, which [`escape`] lets no text from outside have.
fn classed(class: &str, cell: &str) -> String {
    format!("\u{1}{class}\u{1}{cell}")
}

/// A count that should be 0.
fn count_bad(count: u64) -> String {
    if count > 0 { classed("bad", &short(float(count))) } else { "0".to_owned() }
}

fn phases(out: &mut String, report: &Report) {
    *out += "<h2>Phases</h2>\n";
    let heads = [
        "phase",
        "begins",
        "seconds",
        "live",
        "planned",
        "sent",
        "acked",
        "refused",
        "no answer",
        "delivered",
        "a second",
        "missing",
    ];
    let row = |(number, phase): (usize, &PhaseReport)| {
        let warm_up = if phase.warm_up { " (warming up)" } else { "" };
        let rate = if phase.seconds > 0.0 { float(phase.delivered) / phase.seconds } else { 0.0 };
        let count = |count: u64| short(float(count));
        vec![
            format!("{number} {}{warm_up}", escape(&phase.name)),
            format!("{:.1} s", phase.start_seconds),
            format!("{:.1}", phase.seconds),
            count(phase.connections),
            count(phase.planned),
            count(phase.sent),
            count(phase.acked),
            count(phase.refused.values().sum()),
            count_bad(phase.unanswered),
            count(phase.delivered),
            short(rate.round()),
            count_bad(phase.missing()),
        ]
    };
    table(out, &heads, &(1..).zip(&report.phases).map(row).collect::<Vec<_>>());
    let counts = report.phases.iter().flat_map(|phase| {
        let refused = phase.refused.iter().map(move |(code, count)| (phase, format!("refused: {code}"), count));
        phase.counts.iter().map(move |(name, count)| (phase, name.clone(), count)).chain(refused)
    });
    let words: Vec<String> =
        counts.map(|(phase, name, count)| format!("{}: {} {}", phase.name, short(float(*count)), name)).collect();
    if !words.is_empty() {
        let _ = writeln!(out, "<p class=\"soft\">{}</p>", escape(&words.join(" · ")));
    }
}

fn times(out: &mut String, report: &Report) {
    let mut rows = Vec::new();
    for phase in &report.phases {
        for (name, times) in phase.all_distributions() {
            let mut row = vec![format!("{}: {}", escape(&phase.name), escape(name)), short(float(times.count()))];
            row.push(short(times.mean()));
            // Percentiles that rest on less than ten values are not shown.
            row.extend(
                LADDER.iter().map(|(_, q)| if trusted(times, *q) { short(times.at(*q)) } else { "–".to_owned() }),
            );
            row.push(short(times.max()));
            rows.push(row);
        }
    }
    if rows.is_empty() {
        return;
    }
    let mut heads = vec!["from the intended moment on", "count", "mean"];
    heads.extend(LADDER.iter().map(|(name, _)| *name));
    heads.push("max");
    *out += "<h2>Times in milliseconds</h2>\n";
    table(out, &heads, &rows);
}

fn servers(out: &mut String, report: &Report) {
    let mut rows = Vec::new();
    for phase in &report.phases {
        let Some(server) = &phase.server else { continue };
        let or_dash = |value: Option<f64>, unit: f64| value.map_or_else(|| "–".to_owned(), |value| short(value / unit));
        let counted = |name: &str| server.counters.as_ref().map(|counters| counters.grew(name).unwrap_or(0.0));
        let memory = |bytes: u64| if bytes > 0 { mib(bytes) } else { "–".to_owned() };
        let mean = |name: &str| server.counters.as_ref().and_then(|counters| counters.mean(name)).map(|s| s * 1000.0);
        rows.push(vec![
            escape(&phase.name),
            format!("{:.2}", server.cpu_seconds),
            format!("{:.2}", server.cores(phase.seconds)),
            or_dash(server.deliveries_per_cpu_second.map(f64::round), 1.0),
            or_dash(server.cpu_ms_per_connect, 1.0),
            memory(server.rss_before),
            memory(server.rss_after),
            or_dash(server.bytes_per_connection, 1024.0),
            or_dash(counted("writes"), 1.0),
            or_dash(counted("store_commits"), 1.0),
            or_dash(mean("store_commit_seconds"), 1.0),
            or_dash(mean("turn_seconds"), 1.0),
            counted("stalls").map_or_else(
                || "–".to_owned(),
                |stalls| if stalls > 0.0 { classed("bad", &short(stalls)) } else { "0".to_owned() },
            ),
        ]);
    }
    if rows.is_empty() {
        return;
    }
    *out += "<h2>The server</h2>\n";
    let heads = [
        "phase",
        "CPU s",
        "cores",
        "deliveries / CPU s",
        "CPU ms / connect",
        "RSS MiB before",
        "after",
        "KiB / connection",
        "socket writes",
        "commits",
        "ms a commit",
        "ms a turn",
        "stalls",
    ];
    table(out, &heads, &rows);
}

fn expectations(out: &mut String, report: &Report) {
    if report.expectations.is_empty() {
        return;
    }
    let row = |expectation: &super::Expectation| {
        let (class, word) = if expectation.met() { ("good", "met") } else { ("bad", "not met") };
        vec![classed(class, word), classed("words", &escape(&expectation.to_string()))]
    };
    *out += "<h2>What the scenario asked for</h2>\n";
    table(out, &[], &report.expectations.iter().map(row).collect::<Vec<_>>());
}

fn checker(out: &mut String, report: &Report) {
    let verdict = &report.verdict;
    *out += "<h2>The checker</h2>\n";
    let checked: Vec<String> =
        verdict.checked.iter().map(|(name, count)| format!("{} {name}", short(float(*count)))).collect();
    let checked = if checked.is_empty() { "nothing that it counted".to_owned() } else { checked.join(", ") };
    let found = match verdict.fault_count() {
        0 => "found no fault".to_owned(),
        1 => "found 1 fault".to_owned(),
        count => format!("found {} faults", short(float(count))),
    };
    let _ = writeln!(out, "<p>It looked at {} and {found}.</p>", escape(&checked));
    if !verdict.words.is_empty() {
        let (first, rest) = verdict.words.split_at(verdict.words.len().min(FAULTS));
        fault_list(out, 1, first);
        if !rest.is_empty() {
            let _ = write!(out, "<details><summary>{} more in words</summary>", rest.len());
            fault_list(out, FAULTS + 1, rest);
            *out += "</details>\n";
        }
        let left = verdict.fault_count().saturating_sub(verdict.words.len() as u64);
        if left > 0 {
            let _ = writeln!(out, "<p class=\"soft\">… and {} more that were only counted.</p>", short(float(left)));
        }
    }
    for words in &verdict.not_checked {
        let _ = writeln!(out, "<p class=\"soft\">Not checked: {}</p>", escape(words));
    }
    if !verdict.troubles.is_empty() {
        let row = |(name, count): (&String, &u64)| vec![escape(name), short(float(*count))];
        table(out, &["trouble", "times"], &verdict.troubles.iter().map(row).collect::<Vec<_>>());
    }
}

fn fault_list(out: &mut String, start: usize, faults: &[String]) {
    let _ = write!(out, "<ol class=\"faults\" start=\"{start}\">");
    for words in faults {
        let _ = write!(out, "<li>{}</li>", escape(words));
    }
    *out += "</ol>\n";
}

fn run(out: &mut String, report: &Report) {
    *out += "<h2>The run</h2>\n";
    let words = |name: &str, text: String| vec![name.to_owned(), classed("words", &escape(&text))];
    let mut rows = vec![words("machine", report.machine.line())];
    if let Some(data) = &report.machine.data {
        rows.push(words("data", data.line()));
    }
    if let Some(load) = report.machine.load_before {
        rows.push(words("load before", format!("{} runnable threads over the minute before", short(load))));
    }
    rows.extend(report.other_machines.iter().map(|machine| words("another machine of the harness", machine.line())));
    let commit = report.commit.as_ref().map_or(String::new(), |commit| format!(", commit {commit}"));
    rows.push(words(
        "harness",
        format!("causerie-load {}{commit}, {} processes", report.harness_version, report.processes),
    ));
    let cpu: f64 = report.phases.iter().map(|phase| phase.generator.cpu_seconds).sum();
    let busiest = report.phases.iter().map(|phase| phase.generator.busiest_thread).fold(0.0, f64::max);
    rows.push(words(
        "its own use",
        format!("{cpu:.2} CPU s; its busiest thread used {:.0} % of a core", busiest * 100.0),
    ));
    rows.extend(report.notes.iter().map(|note| words("note", note.clone())));
    table(out, &[], &rows);
    if !report.scenario.is_null() {
        let text = serde_json::to_string_pretty(&report.scenario).unwrap_or_default();
        let _ = writeln!(
            out,
            "<details><summary>The scenario as it was carried out</summary><pre>{}</pre></details>",
            escape(&text)
        );
    }
}

#[cfg(test)]
mod tests;
