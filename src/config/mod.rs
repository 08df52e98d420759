//! Settings: the file as it is ([`raw`]), checked ([`check`]) into real types ([`settings`]), with every problem named by its key ([`problem`]).
//!
//! Flags go before the environment, the environment before the file, the file before the defaults. Every key can be set in each
//! of the file and the environment (`CAUSERIE_SECTION__KEY`). Nothing unknown is passed over: a misspelt key is a problem with
//! the nearest real one as a hint. This folder reads the file and the environment once, at the start; it never opens anything else
//! except to see whether a file that is named is there.

pub mod check;
pub mod problem;
pub mod raw;
mod reader;
mod scylla;
pub mod settings;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use problem::{Problem, Problems};
pub use raw::{Raw, Source};
pub use settings::Settings;

/// What the command line may set. `None`: not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--listen`, for `server.listen`.
    pub listen: Option<String>,
    /// `--admin-listen`, for `server.admin_listen`.
    pub admin_listen: Option<String>,
    /// `--data-dir`, for `data.dir`.
    pub data_dir: Option<String>,
    /// `--store`, for `store.kind`.
    pub store: Option<String>,
    /// `--shards`, for `server.shards`.
    pub shards: Option<String>,
}

/// Reads the file (if any), the environment and the flags, and checks the whole.
///
/// # Errors
/// Every problem there is, all together, sorted by key.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &Flags,
) -> Result<Settings, Problems> {
    let mut problems = Problems::default();
    let mut raw = Raw::default();
    if let Some(path) = file {
        raw.read_file(path, &mut problems);
    }
    raw.read_environment(environment, &check::known_keys(), &mut problems);
    raw.read_flags(flags);
    let settings = Settings::check(raw, &mut problems);
    settings.check_files(&mut problems);
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}
