//! What a listing says is there: snapshots, segments and merged ranges, generation by generation.

use std::collections::BTreeMap;

use replica_backends::ObjectMeta;

use super::ObjectName;
use crate::types::{Generation, Index, Timestamp};

/// An object of a replica, as its listing shows it. Nothing in it is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What its name says.
    pub name: ObjectName,
    /// Size in the store, in bytes.
    pub stored_bytes: u64,
    /// When the store says it was written.
    pub modified: Timestamp,
}

/// The objects of one generation. Invariant: all lists ascend strictly by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Whose objects these are.
    pub generation: Generation,
    /// By index.
    pub snapshots: Vec<Entry>,
    /// By index, then offset.
    pub segments: Vec<Entry>,
    /// Merged ranges, by the index in which they begin, then by that in which they end.
    pub ranges: Vec<Entry>,
}

impl History {
    /// Nothing yet.
    #[must_use]
    pub fn new(generation: Generation) -> Self {
        Self { generation, snapshots: Vec::new(), segments: Vec::new(), ranges: Vec::new() }
    }

    /// All objects: snapshots, then segments, then ranges.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.snapshots.iter().chain(&self.segments).chain(&self.ranges)
    }

    /// The object called `name`.
    #[must_use]
    pub fn entry(&self, name: &ObjectName) -> Option<&Entry> {
        let list = match name {
            ObjectName::Snapshot(..) => &self.snapshots,
            ObjectName::Segment(..) => &self.segments,
            ObjectName::Range(..) => &self.ranges,
        };
        list.binary_search_by_key(name, |e| e.name).ok().map(|at| &list[at])
    }

    /// The snapshot or segment that stands first in the history.
    #[must_use]
    pub fn first(&self) -> Option<&Entry> {
        [self.snapshots.first(), self.segments.first()].into_iter().flatten().min_by_key(|e| e.name)
    }

    /// The object that stands last in the history: the last segment, or a snapshot of a later index. A range ends where
    /// a segment or a snapshot ends too.
    #[must_use]
    pub fn last(&self) -> Option<&Entry> {
        [self.snapshots.last(), self.segments.last()].into_iter().flatten().max_by_key(|e| e.name)
    }

    /// The segments of `index` and of all indexes after it.
    #[must_use]
    pub fn segments_from(&self, index: Index) -> &[Entry] {
        let start = self.segments.partition_point(|e| e.name.index() < index);
        &self.segments[start..]
    }
}

/// All generations of a replica that have at least one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    histories: BTreeMap<Generation, History>,
}

impl Catalog {
    /// Sorts a listing, whatever its order; other files are ignored, and so are ranges of a generation of which nothing
    /// else is left.
    pub fn from_listing(listing: impl IntoIterator<Item = ObjectMeta>) -> Self {
        let known = |meta: ObjectMeta| {
            let name = ObjectName::parse(&meta.key)?;
            Some((name, Entry { name, stored_bytes: meta.size, modified: meta.modified.into() }))
        };
        let entries: BTreeMap<ObjectName, Entry> = listing.into_iter().filter_map(known).collect();
        let mut catalog = Self::default();
        for (name, entry) in entries {
            let generation = name.generation();
            let history = catalog.histories.entry(generation).or_insert_with(|| History::new(generation));
            match name {
                ObjectName::Snapshot(..) => history.snapshots.push(entry),
                ObjectName::Segment(..) => history.segments.push(entry),
                ObjectName::Range(..) => history.ranges.push(entry),
            }
        }
        // Ranges alone restore nothing: their generation has been removed.
        catalog.histories.retain(|_, history| history.first().is_some());
        catalog
    }

    /// By generation, in the order of their names (which is not the order of time).
    pub fn histories(&self) -> impl Iterator<Item = &History> {
        self.histories.values()
    }

    /// The objects of `generation`.
    #[must_use]
    pub fn history(&self, generation: Generation) -> Option<&History> {
        self.histories.get(&generation)
    }

    /// Whether there is no snapshot and no segment at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.histories.is_empty()
    }
}
