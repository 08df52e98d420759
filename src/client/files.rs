//! Where the client keeps what it wants to find again: known servers, its device and its positions. Never text, never tokens.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The folder of this client: `$CAUSERIE_STATE`, or `causerie` in the usual place of the system.
#[must_use]
pub fn folder() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = set("CAUSERIE_STATE") {
        return folder;
    }
    if let Some(state) = set("XDG_STATE_HOME") {
        return state.join("causerie");
    }
    set("HOME").map_or_else(|| PathBuf::from(".causerie"), |home| home.join(".local/state/causerie"))
}

/// Replaces a file as a whole, so that a crash leaves the old or the new one. Readable by its owner only.
///
/// # Errors
/// Names the file.
pub fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(named)?;
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = PathBuf::from(name);
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(&new).map_err(named)?;
    out.write_all(bytes).map_err(named)?;
    fs::rename(&new, file).map_err(named)
}
