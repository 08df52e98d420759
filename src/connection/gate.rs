//! Rooms whose live events do not go to a connection for now: held until resumed, or shed because the reader was behind.
//!
//! Nearly always empty, so that the path of a delivery asks one thing: is it?

use crate::base::RoomId;

/// Why a room's live events do not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The client asked to resume first (`hold`).
    Held,
    /// Live frames were shed; the client was told with `resync`.
    Shed,
}

/// The gated rooms of one connection.
#[derive(Debug, Default)]
pub struct Gates(Vec<(RoomId, Gate)>);

impl Gates {
    /// Why this room's events do not come, if they do not.
    #[must_use]
    pub fn get(&self, room: RoomId) -> Option<Gate> {
        if self.0.is_empty() {
            return None;
        }
        self.0.iter().find(|(gated, _)| *gated == room).map(|&(_, gate)| gate)
    }

    /// Closes the gate. Answers whether it was open.
    pub fn close(&mut self, room: RoomId, gate: Gate) -> bool {
        let open = self.get(room).is_none();
        if open {
            self.0.push((room, gate));
        }
        open
    }

    /// Opens it.
    pub fn open(&mut self, room: RoomId) {
        self.0.retain(|(gated, _)| *gated != room);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }
}
