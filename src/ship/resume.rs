//! Where a replica's history ends: its newest generation, as the seal of its last object tells it.

use futures::TryStreamExt;
use replica_backends::{Backend, Error};

use super::claim::read_seal;
use crate::follow::ResumePoint;
use crate::history::keys::{GENERATIONS, ObjectName, segments, snapshots};
use crate::segment::Seal;
use crate::types::Generation;

/// Finds the newest generation that this program can continue; `None` if there is none.
///
/// # Errors
/// If the store cannot be read.
pub async fn find_resume_point(backend: &dyn Backend) -> Result<Option<ResumePoint>, Error> {
    let mut newest: Option<ResumePoint> = None;
    for folder in backend.list_folders(GENERATIONS).await? {
        let Ok(generation) = folder.parse::<Generation>() else { continue };
        let Some(last) = last_object(backend, generation).await? else { continue };
        let Some(key) = last.key() else { continue };
        let Some(seal) = read_seal(backend, &key).await? else { continue };
        let point = point(&seal);
        if is_named_right(&seal, &last) && newest.as_ref().is_none_or(|newest| newest.time < point.time) {
            newest = Some(point);
        }
    }
    Ok(newest)
}

async fn last_object(backend: &dyn Backend, generation: Generation) -> Result<Option<ObjectName>, Error> {
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

fn point(seal: &Seal) -> ResumePoint {
    ResumePoint {
        generation: seal.generation,
        index: seal.to.0,
        offset: seal.to.1,
        checksum: seal.checksum_after,
        source: seal.source,
        size: seal.size_after,
        page_size: seal.page_size,
        digest: seal.digest_after,
        time: seal.time,
    }
}
