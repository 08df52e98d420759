//! One record of the log: the changed rows of one commit, between a head that says which commit of which segment it is, and nothing.
//!
//! A record is `checksum (8) ‖ magic (4) ‖ length of the body (4) ‖ segment (8) ‖ salt (8) ‖ number (8) ‖ body`, all numbers little-endian,
//! padded with zeros to 8 bytes. The checksum is `xxh3_64`, seeded with the salt, over all from the magic to the end of the body. The salt
//! is random and new in every segment, so that nobody can have bytes stored that look like a record. The body is a list of rows:
//! `table (1) ‖ length of the key (2) ‖ length of the value + 1, or 0 for a row that is removed (4) ‖ key ‖ value`.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::layer::Change;
use crate::store::Failure;

/// Bytes before the body.
pub(super) const HEAD: usize = 40;
/// Records begin at multiples of this.
pub(super) const ALIGN: usize = 8;
/// So much memory is kept from one record to the next.
const KEPT: usize = 256 * 1024;
const MAGIC: u32 = u32::from_le_bytes(*b"clg1");

/// Which commit of which segment a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) segment: u64,
    pub(super) salt: u64,
    pub(super) number: u64,
}

/// A record that is being made: room for the head, then rows.
#[derive(Debug, Default)]
pub(super) struct Draft {
    bytes: Vec<u8>,
}

impl Draft {
    /// Begins anew. A large batch does not hold its memory for ever.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.bytes.resize(HEAD, 0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.len() <= HEAD
    }

    /// Adds rows.
    ///
    /// # Errors
    /// A key or value that no record can hold; nothing was added.
    pub(super) fn add(&mut self, changes: &[Change]) -> Result<(), Failure> {
        let before = self.bytes.len();
        for Change { table, key, value } in changes {
            let length = value.as_ref().map_or(Some(0), |value| u32::try_from(value.len()).ok()?.checked_add(1));
            let (Ok(key_length), Some(length)) = (u16::try_from(key.len()), length) else {
                self.bytes.truncate(before);
                return Err(Failure::Misuse("a row is too large for the log".to_owned()));
            };
            self.bytes.push(*table);
            self.bytes.extend_from_slice(&key_length.to_le_bytes());
            self.bytes.extend_from_slice(&length.to_le_bytes());
            self.bytes.extend_from_slice(key);
            self.bytes.extend_from_slice(value.as_deref().unwrap_or_default());
        }
        if u32::try_from(self.bytes.len()).is_err() {
            self.bytes.truncate(before);
            return Err(Failure::Misuse("a batch is too large for the log".to_owned()));
        }
        Ok(())
    }

    /// The whole record.
    pub(super) fn sealed(&mut self, stamp: Stamp) -> &[u8] {
        let body = u32::try_from(self.bytes.len().saturating_sub(HEAD)).unwrap_or(u32::MAX);
        let Stamp { segment, salt, number } = stamp;
        let mut head = Vec::with_capacity(HEAD - 8);
        head.extend_from_slice(&MAGIC.to_le_bytes());
        head.extend_from_slice(&body.to_le_bytes());
        for field in [segment, salt, number] {
            head.extend_from_slice(&field.to_le_bytes());
        }
        self.bytes[8..HEAD].copy_from_slice(&head);
        let sum = xxh3_64_with_seed(&self.bytes[8..], salt);
        self.bytes[..8].copy_from_slice(&sum.to_le_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGN), 0);
        &self.bytes
    }
}

fn number_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// A whole record at the beginning of `bytes`: its stamp, its body, and where the next one begins.
pub(super) fn read(bytes: &[u8]) -> Option<(Stamp, &[u8], usize)> {
    if u32::from_le_bytes(number_at(bytes, 8)?) != MAGIC {
        return None;
    }
    let length = usize::try_from(u32::from_le_bytes(number_at(bytes, 12)?)).ok()?;
    let field = |n: usize| number_at(bytes, 16 + 8 * n).map(u64::from_le_bytes);
    let stamp = Stamp { segment: field(0)?, salt: field(1)?, number: field(2)? };
    let end = HEAD.checked_add(length)?;
    let sum = xxh3_64_with_seed(bytes.get(8..end)?, stamp.salt);
    (sum.to_le_bytes() == number_at(bytes, 0)?).then_some((stamp, &bytes[HEAD..end], end.next_multiple_of(ALIGN)))
}

/// The rows of a body; `None` when it is not such a list.
pub(super) fn rows(mut body: &[u8]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while !body.is_empty() {
        let table = *body.first()?;
        let key = usize::from(u16::from_le_bytes(number_at(body, 1)?));
        let length = usize::try_from(u32::from_le_bytes(number_at(body, 3)?)).ok()?;
        let (row, rest) = body.get(7..)?.split_at_checked(key.checked_add(length.saturating_sub(1))?)?;
        let (key, value) = row.split_at_checked(key)?;
        let value = (length > 0).then(|| Arc::from(value));
        changes.push(Change { table, key: Box::from(key), value });
        body = rest;
    }
    Some(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { segment: 7, salt: 99, number: 1234 };

    fn changes() -> Vec<Change> {
        let change = |table, key: &[u8], value: Option<&[u8]>| Change {
            table,
            key: Box::from(key),
            value: value.map(Arc::from),
        };
        vec![change(5, b"a key", Some(b"a value")), change(4, b"listed", Some(b"")), change(1, b"gone", None)]
    }

    #[test]
    fn a_record_is_read_as_written_and_not_at_all_when_one_bit_is_wrong_or_one_byte_is_missing() {
        let mut draft = Draft::default();
        draft.clear();
        assert!(draft.is_empty());
        draft.add(&changes()).expect("small");
        let bytes = draft.sealed(STAMP).to_vec();
        let (stamp, body, end) = read(&bytes).expect("whole");
        assert_eq!((stamp, rows(body), end), (STAMP, Some(changes()), bytes.len()));
        let last = HEAD + body.len();
        for bit in 0..last * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&changed), None, "bit {bit}");
        }
        for length in 0..last {
            assert_eq!(read(&bytes[..length]), None, "{length} bytes");
            let torn = [&bytes[..length], &vec![0; last - length]].concat();
            assert!(torn == bytes[..last] || read(&torn).is_none(), "zeros after {length} bytes");
        }
    }

    #[test]
    fn a_body_that_ends_within_a_row_is_refused() {
        let mut draft = Draft::default();
        draft.clear();
        draft.add(&changes()).expect("small");
        let bytes = draft.sealed(STAMP).to_vec();
        let (_, body, _) = read(&bytes).expect("whole");
        let whole = (0..=body.len()).filter(|&length| rows(&body[..length]).is_some()).count();
        // Only between rows.
        assert_eq!(whole, 4);
    }
}
