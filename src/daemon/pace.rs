//! When to look at a database again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::follow::watch::Watcher;

/// So many looks follow an event, each after twice the time of the one before.
///
/// The event tells of frames that were written. The commit itself is a store to shared memory, of which nobody tells,
/// and with `synchronous=FULL` it comes only when the disk has the frames.
pub(super) const GLANCES: u32 = 9;

/// How long after the look before comes the look with this number.
pub(super) fn glance(number: u32) -> Duration {
    if number < GLANCES { Duration::from_millis(1 << number) } else { Duration::MAX }
}

/// Whether a database is waited for, or polled because it changes all the time.
pub(super) struct Pace<'a> {
    watcher: Option<&'a Watcher>,
    path: PathBuf,
    /// Ticks in a row that followed one another closely and found commits.
    busy_ticks: u32,
    last_commit: Instant,
    polling: bool,
}

/// Commits that come closer together than this are a busy database's.
const BUSY_GAP: Duration = Duration::from_millis(12);
/// So many of them in a row begin the polling.
const BUSY_TICKS: u32 = 25;
/// How often a busy database is looked at.
const BUSY_POLL: Duration = Duration::from_millis(20);
/// A database without commits for so long is waited for again.
const QUIET: Duration = Duration::from_millis(200);

impl<'a> Pace<'a> {
    pub(super) fn new(watcher: Option<&'a Watcher>, path: &Path) -> Self {
        Self { watcher, path: path.to_owned(), busy_ticks: 0, last_commit: Instant::now(), polling: false }
    }

    /// After a tick with so many commits: how long to wait for events before the next look.
    pub(super) fn after(&mut self, commits: usize, now: Instant) -> Duration {
        if commits > 0 {
            let close = now.duration_since(self.last_commit) < BUSY_GAP;
            self.busy_ticks = if close { self.busy_ticks + 1 } else { 0 };
            self.last_commit = now;
        }
        if !self.polling && self.busy_ticks >= BUSY_TICKS {
            self.set_polling(true);
        } else if self.polling && now.duration_since(self.last_commit) >= QUIET {
            self.set_polling(false);
            // Once more at once: something may have been committed while nobody told us.
            return Duration::ZERO;
        }
        if self.polling { BUSY_POLL } else { Duration::MAX }
    }

    fn set_polling(&mut self, polling: bool) {
        (self.polling, self.busy_ticks) = (polling, 0);
        let told = self.watcher.map(|watcher| watcher.pause(&self.path, polling));
        if let Some(Err(error)) = told {
            tracing::warn!(db = %self.path.display(), %error, "cannot watch the folder for changes; polling only");
        }
    }
}

impl Drop for Pace<'_> {
    fn drop(&mut self) {
        if self.polling {
            self.set_polling(false);
        }
    }
}
