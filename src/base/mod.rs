//! The words everybody uses: identifiers, time as values, limits, and the plain data of rooms, events and users.
//!
//! Promises: nothing here decides anything, reads a clock or touches a socket. Everything else may use this folder; it uses
//! nothing of ours.

pub mod code;
pub mod event;
pub mod id;
pub mod limits;
pub mod room;
pub mod text;
pub mod time;
pub mod user;

pub use code::{Close, Code, Refusal};
pub use event::{Event, EventKind, EventStatus};
pub use id::{
    ClientId, ConnId, DeviceId, Epoch, MessageId, Number, Position, RoomId, Seq, SessionId, ShardId, Slot, UserId,
};
pub use room::{Interval, Member, Role, Room, RoomType};
pub use time::{Moment, WallTime};
pub use user::{Device, Profile, Session, Status, StreamEvent, StreamKind, User};
