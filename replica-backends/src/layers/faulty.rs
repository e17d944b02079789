//! Failing on purpose, for tests.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use crate::{Backend, Body, ByteRange, ByteStream, Error, ErrorKind, ObjectMeta, Operation, Result, Unfinished};

/// One operation that is about to run, as the plan of a [`Faulty`] sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// What is to be done.
    pub operation: Operation,
    /// The key, or the prefix of a listing. A deletion of many keys is one call for each.
    pub key: &'a str,
    /// How many calls there were before this one.
    pub number: u64,
}

/// What goes wrong in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails with this kind and nothing is done.
    Before(ErrorKind),
    /// All is done and the answer is lost: the call fails with this kind nevertheless.
    After(ErrorKind),
    /// A `get` ends after so many bytes as if the object were that short. Other operations run untouched.
    Truncate(u64),
    /// A `get` fails after so many bytes with `Unavailable`. Other operations run untouched.
    Break(u64),
    /// The call begins only after this time.
    Delay(Duration),
}

/// Lets operations fail as a plan says. The plan is asked once a call, in the order of the calls, so a test that
/// makes its calls one after the other sees the same faults each time.
pub struct Faulty {
    inner: Arc<dyn Backend>,
    plan: Box<dyn Fn(Call<'_>) -> Option<Fault> + Send + Sync>,
    calls_count: AtomicU64,
}

impl Faulty {
    /// Runs operations on `inner` with the faults that `plan` decides on.
    pub fn new(inner: Arc<dyn Backend>, plan: impl Fn(Call<'_>) -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self { inner, plan: Box::new(plan), calls_count: AtomicU64::new(0) }
    }

    /// One call in `one_in` (at least 1) is hit by one of `faults`; `seed` decides which.
    pub fn seeded(inner: Arc<dyn Backend>, seed: u64, one_in: u32, faults: Vec<Fault>) -> Self {
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        Self::new(inner, move |_| {
            let mut random = random.lock().unwrap_or_else(PoisonError::into_inner);
            let hit = random.u32(0..one_in.max(1)) == 0;
            if hit { random.choice(&faults).copied() } else { None }
        })
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls_count(&self) -> u64 {
        self.calls_count.load(Ordering::Relaxed)
    }

    fn decide(&self, operation: Operation, key: &str) -> Option<Fault> {
        let number = self.calls_count.fetch_add(1, Ordering::Relaxed);
        (self.plan)(Call { operation, key, number })
    }

    /// Decides on a call and does what comes before it.
    async fn begin(&self, operation: Operation, key: &str) -> Result<Pending<'_>> {
        let fault = self.decide(operation, key);
        match fault {
            Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
            Some(Fault::Before(kind)) => return Err(self.error(kind, operation, key, "not done")),
            _ => {}
        }
        Ok(Pending { faulty: self, fault })
    }

    fn error(&self, kind: ErrorKind, operation: Operation, key: &str, what: &str) -> Error {
        Error::new(kind, operation, key, self.location(), format!("injected fault: {what}"))
    }
}

/// A call that was let through to the backend.
struct Pending<'a> {
    faulty: &'a Faulty,
    fault: Option<Fault>,
}

impl Pending<'_> {
    /// The result of the call as the caller sees it.
    fn end<T>(&self, operation: Operation, key: &str, result: Result<T>) -> Result<T> {
        match self.fault {
            Some(Fault::After(kind)) => {
                result.and_then(|_| Err(self.faulty.error(kind, operation, key, "done, but the answer was lost")))
            }
            _ => result,
        }
    }

    /// The content of `key` as the caller sees it.
    fn damage(&self, key: &str, stream: ByteStream) -> ByteStream {
        match self.fault {
            Some(Fault::Truncate(len)) => cut(stream, len),
            Some(Fault::Break(len)) => {
                let what = format!("cut after {len} bytes");
                let error = self.faulty.error(ErrorKind::Unavailable, Operation::Get, key, &what);
                cut(stream, len).chain(stream::iter([Err(error)])).boxed()
            }
            _ => stream,
        }
    }
}

/// The first `len` bytes of `stream`.
fn cut(stream: ByteStream, len: u64) -> ByteStream {
    let kept = stream.scan(len, |left, chunk| {
        let item = match chunk {
            _ if *left == 0 => None,
            Err(error) => Some(Err(error)),
            Ok(chunk) => {
                let keep = usize::try_from(*left).map_or(chunk.len(), |left| left.min(chunk.len()));
                *left -= keep as u64;
                Some(Ok::<Bytes, Error>(chunk.slice(..keep)))
            }
        };
        futures::future::ready(item)
    });
    kept.boxed()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Faulty {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<u64> {
        let pending = self.begin(Operation::Put, key).await?;
        pending.end(Operation::Put, key, self.inner.put_new(key, body).await)
    }

    async fn put_over(&self, key: &str, body: Body) -> Result<u64> {
        let pending = self.begin(Operation::Put, key).await?;
        pending.end(Operation::Put, key, self.inner.put_over(key, body).await)
    }

    async fn get(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        let pending = self.begin(Operation::Get, key).await?;
        let stream = pending.end(Operation::Get, key, self.inner.get(key, range).await)?;
        Ok(pending.damage(key, stream))
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        let pending = self.begin(Operation::Head, key).await?;
        pending.end(Operation::Head, key, self.inner.head(key).await)
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        let pending = self.begin(Operation::List, prefix).await?;
        pending.end(Operation::List, prefix, self.inner.list(prefix, after).await)
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        let pending = self.begin(Operation::List, prefix).await?;
        pending.end(Operation::List, prefix, self.inner.list_folders(prefix).await)
    }

    async fn creates_atomically(&self) -> Result<bool> {
        self.inner.creates_atomically().await
    }

    async fn delete(&self, keys: &[String]) -> Vec<Result<()>> {
        let mut begun = Vec::with_capacity(keys.len());
        for key in keys {
            begun.push(self.begin(Operation::Delete, key).await);
        }
        let let_through: Vec<_> =
            keys.iter().zip(&begun).filter(|(_, pending)| pending.is_ok()).map(|(key, _)| key.clone()).collect();
        let mut results = self.inner.delete(&let_through).await.into_iter();
        let ends = begun.into_iter().zip(keys).map(|(pending, key)| {
            let pending = pending?;
            let result = results.next().expect("BUG: the backend returned too few results");
            pending.end(Operation::Delete, key, result)
        });
        ends.collect()
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>> {
        let pending = self.begin(Operation::List, prefix).await?;
        pending.end(Operation::List, prefix, self.inner.unfinished(prefix).await)
    }

    async fn abort(&self, upload: &Unfinished) -> Result<()> {
        let pending = self.begin(Operation::Delete, &upload.key).await?;
        pending.end(Operation::Delete, &upload.key, self.inner.abort(upload).await)
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
