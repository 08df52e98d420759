//! Accounts: what a password must be, who may sign up, and the record of a new user. Hashing is the shell's (`keys::password`).

use std::collections::BTreeSet;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization as _;

use crate::base::{Code, Epoch, Refusal, User, UserId, WallTime, limits, text};

/// Who may make an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signup {
    /// Everybody.
    #[default]
    Open,
    /// Who has an invitation (and the first user of an empty server).
    Invite,
    /// Nobody (but the first user of an empty server).
    Closed,
}

/// Passwords of eight characters and more that are tried first everywhere, in lower case and sorted.
static COMMON: LazyLock<BTreeSet<&'static str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// A username: what [`text::check_username`] says, as a refusal.
///
/// # Errors
/// `bad_name`, with what is wrong with it.
pub fn check_username(username: &str) -> Result<(), Refusal> {
    text::check_username(username).map_err(|refused| {
        let (min, max) = limits::USERNAME_CHARS;
        let detail =
            format!("This username cannot be used: {refused}. It takes {min} to {max} letters, digits, dots, _ and -.");
        Refusal::because(Code::BadName, detail).field("username")
    })
}

/// A display name: one line, not only white space.
///
/// # Errors
/// `bad_name`, with what is wrong with it.
pub fn check_display_name(name: &str) -> Result<(), Refusal> {
    text::check_line(name, limits::DISPLAY_NAME_CHARS_MAX).map_err(|refused| {
        Refusal::because(Code::BadName, format!("This display name cannot be used: {refused}.")).field("display_name")
    })
}

/// A new password: 8 to 256 characters, not among the common ones (in whatever case), and not the username.
///
/// # Errors
/// `bad_password`, with what is wrong with it.
pub fn check_new_password(password: &str, username: &str, field: &'static str) -> Result<(), Refusal> {
    let (min, max) = limits::PASSWORD_CHARS;
    let refuse = |detail: String| Err(Refusal::because(Code::BadPassword, detail).field(field));
    let count = password.nfc().take(max + 1).count();
    if count < min {
        return refuse(format!("The password is shorter than {min} characters."));
    }
    if count > max {
        return refuse(format!("The password is longer than {max} characters."));
    }
    let folded = text::fold_name(password);
    if folded == text::fold_name(username) {
        return refuse("The password is the username.".to_owned());
    }
    let mut chars = folded.chars();
    let first = chars.next();
    if COMMON.contains(folded.as_str()) || chars.all(|c| Some(c) == first) {
        return refuse("This password is among those that are tried first everywhere.".to_owned());
    }
    Ok(())
}

/// Whether a text can be a password at all, so that nobody has megabytes hashed.
#[must_use]
pub fn may_be_password(password: &str) -> bool {
    // Four bytes a character, and as much again for letters written as a base and a mark.
    password.len() <= limits::PASSWORD_CHARS.1 * 8
}

/// The bytes of a password that are hashed: UTF-8 in NFC (RFC 8265, 4.2), so that two ways to write one letter are one password.
#[must_use]
pub fn password_bytes(password: &str) -> Vec<u8> {
    password.nfc().collect::<String>().into_bytes()
}

/// The record of a new built-in user. The display name is the username unless one is given.
#[must_use]
pub fn new_user(
    id: UserId,
    username: String,
    display_name: Option<String>,
    password_hash: String,
    now: WallTime,
) -> User {
    User {
        id,
        display_name: display_name.unwrap_or_else(|| username.clone()),
        username,
        password_hash,
        external: None,
        admin: false,
        suspended: false,
        created_at: now,
        sessions_valid_from: now,
        last_seen: WallTime(0),
        stream_epoch: Epoch(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(password: &str) -> Option<String> {
        check_new_password(password, "Ann.Smith", "password").err().map(|refusal| {
            assert_eq!((refusal.code, refusal.field), (Code::BadPassword, Some("password")));
            refusal.to_string()
        })
    }

    #[test]
    fn passwords_are_counted_in_characters_and_common_ones_refused_in_any_case() {
        for good in ["a fine day", "пароль для меня", "🦀🐫🐁🐢🐝🐞🐌🦋", &"ab".repeat(128), "correct horse staple"]
        {
            assert_eq!(refused(good), None, "{good}");
        }
        for (bad, why) in [
            ("short77", "shorter"),
            ("", "shorter"),
            (&"ab".repeat(129), "longer"),
            ("password", "tried first"),
            ("PassWord1", "tried first"),
            ("QWERTYUIOP", "tried first"),
            ("1q2w3e4r", "tried first"),
            ("ｐａｓｓｗｏｒｄ", "tried first"),
            ("kkkkkkkkkkkk", "tried first"),
            ("ann.smith", "is the username"),
        ] {
            assert!(refused(bad).is_some_and(|text| text.contains(why)), "{bad}");
        }
    }

    #[test]
    fn the_list_of_common_passwords_is_sorted_folded_and_long_enough() {
        let list: Vec<_> = include_str!("common_passwords.txt").lines().collect();
        assert!(list.len() > 500);
        assert!(list.is_sorted());
        for line in &list {
            assert_eq!(text::fold_name(line), *line);
            assert!(line.chars().count() >= limits::PASSWORD_CHARS.0, "{line}");
        }
    }

    #[test]
    fn names_are_refused_with_a_sentence_and_a_field() {
        let refusal = check_username("a b").expect_err("a space");
        assert_eq!((refusal.code, refusal.field), (Code::BadName, Some("username")));
        assert!(refusal.to_string().contains("' '"), "{refusal}");
        assert_eq!(check_display_name(" ").expect_err("blank").field, Some("display_name"));
        assert_eq!(check_display_name("Ann <3"), Ok(()));
    }

    proptest! {
        #[test]
        fn what_passes_is_within_the_limits(password in "\\PC{0,300}") {
            if check_new_password(&password, "somebody", "password").is_ok() {
                prop_assert!(may_be_password(&password));
                prop_assert!((8..=256).contains(&password.nfc().count()));
            }
        }
    }
}
