//! Looking at files, and reading folders.

use bytes::Bytes;

use super::WebdavBackend;
use super::client::{Payload, next_chunk};
use super::failure::Failure;
use super::multistatus::{Multistatus, QUESTION, Resource};
use crate::temporary::is_object_name;
use crate::walk::{Entry, ReadFolder};
use crate::{Backend, Error, ErrorKind, ObjectMeta, Operation, Result};

impl WebdavBackend {
    /// What the server says of `path`, and of what is in it if `depth` is 1.
    async fn propfind(&self, path: &str, depth: u8) -> Result<Vec<Resource>, Failure> {
        let headers = [("depth", depth.to_string()), ("content-type", "application/xml; charset=\"utf-8\"".to_owned())];
        let question = Payload::Whole(Bytes::from_static(QUESTION.as_bytes()));
        let mut answer = self.server.client.send("PROPFIND", path, &headers, question).await?;
        if answer.status().as_u16() != 207 {
            return Err(Failure::Nonsense(format!("HTTP status {} to PROPFIND", answer.status().as_u16())));
        }
        let mut multistatus = Multistatus::default();
        while let Some(chunk) = next_chunk(&mut answer).await? {
            multistatus.read(&chunk).map_err(Failure::Nonsense)?;
        }
        multistatus.finish().map_err(Failure::Nonsense)
    }

    /// The object of `key`, if there is one.
    pub(super) async fn look(&self, operation: Operation, key: &str) -> Result<Option<ObjectMeta>> {
        let path = self.within(key);
        let found = match self.propfind(&path, 0).await {
            Ok(found) => found,
            Err(failure) if failure.status() == Some(404) => return Ok(None),
            Err(failure) => return Err(self.failed(operation, key, "looking at the object", &failure)),
        };
        let file = found.into_iter().find(|resource| !resource.is_folder);
        Ok(file.map(|file| ObjectMeta { key: key.to_owned(), size: file.size, modified: file.modified }))
    }

    /// The size of the file at `path`, if it is there.
    pub(super) async fn size_of(&self, path: &str) -> Result<Option<u64>, Failure> {
        match self.propfind(path, 0).await {
            Ok(found) => Ok(found.first().map(|file| file.size)),
            Err(failure) if failure.status() == Some(404) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Everything in the folder at `path`; `None` if there is no such folder.
    pub(super) async fn read_folder(&self, path: &str) -> Result<Option<Vec<Resource>>, Failure> {
        let mut found = match self.propfind(&format!("{}/", path.trim_end_matches('/')), 1).await {
            Ok(found) => found,
            Err(failure) if failure.status() == Some(404) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        // The folder itself is among them: what is in it has one part more.
        let parts = found.iter().map(|resource| resource.path.len()).min().unwrap_or(0);
        let is_folder = found.iter().any(|resource| resource.path.len() == parts && resource.is_folder);
        found.retain(|resource| resource.path.len() == parts + 1);
        Ok(is_folder.then_some(found))
    }

    /// A file in the place of the replica is a mistake, not an empty replica: "no backup" would be the wrong answer.
    async fn refuse_file(&self, prefix: &str) -> Result<()> {
        if self.root.is_empty() {
            return Ok(());
        }
        match self.propfind(&self.root, 0).await {
            Ok(found) if found.iter().any(|resource| !resource.is_folder) => {
                let text = "the path of the replica is a file, not a folder";
                Err(Error::new(ErrorKind::Unavailable, Operation::List, prefix, self.location(), text))
            }
            _ => Ok(()),
        }
    }
}

impl ReadFolder for WebdavBackend {
    async fn entries(&self, prefix: &str) -> Result<Vec<Entry>> {
        let _nobody_replaces = self.server.replacing.read().await;
        match self.read_folder(&self.within(prefix)).await {
            Ok(Some(found)) => Ok(found.iter().filter_map(|resource| entry(prefix, resource)).collect()),
            Ok(None) => self.refuse_file(prefix).await.map(|()| Vec::new()),
            Err(failure) => Err(self.failed(Operation::List, prefix, "reading a folder", &failure)),
        }
    }
}

fn entry(prefix: &str, resource: &Resource) -> Option<Entry> {
    let name = resource.name();
    if resource.is_folder {
        return Some(Entry::Folder(format!("{prefix}{name}/")));
    }
    let meta = ObjectMeta { key: format!("{prefix}{name}"), size: resource.size, modified: resource.modified };
    is_object_name(name).then_some(Entry::File(meta))
}
