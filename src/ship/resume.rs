//! Where a replica's history ends: a generation that can be continued, as the seal of its last object tells it.

use futures::TryStreamExt;
use replica_backends::{Backend, Error};

use super::claim::{is_for_others, read_seal};
use super::end::continues_at;
use crate::follow::ResumePoint;
use crate::history::covers;
use crate::history::keys::{GENERATIONS, ObjectName, segments, snapshots};
use crate::segment::{Seal, SealKind};
use crate::types::{Generation, Offset, WriterId};
use crate::wal::Checksum;

/// Where a replica's history ends.
#[derive(Debug)]
pub struct HistoryEnd {
    /// Behind its last object; if that is another writer's segment, behind the end of the index.
    pub point: ResumePoint,
    /// The seal of that segment: its index has to be ended before anything is put.
    pub take_over: Option<Box<Seal>>,
}

impl HistoryEnd {
    fn new(own: bool, point: ResumePoint, last: Seal) -> Self {
        let is_segment = last.kind == SealKind::Segment && !last.is_end() && last.to.1 < Offset::LIMIT;
        match point.index.next().filter(|_| !own && is_segment) {
            Some(index) => {
                let point = ResumePoint { index, offset: Offset(0), checksum: Checksum::default(), ..point };
                Self { point, take_over: Some(Box::new(last)) }
            }
            None => Self { point, take_over: None },
        }
    }
}

/// Finds the generation that `writer` can continue: the newest of its own, else the newest of all; `None` if there is
/// none. A generation is one's own if one wrote its last object, so that of two live writers each stays with its own.
/// One of `without` is never found: it was lost to another writer. Nor is one that is encrypted for others, which
/// cannot be read.
///
/// # Errors
/// If the store cannot be read.
pub async fn find_end(
    backend: &dyn Backend,
    writer: WriterId,
    without: Option<Generation>,
) -> Result<Option<HistoryEnd>, Error> {
    let mut best: Option<(bool, ResumePoint, Seal)> = None;
    let mut unread = None;
    for folder in backend.list_folders(GENERATIONS).await? {
        let Ok(generation) = folder.parse::<Generation>() else { continue };
        if without == Some(generation) {
            continue;
        }
        let found = match last_sealed(backend, generation).await {
            Err(error) if is_for_others(&error) => {
                unread = Some(error);
                continue;
            }
            found => found?,
        };
        let Some((last, seal)) = found else { continue };
        let Some(point) = point(&seal).filter(|_| is_named_right(&seal, &last)) else { continue };
        let own = seal.writer == writer;
        if best.as_ref().is_none_or(|(best_own, best, _)| (*best_own, best.time) < (own, point.time)) {
            best = Some((own, point, seal));
        }
    }
    if let Some(error) = unread.filter(|_| best.is_none()) {
        tracing::warn!(%error, "no generation can be continued: the last object of each was encrypted for others, or \
            is not among those that the state folder remembers");
    }
    Ok(best.map(|(own, point, seal)| HistoryEnd::new(own, point, seal)))
}

/// The last object of `generation` and its seal, if it has one. An end that came too late is not the last object: it
/// stands within the merged one before it.
async fn last_sealed(backend: &dyn Backend, generation: Generation) -> Result<Option<(ObjectName, Seal)>, Error> {
    let [before, last] = last_objects(backend, generation).await?;
    let read = async |name: Option<ObjectName>| match name.and_then(|name| Some((name, name.key()?))) {
        Some((name, key)) => Ok(read_seal(backend, &key).await?.map(|seal| (name, seal))),
        None => Ok::<_, Error>(None),
    };
    let last = read(last).await?;
    let Some((name, seal)) = last.as_ref().filter(|(_, seal)| seal.is_end()) else { return Ok(last) };
    let before = read(before.filter(|before| before.index() == name.index())).await?;
    Ok(before.filter(|(_, outer)| covers(outer, seal)).or(last))
}

/// The object that stands last in `generation`.
///
/// # Errors
/// If the store cannot be read.
pub(super) async fn last_object(backend: &dyn Backend, generation: Generation) -> Result<Option<ObjectName>, Error> {
    Ok(last_objects(backend, generation).await?[1])
}

/// The two objects that stand last.
async fn last_objects(backend: &dyn Backend, generation: Generation) -> Result<[Option<ObjectName>; 2], Error> {
    let key = |name: &ObjectName| (name.index(), name.offset(), *name);
    let mut last: [Option<ObjectName>; 2] = [None; 2];
    for folder in [snapshots(generation), segments(generation)] {
        let mut objects = backend.list(&folder, None).await?;
        while let Some(object) = objects.try_next().await? {
            let Some(name) = ObjectName::parse(&object.key) else { continue };
            if last[1].is_none_or(|last| key(&last) < key(&name)) {
                last = [last[1], Some(name)];
            } else if last[0].is_none_or(|before| key(&before) < key(&name)) {
                last[0] = Some(name);
            }
        }
    }
    Ok(last)
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
