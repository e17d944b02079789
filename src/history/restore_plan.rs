//! A restore as a value, before anything is fetched.

use std::fmt;

use super::ObjectName;
use super::timeline::Bounds;
use crate::segment::{Seal, StateDigest};
use crate::types::{Generation, Index, Offset, PageCount, Timestamp};

/// Which state is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The newest.
    Latest,
    /// The last commit that was seen at or before this instant.
    Time(Timestamp),
    /// Everything up to the end of this index.
    Index(Index),
    /// The commit that ends exactly there; at offset 0, the last one before this index.
    Position(Index, Offset),
}

impl Target {
    /// How well a generation with these bounds serves: the greatest wins. A generation that contains the wanted time
    /// is better than one that ended before it, and that is better than one that began after it; among equals the
    /// one that reaches furthest.
    #[must_use]
    pub fn preference(self, bounds: Bounds) -> (bool, bool, Timestamp) {
        match self {
            Self::Time(time) => (bounds.contain(time), bounds.begin <= time, bounds.end),
            Self::Latest | Self::Index(_) | Self::Position(..) => (true, true, bounds.end),
        }
    }
}

/// One object to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedObject {
    /// Which.
    pub name: ObjectName,
    /// Size in the store, in bytes.
    pub stored_bytes: u64,
    /// Its seal, if planning had to read it.
    pub seal: Option<Box<Seal>>,
}

/// What is known of the end of a restore before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedEnd {
    /// Lightship wrote the history: this commit.
    Commit {
        /// Where it ends: index and offset.
        at: (Index, Offset),
        /// Size of the database then.
        size: PageCount,
        /// When it was seen.
        time: Timestamp,
        /// Digest of the database, if the commit is the last one of its object.
        digest: Option<StateDigest>,
    },
    /// Litestream wrote the history: the last commit in the planned objects, the newest of which has this time.
    LastCommit {
        /// The store's time of the last object.
        modified: Timestamp,
    },
}

/// A restore, before anything is fetched.
///
/// Invariant: the steps begin with the snapshot's index and leave no index out; a merged range begins where the step
/// before it ends an index, and the segments of each index begin at offset 0. That no segment *within* an index is
/// missing shows where seals are known, otherwise when the data has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestorePlan {
    /// The generation restored.
    pub generation: Generation,
    /// Where it starts.
    pub snapshot: PlannedObject,
    /// What is applied over it, in order: merged ranges and segments.
    pub steps: Vec<PlannedObject>,
    /// Where it stops.
    pub end: PlannedEnd,
    /// The object after the last planned one, if there is one: it shows whether something between is missing.
    pub next: Option<ObjectName>,
    /// The wanted point lies behind the end of the history.
    pub beyond_end: bool,
    /// There were commits behind the end of the history that the replica has not got: it was to go on with a snapshot.
    pub cut_off: bool,
    /// Between the end of the restore and the wanted time there were commits that are kept no more one by one.
    pub coarse: bool,
}

/// The key of a listed object; for one that cannot exist, what is nearest to it.
#[must_use]
pub fn key(name: &ObjectName) -> String {
    name.key().unwrap_or_else(|| format!("{name:?}"))
}

impl RestorePlan {
    /// All objects, in the order in which they are applied.
    pub fn objects(&self) -> impl Iterator<Item = &PlannedObject> {
        std::iter::once(&self.snapshot).chain(&self.steps)
    }

    /// What has to be fetched, in bytes.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.objects().map(|o| o.stored_bytes).sum()
    }

    /// Whether Lightship wrote the history, so that the restored database can be proved.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        matches!(self.end, PlannedEnd::Commit { .. })
    }
}

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "generation  {}", self.generation)?;
        writeln!(f, "snapshot    {}  ({} bytes)", key(&self.snapshot.name), self.snapshot.stored_bytes)?;
        for step in &self.steps {
            let kind = if step.name.range().is_some() { "range  " } else { "segment" };
            writeln!(f, "{kind}     {}  ({} bytes)", key(&step.name), step.stored_bytes)?;
        }
        if self.coarse {
            writeln!(f, "note        the commits up to the wanted time have been merged; this is the last point kept")?;
        }
        if self.cut_off {
            writeln!(f, "note        newer commits were made, but the snapshot that they begin with is not there")?;
        }
        match self.end {
            PlannedEnd::Commit { at: (index, offset), size, time, digest } => {
                writeln!(f, "restores    commit of {time} at {index}:{offset}, {size} pages")?;
                match digest {
                    Some(digest) => writeln!(f, "proof       digest {digest}")?,
                    None => writeln!(f, "proof       digest before its object, content hash and checksums within it")?,
                }
            }
            PlannedEnd::LastCommit { modified } => {
                writeln!(f, "restores    the last commit stored at or before {modified}")?;
                writeln!(f, "proof       checksums only: Litestream wrote this generation, so there is no digest")?;
            }
        }
        write!(f, "downloads   {} objects, {} bytes", 1 + self.steps.len(), self.stored_bytes())
    }
}
