//! A restore without a database: every object of a history is read, decoded and compared with its seal and with its
//! neighbours, and the hash of every page is kept, so that every digest is proved. Nothing is written anywhere.

mod chunk;
mod links;
mod ltx;
mod sealed;
mod stages;
mod suspicion;
mod unsealed;
mod walk;

use std::fmt;

use crate::segment::StateDigest;
use crate::types::{PageCount, Position, Timestamp};
use crate::wal::Salts;

pub use ltx::verify_ltx;
pub use stages::verify_generation;

/// A state of the live database, to be found again in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveState {
    /// Salts of the database's own WAL.
    pub salts: Salts,
    /// Where in it the state's last commit ends; 0 if the WAL is empty.
    pub offset: u64,
    /// Size of the database.
    pub size: PageCount,
    /// Digest of the database.
    pub digest: StateDigest,
}

/// What a history says of a state of the live database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// This commit has the very same pages.
    Same(Position),
    /// This commit is that of the live database, but its pages are not.
    Diverged(Position),
    /// No commit is known to be that of the live database.
    NotFound,
}

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Key of the object.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
}

/// What has been found out about one history.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Its name: the generation, or "ltx".
    pub history: String,
    /// Objects read.
    pub objects: usize,
    /// What was fetched, in bytes.
    pub stored_bytes: u64,
    /// Commits replayed.
    pub commits: u64,
    /// Whether digests proved the pages. Litestream's histories have none.
    pub proved: bool,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// The last commit, and when it was seen.
    pub end: Option<(Position, Timestamp)>,
    /// Size and digest of the database after it, if they are known.
    pub state: Option<(PageCount, StateDigest)>,
    /// Where it lies in the source's own WAL.
    pub end_in_source: Option<(Salts, u64)>,
    /// What became of the live state, if there was one to look for.
    pub comparison: Comparison,
}

impl Checked {
    fn new(history: String) -> Self {
        Self {
            history,
            objects: 0,
            stored_bytes: 0,
            commits: 0,
            proved: true,
            faults: Vec::new(),
            end: None,
            state: None,
            end_in_source: None,
            comparison: Comparison::NotFound,
        }
    }

    fn fault(&mut self, object: String, what: &dyn fmt::Display) {
        self.faults.push(Fault { object, what: what.to_string() });
    }
}

/// Why a history could not be read to its end, which proves nothing about it.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] replica_backends::Error),
    /// Reading stopped half-way.
    #[error("reading {0} stopped half-way: {1}")]
    Interrupted(String, String),
    /// Something else was found each time.
    #[error("{0} changed each time while it was being read")]
    Restless(String),
}

impl VerifyError {
    /// Whether an object was gone that had been listed: merged or removed meanwhile.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind() == replica_backends::ErrorKind::NotFound)
    }
}
