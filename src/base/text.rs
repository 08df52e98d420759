//! Text as people write it: usernames, room names, messages. What is refused, and how names are compared.
//!
//! Everything accepted is kept exactly as written; only comparison folds.

use unicode_normalization::UnicodeNormalization as _;

use super::limits;

/// Why a text was refused. [`std::fmt::Display`] is a sentence for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing but white space.
    #[error("it is empty or only white space")]
    Empty,
    /// Fewer characters than allowed.
    #[error("it is shorter than {0} characters")]
    TooShort(usize),
    /// More characters than allowed.
    #[error("it is longer than {0} characters")]
    TooLong(usize),
    /// A control character that is not allowed there.
    #[error("it holds a control character (U+{0:04X})")]
    Control(u32),
    /// A character that is not allowed there.
    #[error("it holds a character that is not allowed there: {0:?}")]
    Character(char),
}

/// A message's text: 1–4,096 Unicode scalar values, not only white space, no control characters but newline and tab.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_content(text: &str) -> Result<(), Refused> {
    check(text, limits::CONTENT_CHARS_MAX, |c| c == '\n' || c == '\t')
}

/// A name or description of a room, or a display name: no control characters at all, not only white space.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_line(text: &str, chars_max: usize) -> Result<(), Refused> {
    check(text, chars_max, |_| false)
}

fn check(text: &str, chars_max: usize, control_allowed: impl Fn(char) -> bool) -> Result<(), Refused> {
    let mut blank = true;
    let mut count = 0;
    for c in text.chars() {
        count += 1;
        if c.is_control() && !control_allowed(c) {
            return Err(Refused::Control(c.into()));
        }
        blank = blank && c.is_whitespace();
    }
    if blank {
        return Err(Refused::Empty);
    }
    if count > chars_max { Err(Refused::TooLong(chars_max)) } else { Ok(()) }
}

/// A username: 3–32 letters, digits, `.`, `_`, `-` (after NFKC).
///
/// # Errors
/// Says what is wrong with it.
pub fn check_username(name: &str) -> Result<(), Refused> {
    let (min, max) = limits::USERNAME_CHARS;
    let mut count = 0;
    for c in name.nfkc() {
        count += 1;
        if count > max {
            return Err(Refused::TooLong(max));
        }
        if !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-')) {
            return Err(Refused::Character(c));
        }
    }
    if count < min { Err(Refused::TooShort(min)) } else { Ok(()) }
}

/// The form in which names are compared: NFKC, lower case, white space at the ends gone.
#[must_use]
pub fn fold_name(name: &str) -> String {
    let lower: String = name.trim().nfkc().flat_map(char::to_lowercase).collect();
    // Lower-casing may leave a sequence that composes further.
    lower.nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_counted_in_scalar_values_and_refuses_controls() {
        assert_eq!(check_content("hi\n\tthere"), Ok(()));
        assert_eq!(check_content(&"😀".repeat(4096)), Ok(()));
        assert_eq!(check_content(&"x".repeat(4097)), Err(Refused::TooLong(4096)));
        assert_eq!(check_content(" \n\u{3000}"), Err(Refused::Empty));
        assert_eq!(check_content(""), Err(Refused::Empty));
        assert_eq!(check_content("a\0b"), Err(Refused::Control(0)));
        assert_eq!(check_content("a\u{85}b"), Err(Refused::Control(0x85)));
    }

    #[test]
    fn usernames_are_letters_digits_and_three_marks() {
        for good in ["bob", "Ann.Smith_2-x", "Łukasz", "ＡＢＣ", "中文名"] {
            assert_eq!(check_username(good), Ok(()), "{good}");
        }
        assert_eq!(check_username("ab"), Err(Refused::TooShort(3)));
        assert_eq!(check_username(&"a".repeat(33)), Err(Refused::TooLong(32)));
        assert_eq!(check_username("a b c"), Err(Refused::Character(' ')));
        assert_eq!(check_username("<script>"), Err(Refused::Character('<')));
    }

    #[test]
    fn names_are_compared_by_their_folded_form() {
        assert_eq!(fold_name("ＡＢＣ"), fold_name("abc"));
        assert_eq!(fold_name(" General "), "general");
        assert_eq!(fold_name("İstanbul"), fold_name("i̇stanbul"));
    }
}
