//! Segments that a merge has left beside the object that holds them.

use fault_points::fault_point;
use futures::TryStreamExt;
use replica_backends::{Backend, Error};

use super::claim::read_own_seal;
use super::merge::DELETED_TOGETHER;
use crate::history::{ObjectName, covers, keys};
use crate::types::{Generation, Index};

/// They may be in so many indexes: in those whose segments wait to be deleted, and in the one that grows.
const UNCLEAN_INDEXES: u32 = DELETED_TOGETHER as u32 + 1;
/// So many objects at the end of an index are looked at.
const LEFTOVERS_MAX: usize = 64;

/// Removes the segments of the last indexes up to `index` that a merged one covers: a merge was interrupted.
///
/// # Errors
/// Those of the store.
pub async fn clear_leftovers(backend: &dyn Backend, generation: Generation, index: Index) -> Result<usize, Error> {
    let before = index.get().checked_sub(UNCLEAN_INDEXES).and_then(Index::new);
    let after = before.and_then(|before| keys::last_segment(generation, before));
    let folder = keys::segments(generation);
    let mut objects = backend.list(&folder, after.as_deref()).await?;
    let mut names: Vec<ObjectName> = Vec::new();
    while let Some(object) = objects.try_next().await? {
        names.extend(ObjectName::parse(&object.key));
    }
    let mut removed = 0;
    for group in names.chunk_by(|a, b| a.index() == b.index()).filter(|group| group.len() > 1) {
        removed += clear_index(backend, &group[group.len().saturating_sub(LEFTOVERS_MAX)..]).await?;
    }
    Ok(removed)
}

async fn clear_index(backend: &dyn Backend, names: &[ObjectName]) -> Result<usize, Error> {
    let keys: Vec<String> = names.iter().filter_map(ObjectName::key).collect();
    let seals = futures::future::try_join_all(keys.iter().map(|key| read_own_seal(backend, key))).await?;
    let (mut outer, mut covered) = (None, Vec::new());
    for (key, seal) in keys.into_iter().zip(&seals) {
        match (outer, seal) {
            (Some(outer), Some(inner)) if covers(outer, inner) => covered.push(key),
            (_, seal) => outer = seal.as_ref(),
        }
    }
    for key in &covered {
        fault_point!("leftovers-found");
        for deleted in backend.delete(std::slice::from_ref(key)).await {
            deleted?;
        }
        fault_point!("leftovers-deleting");
    }
    Ok(covered.len())
}
