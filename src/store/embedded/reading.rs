//! Reads of the embedded store: each sees one state of the whole database. What does not pass its checks is named, never skipped;
//! the log is dense, so an event that is not found between `first_seq` and the head is damage too.

use std::collections::HashSet;

use super::keys::{KeyRing, Wrappings};
use super::tables::{View, What, get, key_of_room, numbered, pair, pairs_of, second, seq_of, third, triple};
use super::trouble::{Trouble, damaged};
use super::user_plan;
use crate::base::text::fold_name;
use crate::base::{
    ClientId, DeviceId, Event, Member, Profile, Room, RoomId, Seq, Session, SessionId, User, UserId, WallTime,
};
use crate::store::record::{
    self, Broken, Stored, StoredAnswer, StoredAnswered, StoredBytes, StoredCursor, StoredDevice, StoredEvent,
    StoredMember, StoredName, StoredRoom, StoredSession, StoredState, StoredStream, StoredText, StoredUser,
};
use crate::store::seal::{Field, Place, Unsealable};
use crate::store::{Answer, Answered, Cursor, LoadedRoom, LoadedUser, NameKey, Query, Span, rules};

/// A read under way.
pub(super) struct Reader<'a> {
    pub(super) tables: View<'a>,
    pub(super) ring: &'a KeyRing,
}

impl Wrappings for View<'_> {
    fn room_key(&self, room: RoomId, key_id: u32) -> Result<Option<Vec<u8>>, Trouble> {
        let what = What::RoomKey(room, key_id);
        Ok(get::<20, StoredBytes>(&self.room_keys(), &key_of_room(room, key_id), what)?.map(|kept| kept.bytes))
    }

    fn salt(&self, user: UserId) -> Result<Option<Vec<u8>>, Trouble> {
        Ok(get::<16, StoredBytes>(&self.salts(), user.bytes(), What::Salt(user))?.map(|kept| kept.bytes))
    }
}

fn of<T: Stored>(key: &[u8], bytes: &[u8], what: What<'_>) -> Result<T, Trouble> {
    record::decode(key, bytes).map_err(|e| damaged(what, &e))
}

fn valid<T>(value: Result<T, Broken>, what: What<'_>) -> Result<T, Trouble> {
    value.map_err(|e| damaged(what, &e))
}

/// A room's record, with its texts opened.
pub(super) fn open_room(
    ring: &KeyRing,
    from: &impl Wrappings,
    id: RoomId,
    stored: &StoredRoom,
) -> Result<Room, Trouble> {
    let open = |field, text: &StoredText| match text {
        StoredText::Plain(text) => Ok(text.clone()),
        StoredText::Sealed(bytes) if bytes.is_empty() => Ok(String::new()),
        StoredText::Sealed(bytes) => {
            let keys = ring.room(from, id, stored.key_id)?;
            let keys = keys.ok_or_else(|| damaged(What::RoomKey(id, stored.key_id), &"it is missing"))?;
            let place = Place { owner: *id.bytes(), seq: Seq(0), field };
            keys.own().open(place, bytes).map_err(|e| damaged(What::Room(id), &e))
        }
    };
    let name = open(Field::RoomName, &stored.name)?;
    let description = open(Field::RoomDescription, &stored.description)?;
    let metadata = open(Field::RoomMetadata, &stored.metadata)?;
    valid(stored.room(id, name, description, metadata), What::Room(id))
}

impl Reader<'_> {
    pub(super) fn answer(&self, query: &Query) -> Result<Answer, Trouble> {
        Ok(match query {
            Query::Rooms { rooms, answered_since, answered_max } => {
                Answer::Rooms(self.rooms(rooms, *answered_since, *answered_max)?)
            }
            Query::Events { room, span, limit, bytes_max } => {
                Answer::Events(self.events(*room, *span, *limit, *bytes_max)?)
            }
            Query::Answered { room, user, client_id } => Answer::Answered(self.answered(*room, *user, *client_id)?),
            Query::AnsweredIn { room, after, before } => Answer::AnsweredIn(self.answered_in(*room, *after, *before)?),
            Query::User(user) => Answer::User(self.user(*user)?.map(Box::new)),
            Query::UserByName(key) => Answer::UserRecord(self.user_by_name(key)?.map(Box::new)),
            Query::Profiles(users) => {
                let profile = |user: &UserId| Ok(self.record_of(*user)?.map(|user| user.profile()));
                Answer::Profiles(users.iter().map(profile).collect::<Result<_, Trouble>>()?)
            }
            Query::FindUsers { text, after, limit } => Answer::Found(self.find(text, *after, *limit)?),
            Query::ListRooms { user, after, limit } => Answer::RoomList(self.list(*user, *after, *limit)?),
            Query::Stream { user, after, limit } => {
                let (from, to) = (numbered(user.bytes(), after.next()), numbered(user.bytes(), Seq(u64::MAX)));
                let mut entries = Vec::new();
                for entry in self.tables.streams().range(&from, &to)?.take(*limit) {
                    let (key, value) = entry?;
                    let seq = seq_of(key.value());
                    let what = What::Stream(*user, seq);
                    let stored = of::<StoredStream>(key.value(), value.value(), what)?;
                    entries.push(valid(stored.event(*user, seq), what)?);
                }
                // Dense among themselves; what comes before the first may have been removed.
                if let Some(pair) = entries.windows(2).find(|pair| pair[1].seq != pair[0].seq.next()) {
                    return Err(damaged(What::Stream(*user, pair[0].seq.next()), &"it is missing"));
                }
                Answer::Stream(entries)
            }
            Query::Cursors { user, device } => Answer::Cursors(self.cursors(*user, *device)?),
            Query::RoomIds { after, limit } => {
                let (low, high) = (above(*after), [0xff; 16]);
                let Some(low) = low else { return Ok(Answer::RoomIds(Vec::new())) };
                let rooms = self.tables.rooms();
                let ids = rooms.range(&low, &high)?.take(*limit);
                let ids = ids.map(|entry| Ok(RoomId(uuid::Uuid::from_bytes(*entry?.0.value()))));
                Answer::RoomIds(ids.collect::<Result<_, Trouble>>()?)
            }
            Query::Setting(name) => {
                let what = What::Setting(name);
                let Some(kept) = self.tables.settings().get(name.as_str())? else { return Ok(Answer::Setting(None)) };
                let kept = of::<StoredBytes>(name.as_bytes(), kept.value(), what)?;
                let opened = self.ring.server.open_setting(name, &kept.bytes);
                Answer::Setting(Some(opened.map_err(|e| damaged(what, &e))?))
            }
            Query::SettingNames => Answer::SettingNames(self.setting_names()?),
            Query::Names { after, limit } => Answer::Names(self.names(*after, *limit)?),
            Query::SeqBefore { room, at } => Answer::SeqAt(self.seq_before(*room, *at)?),
        })
    }

    fn state(&self, room: RoomId) -> Result<Option<StoredState>, Trouble> {
        get::<16, StoredState>(&self.tables.states(), room.bytes(), What::State(room))
    }

    pub(super) fn room_record(&self, room: RoomId) -> Result<Option<Room>, Trouble> {
        let stored = get::<16, StoredRoom>(&self.tables.rooms(), room.bytes(), What::Room(room))?;
        let Some(stored) = stored else { return Ok(None) };
        if matches!(&stored.name, StoredText::Sealed(name) if !name.is_empty()) {
            self.ring.read_room(&self.tables, room, stored.key_id)?;
        }
        open_room(self.ring, &self.tables, room, &stored).map(Some)
    }

    fn rooms(&self, rooms: &[RoomId], since: WallTime, max: usize) -> Result<Vec<Option<LoadedRoom>>, Trouble> {
        rooms.iter().map(|room| self.load_room(*room, since, max)).collect()
    }

    fn load_room(&self, id: RoomId, since: WallTime, max: usize) -> Result<Option<LoadedRoom>, Trouble> {
        let (room, state) = match (self.room_record(id)?, self.state(id)?) {
            (None, None) => return Ok(None),
            (Some(room), Some(state)) => (room, state),
            (None, Some(_)) => return Err(damaged(What::Room(id), &"it is missing")),
            (Some(_), None) => return Err(damaged(What::State(id), &"it is missing")),
        };
        let members = self.members(id)?;
        let active = members.iter().filter(|member| member.active()).count();
        if active as u64 != state.members {
            let how = format!("{} members are in, {active} were found", state.members);
            return Err(damaged(What::State(id), &how));
        }
        let (answered, answered_since) = self.recent_answers(id, &state, since, max)?;
        Ok(Some(LoadedRoom { room, head: state.head(), members, answered, answered_since }))
    }

    pub(super) fn members(&self, id: RoomId) -> Result<Vec<Member>, Trouble> {
        let (from, to) = pairs_of(id.bytes());
        let mut members = Vec::new();
        for entry in self.tables.members().range(&from, &to)? {
            let (key, value) = entry?;
            let user = UserId(second(key.value()));
            let what = What::Member(id, user);
            members.push(valid(of::<StoredMember>(key.value(), value.value(), what)?.member(id, user), what)?);
        }
        Ok(members)
    }

    pub(super) fn unmask(
        &self,
        room: RoomId,
        key_id: u32,
        seq: Seq,
        answer: &StoredAnswer,
    ) -> Result<Answered, Trouble> {
        let user = UserId(uuid::Uuid::from_bytes(answer.user));
        let client_id = ClientId(uuid::Uuid::from_bytes(answer.client_id));
        let keys = self.ring.read_room(&self.tables, room, key_id)?;
        let body_hash = keys.mask(user, client_id, seq, answer.masked_hash);
        Ok(Answered { user, client_id, seq, body_hash, at: WallTime(answer.at) })
    }

    /// Client ids answered since a time, the newest `max`, oldest first, and since when that is all of them.
    fn recent_answers(
        &self,
        id: RoomId,
        state: &StoredState,
        since: WallTime,
        max: usize,
    ) -> Result<(Vec<Answered>, WallTime), Trouble> {
        let events = self.tables.events();
        let mut answered = Vec::new();
        let mut seen = HashSet::new();
        let (from, to) = (numbered(id.bytes(), Seq(state.first_seq)), numbered(id.bytes(), Seq(state.seq)));
        let mut expected = state.seq;
        if state.first_seq <= state.seq {
            for entry in events.range(&from, &to)?.rev() {
                let (key, value) = entry?;
                let seq = seq_of(key.value());
                let what = What::Event(id, seq);
                if seq.0 != expected {
                    return Err(damaged(What::Event(id, Seq(expected)), &"it is missing"));
                }
                expected -= 1;
                let look = record::view::<StoredEvent, _>(key.value(), value.value(), |event| {
                    let own: Vec<_> = event
                        .answered
                        .iter()
                        .map(|a| StoredAnswer {
                            user: a.user,
                            client_id: a.client_id,
                            masked_hash: a.masked_hash.to_native(),
                            at: a.at.to_native(),
                        })
                        .collect();
                    (event.at.to_native(), event.key_id.to_native(), own)
                });
                let (at, key_id, own) = valid(look, what)?;
                if WallTime(at) < since || answered.len() > max {
                    break;
                }
                for answer in own.iter().filter(|answer| WallTime(answer.at) >= since) {
                    // The same id may have been answered again by a later event: that one counts.
                    if seen.insert((answer.user, answer.client_id)) {
                        answered.push(self.unmask(id, key_id, seq, answer)?);
                    }
                }
            }
            if expected == state.seq {
                return Err(damaged(What::Event(id, Seq(expected)), &"it is missing"));
            }
        }
        answered.sort_by_key(|answer| (answer.seq, answer.user, answer.client_id));
        let dropped = answered.len().saturating_sub(max);
        let complete = dropped.checked_sub(1).and_then(|last| answered.get(last)).map_or(since, |a| a.at.plus_ms(1));
        answered.drain(..dropped);
        Ok((answered, complete))
    }

    pub(super) fn open_event(&self, room: RoomId, seq: Seq, stored: &StoredEvent) -> Result<Event, Trouble> {
        let what = What::Event(room, seq);
        let (mut content, mut metadata) = (String::new(), String::new());
        if !stored.content.is_empty() || !stored.metadata.is_empty() {
            let author = UserId(uuid::Uuid::from_bytes(stored.user));
            let key = self.ring.read_author(&self.tables, room, stored.key_id, author)?;
            let open = |field, sealed: &[u8]| -> Result<String, Unsealable> {
                key.open(Place { owner: *room.bytes(), seq, field }, sealed)
            };
            content = open(Field::Content, &stored.content).map_err(|e| damaged(what, &e))?;
            metadata = open(Field::Metadata, &stored.metadata).map_err(|e| damaged(what, &e))?;
        }
        valid(stored.event(room, seq, content, metadata), what)
    }

    fn events(&self, room: RoomId, span: Span, limit: usize, bytes_max: usize) -> Result<Vec<Event>, Trouble> {
        let Some(state) = self.state(room)? else { return Ok(Vec::new()) };
        let Some((low, high, backwards)) = rules::reach(span, limit, state.first_seq, state.seq) else {
            return Ok(Vec::new());
        };
        let table = self.tables.events();
        let (from, to) = (numbered(room.bytes(), Seq(low)), numbered(room.bytes(), Seq(high)));
        let mut entries = table.range(&from, &to)?;
        let mut page: Vec<Event> = Vec::new();
        let mut bytes = 0;
        for n in 0..=(high - low) {
            let seq = Seq(if backwards { high - n } else { low + n });
            let entry = if backwards { entries.next_back() } else { entries.next() };
            let what = What::Event(room, seq);
            let Some(entry) = entry else { return Err(damaged(what, &"it is missing")) };
            let (key, value) = entry?;
            if seq_of(key.value()) != seq {
                return Err(damaged(what, &"it is missing"));
            }
            let event = self.open_event(room, seq, &of::<StoredEvent>(key.value(), value.value(), what)?)?;
            bytes += event.weight();
            if bytes > bytes_max && !page.is_empty() {
                break;
            }
            page.push(event);
        }
        if backwards {
            page.reverse();
        }
        Ok(page)
    }

    fn answered(&self, room: RoomId, user: UserId, client_id: ClientId) -> Result<Option<Answered>, Trouble> {
        let key = triple(room.bytes(), user.bytes(), client_id.bytes());
        let what = What::Answered(room, user, client_id);
        let Some(kept) = get::<48, StoredAnswered>(&self.tables.answered(), &key, what)? else { return Ok(None) };
        let seq = Seq(kept.seq);
        let event = self.stored_event(room, seq)?;
        let found = event.answered.iter().find(|a| a.user == *user.bytes() && a.client_id == *client_id.bytes());
        let found = found.ok_or_else(|| damaged(what, &format!("event {seq} does not know of it")))?;
        self.unmask(room, event.key_id, seq, found).map(Some)
    }

    pub(super) fn stored_event(&self, room: RoomId, seq: Seq) -> Result<StoredEvent, Trouble> {
        let what = What::Event(room, seq);
        let stored = get::<24, StoredEvent>(&self.tables.events(), &numbered(room.bytes(), seq), what)?;
        stored.ok_or_else(|| damaged(what, &"it is missing"))
    }

    fn seq_before(&self, room: RoomId, at: WallTime) -> Result<Seq, Trouble> {
        let Some(state) = self.state(room)? else { return Ok(Seq(0)) };
        // All before `low` are older than `at`, all from `high` on are not.
        let (mut low, mut high) = (state.first_seq, state.seq.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.stored_event(room, Seq(middle))?.at < at.0 {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(if low > state.first_seq { Seq(low - 1) } else { Seq(0) })
    }

    fn open_user(&self, id: UserId, stored: &StoredUser) -> Result<User, Trouble> {
        let key = self.ring.read_person(&self.tables, id)?;
        let open = |field, sealed: &[u8]| {
            let place = Place { owner: *id.bytes(), seq: Seq(0), field };
            key.open(place, sealed).map_err(|e| damaged(What::User(id), &e))
        };
        let username = open(Field::Username, &stored.username)?;
        let display_name = open(Field::DisplayName, &stored.display_name)?;
        let external = match &stored.external {
            Some((issuer, subject)) => Some((open(Field::Issuer, issuer)?, open(Field::Subject, subject)?)),
            None => None,
        };
        Ok(stored.user(id, username, display_name, external))
    }

    pub(super) fn record_of(&self, id: UserId) -> Result<Option<User>, Trouble> {
        user_plan::stored(&self.tables.users(), id)?.map(|stored| self.open_user(id, &stored)).transpose()
    }

    fn user_by_name(&self, key: &NameKey) -> Result<Option<User>, Trouble> {
        let what = What::Name(*key);
        match get::<32, StoredName>(&self.tables.names(), &key.0, what)? {
            Some(StoredName { holder, user: true }) => {
                let id = UserId(uuid::Uuid::from_bytes(holder));
                let user = self.record_of(id)?;
                user.ok_or_else(|| damaged(What::User(id), &"it is missing, and has a name")).map(Some)
            }
            Some(StoredName { user: false, .. }) | None => Ok(None),
        }
    }

    pub(super) fn sessions(&self, id: UserId) -> Result<Vec<Session>, Trouble> {
        let (from, to) = pairs_of(id.bytes());
        let mut sessions = Vec::new();
        for entry in self.tables.sessions().range(&from, &to)? {
            let (key, value) = entry?;
            let session = SessionId(second(key.value()));
            let stored = of::<StoredSession>(key.value(), value.value(), What::Session(id, session))?;
            sessions.push(stored.session(id, session));
        }
        Ok(sessions)
    }

    fn user(&self, id: UserId) -> Result<Option<LoadedUser>, Trouble> {
        let Some(user) = self.record_of(id)? else { return Ok(None) };
        let (from, to) = pairs_of(id.bytes());
        let mut devices = Vec::new();
        for entry in self.tables.devices().range(&from, &to)? {
            let (key, value) = entry?;
            let device = DeviceId(second(key.value()));
            let stored = of::<StoredDevice>(key.value(), value.value(), What::Device(id, device))?;
            devices.push(stored.device(id, device));
        }
        let mut rooms = Vec::new();
        for entry in self.tables.user_rooms().range(&from, &to)? {
            rooms.push(RoomId(second(entry?.0.value())));
        }
        let (stream_first, stream_head) = user_plan::stream_ends(&self.tables.streams(), id)?;
        Ok(Some(LoadedUser { user, sessions: self.sessions(id)?, devices, rooms, stream_head, stream_first }))
    }

    fn find(&self, text: &str, after: Option<UserId>, limit: usize) -> Result<Vec<Profile>, Trouble> {
        let mut found = Vec::new();
        let Some(low) = above(after) else { return Ok(found) };
        for entry in self.tables.users().range(&low, &[0xff; 16])? {
            if found.len() >= limit {
                break;
            }
            let (key, value) = entry?;
            let id = UserId(uuid::Uuid::from_bytes(*key.value()));
            let user = self.open_user(id, &of::<StoredUser>(key.value(), value.value(), What::User(id))?)?;
            if fold_name(&user.username).contains(text) || fold_name(&user.display_name).contains(text) {
                found.push(user.profile());
            }
        }
        Ok(found)
    }

    fn list(
        &self,
        user: UserId,
        after: Option<RoomId>,
        limit: usize,
    ) -> Result<Vec<(Room, Option<Member>, usize)>, Trouble> {
        let mut list = Vec::new();
        let Some(low) = above(after) else { return Ok(list) };
        let (public, own) = (self.tables.public_rooms(), self.tables.user_rooms());
        let mut public = public.range(&low, &[0xff; 16])?.map(|entry| {
            let (key, _) = entry?;
            Ok::<_, Trouble>(RoomId(uuid::Uuid::from_bytes(*key.value())))
        });
        let (from, to) = (pair(user.bytes(), &low), pair(user.bytes(), &[0xff; 16]));
        let mut own = own.range(&from, &to)?.map(|entry| {
            let (key, _) = entry?;
            Ok::<_, Trouble>(RoomId(second(key.value())))
        });
        let members = self.tables.members();
        // Two ascending lists become one.
        let (mut next_public, mut next_own) = (public.next().transpose()?, own.next().transpose()?);
        while list.len() < limit {
            let id = match (next_public, next_own) {
                (None, None) => break,
                (Some(a), Some(b)) => a.min(b),
                (Some(one), None) | (None, Some(one)) => one,
            };
            if next_public == Some(id) {
                next_public = public.next().transpose()?;
            }
            if next_own == Some(id) {
                next_own = own.next().transpose()?;
            }
            let room = self.room_record(id)?.ok_or_else(|| damaged(What::Room(id), &"it is missing, and listed"))?;
            let state = self.state(id)?.ok_or_else(|| damaged(What::State(id), &"it is missing"))?;
            let what = What::Member(id, user);
            let member = get::<32, StoredMember>(&members, &pair(id.bytes(), user.bytes()), what)?;
            let member = member.map(|member| valid(member.member(id, user), what)).transpose()?;
            list.push((room, member, usize::try_from(state.members).unwrap_or(usize::MAX)));
        }
        Ok(list)
    }

    fn cursors(&self, user: UserId, device: DeviceId) -> Result<Vec<Cursor>, Trouble> {
        let from = triple(user.bytes(), device.bytes(), &[0; 16]);
        let to = triple(user.bytes(), device.bytes(), &[0xff; 16]);
        let mut cursors = Vec::new();
        for entry in self.tables.cursors().range(&from, &to)? {
            let (key, value) = entry?;
            let room = RoomId(third(key.value()));
            let stored = of::<StoredCursor>(key.value(), value.value(), What::Cursor(user, device, room))?;
            cursors.push(Cursor { user, device, room, seq: Seq(stored.seq) });
        }
        Ok(cursors)
    }
}

/// The first 16 bytes above an id; `None` when there are none.
fn above<T: Into<Above>>(after: Option<T>) -> Option<[u8; 16]> {
    match after {
        None => Some([0; 16]),
        Some(id) => u128::from_be_bytes(id.into().0).checked_add(1).map(u128::to_be_bytes),
    }
}

struct Above([u8; 16]);

impl From<UserId> for Above {
    fn from(id: UserId) -> Self {
        Self(*id.bytes())
    }
}

impl From<RoomId> for Above {
    fn from(id: RoomId) -> Self {
        Self(*id.bytes())
    }
}
