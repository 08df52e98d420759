//! The one enum that crosses cores. Each variant says what happens when a full lane does not take it.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::auth::Claims;
use crate::base::{
    ClientId, Close, Code, ConnId, DeviceId, Event, Moment, Number, Position, Refusal, Role, RoomId, Seq, Status,
    StreamEvent, UserId, WallTime,
};
use crate::chat::presence::Told;
use crate::chat::{Actor, ReplyTo, RoomCommand, RoomEntry, RoomReply};
use crate::connection::Welcome;

/// What one shard tells another.
///
/// **Refused**: the asker is answered `busy` and tries again. **Kept**: it waits at the sender and goes out before anything newer
/// of its kind. **Marked**: the receiver is told later where it should stand, and resyncs. **Lost**: nobody needs it.
#[derive(Debug)]
pub enum ShardMessage {
    // ---- to a user's owner ----
    /// A connection says who it is. If not taken: refused (closed with 4503).
    Connect(Box<Connect>),
    /// A connection is over. If not taken: kept.
    Disconnect {
        /// Whose.
        user: UserId,
        /// Which.
        conn: ConnId,
    },
    /// A connection's status changed. If not taken: kept.
    Status {
        /// Whose.
        user: UserId,
        /// On which connection.
        conn: ConnId,
        /// What.
        status: Status,
    },
    /// Messages were taken from the user's rate here. If not taken: lost (the others learn of later ones).
    Spent {
        /// Whose.
        user: UserId,
        /// How many.
        n: u32,
        /// Where.
        by: crate::base::ShardId,
    },
    /// A device confirmed a position. If not taken: lost (a later one says more).
    Confirmed {
        /// Whose.
        user: UserId,
        /// Which device.
        device: DeviceId,
        /// In which room.
        room: RoomId,
        /// Up to which event.
        seq: Seq,
    },
    /// A membership began or ended. If not taken: kept.
    Membership(Box<MembershipChange>),
    /// A read marker moved. If not taken: kept.
    ReadMoved {
        /// Whose.
        user: UserId,
        /// In which room.
        room: RoomId,
        /// Up to which message.
        number: Number,
        /// When.
        at: WallTime,
    },

    /// A connection resumes the user stream. If not taken: refused.
    StreamAsk {
        /// Whose.
        user: UserId,
        /// On which connection.
        conn: ConnId,
        /// The request's id.
        id: Option<ClientId>,
        /// From here.
        from: Position,
    },

    // ---- from a user's owner to the shards of the user's connections ----
    /// A connection is accepted. If not taken: kept.
    Welcome(Box<Welcome>),
    /// A connection is refused, or its session is over. If not taken: kept.
    End {
        /// Which.
        conn: ConnId,
        /// How.
        close: Close,
        /// Why, told in an `error` frame before.
        code: Option<Code>,
    },
    /// Messages were taken from the user's rate elsewhere. If not taken: lost.
    Debited {
        /// Whose.
        user: UserId,
        /// How many.
        n: u32,
    },
    /// Whether the user is connected on other shards too, so that what is spent must be told. If not taken: kept.
    Shared {
        /// Whose.
        user: UserId,
        /// Whether.
        shared: bool,
    },
    /// An entry of the user stream is durable. If not taken: kept.
    Stream {
        /// What.
        event: Box<StreamEvent>,
    },

    /// The answer to [`ShardMessage::StreamAsk`]. If not taken: kept.
    StreamMissed(Box<StreamMissed>),

    // ---- to a room's owner ----
    /// A request. If not taken: refused.
    Command(Box<Command>),
    /// A connection wants the events of these rooms, of which its user is a member. If not taken: refused (closed with 4503).
    Subscribe {
        /// The connection.
        conn: ConnId,
        /// Its user.
        user: UserId,
        /// The rooms, all of this owner.
        rooms: Vec<RoomId>,
        /// Only their entries are wanted (a page of `rooms`), not their events.
        look: bool,
    },
    /// So many connections of a shard do not want the events of a room any more. If not taken: kept.
    Unsubscribe {
        /// The room.
        room: RoomId,
        /// From which shard.
        shard: crate::base::ShardId,
        /// How many.
        n: u32,
    },
    /// A connection begins to watch a room's presence by names, or a shard's last one ceased. If not taken: lost.
    Watch {
        /// The room.
        room: RoomId,
        /// Who wants to know, on which connection; `None`: nobody of the shard any more.
        watcher: Option<(ConnId, UserId)>,
        /// From which shard.
        shard: crate::base::ShardId,
    },
    /// A user's status in these rooms, all of this owner. If not taken: kept.
    Statuses {
        /// Whose.
        user: UserId,
        /// What.
        status: Status,
        /// Last time seen.
        last_seen: WallTime,
        /// Where.
        rooms: Vec<RoomId>,
    },

    // ---- from a room's owner to the shards of its listeners ----
    /// The rooms asked for, as the connection's user sees them. If not taken: kept.
    Subscribed {
        /// The connection.
        conn: ConnId,
        /// The rooms that there are and of which the user is a member.
        entries: Vec<RoomEntry>,
        /// As asked.
        look: bool,
    },
    /// An event is durable. If not taken: marked.
    Deliver(Delivery),
    /// The answer to a request. If not taken: kept.
    Reply(Box<Reply>),
    /// Presence of a room. If not taken: lost (a later one says more).
    Presence {
        /// The room.
        room: RoomId,
        /// What.
        told: Box<Told>,
    },
    /// All who are there, for somebody who begins to watch. If not taken: lost.
    PresenceAll {
        /// For whom.
        conn: ConnId,
        /// The room.
        room: RoomId,
        /// What.
        told: Box<Told>,
    },
    /// A typing mark. If not taken: lost.
    Typing {
        /// The room.
        room: RoomId,
        /// Who.
        user: UserId,
        /// On or off.
        active: bool,
    },
    /// The room stands at `seq`: who has not come that far resyncs. If not taken: kept.
    Behind {
        /// The room.
        room: RoomId,
        /// Where it stands.
        seq: Seq,
    },
    /// The room's owner has lost it from memory with those who listen (what is stored of it is damaged). If not taken: kept. Their connections
    /// end with 4503: they come back and resume.
    Lost {
        /// Which.
        room: RoomId,
    },
    /// The room is gone. If not taken: kept.
    RoomGone {
        /// Which.
        room: RoomId,
    },
}

/// A connection says who it is.
#[derive(Debug)]
pub struct Connect {
    /// The connection.
    pub conn: ConnId,
    /// From a token whose signature and times were checked.
    pub claims: Claims,
    /// The client's own device id.
    pub device: Option<DeviceId>,
    /// `User-Agent`.
    pub agent: String,
    /// From where.
    pub peer: IpAddr,
}

/// What was missed of a user stream.
#[derive(Debug)]
pub struct StreamMissed {
    /// On which connection.
    pub conn: ConnId,
    /// The request's id.
    pub id: Option<ClientId>,
    /// Events, where one stands after them, whether there is more; or why it has to be loaded anew.
    pub result: Result<(Vec<StreamEvent>, Seq, bool), StreamRefused>,
}

/// Why a user stream cannot be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRefused {
    /// `epoch`, `retention`, `future`.
    Reload(&'static str),
    /// The store cannot be used now.
    Unavailable,
}

/// A membership began or ended.
#[derive(Debug)]
pub struct MembershipChange {
    /// Whose.
    pub user: UserId,
    /// Where.
    pub room: RoomId,
    /// `Some`: it began, with this role.
    pub role: Option<Role>,
    /// Who did it.
    pub by: UserId,
    /// When.
    pub at: WallTime,
}

/// A request to a room.
#[derive(Debug)]
pub struct Command {
    /// Which.
    pub room: RoomId,
    /// Who asks.
    pub actor: Actor,
    /// What.
    pub command: RoomCommand,
    /// Where the answer goes.
    pub to: ReplyTo,
    /// When the asking shard took it.
    pub taken: Moment,
}

/// An event for the listeners on one shard.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The event.
    pub event: Arc<Event>,
    /// It as a frame, made once.
    pub frame: Bytes,
    /// The author's connection, which gets no copy.
    pub conn: Option<ConnId>,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Reply {
    /// Of which room.
    pub room: RoomId,
    /// To whom.
    pub to: ReplyTo,
    /// What.
    pub result: Result<RoomReply, Refusal>,
    /// The asking connection gets the room's events from now on.
    pub subscribed: bool,
}

// Thousands of them wait in lanes: a large variant would be paid by all.
const _: () = assert!(size_of::<ShardMessage>() <= 80);
