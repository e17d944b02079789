//! Whether a store can be made not to replace an object: found out, never assumed.
//!
//! Some stores ignore the condition of a put: they answer that all is well, and have overwritten what was there.

use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, PutMode};

use super::{CloudBackend, failure};
use crate::{Error, ErrorKind, Operation, Reason, Result};

/// An object that is created again at each start. It stays, so that one request is enough from the second time on.
const PROBE: &str = "lightship/create-probe";
const PROBE_CONTENT: &str =
    "Lightship puts this object again and again, to see whether the store refuses to replace it.\n";

/// How an object is created without replacing another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Creation {
    /// The store refuses to replace.
    Atomic,
    /// The store does not, so it is looked first whether there is one. Of two writers who look at the same time both
    /// may put, and the later replaces the earlier.
    LookFirst,
}

impl CloudBackend {
    /// Finds out once for a bucket.
    pub(super) async fn creation(&self, store: &dyn ObjectStore) -> Result<Creation> {
        match self.bucket.creation.get_or_try_init(|| self.find_out(store)).await {
            Ok(creation) => Ok(*creation),
            // Nothing is known of what these credentials may do; the real put tells what is the matter with them.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(Creation::LookFirst),
            Err(error) => Err(error),
        }
    }

    async fn find_out(&self, store: &dyn ObjectStore) -> Result<Creation> {
        match self.probe(store).await {
            // The credentials are good, but not for this object, and will not be until the next start.
            Err(error) if error.reason() == Reason::Denied => {
                tracing::warn!(location = %self.bucket.location, %error,
                    "cannot find out whether the store refuses to replace objects, so it is looked before each put; \
                     allow these credentials to put that object, and start again");
                Ok(Creation::LookFirst)
            }
            found => found,
        }
    }

    async fn probe(&self, store: &dyn ObjectStore) -> Result<Creation> {
        let path = self.path(Operation::Put, PROBE)?;
        for _ in 0..2 {
            match create_probe(store, &path).await {
                Ok(()) => {}
                Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => return Ok(Creation::Atomic),
                Err(error) if is_unknown_condition(&error) => break,
                Err(error) => return Err(self.probe_failed(&error)),
            }
        }
        tracing::warn!(location = %self.bucket.location,
            "this store replaces objects even if it is told not to: it is looked before each put, which two writers \
             who write to the same replica at the same moment can both pass; give each its own path");
        Ok(Creation::LookFirst)
    }

    fn probe_failed(&self, error: &StoreError) -> Error {
        self.failed(Operation::Put, PROBE, error)
    }
}

async fn create_probe(store: &dyn ObjectStore, path: &Path) -> object_store::Result<()> {
    store.put_opts(path, PROBE_CONTENT.into(), PutMode::Create.into()).await.map(drop)
}

fn is_unknown_condition(error: &StoreError) -> bool {
    matches!(error, StoreError::NotImplemented { .. } | StoreError::NotSupported { .. })
        || failure::refusal(error).is_some_and(super::answer::Refusal::is_unknown_condition)
}

#[cfg(test)]
impl CloudBackend {
    /// Finds out now, with an object in this folder.
    pub(crate) async fn creation_is_known(&self) {
        let store = self.store(Operation::Put, PROBE).await.unwrap();
        self.creation(store.as_ref()).await.unwrap();
    }
}
