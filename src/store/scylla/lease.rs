//! One owner: the lease of this process, the slots it holds, and the times that its writes may carry.
//!
//! A process makes a row in `chat_nodes` under a new id and renews it every third of the lease; with each renewal it is granted the times up
//! to `ts_limit`, and no write of it carries a later one. It takes all slots; those of a predecessor only when that one left, or was *fenced*:
//! its row is marked by lightweight transaction, after which no renewal succeeds. Fenced is who has not renewed for its whole lease and a margin
//! by our own clock, or who used our data directory, whose lock we hold. Our writes begin above the predecessor's `ts_limit`, so
//! whatever of it still arrives is older than everything of ours. Nobody is told that a write is done unless the lease was
//! still valid, by our own monotonic clock, after the database had confirmed it. (docs/decisions/0015-one-owner.md)

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::cql::{Cql, Trouble, big, jitter, small, stamp, text, unsigned, uuid};
use super::statements::S;
use crate::base::id::SLOTS;
use crate::store::Failure;

/// The file in the data directory that says under which id its last user wrote.
const NODE_FILE: &str = "scylla.node";
/// Slots taken by one conditional batch.
const SLOTS_AT_ONCE: usize = 128;
/// Times are granted so far beyond the lease, so that the clock need not stop in the middle of a renewal.
const LIMIT_SLACK: Duration = Duration::from_secs(1);
/// While the database is away it is looked for this often, about.
const AWAY_PAUSE_MS: u64 = 400;
/// A write takes its time and the next ones for what follows on it.
const STAMP_STEP: i64 = 4;

/// Milliseconds since 1970.
pub(super) fn wall_ms() -> u64 {
    u64::try_from(micros() / 1000).unwrap_or(0)
}

fn micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn as_micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// See the file's head.
#[derive(Debug)]
pub(super) struct Lease {
    node: Uuid,
    length: Duration,
    valid_until: Cell<Instant>,
    limit: Cell<i64>,
    last: Cell<i64>,
    renewals: Cell<u64>,
    lost: Cell<bool>,
    left: Cell<bool>,
}

/// What another process says of itself.
struct Other {
    name: String,
    live: bool,
    renewals: i64,
    lease: Duration,
    limit: i64,
}

type NodeRow = (Option<String>, Option<String>, Option<i64>, Option<i64>, Option<i64>);

impl Lease {
    /// Takes the lease and all slots. Another process that holds some and renews its lease is waited for, or is why there is an error.
    pub(super) async fn take(cql: &Cql, lease: Duration, dir: &Path, wait: bool) -> Result<Rc<Self>, Trouble> {
        let file = dir.join(NODE_FILE);
        let before = std::fs::read_to_string(&file).ok().and_then(|text| Uuid::try_parse(text.trim()).ok());
        let now = Instant::now();
        let this = Rc::new(Self {
            node: Uuid::new_v4(),
            length: lease,
            valid_until: Cell::new(now),
            limit: Cell::new(micros() + as_micros(lease + LIMIT_SLACK)),
            last: Cell::new(0),
            renewals: Cell::new(0),
            lost: Cell::new(false),
            left: Cell::new(false),
        });
        let name = format!("{} ({})", dir.display(), std::process::id());
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let values = vec![uuid(this.node.as_bytes()), text(&name), big(lease_ms), stamp(this.limit.get())];
        // The id is new: where the condition does not hold, an answer was lost.
        cql.run_if(S::NodeMake, values).await?;
        this.valid_until.set(now + lease);
        // Before the first slot: who finds slots of a process that used this directory finds its id here.
        keep_file(&file, this.node)?;
        if let Err(trouble) = this.take_slots(cql, before, wait).await {
            // Nothing was written, so that nobody need wait for this lease.
            if let Err(left) = this.leave(cql).await {
                tracing::warn!("the lease could not be given back: {}", left.failure());
            }
            return Err(trouble);
        }
        Ok(this)
    }

    async fn take_slots(self: &Rc<Self>, cql: &Cql, before: Option<Uuid>, wait: bool) -> Result<(), Trouble> {
        let mut floor = 0;
        let mut told = None;
        loop {
            let rows = cql.rows_decided::<(i16, Option<Uuid>, Option<i64>)>(S::Slots, Vec::new()).await?;
            let held: BTreeMap<i16, (Uuid, i64)> =
                rows.into_iter().filter_map(|(slot, holder, term)| Some((slot, (holder?, term?)))).collect();
            let mut others: Vec<Uuid> =
                held.values().map(|(holder, _)| *holder).filter(|id| *id != self.node).collect();
            others.sort_unstable();
            others.dedup();
            let mut all_gone = true;
            for other in others {
                match self.put_aside(cql, other, before, wait, &mut told).await? {
                    Some(limit) => floor = floor.max(limit),
                    None => all_gone = false,
                }
            }
            if !all_gone {
                continue;
            }
            // Above all that they may still write, and granted before anything is written.
            self.last.set(self.last.get().max(floor));
            self.renew(cql).await?;
            let missing: Vec<i16> = (0..SLOTS.cast_signed())
                .filter(|slot| held.get(slot).is_none_or(|(holder, _)| *holder != self.node))
                .collect();
            if missing.is_empty() {
                return Ok(());
            }
            for slots in missing.chunks(SLOTS_AT_ONCE) {
                let own = || uuid(self.node.as_bytes());
                let change = |slot: &i16| match held.get(slot) {
                    None => (S::SlotTake, vec![small(*slot), own()]),
                    Some((holder, term)) => {
                        let was = [small(*slot), uuid(holder.as_bytes()), stamp(*term)];
                        (S::SlotChange, [own(), stamp(term + 1)].into_iter().chain(was).collect())
                    }
                };
                // Where somebody was faster, or an answer was lost, the next look shows it.
                cql.together_if(slots.iter().map(change).collect()).await?;
            }
        }
    }

    /// Makes sure that another process writes no more; `None`: it lives, look again.
    async fn put_aside(
        &self,
        cql: &Cql,
        other: Uuid,
        before: Option<Uuid>,
        wait: bool,
        told: &mut Option<Uuid>,
    ) -> Result<Option<i64>, Trouble> {
        let Some(mut seen) = look(cql, other).await? else {
            // Its row is gone, so it cannot renew; what it may have been granted is over by now.
            return Ok(Some(micros() + as_micros(self.length + LIMIT_SLACK)));
        };
        if !seen.live {
            return Ok(Some(seen.limit));
        }
        if before == Some(other) {
            tracing::info!(
                "the process that used this data directory before did not end in order; its slots are taken over"
            );
        } else {
            if *told != Some(other) {
                tracing::warn!(
                    "the slots are held by {}: waiting until it ends, or does not renew its lease",
                    seen.name
                );
                *told = Some(other);
            }
            let mut since = Instant::now();
            let enough = seen.lease + seen.lease / 4;
            while since.elapsed() < enough {
                tokio::time::sleep(seen.lease / 8).await;
                self.renew(cql).await?;
                match look(cql, other).await? {
                    Some(now) if !now.live => return Ok(Some(now.limit)),
                    Some(now) if now.renewals != seen.renewals && !wait => {
                        let text = format!("{} uses this keyspace; stop it first", now.name);
                        return Err(Trouble::Own(Failure::Unavailable(text)));
                    }
                    Some(now) if now.renewals != seen.renewals => (seen, since) = (now, Instant::now()),
                    Some(_) | None => {}
                }
            }
            tracing::warn!("{} has not renewed its lease: its slots are taken over", seen.name);
        }
        cql.run_if(S::NodeFence, vec![uuid(other.as_bytes()), stamp(seen.renewals)]).await?;
        // Decided is what is there now: fenced, by whomever, or renewed after all.
        Ok(look(cql, other).await?.filter(|now| !now.live).map(|now| now.limit))
    }

    /// Renews the lease. An error that is not [`Trouble::Away`] means that it is lost for good.
    async fn renew(&self, cql: &Cql) -> Result<(), Trouble> {
        let (before, renewals) = (Instant::now(), self.renewals.get() + 1);
        let limit = micros().max(self.last.get()) + as_micros(self.length + LIMIT_SLACK);
        let values = vec![big(renewals), stamp(limit), uuid(self.node.as_bytes())];
        if cql.probe_if(S::NodeRenew, values).await? {
            self.renewals.set(renewals);
            self.limit.set(limit);
            self.valid_until.set(before + self.length);
            return Ok(());
        }
        self.lost.set(true);
        Err(self.gone())
    }

    fn gone(&self) -> Trouble {
        Trouble::Own(Failure::Unavailable(format!("another process has taken the slots of this one ({})", self.node)))
    }

    /// Renews until the lease is lost, and then says so once.
    pub(super) async fn keep(self: Rc<Self>, cql: Rc<super::core::Core>, lost: impl FnOnce()) {
        let pause = u64::try_from(self.length.as_millis() / 3).unwrap_or(u64::MAX);
        let mut well = true;
        loop {
            let mut waited = 0;
            // Sooner while the database is away: the lease is what says that it is back. Many servers do not come at once.
            while waited < pause && !(cql.cql.is_away() && waited >= AWAY_PAUSE_MS) {
                let step = jitter(AWAY_PAUSE_MS);
                tokio::time::sleep(Duration::from_millis(step)).await;
                waited += step;
            }
            let renewed = self.renew(&cql.cql).await;
            if self.left.get() {
                return;
            }
            match renewed {
                Ok(()) => {
                    if !well {
                        tracing::info!("the database is back; the lease is renewed");
                    }
                    well = true;
                }
                Err(Trouble::Away(why)) => {
                    if well {
                        tracing::error!("the lease cannot be renewed: {why}; nothing is acked once it has ended");
                    }
                    well = false;
                }
                Err(Trouble::Own(failure)) => {
                    tracing::error!("{failure}: nothing is written by this one any more");
                    lost();
                    return;
                }
            }
        }
    }

    /// Gives everything back, after all writes were answered.
    pub(super) async fn leave(&self, cql: &Cql) -> Result<(), Trouble> {
        self.left.set(true);
        self.lost.set(true);
        let values = vec![stamp(self.last.get() + STAMP_STEP), uuid(self.node.as_bytes())];
        cql.run_if(S::NodeLeave, values).await.map(drop)
    }

    /// Whether what was just confirmed was confirmed to the owner.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        if self.lost.get() {
            return Err(self.gone());
        }
        if Instant::now() >= self.valid_until.get() {
            return Err(Trouble::Away("the lease of this process has ended and could not be renewed yet".to_owned()));
        }
        Ok(())
    }

    /// A time for a write, later than all before; the three after it are its own too.
    pub(super) fn stamp(&self) -> Result<i64, Trouble> {
        self.check()?;
        let next = micros().max(self.last.get() + STAMP_STEP);
        if next + STAMP_STEP > self.limit.get() {
            return Err(Trouble::Away("the clock is ahead of what the lease grants".to_owned()));
        }
        self.last.set(next);
        Ok(next)
    }
}

async fn look(cql: &Cql, node: Uuid) -> Result<Option<Other>, Trouble> {
    let rows = cql.rows_decided::<NodeRow>(S::Node, vec![uuid(node.as_bytes())]).await?;
    let other = |(name, state, renewals, lease_ms, limit): NodeRow| {
        Some(Other {
            name: name.unwrap_or_default(),
            live: state? == "live",
            renewals: renewals?,
            lease: Duration::from_millis(unsigned(lease_ms?)),
            limit: limit?,
        })
    };
    Ok(rows.into_iter().next().and_then(other))
}

fn keep_file(path: &PathBuf, node: Uuid) -> Result<(), Trouble> {
    let half = path.with_extension("new");
    let written = (|| {
        use std::io::Write as _;
        let mut file = std::fs::File::create(&half)?;
        file.write_all(format!("{node}\n").as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&half, path)?;
        crate::store::master::sync_parent(path)
    })();
    written.map_err(|e| Trouble::Own(Failure::Unavailable(format!("{} cannot be written: {e}", path.display()))))
}
