//! What the commit log says: marks between commits, and the work that a replica is given.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use super::Spool;

use crate::follow::snapshot::SnapshotTicket;
use crate::segment::{SourceCursor, StateDigest};
use crate::types::{Generation, Index, Offset, PageCount, Timestamp};
use crate::wal::{Checksum, WAL_HEADER_BYTES, WalHeader};

/// A point between two commits of an index, and everything that is needed to begin or end an object there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Offset within the index: 0 before the header, else behind a commit.
    pub offset: Offset,
    /// Running checksum of the index there; at offset 0 that of the header.
    pub checksum: Checksum,
    /// Where this point lies in the source's own WAL.
    pub source: SourceCursor,
    /// Size of the database.
    pub size: PageCount,
    /// State of the database; `None` where it was not followed page by page (commits made while nobody watched).
    pub digest: Option<StateDigest>,
    /// When the commit was seen.
    pub time: Timestamp,
}

/// Where the bytes of an index are.
#[derive(Debug, Clone)]
pub enum Source {
    /// In the source's WAL, which cannot restart yet.
    Wal(Arc<File>),
    /// In memory: the source's frames from `start` (an offset in its WAL file) on.
    Memory {
        /// Offset in the source's WAL file.
        start: u64,
        /// What stood there.
        bytes: Arc<Vec<u8>>,
    },
    /// In no WAL: frames that were made to bring the replica to a state.
    Spool(Arc<Spool>),
}

/// What a replica is to do next.
#[derive(Debug, Clone)]
pub enum Work {
    /// Nothing is new.
    Idle,
    /// Wait: the follower will offer a snapshot.
    AwaitSnapshot,
    /// Ship this snapshot.
    Snapshot(Arc<SnapshotTicket>),
    /// Find out whether the history ends here.
    Confirm(Index, Box<Mark>),
    /// Ship these commits.
    Segment(Box<SegmentPlan>),
}

/// The next object of a replica: everything but its bytes.
#[derive(Debug, Clone)]
pub struct SegmentPlan {
    /// Its generation.
    pub generation: Generation,
    /// Its index.
    pub index: Index,
    /// Header of the index.
    pub header: WalHeader,
    /// Where it begins; the digest is known.
    pub from: Mark,
    /// Its commits, at least one; the digest behind the last one is known.
    pub commits: Vec<Mark>,
    /// Where its bytes are.
    pub source: Source,
    /// Whether its frames need other salts and checksums.
    pub rebased: bool,
    /// Whether nothing more will come in its index.
    pub is_last: bool,
}

impl SegmentPlan {
    /// Where it ends.
    #[must_use]
    pub fn to(&self) -> &Mark {
        self.commits.last().unwrap_or(&self.from)
    }

    /// Where its frames are in `source`: in the source's WAL file, or in the index itself if they are in no WAL.
    #[must_use]
    pub fn frames(&self) -> Range<u64> {
        let (from, to) = match self.source {
            Source::Spool(_) => (self.from.offset.0, self.to().offset.0),
            Source::Wal(_) | Source::Memory { .. } => (self.from.source.offset, self.to().source.offset),
        };
        from.max(WAL_HEADER_BYTES as u64)..to
    }

    /// Size of its data in bytes.
    #[must_use]
    pub fn raw_bytes(&self) -> u64 {
        self.to().offset.0 - self.from.offset.0
    }
}
