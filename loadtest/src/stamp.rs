//! What stands in a message's text: which message it is, when it was meant to be sent, into which room.
//!
//! A text is `KEY DUE ROOM NTH filler`: a UUIDv7 that carries its sender's number and the sender's own counter, nanoseconds since
//! the run's start, the number of the room, and how many messages the sender had sent into that room before. It is all that a
//! receiver needs: for the latency, and for servers that number nothing themselves to find gaps, doubles, disorder and strangers
//! by receiver, sender and room.

use std::fmt::Write as _;

use uuid::Uuid;

/// The shortest text that holds a stamp.
pub const TEXT_MIN: usize = 80;

/// Users whose number fits into a key.
pub const USERS_MAX: u32 = 1 << 24;

/// Which message of a run, or which other request: its user's number and a number of that user's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// The user.
    pub user: u32,
    /// Counts the user's messages from 0. With [`Id::REQUEST`] set: counts other requests.
    pub number: u32,
}

impl Id {
    /// The bit of `number` that tells a request from a message.
    pub const REQUEST: u32 = 1 << 31;

    /// As one number.
    #[must_use]
    pub fn packed(self) -> u64 {
        u64::from(self.user) << 32 | u64::from(self.number)
    }

    /// Back from one number.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // the halves of it
    pub fn unpacked(packed: u64) -> Self {
        Self { user: (packed >> 32) as u32 & (USERS_MAX - 1), number: packed as u32 }
    }

    /// The UUIDv7 of it. `millis`: since 1970; `mark`: tells runs apart.
    #[must_use]
    pub fn key(self, millis: u64, mark: u16) -> Uuid {
        let high = millis << 16 | 0x7000 | u64::from(mark & 0xfff);
        // Two bits of variant, six of the mark, 24 of the user, 32 of the number.
        let low = 0b10 << 62 | u64::from(mark >> 10) << 56 | (self.packed() & 0x00ff_ffff_ffff_ffff);
        Uuid::from_u64_pair(high, low)
    }

    /// Back from the UUIDv7.
    #[must_use]
    pub fn of_key(key: Uuid) -> Self {
        Self::unpacked(key.as_u64_pair().1)
    }

    /// Back from the UUIDv7 as text; `None` when that is no UUID with hyphens.
    #[must_use]
    pub fn of_text(key: &str) -> Option<Self> {
        let bytes = key.as_bytes();
        if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|&at| bytes[at] != b'-') {
            return None;
        }
        // The last 56 bits of xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx.
        let mut packed = 0u64;
        for &byte in bytes[21..23].iter().chain(&bytes[24..]) {
            packed = packed << 4 | u64::from(char::from(byte).to_digit(16)?);
        }
        Some(Self::unpacked(packed))
    }
}

/// What a text says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Which message.
    pub id: Id,
    /// When it was meant to be sent, in nanoseconds since the run's start.
    pub due: u64,
    /// Number of the room it was sent into.
    pub room: u32,
    /// How many messages its sender had sent into that room before: without holes, whatever else the sender said elsewhere.
    pub nth: u32,
    /// Whether the filler behind it is as it was sent.
    pub whole: bool,
}

const FILLER: &str = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor ";

impl Stamp {
    /// What a text says. `None`: it is no text of the harness. It must have `payload` characters to count as whole.
    #[must_use]
    pub fn read(text: &str, payload: usize) -> Option<Self> {
        let id = Id::of_text(text.get(..36)?)?;
        let mut at = 37;
        let due = number(text.as_bytes(), &mut at)?;
        let room = u32::try_from(number(text.as_bytes(), &mut at)?).ok()?;
        let nth = u32::try_from(number(text.as_bytes(), &mut at)?).ok()?;
        let rest = text.as_bytes().get(at..)?;
        let mut whole = text.len() == payload;
        for chunk in rest.chunks(FILLER.len()) {
            whole &= chunk == &FILLER.as_bytes()[..chunk.len()];
        }
        Some(Self { id, due, room, nth, whole })
    }

    /// Writes the text of a message: `payload` characters of plain ASCII without anything that JSON would escape.
    pub fn write(self, key: Uuid, payload: usize, into: &mut String) {
        let start = into.len();
        let _ = write!(into, "{key} {} {} {} ", self.due, self.room, self.nth);
        while into.len() - start < payload {
            let left = payload - (into.len() - start);
            into.push_str(&FILLER[..left.min(FILLER.len())]);
        }
    }
}

/// Which message any text is: its first word is the id it was sent with.
#[must_use]
pub fn key(content: &str) -> Option<Uuid> {
    Uuid::try_parse(content.split(' ').next()?).ok()
}

/// Digits up to the next space; `at` then stands behind it.
fn number(text: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    let start = *at;
    while let Some(digit) = text.get(*at).filter(|byte| byte.is_ascii_digit()) {
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        *at += 1;
    }
    if *at == start || text.get(*at) != Some(&b' ') {
        return None;
    }
    *at += 1;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let id = Id { user: USERS_MAX - 1, number: u32::MAX };
        let key = id.key(1_700_000_000_123, 0xabcd);
        assert_eq!((key.get_version_num(), Id::of_key(key), Id::of_text(&key.to_string())), (7, id, Some(id)));
        let stamp = Stamp { id, due: 7_200_000_000_000, room: 999_999, nth: 4_000_000_000, whole: true };
        for payload in [TEXT_MIN, 200, 4096] {
            let mut text = String::new();
            stamp.write(key, payload, &mut text);
            assert_eq!((text.len(), Stamp::read(&text, payload)), (payload, Some(stamp)));
            assert_eq!(super::key(&text), Some(key));
        }
    }

    #[test]
    fn a_changed_text_is_not_whole_and_a_strange_one_is_none() {
        let id = Id { user: 3, number: 4 };
        let mut text = String::new();
        Stamp { id, due: 5, room: 6, nth: 7, whole: true }.write(id.key(1, 1), 200, &mut text);
        let whole = |text: &str| Stamp::read(text, 200).map(|stamp| stamp.whole);
        assert_eq!(whole(&text), Some(true));
        assert_eq!(whole(&text[..199]), Some(false));
        assert_eq!(whole(&(text[..199].to_owned() + "!")), Some(false));
        assert_eq!(whole("hello"), None);
        assert_eq!(whole(&text.replacen('-', "x", 1)), None);
    }
}
