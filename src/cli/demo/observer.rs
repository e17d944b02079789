//! The replica as seen from outside: what anybody who can read the folder can know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use replica_backends::file::FileBackend;
use replica_backends::{ErrorKind, ObjectMeta};

use super::now_us;
use crate::history::keys::{GENERATIONS, ObjectName, segments, snapshots};
use crate::history::{Catalog, NeedsSeals};
use crate::restore::{NamedBackend, Source};
use crate::types::{Generation, Index, Offset};

/// Looks at a replica again and again.
#[derive(Debug)]
pub struct Observer {
    /// What it looks at.
    pub replica: NamedBackend,
    /// Where the last commit seen of each generation ends. Not the last object: while nobody looked, it may have become
    /// one with others, under the name of the first.
    newest: BTreeMap<Generation, (Index, Offset)>,
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
            let newest = self.newest.get(&generation).copied().unwrap_or_default();
            let from = format!("{}{}_", segments(generation), newest.0);
            let objects = self.replica.backend.list(&segments(generation), Some(&from)).await?.try_collect().await?;
            let now = now_us();
            let commits = match self.commits_behind(newest, generation, objects).await {
                // Merged since it was listed: the next look finds it in another object.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                commits => commits?,
            };
            self.arrivals.extend(commits.iter().map(|_| now));
            self.newest.insert(generation, commits.last().copied().unwrap_or(newest));
        }
        Ok(())
    }

    /// Where the commits behind `newest` end that are in these objects; each once, also if two objects hold it.
    async fn commits_behind(
        &self,
        newest: (Index, Offset),
        generation: Generation,
        objects: Vec<ObjectMeta>,
    ) -> replica_backends::Result<BTreeSet<(Index, Offset)>> {
        let catalog = Catalog::from_listing(objects);
        let all: Vec<_> = catalog.history(generation).iter().flat_map(|h| &h.segments).map(|e| e.name).collect();
        // The last that begins before it may have become longer by merging.
        let begins_before = |name: &ObjectName| matches!(name, ObjectName::Segment(_, i, o) if (*i, *o) < newest);
        let names = all[all.partition_point(begins_before).saturating_sub(1)..].to_vec();
        let mut source = Source::with(&self.replica, catalog);
        source.learn(&NeedsSeals(names.clone())).await?;
        let seals = names.iter().filter_map(|name| source.seals.known(name));
        let ends = seals.flat_map(|seal| seal.commits.iter().map(|commit| (seal.from.0, commit.end)));
        Ok(ends.filter(|end| *end > newest).collect())
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
