//! Deleting what a retention plan names, in its order, and making sure that it is gone.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use replica_backends::{Backend, Error};

use crate::history::keys::{GENERATIONS, RANGES};
use crate::history::retention::RetentionPlan;
use crate::history::{Entry, ObjectName};
use crate::types::Offset;

/// A store may delete what it is given at once in any order.
const BATCH: usize = 256;

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Objects deleted.
    pub objects: usize,
    /// Their size in the store.
    pub bytes: u64,
    /// The first failure; nothing is deleted after it.
    pub failure: Option<Error>,
    /// Objects that the store says it has deleted, and still lists.
    pub remaining: Vec<String>,
}

/// Deletes everything that `plan` names, and nothing else; then lists the replica to see whether it is gone.
///
/// # Errors
/// If the store cannot be listed afterwards.
pub async fn prune(backend: &dyn Backend, plan: &RetentionPlan) -> Result<Pruned, Error> {
    let mut pruned = Pruned::default();
    let mut gone: BTreeSet<String> = BTreeSet::new();
    'batches: for batch in batches(&plan.delete) {
        let keyed = batch.iter().filter_map(|entry| Some((entry.name.key()?, entry.stored_bytes)));
        let (keys, bytes): (Vec<String>, Vec<u64>) = keyed.unzip();
        for ((key, bytes), deleted) in keys.iter().zip(bytes).zip(backend.delete(&keys).await) {
            if let Err(error) = deleted {
                // What comes later in the order may be needed by what is still there.
                pruned.failure = Some(error);
                break 'batches;
            }
            (pruned.objects, pruned.bytes) = (pruned.objects + 1, pruned.bytes + bytes);
            gone.insert(key.clone());
        }
    }
    if gone.is_empty() {
        return Ok(pruned);
    }
    for folder in [GENERATIONS, RANGES] {
        let mut objects = backend.list(folder, None).await?;
        while let Some(object) = objects.try_next().await? {
            if gone.contains(&object.key) {
                pruned.remaining.push(object.key);
            }
        }
    }
    Ok(pruned)
}

/// Runs of objects that may be deleted in any order. The segment at offset 0 of an index, and a snapshot, wait for what
/// comes before them in the order.
fn batches(order: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    let mut rest = order;
    std::iter::from_fn(move || {
        let waits = |entry: &Entry| match entry.name {
            ObjectName::Snapshot(..) => true,
            ObjectName::Segment(_, _, offset) => offset == Offset(0),
            ObjectName::Range(..) => false,
        };
        let next = rest.iter().skip(1).take(BATCH - 1).position(waits).map(|at| at + 1);
        let (batch, behind) = rest.split_at(next.unwrap_or(BATCH.min(rest.len())));
        rest = behind;
        (!batch.is_empty()).then_some(batch)
    })
}
