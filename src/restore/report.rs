//! What a restore says of itself when it is done.

use std::fmt;

use super::replay::Uncommitted;
use crate::history::{PlannedEnd, RestorePlan, Target};
use crate::segment::{PageHashes, StateDigest};
use crate::types::{Generation, Index, Offset, PageCount, Position, Timestamp, Txid};

/// How the restored database is known to be the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Its digest is the one that was computed from the source.
    Digest,
    /// The digest was right before the last object, of which only a part was wanted; that part has the content hash and
    /// the WAL checksums of the source.
    DigestAndChecksums,
    /// Litestream wrote the history: WAL checksums, salts and lengths are right, or the checksums of LTX files, but
    /// nothing says what the database should be.
    Checksums,
}

/// Where in a history a restore arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// The end of the last commit restored.
    Position(Position),
    /// The last transaction restored from files of Litestream 0.5.
    Txid(Txid),
}

/// A restore that has been published.
#[derive(Debug, Clone)]
pub struct RestoreReport {
    /// Name of the replica.
    pub replica: String,
    /// What was asked for.
    pub target: Target,
    /// Where in the history.
    pub reached: Reached,
    /// When it was seen; for Litestream's histories, when its object was stored.
    pub time: Timestamp,
    /// Size of the database.
    pub size: PageCount,
    /// Digest of the restored database.
    pub digest: StateDigest,
    /// How it was proved.
    pub proof: Proof,
    /// The wanted point lies behind the end of the history; the newest commit was restored.
    pub beyond_end: bool,
    /// Newer commits were made, but this replica has not got the snapshot that they begin with.
    pub cut_off: bool,
    /// Commits between the restored one and the wanted time have been merged and are kept no more one by one.
    pub coarse: bool,
    /// Frames that no commit followed, and that were therefore dropped.
    pub uncommitted: Vec<Uncommitted>,
    /// Hash of every page: what a replicator needs to continue this history without uploading a snapshot.
    pub hashes: PageHashes,
}

impl RestoreReport {
    pub(super) fn new(replica: String, target: Target, plan: &RestorePlan, applied: super::apply::Applied) -> Self {
        let super::apply::Applied { hashes, replayed } = applied;
        let (time, proof) = match plan.end {
            PlannedEnd::Commit { time, digest: Some(_), .. } => (time, Proof::Digest),
            PlannedEnd::Commit { time, digest: None, .. } => (time, Proof::DigestAndChecksums),
            PlannedEnd::LastCommit { modified } => (modified, Proof::Checksums),
        };
        let (index, offset): (Index, Offset) = replayed.at;
        let generation: Generation = plan.generation;
        Self {
            replica,
            target,
            reached: Reached::Position(Position { generation, index, offset }),
            time,
            size: replayed.size,
            digest: hashes.digest(),
            proof,
            beyond_end: plan.beyond_end,
            cut_off: plan.cut_off,
            coarse: plan.coarse,
            uncommitted: replayed.uncommitted,
            hashes,
        }
    }
}

impl RestoreReport {
    /// The end of the last commit restored; `None` if it came from files of Litestream 0.5.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        if let Reached::Position(position) = self.reached { Some(position) } else { None }
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position(position) => position.fmt(f),
            Self::Txid(txid) => write!(f, "TXID {txid}"),
        }
    }
}

impl fmt::Display for RestoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target {
            Target::Latest => f.write_str("asked for the latest state")?,
            Target::Time(time) => write!(f, "asked for {time}")?,
            Target::Index(index) => write!(f, "asked for the end of index {index}")?,
            Target::Position(index, offset) => write!(f, "asked for {index}:{offset}")?,
        }
        if self.beyond_end {
            f.write_str(", which is after the newest commit")?;
        }
        if self.cut_off {
            f.write_str(", which this replica has not got (it lacks the snapshot that the newest commits begin with)")?;
        }
        if self.coarse {
            f.write_str(", up to which commits have been merged (this is the last point kept)")?;
        }
        match self.proof {
            Proof::Checksums if self.position().is_none() => write!(f, ", restored the state of {}", self.time)?,
            Proof::Digest | Proof::DigestAndChecksums => write!(f, ", restored commit of {}", self.time)?,
            Proof::Checksums => write!(f, ", restored the last commit stored by {}", self.time)?,
        }
        write!(f, " at {} from replica {}, ", self.reached, self.replica)?;
        match self.proof {
            Proof::Digest => write!(f, "digest verified ({})", self.digest),
            Proof::DigestAndChecksums => {
                write!(f, "digest verified up to its object, content hash and checksums within it ({})", self.digest)
            }
            Proof::Checksums if self.position().is_none() => {
                f.write_str("file checksums verified; Litestream 0.5 wrote this history, so there is no digest")
            }
            Proof::Checksums => {
                f.write_str("checksums verified; Litestream wrote this generation, so there is no digest")
            }
        }
    }
}
