//! Deleting objects, and never a folder: a server would delete what is in it too.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt};

use super::client::Payload;
use super::{REQUESTS_AT_ONCE, WebdavBackend};
use crate::walk::{Entry, ReadFolder};
use crate::{Operation, Result};

/// From this many keys in a folder on, the folder is read instead of looking at each.
const MANY: usize = 16;

impl WebdavBackend {
    /// Deletes `keys`; one result a key.
    pub(super) async fn delete_all(&self, keys: &[String]) -> Vec<Result<()>> {
        let mut results = Vec::with_capacity(keys.len());
        let mut folders: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, key) in keys.iter().enumerate() {
            results.push(self.check(Operation::Delete, key));
            if results[index].is_ok() {
                let prefix = key.rfind('/').map_or("", |slash| &key[..=slash]);
                folders.entry(prefix).or_default().push(index);
            }
        }
        for (prefix, indexes) in folders {
            let listed = if indexes.len() < MANY { Ok(None) } else { self.files(prefix).await.map(Some) };
            let listed = match listed {
                Ok(listed) => listed,
                Err(error) => {
                    for index in indexes {
                        results[index] = Err(error.of_key(&keys[index]).during(Operation::Delete));
                    }
                    continue;
                }
            };
            let deletes: Vec<_> = indexes.iter().map(|index| self.delete_one(&keys[*index], listed.as_ref())).collect();
            let deleted: Vec<_> = stream::iter(deletes).buffered(REQUESTS_AT_ONCE).collect().await;
            for (index, result) in indexes.into_iter().zip(deleted) {
                results[index] = result;
            }
        }
        results
    }

    /// The keys of all files in a folder.
    async fn files(&self, prefix: &str) -> Result<BTreeSet<String>> {
        let key = |entry| match entry {
            Entry::File(meta) => Some(meta.key),
            Entry::Folder(_) => None,
        };
        Ok(self.entries(prefix).await?.into_iter().filter_map(key).collect())
    }

    async fn delete_one(&self, key: &str, files: Option<&BTreeSet<String>>) -> Result<()> {
        let is_file = match files {
            Some(files) => files.contains(key),
            None => self.look(Operation::Delete, key).await?.is_some(),
        };
        if !is_file {
            return Ok(());
        }
        match self.server.client.send("DELETE", &self.within(key), &[], Payload::None).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.status() == Some(404) => Ok(()),
            Err(failure) => Err(self.failed(Operation::Delete, key, "deleting the object", &failure)),
        }
    }
}
