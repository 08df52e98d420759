//! Writes of the embedded store. Each is planned first, which only reads and may refuse, and applied then, which only changes
//! tables and can fail by the disk alone: so a refused or broken write leaves nothing behind in the transaction of its batch.

use std::collections::BTreeMap;

use super::keys::{Dice, Fresh, KeyRing, Minting, Wrappings};
use super::room_plan::RoomPlan;
use super::tables::{What, Writing, encode, get, key_of_room, numbered, pair, triple};
use super::trouble::{Trouble, damaged};
use super::user_plan::{self, UserPlan};
use crate::base::room::Head;
use crate::base::{ClientId, Number, RoomId, Seq, SessionId, UserId, WallTime};
use crate::store::record::{
    StoredAnswered, StoredBytes, StoredEvent, StoredName, StoredRoom, StoredSession, StoredState,
};
use crate::store::seal::Wrapped;
use crate::store::{NameChange, NameKey, Outcome, Write, rules};

/// A plan, or why nothing is to be done.
pub(super) type Planned<T> = Result<Result<T, Outcome>, Trouble>;

pub(super) const DONE: Outcome = Outcome::Done { first_user: false };

impl Wrappings for Writing<'_> {
    fn room_key(&self, room: RoomId, key_id: u32) -> Result<Option<Vec<u8>>, Trouble> {
        let what = What::RoomKey(room, key_id);
        Ok(get::<20, StoredBytes>(&self.room_keys, &key_of_room(room, key_id), what)?.map(|kept| kept.bytes))
    }

    fn salt(&self, user: UserId) -> Result<Option<Vec<u8>>, Trouble> {
        Ok(get::<16, StoredBytes>(&self.salts, user.bytes(), What::Salt(user))?.map(|kept| kept.bytes))
    }
}

/// One transaction under way.
pub(super) struct Batch<'a, 't> {
    pub(super) tables: Writing<'t>,
    pub(super) ring: &'a KeyRing,
    pub(super) dice: &'a mut Dice,
    pub(super) fresh: Fresh,
}

impl Batch<'_, '_> {
    /// Carries out one write. [`Trouble::Own`]: it changed nothing.
    pub(super) fn write(&mut self, write: Write) -> Result<Outcome, Trouble> {
        match write {
            Write::Room(write) => {
                rules::check_room_write(&write).map_err(Trouble::Own)?;
                let (ring, from, batch) = (self.ring, &self.tables, &self.fresh);
                let mut minting = Minting { ring, from, batch, own: Fresh::default(), dice: self.dice };
                let plan = match RoomPlan::make(&mut minting, *write)? {
                    Ok(plan) => plan,
                    Err(outcome) => return Ok(outcome),
                };
                let keys = KeyPuts::of(&mut minting)?;
                let own = minting.own;
                keys.apply(&mut self.tables).map_err(Trouble::while_changing)?;
                plan.apply(&mut self.tables).map_err(Trouble::while_changing)?;
                self.fresh.absorb(own);
                Ok(DONE)
            }
            Write::User(write) => {
                rules::check_user_write(&write).map_err(Trouble::Own)?;
                let (ring, from, batch) = (self.ring, &self.tables, &self.fresh);
                let mut minting = Minting { ring, from, batch, own: Fresh::default(), dice: self.dice };
                let plan = match UserPlan::make(&mut minting, *write)? {
                    Ok(plan) => plan,
                    Err(outcome) => return Ok(outcome),
                };
                let keys = KeyPuts::of(&mut minting)?;
                let own = minting.own;
                let first_user = plan.first_user;
                keys.apply(&mut self.tables).map_err(Trouble::while_changing)?;
                plan.apply(&mut self.tables).map_err(Trouble::while_changing)?;
                self.fresh.absorb(own);
                Ok(Outcome::Done { first_user })
            }
            Write::RotateRefresh { user, session, presented, next, at, expires_at } => {
                self.rotate(user, session, presented, next, (at, expires_at))
            }
            Write::Trim { room, up_to, limit } => self.trim(room, up_to, limit),
            Write::Setting { name, value } => {
                let Some(value) = value else {
                    self.tables.settings.remove(name.as_str())?;
                    return Ok(DONE);
                };
                let what = What::Setting(&name);
                let sealed = self.ring.server.seal_setting(&name, self.dice.nonce()?, &value);
                let bytes = sealed.map_err(|e| damaged(what, &e))?;
                let bytes = encode(name.as_bytes(), &StoredBytes { bytes }, what)?;
                self.tables.settings.insert(name.as_str(), bytes.as_slice())?;
                Ok(DONE)
            }
        }
    }

    fn rotate(
        &mut self,
        user: UserId,
        id: SessionId,
        presented: [u8; 32],
        next: [u8; 32],
        (at, expires_at): (WallTime, WallTime),
    ) -> Result<Outcome, Trouble> {
        let (key, what) = (pair(user.bytes(), id.bytes()), What::Session(user, id));
        let Some(owner) = user_plan::stored(&self.tables.users, user)? else { return Ok(Outcome::NotFound) };
        let Some(session) = get::<32, StoredSession>(&self.tables.sessions, &key, what)? else {
            return Ok(Outcome::NotFound);
        };
        let valid_from = WallTime(owner.sessions_valid_from);
        let outcome = rules::rotate(valid_from, session.session(user, id), presented, next, at, expires_at);
        if let Outcome::Rotated(session) | Outcome::Reused(session) = &outcome {
            let bytes = encode(&key, &StoredSession::from(&**session), what)?;
            self.tables.sessions.insert(&key, bytes.as_slice())?;
        }
        Ok(outcome)
    }

    fn trim(&mut self, id: RoomId, up_to: Seq, limit: usize) -> Result<Outcome, Trouble> {
        let tables = &mut self.tables;
        let Some(mut state) = get::<16, StoredState>(&tables.states, id.bytes(), What::State(id))? else {
            return Ok(Outcome::NotFound);
        };
        let stored = get::<16, StoredRoom>(&tables.rooms, id.bytes(), What::Room(id))?;
        let stored = stored.ok_or_else(|| damaged(What::Room(id), &"it is missing"))?;
        let mut room = super::reading::open_room(self.ring, tables, id, &stored)?;
        let mut gone = Vec::new();
        let mut answered = Vec::new();
        let mut last = room.trimmed;
        let mut seq = Seq(state.first_seq);
        while seq <= up_to && seq.0 <= state.seq && gone.len() < limit {
            let (key, what) = (numbered(id.bytes(), seq), What::Event(id, seq));
            let event = get::<24, StoredEvent>(&tables.events, &key, what)?;
            let event = event.ok_or_else(|| damaged(what, &"it is missing"))?;
            for answer in &event.answered {
                let key = triple(id.bytes(), &answer.user, &answer.client_id);
                let (user, client) = (uuid::Uuid::from_bytes(answer.user), uuid::Uuid::from_bytes(answer.client_id));
                let what = What::Answered(id, UserId(user), ClientId(client));
                // The same id may have been answered again by a later event.
                if get::<48, StoredAnswered>(&tables.answered, &key, what)?.is_some_and(|kept| kept.seq == seq.0) {
                    answered.push(key);
                }
            }
            gone.push(key);
            last = Head { seq, number: Number(event.number), at: WallTime(event.at) };
            seq = seq.next();
        }
        if gone.is_empty() {
            return Ok(Outcome::Trimmed(0, Box::new(room)));
        }
        rules::trim_to(&mut room, last);
        state.first_seq = room.first_seq.0;
        let stored = StoredRoom {
            first_seq: room.first_seq.0,
            trimmed_seq: last.seq.0,
            trimmed_number: last.number.0,
            trimmed_at: last.at.0,
            ..stored
        };
        let record = encode(id.bytes(), &stored, What::Room(id))?;
        let state = encode(id.bytes(), &state, What::State(id))?;

        let mut change = || -> Result<(), Trouble> {
            for key in &gone {
                tables.events.remove(key)?;
            }
            for key in &answered {
                tables.answered.remove(key)?;
            }
            tables.rooms.insert(id.bytes(), record.as_slice())?;
            tables.states.insert(id.bytes(), state.as_slice())?;
            Ok(())
        };
        change().map_err(Trouble::while_changing)?;
        Ok(Outcome::Trimmed(gone.len(), Box::new(room)))
    }
}

/// New keys, wrapped.
struct KeyPuts {
    room_keys: Vec<([u8; 20], Vec<u8>)>,
    salts: Vec<([u8; 16], Vec<u8>)>,
}

impl KeyPuts {
    fn of<W>(minting: &mut Minting<'_, W>) -> Result<Self, Trouble> {
        let mut puts = Self { room_keys: Vec::new(), salts: Vec::new() };
        let master = &minting.ring.master;
        for ((room, key_id), secret) in minting.own.room_keys.drain(..) {
            let what = What::RoomKey(room, key_id);
            let wrapped = master.wrap(Wrapped::Room(room, key_id), minting.dice.nonce()?, &secret);
            let bytes = wrapped.map_err(|e| damaged(what, &e))?;
            let key = key_of_room(room, key_id);
            puts.room_keys.push((key, encode(&key, &StoredBytes { bytes }, what)?));
        }
        for (user, secret) in minting.own.salts.drain(..) {
            let what = What::Salt(user);
            let wrapped = master.wrap(Wrapped::User(user), minting.dice.nonce()?, &secret);
            let bytes = wrapped.map_err(|e| damaged(what, &e))?;
            puts.salts.push((*user.bytes(), encode(user.bytes(), &StoredBytes { bytes }, what)?));
        }
        Ok(puts)
    }

    fn apply(&self, tables: &mut Writing<'_>) -> Result<(), Trouble> {
        for (key, value) in &self.room_keys {
            tables.room_keys.insert(key, value.as_slice())?;
        }
        for (key, value) in &self.salts {
            tables.salts.insert(key, value.as_slice())?;
        }
        Ok(())
    }
}

/// Values to put under keys, and keys to remove.
pub(super) type Puts<const N: usize> = BTreeMap<[u8; N], Option<Vec<u8>>>;

/// Puts and removes.
pub(super) fn apply<const N: usize>(
    table: &mut redb::Table<'_, &'static [u8; N], &'static [u8]>,
    puts: &Puts<N>,
) -> Result<(), Trouble> {
    for (key, value) in puts {
        match value {
            Some(value) => table.insert(key, value.as_slice())?,
            None => table.remove(key)?,
        };
    }
    Ok(())
}

/// The change of a unique name, if it can be had.
pub(super) fn plan_name(
    tables: &Writing<'_>,
    change: &NameChange,
    holder: StoredName,
) -> Result<Result<Puts<32>, Outcome>, Trouble> {
    let mut puts = Puts::new();
    let held = |key: &NameKey| get::<32, StoredName>(&tables.names, &key.0, What::Name(*key));
    if let Some(key) = &change.release
        && held(key)? == Some(holder)
    {
        puts.insert(key.0, None);
    }
    if let Some(key) = &change.take {
        if held(key)?.is_some_and(|by| by != holder) {
            return Ok(Err(Outcome::NameTaken));
        }
        puts.insert(key.0, Some(encode(&key.0, &holder, What::Name(*key))?));
    }
    Ok(Ok(puts))
}
