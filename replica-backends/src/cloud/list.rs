//! Listing what is there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::stream::{self, BoxStream, StreamExt};
use object_store::ObjectStore;
use object_store::path::Path;

use super::CloudBackend;
use crate::{Backend, Error, ErrorKind, ObjectMeta, Operation, Result};

/// What a store says of an object, as `key`. Times are cut to the second: that is all that some answers tell.
pub(super) fn object_meta(key: String, meta: &object_store::ObjectMeta) -> ObjectMeta {
    let seconds = Duration::from_secs(meta.last_modified.timestamp().unsigned_abs());
    let before_1970 = meta.last_modified.timestamp() < 0;
    let modified: SystemTime = if before_1970 { UNIX_EPOCH - seconds } else { UNIX_EPOCH + seconds };
    ObjectMeta { key, size: meta.size, modified }
}

/// A listing under way.
struct Listing {
    backend: CloudBackend,
    prefix: String,
    objects: BoxStream<'static, object_store::Result<object_store::ObjectMeta>>,
    /// Only what comes after this is wanted. A store that does not know "start after" begins at the front.
    after: Option<String>,
    /// The last key that was seen: the next must be larger.
    last: Option<String>,
}

impl Listing {
    /// The next object below the prefix; `None` at the end.
    async fn next(&mut self) -> Option<Result<ObjectMeta>> {
        loop {
            let meta = match self.objects.next().await? {
                Ok(meta) => meta,
                Err(error) => return Some(Err(self.backend.failed(Operation::List, &self.prefix, &error))),
            };
            let Some(key) = self.backend.key(&meta.location) else { continue };
            if !key.starts_with(&self.prefix) {
                continue;
            }
            if let Some(last) = self.last.as_deref().filter(|last| *last >= key) {
                return Some(Err(self.error(format!("the store lists out of order: {key} after {last}"))));
            }
            let meta = object_meta(key.to_owned(), &meta);
            let is_wanted = self.after.as_deref().is_none_or(|after| after < key);
            self.last = Some(meta.key.clone());
            if is_wanted {
                return Some(Ok(meta));
            }
        }
    }

    fn error(&self, text: String) -> Error {
        Error::new(ErrorKind::Unavailable, Operation::List, &self.prefix, self.backend.location(), text)
    }
}

impl CloudBackend {
    pub(super) async fn list_objects(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        let store = self.store(Operation::List, prefix).await?;
        let folder = self.folder_path(prefix)?;
        let objects = match after.and_then(|after| self.offset(prefix, after)) {
            Some(offset) => store.list_with_offset(Some(&folder), &offset),
            None => store.list(Some(&folder)),
        };
        let (backend, prefix, after) = (self.clone(), prefix.to_owned(), after.map(str::to_owned));
        let listing = Listing { backend, prefix, objects, after, last: None };
        let objects = stream::unfold(Some(listing), async |listing| {
            let mut listing = listing?;
            let next = listing.next().await?;
            let rest = next.is_ok().then_some(listing);
            Some((next, rest))
        });
        Ok(objects.boxed())
    }

    /// Where the store may begin to list what comes after `after`; `None` if that cannot be said as a key.
    fn offset(&self, prefix: &str, after: &str) -> Option<Path> {
        // What lies before the folder anyway need not be said, and not every text is a key.
        let _ = after.strip_prefix(prefix)?;
        self.path(Operation::List, after).ok()
    }

    pub(super) async fn sub_folders(&self, prefix: &str) -> Result<Vec<String>> {
        let store = self.store(Operation::List, prefix).await?;
        let folder = self.folder_path(prefix)?;
        let listed = store.list_with_delimiter(Some(&folder)).await;
        let listed = listed.map_err(|error| self.failed(Operation::List, prefix, &error))?;
        let names = listed.common_prefixes.iter().filter_map(|path| self.key(path)?.strip_prefix(prefix));
        let mut names: Vec<String> = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The folder `prefix` as object_store names it: without a slash at its end.
    fn folder_path(&self, prefix: &str) -> Result<Path> {
        match prefix.strip_suffix('/') {
            Some(folder) => self.path(Operation::List, folder),
            None => Path::parse(&self.root)
                .map_err(|error| self.invalid(Operation::List, prefix, &format!("the path of the replica: {error}"))),
        }
    }
}
