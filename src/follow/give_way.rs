//! Giving way to checkpoints of the application's.
//!
//! FULL, RESTART and TRUNCATE take the write lock, and keep it while they wait, as long as `busy_timeout` says, for
//! readers to be done with the WAL (sqlite.org/c3ref/wal_checkpoint_v2.html). Our pin is such a reader, so every writer
//! would wait for it. FULL goes on once the pin is at the end of the WAL; the others, once they have copied it all back
//! and the pin has become a guard, which keeps nobody from restarting a WAL.

use std::time::Duration;

use super::{Follower, Hold, Lost};
use crate::host;
use crate::sqlite::WalIndex;
use crate::types::Timestamp;

/// Nobody commits for so long: then the pin may as well be at the end of the WAL. Sooner, and the application would
/// have a few frames to copy with every commit once its WAL has reached its limit.
const QUIET: Duration = Duration::from_millis(200);
/// How long a checkpoint is waited for that goes on, and how often it is looked at.
const PATIENCE: Duration = Duration::from_millis(250);
const SLEEP: Duration = Duration::from_millis(1);

impl Follower {
    /// Whether a checkpoint waits for our pin, or the next one would.
    pub(super) fn is_in_the_way(&self, index: &WalIndex) -> bool {
        let Hold::Pinned { mark } = self.hold else { return false };
        if index.salts != self.salts || self.lease_is_out() || self.held_for_lease {
            return false;
        }
        if index.is_copied() {
            return self.log.unshipped_bytes() <= self.limits.tail_bytes;
        }
        mark < index.frames && (self.is_quiet(index) || self.somebody_checkpoints())
    }

    fn is_quiet(&self, index: &WalIndex) -> bool {
        self.tail_frames() == Some(index.frames) && self.growth.quiet_for(host::now()) >= QUIET
    }

    /// Where nobody can tell, nobody does.
    fn somebody_checkpoints(&self) -> bool {
        self.lines[self.held].somebody_checkpoints().unwrap_or(false)
    }

    /// Moves the pin out of the way of whoever checkpoints. True if the WAL may restart now.
    pub(super) fn give_way(&mut self, now: Timestamp) -> Result<bool, Lost> {
        let since = host::now();
        let mut index = self.lines[self.held].wal_index()?;
        if !self.is_in_the_way(&index) {
            return Ok(false);
        }
        loop {
            self.move_pin(now)?;
            index = self.lines[self.held].wal_index()?;
            let somebody = self.somebody_checkpoints();
            if index.is_copied() && self.is_in_the_way(&index) {
                // For an instant after it has copied the last frame it keeps lock 0, which a guard needs.
                if somebody {
                    host::pause(SLEEP);
                }
                return self.give(now);
            }
            if !somebody || host::since(since) >= PATIENCE {
                return Ok(false);
            }
            host::pause(SLEEP);
        }
    }

    fn give(&mut self, now: Timestamp) -> Result<bool, Lost> {
        self.recognise_database()?;
        let given = self.guard_copied(now)?;
        if given {
            self.guarded();
            tracing::debug!(db = %self.path.display(), "gave way to a checkpoint of the application's");
        }
        Ok(given)
    }
}
