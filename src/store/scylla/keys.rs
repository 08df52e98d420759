//! Keys and salts, unwrapped once, remembered, bounded; made where they are missing.
//!
//! A key or salt is durable before anything is sealed with it. A room's keys are made by its owner; an author's salt by lightweight
//! transaction, because rooms of several owners may see him first.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

use ring::rand::{SecureRandom as _, SystemRandom};

use super::core::Core;
use super::cql::{Cql, Trouble, blob, damaged, int, stamp, text, uuid};
use super::statements::S;
use crate::base::{RoomId, UserId};
use crate::store::Failure;
use crate::store::master::MasterKeySource;
use crate::store::record::{self, StoredBytes};
use crate::store::seal::{FieldKey, MasterKey, Nonce, RoomKeys, Secret, ServerKeys, Wrapped};

/// The key that seals what is written to a room today. Another one comes with the rotation of room keys.
pub(super) const FIRST_KEY: u32 = 1;
/// How many of each kind are remembered.
const REMEMBERED: usize = 32_768;
const SERVER_KEY: &str = "server_key";

type Known<K, V> = RefCell<HashMap<K, Rc<V>>>;

/// The master key and what was unwrapped with it.
#[derive(Debug)]
pub(super) struct KeyRing {
    master: MasterKey,
    /// Made of this, also outside of the bridge's thread.
    pub(super) server_secret: Secret,
    pub(super) server: ServerKeys,
    rooms: Known<(RoomId, u32), RoomKeys>,
    authors: Known<(RoomId, u32, UserId), FieldKey>,
    salts: RefCell<HashMap<UserId, Secret>>,
}

fn remember<K: Eq + Hash, V>(map: &mut HashMap<K, V>, key: K, value: V) {
    if map.len() >= REMEMBERED {
        // Everything can be unwrapped again; what is in use comes back at once.
        map.clear();
    }
    map.insert(key, value);
}

/// Random bytes of the system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Trouble> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Trouble::Away("the system gives no random bytes".to_owned()))?;
    Ok(bytes)
}

pub(super) fn nonce() -> Result<Nonce, Trouble> {
    random()
}

fn key_place(room: RoomId, key_id: u32) -> Vec<u8> {
    [&room.bytes()[..], &key_id.to_be_bytes()].concat()
}

fn column(key_id: u32) -> i32 {
    i32::from_ne_bytes(key_id.to_ne_bytes())
}

impl KeyRing {
    /// Opens the server's key; in a keyspace that has none one is made (or `server_key` put there), together with a master key where that
    /// is wanted.
    pub(super) async fn open(
        cql: &Cql,
        source: &MasterKeySource,
        dir: &std::path::Path,
        server_key: Option<Secret>,
    ) -> Result<Self, Trouble> {
        loop {
            let rows = cql.rows_decided::<(Option<Vec<u8>>,)>(S::Mark, vec![text(SERVER_KEY)]).await?;
            let kept = rows.into_iter().next().and_then(|(value,)| value);
            let first = kept.is_none();
            // Only at the very first start may a master key be made: a second server has to be given the same one.
            let master = MasterKey::new(&source.load(dir, first).map_err(Trouble::Own)?);
            let Some(kept) = kept else {
                let secret = server_key.map_or_else(random, Ok)?;
                let wrapped = master.wrap(Wrapped::Server, nonce()?, &secret);
                let bytes = wrapped.map_err(|e| damaged("the server key", e))?;
                let value = record::encode(SERVER_KEY.as_bytes(), &StoredBytes { bytes });
                let value = value.map_err(|e| damaged("the server key", e))?;
                cql.run_if(S::MarkTake, vec![text(SERVER_KEY), blob(value)]).await?;
                // Whoever made it, what is there now counts.
                continue;
            };
            let kept = record::decode::<StoredBytes>(SERVER_KEY.as_bytes(), &kept)
                .map_err(|e| damaged("the server key", e))?;
            let Ok(server_secret) = master.unwrap(Wrapped::Server, &kept.bytes) else {
                return Err(Trouble::Own(Failure::Unavailable(format!(
                    "this is not the master key that the data in this keyspace were sealed with; give the right one: copy master.key of \
                     the server that made it to {}, or see keys.master_file",
                    dir.display()
                ))));
            };
            let (rooms, authors, salts) = (Known::default(), Known::default(), RefCell::default());
            let server = ServerKeys::new(server_secret);
            return Ok(Self { master, server_secret, server, rooms, authors, salts });
        }
    }

    async fn stored_room(&self, cql: &Cql, room: RoomId, key_id: u32) -> Result<Option<Rc<RoomKeys>>, Trouble> {
        if let Some(keys) = self.rooms.borrow().get(&(room, key_id)) {
            return Ok(Some(Rc::clone(keys)));
        }
        let what = format!("key {key_id} of room {room}");
        let row = cql.row::<(Option<Vec<u8>>,)>(S::RoomKey, vec![uuid(room.bytes()), int(column(key_id))]).await?;
        let Some(kept) = row.and_then(|(wrapped,)| wrapped) else { return Ok(None) };
        let kept = record::decode::<StoredBytes>(&key_place(room, key_id), &kept).map_err(|e| damaged(&what, e))?;
        let secret = self.master.unwrap(Wrapped::Room(room, key_id), &kept.bytes).map_err(|e| damaged(&what, e))?;
        let keys = Rc::new(RoomKeys::new(secret, key_id));
        remember(&mut self.rooms.borrow_mut(), (room, key_id), Rc::clone(&keys));
        Ok(Some(keys))
    }

    /// A room's keys, which must be there.
    pub(super) async fn room(&self, cql: &Cql, room: RoomId, key_id: u32) -> Result<Rc<RoomKeys>, Trouble> {
        let keys = self.stored_room(cql, room, key_id).await?;
        keys.ok_or_else(|| damaged(format!("key {key_id} of room {room}"), "it is missing"))
    }

    /// A room's keys; new ones where it has none.
    pub(super) async fn room_or_new(&self, core: &Core, room: RoomId, key_id: u32) -> Result<Rc<RoomKeys>, Trouble> {
        if let Some(keys) = self.stored_room(&core.cql, room, key_id).await? {
            return Ok(keys);
        }
        let what = format!("key {key_id} of room {room}");
        let secret: Secret = random()?;
        let wrapped = self.master.wrap(Wrapped::Room(room, key_id), nonce()?, &secret);
        let bytes = wrapped.map_err(|e| damaged(&what, e))?;
        let value = record::encode(&key_place(room, key_id), &StoredBytes { bytes }).map_err(|e| damaged(&what, e))?;
        let values = vec![uuid(room.bytes()), int(column(key_id)), blob(value), stamp(core.lease.stamp()?)];
        core.cql.run(S::RoomKeyPut, values).await?;
        core.lease.check()?;
        let keys = Rc::new(RoomKeys::new(secret, key_id));
        remember(&mut self.rooms.borrow_mut(), (room, key_id), Rc::clone(&keys));
        Ok(keys)
    }

    async fn stored_salt(&self, cql: &Cql, user: UserId) -> Result<Option<Secret>, Trouble> {
        if let Some(salt) = self.salts.borrow().get(&user) {
            return Ok(Some(*salt));
        }
        let what = format!("the salt of user {user}");
        let row = cql.rows_decided::<(Option<Vec<u8>>,)>(S::Salt, vec![uuid(user.bytes())]).await?;
        let Some(kept) = row.into_iter().next().and_then(|(wrapped,)| wrapped) else { return Ok(None) };
        let kept = record::decode::<StoredBytes>(user.bytes(), &kept).map_err(|e| damaged(&what, e))?;
        let salt = self.master.unwrap(Wrapped::User(user), &kept.bytes).map_err(|e| damaged(&what, e))?;
        remember(&mut self.salts.borrow_mut(), user, salt);
        Ok(Some(salt))
    }

    async fn salt(&self, cql: &Cql, user: UserId) -> Result<Secret, Trouble> {
        let salt = self.stored_salt(cql, user).await?;
        salt.ok_or_else(|| damaged(format!("the salt of user {user}"), "it is missing"))
    }

    async fn salt_or_new(&self, cql: &Cql, user: UserId) -> Result<Secret, Trouble> {
        loop {
            if let Some(salt) = self.stored_salt(cql, user).await? {
                return Ok(salt);
            }
            let what = format!("the salt of user {user}");
            let secret: Secret = random()?;
            let wrapped = self.master.wrap(Wrapped::User(user), nonce()?, &secret);
            let bytes = wrapped.map_err(|e| damaged(&what, e))?;
            let value = record::encode(user.bytes(), &StoredBytes { bytes }).map_err(|e| damaged(&what, e))?;
            cql.run_if(S::SaltTake, vec![uuid(user.bytes()), blob(value)]).await?;
        }
    }

    /// The key of an author's words in a room, to open them.
    pub(super) async fn author(
        &self,
        cql: &Cql,
        room: RoomId,
        key_id: u32,
        user: UserId,
    ) -> Result<Rc<FieldKey>, Trouble> {
        let id = (room, key_id, user);
        if let Some(key) = self.authors.borrow().get(&id) {
            return Ok(Rc::clone(key));
        }
        let key = Rc::new(self.room(cql, room, key_id).await?.author(&self.salt(cql, user).await?));
        remember(&mut self.authors.borrow_mut(), id, Rc::clone(&key));
        Ok(key)
    }

    /// The same, to seal them.
    pub(super) async fn author_or_new(
        &self,
        core: &Core,
        room: RoomId,
        key_id: u32,
        user: UserId,
    ) -> Result<Rc<FieldKey>, Trouble> {
        let id = (room, key_id, user);
        if let Some(key) = self.authors.borrow().get(&id) {
            return Ok(Rc::clone(key));
        }
        let keys = self.room_or_new(core, room, key_id).await?;
        let key = Rc::new(keys.author(&self.salt_or_new(&core.cql, user).await?));
        remember(&mut self.authors.borrow_mut(), id, Rc::clone(&key));
        Ok(key)
    }

    /// The key of a user's names, to open them.
    pub(super) async fn person(&self, cql: &Cql, user: UserId) -> Result<FieldKey, Trouble> {
        Ok(self.server.person(&self.salt(cql, user).await?))
    }

    /// The same, to seal them.
    pub(super) async fn person_or_new(&self, cql: &Cql, user: UserId) -> Result<FieldKey, Trouble> {
        Ok(self.server.person(&self.salt_or_new(cql, user).await?))
    }
}
