//! What one durable commit of the embedded store costs: CPU, bytes and time, for groups of 1, 4 and 16 messages, paced as a server paces
//! them and as fast as it goes. Prints a table; not a test.
//!
//! `cargo bench --bench commit` (`-- 3000` for so many commits a line). Runs in a temporary directory (`TMPDIR` chooses the disk).

mod rows;

use std::fs;
use std::io::{Write as _, stdout};
use std::time::{Duration, Instant};

use causerie::base::{ClientId, RoomId, UserId};
use causerie::store::embedded::{Embedded, EmbeddedSettings, MasterKeySource};
use causerie::store::{Backend, Write};
use uuid::Uuid;

const ROOMS: u128 = 500;
const MEMBERS: u128 = 20;
const TEXT_BYTES: usize = 200;
/// Clock ticks of `/proc/PID/stat` in a second.
const TICKS: f64 = 100.0;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn room_id(n: u128) -> RoomId {
    RoomId(Uuid::from_u128((n + 1) << 100 | n))
}

fn user_id(n: u128) -> UserId {
    UserId(Uuid::from_u128((n + 1) << 96 | n))
}

fn create(n: u128) -> Write {
    Write::Room(Box::new(rows::create(room_id(n), user_id(0), (0..MEMBERS).map(user_id))))
}

/// One message as a shard writes it. Client ids are random, as clients make them.
fn message(room: RoomId, seq: u64, n: u128) -> Write {
    rows::said(rows::message(room, seq, user_id(n % MEMBERS), ClientId(Uuid::new_v4()), TEXT_BYTES))
}

/// CPU (user, system) in seconds and bytes written, of all threads of this process.
fn used() -> Fallible<(f64, f64, f64)> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0) / TICKS;
    let io = fs::read_to_string("/proc/self/io")?;
    let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap_or("0").trim().parse()?;
    Ok((ticks(11), ticks(12), written))
}

/// Waits by sleeping, as a writer without work does.
fn wait_until(due: Instant) {
    if let Some(left) = due.checked_duration_since(Instant::now()) {
        std::thread::sleep(left);
    }
}

fn main() -> Fallible<()> {
    let commits: u32 = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(2000);
    let dir = tempfile::TempDir::new()?;
    let store = Embedded::open(dir.path(), &MasterKeySource::DataDir, EmbeddedSettings::default())?;
    let mut out = stdout();
    store.write((0..ROOMS).map(create).collect())?;
    let mut heads = vec![0u64; usize::try_from(ROOMS)?];
    let mut n = 0u128;
    writeln!(
        out,
        "{:>5} {:>7} | CPU µs a commit: user, system, sum; a message | KiB written a message | ms: p50, p99, p99.9, max",
        "group", "rate"
    )?;
    for (group, rate) in [(1u32, 0u32), (4, 0), (16, 0), (1, 500), (1, 1000)] {
        let mut took = Vec::new();
        let before = used()?;
        let began = Instant::now();
        for k in 0..commits {
            if rate > 0 {
                wait_until(began + Duration::from_secs_f64(f64::from(k) / f64::from(rate)));
            }
            let writes = (0..group).map(|_| {
                n += 1;
                // Rooms in no order.
                let index = (n * 7919) % ROOMS;
                let head: &mut u64 = &mut heads[usize::try_from(index).unwrap_or(0)];
                *head += 1;
                message(room_id(index), *head, n)
            });
            let writes: Vec<_> = writes.collect();
            let began = Instant::now();
            store.write(writes)?;
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let after = used()?;
        took.sort_by(f64::total_cmp);
        let at = |per_mille: usize| took[(took.len() * per_mille / 1000).min(took.len() - 1)];
        let each = f64::from(commits) / 1e6;
        let (user, system) = ((after.0 - before.0) / each, (after.1 - before.1) / each);
        writeln!(
            out,
            "{group:>5} {rate:>7} | {user:>8.0} {system:>8.0} {:>8.0} {:>8.1} | {:>8.1} | {:.2} {:.2} {:.2} {:.2}",
            user + system,
            (user + system) / f64::from(group),
            (after.2 - before.2) / 1024.0 / f64::from(commits * group),
            at(500),
            at(990),
            at(999),
            at(1000),
        )?;
    }
    writeln!(out, "bytes on disk: {}", store.size_bytes())?;
    Ok(())
}
