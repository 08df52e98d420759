//! The seal-and-send limit: what one core can seal and send at most, without any server around it. The yardstick for a server.
//!
//! `causerie-load limit run` starts two processes of itself, each pinned to a core. One accepts TLS 1.3 WebSockets and then seals
//! and sends frames of the size of a `chat` frame to rooms, one after the other; the other reads, opens and counts them, as
//! clients do. Each setup (way of sending, frames a write, rate) is measured several times in turn with the others (A B A B …)
//! over the same connections, so that what the machine does besides touches all of them alike.
//!
//! | file | what it does |
//! |---|---|
//! | `command` | the command line |
//! | `serve` | accepts, and sends in windows |
//! | `send` | one window: seal, send, count |
//! | `connect` | the receiving side |
//! | `tls` | TLS over memory for both |
//! | `ring` | many sends with one call into the kernel |
//! | `figures` | what comes out |

mod command;
mod connect;
mod figures;
mod ring;
mod send;
mod serve;
mod tls;

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

pub use command::Call;
pub use connect::connect;
pub use figures::{Figure, Limit, Window};
pub use serve::serve;

use crate::{Context as _, Failure};

/// How bytes come from the sending process to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Seal one, send one: what a simple server does.
    Plain,
    /// Seal a group, then send each with a call of its own.
    Grouped,
    /// Seal a group, then send all with one call (io_uring).
    Uring,
    /// The same with sockets registered in the ring.
    Fixed,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Grouped => "grouped",
            Self::Uring => "uring",
            Self::Fixed => "fixed",
        })
    }
}

/// Who is in a room with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Those who connected one after the other.
    Accept,
    /// Anybody: rooms are dealt out from a shuffled list, always the same one.
    Shuffled,
    /// The same rooms, but each is sent to in the order in which its people connected.
    Sorted,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Shuffled => "shuffled",
            Self::Sorted => "sorted",
        })
    }
}

/// What is measured.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Shape {
    /// Sockets
    #[arg(long, default_value_t = 10_000)]
    pub connections: usize,
    /// Sockets of a room: each message goes to so many, one after the other
    #[arg(long, default_value_t = 100)]
    pub room_size: usize,
    /// Characters of a message; the frame around it is that of Causerie's `chat`
    #[arg(long, default_value_t = 200)]
    pub payload: usize,
    /// Frames in one record and one write; several, with commas, are measured in turn
    #[arg(long, value_delimiter = ',', default_value = "1,8")]
    pub batch: Vec<usize>,
    /// Deliveries a second; 0 means as many as possible; several, with commas, are measured in turn
    #[arg(long, value_delimiter = ',', default_value = "0")]
    pub rate: Vec<f64>,
    /// How they are sent; several, with commas, are measured in turn
    #[arg(long, value_enum, value_delimiter = ',', default_value = "plain")]
    pub send: Vec<Way>,
    /// Sends of a group, for all ways but `plain`; several, with commas, are measured in turn
    #[arg(long, value_delimiter = ',', default_value = "256")]
    pub group: Vec<usize>,
    /// Who is in a room with whom
    #[arg(long, value_enum, default_value = "shuffled")]
    pub order: Order,
    /// Length of one measurement, in seconds
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// How often each setup is measured
    #[arg(long, default_value_t = 3)]
    pub repeat: usize,
    /// The receivers throw everything away without opening it
    #[arg(long)]
    pub discard: bool,
}

impl Shape {
    /// Refuses what cannot be measured.
    ///
    /// # Errors
    /// With the name of the option and what it takes.
    pub fn checked(self) -> Result<Self, Failure> {
        let wrong = |option: &str, takes: &str| Err(Failure::new(option, format!("it takes {takes}")));
        if self.connections == 0 {
            return wrong("--connections", "at least 1");
        }
        if self.room_size == 0 || self.room_size > self.connections {
            return wrong("--room-size", "1 up to the number of connections");
        }
        if self.payload == 0 || self.payload > 4096 {
            return wrong("--payload", "1 to 4096 characters");
        }
        let longest = self.batch.iter().max().copied().unwrap_or(0);
        if self.batch.contains(&0) || longest == 0 || longest * send::frame(self.payload).len() > send::RECORD_PLAIN {
            return wrong("--batch", "1 up to as many frames as fit into a TLS record of 16,384 bytes");
        }
        if self.rate.is_empty() || self.rate.iter().any(|rate| !(0.0..=100_000_000.0).contains(rate)) {
            return wrong("--rate", "0 (as fast as it goes) or deliveries a second");
        }
        if self.send.is_empty() {
            return wrong("--send", "plain, grouped, uring or fixed");
        }
        if self.group.is_empty() || self.group.iter().any(|group| !(1..=4096).contains(group)) {
            return wrong("--group", "1 to 4096");
        }
        if !(0.01..=3600.0).contains(&self.seconds) {
            return wrong("--seconds", "0.01 to 3600");
        }
        if self.repeat == 0 {
            return wrong("--repeat", "at least 1");
        }
        Ok(self)
    }

    /// Every combination that was asked for, in the order in which one round measures them.
    pub(crate) fn setups(&self) -> Vec<Setup> {
        let mut all = Vec::new();
        for &rate in &self.rate {
            for &batch in &self.batch {
                for &way in &self.send {
                    let groups = if way == Way::Plain { &[1][..] } else { &self.group };
                    all.extend(groups.iter().map(|&group| Setup { way, group, batch, rate }));
                }
            }
        }
        all
    }

    /// The same as arguments of the command line, for the two processes.
    fn arguments(&self) -> Vec<String> {
        fn list<T: ToString>(items: &[T]) -> String {
            items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
        }
        let mut all = vec![
            format!("--connections={}", self.connections),
            format!("--room-size={}", self.room_size),
            format!("--payload={}", self.payload),
            format!("--batch={}", list(&self.batch)),
            format!("--rate={}", list(&self.rate)),
            format!("--send={}", list(&self.send)),
            format!("--group={}", list(&self.group)),
            format!("--order={}", self.order),
            format!("--seconds={}", self.seconds),
            format!("--repeat={}", self.repeat),
        ];
        if self.discard {
            all.push("--discard".to_owned());
        }
        all
    }
}

/// One combination of what is varied.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// How it is sent.
    pub way: Way,
    /// Sends of a group.
    pub group: usize,
    /// Frames in one record and one write.
    pub batch: usize,
    /// Deliveries a second that were wanted; 0: as many as possible.
    pub rate: f64,
}

/// Which cores the two processes are pinned to; `None` leaves a process where the kernel puts it.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Cores {
    /// The core of the sending process; without it, it may run on any
    #[arg(long)]
    pub server_core: Option<usize>,
    /// The core of the receiving process; without it, it may run on any
    #[arg(long)]
    pub client_core: Option<usize>,
}

/// What the sending process says first, and the receiving one is told: where its listeners are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Places {
    /// The listener of the WebSockets.
    pub(crate) data: String,
    /// The listener of the one connection on which the two agree when a window is over.
    pub(crate) control: String,
}

/// Starts both processes (of `program`, the harness itself) and waits for the figures.
///
/// # Errors
/// When a process cannot be started, or either of them failed; its own words are in the error.
pub fn run(program: &Path, shape: &Shape, cores: Cores) -> Result<Limit, Failure> {
    let mut server = start(program, "serve", shape, cores.server_core, &[])?;
    let mut lines = BufReader::new(server.0.stdout.take().ok_or_else(|| Failure::new("limit serve", "no output"))?);
    let mut line = String::new();
    lines.read_line(&mut line).context("reading from the sending process")?;
    let Ok(places) = serde_json::from_str::<Places>(&line) else { return Err(server.why("limit serve", &line)) };
    let wanted = [format!("--data={}", places.data), format!("--control={}", places.control)];
    let mut client = start(program, "connect", shape, cores.client_core, &wanted)?;
    let mut text = String::new();
    lines.read_to_string(&mut text).context("reading from the sending process")?;
    let ended = server.0.wait().context("waiting for the sending process")?;
    if !ended.success() {
        // The receiving process often knows the reason.
        let receiver = client.words();
        return Err(Failure::new("limit serve", format!("{} {}", text.trim(), receiver.trim())));
    }
    let limit = serde_json::from_str(&text).context("reading the figures")?;
    if !client.0.wait().context("waiting for the receiving process")?.success() {
        return Err(client.why("limit connect", ""));
    }
    Ok(limit)
}

/// A process that ends with us.
struct Ours(Child);

impl Ours {
    /// What it said, after it was ended.
    fn words(&mut self) -> String {
        let _ = self.0.kill();
        let mut text = String::new();
        if let Some(output) = &mut self.0.stdout {
            let _ = output.read_to_string(&mut text);
        }
        text
    }

    fn why(&mut self, what: &str, first: &str) -> Failure {
        let words = self.words();
        Failure::new(what, format!("{first}{words}").trim())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &Path, part: &str, shape: &Shape, core: Option<usize>, more: &[String]) -> Result<Ours, Failure> {
    let mut command = Command::new(program);
    command.args(["limit", part]).args(shape.arguments()).args(more);
    if let Some(core) = core {
        command.arg(format!("--core={core}"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().map(Ours).context(&format!("starting {}", program.display()))
}

/// Pins the calling process, which has one thread, to a core.
fn pin(core: Option<usize>) -> Result<(), Failure> {
    let Some(core) = core else { return Ok(()) };
    if core >= rustix::thread::CpuSet::MAX_CPU {
        return Err(Failure::new("--core", "there is no such core"));
    }
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).context(&format!("pinning to core {core}"))
}

/// CPU seconds that this process has used, exact to what the scheduler counts.
#[expect(clippy::cast_precision_loss, reason = "seconds of a process are far below what a float holds")]
fn cpu_seconds() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}
