//! Encryption on this side, in the format of age (age-encryption.org/v1), object by object, as Litestream 0.3 has it.
//!
//! - Content is encrypted for the recipients when it is put, and decrypted as one of the identities when it is read.
//!   Names, sizes and times are not hidden.
//! - The sizes that are listed are those of the stored objects: larger than the content by the head (some 200 bytes
//!   and 100 for each recipient) and 16 bytes for each 64 KiB. Ranges and suffixes are those of the content.
//! - A range is read with the chunks of 64 KiB that it touches, and the head. The end of a small object costs one
//!   request, that of a larger one three.
//! - What is returned has been authenticated, and so has the end of an object: one that is cut anywhere is
//!   [`ErrorKind::Damaged`]. An object that no identity opens is [`ErrorKind::NoKey`] or [`ErrorKind::WriteOnly`].
//! - Plain objects in an encrypted replica, and encrypted ones in a plain replica, are errors when their beginning is
//!   read; and once one was seen, nothing is put any more.

mod body;
mod cipher;
mod head;
mod keys;
mod memory;
mod read;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use futures::stream::BoxStream;

pub use keys::{AgeKeys, KeyFault};
pub use memory::Memory;

use crate::{Backend, Body, ByteRange, ByteStream, Error, ErrorKind, ObjectMeta, Operation, Result, Unfinished};
use body::Sealer;
use read::Heads;

/// Encrypts what goes into a store, and decrypts what comes out of it.
#[derive(Clone)]
pub struct Age {
    inner: Arc<dyn Backend>,
    keys: AgeKeys,
    /// Whether an object of this name is plain in every replica.
    is_plain: fn(&str) -> bool,
    memory: Option<Arc<dyn Memory>>,
    heads: Arc<Heads>,
    /// The first object that was found to be plain, or encrypted, where the others are not.
    stranger: Arc<OnceLock<(ErrorKind, String)>>,
}

/// Reading this shows whether an object is encrypted that ought to be plain, or the other way round.
pub const BEGINNING: ByteRange = ByteRange::Slice { start: 0, len: 64 };

/// Heads of large objects that are kept, for those who read many parts of one.
const HEADS_KEPT: NonZeroUsize = NonZeroUsize::new(16).unwrap();

const PLAIN: &str = "it is not encrypted, but `age` is configured: keep encrypted and plain backups in replicas with \
                     different paths";
const UNKNOWN_KEY: &str = "it is encrypted with age, and none of the configured identities opens it: add the one that \
                           belongs to the recipients it was encrypted for (if others open the replica's other objects, \
                           the head of this one may be damaged)";
const NOT_CONFIGURED: &str = "it is encrypted with age, but `age` is not configured: read it by a configuration with \
                              `age: identities`";
const WRITE_ONLY: &str = "it is encrypted with age, and the configuration has recipients only: reading takes \
                          `age: identities`";
const NOBODY: &str = "the configuration has `age: identities`, but no `age: recipients`: nothing can be written \
                      encrypted";

impl Age {
    /// Encrypts for the recipients of `keys`, decrypts with their identities. Objects whose names `is_plain` accepts
    /// are passed through. `memory` serves those who write and cannot read.
    pub fn new(
        inner: Arc<dyn Backend>,
        keys: AgeKeys,
        is_plain: fn(&str) -> bool,
        memory: Option<Arc<dyn Memory>>,
    ) -> Self {
        let memory = memory.filter(|_| keys.can_write() && !keys.can_read_back());
        Self { inner, keys, is_plain, memory, heads: Heads::new(HEADS_KEPT), stranger: Arc::default() }
    }

    fn error(&self, kind: ErrorKind, operation: Operation, key: &str, text: impl Into<String>) -> Error {
        Error::new(kind, operation, key, self.location(), text.into())
    }

    /// The error of an object that does not fit the configuration; from now on nothing is put beside it.
    fn estranged(&self, kind: ErrorKind, key: &str) -> Error {
        let _ = self.stranger.set((kind, key.to_owned()));
        self.error(kind, Operation::Get, key, stranger_text(kind))
    }

    /// The body as it is to be stored.
    async fn seal(&self, key: &str, body: Body) -> Result<Body> {
        if let Some((kind, stranger)) = self.stranger.get() {
            let text = format!("nothing is written beside {stranger}: {}", stranger_text(*kind));
            return Err(self.error(*kind, Operation::Put, key, text));
        }
        if (self.is_plain)(key) || self.keys.is_none() {
            return Ok(body);
        }
        if !self.keys.can_write() {
            return Err(self.error(ErrorKind::NoKey, Operation::Put, key, NOBODY));
        }
        let sealer = Sealer { keys: self.keys.clone(), memory: self.memory.clone(), key: key.into() };
        let failed = |error| Error::new(ErrorKind::Body, Operation::Put, key, self.location(), error);
        sealer.encrypt(body).await.map_err(failed)
    }
}

fn stranger_text(kind: ErrorKind) -> &'static str {
    if kind == ErrorKind::NotEncrypted { PLAIN } else { NOT_CONFIGURED }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Age {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<u64> {
        let body = self.seal(key, body).await?;
        self.inner.put_new(key, body).await
    }

    async fn put_over(&self, key: &str, body: Body) -> Result<u64> {
        let body = self.seal(key, body).await?;
        self.inner.put_over(key, body).await
    }

    async fn get(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        if (self.is_plain)(key) {
            self.inner.get(key, range).await
        } else if self.keys.is_none() {
            self.get_plain(key, range).await
        } else {
            self.get_encrypted(key, range).await
        }
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        self.inner.head(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        self.inner.list(prefix, after).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list_folders(prefix).await
    }

    async fn creates_atomically(&self) -> Result<bool> {
        self.inner.creates_atomically().await
    }

    async fn delete(&self, keys: &[String]) -> Vec<Result<()>> {
        let deleted = self.inner.delete(keys).await;
        if let Some(memory) = &self.memory {
            let gone = keys.iter().zip(&deleted).filter(|(_, deleted)| deleted.is_ok());
            memory.forget(&gone.map(|(key, _)| key.clone()).collect::<Vec<_>>());
        }
        deleted
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>> {
        self.inner.unfinished(prefix).await
    }

    async fn abort(&self, upload: &Unfinished) -> Result<()> {
        self.inner.abort(upload).await
    }
}

impl fmt::Debug for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Age").field("inner", &self.inner).field("keys", &self.keys).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
