//! Listing what is there: folder by folder, each sorted.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures::stream::{self, BoxStream, StreamExt};
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::{FileAttributes, StatusCode};

use super::SftpBackend;
use super::failure::{is_missing, status};
use super::session::{Session, to_the_end};
use crate::temporary::is_object_name;
use crate::{Backend, Error, ErrorKind, ObjectMeta, Operation, Result};

/// What the host says of the file of `key`; `None` if it is none.
pub(super) fn object_meta(key: &str, attrs: &FileAttributes) -> Option<ObjectMeta> {
    let modified = UNIX_EPOCH + Duration::from_secs(attrs.mtime.unwrap_or(0).into());
    attrs.is_regular().then(|| ObjectMeta { key: key.to_owned(), size: attrs.len(), modified })
}

/// What is in a folder.
enum Entry {
    File(ObjectMeta),
    /// Ends with a slash.
    Folder(String),
}

impl Entry {
    /// Sorted by these, a folder stands where the keys in it do.
    fn key(&self) -> &str {
        match self {
            Self::File(meta) => &meta.key,
            Self::Folder(prefix) => prefix,
        }
    }
}

/// A listing under way: what is still to come, the next one last. Holds the entries of one folder for each level.
struct Walk {
    backend: SftpBackend,
    after: Option<String>,
    rest: Vec<Entry>,
}

impl Walk {
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
        let mut entries = self.backend.entries(prefix).await?;
        entries.sort_unstable_by(|a, b| b.key().cmp(a.key()));
        self.rest.append(&mut entries);
        Ok(())
    }

    /// Whether something in this folder may come after `after`.
    fn is_behind(&self, prefix: &str) -> bool {
        self.after.as_ref().is_none_or(|after| after.starts_with(prefix) || after.as_str() < prefix)
    }
}

impl SftpBackend {
    /// The objects of the folder `prefix` that sort after `after`. The folder is read before this returns, so that a
    /// host that cannot be reached is found out here.
    pub(super) async fn walk(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        let mut walk = Walk { backend: self.clone(), after: after.map(str::to_owned), rest: Vec::new() };
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

    pub(super) async fn sub_folders(&self, prefix: &str) -> Result<Vec<String>> {
        let entries = self.entries(prefix).await?;
        let folders = entries.iter().filter_map(|entry| match entry {
            Entry::Folder(folder) => folder.strip_prefix(prefix)?.strip_suffix('/'),
            Entry::File(_) => None,
        });
        let mut names: Vec<String> = folders.map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// What is in the folder `prefix`, in any order. One that does not exist is empty.
    async fn entries(&self, prefix: &str) -> Result<Vec<Entry>> {
        let session = self.session(Operation::List, prefix).await?;
        let failed = |error| self.failed(&session, Operation::List, prefix, "reading a folder", &error);
        match to_the_end(read_folder(Arc::clone(&session), self.within(prefix))).await {
            Ok(files) => Ok(files.iter().filter_map(|(name, attrs)| entry(prefix, name, attrs)).collect()),
            Err(error) if is_missing(&error) => {
                self.refuse_file(&session, prefix).await?;
                Ok(Vec::new())
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// A file in the place of the replica is a mistake, not an empty replica: "no backup" would be the wrong answer.
    async fn refuse_file(&self, session: &Session, prefix: &str) -> Result<()> {
        match session.sftp.stat(self.within("")).await {
            Ok(found) if !found.attrs.is_dir() => {
                let text = "the path of the replica is a file, not a folder";
                Err(Error::new(ErrorKind::Unavailable, Operation::List, prefix, self.location(), text))
            }
            _ => Ok(()),
        }
    }
}

/// Everything in the folder at `path`, in the order of the host.
pub(super) async fn read_folder(
    session: Arc<Session>,
    path: String,
) -> Result<Vec<(String, FileAttributes)>, SftpError> {
    let _open = session.files.acquire().await;
    let handle = session.sftp.opendir(path).await?.handle;
    let mut entries = Vec::new();
    let ended = loop {
        match session.sftp.readdir(&handle).await {
            Ok(names) => entries.extend(names.files.into_iter().map(|file| (file.filename, file.attrs))),
            Err(error) if status(&error) == Some(StatusCode::Eof) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    drop(session.sftp.close(handle).await);
    ended.map(|()| entries)
}

/// Links, unfinished files, and names that are not UTF-8 are no part of a replica.
fn entry(prefix: &str, name: &str, attrs: &FileAttributes) -> Option<Entry> {
    match name {
        "." | ".." => None,
        _ if name.contains(char::REPLACEMENT_CHARACTER) => None,
        _ if attrs.is_dir() => Some(Entry::Folder(format!("{prefix}{name}/"))),
        _ if is_object_name(name) => object_meta(&format!("{prefix}{name}"), attrs).map(Entry::File),
        _ => None,
    }
}
