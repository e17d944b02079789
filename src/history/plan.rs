//! Which objects a restore needs, in which order, and where it stops.

use super::last::in_time;
use super::plan_error::{PlanError, PlanStop, check_place};
use super::route::{covers, route};
use super::timeline;
use super::{Entry, History, NeedsSeals, ObjectName, PlannedEnd, PlannedObject, RestorePlan, Sealing, Seals, Target};
use crate::segment::{Commit, Seal};
use crate::types::{Index, Offset, Timestamp};

/// How many ends of ranges are tried.
const COARSE_TRIES: usize = 16;

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
        Target::Time(time) if sealed.is_some() => segments_until(history, candidates, seals, time)?,
        Target::Time(time) => candidates.iter().take_while(|e| e.modified <= time).count(),
        Target::Position(..) if sealed.is_none() => return Err(PlanError::CommitsUnknown(history.generation).into()),
        Target::Position(index, offset) => {
            candidates.partition_point(|e| (e.name.index(), e.name.offset()) < (index, offset))
        }
    };
    let (segments, later) = candidates.split_at(count);
    let segments = if sealed.is_some() { in_time(segments, seals)? } else { segments };
    let Steps { steps, next, coarse } = if sealed.is_some() {
        sealed_steps(history, snapshot, (segments, later), seals, target)?
    } else {
        check_names(snapshot, segments)?;
        Steps { steps: segments.iter().collect(), next: later.first(), coarse: false }
    };
    let last = steps.last().copied().unwrap_or(snapshot);
    let end = match sealed {
        Some(_) => sealed_end(last, seals, target)?,
        None => PlannedEnd::LastCommit { modified: last.modified },
    };
    match (sealed, target) {
        (Some(_), Target::Time(time)) => next.map_or(Ok(()), |next| check_next(last, next, seals, time, end))?,
        (Some(_), Target::Position(index, offset)) => {
            check_position(history, last, next, seals, (end, (index, offset)))?;
        }
        (Some(_), Target::Index(_)) => next.map_or(Ok(()), |next| check_index(last, next, seals))?,
        _ => {}
    }
    if sealed.is_none() && seals.known(&last.name).is_some() {
        return Err(PlanError::SealMissing(snapshot.name).into());
    }
    let planned = |e: &Entry| PlannedObject {
        name: e.name,
        stored_bytes: e.stored_bytes,
        seal: seals.known(&e.name).cloned().map(Box::new),
    };
    let is_newest = later.is_empty() && history.snapshots.last().is_none_or(|e| e.name.index() <= last.name.index());
    let beyond_end = is_beyond(last, later, target, end);
    let before_gap = seals.known(&last.name).is_some_and(Seal::is_gap);
    let plan = RestorePlan {
        generation: history.generation,
        snapshot: planned(snapshot),
        steps: steps.into_iter().map(planned).collect(),
        end,
        next: next.map(|e| e.name),
        beyond_end,
        cut_off: is_newest && before_gap && (beyond_end || target == Target::Latest),
        coarse,
    };
    check_seals(&plan)?;
    Ok(plan)
}

/// Whether the wanted point lies behind the end of the history.
fn is_beyond(last: &Entry, later: &[Entry], target: Target, end: PlannedEnd) -> bool {
    match (target, end) {
        (Target::Latest | Target::Position(..), _) => false,
        (Target::Index(wanted), _) => wanted > last.name.index(),
        (Target::Time(time), PlannedEnd::Commit { time: end, digest: Some(_), .. }) => later.is_empty() && end < time,
        (Target::Time(_), PlannedEnd::Commit { .. }) => false,
        (Target::Time(time), PlannedEnd::LastCommit { modified }) => later.is_empty() && modified < time,
    }
}

/// What is applied over the snapshot.
struct Steps<'h> {
    steps: Vec<&'h Entry>,
    /// What comes after it, if it adjoins.
    next: Option<&'h Entry>,
    /// What lies between its end and the wanted time is kept no more.
    coarse: bool,
}

/// As few objects as possible up to the last of `segments`, and those of its index.
fn sealed_steps<'h>(
    history: &'h History,
    snapshot: &Entry,
    (segments, later): (&'h [Entry], &'h [Entry]),
    seals: &Seals,
    target: Target,
) -> Result<Steps<'h>, PlanStop> {
    let begin = snapshot.name.index();
    let last = segments.last().map_or(begin, |e| e.name.index());
    if let Target::Time(time) = target
        && let Some((steps, end)) = coarse_steps((history, snapshot), (segments, later), seals, time)?
    {
        let adjoins = |next: &&Entry| (next.name.index(), next.name.offset()) == (end, Offset(0));
        return Ok(Steps { steps, next: later.first().filter(adjoins), coarse: true });
    }
    // The beginning of an index is reached by way of whole indexes.
    let last = if let Target::Position(index, Offset(0)) = target { index } else { last };
    let (before, within) = segments.split_at(segments.partition_point(|e| e.name.index() < last));
    let mut steps = route(history, before, seals, (begin, last)).map_err(|at| missing(history, snapshot, at))?;
    if let Some(next) = within.first().filter(|e| e.name.offset() != Offset(0)) {
        let missing = ObjectName::Segment(history.generation, last, Offset(0));
        return Err(PlanError::Missing { missing, next: next.name }.into());
    }
    if matches!(target, Target::Position(..)) {
        demand_all(within, seals)?;
    }
    steps.extend(within);
    Ok(Steps { steps: without_leftovers(steps, seals)?, next: later.first(), coarse: false })
}

/// If the segments of the time before `time` have been removed because a merged range holds what they held: the way to
/// the end of the last range up to then.
fn coarse_steps<'h>(
    (history, snapshot): (&'h History, &Entry),
    (segments, later): (&'h [Entry], &'h [Entry]),
    seals: &Seals,
    time: Timestamp,
) -> Result<Option<(Vec<&'h Entry>, Index)>, PlanError> {
    let begin = snapshot.name.index();
    let behind = segments.last().map_or(Some(begin), |last| last.name.index().next());
    // Where segments go on, they tell what comes when.
    let goes_on = |behind: &Index| later.first().is_some_and(|e| e.name.index() <= *behind);
    let Some(behind) = behind.filter(|behind| !goes_on(behind)) else { return Ok(None) };
    let ends = history.ranges.iter().filter_map(|e| e.name.range());
    let mut ends: Vec<Index> = ends.filter(|r| r.time <= time && r.to > behind).map(|r| r.to).collect();
    if ends.is_empty() && segments.is_empty() {
        // Before the end of the first range there is the snapshot that it begins with.
        let begins_range = history.ranges.iter().any(|e| e.name.index() == begin);
        return Ok(begins_range.then_some((Vec::new(), begin)));
    }
    ends.sort_unstable();
    ends.dedup();
    // Usually the first try succeeds; each costs as much as the listing is long.
    let mut dead_end = None;
    for end in ends.into_iter().rev().take(COARSE_TRIES) {
        match route(history, segments, seals, (begin, end)) {
            Ok(steps) => return Ok(Some((steps, end))),
            Err(at) => dead_end = dead_end.or(Some(at)),
        }
    }
    // A state up to then is known to have been kept, and none so new can be reached.
    dead_end.map_or(Ok(None), |at| Err(missing(history, snapshot, at)))
}

/// While the segments of an index are being merged, some stand beside the object that holds them all. A seal proves
/// whether they are the same.
fn without_leftovers<'h>(steps: Vec<&'h Entry>, seals: &Seals) -> Result<Vec<&'h Entry>, PlanStop> {
    let mut kept: Vec<&Entry> = Vec::new();
    for next in steps {
        let is_end = seals.known(&next.name).is_some_and(Seal::is_end);
        let outer = match kept.last().map(|before| before.name) {
            // It may have come too late.
            Some(before) if is_end && before.range().is_none() && before.index() == next.name.index() => {
                Some((before, demand(seals, &before)?))
            }
            before => before.and_then(|before| seals.known(&before).map(|seal| (before, seal))),
        };
        match outer.filter(|(_, seal)| seal.to.0 == next.name.index() && seal.to.1 > next.name.offset()) {
            Some((before, outer)) if !covers(outer, demand(seals, &next.name)?) => {
                return Err(PlanError::Overlap { before, next: next.name }.into());
            }
            Some(_) => {}
            None => kept.push(next),
        }
    }
    Ok(kept)
}

/// Why there is no way on from the beginning of index `at`.
fn missing(history: &History, snapshot: &Entry, at: Index) -> PlanError {
    let missing = ObjectName::Segment(history.generation, at, Offset(0));
    let next = history.segments_from(at).iter().find(|e| e.name != missing).unwrap_or(snapshot).name;
    PlanError::Missing { missing, next }
}

/// The snapshot of the highest index that is not after the target.
fn choose_snapshot<'h>(history: &'h History, seals: &Seals, target: Target) -> Result<&'h Entry, PlanStop> {
    let generation = history.generation;
    let snapshots = history.snapshots.as_slice();
    let first = snapshots.first().ok_or(PlanError::NoSnapshot(generation))?;
    match target {
        Target::Latest => Ok(snapshots.last().unwrap_or(first)),
        Target::Index(wanted) | Target::Position(wanted, _) => {
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

/// Which object of an index holds a position shows only when it is known which of them are leftovers.
fn demand_all(segments: &[Entry], seals: &Seals) -> Result<(), PlanStop> {
    let unknown: Vec<ObjectName> =
        segments.iter().map(|entry| entry.name).filter(|name| seals.of(name).is_err()).collect();
    if unknown.is_empty() { Ok(()) } else { Err(NeedsSeals(unknown).into()) }
}

fn demand<'s>(seals: &'s Seals, name: &ObjectName) -> Result<&'s Seal, PlanStop> {
    sealed_at(seals, name)?.ok_or_else(|| PlanError::SealMissing(*name).into())
}

/// How many of `segments` begin at or before `time`. The names of merged ranges tell where to look; what they say is
/// believed only if the segments there agree.
fn segments_until(history: &History, segments: &[Entry], seals: &Seals, time: Timestamp) -> Result<usize, PlanStop> {
    let ranges = || history.ranges.iter().filter_map(|e| e.name.range());
    let first = |index: Index| segments.partition_point(|e| e.name.index() < index);
    let low = ranges().filter(|r| r.time <= time).map(|r| r.to).max().map_or(0, first);
    let high = ranges().filter(|r| r.time > time).map(|r| r.to).min().map_or(segments.len(), first);
    if low <= high {
        let count = low + seals_until(&segments[low..high], seals, time)?;
        let before = segments[..count].last().map(|e| sealed_at(seals, &e.name)).transpose();
        let after = segments[count..].first().map(|e| sealed_at(seals, &e.name)).transpose();
        let (before, after) = match (before, after) {
            (Err(PlanStop::Needs(mut needs)), Err(PlanStop::Needs(more))) => {
                needs.0.extend(more.0);
                return Err(needs.into());
            }
            (Err(PlanStop::Needs(needs)), _) | (_, Err(PlanStop::Needs(needs))) => return Err(needs.into()),
            (before, after) => (before.ok().flatten().flatten(), after.ok().flatten().flatten()),
        };
        let right_before = count == 0 || before.is_some_and(|seal| begins(seal) <= time);
        let right_after = count == segments.len() || after.is_some_and(|seal| begins(seal) > time);
        if right_before && right_after {
            return Ok(count);
        }
    }
    seals_until(segments, seals, time)
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
    let within = |c: &&Commit| match target {
        Target::Time(wanted) => c.time <= wanted,
        Target::Position(index, offset) => (seal.to.0, c.end) <= (index, offset),
        Target::Latest | Target::Index(_) => true,
    };
    Ok(match seal.commits.iter().rfind(within) {
        Some(commit) if commit.end < seal.to.1 => {
            PlannedEnd::Commit { at: (seal.to.0, commit.end), size: commit.size, time: commit.time, digest: None }
        }
        _ => whole,
    })
}

/// If the restore goes to the very end of `last`, what comes next must continue it: otherwise the commits wanted may
/// be in an object that is missing. Somebody who asks for the very time of the last commit before a hole gets it.
fn check_next(last: &Entry, next: &Entry, seals: &Seals, wanted: Timestamp, end: PlannedEnd) -> Result<(), PlanStop> {
    let PlannedEnd::Commit { time, digest: Some(_), .. } = end else { return Ok(()) };
    let before = demand(seals, &last.name)?;
    let after = match demand(seals, &next.name) {
        Err(PlanStop::Fault(_)) if time == wanted => return Ok(()),
        other => other?,
    };
    if continues(before, after) || (time == wanted && before.to != after.from) {
        Ok(())
    } else {
        Err(PlanError::Hole { before: last.name, next: next.name }.into())
    }
}

/// A restore of an index goes to its end. If the next index begins with another state, what was last in this one is
/// missing. Nothing is proved by an object that cannot be read, or of an index further on.
fn check_index(last: &Entry, next: &Entry, seals: &Seals) -> Result<(), PlanStop> {
    let before = demand(seals, &last.name)?;
    if before.is_end() || before.to.0.next() != Some(next.name.index()) {
        return Ok(());
    }
    match demand(seals, &next.name) {
        Ok(after) if !continues(before, after) => Err(PlanError::Hole { before: last.name, next: next.name }.into()),
        Err(PlanStop::Needs(needs)) => Err(needs.into()),
        Ok(_) | Err(PlanStop::Fault(_)) => Ok(()),
    }
}

/// The restore ends exactly where it was wanted. The beginning of an index is the end of the one before it only if the
/// object that stands there, or the one that leads there, says so.
fn check_position(
    history: &History,
    last: &Entry,
    next: Option<&Entry>,
    seals: &Seals,
    (end, wanted): (PlannedEnd, (Index, Offset)),
) -> Result<(), PlanStop> {
    let PlannedEnd::Commit { at, .. } = end else { return Ok(()) };
    let begins_there = |next: &&Entry| (next.name.index(), next.name.offset()) == wanted;
    let reached = match next.filter(begins_there) {
        _ if at == wanted => true,
        Some(next) if wanted.1 == Offset(0) => continues(demand(seals, &last.name)?, demand(seals, &next.name)?),
        _ => false,
    };
    let missing = PlanError::NoCommit { generation: history.generation, wanted };
    if reached { Ok(()) } else { Err(missing.into()) }
}

/// Whether `after` begins exactly where `before` ends, with the same database.
fn continues(before: &Seal, after: &Seal) -> bool {
    let same_state = (before.digest_after, before.size_after) == (after.digest_before, after.size_before);
    same_state && adjoins(before, after)
}

/// Whether `after` begins at the byte at which `before` ends, or at the beginning of the next index.
fn adjoins(before: &Seal, after: &Seal) -> bool {
    let next_index = before.to.0.next() == Some(after.from.0) && after.from.1 == Offset(0);
    before.to == after.from || next_index
}

/// Every seal that is known stands where its object's name says, and neighbours adjoin. The search for a time passes
/// misplaced objects by, so they are refused here.
fn check_seals(plan: &RestorePlan) -> Result<(), PlanError> {
    let objects: Vec<&PlannedObject> = plan.objects().collect();
    for object in &objects {
        object.seal.as_ref().map_or(Ok(()), |seal| check_place(&object.name, seal))?;
    }
    for pair in objects.windows(2) {
        let (before, next) = (pair[0].name, pair[1].name);
        let Some(last) = &pair[0].seal else { continue };
        // Where a range ends the next index begins, as behind a snapshot.
        let same_index = last.to.0 == next.index();
        if same_index && last.to.1 > next.offset() {
            return Err(PlanError::Overlap { before, next });
        }
        // Of an object whose seal has not been read its name tells where it begins.
        let unknown_continues = || !same_index || last.to.1 == next.offset();
        if !pair[1].seal.as_ref().map_or_else(unknown_continues, |seal| continues(last, seal)) {
            return Err(PlanError::Hole { before, next });
        }
    }
    Ok(())
}
