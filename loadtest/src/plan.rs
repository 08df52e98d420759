//! What a run is made of. Everything that changes its outcome stands here and comes out again in the report.

use std::time::Duration;

use serde::Serialize;

use crate::Failure;
use crate::tls::Trust;
use crate::token::Issuer;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `host:port` of the server.
    pub address: String,
    /// Path of the socket.
    pub path: String,
    /// Which certificate is believed.
    pub trust: Trust,
    /// Whose tokens the server believes.
    pub issuer: Issuer,
    /// The shape of the load.
    pub shape: Shape,
    /// The server's process, to read its CPU time and memory.
    pub server_pid: Option<u32>,
}

/// The shape of the load.
#[derive(Clone, Debug, Serialize)]
pub struct Shape {
    /// Sockets, one user each.
    pub connections: usize,
    /// Members of each room; every user is in one room.
    pub room_size: usize,
    /// Messages a second, over all.
    pub rate: f64,
    /// How long messages are sent, in seconds.
    pub seconds: f64,
    /// Characters of a message (at least 64: its id and times stand in it).
    pub payload: usize,
    /// Threads that hold the connections.
    pub threads: usize,
    /// Connections that are opened at the same time.
    pub connectors: usize,
    /// Pause between the last connection and the first message, in seconds; memory is read at its end.
    pub settle_seconds: f64,
    /// How long the last answers and deliveries are awaited, in seconds.
    pub drain_seconds: f64,
    /// Sends later than this at the 99th percentile make the run invalid: the generator was the bottleneck. Milliseconds.
    pub lateness_limit_ms: f64,
    /// Chooses the order in which users speak.
    pub seed: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            connections: 200,
            room_size: 50,
            rate: 50.0,
            seconds: 10.0,
            payload: 120,
            threads: 1,
            connectors: 4,
            settle_seconds: 2.0,
            drain_seconds: 10.0,
            lateness_limit_ms: 20.0,
            seed: 1,
        }
    }
}

impl Shape {
    /// How many messages will be sent.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // both are checked to be positive and small
    pub fn messages(&self) -> usize {
        (self.rate * self.seconds).round() as usize
    }

    /// How many rooms there are.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.connections.div_ceil(self.room_size.max(1))
    }

    /// The room that a user is in.
    #[must_use]
    pub fn room_of(&self, user: usize) -> usize {
        user / self.room_size.max(1)
    }

    /// When the message `k` is meant to be sent, after the start.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // far fewer messages than 2^52
    pub fn due(&self, k: usize) -> Duration {
        Duration::from_secs_f64(k as f64 / self.rate)
    }

    /// Who sends the message `k`: every user in turn, in an order that the seed chooses.
    #[must_use]
    pub fn senders(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.connections).collect();
        let mut state = self.seed;
        for i in (1..order.len()).rev() {
            state = split_mix(state);
            #[allow(clippy::cast_possible_truncation)] // the remainder fits
            order.swap(i, (state % (i as u64 + 1)) as usize);
        }
        order
    }

    /// # Errors
    /// When the shape makes no sense or would be refused by the server's own limits.
    pub fn checked(self) -> Result<Self, Failure> {
        let wrong = |why: &str| Err(Failure::new("the shape of the load", why));
        if self.connections == 0 || self.room_size < 2 || self.threads == 0 || self.connectors == 0 {
            return wrong("connections, threads and connectors are at least 1, a room has at least 2 members");
        }
        if !(self.rate > 0.0 && self.seconds > 0.0) {
            return wrong("rate and seconds must be above 0");
        }
        if !(64..=4096).contains(&self.payload) {
            return wrong("a message has 64 to 4,096 characters");
        }
        #[allow(clippy::cast_precision_loss)]
        if self.rate / self.connections as f64 > 10.0 {
            return wrong("each user would send more than the 10 messages a second that a server allows");
        }
        Ok(self)
    }
}

/// The next number of a sequence that looks random (SplitMix64).
#[must_use]
pub fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_speaks_once_a_round_and_the_seed_decides_the_order() {
        let shape = Shape { connections: 100, ..Shape::default() };
        let mut order = shape.senders();
        assert_ne!(order, Shape { seed: 2, ..shape.clone() }.senders());
        assert_eq!(order, shape.senders());
        order.sort_unstable();
        assert!(order.into_iter().eq(0..100));
    }

    #[test]
    fn sends_are_evenly_spread() {
        let shape = Shape { rate: 200.0, seconds: 60.0, ..Shape::default() };
        assert_eq!(shape.messages(), 12_000);
        assert_eq!(shape.due(200), Duration::from_secs(1));
    }

    #[test]
    fn shapes_that_the_server_would_refuse_are_refused() {
        assert!(Shape { connections: 2, rate: 21.0, ..Shape::default() }.checked().is_err());
        assert!(Shape { payload: 5000, ..Shape::default() }.checked().is_err());
        assert!(Shape { rate: f64::NAN, ..Shape::default() }.checked().is_err());
        assert!(Shape::default().checked().is_ok());
    }
}
