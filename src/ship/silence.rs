//! A replica that nothing was put into for long: another writer may have gone on with it meanwhile, and its retention
//! may have deleted what would show that.
//!
//! Names are claimed by objects ([`super::end`]), and retention deletes objects. So whoever puts something after a long
//! silence, be it that nobody has committed or that the machine has slept, first makes sure that the replica still ends
//! with what he has put himself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::end::continues_at;
use super::resume::{Foreign, LastObject, last_object_within};
use super::shipper::{Failure, Shipper};
use crate::types::{Clock, Timestamp};

/// Shorter than any sensible retention, and long enough that a database that is seldom written to pays for few
/// requests.
const LONG: Duration = Duration::from_secs(3600);

/// When a store has last confirmed that its history ends where we believe.
#[derive(Debug, Clone)]
pub struct Silence {
    clock: Arc<dyn Clock>,
    heard: Arc<Mutex<Timestamp>>,
}

impl Silence {
    /// It has just been heard.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let heard = Arc::new(Mutex::new(clock.now()));
        Self { clock, heard }
    }

    /// The store has confirmed something that only we could put.
    pub(super) fn end(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = self.clock.now();
    }

    /// Whether it lasts for long. A clock that was set back tells nothing, so that is long, too.
    fn is_long(&self) -> bool {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        self.clock.now().0.abs_diff(heard.0) >= LONG.as_millis() as u64
    }
}

impl Shipper {
    /// After a long silence, makes sure that the history still ends with our own: at our place, or behind it if an
    /// answer was lost or a snapshot was taken beside the segments. False if it does not, so that a snapshot is needed.
    ///
    /// # Errors
    /// If another writer's object is there; those of the store.
    pub(super) async fn look_again(&self) -> Result<bool, Failure> {
        let Some((index, mark)) = self.log.place(self.replica) else { return Ok(true) };
        if self.is_taking_over() || !self.silence.is_long() {
            return Ok(true);
        }
        let from = index.previous().unwrap_or(index);
        let (backend, generation) = (self.backend.as_ref(), self.log.generation());
        let last = last_object_within(backend, generation, (from, None), Foreign::Unread).await;
        let at = match last.map_err(Failure::Retry)? {
            None => None,
            Some(LastObject { name, seal, .. }) => {
                let own = seal.filter(|seal| seal.writer == self.author.writer);
                continues_at(&own.ok_or_else(|| self.conflict(&name, None))?)
            }
        };
        let is_there = at.is_some_and(|at| at >= (index, mark.offset));
        if is_there {
            self.silence.end();
        } else {
            self.log.need_snapshot(self.replica, "what it ended with has been deleted".to_owned());
        }
        Ok(is_there)
    }
}
