//! Why a database is not being followed at the moment.

use super::state::StateError;
use crate::follow::Lost;
use crate::sqlite;

/// Why a database is not being followed at the moment.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotNow {
    #[error("there is no database yet")]
    Missing,
    #[error("the file is empty: the application has not created the database yet")]
    Empty,
    #[error(
        "it is in rollback-journal mode and convert-to-wal is false; run PRAGMA journal_mode=wal in the application"
    )]
    RollbackMode,
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error("cannot read the replica: {0}")]
    Replica(#[from] replica_backends::Error),
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<sqlite::Error> for NotNow {
    fn from(error: sqlite::Error) -> Self {
        Self::Lost(Lost::Sqlite(error))
    }
}
