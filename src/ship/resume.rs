//! Where a replica's history ends: a generation that can be continued, as the seal of its last object tells it.

use futures::TryStreamExt;
use replica_backends::{Backend, Error, ObjectMeta};

use super::bridge::Unbridged;
use super::claim::{is_for_others, read_own_seal, read_seal};
use super::end::continues_at;
use crate::follow::ResumePoint;
use crate::history::keys::{GENERATIONS, last_segment, segments, snapshots};
use crate::history::{Catalog, ObjectName, Sealing, Seals, end, plan_key};
use crate::segment::{Seal, SealKind};
use crate::types::{Generation, Index, Offset, Timestamp, WriterId};
use crate::wal::Checksum;

/// Where a replica's history ends.
#[derive(Debug)]
pub struct HistoryEnd {
    /// Behind its last object; if that is another writer's segment, behind the end of the index.
    pub point: ResumePoint,
    /// The seal of that segment: its index has to be ended before anything is put.
    pub take_over: Option<Box<Seal>>,
    /// A snapshot that Litestream does not find, for which whoever put it has not lived long enough.
    pub unbridged: Option<Unbridged>,
}

/// What the histories of a replica end with.
#[derive(Debug)]
pub struct Found {
    /// The end that can be gone on with.
    pub end: Option<HistoryEnd>,
    /// When the newest state of any generation was seen, also of one that nobody can go on with.
    pub newest: Timestamp,
    /// The last object of every other generation.
    pub others: Vec<ObjectName>,
}

impl HistoryEnd {
    fn new(own: bool, point: ResumePoint, last: LastObject) -> Option<Self> {
        let unbridged = Unbridged::of(&last);
        let seal = last.seal?;
        let is_segment = seal.kind == SealKind::Segment && !seal.is_end() && seal.to.1 < Offset::LIMIT;
        Some(match point.index.next().filter(|_| !own && is_segment) {
            Some(index) => {
                let point = ResumePoint { index, offset: Offset(0), checksum: Checksum::default(), ..point };
                Self { point, take_over: Some(Box::new(seal)), unbridged }
            }
            None => Self { point, take_over: None, unbridged },
        })
    }
}

/// Finds the generation that `writer` can continue: the newest of its own, else the newest of all; `None` if there is
/// none. A generation is one's own if one wrote its last object, so that of two live writers each stays with its own.
/// One of `without` is never found: it was lost to another writer. Nor is one that is encrypted for others, which
/// cannot be read.
///
/// # Errors
/// If the store cannot be read.
pub async fn find_end(backend: &dyn Backend, writer: WriterId, without: Option<Generation>) -> Result<Found, Error> {
    let mut best: Option<(bool, ResumePoint, LastObject)> = None;
    let (mut unread, mut newest, mut others) = (None, Timestamp::default(), Vec::new());
    for generation in generations(backend, without).await? {
        let found = match last_object(backend, generation, Foreign::Refused).await {
            Err(error) if is_for_others(&error) => {
                unread = Some(error);
                last_object(backend, generation, Foreign::Unread).await?
            }
            found => found?,
        };
        let Some(last) = found else { continue };
        newest = newest.max(last.time);
        others.push(last.name);
        let Some((point, own)) = last.point(writer) else { continue };
        if best.as_ref().is_none_or(|(best_own, best, _)| (*best_own, best.time) < (own, point.time)) {
            best = Some((own, point, last));
        }
    }
    if let Some(error) = unread.filter(|_| best.is_none()) {
        tracing::warn!(%error, "no generation can be continued: the last object of each was encrypted for others, or \
            is not among those that the state folder remembers");
    }
    let end = best.and_then(|(own, point, last)| HistoryEnd::new(own, point, last));
    others.retain(|name| end.as_ref().is_none_or(|end| end.point.generation != name.generation()));
    Ok(Found { end, newest, others })
}

/// When the newest state of any generation but `without` was seen, as a restore will look for it.
///
/// # Errors
/// If the store cannot be read.
pub(super) async fn newest_time(backend: &dyn Backend, without: Generation) -> Result<Timestamp, Error> {
    let mut newest = Timestamp::default();
    for generation in generations(backend, Some(without)).await? {
        let last = last_object(backend, generation, Foreign::Unread).await?;
        newest = newest.max(last.map_or(Timestamp::default(), |last| last.time));
    }
    Ok(newest)
}

async fn generations(backend: &dyn Backend, without: Option<Generation>) -> Result<Vec<Generation>, Error> {
    let folders = backend.list_folders(GENERATIONS).await?;
    let generations = folders.iter().filter_map(|folder| folder.parse().ok());
    Ok(generations.filter(|generation| Some(*generation) != without).collect())
}

/// Where `generation` ends for `writer`, if it can be continued.
///
/// # Errors
/// If the store cannot be read.
pub(super) async fn end_of(
    backend: &dyn Backend,
    generation: Generation,
    writer: WriterId,
) -> Result<Option<HistoryEnd>, Error> {
    let Some(last) = last_object(backend, generation, Foreign::Unread).await? else { return Ok(None) };
    let Some((point, own)) = last.point(writer) else { return Ok(None) };
    Ok(HistoryEnd::new(own, point, last))
}

/// What becomes of an object that is encrypted for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    /// It is an error.
    Refused,
    /// It has no seal.
    Unread,
}

/// The object with which a generation ends.
#[derive(Debug)]
pub(super) struct LastObject {
    pub name: ObjectName,
    /// If it has one that can be trusted.
    pub seal: Option<Seal>,
    /// The last segment, which may stand before it.
    pub segment: Option<ObjectName>,
    /// The first index of which there is something.
    pub first: Index,
    /// When the state behind it was seen.
    pub time: Timestamp,
}

impl LastObject {
    /// Where the history goes on behind it, and whether `writer` has put it.
    fn point(&self, writer: WriterId) -> Option<(ResumePoint, bool)> {
        let seal = self.seal.as_ref().filter(|seal| is_named_right(seal, &self.name))?;
        Some((point(seal)?, seal.writer == writer))
    }
}

/// The object with which `generation` ends.
///
/// # Errors
/// If the store cannot be read.
pub(super) async fn last_object(
    backend: &dyn Backend,
    generation: Generation,
    foreign: Foreign,
) -> Result<Option<LastObject>, Error> {
    last_object_within(backend, generation, (Index::default(), None), foreign).await
}

/// The last object of `generation` from an index on, and before another.
///
/// # Errors
/// If the store cannot be read.
pub(super) async fn last_object_within(
    backend: &dyn Backend,
    generation: Generation,
    within: (Index, Option<Index>),
    foreign: Foreign,
) -> Result<Option<LastObject>, Error> {
    let (last_index, segment, first) = last_index(backend, generation, within).await?;
    let catalog = Catalog::from_listing(last_index);
    let Some(history) = catalog.history(generation) else { return Ok(None) };
    let mut seals = Seals::default();
    loop {
        let needs = match history.end(&seals).and_then(|last| Ok((last, end(history, &seals)?))) {
            Ok((last, time)) => {
                let last = last.map(|last| (last.name, seals.known(&last.name).cloned()));
                return Ok(last.map(|(name, seal)| LastObject { name, seal, segment, first, time }));
            }
            Err(needs) => needs,
        };
        for name in needs.0 {
            let seal = match foreign {
                Foreign::Refused => read_seal(backend, &plan_key(&name)).await?,
                Foreign::Unread => read_own_seal(backend, &plan_key(&name)).await?,
            };
            seals.learn(name, seal.map_or(Sealing::Unsealed, |seal| Sealing::Sealed(Box::new(seal))));
        }
    }
}

/// What is listed of the last index, the last segment, and the first index. The rest is not kept: there may be many
/// histories at once, and long ones.
async fn last_index(
    backend: &dyn Backend,
    generation: Generation,
    (from, before): (Index, Option<Index>),
) -> Result<(Vec<ObjectMeta>, Option<ObjectName>, Index), Error> {
    let (mut last, mut listed, mut segment, mut first) = (Index::default(), Vec::new(), None, Index::MAX);
    let previous = from.previous();
    let folders = [
        (snapshots(generation), previous.and_then(|index| ObjectName::Snapshot(generation, index).key())),
        (segments(generation), previous.and_then(|index| last_segment(generation, index))),
    ];
    for (folder, after) in folders {
        let mut objects = backend.list(&folder, after.as_deref()).await?;
        while let Some(object) = objects.try_next().await? {
            let Some(name) = ObjectName::parse(&object.key) else { continue };
            if name.index() < from || before.is_some_and(|before| name.index() >= before) {
                continue;
            }
            first = first.min(name.index());
            if matches!(name, ObjectName::Segment(..)) {
                segment = segment.max(Some(name));
            }
            if name.index() > last {
                (last, listed) = (name.index(), Vec::new());
            }
            if name.index() == last {
                listed.push(object);
            }
        }
    }
    Ok((listed, segment, first))
}

fn is_named_right(seal: &Seal, name: &ObjectName) -> bool {
    (seal.generation, seal.from) == (name.generation(), (name.index(), name.offset()))
}

/// Behind the end of an index the next one begins, as it does at a snapshot.
fn point(seal: &Seal) -> Option<ResumePoint> {
    let (index, offset) = continues_at(seal)?;
    Some(ResumePoint {
        generation: seal.generation,
        index,
        offset,
        checksum: if seal.is_end() { Checksum::default() } else { seal.checksum_after },
        source: seal.source,
        size: seal.size_after,
        page_size: seal.page_size,
        digest: seal.digest_after,
        time: seal.time,
    })
}
