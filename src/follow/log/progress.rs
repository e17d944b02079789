//! How far the replicas are, for those who keep what a replica can be continued from.

use super::{CommitLog, Consumer, ReplicaNo};
use crate::segment::StateDigest;
use crate::types::{Index, Offset, PageCount};

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

    /// Whether some replica has every index before `index`.
    #[must_use]
    pub fn is_shipped_before(&self, index: Index) -> bool {
        let inner = self.lock();
        let has_all =
            |c: &Consumer| inner.indexes.iter().filter(|log| log.index < index).all(|log| log.is_shipped_to(c));
        inner.consumers.iter().any(|c| matches!(c, Consumer::At(..)) && has_all(c))
    }
}
