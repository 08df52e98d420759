//! The store port: domain verbs, each with its promise in words. A backend carries them out; nobody else knows how.
//!
//! **Atomic**: one [`Write`] happens whole or not at all. **Independent**: a write that is refused ([`Outcome::NameTaken`],
//! [`Outcome::Conflict`] …) changes nothing and does not touch the others of its batch. **Ordered**: the writes of a batch
//! take effect in their order; batches in the order they were given. **Durable**: when [`Backend::write`] returned `Ok`, all
//! that it reports as done survives a crash of the process and of the machine. **Failed**: when it returned `Err`, nothing of
//! the batch may be taken as done *or* as not done ([`Failure::ambiguous`]): read back before telling anybody.
//! **Isolated**: a write that cannot be carried out for a reason of its own ([`Failure::Misuse`], [`Failure::Damaged`]) fails
//! alone and changes nothing; what fails a whole batch is the disk.
//!
//! Reads see all that was durable before they began. Data that fails its checks is named in a [`Failure::Damaged`], never
//! skipped. Times of events are expected not to go back within a room: what is found by time ([`Query::SeqBefore`], recent
//! client ids) relies on it.

pub mod copy;
#[cfg(feature = "server")]
pub mod driver;
#[cfg(feature = "server")]
pub mod embedded;
#[cfg(feature = "server")]
pub mod master;
pub mod memory;
pub mod record;
pub(crate) mod rules;
#[cfg(feature = "scylla")]
pub mod scylla;
pub mod seal;

use crate::base::room::Head;
use crate::base::time::WallTime;
use crate::base::{
    ClientId, Device, DeviceId, Event, Member, Profile, Room, RoomId, Seq, Session, SessionId, StreamEvent, User,
    UserId,
};

/// A keyed hash of a folded name: what the unique index holds instead of the name (`HMAC-SHA-256(server key, kind ‖ name)`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NameKey(pub [u8; 32]);

/// A change of a unique name. Taking a name that somebody else holds refuses the whole write with [`Outcome::NameTaken`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameChange {
    /// The name that becomes free.
    pub release: Option<NameKey>,
    /// The name that is taken.
    pub take: Option<NameKey>,
}

/// Who holds a unique name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A room.
    Room(RoomId),
    /// A user.
    User(UserId),
}

/// What was answered to a client id, so that a retried send gets the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Answered {
    /// Who sent it.
    pub user: UserId,
    /// The client's own id.
    pub client_id: ClientId,
    /// The event it became.
    pub seq: Seq,
    /// `xxh3_64` of kind and body, so that the same id with another body is found out.
    pub body_hash: u64,
    /// When the event was numbered.
    pub at: WallTime,
}

/// A position that a device has confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Whose device.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
    /// In which room.
    pub room: RoomId,
    /// Delivered up to here; only ever moves forward.
    pub seq: Seq,
}

/// All that changes in one room, in one go.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomWrite {
    /// The room.
    pub room: RoomId,
    /// The ownership under which this is written (backends with several writers refuse a smaller one). 1 for now.
    pub term: u64,
    /// The room's own record, when it is new or changed. Retention may have moved on since it was read: while the epoch is the
    /// same, `first_seq` and `trimmed` never move back, whatever stands here.
    pub record: Option<Room>,
    /// Whether the room must not exist yet; an existing one refuses the write with [`Outcome::Exists`].
    pub create: bool,
    /// The change of its unique name, if any.
    pub name: NameChange,
    /// New events, ascending and dense. The first must be the log's head + 1, else [`Outcome::Conflict`].
    pub events: Vec<Event>,
    /// Older events in their new state (taken back, edited). They replace what stands at their seq; what retention has
    /// removed stays removed. Client ids answered by them stay.
    pub rewritten: Vec<Event>,
    /// Client ids answered by `events` (each `seq` is one of theirs).
    pub answered: Vec<Answered>,
    /// Members that are new or changed. The list of each user's rooms follows from it in the same go; a removed room stands in
    /// nobody's list.
    pub members: Vec<Member>,
}

impl RoomWrite {
    /// A write that changes nothing yet.
    #[must_use]
    pub fn new(room: RoomId) -> Self {
        Self {
            room,
            term: 1,
            record: None,
            create: false,
            name: NameChange::default(),
            events: Vec::new(),
            rewritten: Vec::new(),
            answered: Vec::new(),
            members: Vec::new(),
        }
    }
}

/// All that changes in one user, in one go.
#[derive(Clone, Debug, PartialEq)]
pub struct UserWrite {
    /// The user.
    pub user: UserId,
    /// The user's own record, when it is new or changed.
    pub record: Option<User>,
    /// Whether the user must not exist yet; an existing one refuses the write with [`Outcome::Exists`].
    pub create: bool,
    /// Make this user admin if there is no other user at all (decided inside the write; see [`Outcome::Done`]).
    pub admin_if_first: bool,
    /// The change of the unique username, if any.
    pub name: NameChange,
    /// Sessions that are new or changed. Others of the user that ended more than a day before the newest time in them go.
    pub sessions: Vec<Session>,
    /// Devices that are new or seen again.
    pub devices: Vec<Device>,
    /// New entries of the user stream, dense after its head, else [`Outcome::Conflict`]; the stream of a user that is made by this write
    /// may begin anywhere. Of more than [`crate::base::limits::STREAM_EVENTS_MAX`] the oldest go.
    pub stream: Vec<StreamEvent>,
    /// Positions that devices confirmed.
    pub cursors: Vec<Cursor>,
}

impl UserWrite {
    /// A write that changes nothing yet.
    #[must_use]
    pub fn new(user: UserId) -> Self {
        Self {
            user,
            record: None,
            create: false,
            admin_if_first: false,
            name: NameChange::default(),
            sessions: Vec::new(),
            devices: Vec::new(),
            stream: Vec::new(),
            cursors: Vec::new(),
        }
    }
}

/// One thing to be done, whole or not at all.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Change a room.
    Room(Box<RoomWrite>),
    /// Change a user.
    User(Box<UserWrite>),
    /// Exchange a refresh token: `presented` must be the session's present hash ([`Outcome::Rotated`]). If it is the previous
    /// one, the session is ended in the same go ([`Outcome::Reused`]). Otherwise [`Outcome::NotFound`]; an ended or expired
    /// session gives [`Outcome::Ended`].
    RotateRefresh {
        /// Whose session.
        user: UserId,
        /// The session.
        session: SessionId,
        /// SHA-256 of what the client showed.
        presented: [u8; 32],
        /// SHA-256 of its successor.
        next: [u8; 32],
        /// Now.
        at: WallTime,
        /// When the successor ends.
        expires_at: WallTime,
    },
    /// Retention: remove events of `room` up to and including `up_to` (never past the head), at most `limit` of them, with
    /// the client ids answered by them, and move `first_seq` and `trimmed` in the room's record. [`Outcome::Trimmed`].
    Trim {
        /// The room.
        room: RoomId,
        /// The last event to go.
        up_to: Seq,
        /// How many at most in this step.
        limit: usize,
    },
    /// Keep a setting of the server itself (keys, marks), under a short name.
    Setting {
        /// Its name.
        name: String,
        /// Its value; `None` removes it.
        value: Option<Vec<u8>>,
    },
}

/// What became of one [`Write`] of a batch that is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Done. `first_user`: an `admin_if_first` write did find no other user.
    Done {
        /// Whether the user became admin by being the first.
        first_user: bool,
    },
    /// Nothing changed: somebody else holds the name.
    NameTaken,
    /// Nothing changed: it is there already.
    Exists,
    /// Nothing changed: the log's head is not where the writer thought.
    Conflict,
    /// Nothing changed: there is no such room, user or session.
    NotFound,
    /// The refresh token was exchanged; the session as it is now.
    Rotated(Box<Session>),
    /// A used-up refresh token was shown: the session is ended.
    Reused(Box<Session>),
    /// The session is over.
    Ended,
    /// So many events were removed; the room's record as it is now.
    Trimmed(usize, Box<Room>),
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// Rooms with their members, heads and the client ids that were answered in events not older than `answered_since`
    /// (at most `answered_max` each). [`Answer::Rooms`], in the order asked; `None` for one that does not exist.
    Rooms {
        /// Which.
        rooms: Vec<RoomId>,
        /// From when client ids are wanted.
        answered_since: WallTime,
        /// How many of them a room at most (the newest).
        answered_max: usize,
    },
    /// Events of a room, ascending. [`Answer::Events`].
    Events {
        /// The room.
        room: RoomId,
        /// Which part.
        span: Span,
        /// At most so many.
        limit: usize,
        /// Stop before the sum of [`Event::weight`] passes this (but give at least one).
        bytes_max: usize,
    },
    /// What was answered to a client id. [`Answer::Answered`].
    Answered {
        /// In which room.
        room: RoomId,
        /// To whom.
        user: UserId,
        /// The id.
        client_id: ClientId,
    },
    /// All client ids that were answered by the events after the first and before the second seq, ascending by seq, user and id. One that
    /// was answered again stands with its newest answer alone. For moving house ([`copy`]). [`Answer::AnsweredIn`].
    AnsweredIn {
        /// In which room.
        room: RoomId,
        /// After this seq.
        after: Seq,
        /// Before this seq.
        before: Seq,
    },
    /// A user with sessions (ended ones not older than a day past their end included), devices, rooms and stream head. [`Answer::User`].
    User(UserId),
    /// A user's own record by username. [`Answer::UserRecord`].
    UserByName(NameKey),
    /// What others may see of these users, in the order asked. [`Answer::Profiles`].
    Profiles(Vec<UserId>),
    /// Users whose folded username or display name begins with or holds the folded `text`. [`Answer::Found`].
    FindUsers {
        /// What is looked for, folded; empty finds everybody.
        text: String,
        /// Continue after this user.
        after: Option<UserId>,
        /// At most so many.
        limit: usize,
    },
    /// Public rooms and the user's own, ascending by id, removed ones left out. [`Answer::RoomList`].
    ListRooms {
        /// Whose own.
        user: UserId,
        /// Continue after this room.
        after: Option<RoomId>,
        /// At most so many.
        limit: usize,
    },
    /// Entries of a user stream after `after`, ascending. [`Answer::Stream`].
    Stream {
        /// Whose.
        user: UserId,
        /// After this seq.
        after: Seq,
        /// At most so many.
        limit: usize,
    },
    /// Positions of one device. [`Answer::Cursors`].
    Cursors {
        /// Whose.
        user: UserId,
        /// Which device.
        device: DeviceId,
    },
    /// Ids of all rooms after `after`, ascending (for retention and checks). [`Answer::RoomIds`].
    RoomIds {
        /// Continue after this room.
        after: Option<RoomId>,
        /// At most so many.
        limit: usize,
    },
    /// A setting of the server itself. [`Answer::Setting`].
    Setting(String),
    /// Names of all settings, ascending. For moving house ([`copy`]). [`Answer::SettingNames`].
    SettingNames,
    /// Unique names that are taken, each once, in an order of the backend's own, which stays the same while nothing is written. For moving
    /// house ([`copy`]). [`Answer::Names`].
    Names {
        /// Continue after this name.
        after: Option<NameKey>,
        /// At most so many.
        limit: usize,
    },
    /// The last event of a room written before `at`, found by time (for retention). [`Answer::SeqAt`].
    SeqBefore {
        /// The room.
        room: RoomId,
        /// The time.
        at: WallTime,
    },
}

/// Which part of a room's log. Ends are exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The newest.
    Newest,
    /// The newest before this seq.
    Before(Seq),
    /// The oldest after this seq.
    After(Seq),
    /// The oldest after the first and before the second.
    Between(Seq, Seq),
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Rooms, in the order asked.
    Rooms(Vec<Option<LoadedRoom>>),
    /// Events, ascending.
    Events(Vec<Event>),
    /// What was answered to the client id, if anything.
    Answered(Option<Answered>),
    /// What was answered, ascending by seq.
    AnsweredIn(Vec<Answered>),
    /// The user, if there is one.
    User(Option<Box<LoadedUser>>),
    /// The user's own record, if there is one.
    UserRecord(Option<Box<User>>),
    /// Profiles, in the order asked.
    Profiles(Vec<Option<Profile>>),
    /// Users found, ascending by id.
    Found(Vec<Profile>),
    /// Rooms with the asker's own membership, if any, and the number of members.
    RoomList(Vec<(Room, Option<Member>, usize)>),
    /// Entries of a user stream, ascending.
    Stream(Vec<StreamEvent>),
    /// Positions of a device.
    Cursors(Vec<Cursor>),
    /// Ids of rooms, ascending.
    RoomIds(Vec<RoomId>),
    /// The setting, if there is one.
    Setting(Option<Vec<u8>>),
    /// Names of settings, ascending.
    SettingNames(Vec<String>),
    /// Names and who holds them.
    Names(Vec<(NameKey, Holder)>),
    /// The seq found, 0 when there is none.
    SeqAt(Seq),
}

/// A room as its owner needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedRoom {
    /// Its record.
    pub room: Room,
    /// Its newest event (or what retention left of it).
    pub head: Head,
    /// All members, past ones included.
    pub members: Vec<Member>,
    /// Client ids answered since the time asked for, oldest first.
    pub answered: Vec<Answered>,
    /// `answered` holds every id answered at or after this time.
    pub answered_since: WallTime,
}

/// A user as its owner needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedUser {
    /// The record.
    pub user: User,
    /// Sessions.
    pub sessions: Vec<Session>,
    /// Devices.
    pub devices: Vec<Device>,
    /// Rooms the user is in.
    pub rooms: Vec<RoomId>,
    /// Seq of the newest entry of the user stream.
    pub stream_head: Seq,
    /// Seq of the oldest entry kept (1 in a new stream).
    pub stream_first: Seq,
}

/// Why the store could not do it. Says whose move it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No space, no connection, overload: the same may go through later.
    #[error("the store cannot be used now: {0}")]
    Unavailable(String),
    /// Stored data does not pass its checks. Names the place.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// A broken belief of ours.
    #[error("the store was used wrongly: {0}")]
    Misuse(String),
}

impl Failure {
    /// Whether a failed write may have happened all the same.
    #[must_use]
    pub fn ambiguous(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Who carries the verbs out. Calls block: the shell makes them on threads of their own.
pub trait Backend: Send + Sync + 'static {
    /// Carries out a batch, in order, durable on return. One result a write: its outcome, or a failure of its own
    /// ([`Failure::Misuse`], [`Failure::Damaged`]), in which case it changed nothing and the others went on.
    ///
    /// # Errors
    /// When the batch as a whole could not be made durable.
    fn write_each(&self, batch: Vec<Write>) -> Result<Vec<Result<Outcome, Failure>>, Failure>;

    /// Carries out a batch, in order, durable on return. One outcome a write.
    ///
    /// # Errors
    /// When the batch as a whole could not be made durable, or one of its writes failed by itself (the others may be done).
    fn write(&self, batch: Vec<Write>) -> Result<Vec<Outcome>, Failure> {
        self.write_each(batch)?.into_iter().collect()
    }

    /// Answers one question.
    ///
    /// # Errors
    /// When it cannot be answered now, or what is stored is damaged.
    fn read(&self, query: &Query) -> Result<Answer, Failure>;

    /// A keyed hash of a folded name; `kind` keeps users and rooms apart. The same for the life of the data.
    fn name_key(&self, kind: NameKind, folded: &str) -> NameKey;

    /// `HMAC(server key, both user ids in order)`, of which the id of a direct room is made.
    fn pair_key(&self, a: UserId, b: UserId) -> [u8; 16];

    /// What [`Backend::name_key`] and [`Backend::pair_key`] are made of. Only for moving house ([`copy`]): a copy must have the same.
    fn server_key(&self) -> seal::Secret;

    /// Bytes on disk (or in memory), for the metrics.
    fn size_bytes(&self) -> u64;

    /// What it holds in memory at will, for the metrics.
    fn held_bytes(&self) -> HeldBytes {
        HeldBytes::default()
    }

    /// Nothing more is wanted: leaves everything in order, so that the next start has nothing to mend. Called once, at the end.
    fn close(&self) {}
}

/// What a backend holds in memory beyond the work at hand, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldBytes {
    /// Pages of what is on disk.
    pub cache_bytes: u64,
    /// Rows that are durable and on their way to their place, about.
    pub layer_bytes: u64,
}

/// What a unique name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameKind {
    /// A user.
    User,
    /// A room.
    Room,
}
