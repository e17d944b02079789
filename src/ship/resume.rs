//! Where a replica's history ends: a generation that can be continued, as the seal of its last object tells it.

use futures::TryStreamExt;
use replica_backends::{Backend, Error};

use super::claim::{is_for_others, read_seal};
use super::end::continues_at;
use crate::follow::ResumePoint;
use crate::history::keys::{GENERATIONS, ObjectName, segments, snapshots};
use crate::segment::Seal;
use crate::types::{Generation, WriterId};
use crate::wal::Checksum;

/// Finds the generation that `writer` can continue: the newest of its own, else the newest of all; `None` if there is
/// none. A generation is one's own if one wrote its last object, so that of two live writers each stays with its own.
/// One of `without` is never found: it was lost to another writer. Nor is one that is encrypted for others, which
/// cannot be read.
///
/// # Errors
/// If the store cannot be read.
pub async fn find_resume_point(
    backend: &dyn Backend,
    writer: WriterId,
    without: Option<Generation>,
) -> Result<Option<ResumePoint>, Error> {
    let mut best: Option<(bool, ResumePoint)> = None;
    let mut unread = None;
    for folder in backend.list_folders(GENERATIONS).await? {
        let Ok(generation) = folder.parse::<Generation>() else { continue };
        if without == Some(generation) {
            continue;
        }
        let Some(last) = last_object(backend, generation).await? else { continue };
        let Some(key) = last.key() else { continue };
        let seal = match read_seal(backend, &key).await {
            Err(error) if is_for_others(&error) => {
                unread = Some(error);
                continue;
            }
            seal => seal?,
        };
        let Some(seal) = seal else { continue };
        let Some(point) = point(&seal).filter(|_| is_named_right(&seal, &last)) else { continue };
        let own = seal.writer == writer;
        if best.as_ref().is_none_or(|(best_own, best)| (*best_own, best.time) < (own, point.time)) {
            best = Some((own, point));
        }
    }
    if let Some(error) = unread.filter(|_| best.is_none()) {
        tracing::warn!(%error, "no generation can be continued: the last object of each was encrypted for others, or \
            is not among those that the state folder remembers");
    }
    Ok(best.map(|(_, point)| point))
}

/// The object that stands last in `generation`.
///
/// # Errors
/// If the store cannot be read.
pub(super) async fn last_object(backend: &dyn Backend, generation: Generation) -> Result<Option<ObjectName>, Error> {
    let mut last = None;
    for folder in [snapshots(generation), segments(generation)] {
        let mut objects = backend.list(&folder, None).await?;
        while let Some(object) = objects.try_next().await? {
            let name = ObjectName::parse(&object.key);
            last = last.max(name.map(|name| ((name.index(), name.offset(), name), name)));
        }
    }
    Ok(last.map(|(_, name)| name))
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
