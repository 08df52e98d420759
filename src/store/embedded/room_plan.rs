//! A room's write, planned: everything looked at, sealed and encoded before the first table changes.

use std::collections::BTreeMap;

use super::keys::Minting;
use super::layer::Change;
use super::tables::{View, What, encode, get, number, numbered, pair, pairs_of, second, triple};
use super::trouble::{Trouble, damaged};
use super::writing::{Planned, Puts, collect, plan_name};
use crate::base::{Event, Member, Room, RoomType, Seq, UserId};
use crate::store::record::{
    StoredAnswer, StoredAnswered, StoredEvent, StoredMember, StoredName, StoredRoom, StoredState, StoredText,
};
use crate::store::seal::{Field, FieldKey, Place};
use crate::store::{Answered, Failure, Outcome, RoomWrite};

/// The key that seals what is written to a room today. Another one comes with the rotation of room keys.
const FIRST_KEY: u32 = 1;

/// What changes.
#[derive(Debug, Default)]
pub(super) struct RoomPlan {
    names: Puts<32>,
    rooms: Puts<16>,
    public_rooms: Puts<16>,
    states: Puts<16>,
    events: Puts<24>,
    answered: Puts<48>,
    members: Puts<32>,
    user_rooms: Puts<32>,
}

impl RoomPlan {
    pub(super) fn make(keys: &mut Minting<'_, View<'_>>, write: RoomWrite) -> Planned<Self> {
        let (tables, id) = (keys.from, write.room);
        let mut plan = Self::default();
        let stored = get::<16, StoredState>(&tables.states(), id.bytes(), What::State(id))?;
        match (write.create, stored) {
            (true, Some(_)) => return Ok(Err(Outcome::Exists)),
            (false, None) => return Ok(Err(Outcome::NotFound)),
            _ => {}
        }
        plan.names = match plan_name(tables, &write.name, StoredName { holder: *id.bytes(), user: false })? {
            Ok(puts) => puts,
            Err(outcome) => return Ok(Err(outcome)),
        };
        let mut state = match (stored, &write.record) {
            (Some(state), _) => state,
            (None, Some(new)) => StoredState {
                seq: new.trimmed.seq.0,
                number: new.trimmed.number.0,
                at: new.trimmed.at.0,
                first_seq: new.first_seq.0,
                members: 0,
                key_id: FIRST_KEY,
                removed: new.removed,
            },
            // `check_room_write` refused it.
            (None, None) => return Ok(Err(Outcome::NotFound)),
        };
        if write.events.first().is_some_and(|first| first.seq.0 != state.seq + 1) {
            return Ok(Err(Outcome::Conflict));
        }
        let was_removed = stored.is_some_and(|state| state.removed);
        if let Some(record) = write.record {
            plan.plan_record(keys, record, stored.is_some(), &mut state)?;
        }
        plan.plan_events(keys, write.events, write.rewritten, &write.answered, &mut state)?;
        plan.plan_members(tables, write.members, was_removed, &mut state, id)?;
        if stored != Some(state) {
            plan.states.insert(*id.bytes(), Some(encode(id.bytes(), &state, What::State(id))?));
        }
        Ok(Ok(plan))
    }

    fn plan_record(
        &mut self,
        keys: &mut Minting<'_, View<'_>>,
        mut new: Room,
        exists: bool,
        state: &mut StoredState,
    ) -> Result<(), Trouble> {
        let (tables, id) = (keys.from, new.id);
        if exists {
            let stored = get::<16, StoredRoom>(&tables.rooms(), id.bytes(), What::Room(id))?;
            let stored = stored.ok_or_else(|| damaged(What::Room(id), &"it is missing"))?;
            // The texts do not matter here.
            let stored = stored.room(id, String::new(), String::new(), String::new());
            crate::store::rules::keep_trimmed(&mut new, &stored.map_err(|e| damaged(What::Room(id), &e))?);
        }
        let record = if new.kind == RoomType::Public {
            let [name, description, metadata] =
                [&new.name, &new.description, &new.metadata].map(|text| StoredText::Plain(text.clone()));
            StoredRoom::of(&new, state.key_id, name, description, metadata)
        } else {
            let room_keys = keys.room(id, state.key_id)?;
            let mut seal = |field, text: &str| {
                let place = Place { owner: *id.bytes(), seq: Seq(0), field };
                let sealed = room_keys.own().seal(place, keys.dice.nonce()?, text);
                sealed.map(StoredText::Sealed).map_err(|e| damaged(What::Room(id), &e))
            };
            let name = seal(Field::RoomName, &new.name)?;
            let description = seal(Field::RoomDescription, &new.description)?;
            let metadata = seal(Field::RoomMetadata, &new.metadata)?;
            StoredRoom::of(&new, state.key_id, name, description, metadata)
        };
        self.rooms.insert(*id.bytes(), Some(encode(id.bytes(), &record, What::Room(id))?));
        let listed = new.kind == RoomType::Public && !new.removed;
        self.public_rooms.insert(*id.bytes(), listed.then(Vec::new));
        state.first_seq = new.first_seq.0;
        state.removed = new.removed;
        Ok(())
    }

    fn plan_events(
        &mut self,
        keys: &mut Minting<'_, View<'_>>,
        mut events: Vec<Event>,
        rewritten: Vec<Event>,
        answered: &[Answered],
        state: &mut StoredState,
    ) -> Result<(), Trouble> {
        let head = state.seq;
        if let Some(last) = events.last() {
            (state.seq, state.number, state.at) = (last.seq.0, last.number.0, last.at.0);
        }
        for event in rewritten {
            let (room, seq) = (event.room, event.seq);
            if seq.0 > state.seq {
                let text = format!("an event of room {room} is rewritten before it was written");
                return Err(Trouble::Own(Failure::Misuse(text)));
            }
            if let Some(new) = events.iter_mut().find(|new| new.seq == seq) {
                *new = event;
            } else if seq.0 >= state.first_seq && seq.0 <= head {
                let (key, what) = (numbered(room.bytes(), seq), What::Event(room, seq));
                let old = get::<24, StoredEvent>(&keys.from.events(), &key, what)?;
                let old = old.ok_or_else(|| damaged(what, &"it is missing"))?;
                let bytes = seal_event(keys, &event, state.key_id, old.answered)?;
                self.events.insert(key, Some(bytes));
            }
        }
        let mut left = answered;
        for event in &events {
            // Both are usually in the same order, one answer an event.
            let mut own = Vec::new();
            if let Some((first, rest)) = left.split_first()
                && first.seq == event.seq
                && rest.first().is_none_or(|next| next.seq > event.seq)
            {
                own.push(self.plan_answer(keys, event, first, state.key_id)?);
                left = rest;
            } else {
                for answer in left.iter().filter(|answer| answer.seq == event.seq) {
                    own.push(self.plan_answer(keys, event, answer, state.key_id)?);
                }
            }
            let bytes = seal_event(keys, event, state.key_id, own)?;
            self.events.insert(numbered(event.room.bytes(), event.seq), Some(bytes));
        }
        Ok(())
    }

    fn plan_answer(
        &mut self,
        keys: &mut Minting<'_, View<'_>>,
        event: &Event,
        answer: &Answered,
        key_id: u32,
    ) -> Result<StoredAnswer, Trouble> {
        let (user, client_id) = (*answer.user.bytes(), *answer.client_id.bytes());
        let key = triple(event.room.bytes(), &user, &client_id);
        let what = What::Answered(event.room, answer.user, answer.client_id);
        self.answered.insert(key, Some(encode(&key, &StoredAnswered { seq: answer.seq.0 }, what)?));
        let room = keys.room(event.room, key_id)?;
        let masked_hash = room.mask(answer.user, answer.client_id, answer.seq, answer.body_hash);
        Ok(StoredAnswer { user, client_id, masked_hash, at: answer.at.0 })
    }

    fn plan_members(
        &mut self,
        tables: &View<'_>,
        members: Vec<Member>,
        was_removed: bool,
        state: &mut StoredState,
        id: crate::base::RoomId,
    ) -> Result<(), Trouble> {
        // Of two states of one member in a write the last one counts.
        let members: BTreeMap<UserId, Member> = members.into_iter().map(|member| (member.user, member)).collect();
        if was_removed != state.removed {
            let (from, to) = pairs_of(id.bytes());
            for entry in tables.members().range(&from, &to)? {
                let (key, value) = entry?;
                let user = UserId(second(key.value()));
                let member = crate::store::record::decode::<StoredMember>(key.value(), value.value())
                    .and_then(|member| member.member(id, user))
                    .map_err(|e| damaged(What::Member(id, user), &e))?;
                let listed = member.active() && !state.removed;
                self.user_rooms.insert(pair(user.bytes(), id.bytes()), listed.then(Vec::new));
            }
        }
        for (user, member) in members {
            let (key, what) = (pair(id.bytes(), user.bytes()), What::Member(id, user));
            let old = get::<32, StoredMember>(&tables.members(), &key, what)?;
            let was_in = match old {
                Some(old) => old.member(id, user).map_err(|e| damaged(what, &e))?.active(),
                None => false,
            };
            match (was_in, member.active()) {
                (false, true) => state.members += 1,
                (true, false) => state.members = state.members.saturating_sub(1),
                _ => {}
            }
            self.members.insert(key, Some(encode(&key, &StoredMember::from(&member), what)?));
            let listed = member.active() && !state.removed;
            self.user_rooms.insert(pair(user.bytes(), id.bytes()), listed.then(Vec::new));
        }
        Ok(())
    }

    pub(super) fn changes(self, changes: &mut Vec<Change>) {
        collect(changes, number::names, self.names);
        collect(changes, number::rooms, self.rooms);
        collect(changes, number::public_rooms, self.public_rooms);
        collect(changes, number::states, self.states);
        collect(changes, number::events, self.events);
        collect(changes, number::answered, self.answered);
        collect(changes, number::members, self.members);
        collect(changes, number::user_rooms, self.user_rooms);
    }
}

fn seal_event(
    keys: &mut Minting<'_, View<'_>>,
    event: &Event,
    key_id: u32,
    answered: Vec<StoredAnswer>,
) -> Result<Vec<u8>, Trouble> {
    let what = What::Event(event.room, event.seq);
    let (mut content, mut metadata) = (Vec::new(), Vec::new());
    if !event.content.is_empty() || !event.metadata.is_empty() {
        let author = keys.author(event.room, key_id, event.user)?;
        let mut seal = |key: &FieldKey, field, text: &str| {
            if text.is_empty() {
                return Ok(Vec::new());
            }
            let place = Place { owner: *event.room.bytes(), seq: event.seq, field };
            key.seal(place, keys.dice.nonce()?, text).map_err(|e| damaged(what, &e))
        };
        content = seal(&author, Field::Content, &event.content)?;
        metadata = seal(&author, Field::Metadata, &event.metadata)?;
    }
    let stored = StoredEvent::of(event, key_id, content, metadata, answered);
    encode(&numbered(event.room.bytes(), event.seq), &stored, what)
}
