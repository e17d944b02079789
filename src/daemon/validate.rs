//! `validation-interval`: replicas are verified while they are written, and the result is kept beside them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use replica_backends::{Backend, Body, ErrorKind};
use tokio::time;

use crate::restore::{NamedBackend, Silent};
use crate::types::Clock;
use crate::verify::{Options, Outcome, Verification, verify};

/// Where the last result is kept, relative to the root of the replica.
const RESULT: &str = "lightship/verify.json";
/// Beside replication, verification is to be slow rather than in the way.
const PARALLELISM: usize = 2;

/// One replica, to be verified again and again.
pub struct Validation {
    /// The database.
    pub database: PathBuf,
    /// The replica.
    pub replica: NamedBackend,
    /// Time between the end of one verification and the beginning of the next.
    pub interval: Duration,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl Validation {
    /// Verifies for ever.
    pub async fn run(self) {
        let options = Options { all: false, full: false, scratch: std::env::temp_dir(), parallelism: PARALLELISM };
        loop {
            time::sleep(self.interval).await;
            let verification = verify(&self.replica, Some(&self.database), &options, &Silent).await;
            self.log(&verification);
            if let Err(error) = self.keep(&verification).await {
                let (db, replica) = (self.database.display(), &self.replica.name);
                tracing::warn!(%db, %replica, %error, "cannot keep the result of the verification");
            }
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

    /// Replaces the last result. Nothing depends on it, so a gap between the two steps does no harm.
    async fn keep(&self, verification: &Verification) -> replica_backends::Result<()> {
        let mut result = verification.to_json();
        result["time"] = self.clock.now().to_string().into();
        let body = Bytes::from(format!("{result:#}\n"));
        let backend: &dyn Backend = self.replica.backend.as_ref();
        match backend.put_new(RESULT, Body::from(body.clone())).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                for deleted in backend.delete(&[RESULT.to_owned()]).await {
                    deleted?;
                }
                backend.put_new(RESULT, Body::from(body)).await?;
            }
            other => drop(other?),
        }
        Ok(())
    }
}
