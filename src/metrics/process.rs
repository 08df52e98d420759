//! What the kernel says of this process, from `/proc/self`.

use std::fs;

/// How long a tick in `/proc/self/stat` is: `USER_HZ` is 100 on every Linux that this server runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The process at one moment. A number that could not be read is 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// Memory in RAM, in bytes.
    pub resident_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Open files and sockets.
    pub open_fds: u64,
    /// How many may be open.
    pub max_fds: u64,
    /// CPU time used, in seconds.
    pub cpu_seconds: f64,
    /// When it started, in seconds since 1970.
    pub start_time_seconds: f64,
}

impl Process {
    /// Reads all of it. Takes some tens of microseconds, more with many open files.
    #[must_use]
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        // Since Linux 6.2 the folder's size is the number; counting thousands of entries would hold up a shard.
        let size = fs::metadata("/proc/self/fd").map_or(0, |folder| folder.len());
        let counted = || fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
        let open_fds = if size > 0 { size } else { counted() };
        Self {
            open_fds,
            ..Self::parse(
                &text("/proc/self/status"),
                &text("/proc/self/stat"),
                &text("/proc/self/limits"),
                &text("/proc/stat"),
            )
        }
    }

    fn parse(status: &str, stat: &str, limits: &str, system: &str) -> Self {
        let after = |text: &str, name: &str, at: usize| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().nth(at).and_then(|word| word.parse().ok()).unwrap_or(0)
        };
        // The name of the process stands in brackets and may hold anything, brackets too. Fields count from 3 after it.
        let fields: Vec<f64> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().map(|word| word.parse().unwrap_or(0.0)).collect())
            .unwrap_or_default();
        let ticks = |field: usize| fields.get(field - 3).copied().unwrap_or(0.0) / TICKS_PER_SECOND;
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
        let boot = after(system, "btime", 0) as f64;
        Self {
            resident_bytes: after(status, "VmRSS:", 0) * 1024,
            threads: after(status, "Threads:", 0),
            open_fds: 0,
            max_fds: after(limits, "Max open files", 0),
            cpu_seconds: ticks(14) + ticks(15),
            start_time_seconds: boot + ticks(22),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_the_kernel_writes_it() {
        let stat = "7 (a ) (b) S 1 7 7 0 -1 4194304 100 0 0 0 250 150 0 0 20 0 5 0 1234 1000 200 18446744073709551615";
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files\n";
        let process =
            Process::parse("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t5\n", stat, limits, "cpu 1\nbtime 1000\n");
        let expected = Process {
            resident_bytes: 2048 * 1024,
            threads: 5,
            open_fds: 0,
            max_fds: 1024,
            cpu_seconds: 4.0,
            start_time_seconds: 1012.34,
        };
        assert_eq!(process, expected);
        assert_eq!(Process::parse("", "", "", ""), Process::default());
    }

    #[test]
    fn this_very_process_has_numbers() {
        let process = Process::read();
        assert!(process.resident_bytes > 1 << 20 && process.threads > 0 && process.open_fds > 2, "{process:?}");
        assert!(process.max_fds >= process.open_fds && process.start_time_seconds > 1.7e9, "{process:?}");
    }
}
