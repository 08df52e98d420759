//! What can go wrong inside the embedded store, and whose trouble it is: one write's (or read's) own, or the disk's.

use redb::{CommitError, DatabaseError, StorageError, TableError, TransactionError};

use crate::store::Failure;

// redb's enums may grow; what is not named below is the disk's trouble.

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Only this write or read: the rest of the batch goes on.
    Own(Failure),
    /// The file as a whole: nothing can be written before it is opened anew.
    Disk(String),
}

/// Says which record is damaged and how.
pub(super) fn damaged(what: impl std::fmt::Display, how: &impl std::fmt::Display) -> Trouble {
    Trouble::Own(Failure::Damaged(format!("{what}: {how}")))
}

impl Trouble {
    /// While tables change there is no trouble of one write alone: half of it may stand in the transaction.
    pub(super) fn while_changing(self) -> Self {
        match self {
            Self::Own(failure) => Self::Disk(failure.to_string()),
            Self::Disk(text) => Self::Disk(text),
        }
    }

    /// For who called the port.
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Own(failure) => failure,
            Self::Disk(text) => Failure::Unavailable(text),
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm)]
impl From<StorageError> for Trouble {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Corrupted(text) => {
                Self::Own(Failure::Damaged(format!("a page of the database: {text}; run `causerie check --data`")))
            }
            // A damaged page may name others that lie beyond the end of the file.
            StorageError::Io(error)
                if matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData) =>
            {
                Self::Own(Failure::Damaged(format!("a page of the database: {error}; run `causerie check --data`")))
            }
            StorageError::ValueTooLarge(bytes) => Self::Own(Failure::Misuse(format!("a value of {bytes} bytes"))),
            other => Self::Disk(other.to_string()),
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm)]
impl From<TableError> for Trouble {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => error.into(),
            other => Self::Own(Failure::Damaged(format!("the database's list of tables: {other}"))),
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm)]
impl From<TransactionError> for Trouble {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Storage(error) => error.into(),
            other => Self::Disk(other.to_string()),
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm)]
impl From<CommitError> for Trouble {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => error.into(),
            other => Self::Disk(other.to_string()),
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm)]
impl From<DatabaseError> for Trouble {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Storage(error) => error.into(),
            other => Self::Disk(other.to_string()),
        }
    }
}
