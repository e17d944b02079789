//! One replica's task: takes work from the log, ships it in order, and never skips.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use replica_backends::{Backend, Body, Error, ErrorKind};
use tokio::sync::watch;
use tokio::time;

use super::claim::{conflict_error, read_seal};
use super::{Author, segment, snapshot};
use crate::follow::log::ReplicaNo;
use crate::follow::{CommitLog, Mark, SegmentPlan, SnapshotTicket, Work};
use crate::history::ObjectName;
use crate::types::{Generation, Index, Position, Timestamp};

/// Data of one segment, unless a single commit is larger.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Waits after a failure: the first, and the longest.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Another writer has claimed a name of this generation: it has been forked, and this one must stop.
#[derive(Debug, Clone, thiserror::Error)]
#[error("CONFLICT: {key} of generation {generation} was written by another replicator; leaving that generation to it")]
pub struct Conflict {
    /// The generation that is lost to the other writer.
    pub generation: Generation,
    /// The object that was there first.
    pub key: String,
}

/// What is known of a replica's progress.
#[derive(Debug, Clone, Default)]
pub struct ReplicaStatus {
    /// Everything before this is in the replica.
    pub position: Option<Position>,
    /// When the newest commit in the replica was seen.
    pub time: Option<Timestamp>,
    /// Objects shipped since the start.
    pub objects: u64,
    /// The failure that is being retried.
    pub failure: Option<String>,
}

/// Ships to one replica.
pub struct Shipper {
    /// The log it takes its work from.
    pub log: Arc<CommitLog>,
    /// Its number there.
    pub replica: ReplicaNo,
    /// Its name, for messages.
    pub name: String,
    /// The database, for messages.
    pub database: String,
    /// Where it ships to.
    pub backend: Arc<dyn Backend>,
    /// Who ships.
    pub author: Author,
    /// The least time between the beginnings of two uploads.
    pub sync_interval: Duration,
    /// Where progress is told.
    pub status: Arc<Mutex<ReplicaStatus>>,
}

impl Shipper {
    /// Ships until `stop` turns true and everything that can be shipped is; then returns.
    ///
    /// # Errors
    /// If another writer has taken over the generation.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), Conflict> {
        let mut news = self.log.subscribe();
        let mut last_start: Option<Instant> = None;
        let mut failures = 0;
        loop {
            news.borrow_and_update();
            self.start_scheduled_snapshot();
            let stopping = *stop.borrow();
            let work = self.log.work(self.replica, SEGMENT_BYTES_MAX);
            if matches!(work, Work::Idle | Work::AwaitSnapshot) {
                if stopping {
                    return Ok(());
                }
                tokio::select! {
                    _ = news.changed() => {}
                    _ = stop.changed() => {}
                }
                continue;
            }
            if !stopping && let Some(wait) = last_start.and_then(|at| self.sync_interval.checked_sub(at.elapsed())) {
                // Leading edge: only what follows an upload closely waits, and gathers commits meanwhile.
                tokio::select! {
                    () = time::sleep(wait) => {}
                    _ = stop.changed() => {}
                }
                last_start = None;
                continue;
            }
            last_start = Some(Instant::now());
            match self.ship(work).await {
                Ok(()) => failures = self.note_success(failures),
                Err(Failure::Conflict(conflict)) => return Err(conflict),
                Err(Failure::Retry(error)) => {
                    failures += 1;
                    self.note_failure(failures, &error);
                    if stopping && failures > 3 {
                        return Ok(());
                    }
                    let wait = RETRY_FIRST.saturating_mul(1 << failures.min(12)).min(RETRY_MAX);
                    tokio::select! {
                        () = time::sleep(wait.mul_f64(fastrand::f64() * 0.5 + 0.5)) => {}
                        _ = stop.changed() => {}
                    }
                }
            }
        }
    }

    async fn ship(&self, work: Work) -> Result<(), Failure> {
        match work {
            Work::Segment(plan) => self.ship_segment(*plan).await,
            Work::Snapshot(ticket) => {
                self.ship_snapshot(&ticket).await?;
                self.log.shipped(self.replica, ticket.index, ticket.mark());
                self.note(ticket.generation, ticket.index, &ticket.mark());
                Ok(())
            }
            Work::Idle | Work::AwaitSnapshot => Ok(()),
        }
    }

    async fn ship_segment(&self, plan: SegmentPlan) -> Result<(), Failure> {
        let name = ObjectName::Segment(plan.generation, plan.index, plan.from.offset);
        let (log, author) = (Arc::clone(&self.log), self.author.clone());
        let plan = Arc::new(plan);
        let for_encoder = Arc::clone(&plan);
        let encoded = tokio::task::spawn_blocking(move || segment::encode(&for_encoder, &log, &author)).await;
        let Some(body) = encoded.map_err(Failure::other)?.map_err(Failure::other)? else { return Ok(()) };
        let mark = match self.put(&name, body).await? {
            Stored::New => *plan.to(),
            // An earlier attempt got through; it may have held fewer commits.
            Stored::Before(seal) => match plan.commits.iter().find(|c| c.offset == seal.to.1) {
                Some(mark) if mark.digest == Some(seal.digest_after) => *mark,
                _ => return Err(self.conflict(&name)),
            },
        };
        self.log.shipped(self.replica, plan.index, mark);
        self.note(plan.generation, plan.index, &mark);
        Ok(())
    }

    async fn ship_snapshot(&self, ticket: &Arc<SnapshotTicket>) -> Result<(), Failure> {
        let name = ObjectName::Snapshot(ticket.generation, ticket.index);
        let started = Instant::now();
        tracing::info!(db = %self.database, replica = %self.name, generation = %ticket.generation,
            index = %ticket.index, reason = %ticket.reason, "writing snapshot");
        match self.put(&name, snapshot::body(ticket, &self.author)).await? {
            Stored::New => {}
            Stored::Before(seal) if seal.digest_after == ticket.digest => {}
            Stored::Before(_) => return Err(self.conflict(&name)),
        }
        tracing::info!(db = %self.database, replica = %self.name, generation = %ticket.generation,
            index = %ticket.index, elapsed = ?started.elapsed(), "snapshot written");
        Ok(())
    }

    /// A snapshot by schedule is taken beside the segments; if it fails, the next one will do.
    fn start_scheduled_snapshot(&self) {
        let Some(ticket) = self.log.take_snapshot(self.replica) else { return };
        let shipper = Self {
            log: Arc::clone(&self.log),
            name: self.name.clone(),
            database: self.database.clone(),
            backend: Arc::clone(&self.backend),
            author: self.author.clone(),
            status: Arc::clone(&self.status),
            ..*self
        };
        tokio::spawn(async move {
            if let Err(failure) = shipper.ship_snapshot(&ticket).await {
                tracing::warn!(db = %shipper.database, replica = %shipper.name, error = %failure,
                    "cannot write the scheduled snapshot; trying again when the next is due");
            }
        });
    }

    async fn put(&self, name: &ObjectName, body: Body) -> Result<Stored, Failure> {
        let Some(key) = name.key() else { return Err(self.conflict(name)) };
        match self.backend.put_new(&key, body).await {
            Ok(_) => Ok(Stored::New),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let seal = read_seal(self.backend.as_ref(), &key).await.map_err(Failure::Retry)?;
                match seal {
                    Some(seal) if seal.writer == self.author.writer => Ok(Stored::Before(Box::new(seal))),
                    _ => Err(self.conflict(name)),
                }
            }
            Err(error) => Err(Failure::Retry(error)),
        }
    }

    fn conflict(&self, name: &ObjectName) -> Failure {
        let key = name.key().unwrap_or_default();
        tracing::debug!(error = %conflict_error(self.backend.as_ref(), &key), "conflict");
        Failure::Conflict(Conflict { generation: name.generation(), key })
    }

    fn note(&self, generation: Generation, index: Index, mark: &Mark) {
        let mut status = self.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        status.position = Some(Position { generation, index, offset: mark.offset });
        status.time = Some(mark.time);
        status.objects += 1;
    }

    fn note_success(&self, failures: u32) -> u32 {
        if failures > 0 {
            tracing::info!(db = %self.database, replica = %self.name, failures, "the replica can be written again");
            self.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner).failure = None;
        }
        0
    }

    /// Said once when it begins and then rarely: an outage is one event, not one a retry.
    fn note_failure(&self, failures: u32, error: &Error) {
        if failures == 1 || failures.is_multiple_of(20) {
            tracing::error!(db = %self.database, replica = %self.name, failures, error = %error,
                "cannot write to the replica; will keep trying, nothing is lost meanwhile");
        }
        let mut status = self.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        status.failure = Some(error.to_string());
    }
}

enum Stored {
    New,
    Before(Box<crate::segment::Seal>),
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Conflict(Conflict),
    #[error(transparent)]
    Retry(Error),
}

impl Failure {
    fn other(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        use replica_backends::Operation;
        Self::Retry(Error::new(ErrorKind::Body, Operation::Put, "", "the source", error))
    }
}
