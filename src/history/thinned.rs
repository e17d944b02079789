//! What retention leaves behind: where a history may stop although it goes on later. It is kept beside the replica, so
//! that a verification can tell what was removed on purpose from what is missing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ObjectName;
use super::retention::RetentionPlan;
use crate::types::{Generation, Index, Offset, Timestamp};

/// What retention has removed, as far as what it kept does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thinned {
    /// Every state that was seen after this was left alone.
    pub before: Timestamp,
    /// Deletion has begun, and has not been done to the end: anything older may be missing, or stand alone.
    pub deleting: bool,
    /// Where kept objects lead to and nothing leads on: at the beginning of this index, or within it.
    pub ends: BTreeMap<Generation, BTreeSet<Index>>,
    /// While deleting: the indexes from whose beginning something led on that is to be deleted.
    pub doomed: BTreeMap<Generation, BTreeSet<Index>>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    before_ms: u64,
    deleting: bool,
    ends: BTreeMap<String, BTreeSet<u32>>,
    #[serde(default)]
    doomed: BTreeMap<String, BTreeSet<u32>>,
}

const VERSION: u32 = 1;

impl Thinned {
    /// What is true while `plan` is being carried out, from where `self` was true to where `after` is. It may be broken
    /// off, and a later plan may keep what this one lets go, and has lost the way on from.
    #[must_use]
    pub fn during(&self, plan: &RetentionPlan, after: &Self) -> Self {
        let (mut ends, mut doomed) = (self.ends.clone(), self.doomed.clone());
        for (generation, more) in &after.ends {
            ends.entry(*generation).or_default().extend(more);
        }
        for name in plan.delete.iter().map(|entry| entry.name) {
            doomed.entry(name.generation()).or_default().extend(leaves(&name));
        }
        Self { before: self.before.max(after.before), deleting: true, ends, doomed }
    }

    /// What is true when `plan` has been carried out where `self` was true before. What was missing already without
    /// being known to be is missing afterwards too.
    #[must_use]
    pub fn after(&self, plan: &RetentionPlan) -> Self {
        let mut groups: BTreeMap<Generation, (BTreeSet<ObjectName>, BTreeSet<ObjectName>)> = BTreeMap::new();
        for name in plan.keep.keys() {
            groups.entry(name.generation()).or_default().0.insert(*name);
        }
        for entry in &plan.delete {
            // What is removed whole needs no word.
            if let Some((_, deleted)) = groups.get_mut(&entry.name.generation()) {
                deleted.insert(entry.name);
            }
        }
        let none = BTreeSet::new();
        let found = groups.iter().map(|(generation, (kept, deleted))| {
            let known = self.ends.get(generation).unwrap_or(&none);
            let doomed = self.doomed.get(generation).unwrap_or(&none);
            let left = left_from(deleted);
            let is_known = |index: &Index| [known, doomed, &left].iter().any(|indexes| indexes.contains(index));
            let ends = dead_ends(kept).into_iter().filter(is_known);
            (*generation, ends.chain(cut_short(kept, deleted, known)).collect::<BTreeSet<Index>>())
        });
        let ends = found.filter(|(_, ends)| !ends.is_empty()).collect();
        Self { before: plan.thinned_before, deleting: false, ends, doomed: BTreeMap::new() }
    }

    /// The object's bytes.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (ends, doomed) = (to_stored(&self.ends), to_stored(&self.doomed));
        let stored = Stored { version: VERSION, before_ms: self.before.0, deleting: self.deleting, ends, doomed };
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// Reads an object; `None` if it is none of ours, or of a later version.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(bytes).ok().filter(|stored: &Stored| stored.version == VERSION)?;
        let (ends, doomed) = (from_stored(stored.ends)?, from_stored(stored.doomed)?);
        Some(Self { before: Timestamp(stored.before_ms), deleting: stored.deleting, ends, doomed })
    }
}

fn to_stored(places: &BTreeMap<Generation, BTreeSet<Index>>) -> BTreeMap<String, BTreeSet<u32>> {
    places.iter().map(|(generation, all)| (generation.to_string(), all.iter().map(|i| i.get()).collect())).collect()
}

fn from_stored(stored: BTreeMap<String, BTreeSet<u32>>) -> Option<BTreeMap<Generation, BTreeSet<Index>>> {
    let read = stored.into_iter().map(|(generation, indexes)| {
        let indexes: Option<BTreeSet<Index>> = indexes.into_iter().map(Index::new).collect();
        Some((generation.parse().ok()?, indexes?))
    });
    read.collect()
}

/// Where an object leads to: the beginning of an index. Of the segments of an index, that of the next.
#[must_use]
pub fn leads_to(name: &ObjectName) -> Option<Index> {
    match *name {
        ObjectName::Snapshot(_, index) => Some(index),
        ObjectName::Segment(_, index, _) => index.next(),
        ObjectName::Range(_, range) => Some(range.to),
    }
}

/// The index from whose beginning an object leads on.
fn leaves(name: &ObjectName) -> Option<Index> {
    match *name {
        ObjectName::Segment(_, index, Offset(0)) => Some(index),
        ObjectName::Range(_, range) => Some(range.from),
        ObjectName::Snapshot(..) | ObjectName::Segment(..) => None,
    }
}

/// The indexes from whose beginning something leads on.
fn left_from(names: &BTreeSet<ObjectName>) -> BTreeSet<Index> {
    names.iter().filter_map(leaves).collect()
}

/// The indexes to which something leads, and from which nothing leads on although there is something later.
fn dead_ends(names: &BTreeSet<ObjectName>) -> BTreeSet<Index> {
    let (reached, left): (BTreeSet<Index>, _) = (names.iter().filter_map(leads_to).collect(), left_from(names));
    let last = reached.last().copied();
    reached.into_iter().filter(|index| Some(*index) < last && !left.contains(index)).collect()
}

/// The indexes of which the first segments are kept, and not all.
fn cut_short<'n>(
    kept: &'n BTreeSet<ObjectName>,
    deleted: &BTreeSet<ObjectName>,
    known: &'n BTreeSet<Index>,
) -> impl Iterator<Item = Index> + use<'n> {
    let segment = |name: &&ObjectName| matches!(name, ObjectName::Segment(..));
    let deleted: BTreeSet<Index> = deleted.iter().filter(segment).map(ObjectName::index).collect();
    let indexes = kept.iter().filter(segment).map(ObjectName::index);
    indexes.filter(move |index| deleted.contains(index) || known.contains(index))
}

#[cfg(test)]
mod tests;
