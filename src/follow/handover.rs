//! Pinned, Sealing, Guarded: letting the WAL restart without an instant in which a commit could slip away.

mod bulk;

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fault_points::fault_point;

use super::log::SealPermit;
use super::ranges::Boundary;
use super::snapshot::{Overlay, SnapshotTicket};
use super::{Follower, Hold, Lost};
use crate::host;
use crate::segment::page_hash;
use crate::sqlite::WalIndex;
use crate::types::{PageNo, Timestamp};

/// How long somebody else's checkpoint is waited for with the write lock held.
const SEAL_PATIENCE: Duration = Duration::from_millis(10);
/// How often the first page is read until it is certain that it is another one.
const FIRST_PAGE_TRIES: u32 = 5;
const FIRST_PAGE_SLEEP: Duration = Duration::from_millis(1);
/// How often the WAL is copied back while its restart has to wait for the shippers.
const BULK_INTERVAL: Duration = Duration::from_millis(200);
/// A guard is left when the new WAL has this part of the frames with which a handover is due. Once it has more than the
/// application's own limit, each commit tries to checkpoint, and sorts all its frames before it finds the guard in the
/// way (SQLite, `walCheckpoint`).
const GUARD_PART: u32 = 4;
/// Between two attempts, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// A snapshot waits so long for a guard; then it is taken beside the WAL.
const GUARD_PATIENCE: Duration = Duration::from_secs(1);

impl Follower {
    /// When the next handover is due; `None` if nothing calls for one.
    pub(super) fn handover_due(&mut self) -> Option<Instant> {
        let wanted = self.log.snapshot_wanted().is_some();
        if !wanted {
            self.snapshot_wanted_since = None;
        }
        // It may have ended this very moment, but then its lock is still to be let go.
        if self.lease_is_out() || self.held_for_lease {
            return None;
        }
        if self.hold == Hold::Guarded {
            return wanted.then(host::now);
        }
        let now = host::now();
        let frames = self.tail_frames().unwrap_or(0);
        let by_time = self.limits.checkpoint_interval.map(|interval| self.handover_at + interval);
        if wanted || frames >= self.due_at() {
            return Some(now.max(self.not_before));
        }
        by_time.map(|at| at.max(self.not_before))
    }

    /// The number of frames from which on a handover is due.
    fn due_at(&self) -> u32 {
        self.growth.due_at(self.limits.checkpoint_pages, self.limits.checkpoint_apart)
    }

    /// When to look again: when a handover is due, or the WAL will have grown so much, if that is so soon that neither
    /// an event nor a poll may come before.
    pub(super) fn next_look(&mut self) -> Option<Instant> {
        let due = self.handover_due();
        let now = host::now();
        if due.is_some_and(|due| due <= now) {
            return due;
        }
        let left = match self.hold {
            Hold::Guarded => Some((self.due_at() / GUARD_PART).max(1)),
            // Above that, it is not growth that is waited for.
            Hold::Pinned { .. } => self.due_at().checked_sub(self.tail_frames().unwrap_or(0)).filter(|left| *left > 0),
        };
        let grown = left.and_then(|left| self.growth.look_after(left, now));
        due.into_iter().chain(grown).min()
    }

    /// Tries to reach Guarded, and offers a snapshot if one is wanted. True if the WAL may restart now.
    pub(super) fn hand_over(&mut self, now: Timestamp) -> Result<bool, Lost> {
        let began = host::now();
        let reached = self.hold == Hold::Guarded || self.reach_guard(now)?;
        if reached {
            self.guarded();
        } else if let Some(reason) = self.log.snapshot_wanted() {
            let since = *self.snapshot_wanted_since.get_or_insert_with(host::now);
            if host::since(since) >= GUARD_PATIENCE {
                self.offer_beside_wal(reason, now)?;
            }
        }
        if reached {
            self.growth.handed_over(host::since(began));
            tracing::debug!(db = %self.path.display(), took = ?host::since(began), wal_bytes = self.wal_bytes(),
                "handed over");
        } else if self.blocked {
            // The shippers wake us when they have made progress.
            self.not_before = host::now() + RETRY_FIRST;
        } else {
            self.failures += 1;
            let wait = RETRY_FIRST.saturating_mul(1 << self.failures.min(10)).min(RETRY_MAX);
            self.not_before = host::now() + wait;
        }
        Ok(reached)
    }

    /// What follows a handover.
    pub(super) fn guarded(&mut self) {
        (self.failures, self.handover_at) = (0, host::now());
        self.offer(self.log.snapshot_wanted(), None);
    }

    fn reach_guard(&mut self, now: Timestamp) -> Result<bool, Lost> {
        if self.is_blocked() {
            self.give_up_laggards();
            // The WAL cannot restart yet, but copying it back must not pile up.
            if host::since(self.bulk_at) < BULK_INTERVAL {
                return Ok(false);
            }
        }
        self.bulk_at = host::now();
        self.recognise_database()?;
        let copied = self.copy_bulk(now)?;
        fault_point!("handover-copied");
        let sealed = if copied && !self.is_blocked() { self.guard_or_seal(now) } else { Ok(false) };
        self.log.drop_read_ahead();
        sealed
    }

    /// If nobody has committed meanwhile everything is copied back already, and nobody need feel a lock.
    fn guard_or_seal(&mut self, now: Timestamp) -> Result<bool, Lost> {
        let is_copied = self.newest_index()?.is_copied();
        if is_copied && self.guard_copied(now)? { Ok(true) } else { self.try_seal(now) }
    }

    fn try_seal(&mut self, now: Timestamp) -> Result<bool, Lost> {
        let other = 1 - self.held;
        match self.lines[other].begin_write() {
            Ok(()) => {}
            Err(busy) if busy.is_busy() => {
                tracing::debug!(db = %self.path.display(), "handover put off: writers hold the write lock");
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        fault_point!("handover-sealing");
        let since = host::now();
        let sealed = self.seal(now);
        // Nothing was written; this only lets go of the locks.
        self.lines[other].end();
        fault_point!("handover-unlocked");
        let held = host::since(since);
        self.log.note_statistics(|statistics| statistics.write_lock.add(held));
        tracing::debug!(db = %self.path.display(), ?held, sealed = ?sealed.as_ref().ok(), "held the write lock");
        sealed
    }

    /// Whether what is unshipped may be kept in memory, so that the WAL can restart.
    pub(super) fn fits_into_memory(&self) -> bool {
        self.log.unshipped_bytes() <= self.limits.tail_bytes
    }

    fn is_blocked(&mut self) -> bool {
        self.blocked = !self.fits_into_memory();
        if self.blocked {
            let unshipped = self.log.unshipped_bytes();
            tracing::debug!(db = %self.path.display(), unshipped, "handover put off: too much is unshipped");
        }
        self.blocked
    }

    /// A replica that cannot be written must not fill the disk with the WAL that waits for it.
    fn give_up_laggards(&self) {
        if self.wal_bytes() <= self.limits.wal_bytes {
            return;
        }
        let replicas = self.log.abandon_laggards(self.limits.tail_bytes);
        tracing::warn!(db = %self.path.display(), replicas, wal_bytes = self.wal_bytes(),
            "the WAL has reached its cap: giving up on replicas that lag, they will get a new snapshot");
    }

    /// Moves the pin to the end of the WAL, so that a checkpoint may copy up to there.
    ///
    /// The new transaction is a true pin: frames have been appended behind the old mark, and they cannot have been
    /// copied back while the old pin was held.
    pub(super) fn move_pin(&mut self, now: Timestamp) -> Result<(), Lost> {
        let Hold::Pinned { mark } = self.hold else { return Ok(()) };
        let index = self.newest_index()?;
        if index.frames <= mark {
            return Ok(());
        }
        let other = 1 - self.held;
        self.lines[other].begin_read()?;
        let index = self.newest_index()?;
        self.capture(&index, now)?;
        fault_point!("handover-pinned");
        self.lines[self.held].end();
        self.held = other;
        self.pinned(&index);
        Ok(())
    }

    /// The transaction in hand is a true pin, and sees the WAL no further than this.
    pub(super) fn pinned(&mut self, index: &WalIndex) {
        (self.hold, self.pinned_at) = (Hold::Pinned { mark: index.frames }, host::now());
    }

    /// Sealing: the write lock is held by the other line, so the WAL has its last frame and cannot restart.
    fn seal(&mut self, now: Timestamp) -> Result<bool, Lost> {
        let index = self.lines[self.held].wal_index()?;
        self.capture(&index, now)?;
        if !self.fits_into_memory() {
            return Ok(false);
        }
        fault_point!("handover-captured");
        self.lines[self.held].end();
        let checkpoint = self.checkpoint_within(SEAL_PATIENCE);
        fault_point!("handover-checkpointed");
        self.begin_guard(self.held)?;
        checkpoint?;
        // The wal-index decides, not what our checkpoint says of itself: if another process was at it, that one may
        // have copied the last frame before our transaction began.
        if !self.lines[self.held].wal_index()?.is_copied() {
            // A reader of the application's is in the way: normal. Frames are left to copy, so this is a true pin.
            self.pinned(&index);
            return Ok(false);
        }
        let permit = self.log.seal(self.wal_reader()).map_err(Lost::ReadWal)?;
        fault_point!("handover-guarding");
        self.guard(permit)?;
        fault_point!("handover-guarded");
        Ok(true)
    }

    /// Pinned, and all of the WAL is copied back: the pin becomes a guard without the write lock. False if it is not.
    ///
    /// What the second transaction sees when it begins is what is captured and copied back. For if a commit came
    /// between its beginning and the look at the wal-index, it would not be copied back: the second transaction, if it
    /// is a guard, lets nothing be copied, and if it is a pin, nothing behind the end that it saw. Nor is more
    /// unshipped then than before.
    pub(super) fn guard_copied(&mut self, now: Timestamp) -> Result<bool, Lost> {
        let other = 1 - self.held;
        let nobody_copies = self.begin_guard(other)?;
        fault_point!("way-pinned");
        let index = self.newest_index()?;
        self.capture(&index, now)?;
        if !index.is_copied() || !nobody_copies {
            self.lines[other].end();
            return Ok(false);
        }
        let permit = self.log.seal(self.wal_reader()).map_err(Lost::ReadWal)?;
        self.lines[self.held].end();
        fault_point!("way-given");
        self.held = other;
        self.guard(permit)?;
        Ok(true)
    }

    /// Begins a transaction that is to be a guard. While somebody copies, even what is copied back whole is read under
    /// another lock than 0, for which a checkpoint that restarts the WAL would wait: false if that may be so.
    pub(super) fn begin_guard(&mut self, line: usize) -> Result<bool, Lost> {
        let kept = self.checkpointer.keep_file()?;
        let begun = self.lines[line].begin_read();
        let nobody_copies = kept.is_some();
        kept.map_or(Ok(()), |lock| self.checkpointer.release(lock))?;
        begun?;
        Ok(nobody_copies)
    }

    pub(super) fn wal_reader(&self) -> impl Fn(u64, &mut [u8]) -> io::Result<()> {
        let wal = self.wal.file();
        move |offset, bytes| wal.read_exact_at(bytes, offset)
    }

    /// Everything is captured, shipped or in memory, and copied back, and the transaction in hand began after that.
    pub(super) fn guard(&mut self, _everything_is_safe: SealPermit) -> Result<(), Lost> {
        self.close_index()?;
        self.log.note_statistics(|statistics| statistics.handovers += 1);
        self.hold = Hold::Guarded;
        self.first_page.clear();
        self.note_first_page()
    }

    pub(super) fn note_first_page(&mut self) -> Result<(), Lost> {
        let hash = self.read_first_page()?;
        self.first_page.insert(hash);
        Ok(())
    }

    fn read_first_page(&self) -> Result<u64, Lost> {
        let Some(first) = PageNo::new(1) else { return Ok(0) };
        let mut page = vec![0; self.page_size.bytes()];
        self.checkpointer.read_database(0, &mut page)?;
        Ok(page_hash(first, &page).0)
    }

    /// Refuses to checkpoint into a file that is not the one that was followed: somebody may have copied another
    /// database over it, and a checkpoint would mix the two.
    pub(super) fn recognise_database(&self) -> Result<(), Lost> {
        self.check_identity()?;
        for _ in 0..FIRST_PAGE_TRIES {
            if self.first_page.contains(&self.read_first_page()?) {
                return Ok(());
            }
            // Somebody else's checkpoint may be writing it at this moment.
            host::pause(FIRST_PAGE_SLEEP);
        }
        Err(Lost::Overwritten(1))
    }

    pub(super) fn wal_bytes(&self) -> u64 {
        self.tail.as_ref().map_or(0, |tail| tail.offset)
    }

    /// The database file, with `overlay` if there is one, stands still at the beginning of the next index: that is when
    /// a snapshot is taken, if one is wanted, and when merged ranges end. All end where a snapshot is taken, so that
    /// others begin with it.
    fn offer(&mut self, wanted: Option<String>, overlay: Option<Overlay>) {
        self.advance_time(self.time);
        let here = self.mark_here();
        let boundary =
            Boundary { index: self.next_index, size: here.size, digest: self.hashes.digest(), time: self.time };
        let mut ranges = self.ranges.cut(&boundary, wanted.is_some());
        if wanted.is_none() && ranges.is_empty() {
            return;
        }
        for part in &mut ranges {
            part.hash = self.hashes.digest_of(part.pages.iter());
        }
        let reason = wanted.unwrap_or_default();
        let order = self.tail.as_ref().map_or(crate::wal::ByteOrder::Little, |tail| tail.chain.order);
        let ticket = Arc::new(SnapshotTicket {
            database: self.path.clone(),
            generation: self.log.generation(),
            index: self.next_index,
            page_size: self.page_size,
            size: here.size,
            digest: self.hashes.digest(),
            time: self.time,
            source: here.source,
            order,
            reason,
            overlay: overlay.map(|overlay| (self.wal.file(), overlay)),
            ranges,
        });
        (self.lease, self.lease_is_told) = (Arc::downgrade(&ticket), false);
        (self.lease_from, self.lease_since) = (self.wal_bytes(), host::now());
        self.log.offer(&ticket);
        self.snapshot_wanted_since = None;
    }

    /// Pinned, and a reader of the application's keeps the WAL from being copied back: the snapshot takes the pages
    /// that are in the WAL from there. The others stand still in the file, for what may be copied while the pin is held
    /// is in the WAL, before the pin's mark. The next index begins here, in the middle of the source's WAL.
    fn offer_beside_wal(&mut self, reason: String, now: Timestamp) -> Result<(), Lost> {
        let index = self.newest_index()?;
        self.capture(&index, now)?;
        let scan = self.wal.scan(&index)?;
        self.close_index()?;
        self.advance_time(now);
        self.offer(Some(reason), Some(scan.overlay));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
