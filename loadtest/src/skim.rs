//! The top level of a JSON object, without a tree and without memory: each member's name and its value as it stands in the text.
//!
//! For frames that come a hundred thousand times a second. It trusts that the text is JSON; where it is not, the members end early.

use memchr::{memchr, memchr2};

/// The members of an object's text.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    text: &'a str,
    at: usize,
}

/// Begins to read an object.
#[must_use]
pub fn members(text: &str) -> Members<'_> {
    let start = text.len() - text.trim_start().len();
    let at = if text.as_bytes().get(start) == Some(&b'{') { start + 1 } else { text.len() };
    Members { text, at }
}

/// The inside of a JSON string that has no escapes; `None` when the value is something else.
#[must_use]
pub fn string(value: &str) -> Option<&str> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    memchr(b'\\', inner.as_bytes()).is_none().then_some(inner)
}

/// A whole number.
#[must_use]
pub fn number(value: &str) -> Option<u64> {
    value.parse().ok()
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b',' | b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        let name_end = string_end(bytes, self.at)?;
        let name = self.text.get(self.at + 1..name_end - 1)?;
        let mut start = name_end;
        while matches!(bytes.get(start), Some(b':' | b' ' | b'\n' | b'\r' | b'\t')) {
            start += 1;
        }
        let end = value_end(bytes, start)?;
        self.at = end;
        Some((name, self.text.get(start..end)?))
    }
}

/// Where the string that begins at `at` ends (behind its quote).
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

fn value_end(bytes: &[u8], start: usize) -> Option<usize> {
    match bytes.get(start)? {
        b'"' => string_end(bytes, start),
        b'{' | b'[' => {
            let mut depth = 0usize;
            let mut at = start;
            loop {
                match bytes.get(at)? {
                    b'"' => {
                        at = string_end(bytes, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        _ => {
            let length = bytes[start..].iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n'));
            Some(start + length.unwrap_or(bytes.len() - start))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_as_they_stand() {
        let text = r#" {"a":1, "b" : "x\"y" ,"c":{"d":[1,"}"]},"e":[{}],"f":null}"#;
        let all: Vec<_> = members(text).collect();
        assert_eq!(all, [("a", "1"), ("b", r#""x\"y""#), ("c", r#"{"d":[1,"}"]}"#), ("e", "[{}]"), ("f", "null")]);
        assert_eq!((string(all[1].1), string("\"abc\""), string("5")), (None, Some("abc"), None));
        assert_eq!((number(all[0].1), number("x")), (Some(1), None));
    }

    #[test]
    fn what_is_no_object_ends() {
        for text in ["", "[1]", "{", "{\"a", "{\"a\":", "{\"a\":\"", "{\"a\":{", "{]", "3", "{\"a\":\"\\"] {
            assert_eq!(members(text).count(), 0, "{text}");
        }
    }
}
