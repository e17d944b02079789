//! Deleting objects, and folders that are empty then.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use russh_sftp::client::error::Error as SftpError;

use super::failure::{is_missing, status};
use super::session::Session;
use super::{REQUESTS_AT_ONCE, SftpBackend, folder_of};
use crate::{Operation, Result};

impl SftpBackend {
    /// Deletes `keys`; one result a key.
    pub(super) async fn delete_all(&self, keys: &[String]) -> Vec<Result<()>> {
        let Some(first) = keys.first() else { return Vec::new() };
        let session = match self.session(Operation::Delete, first).await {
            Ok(session) => session,
            Err(error) => {
                let same = |key: &String| self.path(Operation::Delete, key).and_then(|_| Err(error.of_key(key)));
                return keys.iter().map(same).collect();
            }
        };
        let deletes: Vec<_> = keys.iter().map(|key| self.delete_one(&session, key)).collect();
        let results: Vec<_> = stream::iter(deletes).buffered(REQUESTS_AT_ONCE).collect().await;
        self.remove_empty(&session, keys.iter().zip(&results)).await;
        results
    }

    async fn delete_one(&self, session: &Arc<Session>, key: &str) -> Result<()> {
        let path = self.path(Operation::Delete, key)?;
        let Err(error) = session.sftp.remove(&path).await else { return Ok(()) };
        if is_missing(&error) {
            return Ok(());
        }
        // A folder is no object.
        if status(&error).is_some() && session.sftp.lstat(&path).await.is_ok_and(|found| found.attrs.is_dir()) {
            return Ok(());
        }
        Err(self.failed(session, Operation::Delete, key, "deleting the object", &error))
    }

    /// Removes the folders of deleted `keys` that are empty, and those above them that are empty then, but never the
    /// root. That a folder is not empty is what a host refuses to remove it for, so failures mean nothing.
    async fn remove_empty(&self, session: &Session, keys: impl Iterator<Item = (&String, &Result<()>)>) {
        let deleted = keys.filter(|(_, result)| result.is_ok()).map(|(key, _)| folder_of(key));
        let mut folders: BTreeSet<&str> = deleted.filter(|folder| !folder.is_empty()).collect();
        // Deepest first: a path sorts before all that is below it.
        while let Some(folder) = folders.pop_last() {
            let removed: Result<_, SftpError> = session.sftp.rmdir(self.within(folder)).await;
            if removed.is_ok() && !folder_of(folder).is_empty() {
                folders.insert(folder_of(folder));
            }
        }
    }
}
