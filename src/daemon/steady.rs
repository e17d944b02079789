//! The time by which retention decides. A clock that jumps ahead makes everything old at once, and what is deleted then
//! does not come back when the clock is set right.

use std::sync::Arc;
use std::time::Duration;

use crate::types::{Clock, Timestamp};

/// A clock may go faster than the machine has been up by so much.
const SLACK: Duration = Duration::from_secs(600);
/// After so long a jump is believed: nobody has set the clock back.
const BELIEVED: Duration = Duration::from_secs(86_400);

/// A clock that jumps ahead a day later than the machine's does.
#[derive(Debug)]
pub struct Steady {
    clock: Arc<dyn Clock>,
    /// What it said, and how long the machine had been up.
    then: (Timestamp, Duration),
}

impl Steady {
    /// What `clock` says now is believed.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let then = (clock.now(), clock.uptime());
        Self { clock, then }
    }

    /// No later than it can be.
    pub fn now(&mut self) -> Timestamp {
        let (now, uptime) = (self.clock.now(), self.clock.uptime());
        let passed = uptime.saturating_sub(self.then.1);
        if passed >= BELIEVED {
            self.then = (now, uptime);
        }
        let latest = passed + SLACK;
        now.min(Timestamp(self.then.0.0.saturating_add(u64::try_from(latest.as_millis()).unwrap_or(u64::MAX))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const HOUR: u64 = 3_600_000;

    /// What it says, and for how long it has been up, in milliseconds.
    #[derive(Debug, Default)]
    struct Set(Mutex<(u64, u64)>);

    impl Set {
        fn pass(&self, says: i64, up: u64) {
            let mut at = self.0.lock().unwrap();
            *at = (at.0.saturating_add_signed(says), at.1 + up);
        }
    }

    impl Clock for Set {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.lock().unwrap().0)
        }

        fn uptime(&self) -> Duration {
            Duration::from_millis(self.0.lock().unwrap().1)
        }
    }

    #[test]
    fn a_clock_that_jumps_ahead_is_believed_a_day_later() {
        let clock = Arc::new(Set::default());
        clock.pass(100 * HOUR as i64, 5 * HOUR);
        let mut steady = Steady::new(Arc::clone(&clock) as _);
        clock.pass(HOUR as i64, HOUR);
        assert_eq!(steady.now(), Timestamp(101 * HOUR));
        clock.pass(48 * HOUR as i64, HOUR);
        assert_eq!(steady.now(), Timestamp(102 * HOUR + HOUR / 6));
        clock.pass(-48 * HOUR as i64, 0);
        assert_eq!(steady.now(), Timestamp(101 * HOUR));
        clock.pass(-(HOUR as i64), 0);
        assert_eq!(steady.now(), Timestamp(100 * HOUR));
        clock.pass(1000 * HOUR as i64, 22 * HOUR);
        assert_eq!(steady.now(), Timestamp(1100 * HOUR));
        clock.pass(1000 * HOUR as i64, 0);
        assert_eq!(steady.now(), Timestamp(1100 * HOUR + HOUR / 6));
    }
}
