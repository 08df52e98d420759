//! What the server tells its operators: the log on standard error, and the audit log in a file of its own.
//!
//! Both are written through a bounded queue by one thread, so that no shard waits for a disk or a terminal. What finds the queue full
//! is dropped and counted, and the count is written as soon as there is room: nothing is lost in silence. Message text, passwords and
//! tokens are never logged, by nobody: log ids.
//!
//! An event with the target [`AUDIT`] goes to the audit log as one JSON object a line, whatever `log.level` says, and to the normal
//! log only if `audit.in_log` asks for it. Fields that everybody uses: `conn`, `request`, `user`, `session`, `room`, `peer`, `code`.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tracing::{Dispatch, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use crate::config::settings::{Audit, Log, LogFormat};

/// The target of audit events: `tracing::info!(target: AUDIT, what = "signed_in", user = %id)`.
pub const AUDIT: &str = "audit";

/// Lines that may wait for the disk or the terminal.
const QUEUE_LINES: usize = 8192;

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The audit file cannot be opened.
    #[error("the audit log {0} cannot be opened: {1}; name another in audit.file, or \"\" for none")]
    AuditFile(PathBuf, io::Error),
    /// The level cannot be understood.
    #[error("log.level cannot be understood: {0}")]
    Level(String),
    /// A thread cannot be started.
    #[error("the thread that writes the log cannot be started: {0}")]
    Thread(io::Error),
    /// Another log is there already.
    #[error("a log is set up already")]
    Twice,
}

/// Keeps the writing threads. Dropping it writes what waits, then stops them.
#[derive(Debug)]
pub struct Guard {
    writers: Vec<Queue>,
}

impl Guard {
    /// [`Guard::dropped`] for who outlives the guard.
    #[must_use]
    pub fn dropped_counter(&self) -> Box<dyn Fn() -> u64 + Send + Sync> {
        let counters: Vec<_> = self.writers.iter().map(|queue| Arc::clone(&queue.writer.dropped)).collect();
        Box::new(move || counters.iter().map(|dropped| dropped.load(Ordering::Relaxed)).sum())
    }

    /// Lines that were dropped because the queue was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.writers.iter().map(|queue| queue.writer.dropped.load(Ordering::Relaxed)).sum()
    }
}

/// Sets up both logs for the whole process.
///
/// # Errors
/// See [`LogError`].
pub fn init(log: &Log, audit: &Audit) -> Result<Guard, LogError> {
    let (dispatch, guard) = build(log, audit, io::stderr())?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| LogError::Twice)?;
    Ok(guard)
}

/// Writes what a shard decided into the audit log.
pub fn audit(line: &crate::shard::input::Audit) {
    let user = line.user.map(tracing::field::display);
    let room = line.room.map(tracing::field::display);
    let conn = line.conn.map(tracing::field::display);
    tracing::info!(target: AUDIT, what = line.what, user, room, conn, code = line.code);
}

const DRIVER_LEVEL: &str = "scylla=warn";

fn build(log: &Log, audit: &Audit, terminal: impl Write + Send + 'static) -> Result<(Dispatch, Guard), LogError> {
    let in_log = audit.in_log;
    // The driver of the database tells of every connection; its warnings are enough, unless more is asked for by its name.
    let level = EnvFilter::try_new(format!("{DRIVER_LEVEL},{}", log.level))
        .map_err(|error| LogError::Level(error.to_string()))?;
    let normal = level.and(filter_fn(move |of: &Metadata<'_>| in_log || of.target() != AUDIT));
    let normal_queue = Queue::start("log", terminal).map_err(LogError::Thread)?;
    let layer = fmt::layer().with_writer(normal_queue.writer.clone());
    let normal_layer = match log.format {
        LogFormat::Human => layer.with_ansi(false).with_filter(normal).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_filter(normal).boxed(),
    };
    let mut writers = vec![normal_queue];
    let audit_layer = match &audit.file {
        Some(path) => {
            let file = open(path).map_err(|error| LogError::AuditFile(path.clone(), error))?;
            let queue = Queue::start("audit", file).map_err(LogError::Thread)?;
            let writer = queue.writer.clone();
            writers.push(queue);
            let layer = fmt::layer().json().flatten_event(true).with_target(false).with_level(false);
            let layer = layer.with_current_span(false).with_span_list(false).with_writer(writer);
            Some(layer.with_filter(filter_fn(|of: &Metadata<'_>| of.target() == AUDIT)))
        }
        None => None,
    };
    let subscriber = Registry::default().with(normal_layer).with(audit_layer);
    Ok((Dispatch::new(subscriber), Guard { writers }))
}

/// Opens a file that is only ever appended to and that only its owner may read.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// A thread that writes lines, and the way to it.
#[derive(Debug)]
struct Queue {
    writer: Writer,
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

/// Puts lines into a [`Queue`]. Never waits.
#[derive(Clone, Debug)]
struct Writer {
    lines: Sender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    fn start(name: &str, to: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = bounded(QUEUE_LINES);
        let (stop, stopped) = bounded(1);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write_all(to, &waiting, &stopped, &counted))?;
        Ok(Self { writer: Writer { lines, dropped }, stop, thread: Some(thread) })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes lines until told to stop, then those that are waiting still.
///
/// A line that cannot be written (the disk is full, the terminal is gone) has nowhere else to go: it is counted as dropped.
fn write_all(to: impl Write, waiting: &Receiver<Vec<u8>>, stopped: &Receiver<()>, dropped: &AtomicU64) {
    let mut to = BufWriter::new(to);
    let mut told = 0;
    loop {
        crossbeam_channel::select! {
            recv(waiting) -> line => {
                if let Ok(line) = line {
                    put(&mut to, &line, dropped);
                }
            }
            recv(stopped) -> _ => break,
        }
        while let Ok(line) = waiting.try_recv() {
            put(&mut to, &line, dropped);
        }
        tell_dropped(&mut to, &mut told, dropped);
        let _ = to.flush();
    }
    while let Ok(line) = waiting.try_recv() {
        put(&mut to, &line, dropped);
    }
    tell_dropped(&mut to, &mut told, dropped);
    let _ = to.flush();
}

fn put(to: &mut impl Write, line: &[u8], dropped: &AtomicU64) {
    if to.write_all(line).is_err() {
        dropped.fetch_add(1, Ordering::Relaxed);
    }
}

fn tell_dropped(to: &mut impl Write, told: &mut u64, dropped: &AtomicU64) {
    let now = dropped.load(Ordering::Relaxed);
    if now > *told && writeln!(to, "{{\"what\":\"log_lines_dropped\",\"lines\":{}}}", now - *told).is_ok() {
        *told = now;
    }
}

impl Write for Writer {
    /// `tracing_subscriber` writes one whole event at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.lines.try_send(line.to_vec()) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ConnId, ShardId};
    use crate::shard::input::Audit as Line;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Mutex;

    /// A terminal that can be read afterwards.
    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().map_err(|_| io::ErrorKind::Other)?.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Screen {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn log(level: &str, format: LogFormat) -> Log {
        Log { level: level.to_owned(), format }
    }

    fn refused() -> Line {
        let conn = ConnId { shard: ShardId(1), index: 2, generation: 3 };
        Line { what: "refused", user: None, room: None, conn: Some(conn), code: Some("not_allowed") }
    }

    #[test]
    fn audit_lines_stand_in_their_file_as_json_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/audit.log");
        let screen = Screen::default();
        let settings = Audit { file: Some(path.clone()), in_log: false };
        for _ in 0..2 {
            let (dispatch, guard) = build(&log("info", LogFormat::Human), &settings, screen.clone()).unwrap();
            tracing::dispatcher::with_default(&dispatch, || {
                tracing::error!("a normal line");
                audit(&refused());
            });
            drop((dispatch, guard));
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "appended to, not replaced: {text}");
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (&line["what"], &line["conn"], &line["code"]),
                (&"refused".into(), &"1-2-3".into(), &"not_allowed".into())
            );
            assert!(line["timestamp"].is_string() && line.get("user").is_none(), "{line}");
        }
        assert!(screen.text().contains("a normal line") && !screen.text().contains("refused"), "{}", screen.text());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let folder = std::fs::metadata(path.parent().unwrap()).unwrap();
        assert_eq!(folder.permissions().mode() & 0o777, 0o700, "others can look into the data directory");
    }

    #[test]
    fn the_normal_log_has_them_when_asked_in_json_with_levels_by_module() {
        let screen = Screen::default();
        let settings = Audit { file: None, in_log: true };
        let (dispatch, guard) =
            build(&log("info,causerie::net=debug", LogFormat::Json), &settings, screen.clone()).unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            audit(&refused());
            tracing::debug!(target: "causerie::net", request = "r1", "shown");
            tracing::debug!(target: "causerie::store", "hidden");
        });
        drop((dispatch, guard));
        let lines: Vec<serde_json::Value> =
            screen.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!((&lines[0]["target"], &lines[0]["what"]), (&"audit".into(), &"refused".into()));
        assert_eq!((&lines[1]["request"], &lines[1]["message"]), (&"r1".into(), &"shown".into()));
    }

    #[test]
    fn what_finds_the_queue_full_is_counted_and_told() {
        /// A terminal that takes nothing before it is let go.
        struct Stuck(Receiver<()>, Screen);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                self.1.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, held) = bounded::<()>(0);
        let screen = Screen::default();
        let settings = Audit { file: None, in_log: false };
        let (dispatch, guard) = build(&log("info", LogFormat::Human), &settings, Stuck(held, screen.clone())).unwrap();
        let sent = 3 * QUEUE_LINES;
        tracing::dispatcher::with_default(&dispatch, || {
            (0..sent).for_each(|n| tracing::info!(n, "a line of some length"));
        });
        let dropped = guard.dropped();
        assert!(dropped > 0, "the queue has no bound");
        drop(release);
        drop((dispatch, guard));
        let text = screen.text();
        assert!(text.contains("log_lines_dropped"), "dropped in silence");
        let told: u64 = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["lines"].as_u64())
            .sum();
        assert_eq!(told, dropped);
        assert_eq!(text.lines().filter(|line| line.contains("a line of")).count() as u64 + dropped, sent as u64);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_that_names_it() {
        let settings = Audit { file: Some("/proc/nowhere/audit.log".into()), in_log: false };
        let error = build(&log("info", LogFormat::Human), &settings, Screen::default()).unwrap_err();
        assert!(error.to_string().contains("/proc/nowhere/audit.log"), "{error}");
    }
}
