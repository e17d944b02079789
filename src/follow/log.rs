//! The commits that have been captured and not yet been shipped everywhere: the seam between following and shipping.
//!
//! The log holds what is known *of* the commits. Their bytes stay in the source's WAL, which the follower keeps from
//! restarting until they are shipped, or are few enough to be kept in memory ([`CommitLog::seal`]).

mod index;
mod offers;
mod place;
mod progress;
mod spool;
mod work;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use index::IndexLog;
pub use index::Opening;
pub use progress::{Behind, Standing};
pub use spool::{Spool, SpoolWriter};
pub use work::{Mark, SegmentPlan, Source, Work};

use super::snapshot::SnapshotTicket;
use super::statistics;
use crate::host::News;
use crate::segment::StateDigest;
use crate::types::{Generation, Index, Timestamp};

/// An index is closed before an offset could need nine hex digits in a name: Litestream 0.3 reads eight.
pub const INDEX_BYTES_MAX: u64 = 0xF000_0000;

/// What one replica has and needs.
#[derive(Debug)]
enum Consumer {
    /// Its next object begins here.
    At(Index, Mark),
    /// It may begin here, but the store has not said so yet: nothing is put before it does.
    Believed(Index, Mark),
    /// It has no usable history of this generation: it needs a snapshot, for this reason.
    NeedsSnapshot(String),
    /// A snapshot is ready for it.
    Offered(Arc<SnapshotTicket>),
}

/// Number of a replica within its database.
pub type ReplicaNo = usize;

#[derive(Debug)]
struct Inner {
    generation: Generation,
    indexes: VecDeque<IndexLog>,
    consumers: Vec<Consumer>,
    /// Snapshots that are taken beside the segments of a replica, by schedule.
    extras: Vec<Extra>,
    /// The last snapshot that each replica is known to have.
    snapshots: Vec<Option<(Index, StateDigest)>>,
    /// Merged ranges that are ready for a replica.
    ranges: Vec<Option<Arc<SnapshotTicket>>>,
    /// The source's WAL is not held any more: what is only there cannot be trusted.
    detached: bool,
    /// Memory for the next handover: asking for it anew each time costs more than filling it.
    spare: Vec<u8>,
    /// When the newest state was seen of what each replica has beside this generation, if that is to be outlasted.
    outlasted: Vec<Option<Timestamp>>,
}

#[derive(Debug, Clone)]
enum Extra {
    None,
    Wanted(String),
    Offered(Arc<SnapshotTicket>),
}

/// Proof that nothing of the source's WAL is needed any more: all of it is shipped or in memory.
///
/// Only [`CommitLog::seal`] makes one, and only with it may the WAL be allowed to restart.
#[must_use]
#[derive(Debug)]
pub struct SealPermit(());

/// The log of one database, shared by its follower and the shippers of its replicas.
#[derive(Debug)]
pub struct CommitLog {
    inner: Mutex<Inner>,
    news: News<u64>,
    statistics: statistics::Shared,
}

impl CommitLog {
    /// A log of `generation` for `replicas` replicas, all of which need a snapshot for `reason`.
    #[must_use]
    pub fn new(generation: Generation, replicas: usize, reason: &str) -> Self {
        let consumers = (0..replicas).map(|_| Consumer::NeedsSnapshot(reason.to_owned())).collect();
        let (extras, ranges) = (vec![Extra::None; replicas], vec![None; replicas]);
        let (indexes, spare, snapshots) = (VecDeque::new(), Vec::new(), vec![None; replicas]);
        let (detached, outlasted) = (false, vec![None; replicas]);
        let inner = Inner { generation, indexes, consumers, extras, snapshots, ranges, detached, spare, outlasted };
        Self { inner: Mutex::new(inner), news: News::new(0), statistics: statistics::Shared::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.news.tell(|n| *n += 1);
    }

    /// Changes whenever there may be new work.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.news.listen()
    }

    /// The generation being written.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.lock().generation
    }

    // -- the follower's side ---------------------------------------------------------------------------------

    /// Opens `index` at `begin`; the one before it must be closed.
    pub fn open_index(&self, opening: Opening) {
        let Opening { index, header, source, begin, rebased } = opening;
        let (commits, kept, used) = (VecDeque::new(), None, begin.offset.0 > 0);
        let mut inner = self.lock();
        debug_assert!(inner.indexes.back().is_none_or(|last| last.closed));
        inner.indexes.push_back(IndexLog { index, header, source, begin, commits, kept, rebased, closed: false, used });
    }

    /// Puts `replica` where its last object ended.
    pub fn resume(&self, replica: ReplicaNo, index: Index, mark: Mark) {
        self.lock().consumers[replica] = Consumer::At(index, mark);
    }

    /// Appends commits to the open index.
    pub fn append(&self, commits: &[Mark]) {
        if commits.is_empty() {
            return;
        }
        let mut inner = self.lock();
        if let Some(last) = inner.indexes.back_mut() {
            debug_assert!(!last.closed);
            last.commits.extend(commits);
        }
        inner.forget_shipped();
        drop(inner);
        self.tell();
    }

    /// Closes the open index and returns the number of the next: the same one if no object exists of it, or will.
    ///
    /// `None` after the last index there can be.
    pub fn close_index(&self) -> Option<Index> {
        let mut inner = self.lock();
        let wanted = inner.consumers.iter().any(|c| !matches!(c, Consumer::NeedsSnapshot(_)));
        let last = inner.indexes.back_mut()?;
        let index = last.index;
        if last.end().offset.0 == 0 || !(last.used || wanted) {
            inner.indexes.pop_back();
            return Some(index);
        }
        last.closed = true;
        inner.forget_shipped();
        index.next()
    }

    /// Bytes of the source's WAL that the slowest replica has yet to ship.
    #[must_use]
    pub fn unshipped_bytes(&self) -> u64 {
        let inner = self.lock();
        inner.indexes.iter().map(|log| inner.unshipped(log)).sum()
    }

    /// Reads what is unshipped into memory ahead of [`CommitLog::seal`], which then has little left to read.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read_ahead(&self, read: impl Fn(u64, &mut [u8]) -> io::Result<()>) -> io::Result<()> {
        let mut inner = self.lock();
        inner.forget_shipped();
        let Inner { indexes, spare, .. } = &mut *inner;
        indexes.iter_mut().try_for_each(|log| log.keep(&read, spare))
    }

    /// Frees what was read ahead, because the WAL will not restart yet.
    pub fn drop_read_ahead(&self) {
        let mut inner = self.lock();
        let Inner { indexes, spare, .. } = &mut *inner;
        indexes.iter_mut().filter_map(|log| log.kept.take()).for_each(|(_, bytes)| *spare = bytes);
    }

    /// Frees memory that was kept for the next handover.
    pub fn rest(&self) {
        self.lock().spare = Vec::new();
    }

    /// Takes everything that is not shipped yet into memory, by `read` (from an offset in the source's WAL), so that
    /// the WAL may restart.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn seal(&self, read: impl Fn(u64, &mut [u8]) -> io::Result<()>) -> io::Result<SealPermit> {
        let mut inner = self.lock();
        let Inner { indexes, spare, .. } = &mut *inner;
        for log in indexes {
            log.keep(&read, spare)?;
            if let Some((start, bytes)) = log.kept.take() {
                log.source = Source::Memory { start, bytes: Arc::new(bytes) };
            }
        }
        inner.forget_shipped();
        Ok(SealPermit(()))
    }

    /// The time before which no state is said to have been seen, whatever the clock says.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        let last = self.lock().outlasted.iter().flatten().max().copied();
        last.map_or(Timestamp::default(), Timestamp::next)
    }

    /// The source's WAL is let go: from now on only what is in memory is shipped.
    pub fn detach(&self) {
        self.lock().detached = true;
        self.tell();
    }

    // -- the shippers' side ----------------------------------------------------------------------------------

    /// What `replica` is to do next. A segment holds at most about `bytes_max` of data, if commits allow.
    #[must_use]
    pub fn work(&self, replica: ReplicaNo, bytes_max: u64) -> Work {
        let mut inner = self.lock();
        match &inner.consumers[replica] {
            Consumer::NeedsSnapshot(_) => Work::AwaitSnapshot,
            Consumer::Offered(ticket) => Work::Snapshot(Arc::clone(ticket)),
            Consumer::Believed(index, mark) => Work::Confirm(*index, Box::new(*mark)),
            Consumer::At(index, mark) => {
                let (index, mark) = (*index, *mark);
                inner.segment(index, &mark, bytes_max)
            }
        }
    }

    /// What comes behind `plan`, as if it were shipped already.
    #[must_use]
    pub fn work_behind(&self, plan: &SegmentPlan, bytes_max: u64) -> Work {
        self.lock().segment(plan.index, plan.to(), bytes_max)
    }

    /// Whether the bytes that were read for `plan` from the WAL are those of its commits.
    ///
    /// They are if its index is still served from the WAL *after* they were read: the WAL restarts only after
    /// [`CommitLog::seal`] has taken every such index into memory.
    #[must_use]
    pub fn is_still_in_wal(&self, plan: &SegmentPlan) -> bool {
        let inner = self.lock();
        !inner.detached
            && inner.indexes.iter().any(|log| log.index == plan.index && matches!(log.source, Source::Wal(_)))
    }

    /// Takes note that `replica` has everything before `mark` of `index`. False if it was given up meanwhile: what
    /// comes behind `mark` may be forgotten, so it needs a snapshot all the same.
    pub fn shipped(&self, replica: ReplicaNo, index: Index, mark: Mark) -> bool {
        let mut inner = self.lock();
        let goes_on = match &inner.consumers[replica] {
            Consumer::At(..) => true,
            Consumer::Offered(ticket) => (ticket.index, ticket.mark()) == (index, mark),
            Consumer::NeedsSnapshot(_) | Consumer::Believed(..) => false,
        };
        if goes_on {
            inner.consumers[replica] = Consumer::At(index, mark);
            inner.forget_shipped();
        }
        drop(inner);
        self.tell();
        goes_on
    }

    /// Whether every replica has everything that was captured.
    #[must_use]
    pub fn is_all_shipped(&self) -> bool {
        let inner = self.lock();
        let follows = |c: &Consumer| matches!(c, Consumer::At(..));
        inner.consumers.iter().all(follows) && inner.indexes.iter().all(|log| log.commits.is_empty())
    }

    /// Gives up on replicas that are more than `bytes_max` behind: they will need a snapshot. Returns how many.
    pub fn abandon_laggards(&self, bytes_max: u64) -> usize {
        let mut inner = self.lock();
        let lags: Vec<bool> = inner
            .consumers
            .iter()
            .map(|c| inner.indexes.iter().map(|log| log.lag(c)).sum::<u64>() > bytes_max)
            .collect();
        for (consumer, _) in inner.consumers.iter_mut().zip(&lags).filter(|(_, lags)| **lags) {
            *consumer = Consumer::NeedsSnapshot("it fell too far behind".to_owned());
        }
        inner.forget_shipped();
        lags.iter().filter(|lags| **lags).count()
    }

    /// From now on states are said to have been seen after `time`: so long `replica` has another history, and the
    /// newest state is looked for in the one that ends last. False if that was done before: whoever writes there at the
    /// same time is not run after.
    pub fn outlast(&self, replica: ReplicaNo, time: Timestamp) -> bool {
        let mut inner = self.lock();
        let is_first = inner.outlasted[replica].is_none();
        inner.outlasted[replica].get_or_insert(time);
        is_first
    }

    /// Takes note that `replica` cannot go on without a snapshot.
    pub fn need_snapshot(&self, replica: ReplicaNo, reason: String) {
        let mut inner = self.lock();
        inner.consumers[replica] = Consumer::NeedsSnapshot(reason);
        inner.forget_shipped();
        drop(inner);
        self.tell();
    }
}

impl Inner {
    /// The next segment for a replica that has everything before `mark` of `index`.
    fn segment(&mut self, index: Index, mark: &Mark, bytes_max: u64) -> Work {
        let (generation, detached) = (self.generation, self.detached);
        for log in self.indexes.iter_mut().filter(|log| log.index >= index) {
            if detached && matches!(log.source, Source::Wal(_)) {
                break;
            }
            let within = log.index == index && mark.offset.0 > 0;
            // At its beginning an index knows where it lies; which state that is, the replica knows: after a resume the
            // follower's own is that of the end already.
            let from = if within { *mark } else { Mark { digest: mark.digest, size: mark.size, ..log.begin } };
            if let Some(commits) = log.next_commits(&from, bytes_max) {
                log.used = true;
                let is_last = log.closed && commits.last().is_some_and(|c| c.offset == log.end().offset);
                return Work::Segment(Box::new(SegmentPlan {
                    generation,
                    index: log.index,
                    header: log.header,
                    from,
                    commits,
                    source: log.source.clone(),
                    rebased: log.rebased,
                    is_last,
                }));
            }
            // What is left of this index cannot be shipped, or not yet: never skip it.
            if !log.closed || log.end().offset > from.offset {
                break;
            }
        }
        Work::Idle
    }

    /// Bytes of `log` in the source's WAL that some replica has yet to ship.
    fn unshipped(&self, log: &IndexLog) -> u64 {
        self.consumers.iter().map(|consumer| log.lag(consumer)).max().unwrap_or(0)
    }

    /// Drops what every replica has.
    fn forget_shipped(&mut self) {
        let consumers = &self.consumers;
        for log in &mut self.indexes {
            let index = log.index;
            let behind = |mark: &Mark| {
                consumers.iter().all(|c| match c {
                    Consumer::At(at, have) | Consumer::Believed(at, have) => {
                        *at > index || *at == index && have.offset >= mark.offset
                    }
                    Consumer::Offered(ticket) => ticket.index > index,
                    Consumer::NeedsSnapshot(_) => true,
                })
            };
            while log.commits.front().is_some_and(behind) {
                if let Some(first) = log.commits.pop_front() {
                    log.begin = first;
                }
            }
        }
        while self.indexes.front().is_some_and(|log| log.closed && log.commits.is_empty()) {
            if let Some(IndexLog { source: Source::Memory { bytes, .. }, .. }) = self.indexes.pop_front()
                && let Ok(bytes) = Arc::try_unwrap(bytes)
            {
                self.spare = bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests;
