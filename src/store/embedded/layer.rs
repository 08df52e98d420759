//! What is durable in the log and not yet in the database: a sorted layer above it. Every row keeps its values under the numbers of
//! their commits, so that a read sees one state while the writer goes on, and a commit that failed can be taken out again.

use std::collections::BTreeMap;
use std::ops::Bound::Included;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use smallvec::SmallVec;

/// A value, or nothing for a row that was removed.
pub(super) type Held = Option<Arc<[u8]>>;

/// One row's new value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Number of the table.
    pub(super) table: u8,
    pub(super) key: Box<[u8]>,
    pub(super) value: Held,
}

/// Values of a row with the numbers of their commits, the newest last.
type Versions = SmallVec<[(u64, Held); 1]>;
type Rows = BTreeMap<Box<[u8]>, Versions>;

/// What a row takes beside its key and value, about: its place in the tree, its number, two allocations.
const ROW_BYTES: usize = 128;

/// Changed rows of all tables.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// About how much memory it takes. Only grows: a commit that is taken out again is a rare thing.
    bytes: AtomicUsize,
    tables: RwLock<BTreeMap<u8, Rows>>,
}

fn as_of(versions: &Versions, number: u64) -> Option<&Held> {
    versions.iter().rev().find(|(at, _)| *at <= number).map(|(_, held)| held)
}

impl Layer {
    fn looked_at(&self) -> RwLockReadGuard<'_, BTreeMap<u8, Rows>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) -> RwLockWriteGuard<'_, BTreeMap<u8, Rows>> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the changes of commit `number`, which is not below any before.
    pub(super) fn take(&self, number: u64, changes: &[Change]) {
        let mut tables = self.changed();
        let row = |change: &Change| change.key.len() + change.value.as_ref().map_or(0, |value| value.len()) + ROW_BYTES;
        self.bytes.fetch_add(changes.iter().map(row).sum(), Ordering::Relaxed);
        for Change { table, key, value } in changes {
            let rows = tables.entry(*table).or_default();
            let Some(versions) = rows.get_mut(key) else {
                rows.insert(key.clone(), SmallVec::from_elem((number, value.clone()), 1));
                continue;
            };
            match versions.last_mut() {
                Some(last) if last.0 == number => last.1.clone_from(value),
                _ => versions.push((number, value.clone())),
            }
        }
    }

    /// Takes out every commit above `number`.
    pub(super) fn forget_after(&self, number: u64) {
        for rows in self.changed().values_mut() {
            rows.retain(|_, versions| {
                versions.retain(|(at, _)| *at <= number);
                !versions.is_empty()
            });
        }
    }

    /// A row as it was at commit `number`; `None` when this layer does not know it.
    pub(super) fn get(&self, table: u8, key: &[u8], number: u64) -> Option<Held> {
        as_of(self.looked_at().get(&table)?.get(key)?, number).cloned()
    }

    /// The rows of a range as they were at commit `number`, ascending; removed ones are among them.
    pub(super) fn range(&self, table: u8, from: &[u8], to: &[u8], number: u64) -> Vec<(Box<[u8]>, Held)> {
        let tables = self.looked_at();
        let Some(rows) = tables.get(&table) else { return Vec::new() };
        let rows = rows.range::<[u8], _>((Included(from), Included(to)));
        rows.filter_map(|(key, versions)| Some((key.clone(), as_of(versions, number)?.clone()))).collect()
    }

    /// How much memory it takes, about, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.looked_at().values().all(BTreeMap::is_empty)
    }

    /// Calls `each` with every table and its rows as they were at commit `number`, ascending.
    ///
    /// # Errors
    /// The first that `each` gives.
    pub(super) fn each_table<E>(
        &self,
        number: u64,
        mut each: impl FnMut(u8, &[(&[u8], Option<&[u8]>)]) -> Result<(), E>,
    ) -> Result<(), E> {
        for (table, rows) in &*self.looked_at() {
            let rows = rows.iter().filter_map(|(key, versions)| Some((&**key, as_of(versions, number)?.as_deref())));
            each(*table, &rows.collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: u8, value: Option<u8>) -> Change {
        Change { table: 3, key: Box::new([key]), value: value.map(|value| Arc::from([value])) }
    }

    fn seen(layer: &Layer, number: u64) -> Vec<(u8, Option<u8>)> {
        layer.range(3, &[0], &[9], number).iter().map(|(key, held)| (key[0], held.as_ref().map(|v| v[0]))).collect()
    }

    #[test]
    fn each_number_sees_its_own_state_and_a_commit_can_be_taken_out() {
        let layer = Layer::default();
        layer.take(5, &[change(1, Some(1)), change(2, Some(2))]);
        layer.take(6, &[change(1, None), change(3, Some(3)), change(3, Some(4))]);
        assert_eq!(seen(&layer, 4), []);
        assert_eq!(seen(&layer, 5), [(1, Some(1)), (2, Some(2))]);
        let six = [(1, None), (2, Some(2)), (3, Some(4))];
        assert_eq!(seen(&layer, 6), six);
        assert_eq!((layer.get(3, &[1], 6), layer.get(3, &[7], 6), layer.get(4, &[1], 6)), (Some(None), None, None));
        layer.take(7, &[change(2, Some(9)), change(5, Some(9))]);
        layer.forget_after(6);
        assert_eq!(seen(&layer, 99), six);
        layer.forget_after(0);
        assert!(layer.is_empty());
    }
}
