//! Small segments become larger ones: the same bytes, fewer objects.
//!
//! What was shipped a moment ago is still in memory, so nothing is read back from the store. The merged object takes
//! the place of the first of its segments; then the others are deleted, the last one last, so that the object that
//! stands last always tells where the history ends. In between, a reader finds segments that the merged object covers.
//! Litestream appends them blindly; behind the end of an index that is harmless, because their checksums do not fit
//! there. In the index that is still growing, therefore, only segments up to its very end are merged, nothing is
//! shipped meanwhile, and what an interruption left is removed as soon as the store can ([`clear_leftovers`]). A store
//! that refuses deletions is recognised before anything is put.
//! Where requests are paid for, what was merged of two finished indexes is deleted by one.
//!
//! Invariant: an object is replaced only by one that holds it. So what a merged object covers may be deleted by anybody
//! who has seen it, however late; and a merge that cannot be finished is not undone.

use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fault_points::fault_point;
use replica_backends::{Backend, Error, ErrorKind};
use tokio::task::{JoinError, JoinSet};

use super::Shipper;
use super::leftovers::clear_leftovers;
use crate::history::{ObjectName, keys};
use crate::host;
use crate::segment;
use crate::types::{Generation, Index};

/// So many neighbours of about the same number of segments are merged while their index grows: every byte is written
/// once more for each power of this in the number of segments.
const FAN_IN: usize = 6;
/// Data that is kept in memory of one index. Larger indexes go out in larger segments.
const KEPT_RAW_BYTES: u64 = 4 << 20;
/// Segments with more data than this on average stay as they are: an object more for so much costs less than to write
/// it again.
const SMALL_RAW_BYTES: u64 = 128 << 10;
/// The segments of so many finished indexes are deleted together where requests are paid for.
pub(super) const DELETED_TOGETHER: usize = 2;
/// Leftovers that could not be removed are looked for again after so long: it takes a request for each object.
const CLEAR_AGAIN: Duration = Duration::from_secs(10);

/// An object of the replica, as it was put.
#[derive(Debug, Clone)]
struct Part {
    name: ObjectName,
    bytes: Bytes,
    raw_bytes: u64,
    /// Of how many segments it was made.
    segments: u64,
    /// How often it has been merged.
    tier: u32,
}

/// Whether to make one object of `parts`.
fn is_worth_it(parts: &[Part]) -> bool {
    let (raw_bytes, segments) = parts.iter().fold((0, 0), |sum, part| (sum.0 + part.raw_bytes, sum.1 + part.segments));
    parts.len() > 1 && raw_bytes <= SMALL_RAW_BYTES * segments
}

/// The last objects of the index that is being shipped, without a hole between them.
#[derive(Debug, Default)]
struct Run {
    parts: Vec<Part>,
}

/// When the segments of an index are merged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Merging {
    /// Never.
    #[default]
    Never,
    /// When it is finished, which takes two requests: for stores where requests are paid for. A restore reads the
    /// segments of the last index one by one.
    Finished,
    /// Also while it grows, which takes half as many requests again as the segments did, and keeps it at few objects.
    Growing,
}

/// Where the history ends that segments belong to which are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With them.
    Here,
    /// In a later index, of which something has been put.
    Later,
}

/// An index in which there may be segments that a merged one covers.
#[derive(Debug, Clone, Copy)]
struct Unclean {
    generation: Generation,
    index: Index,
    /// When they are to be looked for.
    due: Instant,
}

/// What one replica's shipper keeps for merging.
#[derive(Debug, Default)]
pub struct Merges {
    /// `Never` also if the replica refuses.
    merging: Merging,
    run: Run,
    /// Of indexes that are finished.
    finished: Vec<Run>,
    /// A deletion has been answered, so deletions are allowed.
    may_delete: bool,
    /// What an attempt to merge may have left.
    unclean: Option<Unclean>,
    /// Segments of finished indexes that are merged, and not deleted yet; one entry an index.
    covered: Vec<Vec<String>>,
    /// Merges of finished indexes, and deletions; with the segments that are still to be deleted.
    tasks: JoinSet<Result<Vec<String>, NotMerged>>,
}

impl Merges {
    /// Nothing is kept yet.
    #[must_use]
    pub fn new(merging: Merging) -> Self {
        Self { merging, ..Self::default() }
    }

    /// When small segments become larger ones.
    pub(super) fn merging(&self) -> Merging {
        self.merging
    }

    /// Takes note of how a task has ended.
    fn note(&mut self, done: Result<Result<Vec<String>, NotMerged>, JoinError>) {
        match done {
            Ok(Ok(covered)) if !covered.is_empty() => self.covered.push(covered),
            // What cannot be merged or deleted now is left as it is; behind the end of an index leftovers do no harm.
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(not)) => {
                if not.is_refused {
                    self.merging = Merging::Never;
                }
                self.unclean = not.unclean.or(self.unclean);
            }
        }
    }

    /// Takes note of a segment that has been put; `bytes` is `None` if it is not known byte by byte.
    fn add(&mut self, name: ObjectName, raw_bytes: u64, bytes: Option<Bytes>) {
        let same = |part: &Part| (part.name.generation(), part.name.index()) == (name.generation(), name.index());
        if !self.run.parts.last().is_none_or(same) {
            let run = std::mem::take(&mut self.run);
            if is_worth_it(&run.parts) {
                self.finished.push(run);
            }
        }
        match bytes.filter(|_| self.merging != Merging::Never && raw_bytes <= KEPT_RAW_BYTES) {
            Some(bytes) => self.run.push(Part { name, bytes, raw_bytes, segments: 1, tier: 0 }),
            None => self.run = Run::default(),
        }
    }
}

impl Run {
    fn push(&mut self, part: Part) {
        self.parts.push(part);
        let mut kept: u64 = self.parts.iter().map(|part| part.raw_bytes).sum();
        let mut dropped = 0;
        while kept > KEPT_RAW_BYTES {
            kept -= self.parts[dropped].raw_bytes;
            dropped += 1;
        }
        self.parts.drain(..dropped);
    }

    /// The parts at the end that are to be merged now, if there are enough of one tier.
    fn due(&self) -> Option<usize> {
        let last = self.parts.last()?.tier;
        let of_tier = self.parts.iter().rev().take_while(|part| part.tier == last).count();
        let from = self.parts.len() - of_tier;
        (of_tier >= FAN_IN && is_worth_it(&self.parts[from..])).then_some(from)
    }
}

impl Shipper {
    pub(super) fn keep_for_merging(&self, name: ObjectName, raw_bytes: u64, bytes: Option<Bytes>) {
        self.merging().add(name, raw_bytes, bytes);
    }

    pub(super) fn keeps_for_merging(&self) -> bool {
        let merging = self.merging();
        !(merging.run.parts.is_empty() && merging.covered.is_empty() && merging.tasks.is_empty())
    }

    fn merging(&self) -> MutexGuard<'_, Merges> {
        self.merges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Merges what is due. Indexes that are finished are merged beside the shipping; of the one that grows some
    /// segments are merged at once, which takes two requests and is seldom.
    pub(super) async fn merge(&self) {
        self.merge_finished(End::Later);
        self.clear(host::now()).await;
        while let Some(run) = self.take_due() {
            if !self.may_delete(&run).await {
                break;
            }
            let merged = self.merge_run(run, End::Here).await.map(|(part, _)| part);
            let mut merging = self.merging();
            match merged {
                Ok(part) => merging.run.push(part),
                Err(not) => {
                    merging.run = Run::default();
                    merging.note(Ok(Err(not)));
                }
            }
        }
    }

    /// Removes what merges have left, if it is to be looked for at `now`.
    async fn clear(&self, now: Instant) {
        let due = self.merging().unclean.filter(|unclean| unclean.due <= now);
        let Some(Unclean { generation, index, .. }) = due else { return };
        let cleared = clear_leftovers(self.backend.as_ref(), generation, index).await;
        // A store that refuses will do so again.
        let again = cleared.is_err_and(|error| error.kind() != ErrorKind::PermissionDenied);
        self.merging().unclean = again.then(|| Unclean { generation, index, due: host::now() + CLEAR_AGAIN });
    }

    fn take_due(&self) -> Option<Vec<Part>> {
        let mut merging = self.merging();
        let from = merging.run.due().filter(|_| merging.merging == Merging::Growing)?;
        Some(merging.run.parts.split_off(from))
    }

    fn merge_finished(&self, end: End) {
        let mut merging = self.merging();
        while let Some(done) = merging.tasks.try_join_next() {
            merging.note(done);
        }
        let finished = std::mem::take(&mut merging.finished);
        if merging.merging == Merging::Never {
            return;
        }
        for run in finished {
            let (shipper, waits) = (self.beside(), merging.merging == Merging::Finished);
            merging.tasks.spawn(async move {
                let (_, covered) = shipper.merge_run(run.parts, end).await?;
                if waits { Ok(covered) } else { shipper.delete_covered(covered).await }
            });
        }
        if merging.covered.len() >= DELETED_TOGETHER {
            let (shipper, covered) = (self.beside(), std::mem::take(&mut merging.covered).concat());
            merging.tasks.spawn(async move { shipper.delete_covered(covered).await });
        }
    }

    /// Before a stop or a rest: merges what is left, and keeps nothing. All of it is at the very end of the history,
    /// and nothing is shipped before this is done.
    pub(super) async fn merge_all(&self) {
        self.merge_finished(End::Later);
        let run = std::mem::take(&mut self.merging().run);
        if is_worth_it(&run.parts) && self.may_delete(&run.parts).await {
            self.merging().finished.push(run);
        }
        self.merge_finished(End::Here);
        let mut tasks = std::mem::take(&mut self.merging().tasks);
        while let Some(done) = tasks.join_next().await {
            self.merging().note(done);
        }
        let covered = std::mem::take(&mut self.merging().covered).concat();
        let deleted = self.delete_covered(covered).await;
        self.merging().note(Ok(deleted));
        // Whether it has just been tried or not.
        self.clear(host::now() + CLEAR_AGAIN).await;
    }

    /// Deletes segments of finished indexes that are merged. Nothing is left to be deleted then.
    async fn delete_covered(&self, covered: Vec<String>) -> Result<Vec<String>, NotMerged> {
        match delete(self.backend.as_ref(), &covered).await {
            Ok(()) => Ok(Vec::new()),
            Err(error) => {
                tracing::warn!(db = %self.database, replica = %self.name, objects = covered.len(), %error,
                    "cannot delete segments that have been merged, so this replica has more objects");
                Err(NotMerged { is_refused: error.kind() == ErrorKind::PermissionDenied, unclean: None })
            }
        }
    }

    /// Puts one object in the place of `parts`. Returns it, and those that are still to be deleted.
    async fn merge_run(&self, parts: Vec<Part>, end: End) -> Result<(Part, Vec<String>), NotMerged> {
        let tier = parts.iter().map(|part| part.tier).max();
        let (raw_bytes, segments) =
            (parts.iter().map(|part| part.raw_bytes).sum(), parts.iter().map(|part| part.segments).sum());
        let merged = host::blocking(move || {
            let merged = segment::merge(parts.iter().map(|part| part.bytes.as_ref()));
            (parts, merged.map(|(bytes, _)| Bytes::from(bytes)))
        });
        let (parts, merged) = merged.await.map_err(|_| NotMerged::default())?;
        let Some(first) = parts.first() else { return Err(NotMerged::default()) };
        let bytes = merged.map_err(|error| {
            self.say_not_merged(first, &error);
            NotMerged::default()
        })?;
        let put = put_in_place(self.backend.as_ref(), &parts, end, bytes.clone()).await;
        let covered = put.map_err(|error| {
            self.say_not_merged(first, &error);
            let (generation, index) = (first.name.generation(), first.name.index());
            let unclean = (end == End::Here).then(|| Unclean { generation, index, due: host::now() });
            NotMerged { is_refused: error.kind() == ErrorKind::PermissionDenied, unclean }
        })?;
        tracing::debug!(db = %self.database, replica = %self.name, first = ?first.name, parts = parts.len(),
            "segments merged");
        Ok((Part { name: first.name, bytes, raw_bytes, segments, tier: tier.unwrap_or(0) + 1 }, covered))
    }

    /// Whether the store lets us delete: asked once, with a name that no object has.
    async fn may_delete(&self, parts: &[Part]) -> bool {
        let Some(first) = parts.first().filter(|_| !self.merging().may_delete) else { return true };
        let probe = format!("{}delete-probe", keys::segments(first.name.generation()));
        let Err(error) = delete(self.backend.as_ref(), &[probe]).await else {
            self.merging().may_delete = true;
            return true;
        };
        self.say_not_merged(first, &error);
        let is_refused = error.kind() == ErrorKind::PermissionDenied;
        self.merging().note(Ok(Err(NotMerged { is_refused, unclean: None })));
        false
    }

    fn say_not_merged(&self, first: &Part, error: &dyn std::fmt::Display) {
        tracing::warn!(db = %self.database, replica = %self.name, first = ?first.name, %error,
            "cannot merge segments of this replica, so it has more objects");
    }
}

/// Segments stay as they are, or nearly.
#[derive(Debug, Default)]
struct NotMerged {
    /// The replica forbids it.
    is_refused: bool,
    /// The merged object may stand beside what it was made of.
    unclean: Option<Unclean>,
}

/// Returns what is to be deleted. At the end of the history nothing is: there it is done at once. Whatever fails, the
/// merged object stays where it is.
async fn put_in_place(backend: &dyn Backend, parts: &[Part], end: End, merged: Bytes) -> Result<Vec<String>, Error> {
    let Some((first, others)) = parts.split_first() else { return Ok(Vec::new()) };
    fault_point!("merge-made");
    backend.put_over(&first.name.key().unwrap_or_default(), merged.into()).await?;
    fault_point!("merge-put");
    let keys: Vec<String> = others.iter().filter_map(|part| part.name.key()).collect();
    if end == End::Later {
        // Beside the merged object the others do no harm.
        return Ok(keys);
    }
    // At the end of the history the last one goes last: until then it tells where that is.
    let (rest, last) = keys.split_at(keys.len().saturating_sub(1));
    for batch in [rest, last] {
        delete(backend, batch).await?;
    }
    Ok(Vec::new())
}

async fn delete(backend: &dyn Backend, keys: &[String]) -> Result<(), Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let deleted = backend.delete(keys).await.into_iter().collect();
    fault_point!("merge-deleting");
    deleted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Offset;

    /// How many objects are due to become one after so many segments of such a size, and how many at the index's end.
    fn due(segments: u64, raw_bytes: u64) -> (usize, usize) {
        let name = |index, n| ObjectName::Segment(Generation(1), Index::new(index).unwrap(), Offset(n * raw_bytes));
        let mut merges = Merges::new(Merging::Growing);
        (0..segments).for_each(|n| merges.add(name(0, n), raw_bytes, Some(Bytes::new())));
        let now = merges.run.due().map_or(0, |from| merges.run.parts.len() - from);
        merges.add(name(1, 0), raw_bytes, Some(Bytes::new()));
        (now, merges.finished.first().map_or(0, |run| run.parts.len()))
    }

    #[test]
    fn small_segments_are_merged_and_large_ones_stay() {
        assert_eq!(due(5, SMALL_RAW_BYTES), (0, 5));
        assert_eq!(due(6, SMALL_RAW_BYTES), (6, 6));
        assert_eq!(due(6, SMALL_RAW_BYTES + 1), (0, 0));
        assert_eq!(due(1, 1), (0, 0));
    }

    #[test]
    fn what_was_merged_before_counts_as_many_small_segments() {
        let part = |segments, raw_bytes| Part {
            name: ObjectName::Segment(Generation(1), Index::default(), Offset(0)),
            bytes: Bytes::new(),
            raw_bytes,
            segments,
            tier: 1,
        };
        assert!(is_worth_it(&[part(6, 6 * SMALL_RAW_BYTES), part(6, 10)]));
        assert!(!is_worth_it(&[part(6, 6 * SMALL_RAW_BYTES), part(1, SMALL_RAW_BYTES + 1)]));
    }
}
