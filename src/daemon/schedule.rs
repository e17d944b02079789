//! Snapshots by schedule.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time;

use super::replica::Replica;
use super::validate::Validations;
use crate::follow::CommitLog;
use crate::follow::log::ReplicaNo;
use crate::host;
use crate::segment::Seal;

/// What becomes due from time to time, whether the database is followed or not.
pub struct Schedules {
    /// Snapshots by `snapshot-interval`.
    pub snapshots: Schedule,
    /// Verifications by `validation-interval`.
    pub validations: Validations,
}

impl Schedules {
    /// Of a database with these replicas, beginning now.
    pub fn new(replicas: &[Replica]) -> Self {
        let snapshots = Schedule::new(replicas.iter().map(|replica| replica.snapshot_interval));
        Self { snapshots, validations: Validations::new(replicas) }
    }
}

/// When each replica gets its next snapshot. It outlives the times of following, which may be short.
#[derive(Debug, Clone)]
pub struct Schedule(Arc<[Entry]>);

#[derive(Debug)]
struct Entry {
    interval: Option<Duration>,
    /// `None`: never.
    due: Mutex<Option<Instant>>,
}

impl Schedule {
    /// One interval a replica, beginning now; `None`: only when a snapshot is needed.
    pub fn new(intervals: impl Iterator<Item = Option<Duration>>) -> Self {
        Self(intervals.map(|interval| Entry { interval, due: Mutex::new(next(interval)) }).collect())
    }

    /// Asks `log` for the snapshots as they become due, until what is returned is dropped.
    pub fn start(&self, log: &Arc<CommitLog>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for number in (0..self.0.len()).filter(|number| self.0[*number].interval.is_some()) {
            tasks.spawn(self.clone().keep(number, Arc::clone(log)));
        }
        tasks
    }

    async fn keep(self, number: ReplicaNo, log: Arc<CommitLog>) {
        let Entry { interval, due } = &self.0[number];
        loop {
            let Some(at) = *due.lock().unwrap_or_else(PoisonError::into_inner) else { return };
            time::sleep_until(at.into()).await;
            log.want_snapshot(number, Seal::ON_INTERVAL);
            *due.lock().unwrap_or_else(PoisonError::into_inner) = next(*interval);
        }
    }
}

fn next(interval: Option<Duration>) -> Option<Instant> {
    host::now().checked_add(interval?)
}
