//! Questions to one of the two stores, each with the answer it must have. An answer of another kind is a broken belief, told as misuse.

use super::{CopyError, refusal};
use crate::base::{DeviceId, Event, RoomId, Seq, StreamEvent, UserId, WallTime};
use crate::store::{
    Answer, Answered, Backend, Cursor, Failure, Holder, LoadedRoom, LoadedUser, NameKey, Query, Span, Write,
};

/// Ids, names and entries in one answer.
const PAGE: usize = 1_000;
/// Events in one answer.
const EVENTS: usize = 1_000;
/// Bytes of events in one answer.
const EVENT_BYTES: usize = 1024 * 1024;

/// One of the two stores.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) name: &'static str,
    pub(super) store: &'a dyn Backend,
}

fn strange(query: &Query) -> Failure {
    Failure::Misuse(format!("an answer of another kind was given to {query:?}"))
}

/// A setting.
pub(super) fn setting(store: &dyn Backend, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    let query = Query::Setting(name.to_owned());
    match store.read(&query)? {
        Answer::Setting(value) => Ok(value),
        _ => Err(strange(&query)),
    }
}

macro_rules! ask {
    ($self:ident, $query:expr, $answer:ident) => {{
        let query = $query;
        match $self.store.read(&query) {
            Ok(Answer::$answer(found)) => Ok(found),
            Ok(_) => Err($self.failed(strange(&query))),
            Err(failure) => Err($self.failed(failure)),
        }
    }};
}

impl Side<'_> {
    pub(super) fn failed(self, failure: Failure) -> CopyError {
        CopyError::Store { side: self.name, failure }
    }

    /// Carries out writes, all of which must be done.
    pub(super) fn write(self, writes: Vec<Write>, what: &str) -> Result<(), CopyError> {
        let named: Vec<String> = writes.iter().map(|write| name_of(write, what)).collect();
        let results = self.store.write_each(writes).map_err(|failure| self.failed(failure))?;
        for (result, name) in results.into_iter().zip(named) {
            let outcome = result.map_err(|failure| CopyError::Refused(name.clone(), failure.to_string()))?;
            if let Some(why) = refusal(&outcome) {
                return Err(CopyError::Refused(name, why.to_owned()));
            }
        }
        Ok(())
    }

    pub(super) fn is_empty(self) -> Result<bool, CopyError> {
        let rooms = ask!(self, Query::RoomIds { after: None, limit: 1 }, RoomIds)?;
        let users = ask!(self, Query::FindUsers { text: String::new(), after: None, limit: 1 }, Found)?;
        Ok(rooms.is_empty() && users.is_empty() && self.setting_names()?.is_empty())
    }

    pub(super) fn setting(self, name: &str) -> Result<Option<Vec<u8>>, CopyError> {
        setting(self.store, name).map_err(|failure| self.failed(failure))
    }

    pub(super) fn setting_names(self) -> Result<Vec<String>, CopyError> {
        ask!(self, Query::SettingNames, SettingNames)
    }

    pub(super) fn user_ids(self, after: Option<UserId>) -> Result<Vec<UserId>, CopyError> {
        let found = ask!(self, Query::FindUsers { text: String::new(), after, limit: PAGE }, Found)?;
        Ok(found.into_iter().map(|profile| profile.id).collect())
    }

    pub(super) fn user(self, user: UserId) -> Result<Option<LoadedUser>, CopyError> {
        Ok(ask!(self, Query::User(user), User)?.map(|user| *user))
    }

    /// All entries of a stream after a seq.
    pub(super) fn stream(self, user: UserId, mut after: Seq) -> Result<Vec<StreamEvent>, CopyError> {
        let mut entries = Vec::new();
        loop {
            let page = ask!(self, Query::Stream { user, after, limit: PAGE }, Stream)?;
            let Some(last) = page.last() else { return Ok(entries) };
            after = last.seq;
            entries.extend(page);
        }
    }

    pub(super) fn cursors(self, user: UserId, device: DeviceId) -> Result<Vec<Cursor>, CopyError> {
        ask!(self, Query::Cursors { user, device }, Cursors)
    }

    pub(super) fn all_room_ids(self) -> Result<Vec<RoomId>, CopyError> {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = ask!(self, Query::RoomIds { after, limit: PAGE }, RoomIds)?;
            let Some(last) = page.last() else { return Ok(ids) };
            after = Some(*last);
            ids.extend(page);
        }
    }

    /// A room without the client ids that it answered.
    pub(super) fn room(self, room: RoomId) -> Result<Option<LoadedRoom>, CopyError> {
        let query = Query::Rooms { rooms: vec![room], answered_since: WallTime(u64::MAX), answered_max: 0 };
        Ok(ask!(self, query, Rooms)?.pop().flatten())
    }

    pub(super) fn names(self, after: Option<NameKey>) -> Result<Vec<(NameKey, Holder)>, CopyError> {
        ask!(self, Query::Names { after, limit: PAGE }, Names)
    }
}

/// Events after a seq, and the client ids that they answered.
pub(super) fn events_page(side: Side<'_>, room: RoomId, after: Seq) -> Result<(Vec<Event>, Vec<Answered>), CopyError> {
    let span = Span::After(after);
    let events = ask!(side, Query::Events { room, span, limit: EVENTS, bytes_max: EVENT_BYTES }, Events)?;
    let Some(last) = events.last() else { return Ok((events, Vec::new())) };
    let answered = ask!(side, Query::AnsweredIn { room, after, before: last.seq.next() }, AnsweredIn)?;
    Ok((events, answered))
}

fn name_of(write: &Write, what: &str) -> String {
    match write {
        Write::Room(write) => match (write.events.first(), write.events.last()) {
            (Some(first), Some(last)) => format!("events {} to {} of room {}", first.seq, last.seq, write.room),
            _ if write.name.take.is_some() => format!("the name of room {}", write.room),
            _ => format!("room {}", write.room),
        },
        Write::User(write) if write.name.take.is_some() => format!("the name of user {}", write.user),
        Write::User(write) => format!("user {}", write.user),
        Write::Setting { name, .. } => format!("the setting {name}"),
        Write::RotateRefresh { .. } | Write::Trim { .. } => what.to_owned(),
    }
}
