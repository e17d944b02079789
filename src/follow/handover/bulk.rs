//! Copying most of a WAL back into the database file, with no lock that a writer needs.

use std::path::Path;
use std::time::Duration;

use super::super::{Follower, Lost};
use crate::host;
use crate::sqlite::{Checkpoint, Error};
use crate::types::Timestamp;

/// So few frames may be left to copy while the write lock is held.
const SEAL_FRAMES: u32 = 100;
/// More frames than this are on the disk before the application could come to write them there: about so many it copies
/// by itself.
const SYNC_FRAMES: u32 = 1000;
/// So often they are copied once more, if commits are so far apart that there may be none left then, for which the
/// write lock is not needed; or if the disk is slow at the moment, for which writers would have to wait.
const LAST_ROUNDS: u32 = 3;
/// A disk that needs longer for a round of few frames is slow.
const SLOW: Duration = Duration::from_millis(10);
/// If rounds do not make them fewer, it may be so many bytes: what an application copies by itself, while it waits.
const SEAL_BYTES_MAX: u32 = 4 << 20;
/// How long somebody else's checkpoint is waited for.
const BULK_PATIENCE: Duration = Duration::from_millis(250);
const CHECKPOINT_SLEEP: Duration = Duration::from_micros(200);
/// How often the bulk is copied before the write lock is tried for anyway.
const BULK_ROUNDS: u32 = 12;

impl Follower {
    /// Copies most of the WAL into the database file, holding no lock that a writer needs. False if somebody else keeps
    /// checkpointing.
    pub(super) fn copy_bulk(&mut self, now: Timestamp) -> Result<bool, Lost> {
        let index = self.newest_index()?;
        let (mut synced, mut on_disk) = (0, 0);
        let (mut copied_before, mut left_before) = (None, index.frames.saturating_sub(index.copied));
        let (has_gaps, mut last_rounds) = (self.growth.has_gaps(), LAST_ROUNDS);
        // The most of it before the first round: what is committed meanwhile is for the round to copy, and little is
        // left to read, and so to copy, when the rounds are over.
        self.read_ahead(now)?;
        for _ in 0..BULK_ROUNDS {
            self.move_pin_alone(now, &mut on_disk)?;
            let since = host::now();
            // When it is over nothing is left to copy before our pin, so nobody's checkpoint will be in the way of ours
            // while the write lock is held.
            if self.checkpoint_within(BULK_PATIENCE)? == Checkpoint::Busy {
                tracing::debug!(db = %self.path.display(), "handover put off: somebody else keeps checkpointing");
                return Ok(false);
            }
            if !self.sync_copied(&mut synced)? {
                return Ok(false);
            }
            let is_slow = host::since(since) > SLOW;
            self.read_ahead(now)?;
            let index = self.newest_index()?;
            let left = index.frames.saturating_sub(index.copied);
            // A round takes as long as there is to copy, so the rounds get shorter, unless a reader is in the way, or
            // what is committed while the disk is synced is more than that.
            let shrinks = left <= left_before / 2;
            left_before = left;
            if (1..=SEAL_FRAMES).contains(&left) && (has_gaps || is_slow) && last_rounds > 0 {
                last_rounds -= 1;
                continue;
            }
            if left <= SEAL_FRAMES || !shrinks && left <= SEAL_BYTES_MAX / self.page_size.get() {
                break;
            }
            if copied_before == Some(index.copied) {
                // If that reader ended while we held the write lock, writers would wait until all of it is copied.
                tracing::debug!(db = %self.path.display(), left, "handover put off: a reader is in the way");
                return Ok(false);
            }
            copied_before = Some(index.copied);
        }
        Ok(true)
    }

    /// Moves the pin so that what may be copied then is left to us: otherwise the application's next commit would copy
    /// it all. In the instant in which checkpoints are allowed, and ours has not begun, it still may, and that begins
    /// with having the disk take the WAL: by then most of a large one is there. `on_disk`: so many frames are.
    fn move_pin_alone(&mut self, now: Timestamp, on_disk: &mut u32) -> Result<(), Lost> {
        self.checkpointer.refuse_others()?;
        let index = self.newest_index()?;
        if index.frames.saturating_sub(index.copied.max(*on_disk)) > SYNC_FRAMES {
            // If that fails, so will the checkpoint, which says so.
            let _ = self.wal.file().sync_data();
            *on_disk = index.frames;
        }
        let moved = self.move_pin(now);
        self.checkpointer.allow_others()?;
        moved
    }

    /// Captures what is new, and reads into memory what is not shipped, if it is little enough.
    fn read_ahead(&mut self, now: Timestamp) -> Result<(), Lost> {
        let index = self.newest_index()?;
        self.capture(&index, now)?;
        if self.is_blocked() {
            return Ok(());
        }
        self.log.read_ahead(self.wal_reader()).map_err(Lost::ReadWal)
    }

    /// Has the disk take what was copied, if it is more than a little. SQLite does so only when it copies the last
    /// frame, which may be with the write lock held: then writers would wait until the disk has taken all that was
    /// copied before. False if the disk refuses. `synced`: so many frames of the WAL are on the disk.
    fn sync_copied(&mut self, synced: &mut u32) -> Result<bool, Lost> {
        let index = self.newest_index()?;
        if self.blocked || index.is_copied() || index.copied.saturating_sub(*synced) <= SEAL_FRAMES {
            return Ok(true);
        }
        match self.checkpointer.sync_database() {
            Ok(()) => *synced = index.copied,
            Err(error) => {
                warn_of(&self.path, &error);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A checkpoint that waits so long for one of somebody else's to end.
    pub(super) fn checkpoint_within(&mut self, patience: Duration) -> Result<Checkpoint, Error> {
        let since = host::now();
        loop {
            let checkpoint = match self.checkpointer.checkpoint_passive() {
                Ok(checkpoint) => checkpoint,
                // A full disk, say. Nothing is lost by it: the WAL stays, and the next handover tries again.
                Err(error) => {
                    warn_of(&self.path, &error);
                    return Ok(Checkpoint::Busy);
                }
            };
            if checkpoint != Checkpoint::Busy || host::since(since) >= patience {
                return Ok(checkpoint);
            }
            host::pause(CHECKPOINT_SLEEP);
        }
    }
}

fn warn_of(database: &Path, error: &Error) {
    tracing::warn!(db = %database.display(), %error, "cannot copy the WAL into the database; will try again");
}
