//! Ping when nothing came in for a while, and the end of who stays silent.

use crate::base::Moment;
use crate::base::limits::{HEARTBEAT_MS, SILENT_MS};

/// When a connection was last heard and pinged.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat {
    heard: Moment,
    pinged: Moment,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Nothing.
    Fine,
    /// Send a ping.
    Ping,
    /// No byte for 30 s: close with 4504.
    Silent,
}

impl Heartbeat {
    /// Heard just now.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self { heard: now, pinged: now }
    }

    /// Bytes came in.
    pub fn heard(&mut self, now: Moment) {
        self.heard = now;
    }

    /// To be asked about once a second.
    pub fn beat(&mut self, now: Moment) -> Beat {
        if now >= self.heard.plus_ms(SILENT_MS) {
            return Beat::Silent;
        }
        if now >= self.heard.max(self.pinged).plus_ms(HEARTBEAT_MS) {
            self.pinged = now;
            return Beat::Ping;
        }
        Beat::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_is_pinged_twice_and_then_gone() {
        let mut heartbeat = Heartbeat::new(Moment(0));
        let mut pings = 0;
        for second in 1..30 {
            match heartbeat.beat(Moment(second * 1_000_000)) {
                Beat::Ping => pings += 1,
                beat => assert_eq!(beat, Beat::Fine),
            }
        }
        assert_eq!(pings, 2);
        assert_eq!(heartbeat.beat(Moment(30_000_000)), Beat::Silent);
        heartbeat.heard(Moment(30_000_000));
        assert_eq!(heartbeat.beat(Moment(31_000_000)), Beat::Fine);
    }
}
