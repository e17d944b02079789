//! Where a history has gaps, as far as names tell.

use super::{Entry, History};
use crate::types::{Index, Offset};

/// A snapshot and everything behind it that leaves no index out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run<'h> {
    /// The snapshot it begins with.
    pub first: &'h Entry,
    /// Its last object.
    pub last: &'h Entry,
}

/// The stretches of `history` in which every commit can be restored, in order. Between two of them is a gap.
#[must_use]
pub fn runs(history: &History) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    let mut end: Option<Index> = None;
    for snapshot in &history.snapshots {
        let index = snapshot.name.index();
        let (mut last, mut at) = (snapshot, index);
        for segment in history.segments_from(index) {
            let (found, begins) = (segment.name.index(), segment.name.offset() == Offset(0));
            if found > at || (begins && found < at) || (found == at && !begins) {
                break;
            }
            // `at` is the index that has not begun yet.
            at = if begins { at.next().unwrap_or(at) } else { at };
            last = segment;
        }
        match runs.last_mut() {
            Some(run) if end.is_some_and(|end| end >= index) => run.last = last,
            _ => runs.push(Run { first: snapshot, last }),
        }
        end = Some(at);
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Catalog, ObjectName};
    use crate::types::Generation;

    fn gaps(snapshots: &[u32], segments: &[(u32, u64)]) -> Vec<(ObjectName, ObjectName)> {
        let (generation, index) = (Generation(1), |n| Index::new(n).unwrap());
        let snapshots = snapshots.iter().map(|n| ObjectName::Snapshot(generation, index(*n)));
        let segments = segments.iter().map(|(n, at)| ObjectName::Segment(generation, index(*n), Offset(*at)));
        let listing = snapshots.chain(segments).map(|name| replica_backends::ObjectMeta {
            key: name.key().unwrap(),
            size: 1,
            modified: std::time::UNIX_EPOCH,
        });
        let catalog = Catalog::from_listing(listing);
        runs(catalog.history(generation).unwrap()).iter().map(|run| (run.first.name, run.last.name)).collect()
    }

    #[test]
    fn a_gap_is_where_an_index_is_missing() {
        let (generation, index) = (Generation(1), |n| Index::new(n).unwrap());
        let snapshot = |n| ObjectName::Snapshot(generation, index(n));
        let segment = |n, at| ObjectName::Segment(generation, index(n), Offset(at));
        let whole = [(0, 0), (0, 900), (1, 0), (2, 0), (2, 700)];
        assert_eq!(gaps(&[0, 2], &whole), [(snapshot(0), segment(2, 700))]);
        assert_eq!(gaps(&[0, 2], &[(0, 0), (2, 0)]), [(snapshot(0), segment(0, 0)), (snapshot(2), segment(2, 0))]);
        assert_eq!(gaps(&[0, 2], &[(1, 0), (2, 0)]), [(snapshot(0), snapshot(0)), (snapshot(2), segment(2, 0))]);
        assert_eq!(
            gaps(&[0, 2], &[(0, 0), (0, 9), (1, 9)]),
            [(snapshot(0), segment(0, 9)), (snapshot(2), snapshot(2))]
        );
        assert_eq!(gaps(&[], &[(0, 0)]), []);
    }
}
