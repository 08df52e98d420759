//! Which shard owns which slot. A table that may change while it is used; nobody computes `hash % shards`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::base::id::SLOTS;
use crate::base::{RoomId, ShardId, Slot, UserId};

/// The table slot → shard, shared by all shards of a process.
///
/// Reads are relaxed: who reads an old entry sends to the old owner, which forwards.
#[derive(Clone, Debug)]
pub struct Placement {
    table: Arc<[AtomicU16]>,
    shards: u16,
}

impl Placement {
    /// Slots dealt out evenly over `shards` shards (at least one).
    #[must_use]
    pub fn even(shards: u16) -> Self {
        let shards = shards.max(1);
        let table = (0..SLOTS).map(|slot| AtomicU16::new(slot % shards)).collect();
        Self { table, shards }
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The owner of a slot.
    #[must_use]
    pub fn owner(&self, slot: Slot) -> ShardId {
        self.table.get(usize::from(slot.0)).map_or(ShardId(0), |shard| ShardId(shard.load(Ordering::Relaxed)))
    }

    /// The owner of a room.
    #[must_use]
    pub fn of_room(&self, room: RoomId) -> ShardId {
        self.owner(room.slot())
    }

    /// The owner of a user.
    #[must_use]
    pub fn of_user(&self, user: UserId) -> ShardId {
        self.owner(user.slot())
    }

    /// Gives a slot to another shard. (Moving what is in it comes with resharding.)
    pub fn assign(&self, slot: Slot, to: ShardId) {
        if let Some(entry) = self.table.get(usize::from(slot.0)) {
            entry.store(to.0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_an_owner_and_a_change_is_seen_by_all_copies() {
        let placement = Placement::even(3);
        let copy = placement.clone();
        assert!((0..SLOTS).all(|slot| placement.owner(Slot(slot)).0 < 3));
        placement.assign(Slot(5), ShardId(0));
        assert_eq!(copy.owner(Slot(5)), ShardId(0));
    }
}
