//! Stored forms: rkyv archives behind a version byte and a checksum, and how they become base types again.
//!
//! A value on disk is `version (1 byte) ‖ xxh3_64 (8 bytes, little-endian) ‖ archive`. The checksum is seeded with the kind of
//! record and runs over the *place* (the key under which it is kept), the version and the archive: a record that was damaged,
//! cut, moved to another key or mistaken for another kind is refused, never read as something else. rkyv alone would accept an
//! old struct as a newer one; therefore a published struct is never changed, a new version gets a new number and a new struct.
//!
//! Sealed fields are bytes here; `seal` makes and opens them. Nothing here does I/O or knows a backend.

use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

use crate::base::room::Head;
use crate::base::{
    ClientId, Device, DeviceId, Epoch, Event, EventKind, EventStatus, Interval, Member, Number, Role, Room, RoomId,
    RoomType, Seq, Session, SessionId, StreamEvent, StreamKind, User, UserId, WallTime,
};

/// Bytes before the archive: version and checksum.
pub const HEAD_BYTES: usize = 9;

/// Why stored bytes were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Fewer bytes than any record has.
    #[error("the record is cut short ({0} bytes)")]
    Short(usize),
    /// A version that this program does not know.
    #[error("the record has version {found}, this program knows up to {known}")]
    Version {
        /// What stands in the record.
        found: u8,
        /// The newest that is known.
        known: u8,
    },
    /// The bytes are not those that were written, or not for this place.
    #[error("the record's checksum does not fit its bytes")]
    Checksum,
    /// The checksum fits, the structure does not: written by something else.
    #[error("the record's structure is not valid: {0}")]
    Structure(String),
}

/// A struct that is kept.
pub trait Stored:
    Archive<
        Archived: for<'a> CheckBytes<HighValidator<'a, rancor::Error>>
                      + Deserialize<Self, HighDeserializer<rancor::Error>>,
    > + for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, rancor::Error>>
    + Sized
{
    /// Tells kinds of records apart; the seed of the checksum.
    const KIND: u64;
    /// The version that is written, and the newest that is read.
    const VERSION: u8;
}

fn checksum(kind: u64, place: &[u8], version: u8, archive: &[u8]) -> u64 {
    let mut hasher = Xxh3::with_seed(kind);
    // The place's length first, so that no byte can wander from the place into the archive.
    hasher.update(&(place.len() as u64).to_le_bytes());
    hasher.update(place);
    hasher.update(&[version]);
    hasher.update(archive);
    hasher.digest()
}

/// The bytes to be kept at `place`.
///
/// # Errors
/// [`Broken::Structure`] when rkyv cannot archive the value (it holds more than 2 GiB).
pub fn encode<T: Stored>(place: &[u8], value: &T) -> Result<Vec<u8>, Broken> {
    let archive = rkyv::to_bytes::<rancor::Error>(value).map_err(|e| Broken::Structure(e.to_string()))?;
    let mut bytes = Vec::with_capacity(HEAD_BYTES + archive.len());
    bytes.push(T::VERSION);
    bytes.extend_from_slice(&checksum(T::KIND, place, T::VERSION, &archive).to_le_bytes());
    bytes.extend_from_slice(&archive);
    Ok(bytes)
}

/// The checksum that [`encode`] would write, for a backend that keeps the fields one by one.
///
/// # Errors
/// As [`encode`].
pub fn sum<T: Stored>(place: &[u8], value: &T) -> Result<u64, Broken> {
    let archive = rkyv::to_bytes::<rancor::Error>(value).map_err(|e| Broken::Structure(e.to_string()))?;
    Ok(checksum(T::KIND, place, T::VERSION, &archive))
}

/// Looks at what is kept at `place` without making an owned value of it.
///
/// # Errors
/// Says what is wrong with the bytes.
pub fn view<T: Stored, R>(place: &[u8], bytes: &[u8], look: impl FnOnce(&T::Archived) -> R) -> Result<R, Broken> {
    let Some((head, archive)) = bytes.split_at_checked(HEAD_BYTES) else {
        return Err(Broken::Short(bytes.len()));
    };
    let (version, sum) = (head[0], &head[1..]);
    if version != T::VERSION {
        return Err(Broken::Version { found: version, known: T::VERSION });
    }
    if checksum(T::KIND, place, version, archive).to_le_bytes() != sum {
        return Err(Broken::Checksum);
    }
    // Values lie unaligned in the pages of a store; rkyv wants them aligned.
    let mut aligned = AlignedVec::<16>::with_capacity(archive.len());
    aligned.extend_from_slice(archive);
    let archived =
        rkyv::access::<T::Archived, rancor::Error>(&aligned).map_err(|e| Broken::Structure(e.to_string()))?;
    Ok(look(archived))
}

/// What is kept at `place`.
///
/// # Errors
/// Says what is wrong with the bytes.
pub fn decode<T: Stored>(place: &[u8], bytes: &[u8]) -> Result<T, Broken> {
    view::<T, _>(place, bytes, |archived| rkyv::deserialize::<T, rancor::Error>(archived))?
        .map_err(|e| Broken::Structure(e.to_string()))
}

macro_rules! stored {
    ($($name:ident = $kind:literal, $version:literal;)*) => {
        $(impl Stored for $name {
            const KIND: u64 = $kind;
            const VERSION: u8 = $version;
        })*
    };
}

stored! {
    StoredEvent = 1, 1;
    StoredRoom = 2, 1;
    StoredState = 3, 1;
    StoredMember = 4, 1;
    StoredUser = 5, 1;
    StoredSession = 6, 1;
    StoredDevice = 7, 1;
    StoredStream = 8, 1;
    StoredAnswered = 9, 1;
    StoredCursor = 10, 1;
    StoredName = 11, 1;
    StoredBytes = 12, 1;
}

/// A text that may be sealed.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum StoredText {
    /// Readable on disk (of public rooms).
    Plain(String),
    /// `nonce ‖ ciphertext ‖ tag`, or nothing for an empty text.
    Sealed(Vec<u8>),
}

/// [`EventKind`] as kept.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the same names and meanings as in EventKind
pub enum StoredKind {
    Message,
    Deletion(u64),
    Joined([u8; 16]),
    Left([u8; 16]),
    RoleChanged([u8; 16], u8),
    Settings,
    Void,
}

/// A client id answered by an event, kept inside the event so that the newest ones are found without another index.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Who sent it.
    pub user: [u8; 16],
    /// The client's own id.
    pub client_id: [u8; 16],
    /// The body's hash under a mask, since a plain hash of a short text gives the text away.
    pub masked_hash: u64,
    /// When it was answered.
    pub at: u64,
}

/// [`Event`] as kept. Room and seq stand in its place.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the same names and meanings as in Event
pub struct StoredEvent {
    pub epoch: u32,
    pub number: u64,
    pub user: [u8; 16],
    pub at: u64,
    pub kind: StoredKind,
    /// Which of the room's keys sealed `content` and `metadata`.
    pub key_id: u32,
    /// Sealed; empty for an empty text.
    pub content: Vec<u8>,
    /// Sealed; empty for an empty text.
    pub metadata: Vec<u8>,
    pub client_id: Option<[u8; 16]>,
    pub deleted_at: Option<u64>,
    /// Client ids that this event answered.
    pub answered: Vec<StoredAnswer>,
}

/// [`Room`] as kept.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the same names and meanings as in Room
pub struct StoredRoom {
    pub kind: u8,
    pub key_id: u32,
    pub name: StoredText,
    pub description: StoredText,
    pub metadata: StoredText,
    pub created_by: [u8; 16],
    pub created_at: u64,
    pub epoch: u32,
    pub first_seq: u64,
    pub trimmed_seq: u64,
    pub trimmed_number: u64,
    pub trimmed_at: u64,
    pub retention_days: Option<u32>,
    pub removed: bool,
}

/// What follows from a room's log and members: its head, so that a missing event is noticed, and how many members are in.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredState {
    /// Seq of the newest event, 0 when there never was one.
    pub seq: u64,
    /// Number of the newest message.
    pub number: u64,
    /// When the newest event was written.
    pub at: u64,
    /// The oldest event kept, as in the room's record.
    pub first_seq: u64,
    /// Members who are in now.
    pub members: u64,
    /// The room's present key.
    pub key_id: u32,
    /// As in the room's record: a removed room stands in nobody's list.
    pub removed: bool,
}

/// [`Member`] as kept. Room and user stand in its place.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct StoredMember {
    /// 0 member, 1 moderator, 2 owner.
    pub role: u8,
    /// `from`, and `to` (`u64::MAX`: still open).
    pub intervals: Vec<(u64, u64)>,
    /// The read marker.
    pub read_number: u64,
}

/// [`User`] as kept.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the same names and meanings as in User
pub struct StoredUser {
    /// Sealed.
    pub username: Vec<u8>,
    /// Sealed.
    pub display_name: Vec<u8>,
    pub password_hash: String,
    /// Issuer and subject, sealed: a subject may be an address of a person.
    pub external: Option<(Vec<u8>, Vec<u8>)>,
    pub admin: bool,
    pub suspended: bool,
    pub created_at: u64,
    pub sessions_valid_from: u64,
    pub last_seen: u64,
    pub stream_epoch: u32,
}

/// [`Session`] as kept. User and session stand in its place.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the same names and meanings as in Session
pub struct StoredSession {
    pub device: [u8; 16],
    pub created_at: u64,
    pub used_at: u64,
    pub expires_at: u64,
    pub refresh_hash: [u8; 32],
    pub previous_hash: [u8; 32],
    pub ended_at: Option<u64>,
    pub agent: String,
}

/// [`Device`] as kept. User and device stand in its place.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the same names and meanings as in Device
pub struct StoredDevice {
    pub created_at: u64,
    pub seen_at: u64,
}

/// [`StreamKind`] as kept.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the same names and meanings as in StreamKind
pub enum StoredStreamKind {
    Added([u8; 16], [u8; 16], u8),
    Removed([u8; 16], [u8; 16]),
    Read([u8; 16], u64),
}

/// [`StreamEvent`] as kept. User and seq stand in its place.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredStream {
    /// When.
    pub at: u64,
    /// What.
    pub kind: StoredStreamKind,
}

/// An answered client id. Room, user and id stand in its place; the rest is in the event.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredAnswered {
    /// The event it became.
    pub seq: u64,
}

/// A position that a device has confirmed. User, device and room stand in its place.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredCursor {
    /// Delivered up to here.
    pub seq: u64,
}

/// Who holds a unique name. The keyed hash of the name stands in its place.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredName {
    /// The room's or user's id.
    pub holder: [u8; 16],
    /// Whether it is a user's.
    pub user: bool,
}

/// Bytes of any meaning: wrapped keys, sealed settings.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct StoredBytes {
    /// The bytes.
    pub bytes: Vec<u8>,
}

fn role_out(role: u8) -> Result<Role, Broken> {
    match role {
        0 => Ok(Role::Member),
        1 => Ok(Role::Moderator),
        2 => Ok(Role::Owner),
        other => Err(Broken::Structure(format!("unknown role {other}"))),
    }
}

fn role_in(role: Role) -> u8 {
    match role {
        Role::Member => 0,
        Role::Moderator => 1,
        Role::Owner => 2,
    }
}

fn user_id(bytes: [u8; 16]) -> UserId {
    UserId(Uuid::from_bytes(bytes))
}

fn room_id(bytes: [u8; 16]) -> RoomId {
    RoomId(Uuid::from_bytes(bytes))
}

impl StoredEvent {
    /// Of an event, with its texts sealed by `key_id`.
    #[must_use]
    pub fn of(event: &Event, key_id: u32, content: Vec<u8>, metadata: Vec<u8>, answered: Vec<StoredAnswer>) -> Self {
        Self {
            epoch: event.epoch.0,
            number: event.number.0,
            user: *event.user.bytes(),
            at: event.at.0,
            kind: match event.kind {
                EventKind::Message => StoredKind::Message,
                EventKind::Deletion { target } => StoredKind::Deletion(target.0),
                EventKind::Joined { subject } => StoredKind::Joined(*subject.bytes()),
                EventKind::Left { subject } => StoredKind::Left(*subject.bytes()),
                EventKind::RoleChanged { subject, role } => StoredKind::RoleChanged(*subject.bytes(), role_in(role)),
                EventKind::Settings => StoredKind::Settings,
                EventKind::Void => StoredKind::Void,
            },
            key_id,
            content,
            metadata,
            client_id: event.client_id.map(|id| *id.bytes()),
            deleted_at: match event.status {
                EventStatus::Live => None,
                EventStatus::Deleted(at) => Some(at.0),
            },
            answered,
        }
    }

    /// The event again, with its opened texts.
    ///
    /// # Errors
    /// [`Broken::Structure`] for a value that no version wrote.
    pub fn event(&self, room: RoomId, seq: Seq, content: String, metadata: String) -> Result<Event, Broken> {
        Ok(Event {
            room,
            epoch: Epoch(self.epoch),
            seq,
            number: Number(self.number),
            user: user_id(self.user),
            at: WallTime(self.at),
            kind: match self.kind {
                StoredKind::Message => EventKind::Message,
                StoredKind::Deletion(target) => EventKind::Deletion { target: Seq(target) },
                StoredKind::Joined(subject) => EventKind::Joined { subject: user_id(subject) },
                StoredKind::Left(subject) => EventKind::Left { subject: user_id(subject) },
                StoredKind::RoleChanged(subject, role) => {
                    EventKind::RoleChanged { subject: user_id(subject), role: role_out(role)? }
                }
                StoredKind::Settings => EventKind::Settings,
                StoredKind::Void => EventKind::Void,
            },
            content,
            metadata,
            client_id: self.client_id.map(|id| ClientId(Uuid::from_bytes(id))),
            status: self.deleted_at.map_or(EventStatus::Live, |at| EventStatus::Deleted(WallTime(at))),
        })
    }
}

impl StoredRoom {
    /// Of a room, with its texts as they are to be kept.
    #[must_use]
    pub fn of(room: &Room, key_id: u32, name: StoredText, description: StoredText, metadata: StoredText) -> Self {
        Self {
            kind: match room.kind {
                RoomType::Public => 0,
                RoomType::Private => 1,
                RoomType::Direct => 2,
            },
            key_id,
            name,
            description,
            metadata,
            created_by: *room.created_by.bytes(),
            created_at: room.created_at.0,
            epoch: room.epoch.0,
            first_seq: room.first_seq.0,
            trimmed_seq: room.trimmed.seq.0,
            trimmed_number: room.trimmed.number.0,
            trimmed_at: room.trimmed.at.0,
            retention_days: room.retention_days,
            removed: room.removed,
        }
    }

    /// The room again, with its opened texts.
    ///
    /// # Errors
    /// [`Broken::Structure`] for a value that no version wrote.
    pub fn room(&self, id: RoomId, name: String, description: String, metadata: String) -> Result<Room, Broken> {
        Ok(Room {
            id,
            kind: match self.kind {
                0 => RoomType::Public,
                1 => RoomType::Private,
                2 => RoomType::Direct,
                other => return Err(Broken::Structure(format!("unknown type of room {other}"))),
            },
            name,
            description,
            metadata,
            created_by: user_id(self.created_by),
            created_at: WallTime(self.created_at),
            epoch: Epoch(self.epoch),
            first_seq: Seq(self.first_seq),
            trimmed: Head {
                seq: Seq(self.trimmed_seq),
                number: Number(self.trimmed_number),
                at: WallTime(self.trimmed_at),
            },
            retention_days: self.retention_days,
            removed: self.removed,
        })
    }
}

impl StoredState {
    /// The head of the log.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { seq: Seq(self.seq), number: Number(self.number), at: WallTime(self.at) }
    }
}

impl From<&Member> for StoredMember {
    fn from(member: &Member) -> Self {
        Self {
            role: role_in(member.role),
            intervals: member.intervals.iter().map(|i| (i.from.0, i.to.map_or(OPEN, |to| to.0))).collect(),
            read_number: member.read_number.0,
        }
    }
}

/// Stands for "still open" in a stored interval; larger than any seq ([`Seq::MAX`]).
const OPEN: u64 = u64::MAX;

impl StoredMember {
    /// The member again.
    ///
    /// # Errors
    /// [`Broken::Structure`] for a value that no version wrote.
    pub fn member(&self, room: RoomId, user: UserId) -> Result<Member, Broken> {
        Ok(Member {
            room,
            user,
            role: role_out(self.role)?,
            intervals: self
                .intervals
                .iter()
                .map(|&(from, to)| Interval { from: Seq(from), to: (to != OPEN).then_some(Seq(to)) })
                .collect(),
            read_number: Number(self.read_number),
        })
    }
}

impl StoredUser {
    /// Of a user, with the names sealed.
    #[must_use]
    pub fn of(user: &User, username: Vec<u8>, display_name: Vec<u8>, external: Option<(Vec<u8>, Vec<u8>)>) -> Self {
        Self {
            username,
            display_name,
            password_hash: user.password_hash.clone(),
            external,
            admin: user.admin,
            suspended: user.suspended,
            created_at: user.created_at.0,
            sessions_valid_from: user.sessions_valid_from.0,
            last_seen: user.last_seen.0,
            stream_epoch: user.stream_epoch.0,
        }
    }

    /// The user again, with the opened names.
    #[must_use]
    pub fn user(&self, id: UserId, username: String, display_name: String, external: Option<(String, String)>) -> User {
        User {
            id,
            username,
            display_name,
            password_hash: self.password_hash.clone(),
            external,
            admin: self.admin,
            suspended: self.suspended,
            created_at: WallTime(self.created_at),
            sessions_valid_from: WallTime(self.sessions_valid_from),
            last_seen: WallTime(self.last_seen),
            stream_epoch: Epoch(self.stream_epoch),
        }
    }
}

impl From<&Session> for StoredSession {
    fn from(session: &Session) -> Self {
        Self {
            device: *session.device.bytes(),
            created_at: session.created_at.0,
            used_at: session.used_at.0,
            expires_at: session.expires_at.0,
            refresh_hash: session.refresh_hash,
            previous_hash: session.previous_hash,
            ended_at: session.ended_at.map(|at| at.0),
            agent: session.agent.clone(),
        }
    }
}

impl StoredSession {
    /// The session again.
    #[must_use]
    pub fn session(self, user: UserId, id: SessionId) -> Session {
        Session {
            id,
            user,
            device: DeviceId(Uuid::from_bytes(self.device)),
            created_at: WallTime(self.created_at),
            used_at: WallTime(self.used_at),
            expires_at: WallTime(self.expires_at),
            refresh_hash: self.refresh_hash,
            previous_hash: self.previous_hash,
            ended_at: self.ended_at.map(WallTime),
            agent: self.agent,
        }
    }
}

impl From<&Device> for StoredDevice {
    fn from(device: &Device) -> Self {
        Self { created_at: device.created_at.0, seen_at: device.seen_at.0 }
    }
}

impl StoredDevice {
    /// The device again.
    #[must_use]
    pub fn device(self, user: UserId, id: DeviceId) -> Device {
        Device { id, user, created_at: WallTime(self.created_at), seen_at: WallTime(self.seen_at) }
    }
}

impl From<&StreamEvent> for StoredStream {
    fn from(event: &StreamEvent) -> Self {
        let kind = match event.kind {
            StreamKind::Added { room, by, role } => StoredStreamKind::Added(*room.bytes(), *by.bytes(), role_in(role)),
            StreamKind::Removed { room, by } => StoredStreamKind::Removed(*room.bytes(), *by.bytes()),
            StreamKind::Read { room, number } => StoredStreamKind::Read(*room.bytes(), number.0),
        };
        Self { at: event.at.0, kind }
    }
}

impl StoredStream {
    /// The entry again.
    ///
    /// # Errors
    /// [`Broken::Structure`] for a value that no version wrote.
    pub fn event(self, user: UserId, seq: Seq) -> Result<StreamEvent, Broken> {
        let kind = match self.kind {
            StoredStreamKind::Added(room, by, role) => {
                StreamKind::Added { room: room_id(room), by: user_id(by), role: role_out(role)? }
            }
            StoredStreamKind::Removed(room, by) => StreamKind::Removed { room: room_id(room), by: user_id(by) },
            StoredStreamKind::Read(room, number) => StreamKind::Read { room: room_id(room), number: Number(number) },
        };
        Ok(StreamEvent { user, seq, at: WallTime(self.at), kind })
    }
}

#[cfg(test)]
mod tests;
