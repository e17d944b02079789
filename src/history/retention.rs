//! What may be deleted: a plan as a value, made from a listing, a few seals, a policy and the time.
//!
//! What is kept is found first, and everything else may go. Kept is the path to every state that the policy names: the
//! snapshot before it, and merged ranges or segments from there. So what a kept state needs cannot be in the plan.

mod needed;
mod path;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::plan_error::check_place;
use super::{Catalog, Entry, History, NeedsSeals, ObjectName, Sealing, Seals, plan_key};
use crate::types::{Generation, Index, Offset, Timestamp};
use needed::Survey;

/// What is to stay restorable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Every state of this last while; `None`: every state there is.
    pub everything: Option<Duration>,
    /// Beyond that, some states of a longer while.
    pub tiers: Vec<Tier>,
    /// What is not needed any more is left alone for so long, for restores under way.
    pub grace: Duration,
    /// Nothing is ever deleted.
    pub append_only: bool,
}

/// One state in each interval, the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// The interval; more than 0.
    pub every: Duration,
    /// For how long.
    pub keep: Duration,
}

/// A position that somebody has given a name, and that stays restorable until the name is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The name.
    pub name: String,
    /// Its generation.
    pub generation: Generation,
    /// Its index and offset.
    pub at: (Index, Offset),
}

/// Why an object stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It is the newest snapshot of a generation that may still be written, or comes after it.
    Current,
    /// A state of the time in which every state is kept needs it.
    Everything,
    /// A state that a tier keeps needs it: the tier's number.
    Tier(usize),
    /// A named point needs it.
    Point(String),
    /// It was needed until a short while ago.
    Grace,
    /// The policy keeps everything for ever.
    Forever,
}

/// What is deleted, in which order, and why the rest stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionPlan {
    /// In the order in which they are to be deleted; see [`order`].
    pub delete: Vec<Entry>,
    /// What stays.
    pub keep: BTreeMap<ObjectName, (Why, u64)>,
    /// The newest snapshot of the newest generation is so old that with a newer one more could be deleted.
    pub wants_snapshot: bool,
    /// Named points whose objects are not all there.
    pub broken: Vec<String>,
    /// Every state that was seen after this stays.
    pub thinned_before: Timestamp,
}

/// Plans what may be deleted of a replica.
///
/// `writing` is the generation that is being written, if somebody knows. `now` is not believed if nothing in the
/// listing is as new: of two clocks the one that is behind deletes less.
///
/// # Errors
/// Which seals have to be read first: those of all snapshots, and of the last object of every generation.
pub fn plan_retention(
    catalog: &Catalog,
    seals: &Seals,
    points: &[Pinned],
    policy: &Policy,
    writing: Option<Generation>,
    now: Timestamp,
) -> Result<RetentionPlan, NeedsSeals> {
    let survey = Survey::of(catalog, seals, writing)?;
    let newest = catalog.histories().flat_map(History::entries).map(|e| e.modified).max().unwrap_or_default();
    let now = now.min(newest);
    let mut keep = BTreeMap::new();
    let mut broken = Vec::new();
    let mut thinned_before = Timestamp::default();
    match policy.everything.filter(|_| !policy.append_only) {
        None => survey.all(&mut |entry| note(&mut keep, entry, &Why::Forever)),
        Some(everything) => {
            survey.needed(now, everything, &policy.tiers, &mut |entry, why| note(&mut keep, entry, &why));
            for point in points {
                let found = survey.pinned(point, &mut |entry| note(&mut keep, entry, &Why::Point(point.name.clone())));
                if !found {
                    broken.push(point.name.clone());
                }
            }
            let earlier = before(now, policy.grace);
            survey.needed(earlier, everything, &policy.tiers, &mut |entry, _| note(&mut keep, entry, &Why::Grace));
            thinned_before = before(earlier, everything);
        }
    }
    let mut delete: Vec<Entry> =
        catalog.histories().flat_map(History::entries).filter(|e| !keep.contains_key(&e.name)).copied().collect();
    delete.sort_by_key(|entry| order(&entry.name));
    let wants_snapshot = policy.everything.is_some_and(|everything| survey.wants_snapshot(before(now, everything)));
    let wants_snapshot = wants_snapshot && !policy.append_only;
    Ok(RetentionPlan { delete, keep, wants_snapshot, broken, thinned_before })
}

/// The first reason stays.
fn note(keep: &mut BTreeMap<ObjectName, (Why, u64)>, entry: &Entry, why: &Why) {
    keep.entry(entry.name).or_insert_with(|| (why.clone(), entry.stored_bytes));
}

fn before(now: Timestamp, span: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}

/// The order of deletion: generation by generation, first the merged ranges, which are shortcuts only, then the rest
/// from the newest to the oldest.
///
/// Killed at any moment, this leaves of every doomed stretch its snapshot with an unbroken run behind it, so that what
/// is still there can still be restored. And the segment at offset 0 of an index goes last of that index: without it
/// Litestream 0.3 refuses every restore from the generation.
#[must_use]
pub fn order(name: &ObjectName) -> (Generation, bool, std::cmp::Reverse<ObjectName>) {
    (name.generation(), name.range().is_none(), std::cmp::Reverse(*name))
}

/// When the state at the beginning of `entry` was seen: what its seal says, else what the store says.
fn seen(entry: &Entry, seals: &Seals) -> Result<Timestamp, NeedsSeals> {
    Ok(match seals.of(&entry.name)? {
        Sealing::Sealed(seal) if check_place(&entry.name, seal).is_ok() => seal.time,
        _ => entry.modified,
    })
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("newest snapshot and everything after it"),
            Self::Everything => f.write_str("within the retention"),
            Self::Tier(number) => write!(f, "tier {}", number + 1),
            Self::Point(name) => write!(f, "point {name}"),
            Self::Grace => f.write_str("needed until a short while ago"),
            Self::Forever => f.write_str("everything is kept"),
        }
    }
}

impl fmt::Display for RetentionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kept: BTreeMap<(Generation, &Why), (usize, u64)> = BTreeMap::new();
        for (name, (why, bytes)) in &self.keep {
            let sum = kept.entry((name.generation(), why)).or_default();
            *sum = (sum.0 + 1, sum.1 + bytes);
        }
        for ((generation, why), (objects, bytes)) in kept {
            writeln!(f, "keep    {generation}  {objects} objects, {bytes} bytes: {why}")?;
        }
        for name in &self.broken {
            writeln!(f, "broken  point {name}: not everything that it needs is there")?;
        }
        for entry in &self.delete {
            writeln!(f, "delete  {}  ({} bytes)", plan_key(&entry.name), entry.stored_bytes)?;
        }
        if self.wants_snapshot {
            writeln!(f, "wants   a new snapshot: with one, more could be deleted after the retention")?;
        }
        let bytes: u64 = self.delete.iter().map(|e| e.stored_bytes).sum();
        write!(f, "deletes {} of {} objects, {bytes} bytes", self.delete.len(), self.delete.len() + self.keep.len())
    }
}

#[cfg(test)]
mod tests;
