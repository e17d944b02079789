//! Where a replica stands.

use super::{CommitLog, Consumer, Mark, ReplicaNo};
use crate::types::Index;

impl CommitLog {
    /// Where the history of `replica` ends, if it goes on from there.
    #[must_use]
    pub fn place(&self, replica: ReplicaNo) -> Option<(Index, Mark)> {
        match &self.lock().consumers[replica] {
            Consumer::At(index, mark) => Some((*index, *mark)),
            Consumer::NeedsSnapshot(_) | Consumer::Offered(_) => None,
        }
    }
}
