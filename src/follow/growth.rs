//! How fast the WAL grows, and from which size on the next handover has to begin so that it is over in time.

use std::time::{Duration, Instant};

/// What a handover takes until one has been seen.
const TOOK_FIRST: Duration = Duration::from_millis(10);
/// An application does not mind a WAL of up to so many times the limit if it has no more commits a second than this,
/// for each of them tries in vain to checkpoint.
const LARGER: u32 = 4;
const COMMITS_MAX: f64 = 1000.0;
/// With no more than these, the disk is often synced between one commit and the next.
const GAPS_COMMITS_MAX: f64 = 500.0;
/// Growth that is seen sooner than this after the last look tells little of the rate.
const GAP_MIN: Duration = Duration::from_micros(500);
/// A WAL that grows fast is looked at in between, at the earliest and at the latest after so long.
const LOOK_MIN: Duration = Duration::from_millis(1);
const LOOK_MAX: Duration = Duration::from_millis(100);

/// The rate at which frames are committed, and the time that a handover takes.
///
/// An application checkpoints by itself, and tries again at every commit, once its WAL has so many frames as the limit
/// says. With many commits a second the whole handover should be over before that: it begins earlier the faster the WAL
/// grows. Otherwise it begins as late as possible, because a page that is written several times is copied back once a
/// handover, and with each the disk is synced and a writer may have to wait.
#[derive(Debug)]
pub(super) struct Growth {
    frames_per_second: f64,
    commits_per_second: f64,
    /// That were captured since the last look.
    frames: u32,
    commits: u32,
    seen: Instant,
    took: Duration,
}

impl Growth {
    pub(super) fn new(now: Instant) -> Self {
        Self { frames_per_second: 0.0, commits_per_second: 0.0, frames: 0, commits: 0, seen: now, took: TOOK_FIRST }
    }

    /// Takes note of frames that were captured, with so many commits.
    pub(super) fn captured(&mut self, frames: u32, commits: u32) {
        self.frames = self.frames.saturating_add(frames);
        self.commits = self.commits.saturating_add(commits);
    }

    /// Everything that is committed has been captured.
    pub(super) fn looked(&mut self, now: Instant) {
        if self.frames == 0 {
            return;
        }
        let gap = now.duration_since(self.seen).max(GAP_MIN).as_secs_f64();
        self.frames_per_second = self.frames_per_second.midpoint(f64::from(self.frames) / gap);
        self.commits_per_second = self.commits_per_second.midpoint(f64::from(self.commits) / gap);
        (self.frames, self.commits, self.seen) = (0, 0, now);
    }

    /// How long no frame has been captured.
    pub(super) fn quiet_for(&self, now: Instant) -> Duration {
        now.duration_since(self.seen)
    }

    /// Takes note of how long a handover took.
    pub(super) fn handed_over(&mut self, took: Duration) {
        self.took = (self.took + took) / 2;
    }

    /// The number of frames from which on a handover is due if it should be over at `limit`: from half of it to 9/10;
    /// or with few commits a second, up to some times as many, so that handovers are so far `apart`.
    pub(super) fn due_at(&self, limit: u32, apart: Duration) -> u32 {
        if self.commits_per_second <= COMMITS_MAX {
            let apart = (self.frames_per_second * apart.as_secs_f64()) as u32;
            return apart.clamp(limit - limit / 10, limit.saturating_mul(LARGER));
        }
        let meanwhile = (self.frames_per_second * self.took.as_secs_f64()) as u32;
        limit.saturating_sub(meanwhile).clamp(limit / 2, limit - limit / 10)
    }

    /// Whether all of the WAL may be copied back before the next commit comes.
    pub(super) fn has_gaps(&self) -> bool {
        self.commits_per_second <= GAPS_COMMITS_MAX
    }

    /// When another `frames` will be there, if that is soon. As long as none come, each look is twice as late as the
    /// one before.
    pub(super) fn look_after(&self, frames: u32, now: Instant) -> Option<Instant> {
        let grown = Duration::try_from_secs_f64(f64::from(frames) / self.frames_per_second).unwrap_or(Duration::MAX);
        let wait = grown.max(self.quiet_for(now)).max(LOOK_MIN);
        (wait < LOOK_MAX).then(|| now + wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faster_the_wal_grows_and_the_longer_a_handover_takes_the_sooner_it_begins() {
        let mut now = Instant::now();
        let mut growth = Growth::new(now);
        assert_eq!(growth.due_at(1000, Duration::from_secs(1)), 900, "nothing is known yet");
        let mut last = 900;
        for frames in [100, 200, 400, 800] {
            for _ in 0..20 {
                now += Duration::from_millis(10);
                growth.captured(frames, 20);
                growth.looked(now);
            }
            let due = growth.due_at(1000, Duration::from_secs(1));
            assert!(due <= last && (500..=900).contains(&due), "{frames} in 10 ms: {due}");
            last = due;
        }
        assert_eq!(last, 500, "never sooner than at half of the limit");
        growth.looked(now);
        (0..20).for_each(|_| growth.handed_over(Duration::from_millis(1)));
        assert_eq!(growth.due_at(1000, Duration::from_secs(1)), 900, "a handover that is over in no time begins late");
    }

    #[test]
    fn a_wal_that_grows_fast_is_looked_at_in_between_and_ever_later_if_nothing_comes() {
        let mut now = Instant::now();
        let mut growth = Growth::new(now);
        assert_eq!(growth.look_after(1, now), None, "nothing is known yet");
        for _ in 0..20 {
            now += Duration::from_millis(10);
            growth.captured(400, 20);
            growth.looked(now);
        }
        let wait =
            |frames, quiet| Some(growth.look_after(frames, now + quiet)?.duration_since(now + quiet).as_millis());
        let ms = Duration::from_millis;
        assert_eq!(
            [0, 40, 400, 3999, 4001].map(|frames| wait(frames, ms(0))),
            [Some(1), Some(1), Some(10), Some(99), None]
        );
        assert_eq!([3, 20, 99, 100].map(|quiet| wait(400, ms(quiet))), [Some(10), Some(20), Some(99), None]);
    }

    #[test]
    fn with_few_commits_handovers_are_a_second_apart_but_the_wal_is_not_much_larger() {
        for (frames_per_second, due) in [(10, 900), (900, 900), (2000, 2000), (3900, 3900), (100_000, 4000)] {
            let mut now = Instant::now();
            let mut growth = Growth::new(now);
            for _ in 0..40 {
                now += Duration::from_millis(100);
                growth.captured(frames_per_second / 10, 20);
                growth.looked(now);
            }
            let found = growth.due_at(1000, Duration::from_secs(1));
            assert!(found.abs_diff(due) <= due / 50, "{frames_per_second} a second: {found}");
        }
    }

    #[test]
    fn a_tiny_limit_is_kept_too() {
        let growth = Growth::new(Instant::now());
        assert_eq!([0, 1, 2, 9, 10].map(|limit| growth.due_at(limit, Duration::ZERO)), [0, 1, 2, 9, 9]);
    }
}
