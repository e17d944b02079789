//! Putting an object: a file beside its place, which is moved there.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt};

use super::WebdavBackend;
use super::client::Payload;
use super::failure::Failure;
use crate::temporary::{ABANDONED, is_our_temporary_name, temporary_beside};
use crate::{Backend, Body, Error, ErrorKind, Operation, Result};

/// A stream of at most this many bytes is collected: some servers take no file whose length is not known beforehand.
const COLLECTED_LEN_MAX: usize = 4 << 20;

/// How a file gets its name without replacing another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Creation {
    /// By a MOVE that must not overwrite, which was seen to be refused.
    Move,
    /// By a MOVE, after looking whether the name is taken.
    LookFirst,
}

/// A file that is being written. Dropped before it got its name it goes away.
struct Temporary {
    backend: WebdavBackend,
    path: Option<String>,
}

impl Temporary {
    fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_default()
    }

    /// Removes it now. Whether that succeeds does not matter: what stays behind is no object.
    async fn remove(mut self) {
        if let Some(path) = self.path.take() {
            drop(self.backend.server.client.send("DELETE", &path, &[], Payload::None).await);
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        let backend = self.backend.clone();
        // Without a runtime the process is ending: what stays behind has a name that is no object's.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { drop(backend.server.client.send("DELETE", &path, &[], Payload::None).await) });
        }
    }
}

/// What became of a body on its way.
#[derive(Default)]
struct Sent {
    len: AtomicU64,
    error: Mutex<Option<io::Error>>,
}

enum PutError {
    Body(io::Error),
    Sent(Failure),
}

/// The folder of `path`; empty for that of the URL itself.
fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl WebdavBackend {
    /// Puts `body` at `key`; only if there is nothing yet, or over what is there.
    pub(super) async fn put(&self, key: &str, body: Body, only_new: bool) -> Result<u64> {
        self.check(Operation::Put, key)?;
        let failed = |step: &'static str| move |failure| self.failed(Operation::Put, key, step, &failure);
        // Before much is sent in vain. What counts is what the server says when the file gets its name.
        if only_new && body.as_bytes().is_none() && self.look(Operation::Put, key).await?.is_some() {
            return Err(self.exists(key));
        }
        let path = self.within(key);
        self.make_folder(folder_of(&path)).await.map_err(failed("making a folder"))?;
        self.sweep(folder_of(&path));
        let temporary = Temporary { backend: self.clone(), path: Some(temporary_beside(&path)) };
        let mut sent = self.send_body(temporary.path(), &body).await;
        if matches!(&sent, Err(PutError::Sent(failure)) if matches!(failure.status(), Some(404 | 409))) {
            // Somebody has removed the folder since.
            self.made.lock().await.clear();
            self.make_folder(folder_of(&path)).await.map_err(failed("making a folder"))?;
            sent = self.send_body(temporary.path(), &body).await;
        }
        let len = match sent {
            Ok(len) => len,
            Err(PutError::Body(error)) => {
                return Err(Error::new(ErrorKind::Body, Operation::Put, key, self.location(), error));
            }
            Err(PutError::Sent(failure)) => return Err(failed("writing the object")(failure)),
        };
        match only_new {
            true => self.name_new(temporary, key, &path).await?,
            false => {
                let _nobody_looks = self.server.replacing.write().await;
                self.rename(temporary, &path, true).await.map_err(failed("moving the object"))?;
            }
        }
        Ok(len)
    }

    fn exists(&self, key: &str) -> Error {
        Error::new(ErrorKind::AlreadyExists, Operation::Put, key, self.location(), "the object exists already")
    }

    async fn send_body(&self, path: &str, body: &Body) -> Result<u64, PutError> {
        let sent = Arc::new(Sent::default());
        let put = async |payload| self.server.client.send("PUT", path, &[], payload).await.map_err(PutError::Sent);
        if let Some(bytes) = body.as_bytes() {
            put(Payload::Whole(bytes.clone())).await?;
            return Ok(bytes.len() as u64);
        }
        let mut chunks = body.open();
        let mut front = BytesMut::new();
        while front.len() <= COLLECTED_LEN_MAX {
            match chunks.next().await {
                Some(Ok(chunk)) => front.extend_from_slice(&chunk),
                Some(Err(error)) => return Err(PutError::Body(error)),
                None => {
                    let len = front.len() as u64;
                    put(Payload::Whole(front.freeze())).await?;
                    return Ok(len);
                }
            }
        }
        let seen = Arc::clone(&sent);
        let all = stream::iter([Ok(front.freeze())]).chain(chunks).map(move |chunk: io::Result<Bytes>| match chunk {
            Ok(chunk) => {
                seen.len.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                Ok(chunk)
            }
            Err(error) => {
                let told = io::Error::from(error.kind());
                *seen.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(told)
            }
        });
        let put = put(Payload::Stream(all.boxed())).await;
        if let Some(error) = sent.error.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(PutError::Body(error));
        }
        put?;
        let len = sent.len.load(Ordering::Relaxed);
        match self.size_of(path).await.map_err(PutError::Sent)? {
            Some(stored) if stored == len => Ok(len),
            stored => Err(PutError::Sent(Failure::Nonsense(format!(
                "of a file of {len} bytes it has stored {}: it cannot take files whose length is not known beforehand",
                stored.unwrap_or(0)
            )))),
        }
    }

    async fn name_new(&self, temporary: Temporary, key: &str, path: &str) -> Result<()> {
        let failed = |failure| self.failed(Operation::Put, key, "moving the object", &failure);
        let _one_at_a_time = self.server.naming.lock().await;
        let creation = self.server.creation.get_or_try_init(|| self.find_out(folder_of(path))).await.map_err(failed)?;
        if *creation == Creation::LookFirst && self.look(Operation::Put, key).await?.is_some() {
            return Err(self.exists(key));
        }
        match self.rename(temporary, path, false).await {
            Err(failure) if failure.status() == Some(412) => Err(self.exists(key)),
            renamed => renamed.map_err(failed),
        }
    }

    async fn rename(&self, mut temporary: Temporary, path: &str, overwrite: bool) -> Result<(), Failure> {
        self.move_file(temporary.path(), path, overwrite).await?;
        temporary.path = None;
        Ok(())
    }

    async fn move_file(&self, from: &str, to: &str, overwrite: bool) -> Result<(), Failure> {
        let overwrite = if overwrite { "T" } else { "F" };
        let headers = [("destination", to.to_owned()), ("overwrite", overwrite.to_owned())];
        let answer = self.server.client.send("MOVE", from, &headers, Payload::None).await?;
        // So it tells that a part of it failed.
        if answer.status().as_u16() == 207 {
            return Err(Failure::Nonsense("it could not move a file".to_owned()));
        }
        Ok(())
    }

    /// Whether the server refuses to replace; of two requests at the same moment the protocol promises nothing.
    pub(super) async fn creation_is_refused(&self) -> Result<bool> {
        let failed = |failure| self.failed(Operation::Put, "", "trying to replace a file", &failure);
        self.make_folder(&self.root).await.map_err(failed)?;
        let _one_at_a_time = self.server.naming.lock().await;
        let creation = self.server.creation.get_or_try_init(|| self.find_out(&self.root)).await.map_err(failed)?;
        Ok(*creation == Creation::Move)
    }

    /// Finds out once for a server, with two files in `folder` that go away.
    async fn find_out(&self, folder: &str) -> Result<Creation, Failure> {
        let mut files = Vec::new();
        for _ in 0..2 {
            let path = temporary_beside(&format!("{folder}/create-probe"));
            let path = path.trim_start_matches('/').to_owned();
            self.server.client.send("PUT", &path, &[], Payload::Whole(Bytes::from_static(b"probe\n"))).await?;
            files.push(Temporary { backend: self.clone(), path: Some(path) });
        }
        let moved = self.move_file(files[0].path(), files[1].path(), false).await;
        for file in files {
            file.remove().await;
        }
        match moved {
            Err(failure) if failure.status() == Some(412) => Ok(Creation::Move),
            Err(failure) => Err(failure),
            Ok(()) => {
                tracing::warn!(location = %self.location(),
                    "this server replaces files even if it is told not to: it is looked before each put, which two \
                     writers who write to the same replica at the same moment can both pass; give each its own path");
                Ok(Creation::LookFirst)
            }
        }
    }

    /// Makes `folder`, and those that it is in as far as they are missing; costs nothing when it is known.
    async fn make_folder(&self, folder: &str) -> Result<(), Failure> {
        let mut made = self.made.lock().await;
        if folder.is_empty() || made.contains(folder) {
            return Ok(());
        }
        let mut missing = vec![folder];
        while let Some(folder) = missing.last() {
            match self.server.client.send("MKCOL", &format!("{folder}/"), &[], Payload::None).await {
                Ok(_) => {}
                // It exists.
                Err(failure) if failure.status() == Some(405) => {}
                Err(failure) if failure.status() == Some(409) && !folder_of(folder).is_empty() => {
                    missing.push(folder_of(folder));
                    continue;
                }
                Err(failure) => return Err(failure),
            }
            missing.pop();
        }
        made.insert(folder.to_owned());
        Ok(())
    }

    /// Removes, beside everything else, what crashes left behind in `folder`.
    fn sweep(&self, folder: &str) {
        if !self.sweeps.is_due(folder) {
            return;
        }
        let (backend, folder) = (self.clone(), folder.to_owned());
        tokio::spawn(async move {
            let before = SystemTime::now() - ABANDONED;
            let Ok(Some(files)) = backend.read_folder(&folder).await else { return };
            for file in files {
                if !file.is_folder && is_our_temporary_name(file.name()) && file.modified < before {
                    let path = format!("{folder}/{}", file.name());
                    let path = path.trim_start_matches('/');
                    drop(backend.server.client.send("DELETE", path, &[], Payload::None).await);
                }
            }
        });
    }
}
