//! The domain: knows rooms and people, not bytes or cores.
//!
//! Every machine here has one face: it is given a command and `now`, changes itself, and says what follows. Nothing is told
//! to anybody before it was stored.

pub mod answered;
pub mod command;
pub mod effect;
mod membership;
mod parked;
mod posting;
pub mod presence;
pub mod rate;
pub mod reading;
mod reads;
pub mod room;
mod settings;
pub mod timeline;

pub use command::{
    Actor, HistoryPage, RoomChange, RoomCommand, RoomEntry, RoomReply, RoomSpec, UserCommand, UserReply,
};
pub use effect::{Purpose, ReplyTo, RoomEffect, What};
pub use room::Room;
