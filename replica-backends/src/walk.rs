//! Listing stores that are read folder by folder, in any order.

use std::future::Future;

use futures::stream::{self, BoxStream, StreamExt};

use crate::{ObjectMeta, Result};

/// What is in a folder.
pub(crate) enum Entry {
    File(ObjectMeta),
    /// Its prefix, which ends with a slash.
    Folder(String),
}

impl Entry {
    /// Sorted by these, a folder stands where the keys in it do (`a.b` before `a/c`, although `a` sorts before `a.b`).
    fn key(&self) -> &str {
        match self {
            Self::File(meta) => &meta.key,
            Self::Folder(prefix) => prefix,
        }
    }
}

/// A store that can tell what is in one folder.
pub(crate) trait ReadFolder: Send + Sync + 'static {
    /// What is in the folder `prefix`, in any order. One that does not exist is empty.
    fn entries(&self, prefix: &str) -> impl Future<Output = Result<Vec<Entry>>> + Send;
}

/// A walk under way: what is still to come, the next one last. Holds the entries of one folder for each level.
struct Walk<S> {
    store: S,
    after: Option<String>,
    rest: Vec<Entry>,
}

impl<S: ReadFolder> Walk<S> {
    async fn next(&mut self) -> Option<Result<ObjectMeta>> {
        loop {
            match self.rest.pop()? {
                Entry::File(meta) if self.after.as_ref().is_none_or(|after| *after < meta.key) => {
                    return Some(Ok(meta));
                }
                Entry::Folder(prefix) if self.is_behind(&prefix) => {
                    if let Err(error) = self.enter(&prefix).await {
                        return Some(Err(error));
                    }
                }
                Entry::File(_) | Entry::Folder(_) => {}
            }
        }
    }

    async fn enter(&mut self, prefix: &str) -> Result<()> {
        let mut entries = self.store.entries(prefix).await?;
        entries.sort_unstable_by(|a, b| b.key().cmp(a.key()));
        self.rest.append(&mut entries);
        Ok(())
    }

    /// Whether something in this folder may come after `after`.
    fn is_behind(&self, prefix: &str) -> bool {
        self.after.as_ref().is_none_or(|after| after.starts_with(prefix) || after.as_str() < prefix)
    }
}

/// The objects of the folder `prefix` that sort after `after`. The folder is read before this returns, so that a store
/// that cannot be reached is found out here.
pub(crate) async fn walk(
    store: impl ReadFolder,
    prefix: &str,
    after: Option<&str>,
) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
    let mut walk = Walk { store, after: after.map(str::to_owned), rest: Vec::new() };
    if walk.is_behind(prefix) {
        walk.enter(prefix).await?;
    }
    let objects = stream::unfold(Some(walk), async |walk| {
        let mut walk = walk?;
        let next = walk.next().await?;
        let rest = next.is_ok().then_some(walk);
        Some((next, rest))
    });
    Ok(objects.boxed())
}

/// The names of the folders in the folder `prefix`, ascending.
pub(crate) async fn sub_folders(store: &impl ReadFolder, prefix: &str) -> Result<Vec<String>> {
    let entries = store.entries(prefix).await?;
    let folders = entries.iter().filter_map(|entry| match entry {
        Entry::Folder(folder) => folder.strip_prefix(prefix)?.strip_suffix('/'),
        Entry::File(_) => None,
    });
    let mut names: Vec<String> = folders.map(str::to_owned).collect();
    names.sort_unstable();
    Ok(names)
}
