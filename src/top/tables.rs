//! Which tables there are, and what is worth a look in them.

use std::collections::BTreeMap;

use super::format::{bytes, count, duration, ms, percent};
use super::table::{Cell, Table, Tone};
use super::view::{Process, Shard, Times, View};

/// Part of a limit from which on it is worth a look.
const NEAR: f64 = 0.8;
/// A turn as long as that is felt.
const TURN_WARN_MS: f64 = 20.0;
/// An ack as late as that is felt.
const LATE_MS: f64 = 100.0;
const DAY_S: f64 = 86_400.0;

/// By what shards are sorted. Always by number where equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Its number.
    #[default]
    Number,
    /// Connections, the most first.
    Connections,
    /// Deliveries a second, the most first.
    Deliveries,
    /// CPU, the most first.
    Cpu,
    /// The 99th percentile of turns, the longest first.
    Turn,
    /// Bytes waiting, the most first.
    Outbox,
}

impl Sort {
    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Number => Self::Connections,
            Self::Connections => Self::Deliveries,
            Self::Deliveries => Self::Cpu,
            Self::Cpu => Self::Turn,
            Self::Turn => Self::Outbox,
            Self::Outbox => Self::Number,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "shard",
            Self::Connections => "connections",
            Self::Deliveries => "deliveries",
            Self::Cpu => "cpu",
            Self::Turn => "turn p99",
            Self::Outbox => "outbox",
        }
    }

    fn key(self, shard: &Shard) -> Option<f64> {
        match self {
            Self::Number => None,
            Self::Connections => shard.connections,
            Self::Deliveries => shard.deliveries,
            Self::Cpu => shard.cpu,
            Self::Turn => shard.turn.p99_ms,
            Self::Outbox => shard.outbox_bytes,
        }
    }

    fn apply(self, shards: &[Shard]) -> Vec<&Shard> {
        let mut sorted: Vec<&Shard> = shards.iter().collect();
        // Stable, so shards of the same value stay in the order of their numbers.
        sorted.sort_by(|a, b| self.key(b).unwrap_or(-1.0).total_cmp(&self.key(a).unwrap_or(-1.0)));
        sorted
    }
}

fn name(shard: &Shard) -> Cell {
    Cell::new(shard.shard.clone().unwrap_or_else(|| "all".to_owned()), Tone::Strong)
}

/// Shards and, with more than one, their sum at the end.
fn with_all(view: &View, sort: Sort) -> Vec<&Shard> {
    let mut rows: Vec<&Shard> = sort.apply(&view.shards);
    if view.shards.len() != 1 {
        rows.push(&view.all);
    }
    rows
}

/// A total that is worth a look while it grows.
fn growing(total: Option<f64>, grown: Option<f64>, tone: Tone) -> Cell {
    match grown {
        Some(grown) if grown > 0.0 => Cell::new(format!("{} (+{})", count(total), count(Some(grown))), tone),
        _ => count(total).into(),
    }
}

fn above(text: String, value: Option<f64>, limit: f64, tone: Tone) -> Cell {
    if value.is_some_and(|value| value >= limit) { Cell::new(text, tone) } else { text.into() }
}

/// A part of a limit, worth a look near it.
fn near(text: String, value: Option<f64>, limit: Option<f64>) -> Cell {
    match value.zip(limit).filter(|(_, limit)| *limit > 0.0) {
        Some((value, limit)) if value >= limit * 0.95 => Cell::new(text, Tone::Bad),
        Some((value, limit)) if value >= limit * NEAR => Cell::new(text, Tone::Warn),
        _ => text.into(),
    }
}

/// What each shard does.
#[must_use]
pub fn shards(view: &View, sort: Sort) -> Table {
    let mut table = Table::new(&[
        ("shard", 0),
        ("conn", 0),
        ("cpu", 1),
        ("msg/s", 0),
        ("deliv/s", 0),
        ("turn p50", 0),
        ("p99", 0),
        ("max ms", 4),
        ("stalls", 0),
        ("lanes", 2),
        ("full", 1),
        ("outbox", 1),
        ("writes/s", 6),
        ("per write", 5),
        ("blocked/s", 7),
        ("B/s", 8),
        ("jobs", 9),
        ("rooms", 10),
        ("users", 11),
    ]);
    for shard in with_all(view, sort) {
        let turn = &shard.turn;
        // The sum of the budgets says nothing of the shard that is at its own.
        let budget = shard.outbox_budget_bytes.filter(|_| shard.shard.is_some());
        table.row(vec![
            name(shard),
            count(shard.connections).into(),
            percent(shard.cpu).into(),
            count(shard.messages).into(),
            count(shard.deliveries).into(),
            ms(turn.p50_ms).into(),
            above(ms(turn.p99_ms), turn.p99_ms, TURN_WARN_MS, Tone::Warn),
            above(ms(turn.max_ms), turn.max_ms, TURN_WARN_MS * 5.0, Tone::Warn),
            growing(shard.stalls_total, shard.stalls, Tone::Warn),
            above(count(shard.lane_depth), shard.lane_depth, 100.0, Tone::Warn),
            growing(shard.lane_full_total, shard.lane_full, Tone::Bad),
            near(bytes(shard.outbox_bytes), shard.outbox_bytes, budget),
            count(shard.writes).into(),
            count(shard.deliveries_per_write).into(),
            count(shard.writes_blocked).into(),
            bytes(shard.bytes).into(),
            count(shard.store_jobs).into(),
            count(shard.rooms).into(),
            count(shard.users).into(),
        ]);
    }
    table
}

/// Where the time of a message goes, all shards together, and the store.
#[must_use]
pub fn latency(view: &View) -> Table {
    let mut table = Table::new(&[("times in ms", 0), ("p50", 0), ("p99", 0), ("max", 0), ("a second", 1)]);
    let all = &view.all;
    for (name, times) in [
        ("received → stored", &all.received_to_stored),
        ("stored → written", &all.stored_to_written),
        ("received → acked", &all.received_to_acked),
        ("store commit", &view.store.commit),
        ("store read", &view.store.read),
        ("turn", &all.turn),
    ] {
        let mut row = vec![Cell::new(name, Tone::Strong)];
        row.extend(times_cells(times));
        row.push(count(times.per_second).into());
        table.row(row);
    }
    table
}

fn times_cells(times: &Times) -> [Cell; 3] {
    [
        ms(times.p50_ms).into(),
        above(ms(times.p99_ms), times.p99_ms, LATE_MS, Tone::Warn),
        above(ms(times.max_ms), times.max_ms, LATE_MS * 10.0, Tone::Warn),
    ]
}

/// The same for each shard.
#[must_use]
pub fn shard_latency(view: &View, sort: Sort) -> Table {
    let mut table = Table::new(&[
        ("shard", 0),
        ("→stored p50", 0),
        ("p99", 0),
        ("max", 3),
        ("→written p50", 0),
        ("p99", 0),
        ("max", 3),
        ("→acked p50", 0),
        ("p99", 0),
        ("max", 3),
        ("turn p50", 4),
        ("p99", 4),
        ("max", 4),
    ]);
    for shard in with_all(view, sort) {
        let mut row = vec![name(shard)];
        for times in [&shard.received_to_stored, &shard.stored_to_written, &shard.received_to_acked, &shard.turn] {
            row.extend(times_cells(times));
        }
        table.row(row);
    }
    table
}

/// The store, as lines of a name and what it says.
#[must_use]
pub fn store(view: &View) -> Table {
    let store = &view.store;
    let mut table = Table::new(&[("store", 0), ("", 0)]);
    let mut line = |name: &str, cell: Cell| table.row(vec![Cell::new(name, Tone::Strong), cell]);
    line("commits/s", count(store.commit.per_second).into());
    line("writes per commit", count(store.writes_per_commit).into());
    line("writes/s", count(store.writes).into());
    line("writes waiting", above(count(store.writes_waiting), store.writes_waiting, 10_000.0, Tone::Warn));
    line("reads/s", count(store.read.per_second).into());
    line("reads waiting", above(count(store.reads_waiting), store.reads_waiting, 1000.0, Tone::Warn));
    line("failed, refused", growing(store.failed_total, store.failed, Tone::Bad));
    line("on disk", bytes(store.size_bytes).into());
    table
}

/// Rates by name, the highest first, so many at most.
#[must_use]
pub fn top(rates: &BTreeMap<String, f64>, most: usize) -> Vec<(&str, f64)> {
    let mut sorted: Vec<(&str, f64)> = rates.iter().map(|(name, rate)| (name.as_str(), *rate)).collect();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
    sorted.truncate(most);
    sorted
}

/// The same in one line: `rate_limited 3, busy 0.4`, or `none`.
#[must_use]
pub fn top_line(rates: &BTreeMap<String, f64>, most: usize) -> String {
    if rates.is_empty() {
        return "none".to_owned();
    }
    let mut parts: Vec<String> =
        top(rates, most).iter().map(|(name, rate)| format!("{name} {}", count(Some(*rate)))).collect();
    if rates.len() > most {
        parts.push(format!("and {} more", rates.len() - most));
    }
    parts.join(", ")
}

/// What clients do and what they do not get, as lines of a name and a number.
#[must_use]
pub fn clients(view: &View) -> Table {
    let clients = &view.clients;
    let mut table = Table::new(&[("a second", 0), ("", 0)]);
    for (name, rate, tone) in [
        ("connections opened", clients.opened, Tone::Plain),
        ("handshakes", clients.handshakes, Tone::Plain),
        ("handshakes failed", clients.handshakes_failed, Tone::Warn),
        ("refused at the door", clients.admission_refused, Tone::Bad),
    ] {
        table.row(vec![Cell::new(name, Tone::Strong), above(count(rate), rate, 0.05, tone)]);
    }
    let kinds = [
        ("frame", &clients.frames, Tone::Plain),
        ("refused", &clients.refused, Tone::Warn),
        ("shed", &clients.shed, Tone::Warn),
        ("closed", &clients.closed, Tone::Plain),
        ("http", &clients.http, Tone::Plain),
    ];
    for (kind, rates, tone) in kinds {
        for (name, rate) in top(rates, 12) {
            let text = count(Some(rate));
            table.row(vec![Cell::new(format!("{kind}: {name}"), Tone::Strong), Cell::new(text, tone)]);
        }
    }
    table
}

/// The process. `now` is the watcher's clock, in seconds since 1970.
#[must_use]
pub fn process(view: &View, now: f64) -> Table {
    let process = &view.process;
    let mut table = Table::new(&[("process", 0), ("", 0)]);
    let mut line = |name: String, cell: Cell| table.row(vec![Cell::new(name, Tone::Strong), cell]);
    line("up".to_owned(), duration(process.started.map(|start| now - start)).into());
    line("memory".to_owned(), memory(process));
    line("open files".to_owned(), files(process));
    line("certificate ends in".to_owned(), certificate(process, now));
    line(
        "log lines dropped".to_owned(),
        above(count(process.log_lines_dropped), process.log_lines_dropped, 1.0, Tone::Warn),
    );
    line("long work waiting".to_owned(), above(count(process.pool_waiting), process.pool_waiting, 10.0, Tone::Warn));
    line("threads".to_owned(), count(process.thread_count).into());
    line("cpu".to_owned(), percent(process.cpu).into());
    for (name, rate) in top(&process.threads, 40) {
        line(format!("cpu: {name}"), above(percent(Some(rate)), Some(rate), 0.95, Tone::Warn));
    }
    table
}

/// Memory in RAM, of what it may have.
#[must_use]
pub fn memory(process: &Process) -> Cell {
    let limit = process.memory_limit_bytes.map(|limit| format!(" of {}", bytes(Some(limit)))).unwrap_or_default();
    let text = format!("{}{limit}", bytes(process.resident_bytes));
    near(text, process.resident_bytes, process.memory_limit_bytes)
}

/// Open files, of how many may be open.
#[must_use]
pub fn files(process: &Process) -> Cell {
    let text = format!("{} of {}", count(process.open_files), count(process.max_files));
    near(text, process.open_files, process.max_files)
}

fn certificate(process: &Process, now: f64) -> Cell {
    let left = process.certificate_ends.map(|end| end - now);
    match left {
        Some(left) if left <= 0.0 => Cell::new("it has ended", Tone::Bad),
        Some(left) if left < 14.0 * DAY_S => Cell::new(duration(Some(left)), Tone::Warn),
        left => duration(left).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        let shard = |name: &str, connections, stalls| Shard {
            shard: Some(name.to_owned()),
            connections: Some(connections),
            stalls: Some(stalls),
            stalls_total: Some(7.0),
            outbox_bytes: Some(90.0),
            outbox_budget_bytes: Some(100.0),
            ..Shard::default()
        };
        let shards = vec![shard("0", 5.0, 0.0), shard("1", 8.0, 2.0), shard("10", 8.0, 0.0)];
        View { shards, ..View::default() }
    }

    fn column(table: &Table, head: &str) -> Vec<Cell> {
        let at = table.columns.iter().position(|column| column.head == head).unwrap();
        table.rows.iter().map(|row| row[at].clone()).collect()
    }

    #[test]
    fn every_row_has_every_column() {
        let view = view();
        let tables = [
            shards(&view, Sort::Number),
            latency(&view),
            shard_latency(&view, Sort::Number),
            store(&view),
            clients(&view),
            process(&view, 0.0),
        ];
        for table in tables {
            assert!(!table.rows.is_empty());
            assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{table:?}");
        }
    }

    #[test]
    fn shards_are_sorted_and_their_sum_stays_last() {
        let names =
            |sort| column(&shards(&view(), sort), "shard").into_iter().map(|cell| cell.text).collect::<Vec<_>>();
        assert_eq!(names(Sort::Number), ["0", "1", "10", "all"]);
        assert_eq!(names(Sort::Connections), ["1", "10", "0", "all"]);
        let mut sort = Sort::Number;
        let all: Vec<&str> = (0..6)
            .map(|_| {
                sort = sort.next();
                sort.name()
            })
            .collect();
        assert_eq!(all, ["connections", "deliveries", "cpu", "turn p99", "outbox", "shard"]);
    }

    #[test]
    fn one_shard_needs_no_sum() {
        let mut view = view();
        view.shards.truncate(1);
        assert_eq!(shards(&view, Sort::Number).rows.len(), 1);
    }

    #[test]
    fn what_grows_or_comes_near_its_limit_is_seen() {
        let table = shards(&view(), Sort::Number);
        let stalls = column(&table, "stalls");
        assert_eq!((stalls[0].text.as_str(), stalls[0].tone), ("7", Tone::Plain));
        assert_eq!((stalls[1].text.as_str(), stalls[1].tone), ("7 (+2)", Tone::Warn));
        assert_eq!(column(&table, "outbox")[0].tone, Tone::Warn);
        let process = Process {
            open_files: Some(97.0),
            max_files: Some(100.0),
            certificate_ends: Some(5.0),
            ..Process::default()
        };
        assert_eq!(files(&process).tone, Tone::Bad);
        assert_eq!(certificate(&process, 6.0).tone, Tone::Bad);
        assert_eq!(certificate(&process, -DAY_S).tone, Tone::Warn);
        assert_eq!(memory(&process).text, "–");
    }

    #[test]
    fn the_most_come_first_and_the_rest_is_counted() {
        let rates = BTreeMap::from([("a".to_owned(), 1.0), ("b".to_owned(), 3.0), ("c".to_owned(), 2.0)]);
        assert_eq!(top_line(&rates, 2), "b 3, c 2, and 1 more");
        assert_eq!(top_line(&BTreeMap::new(), 2), "none");
    }
}
