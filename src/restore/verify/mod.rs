//! A restore without a database: every object of a history is read, decoded and compared with its seal and with its
//! neighbours, and the hash of every page is kept, so that every digest is proved. Nothing is written anywhere.

mod ltx;
mod sealed;
mod unsealed;
mod walk;

use std::sync::Arc;

use tokio::sync::mpsc;

use super::source::Source;
use super::{ARRIVALS_AHEAD, Progress, fetch};
use crate::history::{Entry, ObjectName, PlannedObject};
use crate::segment::StateDigest;
use crate::types::{Generation, Index, Offset, PageCount, Position, Timestamp};
use crate::wal::Salts;

pub use ltx::verify_ltx;

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

    fn fault(&mut self, object: String, what: impl ToString) {
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
}

impl VerifyError {
    /// Whether an object was gone that had been listed: merged or removed meanwhile.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind() == replica_backends::ErrorKind::NotFound)
    }
}

/// Verifies everything that `generation` holds, and looks for `live` in it.
///
/// # Errors
/// If an object cannot be read; one that is damaged is a finding, not an error.
pub async fn verify_generation(
    source: &Source,
    generation: Generation,
    live: Option<LiveState>,
    parallelism: usize,
    progress: &dyn Progress,
) -> Result<Checked, VerifyError> {
    let mut entries: Vec<Entry> =
        source.catalog.history(generation).into_iter().flat_map(|h| h.entries()).copied().collect();
    entries.retain(|e| e.name.range().is_none());
    entries.sort_by_key(|e| (place(&e.name), e.name));
    let objects: Vec<PlannedObject> =
        entries.iter().map(|e| PlannedObject { name: e.name, stored_bytes: e.stored_bytes, seal: None }).collect();
    progress.begin(objects.iter().map(|o| o.stored_bytes).sum());
    let (out, arrivals) = mpsc::channel(ARRIVALS_AHEAD);
    let names = entries.iter().map(|e| e.name).collect();
    let walking = tokio::task::spawn_blocking(move || walk::Walk::new(generation, live).run(names, arrivals));
    let fetching = fetch::fetch(Arc::clone(&source.backend), objects, parallelism, progress, out);
    let (fetched, walked) = tokio::join!(fetching, walking);
    fetched?;
    walked.unwrap_or_else(|panic| Err(VerifyError::Interrupted(generation.to_string(), panic.to_string())))
}

/// Where an object stands in its history: a snapshot before the first segment of its index.
fn place(name: &ObjectName) -> (Index, Offset, bool) {
    (name.index(), name.offset(), matches!(name, ObjectName::Segment(..)))
}
