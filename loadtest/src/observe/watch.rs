//! The server's part of a report: a sample a second, and what was used between two marks.
//!
//! What may take longer (the metrics' page, proportional memory) is read by one thread beside, so that the run never waits for it.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Look, children, pss};
use crate::report::{ServerSample, ServerUse, ShardSample};
use crate::scrape::{Page, Source};

/// How long a page that was asked for at a mark is awaited in the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Proportional memory is read every so many samples: the kernel walks through all of the process' pages for it and holds its memory
/// meanwhile.
const PSS_EVERY: u64 = 10;

/// Looks at a server: its processes in `/proc` and its `/metrics`.
pub struct Watcher {
    process: Option<(u32, bool)>,
    last: Option<Look>,
    beside: Option<SyncSender<Wanted>>,
    seen: Arc<Seen>,
    /// The page that the last sample was made from.
    used: Option<Arc<Page>>,
    samples: u64,
}

/// What the thread beside is asked for.
enum Wanted {
    /// A fresh page and fresh proportional memory, for a mark.
    Mark(Arc<Slot>),
    /// Proportional memory, for a sample to come.
    Pss,
}

/// What the thread beside saw last.
#[derive(Default)]
struct Seen {
    page: Mutex<Option<Arc<Page>>>,
    pss: Mutex<Option<u64>>,
    failed: Mutex<Option<(u64, String)>>,
}

/// What was asked for at a mark, once it is there.
#[derive(Debug, Default)]
struct Slot {
    filled: Mutex<Option<(Option<Arc<Page>>, Option<u64>)>>,
    rung: Condvar,
}

impl Slot {
    fn wait(&self) -> (Option<Arc<Page>>, Option<u64>) {
        let guard = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.rung.wait_timeout_while(guard, PATIENCE, |filled| filled.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.clone().unwrap_or_default()
    }

    fn fill(&self, page: Option<Arc<Page>>, pss: Option<u64>) {
        *self.filled.lock().unwrap_or_else(PoisonError::into_inner) = Some((page, pss));
        self.rung.notify_all();
    }
}

/// The server at the border between two phases. See [`Watcher::mark`].
#[derive(Clone, Debug)]
pub struct Mark {
    look: Option<Look>,
    slot: Arc<Slot>,
    connections: u64,
}

impl Watcher {
    /// Watches the process `pid` (with those that it started, if asked) and the counters of `metrics`. Either may be missing; without
    /// both there is nothing to see and every answer is `None`.
    #[must_use]
    pub fn new(pid: Option<u32>, with_children: bool, metrics: Option<Source>) -> Self {
        let process = pid.map(|pid| (pid, with_children));
        let seen = Arc::new(Seen::default());
        let (asks, wanted) = mpsc::sync_channel(64);
        let theirs = seen.clone();
        let work = move || beside(process, metrics, &wanted, &theirs);
        let thread = thread::Builder::new().name("observer".to_owned()).spawn(work);
        let beside = thread.is_ok().then_some(asks);
        let last = process.and_then(|(pid, with_children)| Look::at(pid, with_children));
        Self { process, last, beside, seen, used: None, samples: 0 }
    }

    /// What the last second showed. To be called once a second; takes a fraction of a millisecond. `None` when nothing of the
    /// server can be seen.
    pub fn sample(&mut self) -> Option<ServerSample> {
        let look = self.look();
        let page = locked(&self.seen.page).clone();
        let mut sample = ServerSample::default();
        if let (Some(before), Some(now)) = (&self.last, &look) {
            sample.cpu_seconds = now.cpu_since(before);
            sample.by_thread = now.by_thread(before);
            sample.by_thread.retain(|_, seconds| *seconds > 0.0);
            sample.rss_bytes = now.rss_bytes;
        }
        sample.pss_bytes = locked(&self.seen.pss).take();
        if let (Some(before), Some(now)) = (&self.used, &page)
            && now.at > before.at
        {
            sample.shards = shards(before, now);
        }
        if self.samples.is_multiple_of(PSS_EVERY) && self.process.is_some() {
            self.ask(Wanted::Pss);
        }
        self.samples += 1;
        let something = look.is_some() || page.is_some();
        self.last = look;
        self.used = page;
        something.then_some(sample)
    }

    /// The server now, at the border of two phases; `connections` is how many the harness has open.
    pub fn mark(&self, connections: u64) -> Mark {
        let slot = Arc::new(Slot::default());
        if !self.ask(Wanted::Mark(slot.clone())) {
            slot.fill(None, None);
        }
        Mark { look: self.look(), slot, connections }
    }

    /// What the server used between two marks. Waits for what was asked for at them (5 s at most each), so call it when the run is
    /// over. `None` when nothing of the server could be seen.
    #[must_use]
    pub fn between(&self, from: &Mark, to: &Mark) -> Option<ServerUse> {
        let ((page_from, pss_before), (page_to, pss_after)) = (from.slot.wait(), to.slot.wait());
        let counters = page_from.zip(page_to).map(|(from, to)| from.until(&to));
        let looks = from.look.as_ref().zip(to.look.as_ref());
        if counters.is_none() && looks.is_none() {
            return None;
        }
        let mut used =
            ServerUse { counters, pss_before, pss_after, connections_before: from.connections, ..ServerUse::default() };
        if let Some((from, to)) = looks {
            used.seconds = to.at.duration_since(from.at).as_secs_f64();
            used.cpu_seconds = to.cpu_since(from);
            used.by_thread = to.by_thread(from);
            used.by_thread.retain(|_, seconds| *seconds > 0.0);
            (used.rss_before, used.rss_after) = (from.rss_bytes, to.rss_bytes);
        } else if let Some(counters) = &used.counters {
            // A server on another machine says it itself.
            used.cpu_seconds = counters.grew("process_cpu_seconds").unwrap_or(0.0);
        }
        Some(used)
    }

    /// What could not be read, in words: for the notes of a report.
    #[must_use]
    pub fn troubles(&self) -> Option<String> {
        let failed = locked(&self.seen.failed).clone();
        failed.map(|(count, last)| format!("{count} pages of metrics did not come; the last: {last}"))
    }

    fn look(&self) -> Option<Look> {
        self.process.and_then(|(pid, with_children)| Look::at(pid, with_children))
    }

    fn ask(&self, wanted: Wanted) -> bool {
        // A thread that hangs in a fetch has a full queue in the end; then a mark has no page, which the report shows.
        self.beside.as_ref().is_some_and(|asks| asks.try_send(wanted).is_ok())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread beside: a page a second, and what is asked for. It ends when the watcher is dropped.
fn beside(process: Option<(u32, bool)>, mut metrics: Option<Source>, wanted: &Receiver<Wanted>, seen: &Seen) {
    let second = Duration::from_secs(1);
    let mut next = Instant::now();
    let mut fetch = |seen: &Seen| -> Option<Arc<Page>> {
        match metrics.as_mut()?.fetch() {
            Ok(page) => {
                let page = Arc::new(page);
                *locked(&seen.page) = Some(page.clone());
                Some(page)
            }
            Err(why) => {
                let mut failed = locked(&seen.failed);
                let count = failed.as_ref().map_or(0, |(count, _)| *count);
                *failed = Some((count + 1, why.to_string()));
                None
            }
        }
    };
    loop {
        match wanted.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Wanted::Mark(slot)) => {
                let page = fetch(seen);
                slot.fill(page, pss_of(process));
            }
            Ok(Wanted::Pss) => *locked(&seen.pss) = pss_of(process),
            Err(RecvTimeoutError::Timeout) => {
                fetch(seen);
                next = (next + second).max(Instant::now());
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn pss_of(process: Option<(u32, bool)>) -> Option<u64> {
    let (pid, with_children) = process?;
    let own = pss(Some(pid))?;
    let mut waiting = if with_children { children(pid) } else { Vec::new() };
    let mut all = own;
    while let Some(child) = waiting.pop() {
        all += pss(Some(child)).unwrap_or(0);
        waiting.extend(children(child));
    }
    Some(all)
}

/// What each shard did between two pages, as a rate a second.
fn shards(before: &Page, now: &Page) -> BTreeMap<String, ShardSample> {
    let passed = now.at.duration_since(before.at).as_secs_f64();
    let counters = before.until(now);
    let mut shards: BTreeMap<String, ShardSample> = BTreeMap::new();
    for (shard, grew) in counters.grew.iter().filter(|(shard, _)| *shard != "all") {
        let value = |name: &str| grew.get(name).copied().unwrap_or(0.0);
        let worked = value("turn_seconds_count");
        let sample = ShardSample {
            deliveries: value("messages_delivered") / passed,
            turns: value("turns") / passed,
            turn_ms: if worked > 0.0 { value("turn_seconds_sum") / worked * 1000.0 } else { 0.0 },
            stalls: value("stalls"),
            connections: 0.0,
        };
        shards.insert(shard.clone(), sample);
    }
    for (shard, stood) in &counters.stood {
        if let Some(connections) = stood.get("connections_active") {
            shards.entry(shard.clone()).or_default().connections = *connections;
        }
    }
    shards
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_see_is_said_and_not_made_up() {
        let mut watcher = Watcher::new(None, false, None);
        let from = watcher.mark(0);
        assert!(watcher.sample().is_none());
        assert!(watcher.between(&from, &watcher.mark(0)).is_none());
    }

    #[test]
    fn shards_are_rates_between_two_pages() {
        let page = |deliveries: u64, at: Instant| {
            let text = format!(
                "# TYPE causerie_messages_delivered_total counter\ncauserie_messages_delivered_total{{shard=\"1\"}} {deliveries}\n\
                 # TYPE causerie_connections_active gauge\ncauserie_connections_active{{shard=\"1\"}} 5\n"
            );
            let mut page = Page::parse(&text);
            page.at = at;
            page
        };
        let start = Instant::now();
        let rates = shards(&page(100, start), &page(500, start + Duration::from_secs(2)));
        assert_eq!(rates["1"], ShardSample { deliveries: 200.0, connections: 5.0, ..ShardSample::default() });
    }
}
