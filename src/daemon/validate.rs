//! `validation-interval`: replicas are verified while they are written, and the result is kept beside them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use replica_backends::Backend;
use tokio::task::JoinSet;
use tokio::time;

use super::replica::Replica;
use crate::history::keys::VERIFY;
use crate::host;
use crate::restore::{NamedBackend, Silent};
use crate::ship::Verdict;
use crate::types::Clock;
use crate::verify::{Options, Outcome, Verification, verify};

/// Beside replication, verification is to be slow rather than in the way.
const PARALLELISM: usize = 2;

/// When each replica is verified next. It outlives the times of following, which may be short.
#[derive(Debug, Clone)]
pub struct Validations(Arc<[Entry]>);

#[derive(Debug)]
struct Entry {
    interval: Option<Duration>,
    next: Mutex<Next>,
}

#[derive(Debug)]
struct Next {
    /// `None`: never.
    due: Option<Instant>,
    /// How many objects had been shipped when it was verified last: there is nothing to verify until there are more.
    seen: u64,
}

impl Validations {
    /// Of these replicas, beginning now.
    pub fn new(replicas: &[Replica]) -> Self {
        let entry = |replica: &Replica| {
            let interval = replica.validation_interval;
            Entry { interval, next: Mutex::new(Next { due: after(interval), seen: 0 }) }
        };
        Self(replicas.iter().map(entry).collect())
    }

    /// Verifies the replicas of `database` as they become due, until what is returned is dropped.
    pub fn start(
        &self,
        database: &Path,
        replicas: &[Replica],
        backends: &[Arc<dyn Backend>],
        clock: &Arc<dyn Clock>,
    ) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for (number, (replica, backend)) in replicas.iter().zip(backends).enumerate() {
            let validation = Validation {
                database: database.to_owned(),
                backend: NamedBackend { name: replica.name.clone(), backend: Arc::clone(backend) },
                replica: replica.clone(),
                clock: Arc::clone(clock),
            };
            tasks.spawn(self.clone().keep(number, validation));
        }
        tasks
    }

    async fn keep(self, number: usize, validation: Validation) {
        loop {
            let Some(due) = self.next(number).due else { return };
            time::sleep_until(due.into()).await;
            let shipped = validation.replica.objects();
            let is_new = {
                let mut next = self.next(number);
                // Before it begins: what is interrupted again and again must not fill all of the time.
                next.due = after(self.0[number].interval);
                shipped != next.seen
            };
            if is_new {
                validation.run().await;
                let mut next = self.next(number);
                (next.due, next.seen) = (after(self.0[number].interval), shipped);
            }
        }
    }

    fn next(&self, number: usize) -> MutexGuard<'_, Next> {
        self.0[number].next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn after(interval: Option<Duration>) -> Option<Instant> {
    host::now().checked_add(interval?)
}

/// One replica.
struct Validation {
    database: PathBuf,
    replica: Replica,
    backend: NamedBackend,
    clock: Arc<dyn Clock>,
}

impl Validation {
    async fn run(&self) {
        let had = self.replica.status.lock().unwrap_or_else(PoisonError::into_inner).position;
        let options = Options { all: false, full: false, scratch: std::env::temp_dir(), parallelism: PARALLELISM, had };
        let verification = verify(&self.backend, Some(&self.database), &options, &Silent).await;
        self.log(&verification);
        let outcome = verification.outcome();
        let verdict =
            Verdict { at: self.clock.now(), fine: outcome != Outcome::Failed, says: outcome.name().to_owned() };
        self.replica.status.lock().unwrap_or_else(PoisonError::into_inner).verified(verdict);
        // The result takes the place of the one before.
        if !self.replica.append_only
            && let Err(error) = self.keep(&verification).await
        {
            let (db, replica) = (self.database.display(), &self.replica.name);
            tracing::warn!(%db, %replica, %error, "cannot keep the result of the verification");
        }
    }

    fn log(&self, verification: &Verification) {
        let (db, replica) = (self.database.display(), &self.replica.name);
        for fault in &verification.faults {
            tracing::error!(%db, %replica, object = %fault.object, fault = %fault.what, "verification failed");
        }
        for open in &verification.open {
            tracing::warn!(%db, %replica, reason = %open, "verification inconclusive");
        }
        if verification.outcome() == Outcome::Ok {
            let objects: usize = verification.checked.iter().map(|c| c.objects).sum();
            tracing::info!(%db, %replica, objects, "verification ok");
        }
    }

    /// Replaces the last result.
    async fn keep(&self, verification: &Verification) -> replica_backends::Result<()> {
        let mut result = verification.to_json();
        result["time"] = self.clock.now().to_string().into();
        let body = Bytes::from(format!("{result:#}\n"));
        self.backend.backend.put_over(VERIFY, body.into()).await.map(|_| ())
    }
}
