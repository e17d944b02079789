//! What a replica can restore: from when to when, how finely, and at what cost.

use super::source::Source;
use crate::history::ltx::{LtxStop, LtxTarget, plan_ltx};
use crate::history::{Bounds, Entry, History, NeedsSeals, ObjectName, PlanStop, Run, Target, plan, runs};
use crate::segment::Seal;
use crate::types::{Generation, Offset, Timestamp};

/// What can be restored between two known states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// Every commit: Lightship wrote the history.
    Commit,
    /// Every segment: Litestream 0.3 wrote it.
    Segment,
    /// Every file: Litestream 0.5 wrote it.
    File,
    /// Nothing: there is no snapshot.
    Nothing,
}

/// A stretch of time of which not every state can be restored any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The last state before it.
    pub from: Timestamp,
    /// The first state after it.
    pub to: Timestamp,
    /// The states within that are kept, ascending.
    pub kept: Vec<Timestamp>,
}

/// What restoring the latest state takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Objects to fetch.
    pub objects: u64,
    /// Their size in the store.
    pub stored_bytes: u64,
}

/// What can be restored of one history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// The generation; `None` for the files of Litestream 0.5.
    pub generation: Option<Generation>,
    /// The first state that can be restored.
    pub earliest: Option<Timestamp>,
    /// The last one.
    pub latest: Timestamp,
    /// How finely.
    pub granularity: Granularity,
    /// Where less than that can be restored, ascending.
    pub gaps: Vec<Gap>,
    /// Size of everything in the store.
    pub stored_bytes: u64,
    /// `None` if the latest state cannot be restored.
    pub cost: Option<Cost>,
    /// Why the history begins where it does.
    pub reason: Option<String>,
}

/// What the first segment behind `snapshot` would be called.
fn first_of(snapshot: &Entry) -> ObjectName {
    ObjectName::Segment(snapshot.name.generation(), snapshot.name.index(), Offset(0))
}

impl Source {
    /// What can be restored of each history, by the time at which it begins.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn extents(&mut self) -> replica_backends::Result<Vec<Extent>> {
        let mut extents = Vec::new();
        extents.extend(self.ltx_extent().await?);
        for (generation, bounds) in self.bounds(None).await? {
            if let Some(history) = self.catalog.history(generation).cloned() {
                extents.push(self.extent(&history, bounds).await?);
            }
        }
        extents.sort_by_key(|extent| (extent.earliest.unwrap_or_default(), extent.latest));
        Ok(extents)
    }

    async fn extent(&mut self, history: &History, bounds: Bounds) -> replica_backends::Result<Extent> {
        let runs = self.runs(history).await?;
        let sealed = history.last().is_some_and(|last| self.seals.known(&last.name).is_some());
        let origin = runs.first().and_then(|run| self.seals.known(&run.first.name));
        Ok(Extent {
            generation: Some(history.generation),
            earliest: runs.first().map(|run| self.seen(run.first)),
            latest: bounds.end,
            granularity: match runs.is_empty() {
                true => Granularity::Nothing,
                false if sealed => Granularity::Commit,
                false => Granularity::Segment,
            },
            gaps: runs.windows(2).map(|pair| self.gap(history, pair)).collect(),
            stored_bytes: history.entries().map(|e| e.stored_bytes).sum(),
            reason: origin.map(|seal| seal.reason.clone()).filter(|reason| !reason.is_empty()),
            cost: self.cost(history).await?,
        })
    }

    /// The stretches of `history` without a gap: as its names tell, and the ends that say that a gap follows.
    async fn runs<'h>(&mut self, history: &'h History) -> replica_backends::Result<Vec<Run<'h>>> {
        let mut runs = runs(history);
        let before = |snapshot: &Entry| {
            let end = history.segments.partition_point(|e| e.name < first_of(snapshot));
            &history.segments[end.saturating_sub(2)..end]
        };
        let mut wanted: Vec<_> = history.snapshots.iter().flat_map(before).map(|entry| entry.name).collect();
        wanted.extend(runs.iter().flat_map(|run| [run.first.name, run.last.name]));
        wanted.retain(|name| self.seals.of(name).is_err());
        self.learn(&NeedsSeals(wanted)).await?;
        for snapshot in &history.snapshots {
            // Of two, the second stands there for Litestream only.
            let gaps: Vec<&Entry> =
                before(snapshot).iter().filter(|e| self.seals.known(&e.name).is_some_and(Seal::is_gap)).collect();
            let (last, ends) = (gaps.first().copied(), !gaps.is_empty());
            let within = |run: &&mut Run<'_>| run.first.name < snapshot.name && run.last.name >= snapshot.name;
            if let (Some(last), true) = (last, ends)
                && let Some(run) = runs.iter_mut().rfind(within)
            {
                let later = Run { first: snapshot, last: run.last };
                run.last = last;
                runs.push(later);
                runs.sort_by_key(|run| run.first.name);
            }
        }
        Ok(runs)
    }

    /// When the state at the end of `entry` was seen: what its seal says, else what the store says.
    fn seen(&self, entry: &Entry) -> Timestamp {
        self.seals.known(&entry.name).map_or(entry.modified, |seal| seal.time)
    }

    /// What lies between two runs, and the states that merged ranges lead to there.
    fn gap(&self, history: &History, pair: &[Run<'_>]) -> Gap {
        let (last, first) = (pair[0].last, pair[1].first);
        let (from, to) = (last.name.index(), first.name.index());
        let ends = history.ranges.iter().filter_map(|e| e.name.range());
        let mut kept: Vec<_> = ends.filter(|r| r.to > from && r.to < to).map(|range| range.time).collect();
        kept.sort_unstable();
        kept.dedup();
        Gap { from: self.seen(last), to: self.seen(first), kept }
    }

    async fn cost(&mut self, history: &History) -> replica_backends::Result<Option<Cost>> {
        loop {
            match plan(history, &self.seals, Target::Latest) {
                Ok(plan) => {
                    let (objects, stored_bytes) = (plan.objects().count() as u64, plan.stored_bytes());
                    return Ok(Some(Cost { objects, stored_bytes }));
                }
                Err(PlanStop::Fault(_)) => return Ok(None),
                Err(PlanStop::Needs(needs)) => self.learn(&needs).await?,
            }
        }
    }

    async fn ltx_extent(&mut self) -> replica_backends::Result<Option<Extent>> {
        let Some(bounds) = self.ltx.bounds().await? else { return Ok(None) };
        let cost = loop {
            match plan_ltx(&self.ltx.catalog, &self.ltx.times, LtxTarget::Latest) {
                Ok(plan) => {
                    let (objects, stored_bytes) = (plan.files.len() as u64, plan.stored_bytes());
                    break Some(Cost { objects, stored_bytes });
                }
                Err(LtxStop::Fault(_)) => break None,
                Err(LtxStop::Needs(needs)) => self.ltx.learn(&needs).await?,
            }
        };
        let is_restorable = self.ltx.catalog.oldest_whole().is_some();
        Ok(Some(Extent {
            generation: None,
            earliest: is_restorable.then_some(bounds.begin),
            latest: bounds.end,
            granularity: if is_restorable { Granularity::File } else { Granularity::Nothing },
            gaps: Vec::new(),
            stored_bytes: self.ltx.catalog.entries().iter().map(|e| e.stored_bytes).sum(),
            cost,
            reason: None,
        }))
    }
}
