//! How many large uploads may be under way.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// To one store: so many fill any line, and one that is slow or dead must leave some to the others.
const OF_STORE: usize = 4;
/// To all stores. Each keeps a thread busy making it, and another is needed to store it: this has to stay below half of
/// the number of threads that may block.
const OF_ALL: usize = 12;

/// Large uploads to all stores.
#[derive(Debug, Clone)]
pub struct AllStreams(Arc<Semaphore>);

impl Default for AllStreams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(OF_ALL)))
    }
}

/// Large uploads of all databases to one store.
#[derive(Debug, Clone)]
pub struct Streams {
    of_store: Arc<Semaphore>,
    of_all: Arc<Semaphore>,
}

impl Streams {
    /// To one of the stores that `all` is of.
    #[must_use]
    pub fn new(AllStreams(of_all): &AllStreams) -> Self {
        Self { of_store: Arc::new(Semaphore::new(OF_STORE)), of_all: Arc::clone(of_all) }
    }

    /// Waits until one more may begin; it ends when what is returned is dropped.
    pub(super) async fn begin(&self) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        // Never closed, so a permit is a matter of time.
        let of_store = Arc::clone(&self.of_store).acquire_owned().await.ok()?;
        Some((of_store, Arc::clone(&self.of_all).acquire_owned().await.ok()?))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_store_that_takes_for_ever_leaves_room_for_others() {
        let all = AllStreams::default();
        let (dead, alive) = (Streams::new(&all), Streams::new(&all));
        let under_way: Vec<_> = (0..OF_STORE).map(|_| dead.begin().now_or_never().unwrap()).collect();
        assert!(dead.begin().now_or_never().is_none() && alive.begin().now_or_never().is_some());
        drop(under_way);
        assert!(dead.begin().now_or_never().is_some());
    }
}
