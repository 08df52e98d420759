//! Any bytes as a stored record, with the right checksum and without: a value or a named damage, and a value is kept as it was.
#![no_main]

use causerie::store::record::{self, Stored, StoredEvent, StoredMember, StoredRoom, StoredSession, StoredUser};
use libfuzzer_sys::fuzz_target;

const PLACE: &[u8] = b"place";

/// These bytes as an archive with its head: version, and the checksum over kind, place, version and archive (schema/embedded.md).
fn forged<T: Stored>(archive: &[u8]) -> Vec<u8> {
    let mut hasher = xxhash_rust::xxh3::Xxh3::with_seed(T::KIND);
    hasher.update(&(PLACE.len() as u64).to_le_bytes());
    hasher.update(PLACE);
    hasher.update(&[T::VERSION]);
    hasher.update(archive);
    let mut bytes = vec![T::VERSION];
    bytes.extend_from_slice(&hasher.digest().to_le_bytes());
    bytes.extend_from_slice(archive);
    bytes
}

fn look<T: Stored>(bytes: &[u8]) {
    let _ = record::decode::<T>(PLACE, bytes);
    // Past the checksum, where only a broken writer would come: rkyv's own check is all that stands there.
    match record::decode::<T>(PLACE, &forged::<T>(bytes)) {
        Ok(value) => assert!(record::encode(PLACE, &value).is_ok()),
        Err(broken) => assert!(!matches!(broken, record::Broken::Checksum), "the head is ours"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    look::<StoredEvent>(bytes);
    look::<StoredRoom>(bytes);
    look::<StoredMember>(bytes);
    look::<StoredUser>(bytes);
    look::<StoredSession>(bytes);
});
