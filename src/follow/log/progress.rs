//! How far the replicas are, for those who keep what a replica can be continued from.

use super::{CommitLog, Consumer, ReplicaNo};
use crate::follow::statistics::Statistics;
use crate::segment::StateDigest;
use crate::types::{Index, Offset, PageCount, Timestamp};

/// Where a replica is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It follows, and lacks this.
    Follows(Behind),
    /// It needs a snapshot before it can go on, or may need one, for this reason.
    NeedsSnapshot(String),
    /// A snapshot is ready for it, or being shipped.
    TakesSnapshot,
}

/// What a replica lacks of what was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Behind {
    /// Bytes of the WAL.
    pub bytes: u64,
    /// Commits.
    pub commits: u64,
    /// When the oldest of them was seen.
    pub since: Option<Timestamp>,
}

impl CommitLog {
    /// Where a replica ends that has exactly the state with `digest` and `size`, if one does.
    #[must_use]
    pub fn replica_with(&self, digest: StateDigest, size: PageCount) -> Option<(Index, Offset)> {
        let inner = self.lock();
        inner.consumers.iter().find_map(|consumer| match consumer {
            Consumer::At(index, mark) if (mark.digest, mark.size) == (Some(digest), size) => {
                Some((*index, mark.offset))
            }
            _ => None,
        })
    }

    /// Bytes of the source's WAL that `replica` has yet to ship.
    #[must_use]
    pub fn lag(&self, replica: ReplicaNo) -> u64 {
        let inner = self.lock();
        inner.indexes.iter().map(|log| log.lag(&inner.consumers[replica])).sum()
    }

    /// Where `replica` is.
    #[must_use]
    pub fn standing(&self, replica: ReplicaNo) -> Standing {
        let inner = self.lock();
        let consumer = &inner.consumers[replica];
        let (index, offset) = match consumer {
            Consumer::At(index, mark) => (*index, mark.offset),
            Consumer::NeedsSnapshot(reason) => return Standing::NeedsSnapshot(reason.clone()),
            Consumer::Offered(_) => return Standing::TakesSnapshot,
            Consumer::Believed(..) => {
                return Standing::NeedsSnapshot("its store has not said yet where its history ends".to_owned());
            }
        };
        let mut behind = Behind::default();
        for log in inner.indexes.iter().filter(|log| log.index >= index) {
            let has = if log.index == index { log.commits.partition_point(|mark| mark.offset <= offset) } else { 0 };
            behind.bytes += log.lag(consumer);
            behind.commits += (log.commits.len() - has) as u64;
            behind.since = behind.since.or_else(|| log.commits.get(has).map(|mark| mark.time));
        }
        Standing::Follows(behind)
    }

    /// Takes note of what following costs.
    pub(in crate::follow) fn note_statistics(&self, what: impl FnOnce(&mut Statistics)) {
        self.statistics.note(what);
    }

    /// What following has cost so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.statistics.now()
    }

    /// Whether some replica has every index before `index`.
    #[must_use]
    pub fn is_shipped_before(&self, index: Index) -> bool {
        let inner = self.lock();
        let has_all =
            |c: &Consumer| inner.indexes.iter().filter(|log| log.index < index).all(|log| log.is_shipped_to(c));
        inner.consumers.iter().any(|c| matches!(c, Consumer::At(..)) && has_all(c))
    }
}
