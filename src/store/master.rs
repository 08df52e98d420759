//! Where the master key comes from, and the lock that keeps a second process out of a data directory.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::store::Failure;
use crate::store::seal::Secret;

/// Name of the key file in the data directory, unless another one is named.
pub const KEY_FILE: &str = "master.key";

/// Where the master key comes from. It is 32 bytes, written as 64 hexadecimal digits or as base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MasterKeySource {
    /// `master.key` in the data directory, made at the first start, readable by the server's user only. Protects copies of the
    /// database that are made without it, not a stolen disk.
    #[default]
    DataDir,
    /// A file elsewhere. Must be there.
    File(PathBuf),
    /// An environment variable of this name.
    Environment(String),
    /// What this command (run by `/bin/sh -c`) prints.
    Command(String),
}

fn refuse<T>(text: String) -> Result<T, Failure> {
    Err(Failure::Unavailable(text))
}

impl MasterKeySource {
    /// Gets the key. `first_start`: there are no data yet, so a key may be made.
    pub(in crate::store) fn load(&self, dir: &Path, first_start: bool) -> Result<Secret, Failure> {
        match self {
            Self::DataDir => {
                let path = dir.join(KEY_FILE);
                match read_key_file(&path) {
                    Err(None) if first_start => make_key_file(&path),
                    Err(None) => refuse(format!(
                        "the master key {} is missing; the data cannot be read without it: put it back from your backup",
                        path.display()
                    )),
                    Err(Some(failure)) => Err(failure),
                    Ok(key) => Ok(key),
                }
            }
            Self::File(path) => match read_key_file(path) {
                Err(None) => refuse(format!("the master key file {} does not exist", path.display())),
                Err(Some(failure)) => Err(failure),
                Ok(key) => Ok(key),
            },
            Self::Environment(name) => match std::env::var(name) {
                Ok(text) => parse(&text, &format!("the environment variable {name}")),
                Err(_) => {
                    refuse(format!("the environment variable {name}, which shall hold the master key, is not set"))
                }
            },
            Self::Command(command) => {
                let output = Command::new("/bin/sh").arg("-c").arg(command).output();
                let what = "the command that shall print the master key";
                match output {
                    Err(e) => refuse(format!("{what} cannot be run: {e}")),
                    Ok(output) if !output.status.success() => refuse(format!("{what} failed ({})", output.status)),
                    Ok(output) => parse(&String::from_utf8_lossy(&output.stdout), what),
                }
            }
        }
    }
}

/// `Err(None)`: there is no such file.
fn read_key_file(path: &Path) -> Result<Secret, Option<Failure>> {
    let mut text = String::new();
    let file = match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(None),
        other => other,
    };
    let read = file.and_then(|mut file| {
        let mode = file.metadata()?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!("others may read the master key: run `chmod 600 {}`", path.display());
        }
        file.read_to_string(&mut text)
    });
    match read {
        Err(e) => Err(Some(Failure::Unavailable(format!("the master key {} cannot be read: {e}", path.display())))),
        Ok(_) => parse(&text, &path.display().to_string()).map_err(Some),
    }
}

fn parse(text: &str, from: &str) -> Result<Secret, Failure> {
    let text = text.trim();
    let hex = || -> Option<Secret> {
        let digits = (text.len() == 64).then(|| text.as_bytes().chunks_exact(2))?;
        let bytes: Option<Vec<u8>> =
            digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect();
        bytes?.try_into().ok()
    };
    let base64 = || base64::engine::general_purpose::STANDARD.decode(text).ok()?.try_into().ok();
    match hex().or_else(base64) {
        Some(key) => Ok(key),
        None => {
            refuse(format!("the master key from {from} is not 32 bytes written as 64 hexadecimal digits or base64"))
        }
    }
}

fn make_key_file(path: &Path) -> Result<Secret, Failure> {
    let mut key = [0; 32];
    if SystemRandom::new().fill(&mut key).is_err() {
        return refuse("the system gives no random bytes for a master key".to_owned());
    }
    let text = key.iter().fold(String::with_capacity(65), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    }) + "\n";
    let written = (|| {
        // Under another name first: a key file that is there is whole.
        let half = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&half, path)?;
        sync_parent(path)
    })();
    match written {
        Ok(()) => Ok(key),
        Err(e) => refuse(format!("the master key {} cannot be written: {e}", path.display())),
    }
}

/// Makes a new name in a directory durable.
pub(in crate::store) fn sync_parent(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// The data directory, ours alone while this value lives.
#[derive(Debug)]
pub(in crate::store) struct DataDir {
    pub(in crate::store) path: PathBuf,
    lock: File,
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Not by closing alone: a child that is just being started holds the same file for a moment.
        let _ = self.lock.unlock();
    }
}

impl DataDir {
    /// Makes the directory where it is missing (for its owner only) and locks it.
    pub(in crate::store) fn lock(path: &Path, make: bool) -> Result<Self, Failure> {
        if make && let Err(e) = fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
            return refuse(format!("the data directory {} cannot be made: {e}", path.display()));
        }
        let name = path.join("lock");
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&name);
        let mut lock = match opened {
            Ok(lock) => lock,
            Err(e) => return refuse(format!("the data directory {} cannot be used: {e}", path.display())),
        };
        let mut holder = String::new();
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let _ = lock.read_to_string(&mut holder);
                let holder = holder.trim();
                return refuse(format!(
                    "another process{}{holder} uses the data directory {}; stop it first, or use another --data-dir",
                    if holder.is_empty() { "" } else { " with the id " },
                    path.display()
                ));
            }
            Err(fs::TryLockError::Error(e)) => {
                return refuse(format!("the data directory {} cannot be locked: {e}", path.display()));
            }
        }
        // Only for the text above; a full disk must not keep us from starting.
        let _ = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Self { path: path.to_owned(), lock })
    }
}
