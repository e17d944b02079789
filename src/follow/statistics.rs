//! What following costs, for those who look on: how often a WAL was handed over, and how long writers had to wait.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Buckets for each doubling of the time.
const BUCKETS_EACH: u32 = 8;
/// From a microsecond to more than an hour.
const BUCKETS: usize = 32 * BUCKETS_EACH as usize;

/// How long something took, each time: as a histogram, so that it needs the same memory however often.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: Vec<u32>,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: Vec::new(), max: Duration::ZERO }
    }
}

impl Histogram {
    /// Once more, so long.
    pub fn add(&mut self, took: Duration) {
        self.buckets.resize(BUCKETS, 0);
        let bucket = &mut self.buckets[bucket_of(took)];
        *bucket = bucket.saturating_add(1);
        self.max = self.max.max(took);
    }

    /// What another has seen too.
    pub fn merge(&mut self, other: &Self) {
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket = bucket.saturating_add(*more);
        }
        self.max = self.max.max(other.max);
    }

    /// How often.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|n| u64::from(*n)).sum()
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.max
    }

    /// Of a thousand times so many took no longer than this, to an eighth of it; zero if there is none.
    #[must_use]
    pub fn per_mille(&self, share: u32) -> Duration {
        let rank = (self.count() * u64::from(share)).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return end_of(bucket).min(self.max);
            }
        }
        self.max
    }
}

fn bucket_of(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let octave = micros.ilog2();
    let within = (u128::from(micros - (1 << octave)) * u128::from(BUCKETS_EACH)) >> octave;
    let bucket = octave as usize * BUCKETS_EACH as usize + usize::try_from(within).unwrap_or_default();
    bucket.min(BUCKETS - 1)
}

/// The first time that falls into the next bucket.
fn end_of(bucket: usize) -> Duration {
    let (octave, within) = (bucket / BUCKETS_EACH as usize, bucket % BUCKETS_EACH as usize + 1);
    let begin = 1_u64 << octave;
    Duration::from_micros(begin + (begin * within as u64).div_ceil(u64::from(BUCKETS_EACH)))
}

/// Of one time of following, or of several.
#[derive(Debug, Clone, Default)]
pub struct Statistics {
    /// WALs that were handed over.
    pub handovers: u64,
    /// How long the write lock was held, whether the handover succeeded or not.
    pub write_lock: Histogram,
}

impl Statistics {
    /// What another has seen too.
    pub fn merge(&mut self, other: &Self) {
        self.handovers += other.handovers;
        self.write_lock.merge(&other.write_lock);
    }
}

/// The same, shared.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Statistics>);

impl Shared {
    pub(super) fn note(&self, what: impl FnOnce(&mut Statistics)) {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn now(&self) -> Statistics {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_right_to_an_eighth_and_the_longest_is_exact() {
        for scale in [1, 7, 1000, 1_000_000] {
            let mut histogram = Histogram::default();
            (1..=1000_u64).for_each(|n| histogram.add(Duration::from_micros(n * scale)));
            assert_eq!((histogram.count(), histogram.max()), (1000, Duration::from_micros(1000 * scale)));
            for share in [10, 500, 990, 999, 1000] {
                let (found, exact) = (histogram.per_mille(share).as_micros(), u128::from(share) * u128::from(scale));
                assert!(exact <= found && found <= exact + exact / 8 + 1, "{share} of {scale}: {found} for {exact}");
            }
        }
    }

    #[test]
    fn nothing_and_the_longest_there_can_be_have_their_place() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.count(), histogram.per_mille(990)), (0, Duration::ZERO));
        [Duration::ZERO, Duration::MAX].into_iter().for_each(|took| histogram.add(took));
        let mut both = Histogram::default();
        both.merge(&histogram);
        both.merge(&Histogram::default());
        assert_eq!((both.count(), both.max()), (2, Duration::MAX));
    }
}
