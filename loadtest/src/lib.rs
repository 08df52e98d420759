//! The load harness of Causerie: what its command and the server's own tests share.
//!
//! | file | what it is |
//! |---|---|
//! | [`scenario`] | what a run does, from TOML, checked; the built-in ones |
//! | [`plan`] | what a run is made of: scenario, server, this process's part |
//! | [`target`] | where the server is |
//! | [`layout`] | who is in which room. Pure |
//! | [`stamp`] | what stands in a message's text. Pure |
//! | [`world`] | users and rooms of a run |
//! | [`adapter`] | how a server is spoken to; the native one |
//! | [`schedule`] | when things are meant to happen. Pure |
//! | [`engine`] | the threads that hold the connections and do what is due |
//! | [`ledger`] | the checker that looks on while a run is under way |
//! | [`skim`] | the top level of a JSON object, without memory. Pure |
//! | [`check`] | the checker of the server's tests: logs, what clients saw, and every fault between them. Pure |
//! | [`token`] | tokens of an outside issuer, signed here, so that no user needs a password |
//! | [`secure`] | TLS without IO, of many connections |
//! | [`tls`] | TLS to a server whose certificate is pinned |
//! | [`http`] | the little HTTP/1.1 that preparing a run needs |
//! | [`client`] | one blocking WebSocket client |
//! | [`coordinate`] | several processes make one run |
//! | [`limit`] | what sealing and sending alone cost: the yardstick for a server |
//! | [`observe`] | CPU seconds and memory of a process, from `/proc`, and the server's part of a report |
//! | [`scrape`] | the server's own counters, from `/metrics` |
//! | [`machine`] | on what machine a run was made |
//! | [`limit`] | what sealing and sending alone cost: the yardstick for a server |
//! | [`run`] | one run from end to end |
//! | [`report`] | what came out: JSON, a table, a page, and what differs between two |

pub mod adapter;
pub mod check;
pub mod client;
pub mod coordinate;
pub mod engine;
pub mod http;
pub mod layout;
pub mod ledger;
pub mod limit;
pub mod machine;
pub mod observe;
pub mod plan;
pub mod report;
pub mod run;
pub mod scenario;
pub mod schedule;
pub mod scrape;
pub mod secure;
pub mod skim;
pub mod stamp;
pub mod target;
pub mod tls;
pub mod token;
pub mod world;

/// Why something of the harness itself could not go on. The text says what was tried.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Failure {
    /// What was tried.
    pub what: String,
    /// What came in between.
    pub why: String,
}

impl Failure {
    /// A failure of `what`, because of `why`.
    pub fn new(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self { what: what.into(), why: why.to_string() }
    }
}

/// Turns any error into a [`Failure`] that says what was tried.
pub trait Context<T> {
    /// Names what was tried.
    ///
    /// # Errors
    /// The same error, with its context.
    fn context(self, what: &str) -> Result<T, Failure>;
}

impl<T, E: std::fmt::Display> Context<T> for Result<T, E> {
    fn context(self, what: &str) -> Result<T, Failure> {
        self.map_err(|why| Failure::new(what, why))
    }
}
