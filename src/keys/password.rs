//! Passwords: argon2id with 19 MiB, two passes, one lane (OWASP's choice), and a salt of 16 random bytes.
//!
//! It takes some 20 ms of a core and 19 MiB: run it on a blocking thread, never on a shard. Passwords are hashed in NFC, so that
//! two keyboards that write the same letter in two ways agree.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::auth::account::password_bytes;
use crate::base::{Code, Refusal};

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A hash with the same parameters of a password that nobody knows: it is checked where there is no user, so that "no such
/// user" takes as long as "wrong password".
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn hasher() -> Result<Argon2<'static>, Refusal> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| Refusal::new(Code::Internal))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The PHC string of a password.
///
/// # Errors
/// `internal`, when there is not enough memory.
pub fn hash(password: &str, salt: [u8; 16]) -> Result<String, Refusal> {
    let internal = |_| Refusal::new(Code::Internal);
    let salt = SaltString::encode_b64(&salt).map_err(internal)?;
    let hash = hasher()?.hash_password(&password_bytes(password), &salt).map_err(internal)?;
    Ok(hash.to_string())
}

/// Whether this is the password. Without a hash (no such user, or one of an external issuer) it takes as long and says no.
#[must_use]
pub fn verify(password: &str, hash: Option<&str>) -> bool {
    let known = hash.filter(|hash| !hash.is_empty());
    let Ok(parsed) = PasswordHash::new(known.unwrap_or(NOBODY)) else {
        tracing::error!("a stored password hash cannot be read");
        return false;
    };
    let Ok(argon2) = hasher() else { return false };
    // The parameters of the hash itself are used.
    argon2.verify_password(&password_bytes(password), &parsed).is_ok() && known.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_and_another_one_is_not() {
        let stored = hash("correct horse battery staple", [7; 16]).expect("hashed");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify("correct horse battery staple", Some(&stored)));
        assert!(!verify("correct horse battery stapl", Some(&stored)));
        assert!(!verify("", Some(&stored)));
        assert_ne!(stored, hash("correct horse battery staple", [8; 16]).expect("hashed"));
    }

    #[test]
    fn where_there_is_no_user_the_same_work_is_done_and_the_answer_is_no() {
        let nobody = PasswordHash::new(NOBODY).expect("a PHC string");
        let stored = hash("x", [1; 16]).expect("hashed");
        let real = PasswordHash::new(&stored).expect("a PHC string");
        assert_eq!((nobody.algorithm, nobody.version, &nobody.params), (real.algorithm, real.version, &real.params));
        assert_eq!(nobody.hash.map(|hash| hash.len()), real.hash.map(|hash| hash.len()));
        assert!(!verify("x", None));
        assert!(!verify("x", Some("")));
        assert!(!verify("x", Some("garbage")));
    }

    #[test]
    fn two_spellings_of_one_letter_are_one_password() {
        let stored = hash("pass\u{e9}word", [1; 16]).expect("hashed");
        assert!(verify("passe\u{301}word", Some(&stored)));
    }
}
