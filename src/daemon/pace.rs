//! When to look at a database again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::follow::watch::Watcher;
use crate::host;

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
    /// How often it is looked at while it is busy.
    busy_poll: Duration,
    /// Ticks in a row that followed one another closely and found commits.
    busy_ticks: u32,
    last_commit: Instant,
    polling: bool,
}

/// Commits that come closer together than this are a busy database's.
const BUSY_GAP: Duration = Duration::from_millis(12);
/// So many of them in a row begin the polling.
const BUSY_TICKS: u32 = 25;
/// How often a busy database is looked at: so many fifths of the time that its commits gather for anyway, but not less
/// and not more often than this. Each look, and each upload after it, costs the same for one commit as for a hundred.
const BUSY_POLL_FIFTHS: u32 = 8;
const BUSY_POLL_MIN: Duration = Duration::from_millis(10);
const BUSY_POLL_MAX: Duration = Duration::from_millis(80);
/// A database without commits for so long is waited for again.
const QUIET: Duration = Duration::from_millis(200);

impl<'a> Pace<'a> {
    /// `gathers`: how long commits gather for each replica.
    pub(super) fn new(watcher: Option<&'a Watcher>, path: &Path, gathers: impl IntoIterator<Item = Duration>) -> Self {
        let gathers = gathers.into_iter().min().unwrap_or(BUSY_POLL_MAX);
        let busy_poll = (gathers * BUSY_POLL_FIFTHS / 5).clamp(BUSY_POLL_MIN, BUSY_POLL_MAX);
        Self { watcher, path: path.to_owned(), busy_poll, busy_ticks: 0, last_commit: host::now(), polling: false }
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
        if self.polling { self.busy_poll } else { Duration::MAX }
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

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// How long each of so many ticks with a commit, that come in such intervals, waits for an event.
    fn waits(gathers: Duration, interval: Duration, ticks: u32) -> (Vec<Duration>, Duration) {
        let mut pace = Pace::new(None, Path::new("app.db"), [gathers, gathers * 2]);
        let begin = pace.last_commit;
        let waits = (1..=ticks).map(|n| pace.after(1, begin + interval * n)).collect();
        (waits, pace.after(0, begin + interval * ticks + QUIET))
    }

    #[test]
    fn a_busy_database_is_polled_as_often_as_its_commits_are_shipped() {
        for (gathers, poll) in [(0, 10), (10, 16), (50, 80), (1000, 80)] {
            let (waits, after_quiet) = waits(MS * gathers, MS * 5, 100);
            assert!(waits[..BUSY_TICKS as usize - 1].iter().all(|wait| *wait == Duration::MAX), "a burst is not busy");
            assert!(waits[BUSY_TICKS as usize..].iter().all(|wait| *wait == MS * poll), "{gathers}: {waits:?}");
            assert_eq!(after_quiet, Duration::ZERO, "once more, and then it is waited for again");
        }
    }

    #[test]
    fn a_database_with_some_commits_is_waited_for() {
        let (waits, after_quiet) = waits(MS * 50, MS * 13, 100);
        assert!(waits.iter().all(|wait| *wait == Duration::MAX) && after_quiet == Duration::MAX);
    }
}
