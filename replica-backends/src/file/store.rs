//! The blocking half of the driver: everything here runs on the blocking pool.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failure::Failure;
use super::folders::{Folders, SyncFn};
use super::publish::Publisher;
use super::{FileBackend, Ownership};
use crate::key::check_key;
use crate::temporary::check_object_name;

/// A root folder and what is known of it.
pub(super) struct Store {
    root: PathBuf,
    pub(super) ownership: Ownership,
    pub(super) folders: Folders,
    pub(super) publisher: Publisher,
    pub(super) sync: SyncFn,
}

/// A key and its place on disk.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) key: String,
    pub(super) path: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) name: String,
    /// What has this name may be replaced.
    pub(super) replace: bool,
}

impl Store {
    /// The store below `root`.
    pub(super) fn new(root: PathBuf, ownership: Ownership) -> Self {
        Self::with_sync(root, ownership, Arc::new(std::fs::File::sync_all))
    }

    /// The store below `root`, with the call that makes files and folders durable passed in.
    pub(super) fn with_sync(root: PathBuf, ownership: Ownership, sync: SyncFn) -> Self {
        let folders = Folders::new(root.clone(), ownership.dir_mode, ownership.dir_owner, Arc::clone(&sync));
        Self { root, ownership, folders, publisher: Publisher::default(), sync }
    }

    /// The folder that holds everything.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where `key` is, or why there can be no such object.
    pub(super) fn target(&self, key: &str) -> Result<Target, &'static str> {
        check_key(key)?;
        let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
        check_object_name(name)?;
        let folder = if folder.is_empty() { self.root.clone() } else { self.root.join(folder) };
        Ok(Target { key: key.to_owned(), path: folder.join(name), folder, name: name.to_owned(), replace: false })
    }
}

impl FileBackend {
    /// Runs `work` on the blocking pool. It runs to its end even if the future is dropped.
    pub(super) async fn blocking<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, Failure> + Send + 'static,
    {
        let store = Arc::clone(&self.store);
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(Failure::new("waiting for the disk", io::Error::other(error))),
        }
    }
}
