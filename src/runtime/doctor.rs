//! Looks whether this machine can carry the server: kernel, io_uring, locked memory, open files, cores, clock.
//!
//! Promises to say of each what is wrong and the command that mends it, and never to panic. `causerie doctor` prints all findings;
//! `serve` makes the same checks and refuses to start on a [`State::Fail`]. Changes nothing, but [`raise_open_files`].

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use glommio::{LocalExecutorBuilder, Placement};
use rustix::io::Errno;
use rustix::io_uring::{io_uring_params, io_uring_setup};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::launch::Pinning;

/// The first kernel with all that glommio asks of io_uring.
const KERNEL_MIN: (u32, u32) = (5, 8);
/// Files of the server itself: store, listeners, rings, logs.
const FILES_OWN: u64 = 256;
/// Below this nothing sensible can be served.
const FILES_MIN: u64 = 512;
/// What one shard registers with the kernel, with its rings.
const LOCKED_PER_SHARD: u64 = 1280 * 1024;
/// 2025-01-01: no clock that is right shows less.
const CLOCK_MIN_S: u64 = 1_735_689_600;

/// What is wanted of the machine.
#[derive(Clone, Debug)]
pub struct DoctorInput {
    /// How many shards are to run.
    pub shards: u16,
    /// On which cores.
    pub pinning: Pinning,
    /// How many connections at most (`limits.connections`).
    pub connections: u64,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// It will run, but not as well as it could.
    Warn,
    /// It will not run.
    Fail,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// How bad it is.
    pub state: State,
    /// What was found.
    pub what: String,
    /// The command (or setting) that mends it, when something is wrong.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(name: &'static str, what: impl Into<String>) -> Self {
        Self { name, state: State::Ok, what: what.into(), remedy: None }
    }

    fn bad(name: &'static str, state: State, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state, what: what.into(), remedy: Some(remedy.into()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.state {
            State::Ok => "ok  ",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        write!(f, "{word}  {}: {}", self.name, self.what)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "\n      mend it: {remedy}")?;
        }
        Ok(())
    }
}

/// Makes all checks.
#[must_use]
pub fn checks(input: &DoctorInput) -> Vec<Finding> {
    let ring = ring_once();
    vec![
        kernel(&rustix::system::uname().release().to_string_lossy()),
        io_uring(ring, read("/proc/sys/kernel/io_uring_disabled").as_deref(), small_executor),
        locked_memory(getrlimit(Resource::Memlock).current, input.shards),
        open_files(&getrlimit(Resource::Nofile), input.connections),
        cores(&usable_cores(), input),
        clock(
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            read("/sys/devices/system/clocksource/clocksource0/current_clocksource").as_deref(),
        ),
    ]
}

/// What keeps the server from running, as text for people; `None` when nothing does.
#[must_use]
pub fn refusal(findings: &[Finding]) -> Option<String> {
    let failed: Vec<_> =
        findings.iter().filter(|finding| finding.state == State::Fail).map(ToString::to_string).collect();
    (!failed.is_empty()).then(|| failed.join("\n"))
}

/// The cores this process may use.
#[must_use]
pub fn usable_cores() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
}

/// Raises the number of files this process may open to what it is allowed at most. Answers what it is now; `None`: no limit.
pub fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    // Refused or not: what counts is what it is afterwards.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn kernel(release: &str) -> Finding {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let version = (parts.next().and_then(Result::ok).unwrap_or(0), parts.next().and_then(Result::ok).unwrap_or(0));
    if version >= KERNEL_MIN {
        return Finding::ok("kernel", release);
    }
    let (major, minor) = KERNEL_MIN;
    Finding::bad(
        "kernel",
        State::Fail,
        format!("{release} is older than {major}.{minor}, the first with the io_uring this server needs"),
        "install a newer kernel (apt install linux-image-amd64; reboot), or use a newer machine image",
    )
}

/// Makes one small ring, as each executor will make three, and drops it.
fn ring_once() -> Result<(), Errno> {
    let mut params = io_uring_params::default();
    // SAFETY: `params` is a zeroed struct of the kernel's own layout that lives through the call; without flags the kernel maps no
    // memory of ours. The descriptor is owned and closed at once.
    #[allow(unsafe_code)]
    unsafe { io_uring_setup(4, &mut params) }.map(drop)
}

/// Whether an executor of the runtime can be made, on a thread of its own.
fn small_executor() -> Result<(), String> {
    let make = || {
        let builder = LocalExecutorBuilder::new(Placement::Unbound).io_memory(64 * 1024).ring_depth(8);
        builder.make().map(drop).map_err(|why| why.to_string())
    };
    std::thread::Builder::new()
        .name("doctor".to_owned())
        .spawn(make)
        .map_err(|why| why.to_string())?
        .join()
        .unwrap_or_else(|_| Err("the kernel's io_uring lacks operations".to_owned()))
}

fn io_uring(ring: Result<(), Errno>, disabled: Option<&str>, executor: impl FnOnce() -> Result<(), String>) -> Finding {
    const NAME: &str = "io_uring";
    let seccomp = "let the container use io_uring: a seccomp profile that allows io_uring_setup, io_uring_enter and \
                   io_uring_register, or `docker run --security-opt seccomp=unconfined …`";
    let fail = |what: &str, remedy: &str| Finding::bad(NAME, State::Fail, what, remedy);
    match ring {
        Ok(()) => match executor() {
            Ok(()) => Finding::ok(NAME, "works"),
            Err(why) => {
                fail(&format!("a ring can be made, but no executor: {why}"), "ulimit -l unlimited; ulimit -n 65536")
            }
        },
        Err(Errno::PERM) if disabled.is_some_and(|value| value != "0") => fail(
            "switched off by the setting kernel.io_uring_disabled of this machine",
            "sysctl -w kernel.io_uring_disabled=0",
        ),
        Err(Errno::PERM | Errno::ACCESS) => {
            fail("the system forbids it; many container runtimes block it by seccomp", seccomp)
        }
        Err(Errno::NOSYS) => {
            fail("the system does not know it: an old kernel, or a container runtime that hides it by seccomp", seccomp)
        }
        Err(Errno::NOMEM) => fail("there is not enough memory that may be locked", "ulimit -l unlimited"),
        Err(Errno::MFILE | Errno::NFILE) => fail("too many files are open", "ulimit -n 65536"),
        Err(other) => fail(&format!("a ring cannot be made: {other}"), "dmesg | tail (the kernel may say why)"),
    }
}

fn locked_memory(limit: Option<u64>, shards: u16) -> Finding {
    const NAME: &str = "locked memory";
    let wanted = u64::from(shards) * LOCKED_PER_SHARD;
    match limit {
        Some(limit) if limit < wanted => Finding::bad(
            NAME,
            State::Warn,
            format!(
                "{} KiB may be locked, {shards} shards want {} KiB: some buffers stay unregistered",
                limit / 1024,
                wanted / 1024
            ),
            format!("ulimit -l {} (in a systemd unit: LimitMEMLOCK=infinity)", wanted / 1024),
        ),
        Some(limit) => Finding::ok(NAME, format!("{} KiB", limit / 1024)),
        None => Finding::ok(NAME, "no limit"),
    }
}

fn open_files(limit: &Rlimit, connections: u64) -> Finding {
    const NAME: &str = "open files";
    let wanted = connections + FILES_OWN;
    // `serve` raises the limit to the maximum by itself.
    match limit.maximum {
        None => Finding::ok(NAME, "no limit"),
        Some(most) if most >= wanted => {
            Finding::ok(NAME, format!("up to {most}, enough for {connections} connections"))
        }
        Some(most) => {
            let state = if most < FILES_MIN { State::Fail } else { State::Warn };
            Finding::bad(
                NAME,
                state,
                format!("{most} may be open, {connections} connections (limits.connections) want {wanted}"),
                format!(
                    "ulimit -Hn {wanted} (in a systemd unit: LimitNOFILE={wanted}), or a smaller limits.connections"
                ),
            )
        }
    }
}

fn cores(usable: &[usize], input: &DoctorInput) -> Finding {
    const NAME: &str = "cores";
    let shards = usize::from(input.shards);
    if let Pinning::Cores(named) = &input.pinning
        && let Some(missing) = named.iter().find(|core| !usable.contains(core))
    {
        return Finding::bad(
            NAME,
            State::Fail,
            format!("core {missing} of server.cores is not one this process may use ({usable:?})"),
            "name others in server.cores, or leave it out; `taskset -cp $$` shows which may be used",
        );
    }
    if usable.len() < shards {
        return Finding::bad(
            NAME,
            State::Warn,
            format!("{shards} shards share {} cores: none is pinned, and they get in each other's way", usable.len()),
            format!("causerie serve --shards {}", usable.len().max(1)),
        );
    }
    Finding::ok(NAME, format!("{} for {shards} shards", usable.len()))
}

fn clock(now_s: u64, source: Option<&str>) -> Finding {
    const NAME: &str = "clock";
    if now_s < CLOCK_MIN_S {
        return Finding::bad(
            NAME,
            State::Fail,
            "the clock of this machine is years behind: tokens and message ids depend on it",
            "timedatectl set-ntp true",
        );
    }
    match source {
        // Each reading of these is a system call or a trip to a device, and a turn reads the clock for every input.
        Some(slow @ ("hpet" | "acpi_pm" | "jiffies" | "pit")) => Finding::bad(
            NAME,
            State::Warn,
            format!("the clock source {slow} is slow to read"),
            "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource (if it is offered there)",
        ),
        Some(source) => Finding::ok(NAME, format!("right to the year, source {source}")),
        None => Finding::ok(NAME, "right to the year"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(shards: u16) -> DoctorInput {
        DoctorInput { shards, pinning: Pinning::Auto, connections: 100 }
    }

    #[test]
    fn kernels_are_compared_as_numbers() {
        assert_eq!(kernel("6.18.44-fc-v669").state, State::Ok);
        assert_eq!(kernel("5.10.0-23-amd64").state, State::Ok);
        assert_eq!(kernel("5.4.0-150-generic").state, State::Fail);
        assert_eq!(kernel("nonsense").state, State::Fail);
    }

    #[test]
    fn each_way_in_which_io_uring_is_missing_has_its_own_remedy() {
        let never = || -> Result<(), String> { panic!("not without a ring") };
        let off = io_uring(Err(Errno::PERM), Some("2"), never);
        assert!(off.state == State::Fail && off.remedy.is_some_and(|r| r.contains("sysctl")));
        let seccomp = io_uring(Err(Errno::PERM), Some("0"), never);
        assert!(seccomp.what.contains("seccomp") && seccomp.remedy.is_some_and(|r| r.contains("docker")));
        assert!(io_uring(Err(Errno::NOMEM), None, never).remedy.is_some_and(|r| r.contains("ulimit -l")));
        assert_eq!(io_uring(Ok(()), None, || Err("no".to_owned())).state, State::Fail);
        assert_eq!(io_uring(Ok(()), None, || Ok(())).state, State::Ok);
    }

    #[test]
    fn limits_are_held_against_what_is_wanted() {
        let files = |maximum| open_files(&Rlimit { current: Some(64), maximum }, 1000).state;
        assert_eq!(files(Some(1256)), State::Ok);
        assert_eq!(files(Some(1255)), State::Warn);
        assert_eq!(files(Some(100)), State::Fail);
        assert_eq!(files(None), State::Ok);
        assert_eq!(locked_memory(Some(1024 * 1024), 1).state, State::Warn);
        assert_eq!(locked_memory(Some(8 * 1024 * 1024), 2).state, State::Ok);
    }

    #[test]
    fn cores_and_clock() {
        assert_eq!(cores(&[0, 1], &input(2)).state, State::Ok);
        assert_eq!(cores(&[0, 1], &input(3)).state, State::Warn);
        let named = DoctorInput { pinning: Pinning::Cores(vec![0, 5]), ..input(2) };
        assert_eq!(cores(&[0, 1], &named).state, State::Fail);
        assert_eq!(clock(1_000, None).state, State::Fail);
        assert_eq!(clock(CLOCK_MIN_S, Some("hpet")).state, State::Warn);
        assert_eq!(clock(CLOCK_MIN_S, Some("tsc")).state, State::Ok);
    }

    #[test]
    fn this_machine_can_be_looked_at_and_a_refusal_names_what_fails_alone() {
        let mut findings = checks(&input(1));
        assert_eq!(findings.len(), 6);
        // The tests of the runtime need the same.
        assert_eq!(refusal(&findings), None);
        findings.push(Finding::bad("x", State::Fail, "it is broken", "mend x"));
        assert_eq!(refusal(&findings).as_deref(), Some("FAIL  x: it is broken\n      mend it: mend x"));
    }
}
