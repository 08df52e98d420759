//! Counts instructions: runs one benchmark of this same program under `valgrind --tool=callgrind`, which counts while
//! `causerie_measured` runs (`meter.rs`) and nothing else.
//!
//! Not a library of benchmarks around valgrind: those want a second program of their own version installed, keep what was before
//! outside of git, and know nothing of allocations and of time; the subjects would have to be written twice.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::meter::{Meter, Res, Subject};

/// Rounds that are counted. Few: a count is the same the second time.
const ROUNDS: u32 = 12;
/// Rounds before, until buffers have their size.
const WARM: u32 = 3;

/// What one benchmark costs, added up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// Of what the rest is the sum.
    pub units: u64,
    /// Blocks allocated.
    pub blocks: u64,
    /// Bytes allocated.
    pub bytes: u64,
    /// `None`: not counted.
    pub instructions: Option<u64>,
}

/// The version of valgrind, if there is one.
pub fn version() -> Option<String> {
    let out = Command::new("valgrind").arg("--version").stderr(Stdio::null()).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// Rounds of one benchmark in this process: what `one NAME` does. Its figures, for [`parse`].
pub fn one(subject: &Subject) -> Res<Counted> {
    let mut round = (subject.make)()?;
    let mut meter = Meter::default();
    for _ in 0..WARM {
        round(&mut meter)?;
    }
    meter.on = true;
    let mut units = 0;
    for _ in 0..ROUNDS.min(subject.rounds_max - WARM) {
        units += round(&mut meter)?;
    }
    Ok(Counted { units, blocks: meter.taken.blocks, bytes: meter.taken.bytes, instructions: None })
}

/// What [`one`] has found, as a line.
pub fn line(counted: &Counted) -> String {
    format!("{} {} {}", counted.units, counted.blocks, counted.bytes)
}

/// Runs a benchmark under valgrind (or without, when its instructions are of no use), in a process of its own.
pub fn count(subject: &Subject, valgrind: bool) -> Res<Counted> {
    let program = std::env::current_exe()?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("callgrind.out");
    let mut command =
        if valgrind && subject.counted { under_valgrind(&program, &file) } else { Command::new(&program) };
    let out = command.args(["one", subject.name]).stdin(Stdio::null()).output()?;
    if !out.status.success() {
        let words = String::from_utf8_lossy(&out.stderr);
        let last: Vec<&str> = words.lines().rev().filter(|line| !line.starts_with("==")).take(5).collect();
        return Err(format!("{}: {}", subject.name, last.into_iter().rev().collect::<Vec<_>>().join("\n")).into());
    }
    let mut counted = parse(&String::from_utf8_lossy(&out.stdout))?;
    if valgrind && subject.counted {
        counted.instructions = Some(total(&std::fs::read_to_string(&file)?)?);
    }
    Ok(counted)
}

fn under_valgrind(program: &Path, file: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*causerie_measured*"]);
    command.arg(format!("--callgrind-out-file={}", file.display())).arg(program);
    command
}

fn parse(line: &str) -> Res<Counted> {
    let numbers = line.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    match numbers[..] {
        [units, blocks, bytes] if units > 0 => Ok(Counted { units, blocks, bytes, instructions: None }),
        _ => Err(format!("not the figures of a benchmark: {line}").into()),
    }
}

/// The sum that stands in a file of callgrind's.
fn total(file: &str) -> Res<u64> {
    let line = file.lines().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    let total: u64 = line.ok_or("callgrind wrote no sum")?.trim().parse()?;
    // The function is found by its name: if it is gone from the program, valgrind finds nothing and says nothing.
    if total == 0 { Err("callgrind counted nothing: where is causerie_measured?".into()) } else { Ok(total) }
}
