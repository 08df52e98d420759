//! One connection from first byte to last: its phase, what it may send, what waits for it, when it is over.
//!
//! A connection is `Greeting` until it said who it is, `Arriving` until its rooms are known, then `Live`; `Over` while its last
//! bytes leave. It holds no room and no other connection; the shard joins them.

pub mod gate;
pub mod heartbeat;
pub mod outbox;

use std::collections::VecDeque;
use std::net::IpAddr;

use bytes::Bytes;

use crate::base::{ClientId, Close, ConnId, Moment, Position, RoomId, Status, UserId, WallTime};
use crate::chat::rate::Bucket;
use crate::chat::{Actor, RoomCommand, RoomEntry};
use crate::wire::frame::ServerFrame;
use crate::wire::{native, websocket};

use gate::Gates;
use heartbeat::Heartbeat;
use outbox::Outbox;

/// Where a connection stands.
#[derive(Debug)]
pub enum Phase {
    /// Nobody yet: the first frame must authenticate.
    Greeting {
        /// Until then.
        until: Moment,
    },
    /// Somebody, whose rooms are on their way.
    Arriving(Box<Arrival>),
    /// Somebody.
    Live,
    /// Its last bytes are on their way out.
    Over,
}

/// What is gathered for the `hello`.
#[derive(Debug)]
pub struct Arrival {
    /// From the user's owner; `None` until it answered.
    pub welcome: Option<Box<Welcome>>,
    /// Room owners that have not answered yet.
    pub awaited: usize,
    /// What the others answered.
    pub entries: Vec<RoomEntry>,
    /// Give up then.
    pub until: Moment,
}

/// What the user's owner says of a new connection.
#[derive(Clone, Debug)]
pub struct Welcome {
    /// The connection.
    pub conn: ConnId,
    /// Who it is.
    pub actor: Actor,
    /// What others see of them.
    pub profile: crate::base::Profile,
    /// The rooms they are in.
    pub rooms: Vec<RoomId>,
    /// Where their stream stands.
    pub stream: Position,
    /// Whether the user is connected on other shards too.
    pub shared: bool,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Its name.
    pub id: ConnId,
    /// Where it stands.
    pub phase: Phase,
    /// Who it is, from the phase `Arriving` on.
    pub actor: Option<Actor>,
    /// Who it says it is, from the moment a valid token was shown.
    pub claimed: Option<UserId>,
    /// From where.
    pub peer: IpAddr,
    /// When its token ends.
    pub expires: WallTime,
    /// Whether it was told that its token ends soon.
    pub expiry_told: bool,
    /// Live events of a room wait until it was resumed.
    pub hold: bool,
    /// What waits.
    pub outbox: Outbox,
    /// Rooms whose live events do not go to it.
    pub gates: Gates,
    /// Rooms whose events go to it, in no order.
    pub rooms: Vec<RoomId>,
    /// Rooms for which it wants names.
    pub watch: Vec<RoomId>,
    /// Own status.
    pub status: Status,
    /// Ping and silence.
    pub heartbeat: Heartbeat,
    /// Everything but `chat`.
    pub requests: Bucket,
    /// It has something to write and is in [`crate::shard::Effects::dirty`].
    pub dirty: bool,
    /// Close with this code once the outbox is empty (or at once when the reader is stuck).
    pub close: Option<Close>,
    /// `User-Agent`, for the session's record.
    pub agent: String,
    /// Refused frames in a row, for who will not learn.
    pub strikes: u32,
    /// A page of its rooms that is being gathered.
    pub paging: Option<Box<Paging>>,
    /// Rooms that stood in the `hello`, when there were more than fitted: pages give the rest.
    pub told: Vec<RoomId>,
    /// Pages that wait for their turn.
    pub pages: Pages,
}

/// Requests with large answers: one is on its way, the others wait until its answer has left.
#[derive(Debug, Default)]
pub struct Pages {
    /// The oldest was asked of its owner.
    pub asked: bool,
    /// In the order of the client's frames.
    pub waiting: VecDeque<PageWanted>,
}

/// A page that a client asked for.
#[derive(Debug)]
pub struct PageWanted {
    /// The request's id.
    pub id: Option<ClientId>,
    /// Of which room.
    pub room: RoomId,
    /// `history` or `resume`.
    pub command: RoomCommand,
    /// When the frame came.
    pub taken: Moment,
}

/// A page of a connection's rooms that is being gathered from their owners.
#[derive(Debug)]
pub struct Paging {
    /// The request's.
    pub id: Option<ClientId>,
    /// Owners that have not answered yet.
    pub awaited: usize,
    /// What the others answered.
    pub entries: Vec<RoomEntry>,
    /// For the next page.
    pub cursor: Option<String>,
}

impl Connection {
    /// The user, once known.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        self.actor.map(|actor| actor.user)
    }

    /// Whether events and answers may be handed out (the `hello` comes first).
    #[must_use]
    pub fn may_write(&self) -> bool {
        matches!(self.phase, Phase::Live | Phase::Over) || (matches!(self.phase, Phase::Greeting { .. }))
    }
}

/// A frame as it leaves: JSON in a WebSocket text frame, made once for all receivers.
#[must_use]
pub fn frame(frame: &ServerFrame) -> Bytes {
    websocket::text_frame(&native::encode(frame))
}
