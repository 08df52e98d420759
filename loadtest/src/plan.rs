//! What a run is made of: a scenario, a server, and the machine's own part in it.

use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;
use crate::target::Target;
use crate::token::Issuer;

/// One run, or one process's part of it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the server is.
    pub target: Target,
    /// Name of the adapter (see [`crate::adapter::NAMES`]).
    pub adapter: String,
    /// What is done. Checked.
    pub scenario: Scenario,
    /// Who signs the users' tokens.
    pub issuer: Issuer,
    /// The server's process, to read its CPU time and memory.
    pub server_pid: Option<u32>,
    /// URL of the server's metrics, e.g. `http://127.0.0.1:8081/metrics`.
    pub metrics: Option<String>,
    /// Threads that hold connections.
    pub workers: usize,
    /// Which users are this process's.
    pub part: Part,
    /// Rooms that another process made. `None`: this one makes them.
    pub given: Option<Given>,
    /// Whether the terminal shows how it goes, once a second.
    pub progress: bool,
}

impl Plan {
    /// A plan with one worker, the native adapter, and nothing shown.
    #[must_use]
    pub fn new(target: Target, scenario: Scenario, issuer: Issuer) -> Self {
        Self {
            target,
            adapter: "causerie".to_owned(),
            scenario,
            issuer,
            server_pid: None,
            metrics: None,
            workers: 1,
            part: Part::default(),
            given: None,
            progress: false,
        }
    }
}

/// The part of a process in a run: it holds the users whose number leaves `index` when divided by `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which process, from 0.
    pub index: u32,
    /// How many there are.
    pub of: u32,
}

impl Default for Part {
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Part {
    /// Whether the user is held here.
    #[must_use]
    pub fn holds(self, user: u32) -> bool {
        user % self.of.max(1) == self.index
    }
}

/// What the process that made the rooms hands to the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Tells this run from every other; the users' names hang on it.
    pub mark: String,
    /// The rooms' names, by number.
    pub rooms: Vec<String>,
}

/// The next number of a sequence that looks random (SplitMix64).
#[must_use]
pub fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
