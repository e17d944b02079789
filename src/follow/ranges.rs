//! Which pages have changed since the running merged ranges began: one bit a page and level.

use std::time::Duration;

use crate::segment::StateDigest;
use crate::types::{Index, Level, PageCount, PageNo, PageSet, Timestamp};

/// How long a range of each level lasts; `None`: there are none of this level.
pub type MergeIntervals = [Option<Duration>; Level::COUNT];

/// Five minutes, an hour, a day.
pub const MERGE_INTERVALS: MergeIntervals =
    [Some(Duration::from_secs(300)), Some(Duration::from_secs(3600)), Some(Duration::from_secs(86_400))];

/// The state at offset 0 of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boundary {
    /// The index.
    pub index: Index,
    /// Size of the database.
    pub size: PageCount,
    /// State of the database.
    pub digest: StateDigest,
    /// When the newest commit in it was seen.
    pub time: Timestamp,
}

/// A merged range that can be written now: what changed from `from` up to where its ticket stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangePart {
    /// How coarse it is.
    pub level: Level,
    /// Where it begins.
    pub from: Boundary,
    /// What changed since; none of it lies behind the end of the database.
    pub pages: PageSet,
    /// XOR of the hashes of those pages: the copy must come to the same.
    pub hash: StateDigest,
}

#[derive(Debug)]
struct Running {
    from: Boundary,
    pages: PageSet,
}

/// The ranges that are running.
///
/// Invariant: a finer range never reaches across the beginning or the end of a coarser one, so that a history divides
/// into few of them.
#[derive(Debug)]
pub struct Ranges {
    intervals: MergeIntervals,
    /// In the open index.
    changed: PageSet,
    running: [Option<Running>; Level::COUNT],
}

impl Ranges {
    /// None is running: the first begin with the next [`Ranges::cut`].
    #[must_use]
    pub fn new(intervals: MergeIntervals) -> Self {
        Self { intervals, changed: PageSet::default(), running: [const { None }; Level::COUNT] }
    }

    /// Whether ranges are wanted at all.
    fn is_on(&self) -> bool {
        self.intervals.iter().any(Option::is_some)
    }

    /// The open index has a frame of `page`.
    pub fn note(&mut self, page: PageNo) {
        if self.is_on() {
            self.changed.insert(page);
        }
    }

    /// The open index ends.
    pub fn end_index(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        for running in self.running.iter_mut().flatten() {
            running.pages.extend(&changed);
        }
    }

    /// Ends the ranges whose time is over at `here`, or all of them, and begins new ones. Their `hash` is not set yet.
    pub fn cut(&mut self, here: &Boundary, all: bool) -> Vec<RangePart> {
        let is_over = |level: &Level| {
            let lasts = self.intervals[level.slot()]?;
            let Some(running) = &self.running[level.slot()] else { return Some(*level) };
            let age = Duration::from_millis(here.time.0.saturating_sub(running.from.time.0));
            (all || age >= lasts).then_some(*level)
        };
        let coarsest = Level::ALL.iter().rev().find_map(is_over);
        let mut parts: Vec<RangePart> = Vec::new();
        for level in Level::ALL.into_iter().rev().filter(|level| Some(*level) <= coarsest) {
            if self.intervals[level.slot()].is_none() {
                continue;
            }
            let next = Running { from: *here, pages: PageSet::default() };
            let Some(Running { from, mut pages }) = self.running[level.slot()].replace(next) else { continue };
            pages.truncate(here.size);
            // A coarser range that began in the same place is the same one.
            let is_new = parts.iter().all(|part| part.from.index != from.index);
            if from.index < here.index && !pages.is_empty() && is_new {
                parts.push(RangePart { level, from, pages, hash: StateDigest::default() });
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u32, seconds: u64) -> Boundary {
        let index = Index::new(index).unwrap();
        Boundary { index, size: PageCount(100), digest: StateDigest(0), time: Timestamp(seconds * 1000) }
    }

    /// One index a minute for `minutes`; each changes page 1 and one of its own. What each level got.
    fn run(minutes: u32) -> Vec<(u8, u32, u32, u32)> {
        let mut ranges = Ranges::new(MERGE_INTERVALS);
        assert_eq!(ranges.cut(&at(0, 0), true), []);
        let mut parts = Vec::new();
        for minute in 1..=minutes {
            ranges.note(PageNo::new(1).unwrap());
            ranges.note(PageNo::new(minute % 100 + 1).unwrap());
            ranges.end_index();
            let here = at(minute, u64::from(minute) * 60);
            parts.extend(
                ranges
                    .cut(&here, false)
                    .iter()
                    .map(|part| (part.level.get(), part.from.index.get(), minute, part.pages.len())),
            );
        }
        parts
    }

    #[test]
    fn ranges_adjoin_and_finer_ones_lie_within_coarser_ones() {
        let parts = run(3000);
        for level in 1..=3 {
            let of: Vec<_> = parts.iter().filter(|part| part.0 == level).collect();
            assert!(of.windows(2).all(|pair| pair[0].2 == pair[1].1), "level {level}");
        }
        let count = |level| parts.iter().filter(|part| part.0 == level).count();
        assert_eq!((count(1), count(2), count(3)), (600, 50, 2));
        assert_eq!(parts[0], (1, 0, 5, 6));
        let fine_ends: Vec<u32> = parts.iter().filter(|part| part.0 == 1).map(|part| part.2).collect();
        assert!(parts.iter().all(|part| fine_ends.contains(&part.2)));
    }

    #[test]
    fn a_cut_ends_all_and_the_same_range_is_not_written_twice() {
        let mut ranges = Ranges::new(MERGE_INTERVALS);
        ranges.cut(&at(0, 0), false);
        ranges.note(PageNo::new(7).unwrap());
        ranges.note(PageNo::new(101).unwrap());
        ranges.end_index();
        let parts = ranges.cut(&at(1, 1), true);
        assert_eq!(parts.len(), 1);
        assert_eq!((parts[0].level.get(), parts[0].pages.iter().map(PageNo::get).collect()), (3, vec![7]));
        assert_eq!(ranges.cut(&at(1, 2), true), []);
    }

    #[test]
    fn without_intervals_nothing_is_kept() {
        let mut ranges = Ranges::new([None; 3]);
        ranges.cut(&at(0, 0), true);
        ranges.note(PageNo::new(7).unwrap());
        assert!(ranges.changed.is_empty());
        ranges.end_index();
        assert_eq!(ranges.cut(&at(1, 100_000), true), []);
    }
}
