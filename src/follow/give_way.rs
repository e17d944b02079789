//! Giving way to checkpoints of the application's.
//!
//! FULL, RESTART and TRUNCATE take the write lock, and keep it while they wait, as long as `busy_timeout` says, for
//! readers to be done with the WAL (sqlite.org/c3ref/wal_checkpoint_v2.html). Our pin is such a reader, so every writer
//! would wait for it. FULL goes on once the pin is at the end of the WAL; the others, once they have copied it all back
//! and the pin has become a guard, which keeps nobody from restarting a WAL.

use std::time::Duration;

use fault_points::fault_point;

use super::{Follower, Hold, Lost};
use crate::host;
use crate::sqlite::WalIndex;
use crate::types::Timestamp;

/// Nobody commits for so long: then the pin may as well be at the end of the WAL. Sooner, and the application would
/// have a few frames to copy with every commit once its WAL has reached its limit.
const QUIET: Duration = Duration::from_millis(200);
/// Whoever waits for readers keeps the write lock: after a commit it is not asked sooner whether somebody does. Nor is
/// a pin believed to be waited for that has just been taken.
const STILL: Duration = Duration::from_millis(5);
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
            return self.fits_into_memory();
        }
        let behind = mark < index.frames;
        behind && self.is_quiet(index, QUIET) || (behind || self.may_step_aside(index)) && self.may_be_waited_for(index)
    }

    fn is_quiet(&self, index: &WalIndex, since: Duration) -> bool {
        self.tail_frames() == Some(index.frames) && self.growth.quiet_for(host::now()) >= since
    }

    fn may_be_waited_for(&self, index: &WalIndex) -> bool {
        self.is_quiet(index, STILL) && self.somebody_checkpoints()
    }

    /// Where nobody can tell, nobody does.
    fn somebody_checkpoints(&self) -> bool {
        self.lines[self.held].somebody_checkpoints().unwrap_or(false)
    }

    /// Moves the pin out of the way of whoever checkpoints. True if the WAL may restart now.
    pub(super) fn give_way(&mut self, now: Timestamp) -> Result<bool, Lost> {
        let since = host::now();
        let mut index = self.newest_index()?;
        if !self.is_in_the_way(&index) {
            return Ok(false);
        }
        loop {
            self.move_pin(now)?;
            index = self.newest_index()?;
            let given = if index.is_copied() {
                self.is_in_the_way(&index) && self.give(now)?
            } else {
                self.may_step_aside(&index) && self.step_aside(now)?
            };
            if given {
                return Ok(true);
            }
            if !self.somebody_checkpoints() || host::since(since) >= PATIENCE {
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

    /// A checkpoint reads a mark once. If the lock that belongs to it is taken just then, for a newer mark, it is
    /// waited for all the same; and as the newest mark it would be taken again by whoever moved from there.
    fn may_step_aside(&self, index: &WalIndex) -> bool {
        let at_the_end = matches!(self.hold, Hold::Pinned { mark } if mark >= index.frames);
        at_the_end && host::since(self.pinned_at) >= STILL && self.fits_into_memory()
    }

    /// Lets go of the pin until the checkpoint has gone on, and takes it again. True if it is a guard then.
    ///
    /// Meanwhile a read lock without a mark keeps the WAL from restarting, so every frame stays where it is until it is
    /// captured; what is copied back before that is looked at by nobody.
    fn step_aside(&mut self, now: Timestamp) -> Result<bool, Lost> {
        let Some(kept) = self.checkpointer.keep_wal()? else { return Ok(false) };
        fault_point!("aside-kept");
        let hold = self.hold_anew(now);
        self.checkpointer.release(kept)?;
        fault_point!("aside-released");
        let guarded = hold? == Hold::Guarded;
        if guarded {
            self.guarded();
        }
        tracing::debug!(db = %self.path.display(), guarded, "stepped aside for a checkpoint of the application's");
        Ok(guarded)
    }

    fn hold_anew(&mut self, now: Timestamp) -> Result<Hold, Lost> {
        self.lines[self.held].end();
        self.wait_for_checkpoint()?;
        self.begin_guard(self.held)?;
        fault_point!("aside-pinned");
        // The checkpointer, which would make a wal-index anew, has a lock in hand.
        let index = self.lines[self.held].wal_index()?;
        self.capture(&index, now)?;
        self.pinned(&index);
        // As when a pin becomes a guard without the write lock (see `guard_copied`); but nothing kept commits that came
        // meanwhile from being copied back, so they are kept in memory however many they are.
        if index.is_copied() {
            self.recognise_database()?;
            let permit = self.log.seal(self.wal_reader()).map_err(Lost::ReadWal)?;
            self.guard(permit)?;
        }
        Ok(self.hold)
    }

    fn wait_for_checkpoint(&self) -> Result<(), Lost> {
        let since = host::now();
        while self.somebody_checkpoints() && host::since(since) < PATIENCE {
            // For an instant after it has copied the last frame it keeps lock 0, which a guard needs.
            let copied = self.checkpointer.wal_index()?.is_copied();
            if copied && let Some(lock) = self.checkpointer.keep_file()? {
                return Ok(self.checkpointer.release(lock)?);
            }
            host::pause(SLEEP);
        }
        Ok(())
    }
}
