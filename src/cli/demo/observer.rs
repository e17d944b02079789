//! The replica as seen from outside: what anybody who can read the folder can know.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use replica_backends::ObjectMeta;
use replica_backends::file::FileBackend;

use super::now_us;
use crate::history::keys::{GENERATIONS, segments, snapshots};
use crate::history::{Catalog, NeedsSeals};
use crate::restore::{NamedBackend, Source};
use crate::types::Generation;

/// Looks at a replica again and again.
#[derive(Debug)]
pub struct Observer {
    /// What it looks at.
    pub replica: NamedBackend,
    /// The last segment seen of each generation.
    newest: BTreeMap<Generation, Option<String>>,
    /// When each commit was first seen in the replica, in microseconds since 1970.
    pub arrivals: Vec<u64>,
}

impl Observer {
    /// An observer of the replica in the folder `path`.
    pub fn new(path: &Path) -> Self {
        let replica = NamedBackend { name: "file".to_owned(), backend: Arc::new(FileBackend::new(path)) };
        Self { replica, newest: BTreeMap::new(), arrivals: Vec::new() }
    }

    /// Takes note of what is new. Of each commit the seals tell, so none has to be guessed at.
    pub async fn look(&mut self) -> replica_backends::Result<()> {
        for folder in self.replica.backend.list_folders(GENERATIONS).await? {
            let Ok(generation) = folder.parse() else { continue };
            let last = self.newest.get(&generation).cloned().flatten();
            let listing = self.replica.backend.list(&segments(generation), last.as_deref()).await?;
            let new: Vec<ObjectMeta> = listing.try_collect().await?;
            let now = now_us();
            let newest = new.last().map(|object| object.key.clone()).or(last);
            self.arrivals.extend(std::iter::repeat_n(now, self.commits_in(generation, new).await?));
            self.newest.insert(generation, newest);
        }
        Ok(())
    }

    async fn commits_in(&self, generation: Generation, new: Vec<ObjectMeta>) -> replica_backends::Result<usize> {
        let catalog = Catalog::from_listing(new);
        let names: Vec<_> = catalog.history(generation).iter().flat_map(|h| &h.segments).map(|e| e.name).collect();
        let mut source = Source::with(&self.replica, catalog);
        source.learn(&NeedsSeals(names.clone())).await?;
        Ok(names.iter().filter_map(|name| source.seals.known(name)).map(|seal| seal.commits.len()).sum())
    }

    /// The generations that have been seen.
    pub fn generations(&self) -> Vec<Generation> {
        self.newest.keys().copied().collect()
    }

    /// Whether there is a snapshot, so that the replica can be restored.
    pub async fn has_snapshot(&self) -> replica_backends::Result<bool> {
        for generation in self.generations() {
            let mut listing = self.replica.backend.list(&snapshots(generation), None).await?;
            if listing.try_next().await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
