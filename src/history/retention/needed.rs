//! What the states that a policy names need.

use std::collections::BTreeMap;
use std::time::Duration;

use super::path::{between, segments_of};
use super::{Pinned, Tier, Why, before, seen};
use crate::history::{Catalog, Entry, History, NeedsSeals, Seals, timeline};
use crate::types::{Generation, Index, Offset, Timestamp};

/// A generation, with the times that decide.
struct Line<'h> {
    history: &'h History,
    /// Every snapshot, and when its state was seen; by index.
    snapshots: Vec<(&'h Entry, Timestamp)>,
    end: Timestamp,
    /// It may still be written: its newest snapshot and all after it stay.
    current: bool,
}

/// All generations of a replica.
pub struct Survey<'h>(Vec<Line<'h>>);

/// What is told of each object that is needed.
pub type Tell<'t> = dyn FnMut(&Entry, Why) + 't;

impl<'h> Survey<'h> {
    /// The generation being written is current, and so is the one that reaches furthest.
    pub fn of(catalog: &'h Catalog, seals: &Seals, writing: Option<Generation>) -> Result<Self, NeedsSeals> {
        let (mut lines, mut needs) = (Vec::new(), NeedsSeals(Vec::new()));
        for history in catalog.histories() {
            let end = timeline::end(history, seals).map_err(|more| needs.0.extend(more.0));
            let times = history.snapshots.iter().map(|e| seen(e, seals).map(|time| (e, time)));
            let times: Vec<_> = times.filter_map(|time| time.map_err(|more| needs.0.extend(more.0)).ok()).collect();
            if let Ok(end) = end {
                let current = writing == Some(history.generation);
                lines.push(Line { history, snapshots: times, end, current });
            }
        }
        if !needs.0.is_empty() {
            return Err(needs);
        }
        let restorable = |line: &Line<'_>| !line.snapshots.is_empty();
        if let Some(newest) = lines.iter_mut().filter(|l| restorable(l)).max_by_key(|line| line.end) {
            newest.current = true;
        }
        Ok(Self(lines))
    }

    /// Tells of every object.
    pub fn all(&self, tell: &mut dyn FnMut(&Entry)) {
        self.0.iter().flat_map(|line| line.history.entries()).for_each(tell);
    }

    /// Tells of everything that is needed at `now`.
    pub fn needed(&self, now: Timestamp, everything: Duration, tiers: &[Tier], tell: &mut Tell<'_>) {
        let cut = before(now, everything);
        let holds_cut = |line: &&Line<'_>| line.begin() <= cut && cut <= line.end;
        // The state at the cut is the end of the generation before it, if none reaches across.
        let last_before = self.0.iter().filter(|line| line.end < cut && !line.snapshots.is_empty());
        let last_before = last_before.max_by_key(|line| line.end).map(|line| line.history.generation);
        let last_before = last_before.filter(|_| !self.0.iter().any(|line| holds_cut(&line)));
        for line in &self.0 {
            if line.current {
                line.newest(&mut |entry| tell(entry, Why::Current));
            }
            if line.end >= cut {
                line.since(cut, &mut |entry| tell(entry, Why::Everything));
            } else if last_before == Some(line.history.generation) {
                line.newest(&mut |entry| tell(entry, Why::Everything));
            }
            for (number, tier) in tiers.iter().enumerate() {
                line.tier(*tier, now, &mut |entry| tell(entry, Why::Tier(number)));
            }
        }
    }

    /// Tells of everything that `point` needs. False if not all of it is there.
    pub fn pinned(&self, point: &Pinned, tell: &mut dyn FnMut(&Entry)) -> bool {
        let Some(line) = self.0.iter().find(|line| line.history.generation == point.generation) else { return false };
        let (index, offset) = point.at;
        let Some(way) = line.way_to(index) else { return false };
        let within = segments_of(line.history, index);
        let within = &within[..within.partition_point(|e| e.name.offset() < offset)];
        if offset > Offset(0) && within.first().is_none_or(|first| first.name.offset() > Offset(0)) {
            return false;
        }
        way.into_iter().chain(within).for_each(tell);
        true
    }

    /// Whether the newest snapshot of the newest generation is older than `cut` although much came after it.
    pub fn wants_snapshot(&self, cut: Timestamp) -> bool {
        let newest = self.0.iter().max_by_key(|line| (line.current, line.end));
        newest.is_some_and(|line| match line.snapshots.last() {
            Some((entry, time)) => *time < cut && !line.history.segments_from(entry.name.index()).is_empty(),
            None => true,
        })
    }
}

impl<'h> Line<'h> {
    fn begin(&self) -> Timestamp {
        self.snapshots.first().map_or(Timestamp(u64::MAX), |(_, time)| *time)
    }

    /// The newest snapshot and everything after it; everything if there is none. If no segment comes after it, also the
    /// index before it: Litestream 0.3 restores no snapshot that lies more than one index behind the last segment.
    fn newest(&self, tell: &mut dyn FnMut(&Entry)) {
        let from = self.snapshots.last().map_or(Index::default(), |(entry, _)| entry.name.index());
        self.from(from, tell);
        let before = from.previous();
        if let Some(before) = before.filter(|_| self.history.segments_from(from).is_empty()) {
            segments_of(self.history, before).iter().for_each(tell);
        }
    }

    /// Everything that begins at `index` or after it.
    fn from(&self, index: Index, tell: &mut dyn FnMut(&Entry)) {
        self.history.entries().filter(|e| e.name.index() >= index).for_each(tell);
    }

    /// Every state from `cut` on: the way to the last state before it for which there is a short one, and all after.
    fn since(&self, cut: Timestamp, tell: &mut dyn FnMut(&Entry)) {
        let base = self.snapshots.iter().rfind(|(_, time)| *time <= cut).or(self.snapshots.first());
        let Some((base, _)) = base else { return self.newest(tell) };
        let base = base.name.index();
        let ends = self.range_ends().filter(|(index, time)| *index > base && *time <= cut);
        let begin = ends.map(|(index, _)| index).max().filter(|_| !self.is_newest(base));
        match begin.and_then(|begin| Some((begin, between(self.history, base, begin)?))) {
            Some((begin, way)) => {
                self.history.snapshots.iter().filter(|e| e.name.index() >= base).for_each(&mut *tell);
                way.into_iter().for_each(&mut *tell);
                self.from(begin, tell);
            }
            None => self.from(base, tell),
        }
    }

    fn is_newest(&self, snapshot: Index) -> bool {
        self.snapshots.last().is_some_and(|(newest, _)| newest.name.index() == snapshot)
    }

    /// The last state of each interval that can be reached without segments at its end.
    fn tier(&self, tier: Tier, now: Timestamp, tell: &mut dyn FnMut(&Entry)) {
        let every = u64::try_from(tier.every.as_millis()).unwrap_or(u64::MAX).max(1);
        let cut = before(now, tier.keep);
        let snapshots = self.snapshots.iter().map(|(entry, time)| (entry.name.index(), *time));
        let mut slots: BTreeMap<u64, (Timestamp, Index)> = BTreeMap::new();
        for (index, time) in snapshots.chain(self.range_ends()).filter(|(_, time)| cut <= *time && *time <= now) {
            if self.way_to(index).is_some() {
                let slot = slots.entry(time.0 / every).or_insert((time, index));
                *slot = (*slot).max((time, index));
            }
        }
        for (_, index) in slots.into_values() {
            self.way_to(index).into_iter().flatten().for_each(&mut *tell);
        }
    }

    fn range_ends(&self) -> impl Iterator<Item = (Index, Timestamp)> {
        let ranges = self.history.ranges.iter().filter_map(|e| e.name.range());
        ranges.map(|range| (range.to, range.time))
    }

    /// The newest snapshot at or before `index`, and the way from there to its beginning.
    fn way_to(&self, index: Index) -> Option<Vec<&'h Entry>> {
        let snapshot = self.history.snapshots.iter().rfind(|e| e.name.index() <= index)?;
        let mut way = between(self.history, snapshot.name.index(), index)?;
        way.push(snapshot);
        Some(way)
    }
}
