//! The server's own signing keys: Ed25519, one file each in `keys/` of the data directory, named by the time of their making.
//!
//! A new key is made when the newest is older than the time of rotation. It is told to everybody at once and used a little
//! later, so that no shard meets a token whose key it has not heard of. An old one stays until the last token it signed is over;
//! then its file goes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;

use super::{KeySet, KeysError, REFRESH_EVERY_MS, files};
use crate::auth::keyset::KEYS_MAX;
use crate::auth::token::{Signer, Verifier};
use crate::base::WallTime;

/// How long a key signs, in milliseconds: 30 days.
pub const ROTATE_MS: u64 = 30 * 24 * 3_600_000;
/// How long a new key is told before it is used, in milliseconds: two rounds of refreshing.
const TELL_MS: u64 = 2 * REFRESH_EVERY_MS;
/// For clocks that were set back, in milliseconds.
const SPARE_MS: u64 = 10 * 60_000;
const ENDING: &str = ".pk8";
const BEGINNING: &str = "token-";

/// Where the server's own keys are and how they are used.
#[derive(Clone, Debug)]
pub struct OwnSource {
    /// The directory; made when it is missing.
    pub dir: PathBuf,
    /// How long an access token lives, in milliseconds.
    pub access_ms: u64,
    /// How long a key signs, in milliseconds.
    pub rotate_ms: u64,
}

struct OwnKey {
    made: WallTime,
    path: PathBuf,
    signer: Signer,
}

/// Loads the keys, makes a new one when it is time, and removes those that are over.
pub(super) fn load(source: &OwnSource, now: WallTime) -> Result<(KeySet, Vec<String>), KeysError> {
    files::private_dir(&source.dir)?;
    // The newest first.
    let mut keys = read_all(source)?;
    if keys.first().is_none_or(|newest| now >= newest.made.plus_ms(source.rotate_ms)) {
        keys.insert(0, make(source, now)?);
    }
    // A key has signed its last token when its successor took over.
    let mut successor_takes_over: Option<WallTime> = None;
    keys.retain(|key| {
        let last_token_ends = successor_takes_over.map(|at| at.plus_ms(source.access_ms + SPARE_MS));
        successor_takes_over = Some(key.made.plus_ms(TELL_MS));
        let over = last_token_ends.is_some_and(|end| now >= end);
        if over && let Err(error) = std::fs::remove_file(&key.path) {
            tracing::warn!(path = %key.path.display(), %error, "an old signing key could not be removed");
        }
        !over
    });
    keys.truncate(KEYS_MAX);
    let public = keys.iter().map(|key| key.signer.public()).collect::<Result<Vec<_>, _>>();
    let public = public.map_err(|flaw| KeysError::Key { at: source.dir.display().to_string(), flaw })?;
    let verifier = Arc::new(Verifier::own(public)?);
    // The newest that everybody has heard of; on an empty machine the only one.
    let told = keys.iter().position(|key| now >= key.made.plus_ms(TELL_MS)).unwrap_or(keys.len().saturating_sub(1));
    let mut fingerprint: Vec<String> = keys.iter().map(|key| key.signer.id().to_owned()).collect();
    let signer = keys.into_iter().nth(told).map(|key| Arc::new(key.signer));
    fingerprint.extend(signer.iter().map(|signer| format!("signs: {}", signer.id())));
    Ok((KeySet { verifier, signer }, fingerprint))
}

fn read_all(source: &OwnSource) -> Result<Vec<OwnKey>, KeysError> {
    let mut keys = Vec::new();
    for entry in std::fs::read_dir(&source.dir).map_err(files::of(&source.dir))? {
        let path = entry.map_err(files::of(&source.dir))?.path();
        let Some(made) = made_at(&path) else { continue };
        files::make_private(&path)?;
        let bytes = files::read_limited(&path)?;
        // A damaged key is named, not passed over: whoever runs the server decides. Removing it only makes clients refresh.
        let signer = Signer::from_pkcs8(&bytes, source.access_ms)
            .map_err(|flaw| KeysError::Key { at: format!("{} (it may be removed)", path.display()), flaw })?;
        keys.push(OwnKey { made, path, signer });
    }
    keys.sort_by_key(|key| std::cmp::Reverse(key.made));
    Ok(keys)
}

/// The time in the name of a key file; `None` for any other file.
fn made_at(path: &Path) -> Option<WallTime> {
    path.file_name()?.to_str()?.strip_prefix(BEGINNING)?.strip_suffix(ENDING)?.parse().ok().map(WallTime)
}

fn make(source: &OwnSource, now: WallTime) -> Result<OwnKey, KeysError> {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeysError::Random)?;
    let path = source.dir.join(format!("{BEGINNING}{}{ENDING}", now.0));
    files::write_private(&path, pkcs8.as_ref())?;
    let signer = Signer::from_pkcs8(pkcs8.as_ref(), source.access_ms)
        .map_err(|flaw| KeysError::Key { at: path.display().to_string(), flaw })?;
    tracing::info!(key = signer.id(), "made a new signing key");
    Ok(OwnKey { made: now, path, signer })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::base::{DeviceId, SessionId, UserId};
    use crate::keys::{Keeper, Source};

    const DAY_MS: u64 = 24 * 3_600_000;
    const NOW: WallTime = WallTime(1_795_000_000_000);

    fn source(dir: &Path) -> OwnSource {
        OwnSource { dir: dir.join("data/keys"), access_ms: 900_000, rotate_ms: DAY_MS }
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir.join("data/keys")).expect("a directory");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }

    fn sign(set: &KeySet, now: WallTime) -> String {
        let id = uuid::Uuid::from_u128(5);
        let signer = set.signer.as_ref().expect("own keys sign");
        signer.sign(UserId(id), SessionId(id), DeviceId(id), now).expect("signed").0
    }

    #[test]
    fn the_first_start_makes_a_private_key_and_the_next_ones_use_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let (set, _) = load(&source(dir.path()), NOW).expect("keys");
        let token = sign(&set, NOW);
        let [file] = &files(dir.path())[..] else { panic!("not one file") };
        assert_eq!(std::fs::metadata(file).expect("there").permissions().mode() & 0o777, 0o600);
        let again = load(&source(dir.path()), NOW.plus_ms(60_000)).expect("keys").0;
        assert!(again.verifier.check(&token, NOW.plus_ms(60_000)).is_ok());
        assert_eq!(files(dir.path()).len(), 1);
    }

    #[test]
    fn a_new_key_is_told_before_it_is_used_and_the_old_one_goes_when_its_tokens_are_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut keeper, mut set) = Keeper::start(Source::Own(source(dir.path())), NOW).expect("keys");
        let (mut changes, mut most) = (0, 0);
        // Every refresh of two days and a half: the verifier that shards had one round before checks what is signed now, and what was
        // signed up to 15 minutes ago is still accepted.
        let mut signed: std::collections::VecDeque<(WallTime, String)> = std::collections::VecDeque::new();
        for round in 0..5 * DAY_MS / 2 / REFRESH_EVERY_MS {
            let now = NOW.plus_ms(round * REFRESH_EVERY_MS);
            let told_before = Arc::clone(&set.verifier);
            if let Some(newer) = keeper.refresh(now, false) {
                changes += 1;
                set = newer;
            }
            most = most.max(files(dir.path()).len());
            signed.push_back((now, sign(&set, now)));
            assert!(told_before.check(&signed.back().expect("just signed").1, now).is_ok(), "round {round}");
            while signed.front().is_some_and(|(at, _)| now.0 - at.0 >= 900_000) {
                signed.pop_front();
            }
            let oldest = &signed.front().expect("one was just signed").1;
            assert!(set.verifier.check(oldest, now).is_ok(), "round {round}");
        }
        // Twice: a new one, its use, and the end of the old one.
        assert_eq!((changes, most, files(dir.path()).len()), (6, 2, 1));
    }

    #[test]
    fn a_damaged_key_is_named_and_an_open_one_is_closed() {
        let dir = tempfile::tempdir().expect("a directory");
        load(&source(dir.path()), NOW).expect("keys");
        let file = files(dir.path()).remove(0);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("changed");
        load(&source(dir.path()), NOW).expect("keys");
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        std::fs::write(&file, b"not a key").expect("written");
        let error = load(&source(dir.path()), NOW).map(drop).expect_err("a damaged key").to_string();
        assert!(error.contains(&file.display().to_string()), "{error}");
    }
}
