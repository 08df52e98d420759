//! Which message a text is.

use uuid::Uuid;

/// Which message a text is: its first word is the id it was sent with.
#[must_use]
pub fn key(content: &str) -> Option<Uuid> {
    Uuid::try_parse(content.split(' ').next()?).ok()
}
