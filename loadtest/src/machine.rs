//! On what machine a run was made: figures of another one are other figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The model of its processors.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: u32,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Name and release of the kernel.
    pub kernel: String,
    /// The kind of machine: `x86_64`.
    pub architecture: String,
    /// Runnable threads of the whole machine over the last minute, when the run began. Above 0 somebody else was busy.
    #[serde(default)]
    pub load_before: Option<f64>,
    /// Where the server keeps its data, if known.
    #[serde(default)]
    pub data: Option<DataPlace>,
}

/// Where data is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataPlace {
    /// The kind of file system: `ext4`, `tmpfs`.
    pub filesystem: String,
    /// What it lies on.
    pub device: String,
    /// Whether a synced commit reaches a disk. In memory (`tmpfs`) it does not, and ack times are too good. `None`: it cannot be told
    /// from here (a network's, a container's layers).
    pub durable: Option<bool>,
}

/// This machine; `data` is where the server keeps its data, if that is here.
#[must_use]
pub fn here(data: Option<&Path>) -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
    Machine {
        cpu: cpu_model(&read("/proc/cpuinfo")).unwrap_or_else(|| "unknown".to_owned()),
        cores,
        memory_bytes: memory(&read("/proc/meminfo")).unwrap_or(0),
        kernel: format!("{} {}", read("/proc/sys/kernel/ostype").trim(), read("/proc/sys/kernel/osrelease").trim()),
        architecture: std::env::consts::ARCH.to_owned(),
        load_before: read("/proc/loadavg").split_whitespace().next().and_then(|load| load.parse().ok()),
        data: data.and_then(|data| {
            let whole = fs::canonicalize(data).ok()?;
            data_place(&read("/proc/self/mountinfo"), &whole)
        }),
    }
}

/// Where a server on this machine keeps its data: the folder of the first file that it holds open for reading and writing, in the
/// order in which it opened them. `None` when there is none, or it is not ours to look at.
#[must_use]
pub fn data_folder(pid: u32) -> Option<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let mut numbers: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    let file = |number: &u32| {
        let link = fs::read_link(format!("/proc/{pid}/fd/{number}")).ok()?;
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let writes = u32::from_str_radix(flags.trim(), 8).ok()? & 3 == 2;
        // Sockets and pipes are no files; a terminal and /dev/null keep nothing.
        (writes && !link.starts_with("/dev") && fs::metadata(&link).ok()?.is_file())
            .then(|| link.parent().map(Path::to_owned))?
    };
    numbers.iter().find_map(file)
}

/// The commit of the checkout that the harness runs in, with `-dirty` when something is changed, except the reports: the first of a row
/// of runs would make the others look changed. `None` outside of a checkout of this project: then the version has to do.
#[must_use]
pub fn commit() -> Option<String> {
    // Any other project's commit would say nothing about the harness.
    let ours = |top: &str| Path::new(top).join("loadtest/src/machine.rs").exists();
    let top = git(&["rev-parse", "--show-toplevel"]).filter(|top| ours(top))?;
    let head = git(&["-C", &top, "rev-parse", "--short=12", "HEAD"])?;
    let but_reports = ":(top,exclude)docs/performance";
    let changed = git(&["-C", &top, "status", "--porcelain", "--untracked-files=no", "--", but_reports])?;
    Some(if changed.is_empty() { head } else { format!("{head}-dirty") })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    // ARM has no model name; its kernels name the hardware or nothing.
    ["model name", "Hardware", "CPU implementer"].iter().find_map(|field| {
        let line = cpuinfo.lines().find(|line| line.starts_with(field))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    })
}

fn memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The mount that holds `data`: the one with the longest path that leads to it, and of those at one path the last.
fn data_place(mountinfo: &str, data: &Path) -> Option<DataPlace> {
    let mut best: Option<(usize, DataPlace)> = None;
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(point) = left.split(' ').nth(4).map(unescaped) else { continue };
        let mut right = right.split(' ');
        let (Some(filesystem), Some(device)) = (right.next(), right.next()) else { continue };
        if data.starts_with(&point) && best.as_ref().is_none_or(|(length, _)| point.len() >= *length) {
            let durable = match filesystem {
                "tmpfs" | "ramfs" => Some(false),
                "ext4" | "ext3" | "xfs" | "btrfs" | "zfs" | "f2fs" | "bcachefs" => Some(true),
                _ => None,
            };
            let place = DataPlace { filesystem: filesystem.to_owned(), device: unescaped(device), durable };
            best = Some((point.len(), place));
        }
    }
    best.map(|(_, place)| place)
}

/// Blanks stand as `\040` in the list of mounts.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

impl Machine {
    /// Whether it is the same machine, whatever it was busy with.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let of = |m: &Self| (m.cpu.clone(), m.cores, m.memory_bytes, m.kernel.clone(), m.architecture.clone());
        of(self) == of(other)
    }

    /// In a line.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // memory shown as GiB
    pub fn line(&self) -> String {
        let gib = self.memory_bytes as f64 / f64::from(1 << 30);
        format!("{}, {} cores, {gib:.1} GiB, {} {}", self.cpu, self.cores, self.kernel, self.architecture)
    }
}

impl DataPlace {
    /// In a line.
    #[must_use]
    pub fn line(&self) -> String {
        let synced = match self.durable {
            Some(true) => "a synced commit reaches the disk",
            Some(false) => "in memory: syncing costs nothing here, acks look faster than they are",
            None => "whether a synced commit reaches a disk cannot be told",
        };
        format!("{} on {}; {synced}", self.filesystem, self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_lies_on_the_deepest_mount_that_was_made_last() {
        let mounts = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /tmp rw - tmpfs tmpfs rw
31 30 254:1 / /tmp/my\\040data rw - overlay overlay rw
32 22 254:2 / /tmpfoo rw - xfs /dev/vdb rw
33 22 254:3 / /tmp rw - btrfs /dev/vdc rw
";
        let on = |path: &str| data_place(mounts, Path::new(path)).map(|place| (place.filesystem, place.durable));
        assert_eq!(on("/var/lib"), Some(("ext4".to_owned(), Some(true))));
        assert_eq!(on("/tmp/x"), Some(("btrfs".to_owned(), Some(true))), "the later mount hides the earlier");
        assert_eq!(on("/tmp/my data/x"), Some(("overlay".to_owned(), None)));
        assert_eq!(on("/tmpfoo"), Some(("xfs".to_owned(), Some(true))), "by parts of the path, not by letters");
        assert_eq!(data_place(&mounts.replace("btrfs", "tmpfs"), Path::new("/tmp/x")).unwrap().durable, Some(false));
    }

    #[test]
    fn this_machine_is_described() {
        let machine = here(Some(Path::new(".")));
        assert!(machine.cores > 0 && machine.memory_bytes > 0 && machine.kernel.starts_with("Linux "), "{machine:?}");
        assert!(!machine.cpu.is_empty() && machine.data.as_ref().is_some_and(|data| !data.filesystem.is_empty()));
        assert!(machine.same(&Machine { load_before: None, data: None, ..machine.clone() }));
        assert!(!machine.same(&Machine { cores: machine.cores + 1, ..machine.clone() }));
    }

    #[test]
    fn the_folder_of_a_file_that_is_written_to_is_found() {
        // A process of its own, for this one has other tests' files open.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store");
        let script = format!("exec 3<>'{}'; echo ready; read line", file.display());
        let mut shell = Command::new("sh");
        let shell =
            shell.args(["-c", &script]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = shell.spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        let found = data_folder(child.id());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(found, Some(fs::canonicalize(folder.path()).unwrap()));
        assert_eq!(data_folder(u32::MAX), None);
    }

    #[test]
    fn models_of_processors_are_found_where_kernels_write_them() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: Fast 9: Pro\n").as_deref(), Some("Fast 9: Pro"));
        assert_eq!(cpu_model("CPU implementer\t: 0x41\n").as_deref(), Some("0x41"));
        assert_eq!(cpu_model(""), None);
    }
}
