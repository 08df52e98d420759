//! The domain: knows rooms and people, not bytes or cores.
//!
//! Every machine here has one face: it is given a command and `now`, changes itself, and says what follows. Nothing is told
//! to anybody before it was stored.

pub mod command;

pub use command::{
    Actor, HistoryPage, RoomChange, RoomCommand, RoomEntry, RoomReply, RoomSpec, UserCommand, UserReply,
};
