//! Counting requests, errors and bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};

use crate::{Backend, Body, ByteRange, ByteStream, ObjectMeta, Operation, Result, Unfinished};

/// Counts what goes through it. Counters only grow; each costs one relaxed atomic addition.
#[derive(Debug)]
pub struct Meter {
    inner: Arc<dyn Backend>,
    cells: Arc<[Cell; 5]>,
}

/// Counters that several [`Meter`]s share, one after the other or at once.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<[Cell; 5]>);

impl Tally {
    /// The counters now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let read = |operation| self.0[index(operation)].read();
        Counters {
            put: read(Operation::Put),
            get: read(Operation::Get),
            head: read(Operation::Head),
            list: read(Operation::List),
            delete: read(Operation::Delete),
        }
    }
}

/// What went through a [`Meter`] since it was made. The numbers are read one by one: while operations are under way
/// they need not fit each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// [`Backend::put_new`] and [`Backend::put_over`]; bytes are those of the objects stored.
    pub put: OperationCounters,
    /// [`Backend::get`]; bytes are counted as they arrive, and an error in mid-stream is an error.
    pub get: OperationCounters,
    /// [`Backend::head`]; no bytes.
    pub head: OperationCounters,
    /// [`Backend::list`] and [`Backend::list_folders`]; no bytes, and an error in mid-stream is an error.
    pub list: OperationCounters,
    /// [`Backend::delete`]; one request a call, one error a key that failed, no bytes.
    pub delete: OperationCounters,
}

/// What one kind of operation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OperationCounters {
    /// Calls, counted when they begin.
    pub requests: u64,
    /// Errors, whatever their kind: `NotFound` and `AlreadyExists` too.
    pub errors: u64,
    /// Bytes of object content that went through, in stored form.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Cell {
    requests: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
}

impl Meter {
    /// Counts what goes to `inner`.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self::counting(inner, &Tally::default())
    }

    /// Counts what goes to `inner` in `tally`.
    pub fn counting(inner: Arc<dyn Backend>, tally: &Tally) -> Self {
        Self { inner, cells: Arc::clone(&tally.0) }
    }

    /// The counters now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Tally(Arc::clone(&self.cells)).counters()
    }

    /// Counts a request.
    fn begin(&self, operation: Operation) -> &Cell {
        let cell = &self.cells[index(operation)];
        cell.requests.fetch_add(1, Ordering::Relaxed);
        cell
    }

    /// Counts what `stream` yields; `len` is the number of bytes in an item.
    fn watch<T: Send + 'static>(
        &self,
        operation: Operation,
        stream: BoxStream<'static, Result<T>>,
        len: fn(&T) -> usize,
    ) -> BoxStream<'static, Result<T>> {
        let cells = Arc::clone(&self.cells);
        let count = move |item: &Result<T>| match item {
            Ok(item) => cells[index(operation)].add_bytes(len(item) as u64),
            Err(_) => cells[index(operation)].add_error(),
        };
        stream.inspect(count).boxed()
    }
}

impl Cell {
    fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn add_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the error of `result`, if it is one.
    fn end<T>(&self, result: Result<T>) -> Result<T> {
        result.inspect_err(|_| self.add_error())
    }

    fn read(&self) -> OperationCounters {
        OperationCounters {
            requests: self.requests.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

/// The place of `operation` among the cells.
fn index(operation: Operation) -> usize {
    match operation {
        Operation::Put => 0,
        Operation::Get => 1,
        Operation::Head => 2,
        Operation::List => 3,
        Operation::Delete => 4,
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Meter {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<u64> {
        let cell = self.begin(Operation::Put);
        cell.end(self.inner.put_new(key, body).await).inspect(|size| cell.add_bytes(*size))
    }

    async fn put_over(&self, key: &str, body: Body) -> Result<u64> {
        let cell = self.begin(Operation::Put);
        cell.end(self.inner.put_over(key, body).await).inspect(|size| cell.add_bytes(*size))
    }

    async fn get(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        let stream = self.begin(Operation::Get).end(self.inner.get(key, range).await)?;
        Ok(self.watch(Operation::Get, stream, bytes::Bytes::len))
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        self.begin(Operation::Head).end(self.inner.head(key).await)
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        let stream = self.begin(Operation::List).end(self.inner.list(prefix, after).await)?;
        Ok(self.watch(Operation::List, stream, |_| 0))
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.begin(Operation::List).end(self.inner.list_folders(prefix).await)
    }

    async fn creates_atomically(&self) -> Result<bool> {
        self.inner.creates_atomically().await
    }

    async fn delete(&self, keys: &[String]) -> Vec<Result<()>> {
        let cell = self.begin(Operation::Delete);
        self.inner.delete(keys).await.into_iter().map(|result| cell.end(result)).collect()
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>> {
        self.begin(Operation::List).end(self.inner.unfinished(prefix).await)
    }

    async fn abort(&self, upload: &Unfinished) -> Result<()> {
        self.begin(Operation::Delete).end(self.inner.abort(upload).await)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::TryStreamExt;

    use super::*;
    use crate::file::FileBackend;

    #[tokio::test]
    async fn each_operation_has_its_own_counters() {
        let folder = tempfile::tempdir().unwrap();
        let meter = Meter::new(Arc::new(FileBackend::new(folder.path())));
        let body = || Body::from(Bytes::from_static(b"12345"));
        meter.put_new("a/b", body()).await.unwrap();
        meter.put_new("a/b", body()).await.unwrap_err();
        let stream = meter.get("a/b", ByteRange::Suffix(2)).await.unwrap();
        assert_eq!(meter.counters().get.bytes, 0, "bytes count when they are read");
        stream.try_collect::<Vec<_>>().await.unwrap();
        meter.head("none").await.unwrap_err();
        meter.list("", None).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
        meter.list_folders("").await.unwrap();
        let results = meter.delete(&["a/b".into(), "/".into(), "//".into()]).await;
        assert_eq!(results.iter().filter(|result| result.is_err()).count(), 2);

        let of = |requests, errors, bytes| OperationCounters { requests, errors, bytes };
        let expected =
            Counters { put: of(2, 1, 5), get: of(1, 0, 2), head: of(1, 1, 0), list: of(2, 0, 0), delete: of(1, 2, 0) };
        assert_eq!(meter.counters(), expected);
    }
}
