//! A write that spans partitions, as a plan: first kept whole in the owner's row, then carried out, then taken away.
//!
//! The order is what makes it whole: (1) the plan stands in `pending`, confirmed; (2) the name is taken; (3) all rows are written, at the
//! plan's time; (4) the old name is released; (5) the owner's row takes its new record and `pending` goes. A process that ends before (1)
//! changed nothing. After it, whoever loads the room or user next finds the plan and carries it out again: with the same times and whole
//! values, so that doing it twice, or late, changes nothing more. Only who has seen (1) confirmed under a valid lease goes on to (2), so the
//! next owner always finds the plan of which anything may still arrive.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::try_join_all;
use rkyv::{Archive, Deserialize, Serialize};

use super::change::{Change, Table};
use super::core::Core;
use super::cql::{Trouble, Values, big, blob, damaged, stamp, uuid};
use super::names;
use super::statements::S;
use crate::base::{RoomId, UserId};
use crate::store::record::{self, Stored, StoredName};

/// Statements in one batch at most. A longer list of one partition goes in several, in order; the plan still makes it whole.
const BATCH_STATEMENTS: usize = 512;
/// Bytes in one batch, about, at most: `ScyllaDB` refuses batches beyond a mebibyte.
const BATCH_BYTES: usize = 256 * 1024;

/// What becomes of the owner's row in the end.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(super) enum OwnRow {
    /// A room: record, members who are in, newest bucket.
    Room([u8; 16], Vec<u8>, u64, u64),
    /// A user: the record.
    User([u8; 16], Vec<u8>),
    /// A user whose record stays.
    SameUser([u8; 16]),
}

/// See the file's head. A published struct is never changed: a new one gets a new version.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredPlan {
    /// The time of all its rows; the owner's row is written one microsecond later.
    pub(super) at: i64,
    pub(super) take: Option<[u8; 32]>,
    pub(super) release: Option<[u8; 32]>,
    pub(super) changes: Vec<Change>,
    pub(super) row: OwnRow,
}

impl Stored for StoredPlan {
    const KIND: u64 = 20;
    const VERSION: u8 = 1;
}

impl OwnRow {
    fn owner(&self) -> &[u8; 16] {
        match self {
            Self::Room(id, ..) | Self::User(id, _) | Self::SameUser(id) => id,
        }
    }

    fn holder(&self) -> StoredName {
        StoredName { holder: *self.owner(), user: !matches!(self, Self::Room(..)) }
    }

    fn name(&self) -> String {
        let id = uuid::Uuid::from_bytes(*self.owner());
        match self {
            Self::Room(..) => format!("the plan of room {}", RoomId(id)),
            Self::User(..) | Self::SameUser(_) => format!("the plan of user {}", UserId(id)),
        }
    }

    /// Keeps a plan in the row.
    fn pending(&self, bytes: Vec<u8>, at: i64) -> (S, Values) {
        let values = vec![uuid(self.owner()), blob(bytes), stamp(at)];
        (if matches!(self, Self::Room(..)) { S::RoomPending } else { S::UserPending }, values)
    }

    /// Takes the plan away and leaves the row as it is.
    fn cleared(&self, at: i64) -> (S, Values) {
        let values = vec![stamp(at), uuid(self.owner())];
        (if matches!(self, Self::Room(..)) { S::RoomDone } else { S::UserDone }, values)
    }

    /// The row as it is in the end.
    fn last(&self, at: i64) -> (S, Values) {
        match self {
            Self::Room(id, record, members, bucket) => {
                (S::RoomPut, vec![uuid(id), blob(record.clone()), big(*members), big(*bucket), stamp(at)])
            }
            Self::User(id, record) => (S::UserPut, vec![uuid(id), blob(record.clone()), stamp(at)]),
            Self::SameUser(_) => self.cleared(at),
        }
    }
}

/// The plan that stood in a row.
pub(super) fn read(owner: &[u8; 16], bytes: &[u8], what: &str) -> Result<StoredPlan, Trouble> {
    let plan: StoredPlan = record::decode(owner, bytes).map_err(|e| damaged(what, e))?;
    if plan.row.owner() == owner { Ok(plan) } else { Err(damaged(what, "it is another's")) }
}

/// Writes rows of any partitions at one time: those of one partition together, the partitions side by side.
/// Of two states of one row the last one counts.
pub(super) async fn write_rows(core: &Core, changes: &[Change], at: i64) -> Result<(), Trouble> {
    let mut last: HashMap<(Table, &[u8]), usize> = HashMap::with_capacity(changes.len());
    for (n, change) in changes.iter().enumerate() {
        last.insert((change.table, &change.key), n);
    }
    let changes = changes.iter().enumerate().filter(|(n, change)| last.get(&(change.table, &change.key)) == Some(n));
    let mut partitions: BTreeMap<Vec<u8>, Vec<Vec<(S, Values)>>> = BTreeMap::new();
    let mut bytes = 0;
    for (_, change) in changes {
        let batches = partitions.entry(change.partition()?).or_default();
        bytes += change.key.len() + change.value.as_ref().map_or(0, Vec::len) + 64;
        match batches.last_mut() {
            Some(last) if last.len() < BATCH_STATEMENTS && bytes < BATCH_BYTES => last.push(change.statement(at)?),
            _ => {
                bytes = 0;
                batches.push(vec![change.statement(at)?]);
            }
        }
    }
    let write = |batches: Vec<Vec<(S, Values)>>| async move {
        for batch in batches {
            core.cql.together(batch).await?;
        }
        Ok::<_, Trouble>(())
    };
    try_join_all(partitions.into_values().map(write)).await.map(drop)
}

impl StoredPlan {
    /// Carries a new plan out. `false`: somebody else has the name, and nothing was changed.
    pub(super) async fn carry_out(&self, core: &Core) -> Result<bool, Trouble> {
        let bytes = record::encode(self.row.owner(), self).map_err(|e| damaged(self.row.name(), e))?;
        let (statement, values) = self.row.pending(bytes, self.at);
        core.cql.run(statement, values).await?;
        core.lease.check()?;
        // From here on no trouble is the write's own: the plan stands in the row, and whoever loads it next goes on with it.
        self.go_on(core).await.map_err(|trouble| Trouble::Away(trouble.failure().to_string()))
    }

    /// Carries out what was kept in the row, from the name on.
    pub(super) async fn go_on(&self, core: &Core) -> Result<bool, Trouble> {
        if let Some(name) = &self.take
            && !names::take(core, name, self.row.holder()).await?
        {
            let (statement, values) = self.row.cleared(self.at + 1);
            core.cql.run(statement, values).await?;
            return Ok(false);
        }
        write_rows(core, &self.changes, self.at).await?;
        if let Some(name) = self.release.as_ref().filter(|name| Some(*name) != self.take.as_ref()) {
            names::release(core, name, self.row.holder()).await?;
        }
        let (statement, values) = self.row.last(self.at + 1);
        core.cql.run(statement, values).await?;
        Ok(true)
    }
}
