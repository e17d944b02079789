//! The narrow trait that every store implements.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use crate::Result;

/// The bytes of an object on their way out of a store.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// A store of objects under `/`-separated relative keys.
///
/// Guarantees that every implementation gives (and the conformance suite checks):
/// - an object becomes visible whole or not at all, and is durable when the put returns;
/// - [`Backend::put_new`] never changes an object that exists;
/// - [`Backend::list`] is in strictly ascending byte order of the keys, whatever their number.
#[async_trait]
pub trait Backend: Send + Sync + fmt::Debug {
    /// Where this store is, for messages: a URL without secrets.
    fn location(&self) -> String;

    /// Creates `key` if it does not exist yet and returns the stored size in bytes.
    ///
    /// Fails with [`crate::ErrorKind::AlreadyExists`] if it does; nothing is changed then, and what is there is
    /// durable.
    /// If the future is dropped, the object may or may not appear, but whole if it does.
    async fn put_new(&self, key: &str, body: Body) -> Result<u64>;

    /// Puts `body` in the place of `key`, or creates it, and returns the stored size in bytes. A reader sees the old
    /// object or the new one, whole; if this fails, or the future is dropped, either may be there.
    async fn put_over(&self, key: &str, body: Body) -> Result<u64>;

    /// Reads `key`, or a part of it. A range that reaches past the end is cut at the end.
    async fn get(&self, key: &str, range: ByteRange) -> Result<ByteStream>;

    /// Size and time of `key`.
    async fn head(&self, key: &str) -> Result<ObjectMeta>;

    /// All objects whose key starts with the folder `prefix` (which ends with `/`, or is empty) and sorts
    /// strictly after `after`, in ascending order. A folder that does not exist is empty.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<BoxStream<'static, Result<ObjectMeta>>>;

    /// The names of the immediate sub-folders of the folder `prefix`, ascending, without slashes. Whether a folder
    /// without objects counts depends on the store.
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>>;

    /// Whether the store itself keeps [`Backend::put_new`] from replacing an object. If not, it is looked before each
    /// put, and of two writers who look at the same moment the later replaces what the earlier has put.
    async fn creates_atomically(&self) -> Result<bool>;

    /// Deletes many keys; one result a key, in the same order. A key that does not exist counts as deleted.
    async fn delete(&self, keys: &[String]) -> Vec<Result<()>>;

    /// Uploads to keys that start with the folder `prefix` of which the store keeps what came of them, unseen, until
    /// somebody completes or aborts them: at most a thousand, in the order of the keys. Another process may be at work
    /// on them; those that this one is at work on are left out. None in a store that removes such things by itself.
    async fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>> {
        let _ = prefix;
        Ok(Vec::new())
    }

    /// Removes what is there of an upload. If somebody is at work on it, that fails, and may be tried anew.
    async fn abort(&self, upload: &Unfinished) -> Result<()> {
        let _ = upload;
        Ok(())
    }
}

/// An upload that was begun, as [`Backend::unfinished`] lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The key that the object would get, relative to the root of the store.
    pub key: String,
    /// What the store calls it.
    pub id: String,
    /// When that was, by the store's clock.
    pub begun: SystemTime,
}

/// What [`Backend::list`] and [`Backend::head`] say of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Full key, relative to the root of the store.
    pub key: String,
    /// Stored size in bytes.
    pub size: u64,
    /// When the store says it was created; granularity and honesty differ between stores.
    pub modified: SystemTime,
}

/// Which bytes of an object [`Backend::get`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// The whole object.
    All,
    /// `len` bytes from `start`, fewer at the end of the object.
    Slice {
        /// First byte.
        start: u64,
        /// Number of bytes.
        len: u64,
    },
    /// The last bytes of the object, all of it if it is shorter.
    Suffix(u64),
}

impl ByteRange {
    /// From where to where it reaches in an object of `size` bytes.
    pub(crate) fn within(self, size: u64) -> (u64, u64) {
        match self {
            Self::All => (0, size),
            Self::Slice { start, len } => (start.min(size), start.saturating_add(len).min(size)),
            Self::Suffix(len) => (size.saturating_sub(len), size),
        }
    }
}

/// The bytes of an object on their way into a store. A body can be opened again, so a layer may retry.
#[derive(Clone)]
pub struct Body {
    open: Arc<dyn Fn() -> BoxStream<'static, io::Result<Bytes>> + Send + Sync>,
    whole: Option<Bytes>,
    len_max: Option<u64>,
}

impl Body {
    /// A body that is made anew, chunk by chunk, each time it is opened; for objects that do not fit in memory.
    ///
    /// An error in the stream aborts the upload: nothing becomes visible, and the error is not retried.
    pub fn stream<F>(open: F) -> Self
    where
        F: Fn() -> BoxStream<'static, io::Result<Bytes>> + Send + Sync + 'static,
    {
        Self { open: Arc::new(open), whole: None, len_max: None }
    }

    /// The same body, of which it is known that it has at most `len` bytes, or hardly more.
    #[must_use]
    pub fn with_len_max(self, len: u64) -> Self {
        Self { len_max: Some(len), ..self }
    }

    /// How many bytes it has at most, if that is known: a store with a limit on the number of parts makes them larger.
    #[must_use]
    pub fn len_max(&self) -> Option<u64> {
        self.len_max.or_else(|| self.whole.as_ref().map(|bytes| bytes.len() as u64))
    }

    /// The whole body, if it is in memory already.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&Bytes> {
        self.whole.as_ref()
    }

    /// Starts reading the body from its first byte.
    #[must_use]
    pub fn open(&self) -> BoxStream<'static, io::Result<Bytes>> {
        (self.open)()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        let again = bytes.clone();
        Self { open: Arc::new(move || stream::iter([Ok(again.clone())]).boxed()), whole: Some(bytes), len_max: None }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.whole {
            Some(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            None => f.write_str("Body(stream)"),
        }
    }
}
