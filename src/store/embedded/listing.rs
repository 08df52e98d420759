//! Reads that list what is otherwise only looked up: answered client ids, unique names, names of settings. Asked when everything is
//! copied; as all reads they see one state, and name damage.

use std::collections::BTreeSet;

use super::reading::Reader;
use super::tables::{What, get, numbered, seq_of, triple};
use super::trouble::{Trouble, damaged};
use crate::base::{ClientId, RoomId, Seq, UserId};
use crate::store::record::{self, StoredAnswered, StoredEvent, StoredName};
use crate::store::{Answered, Holder, NameKey};

impl Reader<'_> {
    /// Client ids answered by the events between two seqs.
    pub(super) fn answered_in(&self, room: RoomId, after: Seq, before: Seq) -> Result<Vec<Answered>, Trouble> {
        let mut answered = Vec::new();
        let (first, last) = (after.next(), Seq(before.0.saturating_sub(1)));
        if first > last {
            return Ok(answered);
        }
        let (from, to) = (numbered(room.bytes(), first), numbered(room.bytes(), last));
        for entry in self.tables.events().range(&from, &to)? {
            let (key, value) = entry?;
            let seq = seq_of(key.value());
            let event: StoredEvent =
                record::decode(key.value(), value.value()).map_err(|e| damaged(What::Event(room, seq), &e))?;
            for answer in &event.answered {
                let user = UserId(uuid::Uuid::from_bytes(answer.user));
                let client_id = ClientId(uuid::Uuid::from_bytes(answer.client_id));
                let (key, what) =
                    (triple(room.bytes(), &answer.user, &answer.client_id), What::Answered(room, user, client_id));
                let newest = get::<48, StoredAnswered>(&self.tables.answered(), &key, what)?;
                let newest = newest.ok_or_else(|| damaged(what, &"it is missing"))?;
                if newest.seq == seq.0 {
                    answered.push(self.unmask(room, event.key_id, seq, answer)?);
                }
            }
        }
        answered.sort_by_key(|answer| (answer.seq, answer.user, answer.client_id));
        // An event may have answered one id twice.
        answered.dedup_by_key(|answer| (answer.seq, answer.user, answer.client_id));
        Ok(answered)
    }

    /// Names of all settings, ascending.
    pub(super) fn setting_names(&self) -> Result<Vec<String>, Trouble> {
        let keys: BTreeSet<String> = self.tables.settings().keys()?;
        Ok(keys.into_iter().collect())
    }

    /// Unique names and who holds them, ascending.
    pub(super) fn names(&self, after: Option<NameKey>, limit: usize) -> Result<Vec<(NameKey, Holder)>, Trouble> {
        let from = after.map_or([0; 32], |name| name.0);
        let mut names = Vec::new();
        for entry in self.tables.names().range(&from, &[0xff; 32])? {
            if names.len() >= limit {
                break;
            }
            let (key, value) = entry?;
            let name = NameKey(*key.value());
            if Some(name) == after {
                continue;
            }
            let stored: StoredName =
                record::decode(key.value(), value.value()).map_err(|e| damaged(What::Name(name), &e))?;
            let holder = uuid::Uuid::from_bytes(stored.holder);
            let holder = if stored.user { Holder::User(UserId(holder)) } else { Holder::Room(RoomId(holder)) };
            names.push((name, holder));
        }
        Ok(names)
    }
}
