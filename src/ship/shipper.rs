//! One replica's task: takes work from the log, ships it in order, and never skips.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fault_points::fault_point;
use replica_backends::{Backend, Body, Error, ErrorKind};
use tokio::sync::watch;
use tokio::time;

use super::claim::read_own_seal;
use super::end::Site;
use super::merge::{Merges, Merging};
use super::silence::Silence;
use super::status::ReplicaStatus;
use super::streams::Streams;
use super::{Author, range, segment, snapshot};
use crate::follow::log::ReplicaNo;
use crate::follow::{CommitLog, Mark, SegmentPlan, SnapshotTicket, Source, Work};
use crate::history::ObjectName;
use crate::host;
use crate::segment::Seal;
use crate::types::{Generation, Index, Offset, Position};

/// Data of one segment, unless a single commit is larger. Each makes the disk sync twice, which a handover that holds
/// the write lock has to wait for; but it should be small enough that what is under way can be kept in memory when the
/// WAL is to restart ([`crate::follow::Limits::tail_bytes`]).
const SEGMENT_BYTES: u64 = 3 << 20;
/// A segment of this size does not wait for more commits.
const FULL_BYTES: u64 = 2 << 20;
/// A segment up to this size is made in passing: that takes less than handing it to another thread.
const LIGHT_BYTES: u64 = 64 << 10;
/// Waits after a failure: the first, and the longest.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A database without commits for so long keeps nothing in memory for merging. Longer than a WAL usually lasts.
const REST: Duration = Duration::from_secs(90);

/// Another writer has claimed a name of this generation: it has been forked, and this one must stop.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "CONFLICT: {key} of generation {} was written by another replicator{}; leaving that generation to it, and forking \
     a new one from it at {}:{}. Two replicators must not share a replica: give each a path of its own",
    at.generation, whose(*twin), at.index, at.offset
)]
pub struct Conflict {
    /// Up to here the history is common.
    pub at: Position,
    /// The object that was there first.
    pub key: String,
    /// It has our own writer's name, so the state folder was copied.
    pub twin: bool,
}

fn whose(twin: bool) -> &'static str {
    if twin { " with a copy of our state folder" } else { "" }
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
    /// How many large uploads may be under way.
    pub streams: Streams,
    /// Where progress is told.
    pub status: Arc<Mutex<ReplicaStatus>>,
    /// The last object of another writer, whose index is to be ended before anything is put.
    pub take_over: Mutex<Option<Box<Seal>>>,
    /// Segments that may become one.
    pub merges: Mutex<Merges>,
    /// The last index that was ended, and where. Whoever puts something behind it makes sure of that first.
    pub ended: Arc<tokio::sync::Mutex<Option<(Index, Offset)>>>,
    /// For how long the store has confirmed nothing.
    pub silence: Silence,
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
            if !self.is_taking_over() {
                self.start_scheduled_snapshot();
                self.start_ranges();
            }
            let stopping = *stop.borrow();
            let work = self.log.work(self.replica, SEGMENT_BYTES);
            if matches!(work, Work::Idle | Work::AwaitSnapshot) {
                if stopping {
                    self.merge_all().await;
                    return Ok(());
                }
                tokio::select! { biased;
                    Ok(()) = stop.changed() => {}
                    Ok(()) = news.changed() => {}
                    () = time::sleep(REST), if self.keeps_for_merging() => self.merge_all().await,
                }
                continue;
            }
            if !stopping
                && !is_urgent(&work)
                && let Some(wait) = last_start.and_then(|at| self.sync_interval.checked_sub(host::since(at)))
            {
                // Leading edge: only what follows an upload closely waits, and gathers commits meanwhile.
                tokio::select! { biased;
                    Ok(()) = stop.changed() => {}
                    () = time::sleep(wait) => {}
                }
                last_start = None;
                continue;
            }
            last_start = Some(host::now());
            match self.ship(work).await {
                Ok(()) => {
                    failures = self.note_success(failures);
                    self.silence.end();
                    self.merge().await;
                }
                Err(Failure::Conflict(conflict)) => return Err(conflict),
                Err(Failure::Retry(error)) => {
                    failures += 1;
                    self.note_failure(failures, &error);
                    if stopping && failures > 3 {
                        return Ok(());
                    }
                    let wait = RETRY_FIRST.saturating_mul(1 << failures.min(12)).min(RETRY_MAX);
                    tokio::select! { biased;
                        Ok(()) = stop.changed() => {}
                        () = time::sleep(wait.mul_f64(fastrand::f64() * 0.5 + 0.5)) => {}
                    }
                }
            }
        }
    }

    async fn ship(&self, work: Work) -> Result<(), Failure> {
        match work {
            Work::Segment(plan) => {
                self.end_others_index().await?;
                if !self.look_again().await? {
                    return Ok(());
                }
                let mut next = self.encode(*plan).await?;
                while let Some(segment) = next {
                    next = self.ship_segment(segment).await?;
                }
                Ok(())
            }
            Work::Snapshot(ticket) => {
                // While it is waited for, the log may withdraw the ticket.
                let offered = Arc::downgrade(&ticket);
                drop(ticket);
                let _permit = self.streams.begin().await;
                let Some(ticket) = offered.upgrade() else { return Ok(()) };
                let site = self.end_before_gap(&ticket).await?;
                match site {
                    Site::Free | Site::Empty => self.ship_snapshot(&ticket).await?,
                    Site::Taken => self.log.note_snapshot(self.replica, &ticket),
                    Site::Early => {
                        self.log.need_snapshot(self.replica, ticket.reason.clone());
                        return Ok(());
                    }
                }
                fault_point!("gap-crossed");
                self.bridge_before(&ticket, site != Site::Free).await?;
                if self.log.shipped(self.replica, ticket.index, ticket.mark()) {
                    self.note(ticket.generation, ticket.index, &ticket.mark());
                }
                Ok(())
            }
            Work::Confirm(index, mark) => self.confirm(index, &mark).await,
            Work::Idle | Work::AwaitSnapshot => Ok(()),
        }
    }

    /// Puts a segment, and meanwhile makes the next one if there is enough for it. Returns the next one.
    async fn ship_segment(&self, segment: Encoded) -> Result<Option<Encoded>, Failure> {
        let Encoded { plan, body } = segment;
        let name = ObjectName::Segment(plan.generation, plan.index, plan.from.offset);
        if !self.end_index_before(&name, plan.header.page_size, plan.header.order).await? {
            return Ok(None);
        }
        let ahead = async {
            match self.log.work_behind(&plan, SEGMENT_BYTES) {
                Work::Segment(next) if next.raw_bytes() >= FULL_BYTES => self.encode(*next).await,
                _ => Ok(None),
            }
        };
        fault_point!("ship-encoded");
        let kept = body.as_bytes().cloned();
        let (stored, ahead) = tokio::join!(self.put(&name, body), ahead);
        fault_point!("ship-put");
        let (mark, kept) = match stored? {
            Stored::New => (*plan.to(), kept),
            // An earlier attempt got through; it may have held fewer commits.
            Stored::Before(seal) => {
                (segment::reached(&plan, &seal).ok_or_else(|| self.conflict(&name, Some(&seal)))?, None)
            }
        };
        self.keep_for_merging(name, plan.raw_bytes(), kept);
        if !self.log.shipped(self.replica, plan.index, mark) {
            return Ok(None);
        }
        self.note(plan.generation, plan.index, &mark);
        fault_point!("ship-noted");
        Ok(if mark == *plan.to() { ahead? } else { None })
    }

    /// `None` if the WAL moved on while it was read; the log knows more then.
    async fn encode(&self, plan: SegmentPlan) -> Result<Option<Encoded>, Failure> {
        let (log, author, plan) = (Arc::clone(&self.log), self.author.clone(), Arc::new(plan));
        if plan.raw_bytes() <= LIGHT_BYTES {
            let body = segment::encode(&plan, &log, &author).map_err(Failure::other)?;
            return Ok(body.map(|body| Encoded { plan, body }));
        }
        let for_encoder = Arc::clone(&plan);
        let encoded = host::blocking(move || segment::encode(&for_encoder, &log, &author)).await;
        let body = encoded.map_err(Failure::other)?.map_err(Failure::other)?;
        Ok(body.map(|body| Encoded { plan, body }))
    }

    async fn ship_snapshot(&self, ticket: &Arc<SnapshotTicket>) -> Result<(), Failure> {
        let name = ObjectName::Snapshot(ticket.generation, ticket.index);
        self.end_index_before(&name, ticket.page_size, ticket.order).await?;
        let started = host::now();
        tracing::info!(db = %self.database, replica = %self.name, generation = %ticket.generation,
            index = %ticket.index, reason = %ticket.reason, "writing snapshot");
        fault_point!("snapshot-begun");
        let (for_encoder, author) = (Arc::clone(ticket), self.author.clone());
        let body = host::blocking(move || snapshot::body(&for_encoder, &author)).await;
        let body = body.map_err(Failure::other)?.map_err(Failure::other)?;
        match self.put_permitted(&name, body).await? {
            Stored::New => {}
            Stored::Before(seal) if seal.digest_after == ticket.digest => {}
            Stored::Before(seal) => return Err(self.conflict(&name, Some(&seal))),
        }
        fault_point!("snapshot-put");
        self.log.note_snapshot(self.replica, ticket);
        tracing::info!(db = %self.database, replica = %self.name, generation = %ticket.generation,
            index = %ticket.index, elapsed = ?host::since(started), "snapshot written");
        Ok(())
    }

    /// A snapshot by schedule is taken beside the segments; if it fails, the next one will do.
    fn start_scheduled_snapshot(&self) {
        let Some(ticket) = self.log.take_snapshot(self.replica) else { return };
        let shipper = self.beside();
        tokio::spawn(async move {
            let key = ObjectName::Snapshot(ticket.generation, ticket.index).key().unwrap_or_default();
            if shipper.backend.head(&key).await.is_ok() {
                // From before a restart: asking costs less than to upload it in vain.
                shipper.log.note_snapshot(shipper.replica, &ticket);
                return;
            }
            let _permit = shipper.streams.begin().await;
            if let Err(failure) = shipper.ship_snapshot(&ticket).await {
                tracing::warn!(db = %shipper.database, replica = %shipper.name, error = %failure,
                    "cannot write the scheduled snapshot; trying again when the next is due");
            }
        });
    }

    /// Merged ranges are put beside the segments; finer objects do for one that fails.
    fn start_ranges(&self) {
        let Some(ticket) = self.log.take_ranges(self.replica) else { return };
        let shipper = self.beside();
        tokio::spawn(async move {
            if let Err(failure) = shipper.ship_ranges(ticket).await {
                tracing::warn!(db = %shipper.database, replica = %shipper.name, error = %failure,
                    "cannot write a merged range; finer objects hold the same");
            }
        });
    }

    /// The ticket is let go as soon as everything that is small has been copied. If the replicator died between a range
    /// and the end of the index before which the range ends, it would go on with that index.
    async fn ship_ranges(&self, ticket: Arc<SnapshotTicket>) -> Result<(), Failure> {
        let mut objects = Vec::new();
        for (number, part) in ticket.ranges.iter().enumerate() {
            let (for_encoder, author, name) = (Arc::clone(&ticket), self.author.clone(), range::name(&ticket, part));
            let body = host::blocking(move || range::body(&for_encoder, number, &author)).await;
            objects.push((name, body.map_err(Failure::other)?.map_err(Failure::other)?));
        }
        let (next, page_size, order) =
            (ObjectName::Snapshot(ticket.generation, ticket.index), ticket.page_size, ticket.order);
        drop(ticket);
        if !self.end_index_before(&next, page_size, order).await? {
            return Ok(());
        }
        for (name, body) in objects {
            match self.put(&name, body).await? {
                Stored::New | Stored::Before(_) => tracing::debug!(db = %self.database, replica = %self.name,
                    range = ?name, "merged range written"),
            }
            fault_point!("range-put");
        }
        Ok(())
    }

    pub(super) fn beside(&self) -> Self {
        Self {
            log: Arc::clone(&self.log),
            name: self.name.clone(),
            database: self.database.clone(),
            backend: Arc::clone(&self.backend),
            author: self.author.clone(),
            streams: self.streams.clone(),
            status: Arc::clone(&self.status),
            take_over: Mutex::default(),
            merges: Mutex::new(Merges::new(Merging::Never)),
            ended: Arc::clone(&self.ended),
            silence: self.silence.clone(),
            ..*self
        }
    }

    async fn put(&self, name: &ObjectName, body: Body) -> Result<Stored, Failure> {
        let _permit = if body.as_bytes().is_none() { self.streams.begin().await } else { None };
        self.put_permitted(name, body).await
    }

    async fn put_permitted(&self, name: &ObjectName, body: Body) -> Result<Stored, Failure> {
        let Some(key) = name.key() else { return Err(self.conflict(name, None)) };
        match self.backend.put_new(&key, body).await {
            Ok(_) => Ok(Stored::New),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let seal = read_own_seal(self.backend.as_ref(), &key).await.map_err(Failure::Retry)?;
                match seal {
                    Some(seal) if seal.writer == self.author.writer => Ok(Stored::Before(Box::new(seal))),
                    other => Err(self.conflict(name, other.as_ref())),
                }
            }
            Err(error) => Err(Failure::Retry(error)),
        }
    }

    /// `there` is the seal of what stands at `name`, if it has one.
    pub(super) fn conflict(&self, name: &ObjectName, there: Option<&Seal>) -> Failure {
        let at = Position { generation: name.generation(), index: name.index(), offset: name.offset() };
        let twin = there.is_some_and(|seal| seal.writer == self.author.writer);
        Failure::Conflict(Conflict { at, key: name.key().unwrap_or_default(), twin })
    }

    fn note(&self, generation: Generation, index: Index, mark: &Mark) {
        let position = Position { generation, index, offset: mark.offset };
        tracing::debug!(db = %self.database, replica = %self.name, %position, "stored");
        self.status.lock().unwrap_or_else(PoisonError::into_inner).shipped(position, mark.time);
    }

    fn note_success(&self, failures: u32) -> u32 {
        if failures > 0 {
            tracing::info!(db = %self.database, replica = %self.name, failures, "the replica can be written again");
        }
        self.status.lock().unwrap_or_else(PoisonError::into_inner).recovered();
        0
    }

    /// Said when it begins, or when somebody has to act who had not to before, and then rarely: an outage is one event,
    /// not one a retry.
    fn note_failure(&self, failures: u32, error: &Error) {
        let is_new = self.status.lock().unwrap_or_else(PoisonError::into_inner).failed(error);
        if failures == 1 || is_new && error.reason().needs_operator() || failures.is_multiple_of(20) {
            tracing::error!(db = %self.database, replica = %self.name, failures, error = %error,
                "cannot write to the replica; will keep trying, nothing is lost meanwhile");
        }
    }
}

/// Whether work does not wait for more commits: because there is enough of it, because only our memory has it, or
/// because no more will come in its index.
fn is_urgent(work: &Work) -> bool {
    let in_memory = |plan: &SegmentPlan| !matches!(plan.source, Source::Wal(_));
    matches!(work, Work::Segment(plan) if plan.raw_bytes() >= FULL_BYTES || plan.is_last || in_memory(plan))
}

/// A segment, ready to be put.
struct Encoded {
    plan: Arc<SegmentPlan>,
    body: Body,
}

enum Stored {
    New,
    Before(Box<Seal>),
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Conflict(Conflict),
    #[error(transparent)]
    Retry(Error),
}

impl Failure {
    pub(super) fn other(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Retry(of_source(error))
    }
}

/// Something went wrong before the store was asked.
pub(super) fn of_source(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    use replica_backends::Operation;
    Error::new(ErrorKind::Body, Operation::Put, "", "the source", error)
}
