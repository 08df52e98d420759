//! JSON as it leaves the server (no markup in it), and the check of JSON that is kept for clients (`metadata`).
//!
//! Text is delivered exactly as written: `<` goes out as `\u003c`, which every JSON reader turns back into `<`. So a frame that
//! lands in a page by mistake, or in a log viewer, holds nothing that a browser would run.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap};
use serde_json::value::RawValue;

use crate::base::limits::METADATA_BYTES_MAX;
use crate::base::{Code, Refusal, WallTime};

/// How deep arrays and objects may lie in each other in `metadata`: readers of other languages have limits of their own.
pub const METADATA_DEPTH_MAX: u32 = 16;

/// Serializes with `<`, `>`, `&`, U+2028 and U+2029 escaped. For everything that leaves the server as JSON.
///
/// # Errors
/// Only what `T` itself refuses (a map whose keys are not strings).
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    String::from_utf8(to_vec(value)?).map_err(serde::ser::Error::custom)
}

/// The same as bytes.
///
/// # Errors
/// As [`to_string`].
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(512);
    value.serialize(&mut serde_json::Serializer::new(&mut out))?;
    Ok(escaped(out))
}

/// JSON without the five characters: they stand inside strings only, so the finished text is looked through once. Nearly always none
/// is there, and nothing is copied.
fn escaped(text: Vec<u8>) -> Vec<u8> {
    let mut done: Option<Vec<u8>> = None;
    let mut from = 0;
    let mut at = 0;
    while let Some(found) = suspect(&text[at..]) {
        at += found;
        let (code, length): (&[u8], usize) = match text[at] {
            b'<' => (b"\\u003c", 1),
            b'>' => (b"\\u003e", 1),
            b'&' => (b"\\u0026", 1),
            // U+2028 and U+2029 are E2 80 A8 and E2 80 A9 in UTF-8.
            0xe2 if text[at..].starts_with(&[0xe2, 0x80, 0xa8]) => (b"\\u2028", 3),
            0xe2 if text[at..].starts_with(&[0xe2, 0x80, 0xa9]) => (b"\\u2029", 3),
            _ => {
                at += 1;
                continue;
            }
        };
        let done = done.get_or_insert_with(|| Vec::with_capacity(text.len() + 128));
        done.extend_from_slice(&text[from..at]);
        done.extend_from_slice(code);
        at += length;
        from = at;
    }
    match done {
        None => text,
        Some(mut done) => {
            done.extend_from_slice(&text[from..]);
            done
        }
    }
}

/// Where the first byte stands that may begin one of the five characters. Whole blocks are looked at without a branch, which the
/// compiler makes vector instructions of.
fn suspect(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 16;
    let may = |byte: &u8| matches!(byte, b'<' | b'>' | b'&' | 0xe2);
    let clean = |block: &&[u8]| block.iter().fold(0, |any, byte| any | u8::from(may(byte))) == 0;
    let from = bytes.chunks_exact(BLOCK).take_while(clean).count() * BLOCK;
    bytes[from..].iter().position(may).map(|place| from + place)
}

/// A time as it stands on the wire: what [`WallTime::rfc3339`] writes, without its cost.
#[derive(Clone, Copy, Debug)]
pub struct Stamp(pub WallTime);

impl Serialize for Stamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = [0; 24];
        match write_time(self.0, &mut buffer) {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_str(&self.0.rfc3339()),
        }
    }
}

/// The civil date from the days since 1970 (proleptic Gregorian calendar), counted in eras of 400 years from 0000-03-01, so that
/// the leap day is the last of its year. `None` after the year 9999.
fn write_time(at: WallTime, out: &mut [u8; 24]) -> Option<&str> {
    const DAY_MS: u64 = 86_400_000;
    const DAYS_TO_1970: u64 = 719_468;
    const DAYS_PER_ERA: u64 = 146_097;
    const YEAR_10000_MS: u64 = 253_402_300_800_000;
    if at.0 >= YEAR_10000_MS {
        return None;
    }
    let days = at.0 / DAY_MS + DAYS_TO_1970;
    let in_day = at.0 % DAY_MS;
    let day_of_era = days % DAYS_PER_ERA;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = days / DAYS_PER_ERA * 400 + year_of_era + u64::from(month <= 2);

    *out = *b"0000-00-00T00:00:00.000Z";
    digits(&mut out[0..4], year);
    digits(&mut out[5..7], month);
    digits(&mut out[8..10], day);
    digits(&mut out[11..13], in_day / 3_600_000);
    digits(&mut out[14..16], in_day / 60_000 % 60);
    digits(&mut out[17..19], in_day / 1000 % 60);
    digits(&mut out[20..23], in_day % 1000);
    std::str::from_utf8(out).ok()
}

fn digits(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

/// Looks through a `metadata` object that will be kept as it was written: an object, at most 4 KiB, every number and string
/// readable by others, no key twice in one object, at most 16 levels deep. Answers the text itself; an empty
/// object is the same as none and answers the empty text.
///
/// # Errors
/// `bad_metadata` with what is wrong.
pub fn check_metadata(text: &str) -> Result<String, Refusal> {
    let refused = |detail: String| Refusal::because(Code::BadMetadata, detail).field("metadata");
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if text.len() > METADATA_BYTES_MAX {
        return Err(refused(format!("The metadata has {} bytes; {METADATA_BYTES_MAX} are allowed.", text.len())));
    }
    if !text.starts_with('{') {
        return Err(refused("The metadata is not a JSON object.".to_owned()));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let empty = Strict { depth: 0 }.deserialize(&mut reader).and_then(|empty| reader.end().map(|()| empty));
    match empty {
        Ok(true) => Ok(String::new()),
        Ok(false) => Ok(text.to_owned()),
        Err(error) => Err(refused(format!("The metadata cannot be kept: {}.", short(&error)))),
    }
}

/// What serde says, without echoing a long value back.
pub(super) fn short(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.char_indices().nth(160) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

/// Reads any JSON value and answers whether it was an empty object; refuses what other readers could stumble over.
struct Strict {
    depth: u32,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Strict {
    fn inside<E: de::Error>(&self) -> Result<Self, E> {
        if self.depth == METADATA_DEPTH_MAX {
            return Err(E::custom(format_args!("it is more than {METADATA_DEPTH_MAX} levels deep")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        while seq.next_element_seed(self.inside()?)?.is_some() {}
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key_seed(Key)? {
            map.next_value_seed(self.inside()?)?;
            if let Some(twice) = keys.replace(key) {
                return Err(de::Error::custom(format_args!("the key {twice:?} stands there twice")));
            }
        }
        Ok(keys.is_empty())
    }
}

/// An object's key, borrowed where it holds no escape.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Copies the members of the JSON object `text` into `map`, but for those in `without`. Text that is empty or no object (it was
/// checked when it came in) adds nothing, or as much as could be read.
///
/// # Errors
/// Those of the map's own serializer.
pub fn copy_members<M: SerializeMap>(text: &str, without: &[&str], map: &mut M) -> Result<(), M::Error> {
    if text.is_empty() {
        return Ok(());
    }
    let mut failed = Ok(());
    let copy = Copy { without, map, failed: &mut failed };
    let _ = copy.deserialize(&mut serde_json::Deserializer::from_str(text));
    failed
}

struct Copy<'a, M: SerializeMap> {
    without: &'a [&'a str],
    map: &'a mut M,
    failed: &'a mut Result<(), M::Error>,
}

impl<'de, M: SerializeMap> DeserializeSeed<'de> for Copy<'_, M> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, M: SerializeMap> Visitor<'de> for Copy<'_, M> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            if self.without.contains(&&*key) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value::<&'de RawValue>()?;
            *self.failed = self.map.serialize_entry(&*key, value);
            if self.failed.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// A JSON object kept as text, put in where it stands; the empty text is `{}`.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a>(pub &'a str);

impl Serialize for Object<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        copy_members(self.0, &[], &mut map)?;
        map.end()
    }
}
