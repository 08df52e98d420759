//! Reading and writing key files: bounded, private, and whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::KeysError;
use crate::auth::keyset::{KEY_TEXT_BYTES_MAX, KeyFlaw};

/// Says of which file an error is.
pub(super) fn of(path: &Path) -> impl FnOnce(std::io::Error) -> KeysError + '_ {
    move |cause| KeysError::File { path: path.to_owned(), cause }
}

/// A file's bytes, if they are not more than a key or a set of keys can be.
pub(super) fn read_limited(path: &Path) -> Result<Vec<u8>, KeysError> {
    let mut bytes = Vec::new();
    let limit = KEY_TEXT_BYTES_MAX as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(of(path))?;
    if bytes.len() > KEY_TEXT_BYTES_MAX {
        return Err(KeysError::Key { at: path.display().to_string(), flaw: KeyFlaw::TooLong });
    }
    Ok(bytes)
}

/// Makes a directory that only its owner may enter, with what is above it.
pub(super) fn private_dir(dir: &Path) -> Result<(), KeysError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(of(dir))
}

/// Takes away what others may do with a file, and says so.
pub(super) fn make_private(path: &Path) -> Result<(), KeysError> {
    let mode = fs::metadata(path).map_err(of(path))?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "a key file was open to others; now it is not");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(of(path))?;
    }
    Ok(())
}

/// Writes a file that only its owner may read; after a crash it is there whole or not at all.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeysError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let draft = path.with_extension("draft");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(of(path))
}
