//! What is known of a replica's progress, for those who look on.

use std::sync::Arc;
use std::time::Instant;

use replica_backends::layers::Tally;
use replica_backends::{Error, Reason};
use tokio::sync::Notify;

use crate::host;
use crate::types::{Position, Timestamp};

/// What is known of a replica's progress since the start.
#[derive(Debug, Clone, Default)]
pub struct ReplicaStatus {
    /// Everything before this is in the replica.
    pub position: Option<Position>,
    /// When the newest commit in the replica was seen.
    pub time: Option<Timestamp>,
    /// Objects shipped.
    pub objects: u64,
    /// When the last one was.
    pub shipped_at: Option<Instant>,
    /// The failure that is being retried.
    pub failing: Option<Failing>,
    /// What the last verification found.
    pub verified: Option<Verdict>,
    /// What came of the last run of retention.
    pub retention: Option<Verdict>,
    /// Requests to its store.
    pub requests: Tally,
    /// Who is told of changes.
    pub news: Arc<Notify>,
}

/// What came of something that is done from time to time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// When.
    pub at: Timestamp,
    /// Whether it is as it should be.
    pub fine: bool,
    /// In words.
    pub says: String,
}

/// A failure that is being retried.
#[derive(Debug, Clone)]
pub struct Failing {
    /// What is the matter.
    pub reason: Reason,
    /// In words.
    pub text: String,
    /// Since when nothing succeeds.
    pub since: Instant,
}

impl ReplicaStatus {
    /// Everything before `position` is in the replica; its last commit was seen at `time`.
    pub fn shipped(&mut self, position: Position, time: Timestamp) {
        (self.position, self.time, self.shipped_at) = (Some(position), Some(time), Some(host::now()));
        self.objects += 1;
        self.news.notify_one();
    }

    /// A request failed, and will be tried again. Returns whether for another reason than the one before.
    pub fn failed(&mut self, error: &Error) -> bool {
        let before = self.failing.as_ref();
        let is_new = before.is_none_or(|failing| failing.reason != error.reason());
        let since = before.map_or_else(host::now, |failing| failing.since);
        self.failing = Some(Failing { reason: error.reason(), text: error.to_string(), since });
        self.news.notify_one();
        is_new
    }

    /// It has been verified.
    pub fn verified(&mut self, verdict: Verdict) {
        self.verified = Some(verdict);
        self.news.notify_one();
    }

    /// Retention has run.
    pub fn pruned(&mut self, verdict: Verdict) {
        self.retention = Some(verdict);
        self.news.notify_one();
    }

    /// What failed succeeds again.
    pub fn recovered(&mut self) {
        if self.failing.take().is_some() {
            self.news.notify_one();
        }
    }
}
