//! How a server is spoken to: everything that differs from one server to the next, without any IO of the run itself.
//!
//! There is one object a run, shared by all threads. What it must remember of a connection stands in its [`Link`]. The engine
//! opens sockets, keeps time and checks; the adapter makes frames and says what came. To add a server: implement [`Adapter`],
//! say in [`Can`] what it promises, and name it in [`by_name`].

pub mod centrifugo;
pub mod native;
pub mod raw;
pub mod socketio;

use std::fmt;

use uuid::Uuid;

use crate::check::Log;
use crate::scenario::{Kind, Population};
use crate::stamp::{Id, Stamp};
use crate::target::Target;
use crate::world::World;
use crate::{Failure, token::Issuer};

/// What a server promises; the checker holds it to that and to nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Can {
    /// Events of a room are numbered without holes. Without it the checker goes by sender and counter.
    pub seq: bool,
    /// A send is answered.
    pub ack: bool,
    /// A client that comes back gets what it missed.
    pub resume: bool,
    /// A room's log can be read back with [`Adapter::logs`].
    pub log: bool,
    /// A sender gets a copy of its own message.
    pub echo: bool,
    /// Something comes every few seconds, if only a ping: who hears nothing for long has lost the server.
    pub heartbeat: bool,
}

/// Number of a room that the run does not know.
pub const UNKNOWN_ROOM: u32 = u32::MAX;

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The connection is live: authenticated, in its rooms, every [`Said::Position`] told.
    Ready,
    /// The user's room stands here.
    Position {
        /// Number of the room.
        room: u32,
        /// Its epoch; 0 where there is none.
        epoch: u64,
        /// Its newest event.
        seq: u64,
    },
    /// A message is taken.
    Ack {
        /// Which.
        id: Id,
        /// Number of the room, if it is said.
        room: Option<u32>,
        /// Its place, if it is said.
        seq: Option<u64>,
    },
    /// Another request is done.
    Done {
        /// Which.
        id: Id,
        /// The place it took in the room it was about, if it took one (a message taken back).
        seq: Option<u64>,
    },
    /// A page of history came.
    History {
        /// For which request.
        id: Id,
        /// Messages in it.
        rows: u32,
    },
    /// Somebody's message.
    Delivery {
        /// Number of the room it came from; [`UNKNOWN_ROOM`] when the run has no such room. Where the server does not say: the stamp's.
        room: u32,
        /// Its place, where there is one.
        seq: Option<u64>,
        /// What stands in it.
        stamp: Stamp,
    },
    /// Something else that takes a place in a room (a join, a message taken back).
    Event {
        /// Number of the room, or [`UNKNOWN_ROOM`].
        room: u32,
        /// Its place.
        seq: u64,
    },
    /// A message whose text is gone, because it was taken back.
    Gone {
        /// Number of the room, or [`UNKNOWN_ROOM`].
        room: u32,
        /// Its place.
        seq: u64,
    },
    /// Something was not done.
    Refused {
        /// Which message or request, if it is said.
        id: Option<Id>,
        /// The server's name for why.
        code: Box<str>,
        /// After how many milliseconds it may be tried again; `None`: never.
        retry_ms: Option<u64>,
    },
    /// Live frames of the room were dropped: resume.
    Resync {
        /// Number of the room.
        room: u32,
    },
    /// All up to here was sent.
    Resumed {
        /// Number of the room.
        room: u32,
        /// The client now stands here.
        seq: u64,
        /// There is more: resume again.
        more: bool,
    },
    /// What was missed cannot be had any more.
    Reload {
        /// Number of the room.
        room: u32,
        /// Why.
        reason: Box<str>,
    },
    /// A frame that changes nothing (typing, presence); counted under this name.
    Other(&'static str),
    /// A frame that no server of this kind sends; the run fails.
    Nonsense(Box<str>),
}

/// What an adapter remembers of one connection. New for each connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    /// Whose it is.
    pub user: u32,
    /// How far it is; the adapter's own meaning, 0 at the start.
    pub stage: u32,
    /// Free for the adapter, such as the number of the last request.
    pub number: u32,
    /// Number of the room that was named last: it is looked up without searching when it is named again.
    pub room: u32,
    /// Time of the send, set by the engine before [`Adapter::send`] and [`Adapter::request`]: milliseconds since 1970.
    pub millis: u64,
}

/// A position in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Number of the room.
    pub room: u32,
    /// Its epoch.
    pub epoch: u64,
    /// The last event that came without a hole before it.
    pub seq: u64,
}

/// Text frames to be sent, kept in one buffer.
#[derive(Debug, Default)]
pub struct Frames {
    text: String,
    ends: Vec<usize>,
}

impl Frames {
    /// Adds a frame.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    /// Adds a frame: `frames.write(format_args!(…))`.
    pub fn write(&mut self, text: fmt::Arguments<'_>) {
        let _ = fmt::Write::write_fmt(&mut self.text, text);
        self.ends.push(self.text.len());
    }

    /// The frames in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end])
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes all out, keeping the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

/// The HTTP request that opens a WebSocket. The engine adds what every upgrade has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upgrade {
    /// Path with query. Empty: the target's path.
    pub path: String,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
}

/// A message to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Number of the room.
    pub room: u32,
    /// Which message.
    pub id: Id,
    /// Its key, the first word of the text too.
    pub key: Uuid,
    /// Plain ASCII without quotes and backslashes: it may stand in a JSON string as it is.
    pub text: &'a str,
}

/// Another request to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Which kind.
    pub kind: Kind,
    /// Number of the room it is about.
    pub room: u32,
    /// Which request (see [`Id::REQUEST`]).
    pub id: Id,
    /// Its key.
    pub key: Uuid,
    /// The newest event of the room that this user knows (read), or an own message's place (edit, delete).
    pub seq: u64,
}

/// What came of asking an adapter for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It will be answered.
    Answered,
    /// It was made, and no answer is to be awaited.
    Silent,
    /// This server knows nothing of the kind: nothing was made.
    Unknown,
}

/// What is needed to make users and rooms.
#[derive(Clone, Debug)]
pub struct Ground<'a> {
    /// Where the server is.
    pub target: &'a Target,
    /// Who is to be there.
    pub population: &'a Population,
    /// Who signs tokens.
    pub issuer: &'a Issuer,
    /// Tells this run from every other.
    pub mark: &'a str,
}

/// A server's language.
pub trait Adapter: Send + Sync {
    /// Its name on the command line and in the report.
    fn name(&self) -> &'static str;

    /// What it promises.
    fn can(&self) -> Can;

    /// What a server of this kind says until a connection is live, in words: for whoever pointed it at another kind.
    fn greeting(&self) -> &'static str;

    /// Makes the rooms and brings everybody in, before anything is measured. Answers the name of every room, by number, as the
    /// server's frames will say it. May block.
    ///
    /// # Errors
    /// When the server refuses.
    fn rooms(&self, ground: &Ground<'_>, world: &World) -> Result<Vec<String>, Failure>;

    /// How a user's socket is opened.
    fn upgrade(&self, world: &World, user: u32) -> Upgrade;

    /// What is sent as soon as the socket is open (nothing, where the server speaks first).
    fn opened(&self, world: &World, link: &mut Link, frames: &mut Frames);

    /// Reads one text frame: what it says goes into `said` in order, what must be answered at once into `frames`. Called for every
    /// delivery: it must not allocate for those.
    fn hear(&self, world: &World, link: &mut Link, text: &str, said: &mut Vec<Said>, frames: &mut Frames);

    /// Makes the frame of a message.
    fn send(&self, world: &World, link: &mut Link, message: &Message<'_>, frames: &mut Frames);

    /// Makes the frame of another request.
    fn request(&self, world: &World, link: &mut Link, request: &Request, frames: &mut Frames) -> Asked {
        let _ = (world, link, request, frames);
        Asked::Unknown
    }

    /// Asks for what was missed since these positions. Only where [`Can::resume`].
    fn resume(&self, world: &World, link: &mut Link, positions: &[Position], frames: &mut Frames) {
        let _ = (world, link, positions, frames);
    }

    /// Reads the whole logs of these rooms back, after the run, in the order asked. May block. Only where [`Can::log`].
    ///
    /// # Errors
    /// When the server refuses.
    fn logs(&self, target: &Target, world: &World, rooms: &[u32]) -> Result<Vec<Log>, Failure> {
        let _ = (target, world, rooms);
        Ok(Vec::new())
    }
}

/// The names of all adapters.
pub const NAMES: &[&str] = &["causerie", "raw", "socketio", "centrifugo", "centrifugo-history"];

/// The adapter of this name.
///
/// # Errors
/// When there is none; the text lists those that are.
pub fn by_name(name: &str) -> Result<Box<dyn Adapter>, Failure> {
    match name {
        "causerie" => Ok(Box::new(native::Native)),
        "raw" => Ok(Box::new(raw::Raw)),
        "socketio" => Ok(Box::new(socketio::SocketIo)),
        "centrifugo" => Ok(Box::new(centrifugo::Centrifugo { history: false })),
        "centrifugo-history" => Ok(Box::new(centrifugo::Centrifugo { history: true })),
        _ => Err(Failure::new("--adapter", format!("{name:?} is not one of {}", NAMES.join(", ")))),
    }
}
