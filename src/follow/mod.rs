//! Following: a commit in the source's WAL becomes an entry of the [`CommitLog`], and the WAL may restart only when
//! nothing of it is needed any more. Synchronous; [`Follower::tick`] is an ordinary method.
//!
//! At every instant one of three things holds, so that no committed frame can disappear before it is captured:
//!
//! | state | what is held | why nothing is lost |
//! |---|---|---|
//! | Pinned | a read transaction with frames behind its mark not copied back | the WAL cannot restart |
//! | Sealing | the write lock | nobody can append, so nobody can restart |
//! | Guarded | a read transaction whose mark is the end of a WAL that is captured and copied back whole | the WAL may restart once; nothing of the new one can be copied back, so it cannot restart again, and the database file stands still |

mod attach;
mod capture;
mod checkpointer;
mod give_way;
mod growth;
mod handover;
mod identity;
mod lease;
mod let_go;
pub mod log;
mod observe;
pub mod ranges;
mod resync;
pub mod snapshot;
mod statistics;
mod sweep;
mod unsealed;
pub mod wal_file;
pub mod watch;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

pub use attach::{Attached, ResumePoint, Resumption, attach};
pub use let_go::{Fingerprint, LetGo};
pub use log::{Behind, CommitLog, Mark, SegmentPlan, Source, Standing, Work};
pub use observe::{Observed, observe};
pub use ranges::{MergeIntervals, RangePart};
pub use resync::Baseline;
pub use snapshot::SnapshotTicket;
pub use statistics::{Histogram, Statistics};

use crate::host;
use crate::segment::PageHashes;
use crate::sqlite::{self, Connection};
use crate::types::{Index, Offset, PageSize, Position, Timestamp};
use crate::wal::{Chain, FrameFault, HeaderFault, Salts};
use checkpointer::Checkpointer;
use growth::Growth;
use identity::Identity;
use ranges::Ranges;
use sweep::Sweep;
use wal_file::WalFile;

/// When to hand over to a new WAL, and how much may lie between source and replicas.
#[derive(Debug, Clone)]
pub struct Limits {
    /// A handover is due when the WAL has this many frames.
    pub checkpoint_pages: u32,
    /// With few commits a second, handovers come no closer together than this, until the WAL is some times as large.
    pub checkpoint_apart: Duration,
    /// A handover is due this long after the last one, if anything was written; `None`: never by time.
    pub checkpoint_interval: Option<Duration>,
    /// Unshipped bytes that may be kept in memory so that the WAL can restart.
    pub tail_bytes: u64,
    /// Size of the WAL above which replicas that lag are given up, so that a dead one cannot fill the disk.
    pub wal_bytes: u64,
    /// Size of an index at which the next one begins.
    pub index_bytes: u64,
    /// How long merged ranges of each level last.
    pub merge_intervals: MergeIntervals,
    /// A burst of at least so many frames is merged before that, if it is also long for the size of the database.
    pub burst_frames_min: u64,
    /// How often all pages of the database file are compared with what was captured; `None`: never.
    pub page_check_interval: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            checkpoint_pages: 1000,
            checkpoint_apart: Duration::from_secs(1),
            checkpoint_interval: Some(Duration::from_secs(60)),
            tail_bytes: 12 << 20,
            wal_bytes: 1 << 30,
            index_bytes: log::INDEX_BYTES_MAX,
            merge_intervals: ranges::MERGE_INTERVALS,
            burst_frames_min: ranges::BURST_FRAMES_MIN,
            page_check_interval: Some(Duration::from_secs(86_400)),
        }
    }
}

/// Why the connection between the source's WAL and the replicas is lost. The cure is to attach anew.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The database file is gone.
    #[error("the database file was deleted")]
    Deleted,
    /// The name of the database or of its WAL means another file now.
    #[error("the database or its WAL was replaced by another file")]
    Replaced,
    /// The database file holds pages that it cannot have by checkpoints of this WAL.
    #[error("the database file was overwritten in place (page {0} is not what was followed)")]
    Overwritten(u32),
    /// The WAL restarted although it could not.
    #[error("the WAL restarted while it was pinned (salts {before} became {after})")]
    Unpinned {
        /// Before.
        before: Salts,
        /// After.
        after: Salts,
    },
    /// The WAL restarted more than once, and the database is not what it was at its end.
    #[error("the WAL restarted more than once (salts {before} became {after}) and the database changed meanwhile")]
    Restarted {
        /// Before.
        before: Salts,
        /// After.
        after: Salts,
    },
    /// The wal-index speaks of another WAL than the file is.
    #[error("the WAL has the salts {wal}, but the wal-index says {index}")]
    Salts {
        /// Of the file.
        wal: Salts,
        /// Of the wal-index.
        index: Salts,
    },
    /// The last frame is not the one that the wal-index speaks of.
    #[error("the WAL's last frame is not the one that the wal-index names")]
    Checksum,
    /// The WAL's header is damaged.
    #[error("the WAL's header is unusable: {0}")]
    Header(HeaderFault),
    /// A committed frame is damaged.
    #[error("the WAL's frame at byte {offset} is unusable: {fault}")]
    Frame {
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        fault: FrameFault,
    },
    /// A page size that differs from the generation's.
    #[error("the page size changed")]
    PageSize,
    /// The WAL cannot be read.
    #[error("the WAL cannot be read: {0}")]
    ReadWal(io::Error),
    /// The database cannot be read.
    #[error("the database cannot be read: {0}")]
    ReadDatabase(io::Error),
    /// What the replica ends with has to be known page by page to be continued by a difference.
    #[error("the page hashes of the state that the replica ends with are not known")]
    HashesUnknown(Box<ResumePoint>),
    /// All indexes of the generation are used up.
    #[error("the generation has no index left")]
    NoIndexLeft,
    /// SQLite refuses.
    #[error(transparent)]
    Sqlite(#[from] sqlite::Error),
}

/// What the read transaction in hand protects; see the table above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// `mark`: no more frames than this can be copied back while it is held.
    Pinned {
        mark: u32,
    },
    Guarded,
}

/// How far the source's WAL has been captured.
#[derive(Debug, Clone)]
struct Tail {
    chain: Chain,
    offset: u64,
}

/// The open index, seen from the source.
#[derive(Debug, Clone)]
struct OpenIndex {
    /// Chain of the replica's frames if they differ from the source's.
    rebased: Option<Chain>,
    /// Offset in the index.
    offset: u64,
}

/// Follows one database.
#[derive(Debug)]
pub struct Follower {
    limits: Limits,
    path: PathBuf,
    identity: Identity,
    /// Two connections that hold read transactions in turn; a new one is taken before the old one is let go.
    lines: [Connection; 2],
    held: usize,
    hold: Hold,
    /// Since when that is a pin, if it is one.
    pinned_at: Instant,
    /// The other line is held too, for a snapshot that began under it.
    held_for_lease: bool,
    /// Refuses checkpoints while it is, and until the next handover if that is due: nobody can copy anything back then,
    /// or should.
    checkpointer: Checkpointer,
    wal: WalFile,
    page_size: PageSize,
    /// `None`: the WAL had no frame when it was attached.
    tail: Option<Tail>,
    salts: Salts,
    open_index: Option<OpenIndex>,
    next_index: Index,
    hashes: PageHashes,
    /// Hashes that page 1 of the database file may have: as of the last handover, or in this WAL.
    first_page: HashSet<u64>,
    /// Commits that end before this offset of the source's WAL were made while nobody followed.
    digests_from: u64,
    time: Timestamp,
    ranges: Ranges,
    sweep: Sweep,
    log: Arc<CommitLog>,
    lease: Weak<SnapshotTicket>,
    /// Size of the WAL when that snapshot was offered; 0 once the WAL has restarted.
    lease_from: u64,
    lease_since: Instant,
    /// It has been said that the WAL is above its cap because of it.
    lease_is_told: bool,
    snapshot_wanted_since: Option<Instant>,
    handover_at: Instant,
    growth: Growth,
    /// That were captured since the last tick ended.
    commits: usize,
    bulk_at: Instant,
    not_before: Instant,
    failures: u32,
    /// A handover is due, but too much is unshipped.
    blocked: bool,
    buffer: Vec<u8>,
}

/// So much of a WAL is read in passing: it has just been written, so it is in memory.
const LIGHT_BYTES: u64 = 256 << 10;

/// How much work a tick would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// None, until the given instant if there is one.
    Nothing(Option<Instant>),
    /// Some hundred microseconds, without waiting for a disk or a lock.
    Light,
    /// It may wait for disks and locks.
    Heavy,
}

/// What a tick has done and what it waits for.
#[derive(Debug, Default)]
pub struct Tick {
    /// Commits captured.
    pub commits: usize,
    /// A handover to a new WAL succeeded.
    pub handover: bool,
    /// When to tick again even if nothing happens; at once if a handover is due.
    pub again_at: Option<Instant>,
}

impl Follower {
    /// The log that this follower fills.
    #[must_use]
    pub fn log(&self) -> &Arc<CommitLog> {
        &self.log
    }

    /// The real path of the database.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The pages of the newest commit that was captured; of no state after an error.
    #[must_use]
    pub fn hashes(&self) -> &PageHashes {
        &self.hashes
    }

    /// The beginning of the next index, if everything captured lies before it, and the pages of the state there.
    #[must_use]
    pub fn boundary(&self) -> Option<(Position, &PageHashes)> {
        let position = Position { generation: self.log.generation(), index: self.next_index, offset: Offset(0) };
        self.open_index.is_none().then_some((position, &self.hashes))
    }

    /// What the next [`Follower::tick`] would have to do. Reads shared memory only.
    pub fn need(&mut self) -> Need {
        let due = [self.handover_due(), self.sweep_due()].into_iter().flatten().min();
        if due.is_some_and(|at| at <= host::now()) {
            return Need::Heavy;
        }
        let Ok(index) = self.lines[self.held].wal_index() else { return Need::Heavy };
        if index.frames > 0 && index.salts != self.salts && !index.salts.follow(self.salts) {
            // The whole database has to prove that nothing was missed.
            return Need::Heavy;
        }
        if self.is_in_the_way(&index) {
            return Need::Heavy;
        }
        let captured = if index.salts == self.salts { self.tail_frames().unwrap_or(0) } else { 0 };
        let frames = index.frames.saturating_sub(captured);
        // A guard is left by taking a pin, and for that a writer may be waited for that is interrupted in its commit.
        let takes_pin = self.hold == Hold::Guarded && frames > 0;
        if takes_pin || u64::from(frames) * u64::from(self.page_size.get()) > LIGHT_BYTES {
            return Need::Heavy;
        }
        let idle = frames == 0 && self.buffer.capacity() == 0 && self.lease_is_kept();
        if !idle {
            return Need::Light;
        }
        Need::Nothing([self.next_look(), self.sweep_due()].into_iter().flatten().min())
    }

    /// Captures what is new, and hands over to a new WAL if that is due.
    ///
    /// # Errors
    /// If continuity is lost: this follower is of no further use then.
    pub fn tick(&mut self, now: Timestamp) -> Result<Tick, Lost> {
        let mut tick = self.look(now)?;
        if self.handover_due().is_some_and(|due| due <= host::now()) {
            tick.handover = self.hand_over(now).inspect_err(|lost| self.save_unsealed(lost))?;
            // A handover takes its time, and captures what is committed meanwhile.
            tick.commits += std::mem::take(&mut self.commits);
            self.growth.looked(host::now());
            tick.again_at = self.next_look();
        }
        let gave_way = self.give_way(now).inspect_err(|lost| self.save_unsealed(lost))?;
        tick.handover |= gave_way;
        tick.commits += std::mem::take(&mut self.commits);
        self.sweep()?;
        tick.again_at = [tick.again_at, self.sweep_due()].into_iter().flatten().min();
        Ok(tick)
    }

    /// Captures what is new; a handover that is due is left to the next [`Follower::tick`].
    ///
    /// # Errors
    /// If continuity is lost: this follower is of no further use then.
    pub fn look(&mut self, now: Timestamp) -> Result<Tick, Lost> {
        self.see(now).inspect_err(|lost| self.save_unsealed(lost))
    }

    fn see(&mut self, now: Timestamp) -> Result<Tick, Lost> {
        self.observe(now)?;
        let commits = std::mem::take(&mut self.commits);
        self.withdraw_stale_snapshot();
        self.withdraw_stale_ranges();
        self.keep_lease()?;
        if commits == 0 {
            // An idle database keeps no memory that it does not need.
            self.buffer = Vec::new();
            self.log.rest();
        }
        self.growth.looked(host::now());
        let again_at = [self.next_look(), self.sweep_due()].into_iter().flatten().min();
        Ok(Tick { commits, handover: false, again_at })
    }

    /// Checks that the names of database and WAL still mean the files that are open.
    ///
    /// # Errors
    /// If they do not.
    pub fn check_identity(&self) -> Result<(), Lost> {
        self.identity.check()?;
        if self.wal.is_in_place() { Ok(()) } else { Err(Lost::Replaced) }
    }

    /// Whether progress of the shippers is what this follower needs to go on.
    #[must_use]
    pub fn waits_for_shippers(&self) -> bool {
        self.lease_is_out() || self.blocked
    }
}

#[cfg(test)]
mod tests;
