//! Uploads in parts that were neither completed nor aborted, because whoever was at work on them died.
//!
//! To abort one harms nobody but who is still at work on it: that upload fails then and is tried anew, and an object
//! that has its name stays. So only those of other processes are listed, and their age tells whether they live.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use object_store::path::Path;

use super::CloudBackend;
use crate::{Error, ErrorKind, Operation, Result, Unfinished};

/// A service that keeps what came of unfinished uploads.
#[async_trait]
pub(crate) trait KeepsUploads: Send + Sync {
    /// The first of those to paths that begin with `prefix`.
    async fn list(&self, prefix: &str) -> object_store::Result<Vec<Upload>>;

    /// Removes what is there of one. That there is none is an error.
    async fn abort(&self, path: &Path, id: &str) -> object_store::Result<()>;
}

/// As a service lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) path: String,
    pub(crate) id: String,
    pub(crate) begun: SystemTime,
}

/// Where uploads of this process are under way in a bucket.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<Vec<Path>>);

/// One of them, until it is dropped.
pub(super) struct Begun<'a> {
    all: &'a UnderWay,
    path: &'a Path,
}

impl UnderWay {
    pub(super) fn begin<'a>(&'a self, path: &'a Path) -> Begun<'a> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
        Begun { all: self, path }
    }

    fn has(&self, path: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|other| other.as_ref() == path)
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = all.iter().position(|path| path == self.path) {
            all.swap_remove(at);
        }
    }
}

impl CloudBackend {
    pub(super) async fn list_unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>> {
        let Some(uploads) = &self.client(Operation::List, prefix).await?.uploads else { return Ok(Vec::new()) };
        let folder = if self.root.is_empty() { prefix.to_owned() } else { format!("{}/{prefix}", self.root) };
        let listed = uploads.list(&folder).await.map_err(|error| self.cannot_list(prefix, &error))?;
        // Not before the listing: what is begun after this is not in it.
        let others = listed.into_iter().filter(|upload| !self.bucket.under_way.has(&upload.path));
        let unfinished = others.filter_map(|Upload { path, id, begun }| {
            let key = path.strip_prefix(&folder)?;
            Some(Unfinished { key: format!("{prefix}{key}"), id, begun })
        });
        Ok(unfinished.collect())
    }

    fn cannot_list(&self, prefix: &str, error: &object_store::Error) -> Error {
        let error = self.failed(Operation::List, prefix, error);
        match error.kind() {
            ErrorKind::PermissionDenied => error.with_context("unfinished uploads: s3:ListBucketMultipartUploads"),
            _ => error,
        }
    }

    pub(super) async fn abort_unfinished(&self, upload: &Unfinished) -> Result<()> {
        let path = self.path(Operation::Delete, &upload.key)?;
        let Some(uploads) = &self.client(Operation::Delete, &upload.key).await?.uploads else { return Ok(()) };
        let aborted = uploads.abort(&path, &upload.id).await;
        aborted.map_err(|error| self.failed(Operation::Delete, &upload.key, &error))
    }
}
