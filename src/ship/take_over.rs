//! Going on with a history that ends with another writer's segment.
//!
//! That writer may be alive. The name behind its last segment is not for ever what the history goes on with: when it
//! has taken that name itself and merges, the name becomes free again. Names at the beginning of an index do not, and
//! an end holds no data. So the index is ended first, and then looked at again: a name that was free once more stands
//! within a merged object, or before the last of those that it was made of. Then the end is taken back. An end that has
//! come in time stays, also if that writer is alive and goes on behind it: it has found its index ended as it should
//! be.

use std::sync::PoisonError;

use fault_points::fault_point;
use futures::TryStreamExt;
use replica_backends::Error;

use super::claim::read_seal;
use super::end::{continues_at, end_behind, is_same_end};
use super::shipper::{Failure, Shipper};
use crate::history::{ObjectName, keys};
use crate::segment::Seal;

/// How an end fits into what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// Behind the last segment.
    Last,
    /// Behind the last of its index; the history goes on with a later one.
    Followed,
    /// Where nothing ends, or not any more.
    Late,
}

impl Shipper {
    /// Whether the index in which another writer's history ends is still open.
    pub(super) fn is_taking_over(&self) -> bool {
        self.take_over.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Ends the index of another writer, if that is still to be done before anything is put.
    pub(super) async fn end_others_index(&self) -> Result<(), Failure> {
        let last = self.take_over.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(last) = last else { return Ok(()) };
        let end = end_behind(&last, &self.author);
        let name = ObjectName::Segment(end.generation, end.from.0, end.from.1);
        // Mostly it shows before anything is put.
        if self.fit(&name, &end).await.map_err(Failure::Retry)? != Fit::Last {
            return Err(self.conflict(&name, None));
        }
        fault_point!("take-over-looked");
        let there = self.put_end(&end).await?;
        fault_point!("take-over-ended");
        if let Some(there) = there.as_ref().filter(|there| !is_same_end(there, &end)) {
            return Err(self.conflict(&name, Some(there)));
        }
        let fit = self.fit(&name, &end).await.map_err(Failure::Retry)?;
        if fit == Fit::Late
            && there.is_none_or(|there| there.writer == end.writer)
            && let Some(key) = name.key()
        {
            // If it cannot be removed, it is still found to be within the merged one.
            let _ = self.backend.delete(&[key]).await;
        }
        if fit != Fit::Last {
            return Err(self.conflict(&name, None));
        }
        *self.take_over.lock().unwrap_or_else(PoisonError::into_inner) = None;
        fault_point!("take-over-done");
        Ok(())
    }

    /// How `end` fits, which stands at `name`.
    async fn fit(&self, name: &ObjectName, end: &Seal) -> Result<Fit, Error> {
        let after = name.index().previous().and_then(|before| keys::last_segment(name.generation(), before));
        let mut objects = self.backend.list(&keys::segments(name.generation()), after.as_deref()).await?;
        let (mut previous, mut fit): (Option<ObjectName>, _) = (None, Fit::Last);
        while let Some(object) = objects.try_next().await? {
            match ObjectName::parse(&object.key) {
                Some(other) if other.index() > name.index() => {
                    fit = Fit::Followed;
                    break;
                }
                Some(other) if other > *name => return Ok(Fit::Late),
                Some(other) if other < *name && other.index() == name.index() => previous = previous.max(Some(other)),
                _ => {}
            }
        }
        let Some(key) = previous.and_then(|previous| previous.key()) else { return Ok(Fit::Late) };
        let seal = read_seal(self.backend.as_ref(), &key).await?;
        let continues = seal.is_some_and(|seal| {
            continues_at(&seal) == Some(end.from) && seal.digest_after == end.digest_before && !seal.is_end()
        });
        Ok(if continues { fit } else { Fit::Late })
    }
}
