//! The objects of a history in the order in which they are checked, and cut where nothing changes any more.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Entry, History, ObjectName, PlannedObject, Thinned, leads_to};
use crate::types::{Generation, Index, Offset, Timestamp};

/// So many objects are checked before what was found is kept, unless a single index has more.
const OBJECTS: usize = 256;

/// What one listing says of a generation.
#[derive(Debug, Clone)]
pub struct Listing {
    /// In the order of [`place`].
    entries: Vec<Entry>,
    context: Context,
}

/// What has to be known of a history beside its objects.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Where merged ranges begin, and where the last one from there ends.
    pub ranges: BTreeMap<Index, Index>,
    /// Where retention has made the history end.
    pub ends: BTreeSet<Index>,
    /// What was seen up to then may be missing: retention is deleting.
    pub deleting_before: Option<Timestamp>,
    /// The indexes before snapshots, of which retention may have kept one for Litestream alone.
    pub before_snapshots: BTreeSet<Index>,
    /// Whether some object is known to have a seal.
    pub sealed: bool,
}

/// Some neighbours.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// In their order.
    pub objects: Vec<PlannedObject>,
    /// The first index of the next one; `None` if this is the last.
    pub next: Option<Index>,
    /// What else is known.
    pub context: Context,
}

impl Listing {
    /// Of `history`, which may have vanished, and what retention says of it.
    pub fn new(generation: Generation, history: Option<&History>, thinned: &Thinned, sealed: bool) -> Self {
        let mut entries: Vec<Entry> = history.into_iter().flat_map(History::entries).copied().collect();
        entries.sort_by_key(|entry| place(&entry.name));
        let mut ranges = BTreeMap::new();
        for range in entries.iter().filter_map(|entry| entry.name.range()) {
            let last = ranges.entry(range.from).or_insert(range.to);
            *last = range.to.max(*last);
        }
        let ends = thinned.ends.get(&generation).cloned().unwrap_or_default();
        let deleting_before = thinned.deleting.then_some(thinned.before);
        let snapshots = history.filter(|_| *thinned != Thinned::default()).into_iter().flat_map(|h| &h.snapshots);
        let before_snapshots = snapshots.filter_map(|e| e.name.index().previous()).collect();
        Self { entries, context: Context { ranges, ends, deleting_before, before_snapshots, sealed } }
    }

    /// Where the last object stands.
    pub fn last(&self) -> Option<Index> {
        self.entries.last().map(|entry| standing(&entry.name))
    }

    /// The places to which, as retention has written down, something leads, and nothing does.
    pub fn unreached(&self) -> BTreeSet<Index> {
        if self.context.deleting_before.is_some() {
            return BTreeSet::new();
        }
        let reached = |name: &ObjectName| match name {
            ObjectName::Segment(..) => [leads_to(name), Some(name.index())],
            _ => [leads_to(name), None],
        };
        let reached: BTreeSet<Index> = self.entries.iter().flat_map(|e| reached(&e.name)).flatten().collect();
        self.context.ends.difference(&reached).copied().collect()
    }

    /// What is to be fetched, in bytes.
    pub fn stored_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.stored_bytes).sum()
    }

    /// The next objects from the beginning of index `from` on. Segments of the last two indexes may be merged at any
    /// moment, so these come by themselves.
    pub fn chunk(&self, from: Index) -> Chunk {
        let at = |entry: &Entry| standing(&entry.name);
        let rest = &self.entries[self.entries.partition_point(|entry| at(entry) < from)..];
        let settled = self.last().and_then(Index::previous);
        let settled = settled.map_or(0, |settled| rest.partition_point(|entry| at(entry) < settled));
        let last_of = |count: usize| {
            let index = at(&rest[count - 1]);
            rest.partition_point(|entry| at(entry) <= index)
        };
        let count = if settled == 0 { rest.len() } else { last_of(settled.min(OBJECTS)) };
        let objects = rest[..count].iter();
        let planned = |e: &Entry| PlannedObject { name: e.name, stored_bytes: e.stored_bytes, seal: None };
        let next = (settled > 0).then(|| rest.get(count).map(at)).flatten();
        Chunk { objects: objects.map(planned).collect(), next, context: self.context.clone() }
    }
}

/// The index at which an object stands in that order.
pub fn standing(name: &ObjectName) -> Index {
    place(name).0
}

/// Where an object stands: a merged range at its end, before everything that begins there; a snapshot before the first
/// segment of its index.
fn place(name: &ObjectName) -> (Index, Offset, u8, ObjectName) {
    match *name {
        ObjectName::Range(_, range) => (range.to, Offset(0), 0, *name),
        ObjectName::Snapshot(_, index) => (index, Offset(0), 1, *name),
        ObjectName::Segment(_, index, offset) => (index, offset, 2, *name),
    }
}
