//! CPU seconds and memory of a process, read from `/proc`.

use std::fs;

use serde::Serialize;

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
