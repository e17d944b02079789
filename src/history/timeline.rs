//! From when to when a generation reaches.

use super::{Entry, History, NeedsSeals, Sealing, Seals, check_place};
use crate::types::Timestamp;

/// First and last instant that a generation knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// When the state of its first snapshot was seen.
    pub begin: Timestamp,
    /// When its last commit was seen.
    pub end: Timestamp,
}

impl Bounds {
    /// Whether `time` lies within.
    #[must_use]
    pub fn contain(&self, time: Timestamp) -> bool {
        (self.begin..=self.end).contains(&time)
    }
}

/// When the last commit of `history` was seen: what its last seal says, else the store's newest time.
///
/// # Errors
/// If the seal of its last object has not been read yet, or those that tell which one that is.
pub fn end(history: &History, seals: &Seals) -> Result<Timestamp, NeedsSeals> {
    let sealed = history.end(seals)?.map(|last| sealed_time(last, seals, Edge::Last)).transpose()?.flatten();
    Ok(sealed.or_else(|| history.entries().map(|e| e.modified).max()).unwrap_or_default())
}

/// From when to when `history` reaches.
///
/// # Errors
/// If the seals of its first and last object have not been read yet.
pub fn bounds(history: &History, seals: &Seals) -> Result<Bounds, NeedsSeals> {
    let mut needs = NeedsSeals(Vec::new());
    let first = history.first().and_then(|first| seals.of(&first.name).err());
    for more in [first, history.end(seals).err()].into_iter().flatten() {
        needs.0.extend(more.0);
    }
    needs.0.dedup();
    if !needs.0.is_empty() {
        return Err(needs);
    }
    let sealed = history.first().map(|first| sealed_time(first, seals, Edge::First)).transpose()?.flatten();
    let begin = sealed.or_else(|| history.entries().map(|e| e.modified).min()).unwrap_or_default();
    Ok(Bounds { begin, end: end(history, seals)? })
}

/// From when to when each of `histories` reaches.
///
/// # Errors
/// If seals have to be read first: all that are needed, at once.
pub fn all_bounds<'h>(
    histories: impl IntoIterator<Item = &'h History>,
    seals: &Seals,
) -> Result<Vec<(&'h History, Bounds)>, NeedsSeals> {
    let mut needs = NeedsSeals(Vec::new());
    let mut known = Vec::new();
    for history in histories {
        match bounds(history, seals) {
            Ok(bounds) => known.push((history, bounds)),
            Err(more) => needs.0.extend(more.0),
        }
    }
    if needs.0.is_empty() { Ok(known) } else { Err(needs) }
}

#[derive(Clone, Copy)]
enum Edge {
    First,
    Last,
}

fn sealed_time(entry: &Entry, seals: &Seals, edge: Edge) -> Result<Option<Timestamp>, NeedsSeals> {
    let Sealing::Sealed(seal) = seals.of(&entry.name)? else { return Ok(None) };
    if check_place(&entry.name, seal).is_err() {
        return Ok(None);
    }
    Ok(Some(match edge {
        Edge::First => seal.commits.first().map_or(seal.time, |c| c.time),
        Edge::Last => seal.time,
    }))
}
