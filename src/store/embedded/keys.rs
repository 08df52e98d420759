//! Keys and salts as the embedded store uses them: unwrapped once, remembered, bounded.
//!
//! What a batch makes new is remembered only when the batch is durable: a key that exists in memory alone would seal words that
//! nobody can open after a restart.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use ring::rand::{SecureRandom as _, SystemRandom};

use super::tables::What;
use super::trouble::{Trouble, damaged};
use crate::base::{RoomId, UserId};
use crate::store::seal::{FieldKey, MasterKey, Nonce, RoomKeys, Secret, ServerKeys, Wrapped};

type Known<K, V> = RwLock<HashMap<K, Arc<V>>>;

/// How many of each kind are remembered.
const REMEMBERED: usize = 32_768;

/// The master key and what was unwrapped with it.
#[derive(Debug)]
pub(super) struct KeyRing {
    pub(super) master: MasterKey,
    pub(super) server: ServerKeys,
    rooms: Known<(RoomId, u32), RoomKeys>,
    authors: Known<(RoomId, u32, UserId), FieldKey>,
    people: Known<UserId, FieldKey>,
}

fn known<K: Eq + Hash, V>(map: &Known<K, V>, key: &K) -> Option<Arc<V>> {
    map.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
}

fn remember<K: Eq + Hash, V>(map: &Known<K, V>, key: K, value: Arc<V>) {
    let mut map = map.write().unwrap_or_else(PoisonError::into_inner);
    if map.len() >= REMEMBERED {
        // Everything can be unwrapped again; what is in use comes back at once.
        map.clear();
    }
    map.insert(key, value);
}

/// Where wrapped keys are kept: the tables of one transaction.
pub(super) trait Wrappings {
    fn room_key(&self, room: RoomId, key_id: u32) -> Result<Option<Vec<u8>>, Trouble>;
    fn salt(&self, user: UserId) -> Result<Option<Vec<u8>>, Trouble>;
}

impl KeyRing {
    pub(super) fn new(master: MasterKey, server: ServerKeys) -> Self {
        let (rooms, authors, people) = (Known::default(), Known::default(), Known::default());
        Self { master, server, rooms, authors, people }
    }

    fn unwrap(&self, what: Wrapped, name: What<'_>, bytes: &[u8]) -> Result<Secret, Trouble> {
        self.master.unwrap(what, bytes).map_err(|e| damaged(name, &e))
    }

    fn salt(&self, from: &impl Wrappings, user: UserId) -> Result<Option<Secret>, Trouble> {
        from.salt(user)?.map(|bytes| self.unwrap(Wrapped::User(user), What::Salt(user), &bytes)).transpose()
    }

    /// A room's keys, if it has that one.
    pub(super) fn room(
        &self,
        from: &impl Wrappings,
        room: RoomId,
        key_id: u32,
    ) -> Result<Option<Arc<RoomKeys>>, Trouble> {
        if let Some(keys) = known(&self.rooms, &(room, key_id)) {
            return Ok(Some(keys));
        }
        let Some(bytes) = from.room_key(room, key_id)? else { return Ok(None) };
        let secret = self.unwrap(Wrapped::Room(room, key_id), What::RoomKey(room, key_id), &bytes)?;
        Ok(Some(Arc::new(RoomKeys::new(secret, key_id))))
    }

    /// The key of an author's words in a room, if both have theirs.
    pub(super) fn author(
        &self,
        from: &impl Wrappings,
        room: RoomId,
        key_id: u32,
        user: UserId,
    ) -> Result<Option<Arc<FieldKey>>, Trouble> {
        if let Some(key) = known(&self.authors, &(room, key_id, user)) {
            return Ok(Some(key));
        }
        let Some(keys) = self.room(from, room, key_id)? else { return Ok(None) };
        let Some(salt) = self.salt(from, user)? else { return Ok(None) };
        Ok(Some(Arc::new(keys.author(&salt))))
    }

    /// The key of a user's names, if the user has a salt.
    pub(super) fn person(&self, from: &impl Wrappings, user: UserId) -> Result<Option<Arc<FieldKey>>, Trouble> {
        if let Some(key) = known(&self.people, &user) {
            return Ok(Some(key));
        }
        Ok(self.salt(from, user)?.map(|salt| Arc::new(self.server.person(&salt))))
    }

    /// For reads, which see only what is durable: as the calls above, remembered at once.
    pub(super) fn read_room(&self, from: &impl Wrappings, room: RoomId, key_id: u32) -> Result<Arc<RoomKeys>, Trouble> {
        let what = What::RoomKey(room, key_id);
        let keys = self.room(from, room, key_id)?.ok_or_else(|| damaged(what, &"it is missing"))?;
        if known(&self.rooms, &(room, key_id)).is_none() {
            remember(&self.rooms, (room, key_id), Arc::clone(&keys));
        }
        Ok(keys)
    }

    pub(super) fn read_author(
        &self,
        from: &impl Wrappings,
        room: RoomId,
        key_id: u32,
        user: UserId,
    ) -> Result<Arc<FieldKey>, Trouble> {
        if let Some(key) = known(&self.authors, &(room, key_id, user)) {
            return Ok(key);
        }
        self.read_room(from, room, key_id)?;
        let key = self.author(from, room, key_id, user)?;
        let key = key.ok_or_else(|| damaged(What::Salt(user), &"it is missing"))?;
        remember(&self.authors, (room, key_id, user), Arc::clone(&key));
        Ok(key)
    }

    pub(super) fn read_person(&self, from: &impl Wrappings, user: UserId) -> Result<Arc<FieldKey>, Trouble> {
        if let Some(key) = known(&self.people, &user) {
            return Ok(key);
        }
        let key = self.person(from, user)?.ok_or_else(|| damaged(What::Salt(user), &"it is missing"))?;
        remember(&self.people, user, Arc::clone(&key));
        Ok(key)
    }
}

/// Keys that a transaction made or used and that are not yet known to be durable.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    pub(super) room_keys: Vec<((RoomId, u32), Secret)>,
    pub(super) salts: Vec<(UserId, Secret)>,
    rooms: HashMap<(RoomId, u32), Arc<RoomKeys>>,
    authors: HashMap<(RoomId, u32, UserId), Arc<FieldKey>>,
    people: HashMap<UserId, Arc<FieldKey>>,
}

impl Fresh {
    /// What one write used joins what its batch used.
    pub(super) fn absorb(&mut self, other: Self) {
        self.rooms.extend(other.rooms);
        self.authors.extend(other.authors);
        self.people.extend(other.people);
    }

    /// The batch is durable.
    pub(super) fn remember(self, ring: &KeyRing) {
        for (key, value) in self.rooms {
            remember(&ring.rooms, key, value);
        }
        for (key, value) in self.authors {
            remember(&ring.authors, key, value);
        }
        for (key, value) in self.people {
            remember(&ring.people, key, value);
        }
    }
}

/// Keys for one write: those of the ring, of the batch so far, and new ones.
pub(super) struct Minting<'a, W> {
    pub(super) ring: &'a KeyRing,
    pub(super) from: &'a W,
    pub(super) batch: &'a Fresh,
    pub(super) own: Fresh,
    pub(super) dice: &'a mut Dice,
}

impl<W: Wrappings> Minting<'_, W> {
    /// The room's keys; new ones where it has none.
    pub(super) fn room(&mut self, room: RoomId, key_id: u32) -> Result<Arc<RoomKeys>, Trouble> {
        let id = (room, key_id);
        if let Some(keys) = self.own.rooms.get(&id).or_else(|| self.batch.rooms.get(&id)) {
            return Ok(Arc::clone(keys));
        }
        let keys = if let Some(keys) = self.ring.room(self.from, room, key_id)? {
            keys
        } else {
            let secret = self.dice.secret()?;
            self.own.room_keys.push((id, secret));
            Arc::new(RoomKeys::new(secret, key_id))
        };
        self.own.rooms.insert(id, Arc::clone(&keys));
        Ok(keys)
    }

    fn salt(&mut self, user: UserId) -> Result<Secret, Trouble> {
        if let Some((_, salt)) = self.own.salts.iter().find(|(of, _)| *of == user) {
            return Ok(*salt);
        }
        if let Some(salt) = self.ring.salt(self.from, user)? {
            return Ok(salt);
        }
        let salt = self.dice.secret()?;
        self.own.salts.push((user, salt));
        Ok(salt)
    }

    /// The key of an author's words in a room.
    pub(super) fn author(&mut self, room: RoomId, key_id: u32, user: UserId) -> Result<Arc<FieldKey>, Trouble> {
        let id = (room, key_id, user);
        if let Some(key) = self.own.authors.get(&id).or_else(|| self.batch.authors.get(&id)) {
            return Ok(Arc::clone(key));
        }
        if let Some(key) = known(&self.ring.authors, &id) {
            return Ok(key);
        }
        let salt = self.salt(user)?;
        let key = Arc::new(self.room(room, key_id)?.author(&salt));
        self.own.authors.insert(id, Arc::clone(&key));
        Ok(key)
    }

    /// The key of a user's names.
    pub(super) fn person(&mut self, user: UserId) -> Result<Arc<FieldKey>, Trouble> {
        if let Some(key) = self.own.people.get(&user).or_else(|| self.batch.people.get(&user)) {
            return Ok(Arc::clone(key));
        }
        if let Some(key) = known(&self.ring.people, &user) {
            return Ok(key);
        }
        let salt = self.salt(user)?;
        let key = Arc::new(self.ring.server.person(&salt));
        self.own.people.insert(user, Arc::clone(&key));
        Ok(key)
    }
}

/// Random bytes, fetched from the system in handfuls.
pub(super) struct Dice {
    system: SystemRandom,
    bytes: [u8; 3072],
    used: usize,
}

impl std::fmt::Debug for Dice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dice")
    }
}

impl Dice {
    pub(super) fn new() -> Self {
        Self { system: SystemRandom::new(), bytes: [0; 3072], used: 3072 }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Trouble> {
        if self.used + N > self.bytes.len() {
            self.system
                .fill(&mut self.bytes)
                .map_err(|_| Trouble::Disk("the system gives no random bytes".to_owned()))?;
            self.used = 0;
        }
        let mut taken = [0; N];
        taken.copy_from_slice(&self.bytes[self.used..self.used + N]);
        // Never given twice, and not left lying about.
        self.bytes[self.used..self.used + N].fill(0);
        self.used += N;
        Ok(taken)
    }

    pub(super) fn nonce(&mut self) -> Result<Nonce, Trouble> {
        self.take()
    }

    pub(super) fn number(&mut self) -> Result<u64, Trouble> {
        self.take().map(u64::from_le_bytes)
    }

    pub(super) fn secret(&mut self) -> Result<Secret, Trouble> {
        self.take()
    }
}
