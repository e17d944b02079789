//! Replicas in a folder of a local (or mounted) file system.
//!
//! What it assumes of the file system:
//! 1. a file that was synced, and whose entry was then synced in its folder, survives a power cut;
//! 2. a rename that must not replace, or a hard link, is atomic and fails when the name is taken;
//! 3. a failed sync says nothing about what is on disk: such a file is thrown away and never published.

mod chunk;
mod delete;
#[cfg(target_os = "linux")]
mod direct;
mod failure;
mod folders;
mod ownership;
mod publish;
mod put;
mod read;
mod store;
mod stream;
mod sweep;
mod temp;
#[cfg(test)]
mod tests;
mod walk;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;

pub use self::ownership::Ownership;
use self::store::{Store, Target};
use crate::temporary::{ABANDONED, Sweeps};
use crate::{Backend, Body, ByteRange, ByteStream, Error, ErrorKind, ObjectMeta, Operation, Result};

/// A [`Backend`] that keeps each object as a file below a root folder, as Litestream 0.3 does.
///
/// - An object is durable when [`Backend::put_new`] returns: file, entry and every folder above it are synced. So
///   is the object that an `AlreadyExists` speaks of.
/// - Readers see a file whole or not at all. A put that fails or is dropped leaves no temporary file; what a crash
///   leaves behind is invisible, and is deleted after a day or two, when an object is put.
/// - A put that is dropped once its whole body was read may still be carried out.
/// - A root that does not exist is an empty store, made by the first put.
/// - Only regular files are objects, and names ending in `.tmp` are none (keys with such a name are `Invalid`).
///   Folders whose last object is deleted are removed.
#[derive(Clone)]
pub struct FileBackend {
    store: Arc<Store>,
    sweeps: Arc<Sweeps>,
}

impl FileBackend {
    /// The objects below `root`, which need not exist and may be a symbolic link to a folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::of(Store::new(root.into(), Ownership::default()))
    }

    /// The same store, with `ownership` for the files and folders it makes from now on.
    #[must_use]
    pub fn with_ownership(self, ownership: Ownership) -> Self {
        Self::of(Store::new(self.store.root().to_owned(), ownership))
    }

    fn of(store: Store) -> Self {
        Self { store: Arc::new(store), sweeps: Arc::default() }
    }

    /// Deletes, beside everything else, what crashes left behind.
    fn sweep(&self) {
        if self.sweeps.is_due("") {
            let store = self.clone();
            tokio::spawn(async move { store.blocking(|store| store.sweep_temporary(ABANDONED)).await.map(drop) });
        }
    }

    /// The file of `key`, or why the key is refused.
    fn target(&self, key: &str, operation: Operation) -> Result<Target> {
        self.store.target(key).map_err(|problem| self.invalid(operation, key, problem))
    }

    async fn put(&self, key: &str, target: Target, body: &Body) -> Result<u64> {
        self.sweep();
        match body.as_bytes().cloned() {
            Some(bytes) => {
                let put = self.blocking(move |store| store.put_whole(&target, &bytes)).await;
                put.map_err(|failure| failure.into_error(Operation::Put, key, self.location()))
            }
            None => self.put_stream(key, target, body).await,
        }
    }

    fn invalid(&self, operation: Operation, key: &str, problem: &'static str) -> Error {
        Error::new(ErrorKind::Invalid, operation, key, self.location(), problem)
    }
}

#[async_trait]
impl Backend for FileBackend {
    fn location(&self) -> String {
        format!("file://{}", self.store.root().display())
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<u64> {
        let target = self.target(key, Operation::Put)?;
        self.put(key, target, &body).await
    }

    async fn put_over(&self, key: &str, body: Body) -> Result<u64> {
        let target = Target { replace: true, ..self.target(key, Operation::Put)? };
        self.put(key, target, &body).await
    }

    async fn get(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        let target = self.target(key, Operation::Get)?;
        self.read(key, target, range).await
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        let target = self.target(key, Operation::Head)?;
        let head = self.blocking(move |_| read::head(target)).await;
        head.map_err(|failure| failure.into_error(Operation::Head, key, self.location()))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        self.walk(prefix, after).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.sub_folders(prefix).await
    }

    async fn creates_atomically(&self) -> Result<bool> {
        Ok(true)
    }

    async fn delete(&self, keys: &[String]) -> Vec<Result<()>> {
        self.delete_all(keys).await
    }
}

impl fmt::Debug for FileBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBackend").field("root", &self.store.root()).finish_non_exhaustive()
    }
}
