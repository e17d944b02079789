//! Creating an object from a stream, in bounded memory.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use fault_points::fault_point;
use futures::future::{Either, select};
use futures::stream::{BoxStream, StreamExt};

use super::FileBackend;
use super::failure::Failure;
use super::store::Target;
use crate::{Backend, Body, Error, ErrorKind, Operation, Result};

/// Bytes gathered before they are handed to the blocking pool. Two such batches, each too long by one chunk of the
/// body at most, are in memory at a time: one being written, one being read.
const BATCH_LEN_MIN: usize = 1 << 20;

/// A run of chunks to write.
struct Batch {
    chunks: Vec<Bytes>,
    /// Whether the body ended with it.
    last: bool,
}

impl FileBackend {
    /// Creates an object from the chunks of `body`. No thread is held while the body keeps us waiting.
    pub(super) async fn put_stream(&self, key: &str, target: Target, body: &Body) -> Result<u64> {
        let failed = |failure: Failure| failure.into_error(Operation::Put, key, self.location());
        let body_failed = |error| Error::new(ErrorKind::Body, Operation::Put, key, self.location(), error);
        let target = Arc::new(target);
        let shared = Arc::clone(&target);
        let mut draft = self.blocking(move |store| store.begin(&shared)).await.map_err(failed)?;
        let mut chunks = body.open();
        let mut batch = gather(&mut chunks).await.map_err(body_failed)?;
        while !batch.last {
            let written = self.blocking(move |_| {
                batch.chunks.iter().try_for_each(|chunk| draft.write(chunk))?;
                fault_point!("file-writing");
                Ok(draft)
            });
            let (written, next) = both(written, gather(&mut chunks)).await.map_err(failed)?;
            draft = written;
            batch = next.map_err(body_failed)?;
        }
        let finished = self.blocking(move |store| {
            batch.chunks.iter().try_for_each(|chunk| draft.write(chunk))?;
            store.finish(draft, &target)
        });
        finished.await.map_err(failed)
    }
}

/// Reads chunks until there are enough of them, or no more.
async fn gather(body: &mut BoxStream<'static, io::Result<Bytes>>) -> io::Result<Batch> {
    let mut chunks = Vec::new();
    let mut len = 0;
    while len < BATCH_LEN_MIN {
        match body.next().await {
            Some(chunk) => {
                let chunk = chunk?;
                len += chunk.len();
                chunks.push(chunk);
            }
            None => return Ok(Batch { chunks, last: true }),
        }
    }
    Ok(Batch { chunks, last: false })
}

/// Writes one batch while the next is read. A failed write ends the wait at once; a failed read waits for the
/// write, so that the temporary file is gone when the caller hears of it.
async fn both<T, E, R>(
    writing: impl Future<Output = Result<T, E>>,
    reading: impl Future<Output = R>,
) -> Result<(T, R), E> {
    match select(pin!(writing), pin!(reading)).await {
        Either::Left((written, reading)) => Ok((written?, reading.await)),
        Either::Right((read, writing)) => Ok((writing.await?, read)),
    }
}
