//! Where the replicas of a database end, as far as their stores say so in time.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use replica_backends::{Backend, Error, ErrorKind, Operation};
use tokio::time::{self, Instant};

use super::Database;
use super::database::Others;
use super::fork::Fork;
use super::replica::Replica;
use crate::follow::ResumePoint;
use crate::follow::log::ReplicaNo;
use crate::history::ObjectName;
use crate::host;
use crate::ship::{Author, Found, Merging, Unbridged, bridge, clear_leftovers, find_end};
use crate::types::{Timestamp, WriterId};

/// So long others wait for a store that does not say where its history ends, once one of them has. When it says, and
/// that is not where theirs end, it gets a snapshot, which may be large; they would stand still.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where replicas end, in the order of the configuration.
pub(super) struct Ends {
    /// Where each can be gone on with.
    pub(super) points: Vec<Option<ResumePoint>>,
    pub(super) others: Others,
    /// Those whose stores have not said where.
    pub(super) unread: Vec<ReplicaNo>,
    /// The newest state is looked for in the generation that ends last: whichever goes on does so after all others have
    /// ended, also if the clock was set back.
    pub(super) not_before: Timestamp,
}

impl Database {
    /// Asks all stores at the same time.
    ///
    /// # Errors
    /// If none can be read: what there is decides whether a snapshot is needed.
    pub(super) async fn find_ends(
        &self,
        backends: &[Arc<dyn Backend>],
        writer: WriterId,
        fork: Option<&Fork>,
    ) -> Result<Ends, Error> {
        let is_fork = fork.is_some_and(Fork::is_pending);
        let lost = fork.filter(|_| !is_fork).map(Fork::generation);
        let asked = self.replicas.iter().zip(backends).map(|(replica, backend)| async move {
            let found = find_end(backend.as_ref(), writer, lost).await?;
            let end = found.end.as_ref();
            let merges = replica.merging != Merging::Never && !is_fork;
            if let Some(end) = end.filter(|_| merges) {
                self.clear_leftovers(replica, backend.as_ref(), &end.point).await;
            }
            if let Some(unbridged) = end.and_then(|end| end.unbridged.as_ref()).filter(|_| !is_fork) {
                self.bridge(replica, backend.as_ref(), unbridged, writer).await;
            }
            Ok(found)
        });
        let answers = in_time(asked).await;
        let (points, others, unread) = (Vec::new(), Vec::new(), Vec::new());
        let mut ends = Ends { points, others, unread, not_before: Timestamp::default() };
        // The last objects of generations that some replica has and does not go on with.
        let mut passed = Vec::new();
        let mut failure = None;
        for (n, answer) in answers.into_iter().enumerate() {
            let answer = answer.unwrap_or_else(|| Err(late(backends[n].as_ref())));
            self.replicas[n].note_answer(answer.as_ref().err());
            let mut found = answer.unwrap_or_else(|error| {
                if !is_fork {
                    tracing::warn!(db = %self.name(), replica = %self.replicas[n].name, %error,
                        "cannot read the replica: unless it ends where the others do, it gets a snapshot when it can \
                         be written again");
                }
                ends.unread.push(n);
                failure = Some(error);
                Found { end: None, newest: Timestamp::default(), others: Vec::new() }
            });
            passed.append(&mut found.others);
            ends.add(found, is_fork);
        }
        for (n, end) in ends.leave_passed(&passed) {
            tracing::warn!(db = %self.name(), replica = %self.replicas[n].name, generation = %end.generation,
                "another replica has more of this generation and cannot go on with it, so nobody can");
        }
        match failure {
            // If they cannot be read, the clock has to do for a fork.
            Some(error) if !is_fork && ends.unread.len() == self.replicas.len() => Err(error),
            _ => Ok(ends),
        }
    }

    /// Whoever wrote a snapshot behind a gap has died before Litestream could find it.
    async fn bridge(&self, replica: &Replica, backend: &dyn Backend, unbridged: &Unbridged, writer: WriterId) {
        if let Err(error) = bridge(backend, unbridged, &Author::new(writer)).await {
            tracing::warn!(db = %self.name(), replica = %replica.name, %error,
                "cannot put the object without which Litestream 0.3 does not find the last snapshot; the next commit \
                 does as well");
        }
    }

    /// What an interrupted merge has left would hide from Litestream what is shipped behind it.
    async fn clear_leftovers(&self, replica: &Replica, backend: &dyn Backend, point: &ResumePoint) {
        match clear_leftovers(backend, point.generation, point.index).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(db = %self.name(), replica = %replica.name, removed,
                "removed segments that an interrupted merge had left beside the merged one"),
            Err(error) => tracing::warn!(db = %self.name(), replica = %replica.name, %error,
                "cannot look for what an interrupted merge may have left"),
        }
    }
}

impl Ends {
    fn add(&mut self, Found { end, newest, .. }: Found, is_fork: bool) {
        self.not_before = self.not_before.max(newest.next());
        let (point, other) = end.filter(|_| !is_fork).map_or((None, None), |end| (Some(end.point), end.take_over));
        self.points.push(point);
        self.others.push(other);
    }

    /// Gives up the points of generations of which another replica has more, up to one of `passed`, which nobody can go
    /// on with: it would get a snapshot before what it has, of another history. Returns them, with the numbers of their
    /// replicas.
    fn leave_passed(&mut self, passed: &[ObjectName]) -> Vec<(ReplicaNo, ResumePoint)> {
        let goes_beyond = |name: &ObjectName, point: &ResumePoint| {
            name.generation() == point.generation && (name.index(), name.offset()) > (point.index, point.offset)
        };
        let is_passed = |point: &mut ResumePoint| passed.iter().any(|name| goes_beyond(name, point));
        let left = self.points.iter_mut().enumerate().filter_map(|(n, point)| Some((n, point.take_if(is_passed)?)));
        let left: Vec<_> = left.collect();
        for (n, point) in &left {
            self.others[*n] = None;
            self.not_before = self.not_before.max(point.time.next());
        }
        left
    }
}

/// The answers of all, or of those that come in time after the first that is no error.
async fn in_time<T>(
    asked: impl Iterator<Item = impl Future<Output = Result<T, Error>>>,
) -> Vec<Option<Result<T, Error>>> {
    let mut waiting: FuturesUnordered<_> = asked.enumerate().map(|(n, end)| async move { (n, end.await) }).collect();
    let mut answers: Vec<_> = (0..waiting.len()).map(|_| None).collect();
    let mut until = None;
    loop {
        let next = match until {
            None => waiting.next().await,
            Some(until) => time::timeout_at(until, waiting.next()).await.ok().flatten(),
        };
        let Some((n, answer)) = next else { return answers };
        if answer.is_ok() && until.is_none() {
            until = Some(Instant::from(host::now()) + PATIENCE);
        }
        answers[n] = Some(answer);
    }
}

fn late(backend: &dyn Backend) -> Error {
    let text = format!("the store has not answered {PATIENCE:?} after another one did");
    Error::new(ErrorKind::Unavailable, Operation::List, "", backend.location(), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{SourceCursor, StateDigest};
    use crate::types::{Generation, Index, Offset, PageCount, PageSize};
    use crate::wal::{Checksum, Salts};

    fn point(generation: u64, index: u32, offset: u64) -> ResumePoint {
        ResumePoint {
            generation: Generation(generation),
            index: Index::new(index).unwrap(),
            offset: Offset(offset),
            checksum: Checksum::default(),
            source: SourceCursor { salts: Salts::default(), offset: 0, checksum: Checksum::default() },
            size: PageCount(1),
            page_size: PageSize::SMALLEST,
            digest: StateDigest(1),
            time: Timestamp(1000),
        }
    }

    /// Two replicas fell behind, one further than the other, and the replicator died before they had their snapshots.
    #[test]
    fn nobody_goes_on_with_a_generation_of_which_another_has_more_that_leads_nowhere() {
        let last = |index, offset| ObjectName::Segment(Generation(2), Index::new(index).unwrap(), Offset(offset));
        let left = |passed| -> Vec<ReplicaNo> {
            let points = vec![Some(point(1, 700, 0)), Some(point(2, 392, 0))];
            let (others, unread, not_before) = (vec![None, None], Vec::new(), Timestamp::default());
            let mut ends = Ends { points, others, unread, not_before };
            let left: Vec<_> = ends.leave_passed(&[passed]).into_iter().map(|(n, _)| n).collect();
            assert_eq!(ends.points.iter().map(Option::is_some).collect::<Vec<_>>(), [true, left.is_empty()]);
            assert_eq!(ends.not_before, Timestamp(if left.is_empty() { 0 } else { 1001 }));
            left
        };
        let expected = [((394, 53_592), vec![1]), ((392, 32), vec![1]), ((391, 53_592), vec![]), ((392, 0), vec![])];
        for ((index, offset), expected) in expected {
            assert_eq!(left(last(index, offset)), expected, "{index} {offset}");
        }
    }
}
