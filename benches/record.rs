//! The figures kept in git (`benches/recorded.json`), and how far from them one may be.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::meter::Res;

/// How far instructions and allocations may move before the record must be renewed.
pub const TOLERANCE: f64 = 0.05;
/// Blocks a unit that may come and go with buffers that grow once in many rounds.
const BLOCKS: f64 = 0.02;

/// All that is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Where the times were taken.
    pub machine: String,
    /// What counted the instructions.
    pub valgrind: String,
    /// What compiled it.
    pub rustc: String,
    /// By the name of the benchmark.
    pub benchmarks: BTreeMap<String, Figures>,
}

/// One benchmark's figures, for one unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// For one of what.
    pub unit: String,
    /// Counted by valgrind; absent where they say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<f64>,
    /// Blocks allocated.
    pub blocks: f64,
    /// Bytes allocated.
    pub bytes: f64,
    /// Nanoseconds on the wall, the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns: Option<f64>,
    /// Fastest to slowest, in percent of the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_spread_percent: Option<f64>,
}

impl Record {
    fn path() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/recorded.json")
    }

    /// What is kept now; nothing, where there is no file yet.
    pub fn load() -> Res<Self> {
        match std::fs::read_to_string(Self::path()) {
            Ok(text) => Ok(serde_json::from_str(&text)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps it.
    pub fn store(&self) -> Res<()> {
        Ok(std::fs::write(Self::path(), serde_json::to_string_pretty(self)? + "\n")?)
    }
}

/// Four digits are enough, and a line of git's diff is short.
pub fn rounded(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let scale = 10f64.powf(3.0 - value.abs().log10().floor());
    (value * scale).round() / scale
}

/// What has moved too far from the record, in words. Nothing is said of times: they are the machine's. Nor of allocations where
/// instructions are not counted: threads and the disk make them differ from run to run.
pub fn moved(name: &str, now: &Figures, before: Option<&Figures>) -> Vec<String> {
    let Some(before) = before else { return vec![format!("{name} is not in the record")] };
    let mut moved = Vec::new();
    let mut look = |what: &str, now: f64, before: f64, least: f64| {
        if (now - before).abs() > (before * TOLERANCE).max(least) {
            moved.push(format!("{name}: {before} {what} became {now}"));
        }
    };
    let Some(instructions) = before.instructions else { return moved };
    look("instructions", now.instructions.unwrap_or(instructions), instructions, 1.0);
    look("allocated blocks", now.blocks, before.blocks, BLOCKS);
    moved
}

/// The processor, how many cores, and the kernel.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{}, {cores} cores, Linux {}", model.trim_start_matches(['\t', ' ', ':']), kernel.trim())
}

/// The compiler's version.
pub fn rustc() -> String {
    let out = Command::new("rustc").arg("--version").output();
    out.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default()
}
