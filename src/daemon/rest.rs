//! When a database is let go of, and how it is waited for afterwards.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time;

use super::baseline::Keeper;
use super::database::blocking;
use crate::follow::{Fingerprint, Follower, LetGo, Lost};
use crate::host;
use crate::types::Timestamp;

/// To follow again means to read the whole database: an application that opens and closes it all the time must not
/// make us do so for more than this part of the time,
const READING_SHARE: u32 = 100;
/// except that the first times are free: whoever stops an application to replace its database does so soon.
const READING_FREE: Duration = Duration::from_secs(60);
const FOLLOW_AT_LEAST: Duration = Duration::from_secs(1);
/// Waits between attempts.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How much time went into reading the whole database.
#[derive(Debug)]
pub struct Reading {
    since: Instant,
    spent: Duration,
}

impl Reading {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self { since: host::now(), spent: Duration::ZERO }
    }

    /// When a database may be let go of that it took so long to begin following.
    pub fn leave_after(&mut self, attaching: Duration) -> Leave {
        self.spent += attaching;
        let paid = self.since + self.spent.saturating_sub(READING_FREE).saturating_mul(READING_SHARE);
        Leave { not_before: paid.max(host::now() + FOLLOW_AT_LEAST), failures: 0 }
    }
}

/// When the database may be let go of.
#[derive(Debug)]
pub struct Leave {
    not_before: Instant,
    failures: u32,
}

impl Leave {
    /// Whether it is time.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.not_yet().is_none()
    }

    /// When it will be time, if it is not.
    #[must_use]
    pub fn not_yet(&self) -> Option<Instant> {
        (self.not_before > host::now()).then_some(self.not_before)
    }

    /// It did not succeed.
    pub fn put_off(&mut self) {
        self.not_before = host::now() + RETRY_FIRST.saturating_mul(1 << self.failures.min(10)).min(RETRY_MAX);
        self.failures += 1;
    }
}

/// What came of an attempt to let go.
pub enum Left {
    /// Nothing is open any more.
    Yes(Fingerprint),
    /// Not now.
    No(Box<Follower>),
    /// Continuity was lost on the way.
    Lost(Box<Follower>, Lost),
}

/// Keeps the page hashes, and closes the database if nobody else has it open. `path` is as configured.
pub async fn let_go(follower: Follower, mut keeper: Keeper, path: &Path, now: Timestamp) -> (Left, Keeper) {
    let path = path.to_owned();
    blocking(move || {
        keeper.keep_last(&follower);
        let left = match follower.let_go(&path, now) {
            Ok(LetGo::Done(seen)) => Left::Yes(seen),
            Ok(LetGo::NotNow(follower)) => Left::No(follower),
            Err((follower, lost)) => Left::Lost(follower, lost),
        };
        (left, keeper)
    })
    .await
}

/// Waits until the database does not look as it did any more, or a stop is wanted. True if it still looks the same.
pub async fn rest(seen: &Fingerprint, poll: Duration, wake: &Notify, stop: &mut watch::Receiver<bool>) -> bool {
    loop {
        if !seen.holds() {
            return false;
        }
        if *stop.borrow() {
            return true;
        }
        tokio::select! { biased;
            Ok(()) = stop.changed() => {}
            () = wake.notified() => {}
            () = time::sleep(poll) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_opened_and_closed_all_the_time_is_read_for_a_small_part_of_it() {
        let mut reading = Reading::new();
        let wait = |leave: &Leave| leave.not_before.duration_since(Instant::now()).as_secs();
        for _ in 0..6 {
            assert!(wait(&reading.leave_after(Duration::from_secs(10))) <= 1, "the first times are free");
        }
        assert!(wait(&reading.leave_after(Duration::from_secs(10))) >= 990);
        reading.since -= Duration::from_secs(3600);
        assert!(wait(&reading.leave_after(Duration::from_secs(10))) <= 1, "a long time has paid for them");
    }
}
