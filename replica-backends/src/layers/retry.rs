//! Trying again, with pauses that grow.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::time::{Instant, sleep};

use crate::{Backend, Body, ByteRange, ByteStream, Error, ObjectMeta, Result, Unfinished};

/// How often and how long a [`Retry`] tries.
///
/// The pause before attempt n + 1 is a random part of `initial` * 2^(n-1), at most of `max`: clients that failed
/// together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts, the first one included; 0 counts as 1. Default 10.
    pub attempts_max: u32,
    /// Longest pause before the second attempt. Default 100 ms.
    pub initial: Duration,
    /// Longest pause before any attempt. Default 10 s.
    pub max: Duration,
    /// Time since the first attempt began after which no further one begins; an attempt under way is not cut
    /// short. Default 60 s.
    pub budget: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 10,
            initial: Duration::from_millis(100),
            max: Duration::from_secs(10),
            budget: Duration::from_secs(60),
        }
    }
}

/// Tries again what failed with an error that [`Error::is_retryable`].
///
/// - A put whose answer was lost may find its own object when it tries again. It then fails with `AlreadyExists`,
///   and the error says that there were earlier attempts: the caller settles it by looking at the object.
/// - For [`Backend::get`] and [`Backend::list`] only the opening is retried. An error in mid-stream is the
///   caller's, who knows how far it came (a slice, or `after`, goes on from there).
/// - [`Backend::delete`] tries again the keys that failed and no others.
/// - The error of the last attempt says how many there were and how long they took.
#[derive(Clone)]
pub struct Retry {
    inner: Arc<dyn Backend>,
    policy: RetryPolicy,
    jitter: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Retry {
    /// Tries operations of `inner` again as `policy` says.
    pub fn new(inner: Arc<dyn Backend>, policy: RetryPolicy) -> Self {
        Self::with_jitter(inner, policy, fastrand::f64)
    }

    /// [`Retry::new`] with the randomness passed in: `jitter` returns the part, from 0 to 1, of each longest pause
    /// that is waited.
    pub fn with_jitter(
        inner: Arc<dyn Backend>,
        policy: RetryPolicy,
        jitter: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Self {
        Self { inner, policy, jitter: Arc::new(jitter) }
    }

    /// Runs `operation` until it succeeds or there is no point in going on.
    async fn run<T, F>(&self, operation: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut attempts = Attempts::begin(self);
        loop {
            match operation().await {
                Ok(value) => return Ok(value),
                Err(error) if error.is_retryable() && attempts.pause(&error).await => {}
                Err(error) => return Err(attempts.explain(error)),
            }
        }
    }
}

/// The attempts at one operation.
struct Attempts<'a> {
    retry: &'a Retry,
    started: Instant,
    /// How many there were, the present one included.
    count: u32,
}

impl<'a> Attempts<'a> {
    fn begin(retry: &'a Retry) -> Self {
        Self { retry, started: Instant::now(), count: 1 }
    }

    /// Waits until the next attempt is due and returns true; or returns false at once if there is to be none.
    async fn pause(&mut self, error: &Error) -> bool {
        let policy = &self.retry.policy;
        if self.count >= policy.attempts_max {
            return false;
        }
        let doublings = 2_u32.saturating_pow(self.count - 1);
        let longest = policy.initial.saturating_mul(doublings).min(policy.max);
        let pause = longest.mul_f64((self.retry.jitter)().clamp(0.0, 1.0));
        if self.started.elapsed().saturating_add(pause) > policy.budget {
            return false;
        }
        tracing::debug!(%error, attempts = self.count, pause_ms = pause.as_millis(), "will try again");
        sleep(pause).await;
        self.count += 1;
        true
    }

    /// `error`, saying also what was tried.
    fn explain(&self, error: Error) -> Error {
        if self.count == 1 && !error.is_retryable() {
            return error;
        }
        let plural = if self.count == 1 { "" } else { "s" };
        error.with_context(format_args!(
            "{} attempt{plural} in {:.3} s",
            self.count,
            self.started.elapsed().as_secs_f64()
        ))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Retry {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<u64> {
        self.run(|| self.inner.put_new(key, body.clone())).await
    }

    async fn put_over(&self, key: &str, body: Body) -> Result<u64> {
        self.run(|| self.inner.put_over(key, body.clone())).await
    }

    async fn get(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        self.run(|| self.inner.get(key, range)).await
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        self.run(|| self.inner.head(key)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        self.run(|| self.inner.list(prefix, after)).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.run(|| self.inner.list_folders(prefix)).await
    }

    async fn creates_atomically(&self) -> Result<bool> {
        self.run(|| self.inner.creates_atomically()).await
    }

    async fn delete(&self, keys: &[String]) -> Vec<Result<()>> {
        let mut attempts = Attempts::begin(self);
        let mut results = self.inner.delete(keys).await;
        loop {
            let again = |result: &Result<()>| matches!(result, Err(error) if error.is_retryable());
            let failed: Vec<_> = (0..keys.len()).filter(|index| again(&results[*index])).collect();
            let first_error = failed.first().and_then(|index| results[*index].as_ref().err());
            let go_on = match first_error {
                Some(error) => attempts.pause(error).await,
                None => false,
            };
            if !go_on {
                return results.into_iter().map(|result| result.map_err(|error| attempts.explain(error))).collect();
            }
            let keys: Vec<_> = failed.iter().map(|index| keys[*index].clone()).collect();
            for (index, result) in failed.into_iter().zip(self.inner.delete(&keys).await) {
                results[index] = result;
            }
        }
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>> {
        self.run(|| self.inner.unfinished(prefix)).await
    }

    async fn abort(&self, upload: &Unfinished) -> Result<()> {
        self.run(|| self.inner.abort(upload)).await
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("inner", &self.inner).field("policy", &self.policy).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
