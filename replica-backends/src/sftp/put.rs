//! Putting an object: a file beside its place, synced, and given its name.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::{FileAttributes, OpenFlags};

use super::failure::{is_missing, status};
use super::open_file::OpenFile;
use super::session::{Session, to_the_end};
use super::{PIECE_LEN, REQUESTS_AT_ONCE, SftpBackend, folder_of};
use crate::temporary::{ABANDONED, is_our_temporary_name, temporary_beside};
use crate::{Backend, Body, Error, ErrorKind, Operation, Result};

/// Tries to make the folders of a file, against somebody who removes them.
const FOLDERS_TRIES: u32 = 4;

/// A file that is being written. Dropped before it got its name it goes away.
pub(super) struct Temporary {
    session: Arc<Session>,
    file: Option<OpenFile>,
    path: Option<String>,
}

impl Temporary {
    async fn create(session: Arc<Session>, path: String) -> Result<Self, SftpError> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUDE;
        let file = OpenFile::open(Arc::clone(&session), path.clone(), flags).await?;
        Ok(Self { session, file: Some(file), path: Some(path) })
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Where it is.
    pub(super) fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_default()
    }

    /// Its name is gone (it was renamed): there is nothing left to remove.
    pub(super) fn disarm(mut self) {
        self.path = None;
    }

    /// Takes this name away; the file may have another.
    pub(super) async fn remove(mut self) -> Result<(), SftpError> {
        let Some(path) = self.path.clone() else { return Ok(()) };
        self.session.sftp.remove(path).await?;
        self.path = None;
        Ok(())
    }

    /// Makes it durable and closes it.
    async fn finish(&mut self) -> Result<(), SftpError> {
        let Some(file) = self.file.take() else { return Ok(()) };
        file.sync().await?;
        file.close().await
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let (session, file, path) = (Arc::clone(&self.session), self.file.take(), self.path.take());
        let Some(path) = path else { return };
        // Without a runtime the process is ending: what stays behind has a name that is no object's.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Some(file) = file {
                    drop(file.close().await);
                }
                drop(session.sftp.remove(path).await);
            });
        }
    }
}

enum WriteError {
    Body(io::Error),
    Sftp(SftpError),
}

impl SftpBackend {
    /// Puts `body` at `key`; only if there is nothing yet, or over what is there.
    pub(super) async fn put(&self, key: &str, body: Body, only_new: bool) -> Result<u64> {
        let path = self.path(Operation::Put, key)?;
        let session = self.session(Operation::Put, key).await?;
        let folder = folder_of(&path);
        // Before much is sent in vain. What counts is what the host says when the file gets its name.
        if only_new && body.as_bytes().is_none() && session.sftp.lstat(&path).await.is_ok() {
            return Err(self.exists(key));
        }
        let mut file = match self.create(&session, &path).await {
            Ok(file) => file,
            Err(error) => return Err(self.write_failed(&session, key, folder, "making a file", &error).await),
        };
        self.sweep(&session, folder);
        let len = match write(&file, &body).await {
            Ok(len) => len,
            Err(WriteError::Body(error)) => {
                return Err(Error::new(ErrorKind::Body, Operation::Put, key, self.location(), error));
            }
            Err(WriteError::Sftp(error)) => {
                return Err(self.write_failed(&session, key, folder, "writing the object", &error).await);
            }
        };
        if let Err(error) = file.finish().await {
            return Err(self.write_failed(&session, key, folder, "making the object durable", &error).await);
        }
        self.publish(file, &path, key, only_new).await?;
        Ok(len)
    }

    /// A new file beside `path`, in folders that are made if they are missing.
    async fn create(&self, session: &Arc<Session>, path: &str) -> Result<Temporary, SftpError> {
        let mut tries = 0;
        loop {
            match to_the_end(Temporary::create(Arc::clone(session), temporary_beside(path))).await {
                Err(error) if is_missing(&error) && tries < FOLDERS_TRIES => {
                    make_folder(session, folder_of(path)).await?;
                }
                created => return created,
            }
            tries += 1;
        }
    }

    /// Removes, beside everything else, what crashes left behind in `folder`.
    fn sweep(&self, session: &Arc<Session>, folder: &str) {
        if !self.sweeps.is_due(folder) {
            return;
        }
        let (session, folder) = (Arc::clone(session), folder.to_owned());
        tokio::spawn(async move {
            let _ = remove_abandoned(&session, &folder).await;
        });
    }
}

async fn remove_abandoned(session: &Arc<Session>, folder: &str) -> Result<(), SftpError> {
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(ABANDONED);
    let (place, beside) = match folder {
        "" => (".", String::new()),
        "/" => ("/", "/".to_owned()),
        folder => (folder, format!("{folder}/")),
    };
    let files = super::list::read_folder(Arc::clone(session), place.to_owned()).await?;
    let is_abandoned = |attrs: &FileAttributes| attrs.mtime.is_some_and(|at| u64::from(at) < before.as_secs());
    for (name, _) in files.iter().filter(|(name, attrs)| is_our_temporary_name(name) && is_abandoned(attrs)) {
        session.sftp.remove(format!("{beside}{name}")).await?;
    }
    Ok(())
}

/// Writes all of `body`, many requests at a time; returns its length.
async fn write(file: &Temporary, body: &Body) -> Result<u64, WriteError> {
    let Some(file) = &file.file else { return Ok(0) };
    let mut end = 0;
    let pieces = body.open().map_err(WriteError::Body).map_ok(|chunk| stream::iter(cut(chunk)).map(Ok)).try_flatten();
    let writes = pieces.map_ok(|piece| {
        let start = end;
        end += piece.len() as u64;
        async move { file.write(start, &piece).await.map_err(WriteError::Sftp) }
    });
    writes.try_buffer_unordered(REQUESTS_AT_ONCE).try_collect::<()>().await?;
    Ok(end)
}

fn cut(mut chunk: Bytes) -> Vec<Bytes> {
    let mut pieces = Vec::with_capacity(chunk.len() / PIECE_LEN + 1);
    while !chunk.is_empty() {
        pieces.push(chunk.split_to(PIECE_LEN.min(chunk.len())));
    }
    pieces
}

/// Makes `folder`, and those that it is in as far as they are missing.
pub(super) async fn make_folder(session: &Session, folder: &str) -> Result<(), SftpError> {
    let mut missing = if folder.is_empty() { Vec::new() } else { vec![folder] };
    while let Some(folder) = missing.last() {
        match session.sftp.mkdir(*folder, FileAttributes::empty()).await {
            Ok(_) => {}
            Err(error) if is_missing(&error) && !matches!(folder_of(folder), "" | "/") => {
                missing.push(folder_of(folder));
                continue;
            }
            Err(error) if status(&error).is_none() => return Err(error),
            // Somebody else may have made it: that is refused with no more than "failure".
            Err(error) => match session.sftp.stat(*folder).await {
                Ok(found) if found.attrs.is_dir() => {}
                _ => return Err(error),
            },
        }
        missing.pop();
    }
    Ok(())
}
