//! A history is checked piece by piece, so that what is merged or removed meanwhile costs one piece and not all. What
//! is known at the end of a piece is kept; where objects change all the time, at the very end, a piece is read until it
//! holds still.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use replica_backends::{ByteRange, ErrorKind, Operation, read};
use tokio::sync::mpsc;

use super::chunk::{Chunk, Listing};
use super::suspicion::{READS, Suspicion};
use super::walk::Walk;
use super::{Checked, Comparison, LiveState, VerifyError};
use crate::history::keys::{RETENTION, generation_folder, ranges};
use crate::history::{Catalog, ObjectName, Sealing, Thinned, plan_key};
use crate::host;
use crate::restore::{ARRIVALS_AHEAD, Progress, Source, fetch};
use crate::types::{Generation, Index};

/// Before something is read again: at first, and twice as long each time.
const PAUSE: Duration = Duration::from_millis(2);

/// One generation, while it is being verified.
struct Stages<'s> {
    source: &'s Source,
    generation: Generation,
    sealed: bool,
    parallelism: usize,
    progress: &'s dyn Progress,
}

/// Verifies everything that `generation` held when `source` was listed, and looks for `live` in it.
///
/// # Errors
/// If an object cannot be read; one that is damaged is a finding, not an error.
pub async fn verify_generation(
    source: &Source,
    generation: Generation,
    live: Option<LiveState>,
    parallelism: usize,
    progress: &dyn Progress,
) -> Result<Checked, VerifyError> {
    let history = source.catalog.history(generation);
    let is_sealed = |name: &ObjectName| matches!(source.seals.of(name), Ok(Sealing::Sealed(_) | Sealing::Damaged(_)));
    let sealed = history.is_some_and(|h| h.entries().any(|entry| is_sealed(&entry.name)));
    let stages = Stages { source, generation, sealed, parallelism, progress };
    let mut listing = Listing::new(generation, history, &stages.thinned().await?, sealed);
    progress.begin(listing.stored_bytes());
    let goal = listing.last();
    let mut walk = Walk::new(generation, live);
    let mut from = Some(Index::default());
    while let Some(index) = from.filter(|index| Some(*index) <= goal) {
        (walk, from) = stages.settle(walk, index, &mut listing).await?;
    }
    let mut checked = walk.finish();
    // Twice: retention may have been at work.
    let mut unreached = listing.unreached();
    if !unreached.is_empty() {
        let again = stages.list().await?.unreached();
        unreached.retain(|index| again.contains(index));
    }
    for index in unreached {
        let snapshot = plan_key(&ObjectName::Snapshot(generation, index));
        checked
            .fault(snapshot, &"retention has kept what leads there, and it is missing: this, or what comes before it");
    }
    Ok(checked)
}

impl Stages<'_> {
    /// Checks the piece that begins with `index`. Returns where the next one begins.
    async fn settle(
        &self,
        walk: Walk,
        index: Index,
        listing: &mut Listing,
    ) -> Result<(Walk, Option<Index>), VerifyError> {
        let mut last: Option<Suspicion> = None;
        let mut outdated = None;
        for read in 0..READS {
            let mut chunk = listing.chunk(index);
            // What is at the end has changed since the listing, or is about to.
            if read > 0 || chunk.next.is_none() {
                *listing = self.list().await?;
                chunk = listing.chunk(index);
            }
            let next = chunk.next;
            let walked = match self.pass(walk.clone(), chunk).await {
                Err(error) if error.is_outdated() => {
                    outdated = Some(error);
                    tokio::time::sleep(PAUSE * (1 << read)).await;
                    continue;
                }
                walked => walked?,
            };
            let found = suspicion(&walk, &walked);
            let common = last.as_ref().map(|last| found.common(last));
            if found.is_empty() {
                return Ok((walked, next));
            }
            if let Some(common) = common.filter(|common| !common.is_empty()) {
                return Ok((accused(&walk, walked, common), next));
            }
            last = Some(found);
            tokio::time::sleep(PAUSE * (1 << read)).await;
        }
        Err(outdated.filter(|_| last.is_none()).unwrap_or_else(|| VerifyError::Restless(self.generation.to_string())))
    }

    async fn pass(&self, walk: Walk, chunk: Chunk) -> Result<Walk, VerifyError> {
        let (out, arrivals) = mpsc::channel(ARRIVALS_AHEAD);
        let objects = chunk.objects.clone();
        let walking = host::receiving(move || walk.run(chunk, arrivals));
        let backend = Arc::clone(&self.source.backend);
        let fetching = fetch::fetch(backend, objects, self.parallelism, self.progress, out);
        let (fetched, walked) = tokio::join!(fetching, walking);
        fetched?;
        walked.unwrap_or_else(|panic| Err(VerifyError::Interrupted(self.generation.to_string(), panic.to_string())))
    }

    async fn list(&self) -> Result<Listing, VerifyError> {
        let mut objects = Vec::new();
        for folder in [generation_folder(self.generation), ranges(self.generation)] {
            objects.extend(self.source.backend.list(&folder, None).await?.try_collect::<Vec<_>>().await?);
        }
        let catalog = Catalog::from_listing(objects);
        if catalog.is_empty() {
            let (gone, location) = ("everything has been removed", self.source.backend.location());
            let folder = generation_folder(self.generation);
            return Err(
                replica_backends::Error::new(ErrorKind::NotFound, Operation::List, &folder, location, gone).into()
            );
        }
        let thinned = self.thinned().await?;
        Ok(Listing::new(self.generation, catalog.history(self.generation), &thinned, self.sealed))
    }

    /// What retention has removed. Read behind the listing: what is removed is written down first.
    async fn thinned(&self) -> Result<Thinned, VerifyError> {
        match read(self.source.backend.as_ref(), RETENTION, ByteRange::All).await {
            Ok(bytes) => Ok(Thinned::from_json(&bytes).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Thinned::default()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What this piece has added.
fn suspicion(before: &Walk, after: &Walk) -> Suspicion {
    let diverged = |walk: &Walk| matches!(walk.checked.comparison, Comparison::Diverged(_));
    let new = diverged(after) && !diverged(before);
    Suspicion {
        faults: after.checked.faults[before.checked.faults.len()..].to_vec(),
        diverged: new.then_some(after.checked.comparison),
    }
}

/// `after`, with those findings only that were made twice.
fn accused(before: &Walk, mut after: Walk, found: Suspicion) -> Walk {
    after.checked.faults.truncate(before.checked.faults.len());
    after.checked.faults.extend(found.faults);
    if matches!(after.checked.comparison, Comparison::Diverged(_)) && found.diverged.is_none() {
        after.checked.comparison = before.checked.comparison;
    }
    after
}
