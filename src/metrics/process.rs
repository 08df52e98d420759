//! What the kernel says of this process, from `/proc/self`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// How long a tick in `/proc/self/stat` is: `USER_HZ` is 100 on every Linux that this server runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// When this process started, as it was first reckoned.
static START: OnceLock<f64> = OnceLock::new();

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
    /// CPU time used by threads that are there, by their name, in seconds. Threads of one name are added up.
    pub thread_cpu_seconds: BTreeMap<String, f64>,
    /// Memory that the process may have: what its control groups allow, or all of the machine.
    pub memory_limit_bytes: u64,
}

impl Process {
    /// Reads all of it. Takes some hundred microseconds, more with many threads.
    #[must_use]
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        // Since Linux 6.2 the folder's size is the number; counting thousands of entries would hold up a shard.
        let size = fs::metadata("/proc/self/fd").map_or(0, |folder| folder.len());
        let counted = || fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
        let open_fds = if size > 0 { size } else { counted() };
        let now = Self::parse(
            &text("/proc/self/status"),
            &text("/proc/self/stat"),
            &text("/proc/self/limits"),
            &text("/proc/stat"),
        );
        Self {
            open_fds,
            // The kernel's time of its own start moves with the clock; a start that moves would look like another process.
            start_time_seconds: *START.get_or_init(|| now.start_time_seconds),
            thread_cpu_seconds: threads(Path::new("/proc/self/task")),
            memory_limit_bytes: memory_limit(
                Path::new("/sys/fs/cgroup"),
                &text("/proc/self/cgroup"),
                &text("/proc/meminfo"),
            ),
            ..now
        }
    }

    fn parse(status: &str, stat: &str, limits: &str, system: &str) -> Self {
        let ticks = |field| ticks(stat, field);
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
        let boot = after(system, "btime", 0) as f64;
        Self {
            resident_bytes: after(status, "VmRSS:", 0) * 1024,
            threads: after(status, "Threads:", 0),
            open_fds: 0,
            max_fds: after(limits, "Max open files", 0),
            cpu_seconds: ticks(14) + ticks(15),
            start_time_seconds: boot + ticks(22),
            ..Self::default()
        }
    }
}

/// A number of the line that begins so, counted in words after its begin.
fn after(text: &str, name: &str, at: usize) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().nth(at).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// A field of a `stat` in seconds. The name stands in brackets and may hold anything, brackets too; fields count from 3 after it.
fn ticks(stat: &str, field: usize) -> f64 {
    let rest = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let word = field.checked_sub(3).and_then(|at| rest.split_whitespace().nth(at));
    word.and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0) / TICKS_PER_SECOND
}

/// CPU time of the threads below `tasks`, by name. A thread that ends while it is looked at is left out.
fn threads(tasks: &Path) -> BTreeMap<String, f64> {
    let mut used = BTreeMap::new();
    for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
        let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
        let Some(name) = stat.split_once('(').and_then(|(_, rest)| Some(rest.rsplit_once(')')?.0)) else { continue };
        *used.entry(thread_name(name)).or_default() += ticks(&stat, 14) + ticks(&stat, 15);
    }
    used
}

/// A name for a label. The kernel's own threads for io_uring have their parent's id in it, which would make a new series each time.
fn thread_name(name: &str) -> String {
    let kernels = ["iou-wrk-", "iou-sqp-"].into_iter().find(|start| name.starts_with(start));
    kernels.map_or(name, |start| start.trim_end_matches('-')).to_owned()
}

/// The smallest limit of the control groups (version 2) that this process is in, or all memory of the machine.
fn memory_limit(root: &Path, cgroup: &str, meminfo: &str) -> u64 {
    let machine = after(meminfo, "MemTotal:", 0) * 1024;
    let group = cgroup.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let folder = root.join(group);
    let groups = folder.ancestors().take_while(|folder| folder.starts_with(root));
    let limits = groups.filter_map(|folder| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok());
    limits.chain([machine]).filter(|limit| *limit > 0).min().unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "what the kernel writes is laid down as files")]
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
            ..Process::default()
        };
        assert_eq!(process, expected);
        assert_eq!(Process::parse("", "", "", ""), Process::default());
    }

    #[test]
    fn the_smallest_limit_of_all_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let limit = |cgroup| memory_limit(root.path(), cgroup, "MemTotal:   4 kB\n");
        assert_eq!(limit("0::/a/b\n"), 4096);
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("a/memory.max"), "3000\n").unwrap();
        assert_eq!(limit("0::/a/b\n"), 3000);
        assert_eq!(limit("0::/\n"), 4096);
        assert_eq!(limit("1:name=systemd:/a/b\n"), 4096);
        assert_eq!(memory_limit(root.path(), "", ""), 0);
    }

    #[test]
    fn threads_are_added_up_by_name() {
        let tasks = tempfile::tempdir().unwrap();
        for (id, name, ticks) in [(1, "shard-0", 50), (2, "iou-wrk-1", 75), (3, "iou-wrk-2", 25)] {
            let folder = tasks.path().join(id.to_string());
            fs::create_dir(&folder).unwrap();
            let stat = format!("{id} ({name}) S 1 7 7 0 -1 4194304 100 0 0 0 {ticks} 50 0 0 20 0 5 0 1234 1000\n");
            fs::write(folder.join("stat"), stat).unwrap();
        }
        fs::create_dir(tasks.path().join("4")).unwrap();
        let wanted = BTreeMap::from([("iou-wrk".to_owned(), 2.0), ("shard-0".to_owned(), 1.0)]);
        assert_eq!(threads(tasks.path()), wanted);
    }

    #[test]
    fn this_very_process_has_numbers() {
        let process = Process::read();
        assert!(process.resident_bytes > 1 << 20 && process.threads > 0 && process.open_fds > 2, "{process:?}");
        assert!(process.max_fds >= process.open_fds && process.start_time_seconds > 1.7e9, "{process:?}");
        assert!(process.memory_limit_bytes >= process.resident_bytes, "{process:?}");
        assert!(!process.thread_cpu_seconds.is_empty(), "{process:?}");
    }
}
