//! Who had to wait for the write lock, for how long, and whose doing it was.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::scene::*;

/// The status may be so late.
const STATUS_LATE: Duration = Duration::from_millis(2500);

/// How long something took, most of all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    count: u64,
    p50: Duration,
    p999: Duration,
    /// The longest.
    pub max: Duration,
}

impl Times {
    fn of(value: &Value) -> Self {
        let micros = |name: &str| Duration::from_micros(value[name].as_u64().unwrap_or_else(|| panic!("{value:#}")));
        let count = value["count"].as_u64().unwrap_or_else(|| panic!("{value:#}"));
        Self { count, p50: micros("p50_us"), p999: micros("p999_us"), max: micros("max_us") }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, p50, p999, max } = self;
        write!(f, "{count} times: p50 {p50:?}, p99.9 {p999:?}, at most {max:?}")
    }
}

/// What the writers of a test and the replicator beside them did to one another.
#[derive(Debug)]
pub struct Felt {
    /// Commits of all writers.
    pub commits: u64,
    /// "database is locked", said to a writer whose busy timeout was over.
    pub refused: u64,
    /// How long the replicator held the write lock.
    pub held: Times,
    /// Times that the WAL was handed over.
    pub handovers: u64,
    waited: Vec<Times>,
}

impl Felt {
    /// Waits until `writers` (with `--waits --stay`) are done and the replicator has told what it did.
    pub fn of(scene: &Scene, writers: &mut [Writer]) -> Self {
        let commits = writers.iter_mut().map(Writer::commits).sum();
        let waits: Vec<Value> = writers.iter_mut().map(Writer::waits).collect();
        // What is done once more within two seconds is told after that.
        std::thread::sleep(STATUS_LATE);
        let status = scene.status(&[]).0;
        Self {
            commits,
            refused: waits.iter().map(|waits| waits["refused"].as_u64().unwrap()).sum(),
            held: Times::of(&status["write_lock"]),
            handovers: status["handovers"].as_u64().unwrap(),
            waited: waits.iter().map(Times::of).collect(),
        }
    }

    /// SQLite tries for the lock again and again until the timeout is over. Whoever never holds it for more than a
    /// tenth of that time may have cost a writer some of these tries, but not all.
    pub fn assert_no_refusal_is_ours(&self, busy_timeout: Duration) {
        let far_below = self.held.max < busy_timeout / 10;
        assert!(self.refused == 0 || far_below, "a writer with a timeout of {busy_timeout:?} was refused: {self}");
    }
}

impl fmt::Display for Felt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { commits, refused, held, handovers, waited } = self;
        writeln!(f, "{commits} commits, {refused} refused; {handovers} handovers, the write lock was held {held}")?;
        waited.iter().try_for_each(|waited| writeln!(f, "  a writer waited {waited}"))
    }
}
