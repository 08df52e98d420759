//! A user's write, planned: everything looked at, sealed and encoded before the first table changes.

use super::keys::Minting;
use super::layer::Change;
use super::tables::{Kept, View, What, encode, get, number, numbered, pair, pairs_of, second, seq_of, triple};
use super::trouble::{Trouble, damaged};
use super::writing::{Planned, Puts, collect, plan_name};
use crate::base::limits::STREAM_EVENTS_MAX;
use crate::base::{Seq, Session, SessionId, User, UserId};
use crate::store::record::{self, StoredCursor, StoredDevice, StoredName, StoredSession, StoredStream, StoredUser};
use crate::store::seal::{Field, Place};
use crate::store::{Cursor, Outcome, UserWrite, rules};

/// What changes.
#[derive(Debug, Default)]
pub(super) struct UserPlan {
    pub(super) first_user: bool,
    names: Puts<32>,
    users: Puts<16>,
    sessions: Puts<32>,
    devices: Puts<32>,
    streams: Puts<24>,
    cursors: Puts<48>,
}

/// A user's record as kept.
pub(super) fn stored(users: &Kept<'_, 16>, user: UserId) -> Result<Option<StoredUser>, Trouble> {
    get::<16, StoredUser>(users, user.bytes(), What::User(user))
}

/// First and last seq of a user stream; `(1, 0)` for an empty one.
pub(super) fn stream_ends(streams: &Kept<'_, 24>, user: UserId) -> Result<(Seq, Seq), Trouble> {
    let (from, to) = (numbered(user.bytes(), Seq(0)), numbered(user.bytes(), Seq(u64::MAX)));
    let mut entries = streams.range(&from, &to)?;
    let Some(first) = entries.next() else { return Ok((Seq(1), Seq(0))) };
    let first = seq_of(first?.0.value());
    let last = match entries.next_back() {
        Some(last) => seq_of(last?.0.value()),
        None => first,
    };
    Ok((first, last))
}

impl UserPlan {
    pub(super) fn make(keys: &mut Minting<'_, View<'_>>, write: UserWrite) -> Planned<Self> {
        let (tables, id) = (keys.from, write.user);
        let mut plan = Self::default();
        let old = stored(&tables.users(), id)?;
        match (write.create, &old) {
            (true, Some(_)) => return Ok(Err(Outcome::Exists)),
            (false, None) => return Ok(Err(Outcome::NotFound)),
            _ => {}
        }
        plan.names = match plan_name(tables, &write.name, StoredName { holder: *id.bytes(), user: true })? {
            Ok(puts) => puts,
            Err(outcome) => return Ok(Err(outcome)),
        };
        if !write.stream.is_empty() {
            let (mut first, head) = stream_ends(&tables.streams(), id)?;
            if let Some(entry) = write.stream.first() {
                if write.create {
                    first = entry.seq;
                } else if entry.seq != head.next() {
                    return Ok(Err(Outcome::Conflict));
                }
            }
            for entry in &write.stream {
                let (key, what) = (numbered(id.bytes(), entry.seq), What::Stream(id, entry.seq));
                plan.streams.insert(key, Some(encode(&key, &StoredStream::from(entry), what)?));
            }
            let new_head = write.stream.last().map_or(head, |entry| entry.seq);
            let new_first = rules::stream_first(new_head, STREAM_EVENTS_MAX);
            for seq in first.0..new_first.0 {
                plan.streams.insert(numbered(id.bytes(), Seq(seq)), None);
            }
        }
        if write.admin_if_first {
            // Two are enough to see one that is not this user.
            let mut first_two = tables.users().all()?.take(2);
            plan.first_user =
                first_two.try_fold(true, |alone, entry| Ok::<_, Trouble>(alone && entry?.0.value() == id.bytes()))?;
        }
        if let Some(mut record) = write.record {
            record.admin |= plan.first_user;
            plan.users.insert(*id.bytes(), Some(seal_user(keys, &record)?));
        } else if plan.first_user
            && let Some(mut old) = old
        {
            old.admin = true;
            plan.users.insert(*id.bytes(), Some(encode(id.bytes(), &old, What::User(id))?));
        }
        plan.plan_sessions(tables, id, &write.sessions)?;
        for device in &write.devices {
            let (key, what) = (pair(id.bytes(), device.id.bytes()), What::Device(id, device.id));
            plan.devices.insert(key, Some(encode(&key, &StoredDevice::from(device), what)?));
        }
        for cursor in &write.cursors {
            plan.plan_cursor(tables, cursor)?;
        }
        Ok(Ok(plan))
    }

    fn plan_sessions(&mut self, tables: &View<'_>, id: UserId, sessions: &[Session]) -> Result<(), Trouble> {
        if sessions.is_empty() {
            return Ok(());
        }
        let now = rules::latest(sessions);
        let (from, to) = pairs_of(id.bytes());
        for entry in tables.sessions().range(&from, &to)? {
            let (key, value) = entry?;
            let session = SessionId(second(key.value()));
            let kept = record::decode::<StoredSession>(key.value(), value.value())
                .map_err(|e| damaged(What::Session(id, session), &e))?;
            if rules::forgotten(&kept.session(id, session), now) {
                self.sessions.insert(*key.value(), None);
            }
        }
        for session in sessions {
            let (key, what) = (pair(id.bytes(), session.id.bytes()), What::Session(id, session.id));
            let bytes = encode(&key, &StoredSession::from(session), what)?;
            self.sessions.insert(key, (!rules::forgotten(session, now)).then_some(bytes));
        }
        Ok(())
    }

    fn plan_cursor(&mut self, tables: &View<'_>, cursor: &Cursor) -> Result<(), Trouble> {
        let key = triple(cursor.user.bytes(), cursor.device.bytes(), cursor.room.bytes());
        let what = What::Cursor(cursor.user, cursor.device, cursor.room);
        let planned = self.cursors.get(&key).and_then(Option::as_ref);
        let old = match planned {
            Some(bytes) => Some(record::decode::<StoredCursor>(&key, bytes).map_err(|e| damaged(what, &e))?),
            None => get::<48, StoredCursor>(&tables.cursors(), &key, what)?,
        };
        if old.is_none_or(|old| old.seq < cursor.seq.0) {
            self.cursors.insert(key, Some(encode(&key, &StoredCursor { seq: cursor.seq.0 }, what)?));
        }
        Ok(())
    }

    pub(super) fn changes(self, changes: &mut Vec<Change>) {
        collect(changes, number::names, self.names);
        collect(changes, number::users, self.users);
        collect(changes, number::sessions, self.sessions);
        collect(changes, number::devices, self.devices);
        collect(changes, number::streams, self.streams);
        collect(changes, number::cursors, self.cursors);
    }
}

fn seal_user(keys: &mut Minting<'_, View<'_>>, user: &User) -> Result<Vec<u8>, Trouble> {
    let (id, what) = (user.id, What::User(user.id));
    let key = keys.person(id)?;
    let mut seal = |field, text: &str| {
        let place = Place { owner: *id.bytes(), seq: Seq(0), field };
        key.seal(place, keys.dice.nonce()?, text).map_err(|e| damaged(what, &e))
    };
    let username = seal(Field::Username, &user.username)?;
    let display_name = seal(Field::DisplayName, &user.display_name)?;
    let external = match &user.external {
        Some((issuer, subject)) => Some((seal(Field::Issuer, issuer)?, seal(Field::Subject, subject)?)),
        None => None,
    };
    encode(id.bytes(), &StoredUser::of(user, username, display_name, external), what)
}
