//! Deleting what a retention plan names, in its order, and making sure that it is gone.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use fault_points::fault_point;
use futures::TryStreamExt;
use replica_backends::{Backend, ByteRange, Error, ErrorKind, read};

use crate::history::keys::{GENERATIONS, RANGES, RETENTION};
use crate::history::retention::RetentionPlan;
use crate::history::{Entry, ObjectName, Thinned};
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

impl Pruned {
    /// Whether everything is gone that was to be deleted.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failure.is_none() && self.remaining.is_empty()
    }
}

impl fmt::Display for Pruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} objects deleted, {} bytes", self.objects, self.bytes)?;
        if let Some(error) = &self.failure {
            write!(f, "; then it failed: {error}")?;
        }
        match self.remaining.first() {
            Some(first) => {
                write!(f, "; the store says so, but still lists {} of them, such as {first}", self.remaining.len())
            }
            None => Ok(()),
        }
    }
}

/// Deletes everything that `plan` names, and nothing else; then lists the replica to see whether it is gone. What is
/// removed is written down before and afterwards, so that nobody takes it for damage.
///
/// # Errors
/// If that cannot be written, or the store cannot be listed afterwards.
pub async fn prune(backend: &dyn Backend, plan: &RetentionPlan) -> Result<Pruned, Error> {
    let mut pruned = Pruned::default();
    if plan.delete.is_empty() {
        return Ok(pruned);
    }
    let before = read_thinned(backend).await?;
    let after = before.after(plan);
    fault_point!("retention-planned");
    write_thinned(backend, &before.during(plan, &after)).await?;
    fault_point!("retention-announced");
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
        fault_point!("retention-deleting");
    }
    fault_point!("retention-deleted");
    if pruned.failure.is_none() {
        write_thinned(backend, &after).await?;
        fault_point!("retention-noted");
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

async fn read_thinned(backend: &dyn Backend) -> Result<Thinned, Error> {
    match read(backend, RETENTION, ByteRange::All).await {
        Ok(body) => Ok(Thinned::from_json(&body).unwrap_or_default()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Thinned::default()),
        Err(error) => Err(error),
    }
}

async fn write_thinned(backend: &dyn Backend, thinned: &Thinned) -> Result<(), Error> {
    backend.put_over(RETENTION, Bytes::from(thinned.to_json()).into()).await.map(|_| ())
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
