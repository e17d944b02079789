//! A store that did not answer when following began.
//!
//! It is believed to end where the others do, as it does after a stop at which everything was shipped: then nothing
//! need be copied. Only believed, so it says where it ends before anything is put; one that ends elsewhere gets a
//! snapshot.

use std::sync::PoisonError;

use super::bridge::bridge;
use super::leftovers::clear_leftovers;
use super::merge::Merging;
use super::resume::{end_of, newest_time};
use super::shipper::{Failure, Shipper};
use crate::follow::{Mark, ResumePoint};
use crate::types::Index;

impl Shipper {
    /// Asks the store whether its history ends at `mark` of `index`, and tells the log.
    pub(super) async fn confirm(&self, index: Index, mark: &Mark) -> Result<(), Failure> {
        let generation = self.log.generation();
        let backend = self.backend.as_ref();
        if self.merges.lock().unwrap_or_else(PoisonError::into_inner).merging() != Merging::Never {
            // Litestream would not see what is put behind what an interrupted merge has left.
            clear_leftovers(backend, generation, index).await.map_err(Failure::Retry)?;
        }
        self.log.outlast(self.replica, newest_time(backend, generation).await.map_err(Failure::Retry)?);
        let end = end_of(backend, generation, self.author.writer).await.map_err(Failure::Retry)?;
        match end.filter(|end| is_at(&end.point, index, mark)) {
            Some(end) => {
                if let Some(unbridged) = &end.unbridged {
                    bridge(backend, unbridged, &self.author).await.map_err(Failure::Retry)?;
                }
                *self.take_over.lock().unwrap_or_else(PoisonError::into_inner) = end.take_over;
                self.log.confirm(self.replica);
                tracing::info!(db = %self.database, replica = %self.name, %generation, %index,
                    "the store answers, and its history ends where the others do: going on there");
            }
            None => self.log.need_snapshot(self.replica, "its history does not end where the others do".to_owned()),
        }
        Ok(())
    }
}

fn is_at(point: &ResumePoint, index: Index, mark: &Mark) -> bool {
    (point.index, point.offset, point.checksum, point.source, point.size, Some(point.digest))
        == (index, mark.offset, mark.checksum, mark.source, mark.size, mark.digest)
}
