//! While a snapshot or a merged range is copied from the database file, the file has to stand still.

use std::time::Duration;

use super::{Follower, Hold, Lost};
use crate::host;

/// A merged range waits so long for a replica that has everything before its end.
const RANGE_PATIENCE: Duration = Duration::from_secs(10);
/// A handover that comes within so long is waited for.
const SOON: Duration = Duration::from_millis(200);

impl Follower {
    pub(super) fn lease_is_out(&self) -> bool {
        self.lease.strong_count() > 0
    }

    /// Lets go of the lock that was kept for a snapshot, once the snapshot is over. Until then checkpoints are refused:
    /// an application whose WAL is above its limit would sort all its frames with every commit, and find nothing that
    /// it may copy back (SQLite, `walCheckpoint`); or it would wait for the snapshot with the write lock in hand. And
    /// until our next one, if that is due: the WAL has grown meanwhile, and the application would wait until the disk
    /// has taken all of it.
    pub(super) fn keep_lease(&mut self) -> Result<(), Lost> {
        if self.lease_is_out() {
            return if self.held_for_lease { Ok(self.checkpointer.refuse_others()?) } else { Ok(()) };
        }
        if self.held_for_lease {
            self.lines[1 - self.held].end();
            self.held_for_lease = false;
        }
        let is_due = self.handover_due().is_some_and(|due| due <= host::now() + SOON);
        if is_due { Ok(()) } else { Ok(self.checkpointer.allow_others()?) }
    }

    /// Whether [`Follower::keep_lease`] has nothing to do.
    pub(super) fn lease_is_kept(&self) -> bool {
        let refuses = self.checkpointer.refuses_others();
        if self.lease_is_out() { refuses || !self.held_for_lease } else { !refuses && !self.held_for_lease }
    }

    /// Nobody will look any more whether that has to end.
    pub(crate) fn allow_checkpoints(&mut self) {
        if let Err(error) = self.checkpointer.allow_others() {
            tracing::warn!(db = %self.path.display(), %error, "checkpoints stay refused until the database is closed");
        }
    }

    /// Nor must a replica that cannot be written keep the WAL from restarting by a snapshot that it never takes.
    pub(super) fn withdraw_stale_snapshot(&mut self) {
        let grown = self.wal_bytes().saturating_sub(self.lease_from);
        if self.hold == Hold::Guarded || !self.lease_is_out() || grown <= self.limits.wal_bytes {
            return;
        }
        let replicas = self.log.withdraw_idle_offers();
        if replicas > 0 {
            tracing::warn!(db = %self.path.display(), replicas, grown,
                "the WAL has reached its cap while a snapshot waited for its replica: it will get another one later");
        } else if !std::mem::replace(&mut self.lease_is_told, true) {
            tracing::warn!(db = %self.path.display(), grown,
                "the WAL has reached its cap while a snapshot is being copied to a replica: it grows until that ends");
        }
    }

    /// A range that a replica is not ready for is not worth the wait: finer objects hold the same.
    pub(super) fn withdraw_stale_ranges(&self) {
        if self.lease_is_out() && host::since(self.lease_since) >= RANGE_PATIENCE {
            self.log.withdraw_ranges();
        }
    }
}
