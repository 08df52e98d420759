//! `causerie check --data DIR`: looks through everything that is kept and says what is wrong with it. Changes nothing: what redb
//! repairs on the way it repairs in memory.
//!
//! Looked at: whether the newest commit is there, the checksum of every page, every record's own checksum and structure, every seal, that logs are dense, and that
//! what is kept twice agrees (heads, numbers of members, lists of rooms, answered ids, names).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Database, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _};
use uuid::Uuid;

use super::keys::KeyRing;
use super::mark::Mark;
use super::opening::{open_ring, read_marks};
use super::overlay::Overlay;
use super::reading::Reader;
use super::tables::{View, What, pair, second, seq_of, third, triple};
use super::trouble::Trouble;
use super::{DATABASE_FILE, log};
use crate::base::{ClientId, DeviceId, RoomId, RoomType, Seq, SessionId, UserId};
use crate::store::master::{DataDir, MasterKeySource};
use crate::store::record::{
    self, Stored, StoredAnswered, StoredBytes, StoredCursor, StoredDevice, StoredEvent, StoredMember, StoredName,
    StoredRoom, StoredSession, StoredState, StoredStream, StoredUser,
};
use crate::store::{Failure, NameKey};

/// So many problems are written out; the rest is counted.
const PROBLEMS_SHOWN: usize = 1000;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is wrong, each with its place.
    pub problems: Vec<String>,
    /// Further problems that are not written out.
    pub more_problems: u64,
    /// The server did not end in order the last time. No problem: it puts that in order at its next start.
    pub unclean_end: bool,
    /// Length of the database.
    pub bytes: u64,
    /// Rooms, removed ones included.
    pub rooms: u64,
    /// Events of all rooms.
    pub events: u64,
    /// Users.
    pub users: u64,
    /// All records of all tables.
    pub records: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, text: impl std::fmt::Display) {
        if self.problems.len() < PROBLEMS_SHOWN {
            self.problems.push(text.to_string());
        } else {
            self.more_problems += 1;
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        self.problem(trouble.failure());
    }
}

/// Looks through the store in `dir`, which no server may be using.
///
/// # Errors
/// [`Failure::Unavailable`] when it cannot be looked at: there is no store, a server uses it, the master key is missing or another
/// one, a newer program wrote it. Whatever is wrong with the data stands in the report.
pub fn inspect(dir: &Path, source: &MasterKeySource) -> Result<Report, Failure> {
    let path = dir.join(DATABASE_FILE);
    let unavailable = |e: std::io::Error| Failure::Unavailable(format!("{} cannot be opened: {e}", path.display()));
    let file = File::open(&path).map_err(unavailable)?;
    let _lock = DataDir::lock(dir, false)?;
    let mark = Mark::load(dir)?;
    let mut report = Report { bytes: file.metadata().map_err(unavailable)?.len(), ..Report::default() };
    if report.bytes == 0 {
        report.problem(format_args!("{} is empty", path.display()));
        return Ok(report);
    }
    let overlay = Overlay::new(file).map_err(unavailable)?;
    let Some(database) = open(overlay, &mut report) else { return Ok(report) };
    let marks = read_marks(&database);
    let marks = match marks {
        Ok(Some(marks)) => marks,
        Ok(None) => {
            report.problem("the database holds nothing at all");
            return Ok(report);
        }
        Err(Failure::Damaged(text)) => {
            report.problem(text);
            return Ok(report);
        }
        Err(other) => return Err(other),
    };
    match log::replay(dir, marks.log, marks.commit) {
        Ok(replay) => {
            if let Err(Failure::Damaged(text)) = mark.check(replay.newest) {
                report.problem(text);
            }
            report.unclean_end |= !replay.commits.is_empty();
            if let Err(trouble) = replay.pour(&database) {
                report.trouble(trouble);
            }
        }
        Err(Failure::Damaged(text)) => report.problem(text),
        Err(other) => return Err(other),
    }
    let ring = open_ring(&marks.server_key, source, dir)?;
    let walked = catch_unwind(AssertUnwindSafe(|| -> Result<(), Trouble> {
        let tables = View::below(database.begin_read()?);
        let reader = Reader { tables, ring: &ring };
        Walk { reader: &reader, report: &mut report, states: BTreeMap::new(), users: BTreeSet::new() }.all()
    }));
    match walked {
        Ok(Ok(())) => {}
        Ok(Err(trouble)) => report.trouble(trouble),
        Err(_) => report.problem("the pages of the database do not fit each other; not everything could be looked at"),
    }
    Ok(report)
}

/// Opens and checks the pages.
fn open(overlay: Overlay, report: &mut Report) -> Option<Database> {
    let repaired = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&repaired);
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let mut builder = Database::builder();
        builder.set_repair_callback(move |_| seen.store(true, Ordering::Relaxed));
        let mut database = builder.create_with_backend(overlay)?;
        let sound = database.check_integrity()?;
        Ok::<_, redb::DatabaseError>((database, sound))
    }));
    report.unclean_end = repaired.load(Ordering::Relaxed);
    match opened {
        Ok(Ok((database, sound))) => {
            if !sound {
                report.problem("the database's account of its pages was wrong (the server mends that when it starts)");
            }
            Some(database)
        }
        Ok(Err(e)) => {
            report.problem(format_args!("the pages of the database: {e}"));
            None
        }
        Err(_) => {
            report.problem("the pages of the database do not fit each other");
            None
        }
    }
}

struct Walk<'a> {
    reader: &'a Reader<'a>,
    report: &'a mut Report,
    states: BTreeMap<RoomId, StoredState>,
    users: BTreeSet<UserId>,
}

fn room_of(key: &[u8]) -> RoomId {
    RoomId(first(key))
}

fn user_of(key: &[u8]) -> UserId {
    UserId(first(key))
}

fn first(key: &[u8]) -> Uuid {
    Uuid::from_bytes(key.first_chunk::<16>().copied().unwrap_or_default())
}

fn middle(key: &[u8; 48]) -> Uuid {
    first(&key[16..])
}

impl Walk<'_> {
    fn ring(&self) -> &KeyRing {
        self.reader.ring
    }

    fn all(&mut self) -> Result<(), Trouble> {
        self.keys()?;
        self.rooms()?;
        self.events()?;
        self.members()?;
        self.answered()?;
        self.users()?;
        self.names_and_settings()
    }

    /// Every record of a table: counted, checked, handed on.
    fn each<const N: usize, T: Stored>(
        &mut self,
        table: &ReadOnlyTable<&'static [u8; N], &'static [u8]>,
        what: impl Fn(&[u8; N]) -> String,
        mut look: impl FnMut(&mut Self, &[u8; N], T) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let mut found = 0;
        for entry in table.iter()? {
            let (key, value) = entry?;
            found += 1;
            match record::decode::<T>(key.value(), value.value()) {
                Ok(record) => {
                    if let Err(trouble) = look(self, key.value(), record) {
                        self.report.trouble(trouble);
                    }
                }
                Err(e) => self.report.problem(format_args!("stored data is damaged: {}: {e}", what(key.value()))),
            }
        }
        self.report.records += found;
        let expected = table.len()?;
        if found != expected {
            self.report.problem(format_args!("a table says it has {expected} records, {found} were found"));
        }
        Ok(())
    }

    fn keys(&mut self) -> Result<(), Trouble> {
        let tables = &self.reader.tables;
        let key_id = |key: &[u8; 20]| u32::from_be_bytes(key.last_chunk::<4>().copied().unwrap_or_default());
        let what = |key: &[u8; 20]| What::RoomKey(room_of(key), key_id(key)).to_string();
        self.each::<20, StoredBytes>(&tables.room_keys().raw()?, what, |walk, key, _| {
            walk.ring().room(&walk.reader.tables, room_of(key), key_id(key)).map(drop)
        })?;
        let what = |key: &[u8; 16]| What::Salt(user_of(key)).to_string();
        self.each::<16, StoredBytes>(&tables.salts().raw()?, what, |walk, key, _| {
            walk.ring().person(&walk.reader.tables, user_of(key)).map(drop)
        })
    }

    fn rooms(&mut self) -> Result<(), Trouble> {
        let tables = &self.reader.tables;
        let what = |key: &[u8; 16]| What::State(room_of(key)).to_string();
        self.each::<16, StoredState>(&tables.states().raw()?, what, |walk, key, state| {
            walk.states.insert(room_of(key), state);
            Ok(())
        })?;
        let public = tables.public_rooms().raw()?;
        let mut listed = 0;
        let what = |key: &[u8; 16]| What::Room(room_of(key)).to_string();
        self.each::<16, StoredRoom>(&tables.rooms().raw()?, what, |walk, key, _| {
            let id = room_of(key);
            walk.report.rooms += 1;
            let Some(room) = walk.reader.room_record(id)? else { return Ok(()) };
            let is_listed = public.get(key)?.is_some();
            listed += u64::from(is_listed);
            if is_listed != (room.kind == RoomType::Public && !room.removed) {
                walk.report.problem(format_args!("room {id}: the list of public rooms does not fit its record"));
            }
            match walk.states.get(&id) {
                None => walk.report.problem(format_args!("room {id}: its state is missing")),
                Some(state) => {
                    if state.first_seq != room.first_seq.0
                        || state.removed != room.removed
                        || state.seq < room.trimmed.seq.0
                        || state.first_seq > state.seq + 1
                    {
                        walk.report.problem(format_args!("room {id}: its state does not fit its record"));
                    }
                }
            }
            Ok(())
        })?;
        if public.len()? != listed {
            self.report.problem("the list of public rooms names rooms that do not exist");
        }
        if self.states.len() as u64 != self.report.rooms {
            let (states, rooms) = (self.states.len(), self.report.rooms);
            self.report.problem(format_args!("{states} rooms have a state, {rooms} have a record"));
        }
        Ok(())
    }

    fn events(&mut self) -> Result<(), Trouble> {
        let tables = &self.reader.tables;
        let answered = tables.answered().raw()?;
        let mut next: BTreeMap<RoomId, (u64, u64)> = BTreeMap::new();
        let what = |key: &[u8; 24]| What::Event(room_of(key), seq_of(key)).to_string();
        for entry in tables.events().raw()?.iter()? {
            let (key, _) = entry?;
            let (room, seq) = (room_of(key.value()), seq_of(key.value()));
            let place = next.entry(room).or_insert((seq.0, seq.0));
            if seq.0 != place.1 {
                self.report.problem(format_args!("room {room}: events {} to {} are missing", place.1, seq.0 - 1));
            }
            place.1 = seq.0 + 1;
        }
        for (room, state) in &self.states {
            let (from, to) = next.remove(room).unwrap_or((state.first_seq, state.first_seq));
            if (from, to) != (state.first_seq, state.seq + 1) {
                let (first, last) = (state.first_seq, state.seq);
                let found = format!("events from {from} to before {to} were found");
                self.report.problem(format_args!("room {room}: its log goes from {first} to {last}, {found}"));
            }
        }
        for room in next.keys() {
            self.report.problem(format_args!("room {room}: there are events, but no room"));
        }
        self.each::<24, StoredEvent>(&tables.events().raw()?, what, |walk, key, event| {
            let (room, seq) = (room_of(key), seq_of(key));
            walk.report.events += 1;
            walk.reader.open_event(room, seq, &event)?;
            for answer in &event.answered {
                let key = triple(room.bytes(), &answer.user, &answer.client_id);
                let found = answered.get(&key)?.and_then(|v| record::decode::<StoredAnswered>(&key, v.value()).ok());
                // A later event may have answered the same id again.
                if found.is_none_or(|found| found.seq < seq.0) {
                    walk.report.problem(format_args!("room {room}, seq {seq}: its answered id is not in the index"));
                }
            }
            Ok(())
        })
    }

    fn answered(&mut self) -> Result<(), Trouble> {
        let tables = &self.reader.tables;
        let what = |key: &[u8; 48]| What::Answered(room_of(key), UserId(middle(key)), ClientId(third(key))).to_string();
        self.each::<48, StoredAnswered>(&tables.answered().raw()?, what, |walk, key, answered| {
            let (room, seq) = (room_of(key), Seq(answered.seq));
            let event = walk.reader.stored_event(room, seq)?;
            let (user, id) = (middle(key), third(key));
            if !event.answered.iter().any(|a| a.user == *user.as_bytes() && a.client_id == *id.as_bytes()) {
                walk.report.problem(format_args!("room {room}, seq {seq}: does not know the id {id} that it answered"));
            }
            Ok(())
        })
    }

    fn members(&mut self) -> Result<(), Trouble> {
        let tables = &self.reader.tables;
        let user_rooms = tables.user_rooms().raw()?;
        let mut active: BTreeMap<RoomId, u64> = BTreeMap::new();
        let mut listed = 0;
        let what = |key: &[u8; 32]| What::Member(room_of(key), UserId(second(key))).to_string();
        self.each::<32, StoredMember>(&tables.members().raw()?, what, |walk, key, member| {
            let (room, user) = (room_of(key), UserId(second(key)));
            let member = member.member(room, user);
            let member = member.map_err(|e| super::trouble::damaged(What::Member(room, user), &e))?;
            let Some(state) = walk.states.get(&room) else {
                walk.report.problem(format_args!("room {room}: has a member, but there is no such room"));
                return Ok(());
            };
            *active.entry(room).or_default() += u64::from(member.active());
            let is_listed = user_rooms.get(&pair(user.bytes(), room.bytes()))?.is_some();
            listed += u64::from(is_listed);
            if is_listed != (member.active() && !state.removed) {
                walk.report.problem(format_args!("user {user}: the list of rooms is wrong about room {room}"));
            }
            Ok(())
        })?;
        for (room, state) in &self.states {
            let found = active.get(room).copied().unwrap_or(0);
            if found != state.members {
                let said = state.members;
                self.report.problem(format_args!("room {room}: {said} members are said to be in, {found} are"));
            }
        }
        if user_rooms.len()? != listed {
            self.report.problem("lists of rooms name rooms in which the user is not");
        }
        Ok(())
    }

    fn known(&mut self, user: UserId, what: &str) {
        if !self.users.contains(&user) {
            self.report.problem(format_args!("user {user}: has {what}, but there is no such user"));
        }
    }

    fn users(&mut self) -> Result<(), Trouble> {
        let tables = &self.reader.tables;
        let what = |key: &[u8; 16]| What::User(user_of(key)).to_string();
        self.each::<16, StoredUser>(&tables.users().raw()?, what, |walk, key, _| {
            walk.report.users += 1;
            walk.users.insert(user_of(key));
            walk.reader.record_of(user_of(key)).map(drop)
        })?;
        let what = |key: &[u8; 32]| What::Session(user_of(key), SessionId(second(key))).to_string();
        self.each::<32, StoredSession>(&tables.sessions().raw()?, what, |walk, key, _| {
            walk.known(user_of(key), "a session");
            Ok(())
        })?;
        let what = |key: &[u8; 32]| What::Device(user_of(key), DeviceId(second(key))).to_string();
        self.each::<32, StoredDevice>(&tables.devices().raw()?, what, |walk, key, _| {
            walk.known(user_of(key), "a device");
            Ok(())
        })?;
        let what = |key: &[u8; 48]| What::Cursor(user_of(key), DeviceId(middle(key)), RoomId(third(key))).to_string();
        self.each::<48, StoredCursor>(&tables.cursors().raw()?, what, |walk, key, _| {
            walk.known(user_of(key), "a position");
            Ok(())
        })?;
        let mut last: Option<(UserId, Seq)> = None;
        let what = |key: &[u8; 24]| What::Stream(user_of(key), seq_of(key)).to_string();
        self.each::<24, StoredStream>(&tables.streams().raw()?, what, |walk, key, entry| {
            let (user, seq) = (user_of(key), seq_of(key));
            match last.replace((user, seq)) {
                Some((before, at)) if before == user => {
                    if at.next() != seq {
                        walk.report.problem(format_args!("user {user}: stream entry {} is missing", at.next()));
                    }
                }
                _ => walk.known(user, "a stream"),
            }
            entry.event(user, seq).map(drop).map_err(|e| super::trouble::damaged(What::Stream(user, seq), &e))
        })
    }

    fn names_and_settings(&mut self) -> Result<(), Trouble> {
        let tables = &self.reader.tables;
        let what = |key: &[u8; 32]| What::Name(NameKey(*key)).to_string();
        self.each::<32, StoredName>(&tables.names().raw()?, what, |walk, _, name| {
            let holder = Uuid::from_bytes(name.holder);
            let there = if name.user {
                walk.users.contains(&UserId(holder))
            } else {
                walk.states.contains_key(&RoomId(holder))
            };
            if !there {
                walk.report.problem(format_args!("a name is held by {holder}, which does not exist"));
            }
            Ok(())
        })?;
        for entry in tables.settings().raw()?.iter()? {
            let (name, value) = entry?;
            let (name, what) = (name.value(), What::Setting(name.value()));
            self.report.records += 1;
            match record::decode::<StoredBytes>(name.as_bytes(), value.value()) {
                Err(e) => self.report.problem(format_args!("stored data is damaged: {what}: {e}")),
                Ok(kept) => {
                    if let Err(e) = self.ring().server.open_setting(name, &kept.bytes) {
                        self.report.problem(format_args!("stored data is damaged: {what}: {e}"));
                    }
                }
            }
        }
        Ok(())
    }
}
