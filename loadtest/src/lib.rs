//! The load harness of Causerie: what its command and the server's own tests share.
//!
//! | file | what it is |
//! |---|---|
//! | [`check`] | the checker: logs, what clients saw, and every fault between them. No IO |
//! | [`token`] | tokens of an outside issuer, signed here, so that no user needs a password |
//! | [`tls`] | TLS to a server whose certificate is pinned |
//! | [`http`] | the little HTTP/1.1 that preparing a run needs |
//! | [`client`] | one blocking WebSocket client |
//! | [`plan`] | what a run is made of |
//! | [`prepare`] | rooms, members and connections before the clock starts |
//! | [`drive`] | the open loop: one thread, many connections, sends on a schedule |
//! | [`limit`] | what sealing and sending alone cost: the yardstick for a server |
//! | [`observe`] | CPU seconds and memory of a process, from `/proc` |
//! | [`run`] | one run from end to end |
//! | [`report`] | what came out, as JSON and as a table |

pub mod check;
pub mod client;
pub mod drive;
pub mod http;
pub mod limit;
pub mod observe;
pub mod plan;
pub mod prepare;
pub mod report;
pub mod run;
pub mod tls;
pub mod token;

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
