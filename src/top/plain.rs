//! Without a terminal: tables as text, or JSON, one object a line.

use std::io::{self, Write as _};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::format::{count, duration};
use super::interval::{Interval, Snapshot};
use super::source::Source;
use super::tables::{self, Sort};
use super::view::View;
use crate::client::Stopped;
use crate::client::terminal::harmless;

/// One line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    target: &'a str,
    /// Seconds since 1970, on this machine's clock.
    time: f64,
    /// Why there is no view.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(flatten)]
    view: Option<&'a View>,
}

/// Seconds since 1970.
pub(super) fn wall() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn line(target: &str, view: Result<&View, &str>) -> Result<String, Stopped> {
    let line = Line { target, time: wall(), error: view.err(), view: view.ok() };
    serde_json::to_string(&line).map_err(|error| Stopped::because(error.to_string()))
}

fn print(text: &str) -> Result<(), Stopped> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.trim_end())
        .and_then(|()| out.flush())
        .map_err(|error| Stopped::because(format!("cannot write: {error}")))
}

/// Two looks, one answer.
pub(super) fn once(source: &Source, every: Duration, target: &str, json: bool) -> Result<(), Stopped> {
    let look = || source.page().map_err(|why| Stopped::because(format!("{target}: {why}")));
    let before = look()?;
    thread::sleep(every);
    let after = look()?;
    let view = View::of(&Interval::new(Some(&before), &after));
    if json { print(&line(target, Ok(&view))?) } else { print(&text(target, &view, wall())) }
}

/// One object after each interval. A server that is away is told as such, once an interval.
pub(super) fn stream(source: Source, every: Duration, target: &str) -> Result<(), Stopped> {
    let pages = source.watch(every).map_err(|error| Stopped::because(error.to_string()))?;
    let mut before: Option<Snapshot> = None;
    for page in pages {
        match page {
            Ok(after) => {
                // The first has nothing to be compared with.
                if before.is_some() {
                    print(&line(target, Ok(&View::of(&Interval::new(before.as_ref(), &after))))?)?;
                }
                before = Some(after);
            }
            Err(why) => print(&line(target, Err(&why))?)?,
        }
    }
    Ok(())
}

/// Everything as text.
fn text(target: &str, view: &View, now: f64) -> String {
    let clients = &view.clients;
    let mut out = format!(
        "causerie {} at {target}, up {}, over {} s\n\n",
        view.version.as_deref().unwrap_or("?"),
        duration(view.process.started.map(|start| now - start)),
        count(view.interval_seconds),
    );
    for table in [
        tables::shards(view, Sort::Number),
        tables::latency(view),
        tables::store(view),
        tables::clients(view),
        tables::process(view, now),
    ] {
        out.push_str(&table.plain());
        out.push('\n');
    }
    if clients.refused.is_empty() && clients.shed.is_empty() {
        out.push_str("nothing was refused or shed\n");
    }
    harmless_lines(&out)
}

/// Names come from the server, which may be anybody.
fn harmless_lines(text: &str) -> String {
    text.lines().flat_map(|line| [harmless(line), "\n".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::interval::tests::snapshot;
    use super::*;

    fn view() -> View {
        let build = "causerie_build_info{version=\"9.9\"} 1\ncauserie_process_start_time_seconds 100\n";
        let shard = |n: u16, sent: u32| {
            format!(
                "causerie_connections_active{{shard=\"{n}\"}} 7\ncauserie_messages_received_total{{shard=\"{n}\"}} {sent}\n"
            )
        };
        let refused = "causerie_refused_total{shard=\"0\",code=\"a\\u{1b}[2Jb\"} ";
        let before = snapshot(1.0, &format!("{build}{}{}{refused}1\n", shard(0, 10), shard(1, 10)));
        let after = snapshot(3.0, &format!("{build}{}{}{refused}5\n", shard(0, 30), shard(1, 10)));
        View::of(&Interval::new(Some(&before), &after))
    }

    #[test]
    fn text_has_each_shard_and_nothing_that_moves_a_cursor() {
        let text = text("host:9443", &view(), 160.0);
        assert!(text.starts_with("causerie 9.9 at host:9443, up 1 m 00 s, over 2 s\n"), "{text}");
        let row = |first: &str| {
            let line = text.lines().find(|line| line.split_whitespace().next() == Some(first)).unwrap();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row("0")[1..4], ["7", "–", "10"]);
        assert_eq!(row("1")[1..4], ["7", "–", "0"]);
        assert_eq!(row("all")[1..4], ["14", "–", "10"]);
        assert!(text.contains("refused: a") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn json_says_what_is_not_known() {
        let line: serde_json::Value = serde_json::from_str(&line("host:9443", Ok(&view())).unwrap()).unwrap();
        assert_eq!(line["target"], "host:9443");
        assert_eq!(line["all"]["messages"], 10.0);
        assert_eq!(line["shards"][0]["shard"], "0");
        assert!(line["process"]["memory_limit_bytes"].is_null());
        assert!(line.get("error").is_none());
        let away: serde_json::Value =
            serde_json::from_str(&super::line("host:9443", Err("it is gone")).unwrap()).unwrap();
        assert_eq!(away["error"], "it is gone");
    }
}
