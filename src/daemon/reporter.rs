//! Who writes the status file of a database, when something has changed and not too often.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time;

use super::Database;
use super::database::blocking;
use super::not_now::NotNow;
use super::status::{self, DatabaseStatus, LockTimes, ReplicaReport, State, StatusFile};
use crate::follow::{Behind, CommitLog, Standing, Statistics};
use crate::types::{Position, Timestamp};

/// So long after a change it is written: what is shipped at once is never said to be missing.
const SETTLE: Duration = Duration::from_millis(250);
/// At the least between two writings.
const APART: Duration = Duration::from_millis(1750);

/// Everything before this position is in a replica, and when its last commit was seen.
type Place = (Position, Timestamp);

/// What the task of a database tells its reporter.
#[derive(Debug, Default)]
pub(super) struct Report {
    inner: Mutex<Inner>,
    news: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    reason: Option<String>,
    log: Weak<CommitLog>,
    /// Where each replica ended when it was followed last.
    places: Vec<Option<Place>>,
    /// Of the times of following that are over.
    past: Statistics,
    conflicts: u64,
    last_conflict: Option<String>,
}

impl Report {
    /// It is not followed, for this reason.
    pub(super) fn waits(&self, why: &NotNow) {
        let state = if matches!(why, NotNow::Missing | NotNow::Empty) { State::NoDatabase } else { State::Waiting };
        self.change(|inner| (inner.state, inner.reason) = (state, Some(why.to_string())));
    }

    /// From now on it is followed.
    pub(super) fn follows(&self, log: &Arc<CommitLog>) {
        self.change(|inner| {
            inner.end_log();
            (inner.state, inner.reason, inner.log) = (State::Following, None, Arc::downgrade(log));
        });
    }

    /// It is followed no more; everything is shipped if `rests`.
    pub(super) fn stops(&self, rests: bool) {
        self.change(|inner| {
            inner.end_log();
            inner.state = if rests { State::Resting } else { State::Waiting };
        });
    }

    /// A generation was left to another replicator.
    pub(super) fn conflicts(&self, conflict: &dyn std::fmt::Display) {
        let text = conflict.to_string();
        self.change(|inner| {
            (inner.reason, inner.last_conflict) = (Some(text.clone()), Some(text));
            inner.conflicts += 1;
        });
    }

    fn change(&self, what: impl FnOnce(&mut Inner)) {
        what(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_one();
    }
}

impl Inner {
    fn end_log(&mut self) {
        if let Some(log) = std::mem::take(&mut self.log).upgrade() {
            self.past.merge(&log.statistics());
            self.look(&log);
        }
    }

    fn look(&mut self, log: &CommitLog) {
        for (number, last) in self.places.iter_mut().enumerate() {
            let place = log.place(number).map(|(index, mark)| {
                (Position { generation: log.generation(), index, offset: mark.offset }, mark.time)
            });
            *last = place.or(*last);
        }
    }
}

impl Database {
    /// Writes what `report` and the replicas say, until what is returned is dropped.
    pub(super) fn start_reporter(&self, report: &Arc<Report>) -> JoinSet<()> {
        let before = status::read(&self.meta_path).filter(|(_, lives)| !lives).map(|(status, _)| status.replicas);
        for replica in &self.replicas {
            let mut now = replica.status.lock().unwrap_or_else(PoisonError::into_inner);
            now.news = Arc::clone(&report.news);
            // What is done rarely is still known after a restart.
            if let Some(before) = before.iter().flatten().find(|before| before.name == replica.name) {
                now.verified = before.verify.as_ref().map(Into::into);
                now.retention = before.retention.as_ref().map(Into::into);
            }
        }
        report.inner.lock().unwrap_or_else(PoisonError::into_inner).places = vec![None; self.replicas.len()];
        let mut tasks = JoinSet::new();
        tasks.spawn(report_on(self.clone(), Arc::clone(report)));
        tasks
    }

    fn status_now(&self, report: &Report) -> DatabaseStatus {
        let mut inner = report.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let log = inner.log.upgrade();
        let mut statistics = inner.past.clone();
        if let Some(log) = &log {
            statistics.merge(&log.statistics());
            inner.look(log);
        }
        // Only what has shipped everything rests.
        let rests = (inner.state == State::Resting).then(|| Standing::Follows(Behind::default()));
        let now = self.clock.now();
        let reports = self.replicas.iter().enumerate().map(|(number, replica)| {
            let standing = log.as_ref().map(|log| log.standing(number)).or_else(|| rests.clone());
            let status = replica.status.lock().unwrap_or_else(PoisonError::into_inner);
            ReplicaReport::new(&replica.name, &status, (standing, inner.places[number]), now)
        });
        DatabaseStatus {
            written_ms: now.0,
            state: inner.state,
            reason: inner.reason.clone(),
            generation: log.as_ref().map(|log| log.generation().to_string()),
            handovers: statistics.handovers,
            write_lock: LockTimes::from(&statistics.write_lock),
            conflicts: inner.conflicts,
            last_conflict: inner.last_conflict.clone(),
            replicas: reports.collect(),
            ..DatabaseStatus::default()
        }
    }
}

/// An idle database costs nothing: nothing is written unless something has changed.
async fn report_on(database: Database, report: Arc<Report>) {
    let mut file = StatusFile::new(&database.meta_path);
    let mut log: Option<watch::Receiver<u64>> = None;
    let mut said = false;
    loop {
        tokio::select! { biased;
            () = report.news.notified() => log = subscribe(&report),
            changed = changes(&mut log) => if !changed { log = None },
        }
        time::sleep(SETTLE).await;
        log.as_mut().map(|log| *log.borrow_and_update());
        let status = database.status_now(&report);
        let written;
        (file, written) = blocking(move || {
            let written = file.write(status);
            (file, written)
        })
        .await;
        if let Err(error) = written
            && !said
        {
            tracing::warn!(db = %database.name(), %error, "cannot keep the status file: status will not know better");
            said = true;
        }
        time::sleep(APART).await;
    }
}

fn subscribe(report: &Report) -> Option<watch::Receiver<u64>> {
    let inner = report.inner.lock().unwrap_or_else(PoisonError::into_inner);
    inner.log.upgrade().map(|log| log.subscribe())
}

/// Waits for news of the log, if there is one. False if it is gone.
async fn changes(log: &mut Option<watch::Receiver<u64>>) -> bool {
    match log {
        Some(log) => log.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}
