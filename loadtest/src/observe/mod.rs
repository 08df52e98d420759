//! CPU seconds and memory of a process, read from `/proc`: in all, by thread, with its children; once a second and over a phase.
//!
//! This file reads `/proc`; [`Watcher`] makes of it the server's part of a report.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use serde::Serialize;

use crate::report::GeneratorUse;

mod watch;

pub use watch::{Mark, Watcher};

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
    let place = place(pid);
    let stat = Stat::parse(&fs::read_to_string(format!("{place}/stat")).ok()?)?;
    let status = fs::read_to_string(format!("{place}/status")).ok()?;
    Some(Usage { cpu_seconds: stat.own, rss_bytes: kib(&status, "VmRSS:")? })
}

/// Memory of `pid` (or this process) with shared pages counted in part, in bytes. Slow for a large process.
#[must_use]
pub fn pss(pid: Option<u32>) -> Option<u64> {
    kib(&fs::read_to_string(format!("{}/smaps_rollup", place(pid))).ok()?, "Pss:")
}

fn place(pid: Option<u32>) -> String {
    pid.map_or_else(|| "/proc/self".to_owned(), |pid| format!("/proc/{pid}"))
}

/// What is used of `/proc/PID/stat`.
struct Stat {
    name: String,
    /// CPU seconds of its own threads.
    own: f64,
    /// CPU seconds of children that ended and were waited for.
    ended: f64,
}

impl Stat {
    fn parse(stat: &str) -> Option<Self> {
        // The name stands in brackets and may itself hold brackets and spaces.
        let (open, close) = (stat.find('(')?, stat.rfind(')')?);
        let fields: Vec<&str> = stat.get(close + 1..)?.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
        Some(Self {
            name: stat.get(open + 1..close)?.to_owned(),
            own: (ticks(11)? + ticks(12)?) / TICKS,
            ended: (ticks(13)? + ticks(14)?) / TICKS,
        })
    }
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// What `/proc` said at a moment.
#[derive(Clone, Debug)]
struct Look {
    at: Instant,
    /// To a hundredth, with threads that ended.
    cpu_seconds: f64,
    rss_bytes: u64,
    /// By process and thread: the name and the CPU seconds, to the nanosecond where the kernel says so.
    threads: BTreeMap<(u32, u32), (String, f64)>,
}

impl Look {
    /// At `pid`, and all that it started if `with_children`. `None` when it is gone.
    fn at(pid: u32, with_children: bool) -> Option<Self> {
        let mut look = Self { at: Instant::now(), cpu_seconds: 0.0, rss_bytes: 0, threads: BTreeMap::new() };
        look.add(pid, with_children)?;
        let mut waiting = if with_children { children(pid) } else { Vec::new() };
        while let Some(child) = waiting.pop() {
            // One that ends meanwhile is counted by its parent.
            if look.add(child, true).is_some() {
                waiting.extend(children(child));
            }
        }
        Some(look)
    }

    fn add(&mut self, pid: u32, with_ended: bool) -> Option<()> {
        let stat = Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        self.cpu_seconds += stat.own + if with_ended { stat.ended } else { 0.0 };
        // A process that ended and was not yet waited for has no memory line.
        self.rss_bytes += kib(&status, "VmRSS:").unwrap_or(0);
        for thread in numbers(&format!("/proc/{pid}/task")) {
            let place = format!("/proc/{pid}/task/{thread}");
            let Some(stat) = fs::read_to_string(format!("{place}/stat")).ok().and_then(|s| Stat::parse(&s)) else {
                continue;
            };
            let exact = fs::read_to_string(format!("{place}/schedstat")).ok();
            let exact = exact.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
            // 0 where the kernel does not count.
            let seconds = exact.filter(|nanos| *nanos > 0.0).map_or(stat.own, |nanos| nanos / 1e9);
            self.threads.insert((pid, thread), (stat.name, seconds));
        }
        Some(())
    }

    /// CPU seconds by the names of threads since `earlier`.
    fn by_thread(&self, earlier: &Self) -> BTreeMap<String, f64> {
        let mut names: BTreeMap<String, f64> = BTreeMap::new();
        for (id, (name, seconds)) in &self.threads {
            let before = earlier.threads.get(id).map_or(0.0, |(_, seconds)| *seconds);
            *names.entry(name.clone()).or_default() += (seconds - before).max(0.0);
        }
        names
    }

    /// CPU seconds since `earlier`: exact as long as no thread ended, to a hundredth otherwise.
    fn cpu_since(&self, earlier: &Self) -> f64 {
        if earlier.threads.keys().all(|id| self.threads.contains_key(id)) {
            return self.by_thread(earlier).values().sum();
        }
        (self.cpu_seconds - earlier.cpu_seconds).max(0.0)
    }

    /// The largest share of one core that one thread used since `earlier`.
    fn busiest_since(&self, earlier: &Self) -> f64 {
        let passed = self.at.duration_since(earlier.at).as_secs_f64();
        let used = self
            .threads
            .iter()
            .map(|(id, (_, seconds))| seconds - earlier.threads.get(id).map_or(0.0, |(_, seconds)| *seconds));
        let most = used.fold(0.0, f64::max);
        if passed > 0.0 { most / passed } else { 0.0 }
    }
}

/// The processes that `pid` has started and that are there.
fn children(pid: u32) -> Vec<u32> {
    let lists = numbers(&format!("/proc/{pid}/task")).into_iter();
    let texts = lists.filter_map(|thread| fs::read_to_string(format!("/proc/{pid}/task/{thread}/children")).ok());
    texts.flat_map(|text| text.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u32>>()).collect()
}

fn numbers(folder: &str) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Looks at the harness itself.
pub struct Own {
    last: Option<Look>,
}

/// The harness at the border between two phases.
#[derive(Clone, Debug)]
pub struct OwnMark(Option<Look>);

impl Default for Own {
    fn default() -> Self {
        Self { last: Look::at(std::process::id(), false) }
    }
}

impl Own {
    /// CPU seconds since the last time, of all threads.
    pub fn sample(&mut self) -> f64 {
        let now = Look::at(std::process::id(), false);
        let used = self.last.as_ref().zip(now.as_ref()).map_or(0.0, |(before, now)| now.cpu_since(before));
        self.last = now;
        used
    }

    /// This process now.
    #[must_use]
    pub fn mark() -> OwnMark {
        OwnMark(Look::at(std::process::id(), false))
    }

    /// What it used between two marks.
    #[must_use]
    pub fn between(from: &OwnMark, to: &OwnMark) -> GeneratorUse {
        from.0.as_ref().zip(to.0.as_ref()).map_or_else(GeneratorUse::default, |(from, to)| GeneratorUse {
            cpu_seconds: to.cpu_since(from),
            busiest_thread: to.busiest_since(from),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::process::{Command, Stdio};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn fields_are_counted_after_the_name() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 30 20 20 0 3 0 1 1 1";
        let read = Stat::parse(stat).unwrap();
        assert_eq!((read.name.as_str(), read.own, read.ended), ("a (b) c", 3.0, 0.5));
        assert_eq!(kib("Name:\tx\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12_288));
    }

    #[test]
    fn one_can_look_at_oneself() {
        assert!(usage(None).is_some_and(|u| u.rss_bytes > 0));
        assert!(pss(None).is_some_and(|bytes| bytes > 0));
        assert!(usage(Some(u32::MAX)).is_none());
    }

    fn burn(seconds: f64) {
        let me = || {
            let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
            text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
        };
        let start = me();
        while me() - start < seconds {
            black_box((0..10_000_u64).sum::<u64>());
        }
    }

    #[test]
    fn the_time_of_a_thread_goes_under_its_name() {
        let mut watcher = Watcher::new(Some(std::process::id()), false, None);
        let (from, own) = (watcher.mark(7), Own::mark());
        let (stop, stopped) = mpsc::channel::<()>();
        let (done, burnt) = mpsc::channel::<()>();
        let work = move || {
            burn(0.2);
            done.send(()).unwrap();
            let _ = stopped.recv();
        };
        let thread = thread::Builder::new().name("busy-3".to_owned()).spawn(work).unwrap();
        burnt.recv().unwrap();
        let sample = watcher.sample().unwrap();
        let used = watcher.between(&from, &watcher.mark(9)).unwrap();
        let ours = Own::between(&own, &Own::mark());
        drop(stop);
        thread.join().unwrap();
        assert!(sample.by_thread["busy-3"] >= 0.2, "{sample:?}");
        assert!(used.by_thread["busy-3"] >= 0.2 && used.cpu_seconds >= 0.19, "{used:?}");
        assert!(used.rss_after > 0 && used.pss_after.is_some_and(|bytes| bytes > 0) && used.connections_before == 7);
        assert!(ours.cpu_seconds >= 0.19 && ours.busiest_thread > 0.0, "{ours:?}");
    }

    #[test]
    fn children_count_when_asked_for() {
        // It says when it has worked, then waits for its input to end.
        let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; read line";
        let mut shell = Command::new("sh");
        let mut child = shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let me = std::process::id();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        assert_eq!(line, "done\n");
        let (alone, with) = (Look::at(me, false).unwrap(), Look::at(me, true).unwrap());
        let theirs = with.threads.iter().filter(|((pid, _), _)| *pid == child.id()).map(|(_, (_, s))| *s).sum::<f64>();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(alone.threads.keys().all(|(pid, _)| *pid == me));
        assert!(theirs > 0.0 && with.rss_bytes > alone.rss_bytes);
        let after = Look::at(me, true).unwrap();
        assert!(after.cpu_seconds + 0.02 >= alone.cpu_seconds + theirs, "what an ended child used stays counted");
    }
}
