//! Which pages have changed since the running merged ranges began: one bit a page and level.

use std::time::Duration;

use crate::segment::StateDigest;
use crate::types::{Index, Level, PageCount, PageNo, PageSet, Timestamp};

/// How long a range of each level lasts; `None`: there are none of this level.
pub type MergeIntervals = [Option<Duration>; Level::COUNT];

/// Five minutes, an hour, a day.
pub const MERGE_INTERVALS: MergeIntervals =
    [Some(Duration::from_secs(300)), Some(Duration::from_secs(3600)), Some(Duration::from_secs(86_400))];

/// A burst of writing is merged when it has so many times the pages of the database: a restore then reads little more
/// than that, and what is put beside the segments is at most a quarter more.
const BURST_TIMES: u64 = 4;

/// Frames below which no burst is merged: 64 MB with the usual page size.
pub const BURST_FRAMES_MIN: u64 = 16_384;

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
/// into few of them. Of one level, two adjoin, or begin in the same place: a longer one stands in for those before it.
#[derive(Debug)]
pub struct Ranges {
    intervals: MergeIntervals,
    burst_frames_min: u64,
    /// In the open index.
    changed: PageSet,
    /// Frames in the open index.
    frames: u64,
    /// Frames in whole indexes since a range was last cut.
    burst_frames: u64,
    running: [Option<Running>; Level::COUNT],
}

impl Ranges {
    /// None is running: the first begin with the next [`Ranges::cut`].
    #[must_use]
    pub fn new(intervals: MergeIntervals, burst_frames_min: u64) -> Self {
        let running = [const { None }; Level::COUNT];
        Self { intervals, burst_frames_min, changed: PageSet::default(), frames: 0, burst_frames: 0, running }
    }

    /// Whether ranges are wanted at all.
    fn is_on(&self) -> bool {
        self.intervals.iter().any(Option::is_some)
    }

    /// The open index has a frame of `page`.
    pub fn note(&mut self, page: PageNo) {
        if self.is_on() {
            self.changed.insert(page);
            self.frames += 1;
        }
    }

    /// The open index ends.
    pub fn end_index(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        self.burst_frames += std::mem::take(&mut self.frames);
        for running in self.running.iter_mut().flatten() {
            running.pages.extend(&changed);
        }
    }

    /// Ends the ranges whose time is over at `here`, or all of them, and begins new ones; or else writes down what a
    /// burst has come to so far. Their `hash` is not set yet.
    pub fn cut(&mut self, here: &Boundary, all: bool) -> Vec<RangePart> {
        let is_over = |level: &Level| {
            let lasts = self.intervals[level.slot()]?;
            let Some(running) = &self.running[level.slot()] else { return Some(*level) };
            let age = Duration::from_millis(here.time.0.saturating_sub(running.from.time.0));
            (all || age >= lasts).then_some(*level)
        };
        let parts = match Level::ALL.iter().rev().find_map(is_over) {
            Some(coarsest) => self.cut_up_to(coarsest, here),
            None if self.is_burst(here) => {
                let finest = Level::ALL.into_iter().find(|level| self.running[level.slot()].is_some());
                finest.and_then(|level| self.part(level, here)).into_iter().collect()
            }
            None => return Vec::new(),
        };
        self.burst_frames = 0;
        parts
    }

    fn cut_up_to(&mut self, coarsest: Level, here: &Boundary) -> Vec<RangePart> {
        let mut parts: Vec<RangePart> = Vec::new();
        for level in Level::ALL.into_iter().rev().filter(|level| *level <= coarsest) {
            if self.intervals[level.slot()].is_none() {
                continue;
            }
            // A coarser range that began in the same place is the same one.
            let is_new = |part: &RangePart| parts.iter().all(|coarser| coarser.from.index != part.from.index);
            parts.extend(self.part(level, here).filter(is_new));
            self.running[level.slot()] = Some(Running { from: *here, pages: PageSet::default() });
        }
        parts
    }

    /// Whether reading what came since the last range would be much more work than reading the whole database.
    fn is_burst(&self, here: &Boundary) -> bool {
        self.burst_frames >= self.burst_frames_min.max(BURST_TIMES * u64::from(here.size.0))
    }

    /// The running range of `level`, as far as `here`; `None` if it holds nothing.
    fn part(&self, level: Level, here: &Boundary) -> Option<RangePart> {
        let Running { from, pages } = self.running[level.slot()].as_ref()?;
        let (from, mut pages) = (*from, pages.clone());
        pages.truncate(here.size);
        let holds_any = from.index < here.index && !pages.is_empty();
        holds_any.then_some(RangePart { level, from, pages, hash: StateDigest::default() })
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
        let mut ranges = Ranges::new(MERGE_INTERVALS, BURST_FRAMES_MIN);
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
        let mut ranges = Ranges::new(MERGE_INTERVALS, BURST_FRAMES_MIN);
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
    fn a_burst_is_merged_from_where_the_finest_range_began_and_that_goes_on() {
        let mut ranges = Ranges::new(MERGE_INTERVALS, 300);
        ranges.cut(&at(0, 0), false);
        let mut cut = |index: u32, seconds: u64, pages: std::ops::Range<u32>, times: u32| {
            (0..times).for_each(|_| pages.clone().for_each(|page| ranges.note(PageNo::new(page).unwrap())));
            ranges.end_index();
            let parts = ranges.cut(&at(index, seconds), false);
            parts.iter().map(|p| (p.level.get(), p.from.index.get(), p.pages.len())).collect::<Vec<_>>()
        };
        // Four times the hundred pages of the database.
        assert_eq!(cut(1, 1, 1..40, 10), []);
        assert_eq!(cut(2, 2, 30..60, 1), [(1, 0, 59)]);
        // The time of the first one is not over, so the second stands in for it.
        assert_eq!(cut(3, 3, 60..70, 39), []);
        assert_eq!(cut(4, 4, 60..70, 10), [(1, 0, 69)]);
        assert_eq!(cut(5, 300, 1..2, 1), [(1, 0, 69)]);
        assert_eq!(cut(6, 301, 1..100, 5), [(1, 5, 99)]);
    }

    #[test]
    fn a_small_burst_is_nothing() {
        let mut ranges = Ranges::new(MERGE_INTERVALS, 1000);
        ranges.cut(&at(0, 0), false);
        (0..999).for_each(|_| ranges.note(PageNo::new(1).unwrap()));
        ranges.end_index();
        assert_eq!(ranges.cut(&at(1, 1), false), []);
        ranges.note(PageNo::new(1).unwrap());
        ranges.end_index();
        assert_eq!(ranges.cut(&at(2, 2), false).len(), 1);
    }

    #[test]
    fn without_intervals_nothing_is_kept() {
        let mut ranges = Ranges::new([None; 3], 0);
        ranges.cut(&at(0, 0), true);
        ranges.note(PageNo::new(7).unwrap());
        assert!(ranges.changed.is_empty());
        ranges.end_index();
        assert_eq!(ranges.cut(&at(1, 100_000), true), []);
    }
}
