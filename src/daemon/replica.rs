//! A place that a database is shipped to.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use replica_backends::{Backend, Error};

use super::retention::Retention;
use crate::ship::{Merging, ReplicaStatus, Streams};

/// Opens the store of a replica; asked again whenever following begins, because a database that appears later decides
/// what the owner and the modes of its replica are.
pub type OpenBackend = Arc<dyn Fn(&Path) -> Arc<dyn Backend> + Send + Sync>;

/// A place that a database is shipped to.
#[derive(Clone)]
pub struct Replica {
    /// Its name in the configuration.
    pub name: String,
    /// The store, for the database at a path.
    pub open: OpenBackend,
    /// How many large uploads to its store may be under way.
    pub streams: Streams,
    /// The least time between the beginnings of two uploads.
    pub sync_interval: Duration,
    /// How often a snapshot is taken; `None`: only when one is needed.
    pub snapshot_interval: Option<Duration>,
    /// When its small segments become larger ones.
    pub merging: Merging,
    /// What is deleted; `None`: nothing.
    pub retention: Option<Retention>,
    /// Nothing that it has is ever deleted or replaced.
    pub append_only: bool,
    /// How often it is verified; `None`: never.
    pub validation_interval: Option<Duration>,
    /// Its progress.
    pub status: Arc<Mutex<ReplicaStatus>>,
}

impl Replica {
    /// Takes note of what the store has answered, before anything is shipped.
    pub(super) fn note_answer(&self, error: Option<&Error>) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) => drop(status.failed(error)),
            None => status.recovered(),
        }
    }

    /// How many objects have been shipped since the start.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).objects
    }
}
