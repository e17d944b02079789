//! What can be copied while the database file stands still: snapshots and merged ranges, offered to the replicas.

use std::sync::Arc;

use super::{CommitLog, Consumer, Extra, Inner, ReplicaNo};
use crate::follow::snapshot::SnapshotTicket;
use crate::types::Index;

impl CommitLog {
    /// The reasons of the replicas that wait for a snapshot.
    #[must_use]
    pub fn snapshot_wanted(&self) -> Option<String> {
        let inner = self.lock();
        let needed = inner.consumers.iter().find_map(|c| match c {
            Consumer::NeedsSnapshot(reason) => Some(reason.clone()),
            _ => None,
        });
        let scheduled = || {
            inner.extras.iter().find_map(|extra| match extra {
                Extra::Wanted(reason) => Some(reason.clone()),
                _ => None,
            })
        };
        needed.or_else(scheduled)
    }

    /// Offers a snapshot to every replica that waits for one, and the ranges that end with it to those that follow.
    pub fn offer(&self, ticket: &Arc<SnapshotTicket>) {
        let mut inner = self.lock();
        if !ticket.ranges.is_empty() {
            let Inner { consumers, ranges, .. } = &mut *inner;
            for (slot, _) in ranges.iter_mut().zip(consumers).filter(|(_, c)| matches!(c, Consumer::At(..))) {
                *slot = Some(Arc::clone(ticket));
            }
        }
        for consumer in inner.consumers.iter_mut().filter(|c| matches!(c, Consumer::NeedsSnapshot(_))) {
            *consumer = Consumer::Offered(Arc::clone(ticket));
        }
        let Inner { extras, snapshots, .. } = &mut *inner;
        for (extra, last) in extras.iter_mut().zip(snapshots).filter(|(e, _)| matches!(e, Extra::Wanted(_))) {
            // An idle database needs no second one.
            let is_there = *last == Some((ticket.index, ticket.digest));
            *extra = if is_there { Extra::None } else { Extra::Offered(Arc::clone(ticket)) };
        }
        drop(inner);
        self.tell();
    }

    /// Takes back the ranges that nobody has taken.
    pub fn withdraw_ranges(&self) {
        self.lock().ranges.iter_mut().for_each(|slot| *slot = None);
    }

    /// Asks for a snapshot of `replica` beside its segments.
    pub fn want_snapshot(&self, replica: ReplicaNo, reason: &str) {
        self.lock().extras[replica] = Extra::Wanted(reason.to_owned());
    }

    /// Takes note that `replica` has the snapshot of `ticket`.
    pub fn note_snapshot(&self, replica: ReplicaNo, ticket: &SnapshotTicket) {
        self.lock().snapshots[replica] = Some((ticket.index, ticket.digest));
    }

    /// The snapshot that was asked for, once there is one and the replica has every index before it: a snapshot behind
    /// a hole would hide the hole for good if we were killed before it is filled.
    #[must_use]
    pub fn take_snapshot(&self, replica: ReplicaNo) -> Option<Arc<SnapshotTicket>> {
        let mut inner = self.lock();
        if let Extra::Offered(ticket) = &inner.extras[replica]
            && !inner.has_all_before(replica, ticket.index)
        {
            return None;
        }
        let extra = &mut inner.extras[replica];
        match std::mem::replace(extra, Extra::None) {
            Extra::Offered(ticket) => Some(ticket),
            other => {
                *extra = other;
                None
            }
        }
    }

    /// The merged ranges that are ready for `replica`, once it has every index before their end.
    #[must_use]
    pub fn take_ranges(&self, replica: ReplicaNo) -> Option<Arc<SnapshotTicket>> {
        let mut inner = self.lock();
        let index = inner.ranges[replica].as_ref()?.index;
        if inner.has_all_before(replica, index) { inner.ranges[replica].take() } else { None }
    }

    /// Takes back the snapshots that nobody is copying at the moment, because the WAL has grown too much under them.
    /// Returns how many replicas have to wait for the next one.
    pub fn withdraw_idle_offers(&self) -> usize {
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.ranges.iter_mut().for_each(|slot| *slot = None);
        let mut offers: Vec<Arc<SnapshotTicket>> = Vec::new();
        for consumer in &inner.consumers {
            if let Consumer::Offered(ticket) = consumer {
                offers.push(Arc::clone(ticket));
            }
        }
        for extra in &inner.extras {
            if let Extra::Offered(ticket) = extra {
                offers.push(Arc::clone(ticket));
            }
        }
        // There is one lease, so all of these are one ticket: held by the log, by this list, and by whoever copies it.
        if offers.first().is_none_or(|ticket| Arc::strong_count(ticket) > 2 * offers.len()) {
            return 0;
        }
        for consumer in inner.consumers.iter_mut().filter(|c| matches!(c, Consumer::Offered(_))) {
            *consumer = Consumer::NeedsSnapshot("the replica could not be written for too long".to_owned());
        }
        for extra in inner.extras.iter_mut().filter(|e| matches!(e, Extra::Offered(_))) {
            *extra = Extra::None;
        }
        inner.forget_shipped();
        offers.len()
    }
}

impl Inner {
    /// Whether `replica` follows, and has every index before `index`. One that waits for a snapshot itself lacks what
    /// lies before that snapshot, although nothing of it is left to ship.
    fn has_all_before(&self, replica: ReplicaNo, index: Index) -> bool {
        let consumer = &self.consumers[replica];
        let mut before = self.indexes.iter().filter(|log| log.index < index);
        matches!(consumer, Consumer::At(..)) && before.all(|log| log.is_shipped_to(consumer))
    }
}
