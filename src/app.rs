//! Joins all parts: settings in, a running server, and the end of it. (Stub: the whole comes with the first joined version.)

use crate::config::Settings;

/// Why the server could not start, or ended other than it should.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The parts are not joined yet.
    #[error("the server is not joined together in this version")]
    NotYet,
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// See [`AppError`].
pub fn run(settings: Settings) -> Result<(), AppError> {
    drop(settings);
    Err(AppError::NotYet)
}
