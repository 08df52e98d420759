//! One user's connection, and what of it outlives the connection.

use std::os::fd::OwnedFd;

use uuid::Uuid;

use super::agenda::Action;
use crate::adapter::{Link, Position};
use crate::scenario::Kind;
use crate::secure::Tls;
use crate::stamp::Id;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// There is none.
    Away,
    /// TCP is on its way.
    Connecting,
    /// TLS is.
    Shaking,
    /// The HTTP upgrade is.
    Upgrading,
    /// The server has not said yet where the user stands.
    Opening,
    /// What was missed is on its way.
    CatchingUp,
    /// All there.
    Live,
}

/// Something that was sent and is not answered.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// Its number (see [`crate::stamp::Id`]).
    pub number: u32,
    /// Its key, the same for each retry.
    pub key: Uuid,
    /// When it was meant to be sent, in nanoseconds after the start.
    pub due: u64,
    /// Where.
    pub room: u32,
    /// Of a message: how many its sender had sent there before.
    pub nth: u32,
    /// The phase it belongs to.
    pub phase: usize,
    /// It was sent more than once.
    pub retried: bool,
    /// Not a message but this.
    pub kind: Option<Kind>,
    /// The place it is about.
    pub seq: u64,
    /// The connection on which it was sent.
    pub generation: u32,
}

/// A user with a connection or without. All times are nanoseconds after the engine's zero.
pub struct Conn {
    /// Who.
    pub user: u32,
    /// How far it is.
    pub stage: Stage,
    /// The socket.
    pub socket: Option<OwnedFd>,
    /// TLS on it, if any.
    pub tls: Option<Box<Tls>>,
    /// What the adapter keeps.
    pub link: Link,
    /// Counts the connections of the user.
    pub generation: u32,
    /// A frame (or the answer to the upgrade) that is not complete yet.
    pub rest: Vec<u8>,
    /// A message that comes in pieces, as far as it came.
    pub pieces: Vec<u8>,
    /// Sealed bytes that the socket did not take yet.
    pub out: Vec<u8>,
    /// Whether epoll watches for room to write.
    pub watches_room: bool,
    /// When something came last.
    pub heard: u64,
    /// When this connection was meant to be opened.
    pub began: u64,
    /// Attempts since the last one that came through.
    pub attempts: u32,
    /// When the user lost track: its connection ended, or it began to read again. 0: it did not.
    pub lost_at: u64,
    /// When it had caught up last.
    pub caught_up: u64,
    /// The user is to be there.
    pub wanted: bool,
    /// The user does not read at the moment.
    pub frozen: bool,
    /// It did not read, and has not caught up since.
    pub slow: bool,
    /// Waits in the queue of those to be opened.
    pub queued: bool,
    /// Rooms that are being resumed.
    pub awaited: u32,
    /// Rooms that the server greeted the user with and that stand elsewhere than the user.
    pub to_resume: Vec<Position>,
    /// Rooms and places to be reached until the user has caught up.
    pub goal: Vec<(u32, u64)>,
    /// What is not answered.
    pub pending: Vec<Pending>,
    /// Messages of the user so far.
    pub messages: u32,
    /// Messages of the user into each of their rooms so far, in the order of their rooms.
    pub into_rooms: Box<[u32]>,
    /// Of those the ones that the server refused, room and number in it: nobody gets them. Kept where nothing is numbered.
    pub refused: Vec<(u32, u32)>,
    /// Other requests of the user so far.
    pub requests: u32,
    /// An own message that is acked and not taken back: room and place.
    pub last_own: Option<(u32, u64)>,
}

impl Conn {
    /// The answer to what was just sent is waited for: to a message (no `kind`), or to another request about the place `seq`.
    #[allow(clippy::too_many_arguments)] // what is to be known when it comes
    pub fn wait_for(&mut self, action: Action, id: Id, key: Uuid, room: u32, nth: u32, kind: Option<Kind>, seq: u64) {
        self.pending.push(Pending {
            number: id.number,
            key,
            due: action.at,
            room,
            nth,
            phase: action.phase,
            retried: false,
            kind,
            seq,
            generation: self.generation,
        });
    }

    /// A user who was never there, in so many rooms.
    #[must_use]
    pub fn new(user: u32, rooms: usize) -> Self {
        Self {
            user,
            stage: Stage::Away,
            socket: None,
            tls: None,
            link: Link { user, ..Link::default() },
            generation: 0,
            rest: Vec::new(),
            pieces: Vec::new(),
            out: Vec::new(),
            watches_room: false,
            heard: 0,
            began: 0,
            attempts: 0,
            lost_at: 0,
            caught_up: 0,
            wanted: false,
            frozen: false,
            slow: false,
            queued: false,
            awaited: 0,
            to_resume: Vec::new(),
            goal: Vec::new(),
            pending: Vec::new(),
            messages: 0,
            into_rooms: vec![0; rooms].into(),
            refused: Vec::new(),
            requests: 0,
            last_own: None,
        }
    }

    /// Whether the server knows the user to be there.
    #[must_use]
    pub fn open(&self) -> bool {
        matches!(self.stage, Stage::CatchingUp | Stage::Live)
    }

    /// Whether it may send.
    #[must_use]
    pub fn speaks(&self) -> bool {
        self.stage == Stage::Live && !self.frozen
    }

    /// Whether it is on its way in.
    #[must_use]
    pub fn on_its_way(&self) -> bool {
        matches!(self.stage, Stage::Connecting | Stage::Shaking | Stage::Upgrading | Stage::Opening)
    }

    /// Forgets everything that belongs to the connection alone.
    pub fn drop_connection(&mut self) {
        self.stage = Stage::Away;
        self.socket = None;
        self.tls = None;
        self.rest = Vec::new();
        self.pieces = Vec::new();
        self.out = Vec::new();
        self.watches_room = false;
        self.awaited = 0;
        self.to_resume.clear();
        self.link = Link { user: self.user, room: self.link.room, ..Link::default() };
    }
}
