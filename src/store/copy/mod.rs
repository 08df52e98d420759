//! Moving house: copies everything from one store into another, by the verbs of the port alone, whatever the backends are.
//!
//! **Everything**: users with sessions, devices, streams and positions; rooms with members, the log in its present state and the client
//! ids that it answered; unique names; settings. The target must have been made with the source's server key, so that keyed hashes (names,
//! ids of direct rooms) stay what they are; texts are sealed anew with keys of the target's own. **Nothing else**: a target that holds
//! something is refused, unless it is the unfinished copy of the same source. **Unfinished is known**: from the first write to the last
//! check a setting ([`MARK`]) stands in the target; who finds it there must not serve from it. **Resumable**: called again after a break
//! of any kind it goes on where the target ends. **Verified**: at the end both stores are read through, and count and checksum of every
//! room and user are held against each other; only then the mark goes.
//!
//! Nobody may write to either store meanwhile; what was written to the source since an unfinished copy of it is found out and named. Left
//! out are sessions so long over that nobody is shown them any more. Knows no clock: who wants to say how long it takes does so.

mod digest;
mod reads;

use crate::base::{RoomId, UserId, WallTime};
use crate::store::{
    Backend, Cursor, Failure, Holder, LoadedRoom, LoadedUser, NameChange, Outcome, RoomWrite, UserWrite, Write, rules,
};

pub use self::digest::Digest;
use self::reads::{Side, events_page};

/// Name of the setting that stands in a copy that is not finished. Its value names the source.
pub const MARK: &str = "copy.unfinished";

/// One write to a room or user holds at most so many rows; backends that pay by the write's size are glad of it.
const ROWS_A_WRITE: usize = 50;
/// One write to a room holds at most about so many bytes of events, unless one is larger.
const BYTES_A_WRITE: usize = 24 * 1024;
/// So many rows are handed to the target at a time.
const ROWS_A_BATCH: usize = 1_000;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Users are copied.
    Users,
    /// Rooms are copied.
    Rooms,
    /// Unique names are copied.
    Names,
    /// Users of both stores are compared.
    CheckingUsers,
    /// Rooms of both stores are compared.
    CheckingRooms,
}

/// How far it is. Told after every batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Users, rooms or names that are done with.
    pub done: u64,
    /// Of so many, if that is known.
    pub of: Option<u64>,
    /// Events that were copied, or compared, so far.
    pub events: u64,
}

/// What was copied and found the same in both stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Settings.
    pub settings: u64,
    /// Users.
    pub users: u64,
    /// Rooms, removed ones included.
    pub rooms: u64,
    /// Unique names.
    pub names: u64,
    /// Events of all rooms.
    pub events: u64,
    /// Over everything: the same for the same content, whatever holds it.
    pub checksum: u64,
}

/// Why there is no (finished) copy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// A store could not do it.
    #[error("{side}: {failure}")]
    Store {
        /// `the source` or `the target`.
        side: &'static str,
        /// What it said.
        failure: Failure,
    },
    /// There is something in the target.
    #[error("the target is not empty: a copy needs an empty one, or its own unfinished one")]
    NotEmpty,
    /// The target is an unfinished copy of something else.
    #[error("the target is the unfinished copy of {0}: finish that one, or take an empty target")]
    OtherCopy(String),
    /// The source is a copy that was never finished.
    #[error("the source is itself an unfinished copy, of {0}")]
    UnfinishedSource(String),
    /// The target was made with another server key.
    #[error(
        "the target was made with another server key, so that no name of the source would be found in it: take an empty target"
    )]
    OtherKey,
    /// The source was written to since the unfinished copy was begun, or the target was.
    #[error(
        "{0} is not what it was when the copy was begun: somebody wrote to the source or to the copy; begin anew with an empty target"
    )]
    Changed(String),
    /// The target did not take something. Names what.
    #[error("the target did not take {0}: {1}")]
    Refused(String, String),
    /// The two are not the same. Names what differs.
    #[error("the copy is not the same as its source: {}", .0.join("; "))]
    Differs(Vec<String>),
}

/// Copies everything from `from` into `to` and holds the two against each other. `origin` names the source, for whoever finds the copy
/// unfinished.
///
/// # Errors
/// See [`CopyError`]. The source is never changed. Whatever came between: called again it goes on.
pub fn copy(
    from: &dyn Backend,
    to: &dyn Backend,
    origin: &str,
    progress: &mut dyn FnMut(Progress),
) -> Result<Copied, CopyError> {
    let (from, to) = (Side { name: "the source", store: from }, Side { name: "the target", store: to });
    begin(from, to, origin)?;
    let mut moving = Moving { from, to, origin, progress, writes: Vec::new(), rows: 0, events: 0 };
    moving.settings()?;
    moving.users()?;
    moving.rooms()?;
    moving.names()?;
    let copied = digest::compare(from, to, moving.progress)?;
    match to.write(vec![Write::Setting { name: MARK.to_owned(), value: None }], "the end of the mark") {
        // It may have happened all the same.
        Err(error) if unfinished(to.store).map_err(|failure| to.failed(failure))?.is_some() => Err(error),
        Err(_) | Ok(()) => Ok(copied),
    }
}

/// Where an unfinished copy in `store` comes from; `None` where there is none.
///
/// # Errors
/// When the store cannot say.
pub fn unfinished(store: &dyn Backend) -> Result<Option<String>, Failure> {
    let mark = reads::setting(store, MARK)?;
    Ok(mark.map(|origin| String::from_utf8_lossy(&origin).into_owned()))
}

fn begin(from: Side<'_>, to: Side<'_>, origin: &str) -> Result<(), CopyError> {
    if let Some(origin) = unfinished(from.store).map_err(|failure| from.failed(failure))? {
        return Err(CopyError::UnfinishedSource(origin));
    }
    match unfinished(to.store).map_err(|failure| to.failed(failure))? {
        None if to.is_empty()? => {}
        None => return Err(CopyError::NotEmpty),
        Some(other) if other != origin => return Err(CopyError::OtherCopy(other)),
        Some(_) => {}
    }
    if from.store.server_key() != to.store.server_key() {
        return Err(CopyError::OtherKey);
    }
    let mark = Write::Setting { name: MARK.to_owned(), value: Some(origin.as_bytes().to_vec()) };
    to.write(vec![mark], "the mark")
}

/// A copy under way.
struct Moving<'a> {
    from: Side<'a>,
    to: Side<'a>,
    origin: &'a str,
    progress: &'a mut dyn FnMut(Progress),
    /// Gathered for the target.
    writes: Vec<Write>,
    /// Rows in them.
    rows: usize,
    events: u64,
}

impl Moving<'_> {
    fn put(&mut self, write: Write, rows: usize) -> Result<(), CopyError> {
        self.writes.push(write);
        self.rows += rows + 1;
        if self.rows >= ROWS_A_BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), CopyError> {
        self.rows = 0;
        let writes = std::mem::take(&mut self.writes);
        if writes.is_empty() { Ok(()) } else { self.to.write(writes, self.origin) }
    }

    fn tell(&mut self, phase: Phase, done: usize, of: Option<usize>) {
        (self.progress)(Progress { phase, done: done as u64, of: of.map(|of| of as u64), events: self.events });
    }

    fn settings(&mut self) -> Result<(), CopyError> {
        for name in self.from.setting_names()? {
            let value = self.from.setting(&name)?;
            self.put(Write::Setting { name, value }, 1)?;
        }
        self.flush()
    }

    fn users(&mut self) -> Result<(), CopyError> {
        let (mut after, mut done) = (None, 0);
        loop {
            let page = self.from.user_ids(after)?;
            let Some(last) = page.last().copied() else { break };
            for user in page {
                self.user(user)?;
                done += 1;
            }
            self.flush()?;
            self.tell(Phase::Users, done, None);
            after = Some(last);
        }
        Ok(())
    }

    fn user(&mut self, id: UserId) -> Result<(), CopyError> {
        let Some(mut user) = self.from.user(id)? else { return Err(CopyError::Changed(format!("user {id}"))) };
        drop_forgotten(&mut user);
        let there = self.to.user(id)?;
        let mut after = crate::base::Seq(user.stream_first.0.saturating_sub(1));
        if let Some(there) = &there {
            if there.user != user.user || there.stream_head > user.stream_head {
                return Err(CopyError::Changed(format!("user {id}")));
            }
            after = after.max(there.stream_head);
        }
        let mut write = UserWrite { create: there.is_none(), record: Some(user.user.clone()), ..UserWrite::new(id) };
        // The first entries go with the record: only then a stream may begin where it does.
        let mut entries = self.from.stream(id, after)?;
        write.stream = entries.drain(..entries.len().min(ROWS_A_WRITE)).collect();
        let rows = write.stream.len();
        self.put(Write::User(Box::new(write)), rows)?;
        for chunk in entries.chunks(ROWS_A_WRITE) {
            let write = UserWrite { stream: chunk.to_vec(), ..UserWrite::new(id) };
            self.put(Write::User(Box::new(write)), chunk.len())?;
        }
        let LoadedUser { sessions, devices, .. } = user;
        for chunk in sessions.chunks(ROWS_A_WRITE) {
            let write = UserWrite { sessions: chunk.to_vec(), ..UserWrite::new(id) };
            self.put(Write::User(Box::new(write)), chunk.len())?;
        }
        for chunk in devices.chunks(ROWS_A_WRITE) {
            let write = UserWrite { devices: chunk.to_vec(), ..UserWrite::new(id) };
            self.put(Write::User(Box::new(write)), chunk.len())?;
        }
        let mut cursors: Vec<Cursor> = Vec::new();
        for device in &devices {
            cursors.extend(self.from.cursors(id, device.id)?);
        }
        for chunk in cursors.chunks(ROWS_A_WRITE) {
            let write = UserWrite { cursors: chunk.to_vec(), ..UserWrite::new(id) };
            self.put(Write::User(Box::new(write)), chunk.len())?;
        }
        Ok(())
    }

    fn rooms(&mut self) -> Result<(), CopyError> {
        let rooms = self.from.all_room_ids()?;
        for (done, id) in rooms.iter().enumerate() {
            self.room(*id)?;
            if self.writes.is_empty() {
                self.tell(Phase::Rooms, done, Some(rooms.len()));
            }
        }
        self.flush()?;
        self.tell(Phase::Rooms, rooms.len(), Some(rooms.len()));
        Ok(())
    }

    fn room(&mut self, id: RoomId) -> Result<(), CopyError> {
        let changed = || CopyError::Changed(format!("room {id}"));
        let Some(LoadedRoom { room, head, members, .. }) = self.from.room(id)? else { return Err(changed()) };
        let there = self.to.room(id)?;
        let mut after = room.trimmed.seq;
        match there {
            Some(there) if there.room != room || there.head.seq > head.seq => return Err(changed()),
            Some(there) => after = there.head.seq,
            None => {
                let write = RoomWrite { create: true, record: Some(room), ..RoomWrite::new(id) };
                self.put(Write::Room(Box::new(write)), 1)?;
            }
        }
        // All of them again in a copy that is resumed: they replace what is there.
        for chunk in members.chunks(ROWS_A_WRITE) {
            let write = RoomWrite { members: chunk.to_vec(), ..RoomWrite::new(id) };
            self.put(Write::Room(Box::new(write)), chunk.len())?;
        }
        while after < head.seq {
            let (events, answered) = events_page(self.from, id, after)?;
            let Some(last) = events.last().map(|event| event.seq) else { return Err(changed()) };
            let mut answered = answered.into_iter().peekable();
            let mut write = RoomWrite::new(id);
            let mut bytes = 0;
            for event in events {
                if write.events.len() >= ROWS_A_WRITE || (bytes > 0 && bytes + event.weight() > BYTES_A_WRITE) {
                    self.put_events(std::mem::replace(&mut write, RoomWrite::new(id)))?;
                    bytes = 0;
                }
                bytes += event.weight();
                while let Some(answer) = answered.next_if(|answer| answer.seq <= event.seq) {
                    write.answered.push(answer);
                }
                write.events.push(event);
            }
            self.put_events(write)?;
            after = last;
        }
        Ok(())
    }

    fn put_events(&mut self, write: RoomWrite) -> Result<(), CopyError> {
        let rows = write.events.len();
        self.events += rows as u64;
        self.put(Write::Room(Box::new(write)), rows)
    }

    fn names(&mut self) -> Result<(), CopyError> {
        let (mut after, mut done) = (None, 0);
        loop {
            let page = self.from.names(after)?;
            let Some((last, _)) = page.last().copied() else { break };
            done += page.len();
            for (name, holder) in page {
                let change = NameChange { release: None, take: Some(name) };
                let write = match holder {
                    Holder::Room(id) => Write::Room(Box::new(RoomWrite { name: change, ..RoomWrite::new(id) })),
                    Holder::User(id) => Write::User(Box::new(UserWrite { name: change, ..UserWrite::new(id) })),
                };
                self.put(write, 1)?;
            }
            self.flush()?;
            self.tell(Phase::Names, done, None);
            after = Some(last);
        }
        Ok(())
    }
}

/// Sessions that the port itself forgets with the user's next sign-in.
fn drop_forgotten(user: &mut LoadedUser) {
    let now: WallTime = rules::latest(&user.sessions);
    user.sessions.retain(|session| !rules::forgotten(session, now));
}

/// Why a target that answered did not take something.
fn refusal(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Done { .. } => None,
        Outcome::NameTaken => Some("somebody else holds the name"),
        Outcome::Exists => Some("it is there already"),
        Outcome::Conflict => Some("its log does not end where it should"),
        Outcome::NotFound => Some("there is no such room or user"),
        Outcome::Rotated(_) | Outcome::Reused(_) | Outcome::Ended | Outcome::Trimmed(..) => Some("a strange answer"),
    }
}
