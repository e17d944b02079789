//! Reading folders.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::{FileAttributes, StatusCode};

use super::SftpBackend;
use super::failure::{is_missing, status};
use super::session::{Session, to_the_end};
use crate::temporary::is_object_name;
use crate::walk::{Entry, ReadFolder};
use crate::{Backend, Error, ErrorKind, ObjectMeta, Operation, Result};

/// What the host says of the file of `key`; `None` if it is none.
pub(super) fn object_meta(key: &str, attrs: &FileAttributes) -> Option<ObjectMeta> {
    let modified = UNIX_EPOCH + Duration::from_secs(attrs.mtime.unwrap_or(0).into());
    attrs.is_regular().then(|| ObjectMeta { key: key.to_owned(), size: attrs.len(), modified })
}

impl ReadFolder for SftpBackend {
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
}

impl SftpBackend {
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
