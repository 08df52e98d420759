//! What a run does, as a TOML file says it: who is there, how they connect, what happens in each phase, what is expected of it.
//!
//! Nothing here does anything. [`Scenario::read`] takes a text, [`Scenario::checked`] names the key that makes no sense. All of
//! it comes out again in the report, so that a run can be repeated.

mod check;
mod expect;
mod list;

use serde::{Deserialize, Serialize};

pub use expect::Expect;
pub use list::{BUILT_IN, find};

/// A scenario. All rates are a second and over all users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// A short name; the built-in ones are named as their file.
    pub name: String,
    /// One sentence: what it is there to show.
    #[serde(default)]
    pub about: String,
    /// Decides everything that is left to chance. The same seed gives the same sends at the same times.
    #[serde(default = "one")]
    pub seed: u64,
    /// Who is there.
    #[serde(default)]
    pub population: Population,
    /// How they connect.
    #[serde(default)]
    pub connect: Connect,
    /// What happens, one after the other. Without any: nothing but connecting and leaving.
    #[serde(default, rename = "phase", skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// How long the last answers and deliveries are awaited after the last phase, in seconds.
    #[serde(default = "twenty")]
    pub drain_seconds: f64,
    /// Sends later than this at the 99th percentile of a phase make the run invalid, in milliseconds.
    #[serde(default = "twenty")]
    pub lateness_limit_ms: f64,
    /// What must be so for the run to pass, beside that nothing is lost, doubled or reordered.
    #[serde(default)]
    pub expect: Expect,
}

/// Who is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Population {
    /// Connections, one user each.
    pub connections: usize,
    /// Members of each room.
    pub room_size: usize,
    /// Rooms that each user is in.
    pub rooms_per_user: usize,
    /// Characters of a message (at least 80: what the harness must know stands in it).
    pub payload: usize,
}

impl Default for Population {
    fn default() -> Self {
        Self { connections: 200, room_size: 50, rooms_per_user: 1, payload: 200 }
    }
}

/// How they connect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Connect {
    /// Connections that may be on their way at the same time.
    pub in_flight: usize,
    /// The same for clients that were cut off and come back.
    pub storm_in_flight: usize,
    /// New connections a second. Not set: as fast as `in_flight` allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Quiet time after the last one is there, in seconds; memory is read at its end.
    pub settle_seconds: f64,
    /// How often all connect. Between two rounds all leave, so that one sees whether the memory comes back.
    pub rounds: usize,
}

impl Default for Connect {
    fn default() -> Self {
        Self { in_flight: 64, storm_in_flight: 1000, rate: None, settle_seconds: 2.0, rounds: 1 }
    }
}

/// A stretch of time in which the same things happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its name in the report.
    pub name: String,
    /// How long it lasts.
    pub seconds: f64,
    /// Warms up: it is checked, but its figures are not held against `expect`.
    #[serde(default)]
    pub warm_up: bool,
    /// Messages that are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Messages>,
    /// What else clients do.
    #[serde(default)]
    pub mix: Mix,
    /// Clients that leave and come back at once, a second.
    #[serde(default)]
    pub churn: f64,
    /// Share of the clients (0 to 1) that lose their connection at the phase's start and come back; how long until each has
    /// caught up is measured.
    #[serde(default)]
    pub cut: f64,
    /// Share of the clients (0 to 1) that stop reading for the whole phase and then have to catch up.
    #[serde(default)]
    pub slow: f64,
    /// Access tokens that are renewed on live connections, a second.
    #[serde(default)]
    pub refresh: f64,
}

impl Default for Phase {
    fn default() -> Self {
        Self {
            name: "talk".to_owned(),
            seconds: 10.0,
            warm_up: false,
            messages: None,
            mix: Mix::default(),
            churn: 0.0,
            cut: 0.0,
            slow: 0.0,
            refresh: 0.0,
        }
    }
}

/// Messages of a phase: how many and when. Which keys belong to which shape, [`Scenario::checked`] says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Messages {
    /// How they arrive.
    #[serde(default)]
    pub shape: Shape,
    /// Messages a second: at the start of a ramp; of bursts the mean, worked out from `burst` and `every` when it is not set.
    #[serde(default)]
    pub rate: f64,
    /// Ramp: messages a second at the phase's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<f64>,
    /// Burst: messages meant for one moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Burst: seconds from one to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<f64>,
    /// Share of the messages (0 to 1) that go to room 0, the hot one.
    #[serde(default)]
    pub hot_room: f64,
}

impl Messages {
    /// So many a second, evenly.
    #[must_use]
    pub fn constant(rate: f64) -> Self {
        Self { shape: Shape::Constant, rate, to: None, burst: None, every: None, hot_room: 0.0 }
    }
}

/// How messages arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// One after the other at even distances.
    #[default]
    Constant,
    /// As independent people do: distances are exponentially distributed.
    Poisson,
    /// From `rate` to `to`, growing or shrinking evenly.
    Ramp,
    /// `burst` at once, every `every` seconds.
    Burst,
}

/// What clients do beside sending messages, each a second over all. What a server does not know is left out, and the report says so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// Says "is typing".
    pub typing: f64,
    /// Changes the own status.
    pub presence: f64,
    /// Moves the read marker to the newest.
    pub read: f64,
    /// Reads the newest page of a room.
    pub history: f64,
    /// Reads a page from anywhere in a room's log.
    pub past: f64,
    /// Changes an own message.
    pub edit: f64,
    /// Takes an own message back.
    pub delete: f64,
}

impl Mix {
    /// The kinds with their rates, as the report names them.
    #[must_use]
    pub fn rates(&self) -> [(Kind, f64); 7] {
        [
            (Kind::Typing, self.typing),
            (Kind::Presence, self.presence),
            (Kind::Read, self.read),
            (Kind::History, self.history),
            (Kind::Past, self.past),
            (Kind::Edit, self.edit),
            (Kind::Delete, self.delete),
        ]
    }
}

/// A kind of request beside the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// "Is typing".
    Typing,
    /// The own status.
    Presence,
    /// The read marker.
    Read,
    /// The newest page of a room's log.
    History,
    /// A page from anywhere in it.
    Past,
    /// Another text for an own message.
    Edit,
    /// An own message taken back.
    Delete,
    /// A new access token on the live connection.
    Refresh,
}

impl Kind {
    /// Its name in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Typing => "typing",
            Self::Presence => "presence",
            Self::Read => "read",
            Self::History => "history",
            Self::Past => "past",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::Refresh => "refresh",
        }
    }
}

fn one() -> u64 {
    1
}

fn twenty() -> f64 {
    20.0
}
