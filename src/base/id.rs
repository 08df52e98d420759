//! Identifiers as types of their own, so that no room's id is ever taken for a user's.
//!
//! `Seq`, `Number` and `Epoch` are dense or rising counters; `MessageId` is a UUIDv8 that carries its `Seq`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How many equal parts all rooms and all users are divided into.
pub const SLOTS: u16 = 1024;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.as_hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::try_parse(text).map(Self)
            }
        }

        impl $name {
            /// The slot this id falls into: `xxh3_64(its 16 bytes, seed 0) % 1024`.
            #[must_use]
            pub fn slot(self) -> Slot {
                Slot::of(self.0.as_bytes())
            }

            /// The id's 16 bytes, as stored and hashed.
            #[must_use]
            pub fn bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }
    };
}

uuid_id!(
    /// A room.
    RoomId
);
uuid_id!(
    /// A user, built-in or external.
    UserId
);
uuid_id!(
    /// One login of one user on one device.
    SessionId
);
uuid_id!(
    /// A device: kept by the client, made by the server when it is missing.
    DeviceId
);
uuid_id!(
    /// The client's own id of a send. A UUIDv7 for everything that is stored.
    ClientId
);

impl ClientId {
    /// Milliseconds since 1970 that a UUIDv7 carries (RFC 9562, 5.7); `None` for any other version.
    #[must_use]
    pub fn unix_ms(self) -> Option<u64> {
        (self.0.get_version_num() == 7).then(|| {
            let b = self.0.as_bytes();
            u64::from_be_bytes([0, 0, b[0], b[1], b[2], b[3], b[4], b[5]])
        })
    }
}

/// One of [`SLOTS`] equal parts of all rooms and all users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

impl Slot {
    /// The slot of any 16-byte id (or other key).
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, 0);
        // The remainder is below 1,024, so it always fits.
        Self(u16::try_from(hash % u64::from(SLOTS)).unwrap_or(0))
    }
}

/// A shard: one executor, one core, and all that it owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard's place in a table of shards.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A connection: the shard that accepted it, its place there, and a generation so that a reused place is not mistaken for
/// its predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    /// The shard that accepted the socket and holds it until it closes.
    pub shard: ShardId,
    /// Place in that shard's table.
    pub index: u32,
    /// Raised each time the place is taken again.
    pub generation: u32,
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.shard.0, self.index, self.generation)
    }
}

/// Dense number of an event in its room (or user stream): 1, 2, 3 … `0` is the place before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The largest seq a [`MessageId`] can carry (48 bits).
    pub const MAX: Self = Self((1 << 48) - 1);

    /// The seq after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The seq before this one; 0 stays 0.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Dense number of a *message* in a room; `1` is the first message. Unread counts and read markers use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Number(pub u64);

/// Changes only when history was lost or restored from a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

/// A place in a log: `(epoch, seq)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The log's epoch.
    pub epoch: Epoch,
    /// The last event that was seen.
    pub seq: Seq,
}

/// The id of an event on the wire: a UUIDv8 (RFC 9562, 5.8) that carries the event's seq, so that no look-up table is needed.
///
/// Layout: `custom_a` (48 bits) the seq, `custom_b` (12 bits) the epoch's low bits, `custom_c` (62 bits) the low bits of
/// `xxh3_64` of the room's 16 bytes, so that ids of different rooms differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub Uuid);

impl MessageId {
    /// The id of the event `seq` of `room`.
    #[must_use]
    pub fn new(room: RoomId, epoch: Epoch, seq: Seq) -> Self {
        let mut bytes = [0u8; 16];
        bytes[..6].copy_from_slice(&seq.0.to_be_bytes()[2..]);
        bytes[6..8].copy_from_slice(&((epoch.0 & 0xfff) as u16).to_be_bytes());
        bytes[8..].copy_from_slice(&xxhash_rust::xxh3::xxh3_64_with_seed(room.bytes(), 0).to_be_bytes());
        Self(Uuid::new_v8(bytes))
    }

    /// The seq inside, if this id belongs to `room`.
    #[must_use]
    pub fn seq_in(self, room: RoomId) -> Option<Seq> {
        let b = self.0.as_bytes();
        let seq = Seq(u64::from_be_bytes([0, 0, b[0], b[1], b[2], b[3], b[4], b[5]]));
        let epoch = Epoch(u32::from(u16::from_be_bytes([b[6], b[7]]) & 0xfff));
        (Self::new(room, epoch, seq) == self).then_some(seq)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({})", self.0.as_hyphenated())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_gives_its_seq_back_only_in_its_room() {
        let room = RoomId(Uuid::from_u128(7));
        let other = RoomId(Uuid::from_u128(8));
        for seq in [Seq(1), Seq(77), Seq::MAX] {
            let id = MessageId::new(room, Epoch(3), seq);
            assert_eq!(id.0.get_version_num(), 8);
            assert_eq!(id.seq_in(room), Some(seq));
            assert_eq!(id.seq_in(other), None);
        }
    }

    #[test]
    fn a_client_id_carries_its_time_only_as_version_7() {
        let v7 = ClientId(Uuid::try_parse("018f3e1c-7c00-7000-8000-000000000001").expect("a literal"));
        assert_eq!(v7.unix_ms(), Some(0x018f_3e1c_7c00));
        assert_eq!(ClientId(Uuid::from_u128(1)).unix_ms(), None);
    }

    #[test]
    fn slots_are_below_1024_and_used_evenly() {
        let mut seen = vec![0u32; usize::from(SLOTS)];
        for n in 0..100_000u128 {
            seen[usize::from(RoomId(Uuid::from_u128(n)).slot().0)] += 1;
        }
        assert!(seen.iter().all(|&n| n > 40 && n < 180));
    }
}
