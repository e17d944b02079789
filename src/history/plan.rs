//! Which objects a restore needs, in which order, and where it stops. A plan is a value: it can be printed and refused.

use std::fmt;

use super::timeline::{self, Bounds};
use super::{Entry, History, NeedsSeals, ObjectName, Sealing, Seals};
use crate::segment::{Commit, Seal, SealFault, StateDigest};
use crate::types::{Generation, Index, Offset, PageCount, Timestamp};

/// Which state is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The newest.
    Latest,
    /// The last commit that was seen at or before this instant.
    Time(Timestamp),
    /// Everything up to the end of this index.
    Index(Index),
}

impl Target {
    /// How well a generation with these bounds serves: the greatest wins. A generation that contains the wanted time
    /// is better than one that ended before it, and that is better than one that began after it; among equals the
    /// one that reaches furthest.
    #[must_use]
    pub fn preference(self, bounds: Bounds) -> (bool, bool, Timestamp) {
        match self {
            Self::Time(time) => (bounds.contain(time), bounds.begin <= time, bounds.end),
            Self::Latest | Self::Index(_) => (true, true, bounds.end),
        }
    }
}

/// One object to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedObject {
    /// Which.
    pub name: ObjectName,
    /// Size in the store, in bytes.
    pub stored_bytes: u64,
    /// Its seal, if planning had to read it.
    pub seal: Option<Box<Seal>>,
}

/// What is known of the end of a restore before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedEnd {
    /// Lightship wrote the history: this commit.
    Commit {
        /// Where it ends: index and offset.
        at: (Index, Offset),
        /// Size of the database then.
        size: PageCount,
        /// When it was seen.
        time: Timestamp,
        /// Digest of the database, if the commit is the last one of its object.
        digest: Option<StateDigest>,
    },
    /// Litestream wrote the history: the last commit in the planned objects, the newest of which has this time.
    LastCommit {
        /// The store's time of the last object.
        modified: Timestamp,
    },
}

/// A restore, before anything is fetched.
///
/// Invariant: the segments' indexes begin with the snapshot's and leave none out, and each index begins at offset 0.
/// That no segment *within* an index is missing shows where seals are known, otherwise when the data has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestorePlan {
    /// The generation restored.
    pub generation: Generation,
    /// Where it starts.
    pub snapshot: PlannedObject,
    /// What is replayed over it, in order.
    pub segments: Vec<PlannedObject>,
    /// Where it stops.
    pub end: PlannedEnd,
    /// The object after the last planned one, if there is one: it shows whether something between is missing.
    pub next: Option<ObjectName>,
    /// The wanted point lies behind the end of the history.
    pub beyond_end: bool,
}

/// Why there is no plan. Every message names the object, or the range that can be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Segments without a snapshot to replay them over.
    #[error("generation {0} has no snapshot, so it cannot be restored; choose another one with -generation")]
    NoSnapshot(Generation),
    /// The wanted time comes before everything.
    #[error("{wanted} is before the first restorable point: generation {generation} reaches from {} to {}", bounds.begin, bounds.end)]
    TooEarly {
        /// Of which generation.
        generation: Generation,
        /// What was asked for.
        wanted: Timestamp,
        /// What there is.
        bounds: Bounds,
    },
    /// The wanted index comes before everything.
    #[error("no snapshot of generation {generation} has an index of {wanted} or less; the first is {first}")]
    IndexTooLow {
        /// Of which generation.
        generation: Generation,
        /// What was asked for.
        wanted: Index,
        /// What there is.
        first: Index,
    },
    /// An object is missing although a later one is there.
    #[error(
        "{} is missing, but {} exists: the history has a hole there; restore a point before it with -timestamp or -index, or use another replica",
        key(missing),
        key(next)
    )]
    Missing {
        /// The object that should be there.
        missing: ObjectName,
        /// The one that shows it.
        next: ObjectName,
    },
    /// Something between two objects is missing, or belongs elsewhere.
    #[error(
        "{} does not continue {}: an object between them is missing; restore a point before it with -timestamp or -index, or use another replica",
        key(next),
        key(before)
    )]
    Hole {
        /// The last object before the hole.
        before: ObjectName,
        /// The first one after it.
        next: ObjectName,
    },
    /// Two objects hold the same bytes of the WAL.
    #[error("{} begins before {} ends: two writers, or an object in the wrong place", key(next), key(before))]
    Overlap {
        /// The first of the two.
        before: ObjectName,
        /// The second.
        next: ObjectName,
    },
    /// An object of a sealed generation has no seal.
    #[error("{}: its seal is missing; its end may be cut off", key(.0))]
    SealMissing(ObjectName),
    /// A seal that cannot be used.
    #[error("{}: {}", key(.0), .1)]
    Seal(ObjectName, SealFault),
    /// The seal is another object's.
    #[error("{}: its seal is that of {}/{}:{}; the object has been renamed or swapped", key(.0), .1, .2, .3)]
    Misplaced(ObjectName, Generation, Index, Offset),
}

/// Why planning stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanStop {
    /// These seals have to be read first; then plan again.
    Needs(NeedsSeals),
    /// There is no plan.
    Fault(Box<PlanError>),
}

impl From<NeedsSeals> for PlanStop {
    fn from(needs: NeedsSeals) -> Self {
        Self::Needs(needs)
    }
}

impl From<PlanError> for PlanStop {
    fn from(error: PlanError) -> Self {
        Self::Fault(Box::new(error))
    }
}

/// Plans the restore of `target` from one generation.
///
/// # Errors
/// What is wrong with the history, or which seals have to be read before the question can be answered.
pub fn plan(history: &History, seals: &Seals, target: Target) -> Result<RestorePlan, PlanStop> {
    let snapshot = choose_snapshot(history, seals, target)?;
    let candidates = history.segments_from(snapshot.name.index());
    let sealed = sealed_at(seals, &snapshot.name)?;
    let count = match target {
        Target::Latest => candidates.len(),
        Target::Index(wanted) => candidates.partition_point(|e| e.name.index() <= wanted),
        Target::Time(time) if sealed.is_some() => seals_until(candidates, seals, time)?,
        Target::Time(time) => candidates.iter().take_while(|e| e.modified <= time).count(),
    };
    let (segments, later) = candidates.split_at(count);
    check_names(snapshot, segments)?;
    let last = segments.last().unwrap_or(snapshot);
    let end = match sealed {
        Some(_) => sealed_end(last, seals, target)?,
        None => PlannedEnd::LastCommit { modified: segments.last().map_or(snapshot.modified, |e| e.modified) },
    };
    if let (Some(next), Some(_), Target::Time(time)) = (later.first(), sealed, target) {
        check_next(last, next, seals, time, end)?;
    }
    if sealed.is_none() && seals.known(&last.name).is_some() {
        return Err(PlanError::SealMissing(snapshot.name).into());
    }
    let planned = |e: &Entry| PlannedObject {
        name: e.name,
        stored_bytes: e.stored_bytes,
        seal: seals.known(&e.name).cloned().map(Box::new),
    };
    let beyond_end = match (target, end) {
        (Target::Latest, _) => false,
        (Target::Index(wanted), _) => wanted > last.name.index(),
        (Target::Time(time), PlannedEnd::Commit { time: reached, .. }) => later.is_empty() && reached < time,
        (Target::Time(time), PlannedEnd::LastCommit { modified }) => later.is_empty() && modified < time,
    };
    let plan = RestorePlan {
        generation: history.generation,
        snapshot: planned(snapshot),
        segments: segments.iter().map(planned).collect(),
        end,
        next: later.first().map(|e| e.name),
        beyond_end,
    };
    check_seals(&plan)?;
    Ok(plan)
}

/// The snapshot of the highest index that is not after the target.
fn choose_snapshot<'h>(history: &'h History, seals: &Seals, target: Target) -> Result<&'h Entry, PlanStop> {
    let generation = history.generation;
    let snapshots = history.snapshots.as_slice();
    let first = snapshots.first().ok_or(PlanError::NoSnapshot(generation))?;
    match target {
        Target::Latest => Ok(snapshots.last().unwrap_or(first)),
        Target::Index(wanted) => {
            let first = first.name.index();
            let found = snapshots.iter().rfind(|e| e.name.index() <= wanted);
            Ok(found.ok_or(PlanError::IndexTooLow { generation, wanted, first })?)
        }
        Target::Time(time) => {
            let found = if sealed_at(seals, &first.name)?.is_some() {
                let count = seals_until(snapshots, seals, time)?;
                snapshots[..count].last()
            } else {
                snapshots.iter().rfind(|e| e.modified <= time)
            };
            if let Some(found) = found {
                return Ok(found);
            }
            let bounds = timeline::bounds(history, seals)?;
            Err(PlanError::TooEarly { generation, wanted: time, bounds }.into())
        }
    }
}

/// The seal of `name`; `None` if it has none.
fn sealed_at<'s>(seals: &'s Seals, name: &ObjectName) -> Result<Option<&'s Seal>, PlanStop> {
    match seals.of(name)? {
        Sealing::Sealed(seal) => {
            check_place(name, seal)?;
            Ok(Some(seal))
        }
        Sealing::Unsealed => Ok(None),
        Sealing::Damaged(fault) => Err(PlanError::Seal(*name, fault.clone()).into()),
    }
}

fn demand<'s>(seals: &'s Seals, name: &ObjectName) -> Result<&'s Seal, PlanStop> {
    sealed_at(seals, name)?.ok_or_else(|| PlanError::SealMissing(*name).into())
}

/// How many of `entries` begin at or before `time`. Commit times never go backwards within a generation, so a binary
/// search reads the seals of few objects. An object whose seal cannot be read is passed by, towards the beginning.
fn seals_until(entries: &[Entry], seals: &Seals, time: Timestamp) -> Result<usize, PlanStop> {
    let (mut low, mut high) = (0, entries.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        let mut probe = middle;
        let seal = loop {
            match sealed_at(seals, &entries[probe].name) {
                Ok(Some(seal)) => break seal,
                Err(PlanStop::Needs(needs)) => return Err(needs.into()),
                _ if probe > low => probe -= 1,
                _ => break demand(seals, &entries[middle].name)?,
            }
        };
        if begins(seal) <= time {
            // Everything from the probe to the middle is unreadable: the next round begins behind the probe.
            low = probe + 1;
        } else {
            high = probe;
        }
    }
    Ok(low)
}

fn begins(seal: &Seal) -> Timestamp {
    seal.commits.first().map_or(seal.time, |c| c.time)
}

/// The names alone: every index is there, and begins at offset 0.
fn check_names(snapshot: &Entry, segments: &[Entry]) -> Result<(), PlanError> {
    let ObjectName::Snapshot(generation, mut index) = snapshot.name else { return Ok(()) };
    let mut begun = false;
    for segment in segments {
        let next = segment.name;
        if begun && next.index() != index {
            // Sorted, so the index is higher, and one more exists.
            (index, begun) = (index.next().unwrap_or(Index::MAX), false);
        }
        if !begun && (next.index(), next.offset()) != (index, Offset(0)) {
            return Err(PlanError::Missing { missing: ObjectName::Segment(generation, index, Offset(0)), next });
        }
        begun = true;
    }
    Ok(())
}

/// The last commit to restore: of the last object, or the last one in it that is not after the wanted time.
fn sealed_end(last: &Entry, seals: &Seals, target: Target) -> Result<PlannedEnd, PlanStop> {
    let seal = demand(seals, &last.name)?;
    let whole =
        PlannedEnd::Commit { at: seal.to, size: seal.size_after, time: seal.time, digest: Some(seal.digest_after) };
    let Target::Time(wanted) = target else { return Ok(whole) };
    let within = |c: &&Commit| c.time <= wanted;
    Ok(match seal.commits.iter().rfind(within) {
        Some(commit) if commit.end < seal.to.1 => {
            PlannedEnd::Commit { at: (seal.to.0, commit.end), size: commit.size, time: commit.time, digest: None }
        }
        _ => whole,
    })
}

/// If the restore goes to the very end of `last` but not to the wanted time, what comes next must continue it:
/// otherwise the commits wanted may be in an object that is missing.
fn check_next(last: &Entry, next: &Entry, seals: &Seals, wanted: Timestamp, end: PlannedEnd) -> Result<(), PlanStop> {
    let PlannedEnd::Commit { time, digest: Some(_), .. } = end else { return Ok(()) };
    if time == wanted {
        return Ok(());
    }
    let (before, after) = (demand(seals, &last.name)?, demand(seals, &next.name)?);
    if continues(before, after) { Ok(()) } else { Err(PlanError::Hole { before: last.name, next: next.name }.into()) }
}

/// Whether `after` begins exactly where `before` ends: the same byte, or the beginning of the next index with the
/// same database.
fn continues(before: &Seal, after: &Seal) -> bool {
    let same_state = (before.digest_after, before.size_after) == (after.digest_before, after.size_before);
    let same_index = before.to.0 == after.from.0;
    let adjoins = if same_index { before.to.1 == after.from.1 } else { after.from.1 == Offset(0) };
    same_state && adjoins && (same_index || before.to.0.next() == Some(after.from.0))
}

/// Every seal that is known belongs to its object, and neighbours adjoin.
fn check_seals(plan: &RestorePlan) -> Result<(), PlanError> {
    let mut before: Option<&PlannedObject> = None;
    for object in std::iter::once(&plan.snapshot).chain(&plan.segments) {
        if let Some(seal) = &object.seal {
            if let Some((last, last_seal)) = before.and_then(|b| Some((b.name, b.seal.as_ref()?))) {
                let adjoin = last_seal.to.0 != seal.from.0 || last_seal.to.1 == seal.from.1;
                if !adjoin && last_seal.to.1 > seal.from.1 {
                    return Err(PlanError::Overlap { before: last, next: object.name });
                }
                if !continues(last_seal, seal) {
                    return Err(PlanError::Hole { before: last, next: object.name });
                }
            }
        }
        before = Some(object);
    }
    Ok(())
}

/// Whether `seal` is that of the object called `name`.
///
/// # Errors
/// If it is another object's.
pub(crate) fn check_place(name: &ObjectName, seal: &Seal) -> Result<(), PlanError> {
    let (index, offset) = seal.from;
    let own = match seal.kind {
        crate::segment::SealKind::Snapshot => ObjectName::Snapshot(seal.generation, index),
        crate::segment::SealKind::Segment => ObjectName::Segment(seal.generation, index, offset),
    };
    if own == *name && seal.to.0 == index {
        Ok(())
    } else {
        Err(PlanError::Misplaced(*name, seal.generation, index, offset))
    }
}

impl RestorePlan {
    /// All objects, in the order in which they are applied.
    pub fn objects(&self) -> impl Iterator<Item = &PlannedObject> {
        std::iter::once(&self.snapshot).chain(&self.segments)
    }

    /// What has to be fetched, in bytes.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.objects().map(|o| o.stored_bytes).sum()
    }

    /// Whether Lightship wrote the history, so that the restored database can be proved.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        matches!(self.end, PlannedEnd::Commit { .. })
    }
}

/// The key of a listed object; for one that cannot exist, what is nearest to it.
#[must_use]
pub fn key(name: &ObjectName) -> String {
    name.key().unwrap_or_else(|| format!("{name:?}"))
}

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "generation  {}", self.generation)?;
        writeln!(f, "snapshot    {}  ({} bytes)", key(&self.snapshot.name), self.snapshot.stored_bytes)?;
        for segment in &self.segments {
            writeln!(f, "segment     {}  ({} bytes)", key(&segment.name), segment.stored_bytes)?;
        }
        match self.end {
            PlannedEnd::Commit { at: (index, offset), size, time, digest } => {
                writeln!(f, "restores    commit of {time} at {index}:{offset}, {size} pages")?;
                match digest {
                    Some(digest) => writeln!(f, "proof       digest {digest}")?,
                    None => writeln!(f, "proof       digest before its object, content hash and checksums within it")?,
                }
            }
            PlannedEnd::LastCommit { modified } => {
                writeln!(f, "restores    the last commit stored at or before {modified}")?;
                writeln!(f, "proof       checksums only: Litestream wrote this generation, so there is no digest")?;
            }
        }
        write!(f, "downloads   {} objects, {} bytes", 1 + self.segments.len(), self.stored_bytes())
    }
}
