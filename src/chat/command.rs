//! What can be asked of a room and of a user, and what they answer. Closed enums: to know what can happen, read this file.

use std::sync::Arc;

use crate::base::{
    ClientId, DeviceId, Epoch, Event, Number, Position, Profile, Role, RoomId, RoomType, Seq, Session, SessionId,
    Status, StreamEvent, UserId, WallTime,
};
use crate::store::NameKey;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The user.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// The device.
    pub device: DeviceId,
    /// Administrators may list and remove what is public.
    pub admin: bool,
}

/// What a room is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomSpec {
    /// Public, private or direct.
    pub kind: RoomType,
    /// Checked by [`crate::base::text::check_line`]; empty for a direct room.
    pub name: String,
    /// The key of the folded name; `None` for a direct room.
    pub name_key: Option<NameKey>,
    /// May be empty.
    pub description: String,
    /// A JSON object as text, or empty.
    pub metadata: String,
    /// Who is in it from the start, beside the maker. They exist.
    pub members: Vec<UserId>,
}

/// What is to be different in a room; absent means: as it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoomChange {
    /// The new name with the key of its folded form.
    pub name: Option<(String, NameKey)>,
    /// The key of the present folded name (given whenever `name` is).
    pub old_name_key: Option<NameKey>,
    /// The new description.
    pub description: Option<String>,
    /// The new metadata, a JSON object as text.
    pub metadata: Option<String>,
    /// Days that messages are kept; `Some(None)`: as configured.
    pub retention_days: Option<Option<u32>>,
}

/// What can be asked of a room.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomCommand {
    /// Make it. A direct room that is there already is answered as it is.
    Create(Box<RoomSpec>),
    /// Its entry, for who may know of it.
    Describe,
    /// Say something.
    Post {
        /// The client's own id, a UUIDv7.
        client_id: ClientId,
        /// The text.
        content: String,
        /// A JSON object as text, or empty.
        metadata: String,
    },
    /// Take a message back.
    Delete {
        /// The message.
        seq: Seq,
        /// The client's own id of this request, if it gave a UUIDv7.
        client_id: Option<ClientId>,
    },
    /// Come in.
    Join,
    /// Go out.
    Leave,
    /// Bring somebody in (who exists).
    Add {
        /// Who.
        user: UserId,
        /// With which role.
        role: Role,
    },
    /// Put somebody out.
    Remove {
        /// Who.
        user: UserId,
    },
    /// Give somebody another role.
    SetRole {
        /// Who.
        user: UserId,
        /// Which.
        role: Role,
    },
    /// Change what stands in its record.
    Change(Box<RoomChange>),
    /// Remove the room. Carries the key of its folded name, so that it becomes free.
    Destroy {
        /// `None` for a direct room.
        name_key: Option<NameKey>,
    },
    /// A page of its log.
    History {
        /// Events before this one.
        before: Option<Seq>,
        /// Events after this one.
        after: Option<Seq>,
        /// How many at most.
        limit: u32,
    },
    /// What was missed since a position.
    Resume {
        /// From here.
        from: Position,
    },
    /// Move the read marker up to the number that this event has.
    Read {
        /// Up to which event.
        seq: Seq,
    },
    /// A typing mark.
    Typing {
        /// On or off.
        active: bool,
    },
    /// Who is in it, ascending by user.
    Participants {
        /// Continue after this one.
        after: Option<UserId>,
        /// How many at most.
        limit: u32,
    },
}

/// What a room answers.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomReply {
    /// Done (nothing more to say).
    Done {
        /// When.
        at: WallTime,
    },
    /// A message or deletion is durable.
    Posted {
        /// The log's epoch.
        epoch: Epoch,
        /// Its seq.
        seq: Seq,
        /// Its number.
        number: Number,
        /// When it was numbered.
        at: WallTime,
        /// It had been done before.
        duplicate: bool,
    },
    /// The room as its asker sees it. `created`: it was not there before.
    Entry {
        /// The room.
        entry: Box<RoomEntry>,
        /// Whether it was made by this very command.
        created: bool,
        /// Whether one's own membership began with this very command.
        joined: bool,
    },
    /// A page of its log.
    Page(Box<HistoryPage>),
    /// Events after the position asked from, ascending; `upto` is where one stands after them.
    Missed {
        /// What was missed, in its present state.
        events: Vec<Arc<Event>>,
        /// Where one stands after them.
        upto: Seq,
        /// There is more.
        more: bool,
    },
    /// The position cannot be resumed from.
    Reload {
        /// `retention`, `epoch`, `future`.
        reason: &'static str,
    },
    /// Who is in it.
    Participants {
        /// Members with role and status.
        members: Vec<(UserId, Role, Status)>,
        /// How many are in it in all.
        total: usize,
        /// There are more after the last one.
        more: bool,
    },
}

/// A room as it stands in `hello`, `rooms`, and the answers to `join` and REST.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomEntry {
    /// The room.
    pub room_id: RoomId,
    /// Its name; empty for a direct room.
    pub name: String,
    /// May be empty.
    pub description: String,
    /// A JSON object as text, or empty.
    pub metadata: String,
    /// Public, private or direct.
    pub kind: RoomType,
    /// One's own role; `None` when one is not in it.
    pub role: Option<Role>,
    /// The other one, in a direct room.
    pub peer: Option<UserId>,
    /// How many are in it.
    pub members: u32,
    /// The log's epoch.
    pub epoch: Epoch,
    /// The first event one may read.
    pub first_seq: Seq,
    /// The newest event.
    pub last_seq: Seq,
    /// The newest message's number.
    pub last_number: Number,
    /// One's own read marker.
    pub read_number: Number,
    /// When the newest event was written (the order of `hello` follows it).
    pub last_at: WallTime,
    /// When the room was made.
    pub created_at: WallTime,
    /// Days that messages are kept here; `None`: as configured.
    pub retention_days: Option<u32>,
}

/// A page of a room's log.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryPage {
    /// The room.
    pub room: RoomId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The first event one may read.
    pub first_seq: Seq,
    /// The newest event.
    pub last_seq: Seq,
    /// Whether there are more in the direction asked for.
    pub more: bool,
    /// Ascending by seq.
    pub events: Vec<Arc<Event>>,
}

/// What can be asked of a user (of the shard that owns the user).
#[derive(Clone, Debug, PartialEq)]
pub enum UserCommand {
    /// Their sessions that live, newest first.
    Sessions,
    /// End one session: closes its sockets (4410) on all shards.
    EndSession(SessionId),
    /// End all sessions but this one.
    EndOtherSessions(SessionId),
    /// A session was written by sign-in or refresh: take it over.
    SessionWritten(Box<Session>),
    /// The record was changed in the store (profile, password, suspension): load it anew.
    Reload,
    /// Take one message off the user's rate.
    Spend,
    /// What is known of the presence of one user.
    Presence,
    /// Entries of the user stream.
    Stream {
        /// After this seq.
        after: Seq,
        /// At most so many.
        limit: u32,
    },
}

/// What a user answers.
#[derive(Clone, Debug, PartialEq)]
pub enum UserReply {
    /// Done.
    Done,
    /// Sessions, newest first.
    Sessions(Vec<Session>),
    /// Status and last time seen.
    Presence(Status, WallTime),
    /// Entries of the user stream, ascending.
    Stream(Vec<StreamEvent>),
    /// Who it is (answer to authentication).
    Identity(Box<Actor>, Box<Profile>),
}
