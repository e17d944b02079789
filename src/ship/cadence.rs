//! How long to gather commits before the next upload.

use std::time::{Duration, Instant};

/// A replica that is written to without pause gathers for so many times its `sync-interval`.
const STEADY_TIMES: u32 = 4;
/// But not for longer than this, unless `sync-interval` is longer itself.
const STEADY_MAX: Duration = Duration::from_millis(200);
/// So many uploads in a row that gathered commits make a stream steady; a burst is over by then.
const STEADY_UPLOADS: u32 = 4;

/// Leading edge: the first commit after a quiet time is shipped at once, what follows gathers for `sync-interval`.
///
/// What follows on and on gathers for longer: each object costs its replica a file, or a request, and a thousand commits
/// in a minute do not need a thousand of them. Little is lost by it: a writer that does not pause for a second is not
/// somebody who waits for one commit to arrive.
#[derive(Debug)]
pub(super) struct Cadence {
    interval: Duration,
    last_start: Option<Instant>,
    /// When what is gathered now is shipped.
    due: Option<Instant>,
    /// Uploads in a row for which there was work before their time had come.
    steady: u32,
}

impl Cadence {
    /// With so much time between two uploads at least.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, last_start: None, due: None, steady: 0 }
    }

    /// When the work that is there now is to be shipped, even if no more comes.
    pub(super) fn due(&mut self, now: Instant) -> Instant {
        if let Some(due) = self.due {
            return due;
        }
        let last = self.last_start.filter(|&last| now < last + self.interval);
        self.steady = if last.is_some() { self.steady.saturating_add(1) } else { 0 };
        let due = last.map_or(now, |last| last + self.gathering());
        self.due = Some(due);
        due
    }

    /// An upload begins.
    pub(super) fn start(&mut self, now: Instant) {
        (self.last_start, self.due) = (Some(now), None);
    }

    fn gathering(&self) -> Duration {
        if self.steady <= STEADY_UPLOADS {
            return self.interval;
        }
        (self.interval * STEADY_TIMES).min(STEADY_MAX).max(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// How long each of the commits, which come after so many milliseconds, waits until its upload begins.
    fn waits(interval: Duration, gaps: impl IntoIterator<Item = u32>) -> Vec<u128> {
        let (mut cadence, mut now) = (Cadence::new(interval), Instant::now());
        let mut waits = Vec::new();
        let mut waiting: Vec<Instant> = Vec::new();
        let mut ship = |cadence: &mut Cadence, waiting: &mut Vec<Instant>, due: Instant| {
            waits.extend(waiting.drain(..).map(|commit| (due - commit).as_millis()));
            cadence.start(due);
        };
        for gap in gaps {
            now += MS * gap;
            if let Some(due) = cadence.due.filter(|due| *due <= now) {
                ship(&mut cadence, &mut waiting, due);
            }
            waiting.push(now);
            let due = cadence.due(now);
            if due <= now {
                ship(&mut cadence, &mut waiting, due);
            }
        }
        waits
    }

    #[test]
    fn what_comes_after_a_quiet_time_is_shipped_at_once() {
        assert_eq!(waits(MS * 50, [100; 50]), [0; 50]);
        assert_eq!(waits(MS * 50, [0, 10, 10, 300, 10, 300]), [0, 40, 30, 0, 40, 0][..5]);
    }

    #[test]
    fn what_comes_without_pause_gathers_for_longer() {
        let waits = waits(MS * 50, [5; 1000]);
        assert!(waits[..40].iter().all(|wait| *wait <= 50), "a burst does not: {waits:?}");
        assert_eq!(waits.iter().max(), Some(&195));
    }

    #[test]
    fn an_interval_that_is_long_already_is_kept() {
        assert_eq!(waits(MS * 1000, [5; 2000]).iter().max(), Some(&995));
        assert_eq!(waits(MS * 10, [1; 1000]).iter().max(), Some(&39));
    }
}
