//! Writes of the embedded store. Each is planned first, which only reads and may refuse; then its changed rows join the layer, where later
//! writes of the batch see them, and the record for the log: so a refused or broken write leaves nothing behind in its batch.

use std::collections::BTreeMap;

use super::keys::{Dice, Fresh, KeyRing, Minting};
use super::layer::{Change, Layer};
use super::logged::Draft;
use super::room_plan::RoomPlan;
use super::tables::{View, What, encode, get, key_of_room, number, numbered, pair, triple};
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

/// One commit under way.
pub(super) struct Batch<'a> {
    /// Sees `layer` up to `number`.
    pub(super) view: &'a View<'a>,
    pub(super) layer: &'a Layer,
    /// What goes to the log.
    pub(super) draft: &'a mut Draft,
    /// The commit's number.
    pub(super) number: u64,
    pub(super) ring: &'a KeyRing,
    pub(super) dice: &'a mut Dice,
    pub(super) fresh: Fresh,
}

impl Batch<'_> {
    /// Carries out one write. [`Trouble::Own`]: it changed nothing.
    pub(super) fn write(&mut self, write: Write) -> Result<Outcome, Trouble> {
        match write {
            Write::Room(write) => {
                rules::check_room_write(&write).map_err(Trouble::Own)?;
                let (ring, from, batch) = (self.ring, self.view, &self.fresh);
                let mut minting = Minting { ring, from, batch, own: Fresh::default(), dice: self.dice };
                let plan = match RoomPlan::make(&mut minting, *write)? {
                    Ok(plan) => plan,
                    Err(outcome) => return Ok(outcome),
                };
                let mut changes = new_keys(&mut minting)?;
                let own = minting.own;
                plan.changes(&mut changes);
                self.keep(&changes)?;
                self.fresh.absorb(own);
                Ok(DONE)
            }
            Write::User(write) => {
                rules::check_user_write(&write).map_err(Trouble::Own)?;
                let (ring, from, batch) = (self.ring, self.view, &self.fresh);
                let mut minting = Minting { ring, from, batch, own: Fresh::default(), dice: self.dice };
                let plan = match UserPlan::make(&mut minting, *write)? {
                    Ok(plan) => plan,
                    Err(outcome) => return Ok(outcome),
                };
                let mut changes = new_keys(&mut minting)?;
                let own = minting.own;
                let first_user = plan.first_user;
                plan.changes(&mut changes);
                self.keep(&changes)?;
                self.fresh.absorb(own);
                Ok(Outcome::Done { first_user })
            }
            Write::RotateRefresh { user, session, presented, next, at, expires_at } => {
                self.rotate(user, session, presented, next, (at, expires_at))
            }
            Write::Trim { room, up_to, limit } => self.trim(room, up_to, limit),
            Write::Setting { name, value } => {
                let value = match value {
                    Some(value) => {
                        let what = What::Setting(&name);
                        let sealed = self.ring.server.seal_setting(&name, self.dice.nonce()?, &value);
                        let bytes = sealed.map_err(|e| damaged(what, &e))?;
                        Some(encode(name.as_bytes(), &StoredBytes { bytes }, what)?)
                    }
                    None => None,
                };
                self.keep(&[change(number::settings, name.as_bytes(), value)])?;
                Ok(DONE)
            }
        }
    }

    /// The changes of one write, whole or not at all.
    fn keep(&mut self, changes: &[Change]) -> Result<(), Trouble> {
        self.draft.add(changes).map_err(Trouble::Own)?;
        self.layer.take(self.number, changes);
        Ok(())
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
        let Some(owner) = user_plan::stored(&self.view.users(), user)? else { return Ok(Outcome::NotFound) };
        let Some(session) = get::<32, StoredSession>(&self.view.sessions(), &key, what)? else {
            return Ok(Outcome::NotFound);
        };
        let valid_from = WallTime(owner.sessions_valid_from);
        let outcome = rules::rotate(valid_from, session.session(user, id), presented, next, at, expires_at);
        if let Outcome::Rotated(session) | Outcome::Reused(session) = &outcome {
            let bytes = encode(&key, &StoredSession::from(&**session), what)?;
            self.keep(&[change(number::sessions, &key, Some(bytes))])?;
        }
        Ok(outcome)
    }

    fn trim(&mut self, id: RoomId, up_to: Seq, limit: usize) -> Result<Outcome, Trouble> {
        let tables = self.view;
        let Some(mut state) = get::<16, StoredState>(&tables.states(), id.bytes(), What::State(id))? else {
            return Ok(Outcome::NotFound);
        };
        let stored = get::<16, StoredRoom>(&tables.rooms(), id.bytes(), What::Room(id))?;
        let stored = stored.ok_or_else(|| damaged(What::Room(id), &"it is missing"))?;
        let mut room = super::reading::open_room(self.ring, tables, id, &stored)?;
        let mut gone = Vec::new();
        let mut answered = Vec::new();
        let mut last = room.trimmed;
        let mut seq = Seq(state.first_seq);
        while seq <= up_to && seq.0 <= state.seq && gone.len() < limit {
            let (key, what) = (numbered(id.bytes(), seq), What::Event(id, seq));
            let event = get::<24, StoredEvent>(&tables.events(), &key, what)?;
            let event = event.ok_or_else(|| damaged(what, &"it is missing"))?;
            for answer in &event.answered {
                let key = triple(id.bytes(), &answer.user, &answer.client_id);
                let (user, client) = (uuid::Uuid::from_bytes(answer.user), uuid::Uuid::from_bytes(answer.client_id));
                let what = What::Answered(id, UserId(user), ClientId(client));
                // The same id may have been answered again by a later event.
                if get::<48, StoredAnswered>(&tables.answered(), &key, what)?.is_some_and(|kept| kept.seq == seq.0) {
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

        let mut changes: Vec<_> = gone.iter().map(|key| change(number::events, key, None)).collect();
        changes.extend(answered.iter().map(|key| change(number::answered, key, None)));
        changes.push(change(number::rooms, id.bytes(), Some(record)));
        changes.push(change(number::states, id.bytes(), Some(state)));
        self.keep(&changes)?;
        Ok(Outcome::Trimmed(gone.len(), Box::new(room)))
    }
}

/// New keys, wrapped.
fn new_keys<W>(minting: &mut Minting<'_, W>) -> Result<Vec<Change>, Trouble> {
    let mut changes = Vec::new();
    let master = &minting.ring.master;
    for ((room, key_id), secret) in minting.own.room_keys.drain(..) {
        let what = What::RoomKey(room, key_id);
        let wrapped = master.wrap(Wrapped::Room(room, key_id), minting.dice.nonce()?, &secret);
        let bytes = wrapped.map_err(|e| damaged(what, &e))?;
        let key = key_of_room(room, key_id);
        changes.push(change(number::room_keys, &key, Some(encode(&key, &StoredBytes { bytes }, what)?)));
    }
    for (user, secret) in minting.own.salts.drain(..) {
        let what = What::Salt(user);
        let wrapped = master.wrap(Wrapped::User(user), minting.dice.nonce()?, &secret);
        let bytes = wrapped.map_err(|e| damaged(what, &e))?;
        let value = encode(user.bytes(), &StoredBytes { bytes }, what)?;
        changes.push(change(number::salts, user.bytes(), Some(value)));
    }
    Ok(changes)
}

/// Values to put under keys, and keys to remove.
pub(super) type Puts<const N: usize> = BTreeMap<[u8; N], Option<Vec<u8>>>;

fn change(table: u8, key: &[u8], value: Option<Vec<u8>>) -> Change {
    Change { table, key: Box::from(key), value: value.map(Into::into) }
}

/// Puts and removes of one table.
pub(super) fn collect<const N: usize>(changes: &mut Vec<Change>, table: u8, puts: Puts<N>) {
    changes.extend(puts.into_iter().map(|(key, value)| change(table, &key, value)));
}

/// The change of a unique name, if it can be had.
pub(super) fn plan_name(
    tables: &View<'_>,
    change: &NameChange,
    holder: StoredName,
) -> Result<Result<Puts<32>, Outcome>, Trouble> {
    let mut puts = Puts::new();
    let held = |key: &NameKey| get::<32, StoredName>(&tables.names(), &key.0, What::Name(*key));
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
