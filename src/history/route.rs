//! From the beginning of one index to that of another with as few objects as possible.

use std::collections::BTreeMap;

use super::{Entry, History, ObjectName, Sealing, Seals, check_place};
use crate::segment::{Seal, SealKind};
use crate::types::{Index, Offset};

/// A way over whole indexes: a merged range, or all segments of one index.
type Way<'h> = (Index, &'h [Entry]);

/// The objects that lead from the beginning of index `from` to that of `to`: as few as possible, and among as few the
/// smallest. Segments are taken from `segments` only, and no range that is known to be unusable.
///
/// # Errors
/// The index that cannot be left.
pub(super) fn route<'h>(
    history: &'h History,
    segments: &'h [Entry],
    seals: &Seals,
    (from, to): (Index, Index),
) -> Result<Vec<&'h Entry>, Index> {
    let ways = ways(history, segments, seals, (from, to));
    // The best way on from each index, with its cost up to the end: objects, then bytes.
    let mut best: BTreeMap<Index, ((usize, u64), Way<'h>)> = BTreeMap::new();
    for (at, ways) in ways.iter().rev() {
        let total = |(next, objects): &Way<'h>| {
            let behind = if *next == to { (0, 0) } else { best.get(next)?.0 };
            let bytes: u64 = objects.iter().map(|e| e.stored_bytes).sum();
            Some(((behind.0 + objects.len(), behind.1.saturating_add(bytes)), (*next, *objects)))
        };
        if let Some(found) = ways.iter().filter_map(total).min_by_key(|(cost, _)| *cost) {
            best.insert(*at, found);
        }
    }
    let (mut at, mut objects) = (from, Vec::new());
    while at != to {
        let Some((_, (next, way))) = best.get(&at) else { return Err(dead_end(&ways, from)) };
        objects.extend(way.iter());
        at = *next;
    }
    Ok(objects)
}

fn ways<'h>(
    history: &'h History,
    segments: &'h [Entry],
    seals: &Seals,
    (from, to): (Index, Index),
) -> BTreeMap<Index, Vec<Way<'h>>> {
    let mut ways: BTreeMap<Index, Vec<Way<'h>>> = BTreeMap::new();
    for group in segments.chunk_by(|a, b| a.name.index() == b.name.index()) {
        let index = group[0].name.index();
        let Some(next) = index.next().filter(|_| (from..to).contains(&index)) else { continue };
        if group[0].name.offset() == Offset(0) {
            ways.entry(index).or_default().push((next, group));
        }
    }
    for entry in &history.ranges {
        let Some(range) = entry.name.range().filter(|range| range.from >= from && range.to <= to) else { continue };
        if is_usable(&entry.name, seals) {
            ways.entry(range.from).or_default().push((range.to, std::slice::from_ref(entry)));
        }
    }
    ways
}

fn is_usable(name: &ObjectName, seals: &Seals) -> bool {
    match seals.of(name) {
        Ok(Sealing::Sealed(seal)) => check_place(name, seal).is_ok(),
        Ok(_) => false,
        Err(_) => true,
    }
}

/// The furthest index that can be reached.
fn dead_end(ways: &BTreeMap<Index, Vec<Way<'_>>>, from: Index) -> Index {
    let mut reached = std::collections::BTreeSet::from([from]);
    for (at, ways) in ways {
        if reached.contains(at) {
            reached.extend(ways.iter().map(|(next, _)| *next));
        }
    }
    reached.last().copied().unwrap_or(from)
}

/// Whether everything in the segment sealed by `inner` is in that sealed by `outer` too, as it is while the segments
/// of an index are being merged. The end of an index is not in a segment that reaches up to it: it keeps a name taken.
/// One within a segment was put by a writer that came too late, and says nothing.
#[must_use]
pub fn covers(outer: &Seal, inner: &Seal) -> bool {
    if inner.is_end() && outer.kind == SealKind::Segment {
        let index = |seal: &Seal| (seal.generation, seal.from.0, seal.page_size);
        return index(outer) == index(inner) && outer.from.1 < inner.from.1 && inner.from.1 < outer.to.1;
    }
    let same_wal = |seal: &Seal| (seal.kind, seal.generation, seal.from.0, seal.salts, seal.order, seal.page_size);
    let within = outer.from.1 <= inner.from.1 && inner.to.1 <= outer.to.1;
    if outer.kind != SealKind::Segment || same_wal(outer) != same_wal(inner) || !within || outer.is_end() {
        return false;
    }
    let first = outer.commits.partition_point(|commit| commit.end <= inner.from.1);
    let same_commits = outer.commits.get(first..).is_some_and(|commits| commits.starts_with(&inner.commits));
    let same_end = inner.to != outer.to
        || (inner.checksum_after, inner.digest_after) == (outer.checksum_after, outer.digest_after);
    let same_beginning = inner.from != outer.from
        || (inner.checksum_before, inner.digest_before) == (outer.checksum_before, outer.digest_before);
    same_commits && same_end && same_beginning
}
