//! A replica in memory whose objects a test can damage.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use replica_backends::{Backend, Body, ByteRange, ByteStream, Error, ErrorKind, ObjectMeta, Operation, Result};

/// Objects are handed out in chunks of this many bytes, so that nothing relies on whole ones.
const CHUNK_BYTES: usize = 1000;

#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    pub objects: BTreeMap<String, (Bytes, u64)>,
    /// Every request, as "get key".
    pub requests: Arc<Mutex<Vec<String>>>,
    /// Every request fails.
    pub unreachable: bool,
}

impl MemoryStore {
    pub fn put(&mut self, key: &str, bytes: Vec<u8>, modified_ms: u64) {
        self.objects.insert(key.to_owned(), (bytes.into(), modified_ms));
    }

    pub fn keys(&self) -> Vec<String> {
        self.objects.keys().cloned().collect()
    }

    fn ask(&self, operation: Operation, key: &str) -> Result<()> {
        self.requests.lock().unwrap().push(format!("{operation} {key}"));
        if self.unreachable { Err(self.error(ErrorKind::Unavailable, operation, key)) } else { Ok(()) }
    }

    fn error(&self, kind: ErrorKind, operation: Operation, key: &str) -> Error {
        Error::new(kind, operation, key, self.location(), format!("{kind:?}"))
    }

    fn meta(key: &str, object: &(Bytes, u64)) -> ObjectMeta {
        let modified: SystemTime = UNIX_EPOCH + Duration::from_millis(object.1);
        ObjectMeta { key: key.to_owned(), size: object.0.len() as u64, modified }
    }
}

#[async_trait]
impl Backend for MemoryStore {
    fn location(&self) -> String {
        "memory://test".to_owned()
    }

    async fn put_new(&self, key: &str, _body: Body) -> Result<u64> {
        Err(self.error(ErrorKind::PermissionDenied, Operation::Put, key))
    }

    async fn put_over(&self, key: &str, _body: Body) -> Result<u64> {
        Err(self.error(ErrorKind::PermissionDenied, Operation::Put, key))
    }

    async fn get(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        self.ask(Operation::Get, key)?;
        let (bytes, _) =
            self.objects.get(key).ok_or_else(|| self.error(ErrorKind::NotFound, Operation::Get, key))?.clone();
        let len = bytes.len() as u64;
        let part = match range {
            ByteRange::All => bytes,
            ByteRange::Slice { start, len: n } => bytes.slice(start.min(len) as usize..(start + n).min(len) as usize),
            ByteRange::Suffix(n) => bytes.slice(len.saturating_sub(n) as usize..),
        };
        let chunks: Vec<_> = part.chunks(CHUNK_BYTES).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        Ok(stream::iter(chunks).boxed())
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        self.ask(Operation::Head, key)?;
        let object = self.objects.get(key).ok_or_else(|| self.error(ErrorKind::NotFound, Operation::Head, key))?;
        Ok(Self::meta(key, object))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        self.ask(Operation::List, prefix)?;
        let wanted = self.objects.iter().filter(|(k, _)| k.starts_with(prefix) && after.is_none_or(|a| k.as_str() > a));
        let listed: Vec<_> = wanted.map(|(k, o)| Ok(Self::meta(k, o))).collect();
        Ok(stream::iter(listed).boxed())
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.ask(Operation::List, prefix)?;
        let folder = |k: &String| Some(k.strip_prefix(prefix)?.split_once('/')?.0.to_owned());
        let mut folders: Vec<_> = self.objects.keys().filter_map(folder).collect();
        folders.dedup();
        Ok(folders)
    }

    async fn creates_atomically(&self) -> Result<bool> {
        Ok(true)
    }

    async fn delete(&self, keys: &[String]) -> Vec<Result<()>> {
        keys.iter().map(|key| Err(self.error(ErrorKind::PermissionDenied, Operation::Delete, key))).collect()
    }
}
