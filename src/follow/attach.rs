//! Beginning to follow a database: taking the first hold, reading its state, and finding out whether a history that
//! the replicas have can be continued.

mod choose;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::capture::hash_run;
use super::checkpointer::Checkpointer;
use super::growth::Growth;
use super::identity::Identity;
use super::log::{CommitLog, Mark, Opening, Source};
use super::ranges::Ranges;
use super::resync::{Baseline, Difference};
use super::snapshot::{Overlay, read_pages};
use super::sweep::Sweep;
use super::unsealed::save_unsealed;
use super::wal_file::{Scan, WalFile};
use super::{Follower, Hold, Limits, Lost, OpenIndex, Tail};
use crate::host;
use crate::segment::{PageHashes, SourceCursor, StateDigest};
use crate::sqlite::{Connection, WalIndex};
use crate::types::{Generation, Index, Offset, PageCount, PageSize, Timestamp};
use crate::wal::{Chain, Checksum, Salts, WAL_HEADER_BYTES, WalHeader};
use choose::{choose, continues, leads_to};

/// How often the first hold is tried for until it is clear what it protects.
const HOLD_TRIES: u32 = 50;

/// Where a replica's history ends, read from the seal of its last object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumePoint {
    /// Its generation.
    pub generation: Generation,
    /// Index of the end.
    pub index: Index,
    /// Offset of the end; 0 if the last object is a snapshot.
    pub offset: Offset,
    /// Running checksum of the replica's WAL there.
    pub checksum: Checksum,
    /// Where the end lies in the source's WAL.
    pub source: SourceCursor,
    /// Size of the database there.
    pub size: PageCount,
    /// Page size of the database.
    pub page_size: PageSize,
    /// State of the database there.
    pub digest: StateDigest,
    /// When that state was seen.
    pub time: Timestamp,
}

impl ResumePoint {
    /// The index that may begin here.
    fn next_index(&self) -> Option<Index> {
        if self.offset.0 == 0 { Some(self.index) } else { self.index.next() }
    }

    /// Whether the same index, from its beginning, continues both: one replica may end with the last segment of an
    /// index, the other one with a snapshot of the next.
    fn stands_with(&self, other: &Self) -> bool {
        let state = |p: &Self| (p.generation, p.next_index(), p.digest, p.size, p.page_size);
        state(self) == state(other)
    }
}

/// How following begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resumption {
    /// The WAL that the replica ends in is still there: its rest is shipped.
    SameWal,
    /// The database is, page by page, what the replica ends with.
    SameState,
    /// The database file is what the replica ends with, and everything in the WAL came after.
    WholeWal,
    /// The pages that differ from what the replica ends with are shipped, in an index of their own.
    Difference {
        /// How many.
        pages: u32,
    },
    /// A new generation, for this reason.
    New(String),
}

impl Resumption {
    /// Why a replica that cannot go on gets a snapshot.
    fn reason(&self) -> &str {
        match self {
            Self::New(reason) => reason,
            _ => "the replica does not have the history that another replica continues",
        }
    }
}

/// A follower, and how it begins.
#[derive(Debug)]
pub struct Attached {
    /// To be ticked.
    pub follower: Follower,
    /// How it begins.
    pub resumption: Resumption,
    /// How long it took: to read the whole database, mostly.
    pub took: Duration,
}

/// What the database looked like under the first hold.
pub(super) struct View {
    pub(super) index: WalIndex,
    pub(super) scan: Option<Scan>,
    pub(super) hashes: PageHashes,
}

impl View {
    fn tail(&self) -> (Option<Tail>, Salts) {
        match &self.scan {
            Some(scan) => (Some(Tail { chain: scan.chain, offset: scan.end }), scan.header.salts),
            None => (None, self.index.salts),
        }
    }

    /// Where the newest versions of the pages are that are not in the file. A WAL that was copied back whole may have
    /// restarted meanwhile, but then nobody needs it.
    fn overlay(&self) -> Option<&Overlay> {
        self.scan.as_ref().filter(|_| !self.index.is_copied()).map(|scan| &scan.overlay)
    }
}

/// Begins to follow the database at `path`, which is in WAL mode.
///
/// `points` has one entry a replica: where its newest generation ends, if it can be continued at all. `fresh` is the
/// generation to begin if none can.
///
/// # Errors
/// If the database cannot be opened or read, or its WAL is damaged; [`Lost::HashesUnknown`] if `baseline` does not have
/// what is needed to go on.
pub fn attach(
    path: &Path,
    limits: Limits,
    points: &[Option<ResumePoint>],
    baseline: &Baseline,
    fresh: Generation,
    now: Timestamp,
) -> Result<Attached, Lost> {
    let began = host::now();
    let identity = Identity::of(path)?;
    let path = std::fs::canonicalize(path).map_err(|_| Lost::Deleted)?;
    let mut lines = [Connection::open(&path)?, Connection::open(&path)?];
    let first = first_hold(&mut lines[0])?;
    identity.check()?;
    let wal = WalFile::open(&path).map_err(Lost::ReadWal)?;
    let page_size = page_size(&lines[0])?;
    let view = read_state(&lines[0], &wal, page_size);
    let view = view.inspect_err(|lost| save_unsealed(lost, &identity, &mut lines, &path))?;
    let (held, hold) = keep_hold(&mut lines, first, &view.index)?;
    let (tail, salts) = view.tail();
    let (resumption, anchor, difference) = choose(points, baseline, &view, &lines[held], &wal)?;
    let (generation, time) = match &anchor {
        Some(point) => (point.generation, point.time.max(now)),
        None => (fresh, after_all(points, now)),
    };
    let mut follower = Follower {
        checkpointer: Checkpointer::open(&path)?,
        ranges: Ranges::new(limits.merge_intervals, limits.burst_frames_min),
        sweep: Sweep::new(limits.page_check_interval),
        limits,
        path,
        identity,
        lines,
        held,
        hold,
        pinned_at: host::now(),
        held_for_lease: false,
        wal,
        page_size,
        tail,
        salts,
        open_index: None,
        next_index: Index::default(),
        hashes: view.hashes,
        first_page: HashSet::new(),
        digests_from: 0,
        time,
        log: Arc::new(CommitLog::new(generation, points.len(), resumption.reason())),
        lease: Weak::new(),
        lease_from: 0,
        lease_since: began,
        lease_is_told: false,
        snapshot_wanted_since: None,
        handover_at: began,
        growth: Growth::new(began),
        commits: 0,
        bulk_at: began,
        not_before: began,
        failures: 0,
        blocked: false,
        buffer: Vec::new(),
    };
    follower.note_first_page()?;
    follower.first_page.extend(view.scan.iter().flat_map(|scan| &scan.first_pages));
    if let Some(anchor) = anchor {
        follower.resume(&resumption, &anchor, points, (&view.index, view.scan.as_ref()), difference)?;
    }
    Ok(Attached { follower, resumption, took: host::since(began) })
}

/// The newest state is looked for in the generation that ends last, so a new one begins after all others have ended,
/// also if the clock has been set back.
fn after_all(points: &[Option<ResumePoint>], now: Timestamp) -> Timestamp {
    let last = points.iter().flatten().map(|point| point.time).max();
    last.map_or(now, |last| now.max(last.next()))
}

/// Takes a read transaction and finds out what it protects.
///
/// If the wal-index says the same before and after, the mark is its frame count. If then everything is copied back the
/// WAL may restart (Guarded, once nothing of it is needed); if not, it cannot (Pinned).
pub(super) fn first_hold(line: &mut Connection) -> Result<Hold, Lost> {
    line.begin_read()?;
    for _ in 0..HOLD_TRIES {
        line.end();
        let before = line.wal_index()?;
        line.begin_read()?;
        let after = line.wal_index()?;
        if after.salts == before.salts && after.copied < before.frames {
            return Ok(Hold::Pinned { mark: after.frames });
        }
        if (after.salts, after.frames) == (before.salts, before.frames) && before.is_copied() {
            return Ok(Hold::Guarded);
        }
    }
    Err(Lost::Sqlite(crate::sqlite::Error::Busy("the WAL does not hold still long enough to be pinned")))
}

/// What is to be held now that the state has been read: the first hold, unless that was a guard under which frames have
/// been written before the state was read. They are not copied back, so the database file alone is not that state.
///
/// While the guard is held nobody can copy them back either, so the new transaction is a true pin.
fn keep_hold(lines: &mut [Connection; 2], first: Hold, read: &WalIndex) -> Result<(usize, Hold), Lost> {
    if first != Hold::Guarded || read.is_copied() {
        return Ok((0, first));
    }
    lines[1].begin_read()?;
    let mark = lines[1].wal_index()?.frames;
    lines[0].end();
    Ok((1, Hold::Pinned { mark }))
}

pub(super) fn page_size(line: &Connection) -> Result<PageSize, Lost> {
    match line.header()? {
        crate::sqlite::DatabaseHeader::Database { page_size, .. } => Ok(page_size),
        crate::sqlite::DatabaseHeader::Empty => Err(Lost::Sqlite(crate::sqlite::Error::NotADatabase)),
    }
}

/// Reads the state at the newest commit: pages that are in the WAL from there, the others from the file.
///
/// Under the hold nobody can copy frames behind the newest commit into the file, so this is exact.
pub(super) fn read_state(line: &Connection, wal: &WalFile, page_size: PageSize) -> Result<View, Lost> {
    let index = line.wal_index()?;
    let scan = if index.frames > 0 { Some(wal.scan(&index)?) } else { None };
    if scan.as_ref().is_some_and(|scan| scan.header.page_size != page_size) {
        return Err(Lost::PageSize);
    }
    let size = match &scan {
        Some(_) => index.size,
        None => line.database_pages(page_size)?,
    };
    let mut view = View { index, scan, hashes: PageHashes::new(page_size) };
    let file = wal.file();
    view.hashes = hash_pages(line, page_size, size, view.overlay().map(|overlay| (file.as_ref(), overlay)))?;
    Ok(view)
}

fn hash_pages(
    line: &Connection,
    page_size: PageSize,
    size: PageCount,
    overlay: Option<(&std::fs::File, &Overlay)>,
) -> Result<PageHashes, Lost> {
    let mut hashes = PageHashes::new(page_size);
    read_pages(line, page_size, size, overlay, |first, bytes| {
        hash_run(&mut hashes, page_size, first, bytes);
        Ok(())
    })
    .map_err(Lost::ReadDatabase)?;
    hashes.resize(size);
    Ok(hashes)
}

impl Follower {
    /// Puts the replicas where their histories end, and captures what has been committed since.
    fn resume(
        &mut self,
        how: &Resumption,
        anchor: &ResumePoint,
        points: &[Option<ResumePoint>],
        view: (&WalIndex, Option<&Scan>),
        difference: Option<Difference>,
    ) -> Result<(), Lost> {
        self.next_index = anchor.next_index().ok_or(Lost::NoIndexLeft)?;
        match (how, view.1) {
            (Resumption::SameWal, Some(scan)) if anchor.offset.0 > 0 => {
                self.resume_within_index(anchor, points, scan, view.0)?;
            }
            (Resumption::SameWal, Some(scan)) => {
                self.place(points, |p| p.stands_with(anchor));
                self.replay(anchor.source, scan, view.0)?;
            }
            (Resumption::WholeWal, Some(scan)) => {
                self.place(points, |p| p.stands_with(anchor));
                self.replay(beginning_of(&scan.header), scan, view.0)?;
            }
            _ => self.place(points, |p| p.stands_with(anchor)),
        }
        if let Some(difference) = difference {
            self.ship_difference(difference, &mark_of(anchor))?;
        }
        self.settle_hold()
    }

    /// Opens the index in which `anchor` ends where the slowest replica ends in it.
    fn resume_within_index(
        &mut self,
        anchor: &ResumePoint,
        points: &[Option<ResumePoint>],
        scan: &Scan,
        index: &WalIndex,
    ) -> Result<(), Lost> {
        let base = |p: &ResumePoint| p.source.offset.wrapping_sub(p.offset.0);
        let key = |p: &ResumePoint| (p.generation, p.index, base(p));
        let wal = self.wal.clone();
        // An index that began with a difference goes on with the source's frames at any distance, also at none.
        let natural = base(anchor) == 0 && anchor.checksum == anchor.source.checksum;
        let synthetic = || WalHeader::synthetic(scan.header.order, self.page_size, 0, scan.header.salts);
        let header = if natural { scan.header } else { synthetic() };
        let continued = |p: &ResumePoint| key(p) == key(anchor) && p.offset.0 > 0 && continues(p, scan, &wal);
        let same = |p: &ResumePoint| continued(p) && leads_to(p, anchor, &header, scan, &wal);
        let first = points.iter().flatten().filter(|p| same(p)).min_by_key(|p| p.offset.0).unwrap_or(anchor);
        let (source, begin) = (Source::Wal(self.wal.file()), mark_of(first));
        self.log.open_index(Opening { index: anchor.index, header, source, begin, rebased: !natural });
        self.next_index = anchor.index;
        let rebased = (!natural).then(|| Chain { checksum: first.checksum, ..Chain::begin(&header) });
        self.open_index = Some(OpenIndex { rebased, offset: first.offset.0 });
        self.place(points, same);
        self.replay(first.source, scan, index)
    }

    fn place(&self, points: &[Option<ResumePoint>], resumes: impl Fn(&ResumePoint) -> bool) {
        for (replica, point) in points.iter().enumerate() {
            if let Some(point) = point.as_ref().filter(|p| resumes(p)) {
                self.log.resume(replica, point.index, mark_of(point));
            }
        }
    }

    /// Goes back to `offset` and captures again what was committed from there while nobody followed.
    ///
    /// The page hashes are those of the end already. Taking note of the same frames again ends with the same hashes,
    /// but on the way there they are those of no state, so only the last commit gets a digest.
    fn replay(&mut self, from: SourceCursor, scan: &Scan, index: &WalIndex) -> Result<(), Lost> {
        self.tail = Some(Tail { chain: Chain { checksum: from.checksum, ..scan.chain }, offset: from.offset });
        self.digests_from = scan.end;
        let now = self.time;
        self.capture(index, now).map(|_| ())
    }

    /// Fully copied back: the WAL may restart at any moment, so what is unshipped has to be taken into memory now.
    fn settle_hold(&mut self) -> Result<(), Lost> {
        if self.hold != Hold::Guarded {
            return Ok(());
        }
        if self.log.unshipped_bytes() > self.limits.tail_bytes {
            let replicas = self.log.abandon_laggards(self.limits.tail_bytes);
            tracing::warn!(db = %self.path.display(), replicas,
                "too much was written while nobody followed: the replica gets a new snapshot");
        }
        let unshipped = self.log.unshipped_bytes() > 0;
        let _permit = self.log.seal(self.wal_reader()).map_err(Lost::ReadWal)?;
        // Unlike in a handover no writer was kept out meanwhile. Salts change before the first frame is overwritten.
        let (before, after) = (self.salts, self.lines[self.held].wal_index()?.salts);
        if unshipped && after != before {
            return Err(Lost::Restarted { before, after });
        }
        self.close_index()
    }
}

fn beginning_of(header: &WalHeader) -> SourceCursor {
    SourceCursor { salts: header.salts, offset: WAL_HEADER_BYTES as u64, checksum: header.checksum }
}

fn mark_of(point: &ResumePoint) -> Mark {
    Mark {
        offset: point.offset,
        checksum: point.checksum,
        source: point.source,
        size: point.size,
        digest: Some(point.digest),
        time: point.time,
    }
}

#[cfg(test)]
mod tests;
