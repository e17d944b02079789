//! Where a replica stands.

use super::{CommitLog, Consumer, Mark, ReplicaNo};
use crate::types::Index;

impl CommitLog {
    /// Where the history of `replica` ends, if it goes on from there.
    #[must_use]
    pub fn place(&self, replica: ReplicaNo) -> Option<(Index, Mark)> {
        match &self.lock().consumers[replica] {
            Consumer::At(index, mark) => Some((*index, *mark)),
            Consumer::Believed(..) | Consumer::NeedsSnapshot(_) | Consumer::Offered(_) => None,
        }
    }

    /// Believes that `replica`, whose store has not said where its history ends, ends where the furthest of the others
    /// does. What comes behind that is kept for it, as for one that follows.
    pub fn believe(&self, replica: ReplicaNo) {
        let mut inner = self.lock();
        let places = inner.consumers.iter().filter_map(|consumer| match consumer {
            Consumer::At(index, mark) => Some((*index, *mark)),
            _ => None,
        });
        if let Some((index, mark)) = places.max_by_key(|(index, mark)| (*index, mark.offset)) {
            inner.consumers[replica] = Consumer::Believed(index, mark);
        }
    }

    /// The store has said that `replica` ends where it was believed to.
    pub fn confirm(&self, replica: ReplicaNo) {
        let mut inner = self.lock();
        if let Consumer::Believed(index, mark) = inner.consumers[replica] {
            inner.consumers[replica] = Consumer::At(index, mark);
        }
        drop(inner);
        self.tell();
    }
}
