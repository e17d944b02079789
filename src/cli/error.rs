//! Why a command failed, in the words the user reads.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::ConfigError;
use crate::restore::RestoreError;

/// Why a command failed. Litestream's words where it has some.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The restore failed.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// Replication could not start, or did not end well.
    #[error(transparent)]
    Replicate(#[from] super::replicate::ReplicateError),
    /// `-replica` names none.
    #[error("replica {name:?} not found for database {:?}", database.display().to_string())]
    ReplicaNotFound {
        /// As asked for.
        name: String,
        /// The database.
        database: PathBuf,
    },
    /// The database is configured without replicas.
    #[error("database {} has no replicas in the configuration", .0.display())]
    NoReplicas(PathBuf),
    /// Some replicas could not be read; each has been reported.
    #[error("{unread} of {all} replicas could not be listed")]
    Unlisted {
        /// How many.
        unread: usize,
        /// Of how many.
        all: usize,
    },
    /// A store cannot be read or written.
    #[error(transparent)]
    Store(replica_backends::Error),
    /// Not everything that was to be deleted is; each failure has been reported.
    #[error("not everything was deleted")]
    NotPruned,
    /// The configuration forbids to delete.
    #[error("the replica is append-only: nothing of it is deleted")]
    AppendOnly,
    /// Some replicas have failed; each has been reported.
    #[error("{failed} of {all} replicas failed")]
    Points {
        /// How many.
        failed: usize,
        /// Of how many.
        all: usize,
    },
    /// A history of Litestream's knows no commits.
    #[error("Litestream wrote this history, so its commits are not known, and no point can name one of them")]
    NoProof,
    /// The same, of one object.
    #[error("{0} has no seal, so its commits are not known; Litestream's segments are listed by wal")]
    NoCommits(String),
    /// The same, of files of Litestream 0.5.
    #[error("Litestream 0.5 wrote this history, so its commits are not known; its transactions are listed by ltx")]
    Transactions,
    /// Names are unique within a replica.
    #[error("there is one already; delete it first, or take another name")]
    PointExists,
    /// Nothing has that name.
    #[error("there is none; see point list")]
    PointMissing,
    /// `-point` names none.
    #[error("no replica has a point called {0:?}; see point list")]
    NoPoint(String),
    /// Some databases have not been restored; each has been reported.
    #[error("{failed} of {all} databases were not restored")]
    NotAllRestored {
        /// How many.
        failed: usize,
        /// Of how many.
        all: usize,
    },
    /// There is nothing to restore.
    #[error("the configuration names no database{}", below(.0.as_deref()))]
    NoDatabases(Option<PathBuf>),
    /// A terminal is no place for a database.
    #[error("a database is not written to a terminal; redirect the standard output")]
    Terminal,
    /// The database was restored, but not all of it was written.
    #[error("cannot write the database to the standard output: {0}; what was written is not complete")]
    Stdout(io::Error),
    /// The user wants to stop.
    #[error("interrupted; nothing has been restored")]
    Interrupted,
    /// A replica is damaged; each fault has been reported.
    #[error("verification failed")]
    VerifyFailed,
    /// Not everything could be found out; what not has been reported.
    #[error("verification is inconclusive")]
    Inconclusive,
    /// Something will not work; it has been reported.
    #[error("not everything is as it should be")]
    Unwell,
    /// No threads, or no descriptors.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// The demo did not show what it is to show.
    #[error(transparent)]
    Demo(#[from] super::demo::DemoError),
}

fn below(folder: Option<&Path>) -> String {
    folder.map_or_else(String::new, |folder| format!(" below {}", folder.display()))
}

impl CliError {
    /// What the program exits with.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::VerifyFailed => 2,
            Self::Inconclusive => 3,
            _ => 1,
        }
    }
}
