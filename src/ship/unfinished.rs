//! Uploads that a replicator left behind when it died: parts that nobody sees, and that the store keeps and charges
//! for.

use std::time::Duration;

use replica_backends::{Backend, Error, Unfinished};

use crate::history::keys::{GENERATIONS, OWN};
use crate::types::Timestamp;

/// Nobody is at work any more on what was begun so long ago. If somebody is, on a slow line, that upload fails and is
/// begun anew: nothing is lost by it.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// Aborts the unfinished uploads of a replica that are more than a day old, and returns how many there were.
///
/// # Errors
/// Those of the store; the others are aborted all the same.
pub async fn abort_stale(backend: &dyn Backend, now: Timestamp) -> Result<usize, Error> {
    let (mut aborted, mut failure) = (0, None);
    for folder in [GENERATIONS, OWN] {
        for upload in backend.unfinished(folder).await?.iter().filter(|upload| is_stale(upload, now)) {
            match backend.abort(upload).await {
                Ok(()) => aborted += 1,
                Err(error) => failure = failure.or(Some(error)),
            }
        }
    }
    failure.map_or(Ok(aborted), Err)
}

fn is_stale(upload: &Unfinished, now: Timestamp) -> bool {
    now.to_system_time().duration_since(upload.begun).is_ok_and(|age| age > STALE)
}
