//! The shortest way from a snapshot to a state: merged ranges where there are some, segments elsewhere.

use std::collections::BTreeMap;

use crate::history::{Entry, History};
use crate::types::{Index, Offset};

/// How an index is reached: what all of the way costs in objects, from where the last step came, and by what.
type Step<'h> = (usize, Index, &'h [Entry]);

/// The objects that lead from a snapshot at the beginning of `from` to the beginning of `to`; `None` if some are
/// missing.
pub fn between(history: &History, from: Index, to: Index) -> Option<Vec<&Entry>> {
    let mut reached: BTreeMap<Index, Step<'_>> = BTreeMap::from([(from, (0, from, &[][..]))]);
    let mut at = Some(from);
    while let Some(index) = at.filter(|index| *index < to) {
        let cost = reached[&index].0;
        for (next, objects) in steps(history, index).filter(|(next, _)| *next <= to) {
            let step = (cost + objects.len(), index, objects);
            let known = reached.entry(next).or_insert(step);
            if step.0 < known.0 {
                *known = step;
            }
        }
        at =
            reached.range((std::ops::Bound::Excluded(index), std::ops::Bound::Unbounded)).next().map(|(next, _)| *next);
    }
    let mut way = Vec::new();
    let mut index = to;
    while index > from {
        let (_, before, objects) = reached.get(&index)?;
        way.extend(*objects);
        index = *before;
    }
    Some(way)
}

/// Where one can get to from the beginning of `index`, and with which objects.
fn steps(history: &History, index: Index) -> impl Iterator<Item = (Index, &[Entry])> {
    let ranges = &history.ranges;
    let first = ranges.partition_point(|e| e.name.index() < index);
    let count = ranges[first..].partition_point(|e| e.name.index() == index);
    let by_range = ranges[first..first + count].chunks(1);
    let by_range = by_range.filter_map(|chunk| Some((chunk.first()?.name.range()?.to, chunk)));
    let segments = segments_of(history, index);
    let whole = segments.first().is_some_and(|e| e.name.offset() == Offset(0));
    by_range.chain(index.next().filter(|_| whole).map(|next| (next, segments)))
}

/// The segments of `index`.
pub fn segments_of(history: &History, index: Index) -> &[Entry] {
    let from = history.segments_from(index);
    &from[..from.partition_point(|e| e.name.index() == index)]
}
