//! The page hashes against the database file, a little at a time: what a disk, or a program past SQLite, has changed in
//! pages that nobody reads would otherwise be noticed by the first restore.
//!
//! Only while Guarded and with nothing captured since: then the file stands still, and every page of it is the one
//! whose hash is kept. A page in the WAL cannot differ from the file, for all of the WAL has been copied back, and
//! nothing of the next one can be.

use std::time::{Duration, Instant};

use super::{Follower, Hold, Lost};
use crate::host;
use crate::segment::page_hash;
use crate::types::PageNo;

/// What is read at once: some hundred microseconds, or a few milliseconds of a disk.
const SLICE_BYTES: usize = 256 << 10;
/// Between two slices: 2.5 MB/s at most, and no more than this part of the time.
const PAUSE: Duration = Duration::from_millis(100);
const SHARE: u32 = 20;

/// Where the comparison has got to.
#[derive(Debug)]
pub struct Sweep {
    /// `None`: never.
    interval: Option<Duration>,
    /// When the next slice may be read.
    next_at: Instant,
    /// The next page.
    page: u32,
}

impl Sweep {
    /// The whole file was read just now; it is read again once in each interval.
    pub fn new(interval: Option<Duration>) -> Self {
        Self { interval, next_at: after(interval), page: 1 }
    }
}

/// Half a century instead of never.
fn after(interval: Option<Duration>) -> Instant {
    const NEVER: Duration = Duration::from_secs(50 * 365 * 86_400);
    host::now() + interval.unwrap_or(NEVER).min(NEVER)
}

impl Follower {
    /// When the next slice is to be read; `None` while the file does not stand still.
    pub(super) fn sweep_due(&self) -> Option<Instant> {
        let still = self.hold == Hold::Guarded && self.open_index.is_none() && self.sweep.interval.is_some();
        still.then_some(self.sweep.next_at)
    }

    /// Compares the next few pages, if that is due.
    pub(super) fn sweep(&mut self) -> Result<(), Lost> {
        let began = host::now();
        if self.sweep_due().is_none_or(|at| at > began) {
            return Ok(());
        }
        // The database may have become smaller since, and all of it have been compared.
        if self.sweep.page > self.hashes.size().0 {
            self.sweep = Sweep::new(self.sweep.interval);
            return Ok(());
        }
        let size = self.page_size.bytes();
        let pages = (SLICE_BYTES / size) as u32;
        let last = (self.sweep.page - 1).saturating_add(pages).min(self.hashes.size().0);
        let mut slice = vec![0; (last + 1 - self.sweep.page) as usize * size];
        if let Some(first) = PageNo::new(self.sweep.page) {
            self.checkpointer.read_database(first.file_offset(self.page_size), &mut slice)?;
        }
        for (page, content) in (self.sweep.page..).filter_map(PageNo::new).zip(slice.chunks_exact(size)) {
            self.compare(page, content)?;
        }
        if last < self.hashes.size().0 {
            (self.sweep.page, self.sweep.next_at) = (last + 1, began + PAUSE.max(host::since(began) * SHARE));
        } else {
            tracing::debug!(db = %self.path.display(), pages = last, "every page of the database is what was captured");
            self.sweep = Sweep::new(self.sweep.interval);
        }
        Ok(())
    }

    fn compare(&self, page: PageNo, content: &[u8]) -> Result<(), Lost> {
        let kept = self.hashes.entries().get(page.slot()).copied();
        if page == self.page_size.lock_page() || kept == Some(page_hash(page, content).0) {
            return Ok(());
        }
        tracing::error!(db = %self.path.display(), %page,
            "SILENT CHANGE: a page of the database file is not the one that was captured. The disk, or a program that \
             went past SQLite, has changed it. It is shipped as it is now; restore an earlier state if it is damaged");
        Err(Lost::Overwritten(page.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::{Baseline, Limits, attach};
    use crate::types::{Generation, Timestamp};

    /// VACUUM had made the file smaller than the place up to which it was compared: the length of the rest was
    /// negative.
    #[test]
    fn a_database_that_shrinks_while_it_is_compared_with_what_was_captured_is_followed_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let app = rusqlite::Connection::open(&path).unwrap();
        app.execute_batch("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)").unwrap();
        app.execute("INSERT INTO t VALUES (randomblob(2000000))", []).unwrap();
        let (now, baseline) = (Timestamp(1), Baseline::new(folder.path(), None));
        let limits = Limits { checkpoint_pages: 0, page_check_interval: Some(Duration::ZERO), ..Limits::default() };
        let mut follower = attach(&path, limits, &[], &baseline, Generation(1), now).unwrap().follower;
        assert!(follower.tick(now).unwrap().handover);
        follower.tick(now).unwrap();
        let compared = follower.sweep.page;
        assert!(compared > 1, "nothing was compared");
        app.execute_batch("DELETE FROM t; VACUUM").unwrap();

        assert!(follower.tick(now).unwrap().handover);
        assert!(follower.hashes.size().0 < compared);
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(120));
            follower.tick(now).unwrap();
        }
    }
}
