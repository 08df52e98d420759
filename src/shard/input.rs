//! What can happen to a shard, and what follows from it. Two closed enums; the shell's pump is between them and the world.

use std::net::IpAddr;
use std::sync::Arc;

use crate::auth::Claims;
use crate::auth::token::Verifier;
use crate::base::{Close, ConnId, Refusal, RoomId, ShardId, UserId};
use crate::chat::{Actor, RoomCommand, RoomReply, UserCommand, UserReply};
use crate::metrics::Snapshot;
use crate::store::{Answer, Failure, Outcome, Query, Write};

use super::message::ShardMessage;

/// What can happen to a shard.
#[derive(Debug)]
pub enum Input {
    /// One text message of a client, complete and valid UTF-8.
    Text {
        /// Whose.
        conn: ConnId,
        /// The message.
        text: String,
    },
    /// Bytes came in on a connection (pongs included).
    Heard {
        /// On which.
        conn: ConnId,
    },
    /// All bytes handed out before have left; more may be taken.
    Writable {
        /// On which.
        conn: ConnId,
    },
    /// The socket is gone.
    Gone {
        /// Which.
        conn: ConnId,
        /// Why, for the metrics: `peer`, `error`, `timeout`, or the reason of a [`Close`].
        why: &'static str,
    },
    /// A batch from another shard, in the order it was sent.
    Lane {
        /// From which.
        from: ShardId,
        /// What it says.
        batch: Vec<ShardMessage>,
    },
    /// The lane to another shard was full: this batch was not sent.
    LaneFull {
        /// To which.
        to: ShardId,
        /// What was not sent.
        batch: Vec<ShardMessage>,
    },
    /// The store answered.
    Stored {
        /// Which job.
        token: StoreToken,
        /// What.
        result: StoreResult,
    },
    /// A question from outside the sockets (REST, operators).
    Ask {
        /// For the answer.
        id: AskId,
        /// What is asked.
        ask: Ask,
    },
    /// Keys have changed.
    Keys(Arc<Verifier>),
    /// The server is about to stop: tell everybody, each with a time to come back from a window of this width.
    Drain {
        /// Width of the window, in milliseconds.
        window_ms: u64,
    },
    /// A deadline has passed (see `Shard::next_deadline`).
    Tick,
}

/// A new WebSocket connection, after the upgrade.
#[derive(Clone, Debug)]
pub struct Opened {
    /// From where.
    pub peer: IpAddr,
    /// From the upgrade's `Authorization` header, verified and its session found alive; `None`: the first frame must authenticate.
    pub claims: Option<Claims>,
    /// `User-Agent`, cut to 200 characters.
    pub agent: String,
}

/// A job for the store; its answer comes back as [`Input::Stored`] with the same token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreToken(pub u64);

/// What the store shall do.
#[derive(Debug)]
pub struct StoreJob {
    /// For the answer.
    pub token: StoreToken,
    /// What.
    pub op: StoreOp,
}

/// A read or a write.
#[derive(Debug)]
pub enum StoreOp {
    /// Change something. Writes of one shard take effect in the order they were given.
    Write(Write),
    /// Ask something.
    Read(Query),
}

/// What became of a job.
#[derive(Debug)]
pub enum StoreResult {
    /// Of a write.
    Written(Result<Outcome, Failure>),
    /// Of a read.
    Read(Result<Answer, Failure>),
}

/// A question from outside the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AskId(pub u64);

/// What is asked from outside the sockets. Sent to the owner of the room or user it is about.
#[derive(Debug)]
pub enum Ask {
    /// Does this session live, and whose is it? Makes an external user at first sight. To the user's owner.
    Authenticate {
        /// From a token whose signature and times were checked.
        claims: Box<Claims>,
    },
    /// Something of a room. To the room's owner.
    Room {
        /// Which.
        room: RoomId,
        /// Who asks.
        actor: Actor,
        /// What.
        command: RoomCommand,
    },
    /// Something of a user. To the user's owner.
    User {
        /// Which.
        user: UserId,
        /// What.
        command: UserCommand,
    },
    /// May somebody try to sign in? To `Slot::of(key)`'s owner; counts as an attempt.
    Attempt {
        /// `addr:…` or `name:…`.
        key: String,
    },
    /// An attempt succeeded: forget the earlier ones.
    AttemptSucceeded {
        /// As above.
        key: String,
    },
    /// Counters and gauges as they are now.
    Metrics,
}

/// The answer to an [`Ask`].
#[derive(Debug)]
pub enum AskAnswer {
    /// Of a room.
    Room(RoomReply),
    /// Of a user.
    User(UserReply),
    /// It may be tried.
    Allowed,
    /// Counters and gauges.
    Metrics(Box<Snapshot>),
}

/// What follows from an input. The caller owns the buffers and empties them each turn.
#[derive(Debug, Default)]
pub struct Effects {
    /// For other shards, in order. The pump makes one batch a destination and turn.
    pub sends: Vec<(ShardId, ShardMessage)>,
    /// For the store, in order.
    pub jobs: Vec<StoreJob>,
    /// Answers to questions.
    pub answers: Vec<(AskId, Result<AskAnswer, Refusal>)>,
    /// Connections that have something to be written (each once): call `Shard::take_output`.
    pub dirty: Vec<ConnId>,
    /// For the audit log.
    pub audit: Vec<Audit>,
}

/// What a connection has to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// More is waiting: call again when these bytes are gone.
    pub more: bool,
    /// Close the socket with this code after these bytes. The shard has forgotten the connection; no `Gone` is needed.
    pub close: Option<Close>,
}

/// A line for the audit log. Never holds text or tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// What happened: `refused`, `session_ended`, `connected`, …
    pub what: &'static str,
    /// Who did it.
    pub user: Option<UserId>,
    /// In which room.
    pub room: Option<RoomId>,
    /// On which connection.
    pub conn: Option<ConnId>,
    /// The code of a refusal.
    pub code: Option<&'static str>,
}
