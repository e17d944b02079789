//! Objects on their way in, several at once: small ones whole, large ones in parts.
//!
//! Memory: what has been asked for and not been taken yet is at most [`PART_BYTES`] for each download.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures::{Stream, StreamExt, stream};
use replica_backends::{Backend, ByteRange, Error, ErrorKind, Operation, Result, download, joined};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::Progress;
use crate::history::{PlannedObject, Sealing, plan_key};
use crate::host;
use crate::segment::SEAL_TAIL_BYTES;
use crate::stored::{UNDECIPHERED, read_sealing, sealing};

/// Objects of up to this size are fetched whole, larger ones in parts of it.
const PART_BYTES: u64 = 4 << 20;
/// Parts that may wait in memory, whatever the number of downloads.
const PARTS_MAX: usize = 8;
/// Unit in which waiting bytes are counted.
const PERMIT_BYTES: u64 = 1 << 10;
/// Pieces of a large object that wait to be decoded.
const PIECES_AHEAD: usize = 4;

/// An object, ready to be decoded.
#[derive(Debug)]
pub struct Arrival {
    /// Which one.
    pub object: PlannedObject,
    /// What its end says.
    pub sealing: Sealing,
    /// Its bytes.
    pub body: ArrivalBody,
}

/// The bytes of an object.
#[derive(Debug)]
pub enum ArrivalBody {
    /// All of them.
    Whole {
        /// The object, in pieces.
        pieces: Vec<Bytes>,
        /// Its share of the memory for waiting objects.
        share: OwnedSemaphorePermit,
    },
    /// One piece after the other.
    Streamed(mpsc::Receiver<std::result::Result<Bytes, Broken>>),
}

/// The rest of an object cannot be had; the fetching side knows why.
#[derive(Debug, thiserror::Error)]
#[error("the replica could not be read to the end")]
pub struct Broken;

/// Hands `objects` to `out` in their order. Ends early if nobody listens any more.
///
/// # Errors
/// Those of the store.
pub async fn fetch(
    backend: Arc<dyn Backend>,
    objects: Vec<PlannedObject>,
    parallelism: usize,
    progress: &dyn Progress,
    out: mpsc::Sender<Arrival>,
) -> Result<()> {
    let files = objects.iter().map(|object| (plan_key(&object.name), object.stored_bytes)).collect();
    let mut parts = parts(Arc::clone(&backend), files, parallelism);
    for object in objects {
        let Some(part) = parts.next().await.transpose()? else { break };
        let sealing = match (&object.seal, part.is_last) {
            (_, true) if part.is_damaged => UNDECIPHERED,
            (_, true) => sealing_of(&part.pieces),
            (Some(seal), false) => Sealing::Sealed(seal.clone()),
            (None, false) => read_sealing(backend.as_ref(), &plan_key(&object.name), object.stored_bytes).await?,
        };
        let arrival = |body| Arrival { object, sealing, body };
        if !deliver(progress, part, &mut parts, &out, arrival).await? {
            break;
        }
    }
    Ok(())
}

/// The same for files of which nothing but key and size in bytes is known.
///
/// # Errors
/// Those of the store.
pub async fn fetch_bodies(
    backend: Arc<dyn Backend>,
    files: Vec<(String, u64)>,
    parallelism: usize,
    progress: &dyn Progress,
    out: mpsc::Sender<ArrivalBody>,
) -> Result<()> {
    let mut parts = parts(backend, files, parallelism);
    while let Some(part) = parts.next().await.transpose()? {
        if !deliver(progress, part, &mut parts, &out, |body| body).await? {
            break;
        }
    }
    Ok(())
}

/// What the end of a whole object says.
fn sealing_of(pieces: &[Bytes]) -> Sealing {
    let stored_bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
    let enough = |end: &&[Bytes]| end.iter().map(|piece| piece.len() as u64).sum::<u64>() >= SEAL_TAIL_BYTES;
    let end = (0..pieces.len()).rev().map(|from| &pieces[from..]).find(enough);
    let found = end.and_then(|end| sealing(&joined(end.to_vec()), stored_bytes).ok());
    found.unwrap_or_else(|| sealing(&joined(pieces.to_vec()), stored_bytes).unwrap_or(Sealing::Unsealed))
}

/// A piece of an object that has been fetched.
struct Part {
    pieces: Vec<Bytes>,
    /// Nothing of the object comes behind it.
    is_last: bool,
    /// It is not what was encrypted, and cannot be decrypted; so nothing of it is here.
    is_damaged: bool,
    share: OwnedSemaphorePermit,
}

/// Sends the object that begins with `first`, whole or piece by piece; false if nobody listens any more.
async fn deliver<T>(
    progress: &dyn Progress,
    first: Part,
    parts: &mut (impl Stream<Item = Result<Part>> + Unpin),
    out: &mpsc::Sender<T>,
    arrival: impl FnOnce(ArrivalBody) -> T,
) -> Result<bool> {
    if first.is_last {
        progress.advance(first.pieces.iter().map(|piece| piece.len() as u64).sum());
        let whole = ArrivalBody::Whole { pieces: first.pieces, share: first.share };
        return Ok(out.send(arrival(whole)).await.is_ok());
    }
    let (pieces_out, body) = mpsc::channel(PIECES_AHEAD);
    if out.send(arrival(ArrivalBody::Streamed(body))).await.is_err() {
        return Ok(false);
    }
    let mut part = first;
    loop {
        for piece in part.pieces {
            progress.advance(piece.len() as u64);
            if pieces_out.send(Ok(piece)).await.is_err() && out.is_closed() {
                return Ok(false);
            }
        }
        if part.is_last {
            return Ok(true);
        }
        part = match parts.next().await {
            Some(Ok(next)) => next,
            Some(Err(error)) => {
                // That nobody reads it any more is no fault.
                let _ = pieces_out.send(Err(Broken)).await;
                return Err(error);
            }
            None => return Ok(true),
        };
    }
}

/// The parts of all `files`, in order. They are fetched ahead of time, also while nobody asks for the next one.
fn parts(
    backend: Arc<dyn Backend>,
    files: Vec<(String, u64)>,
    parallelism: usize,
) -> impl Stream<Item = Result<Part>> + Unpin {
    let room = parallelism.clamp(2, PARTS_MAX) as u64 * (PART_BYTES / PERMIT_BYTES + 1);
    let room = Arc::new(Semaphore::new(room as usize));
    let ranges = files.into_iter().flat_map(|(key, stored_bytes)| {
        let key: Arc<str> = key.into();
        ranges(stored_bytes).map(move |(range, bytes, is_last)| (Arc::clone(&key), range, bytes, is_last))
    });
    let fetched = stream::iter(ranges).then(move |(key, range, bytes, is_last)| {
        let (backend, room) = (Arc::clone(&backend), Arc::clone(&room));
        async move {
            // Asked for in order, so the part that is wanted next never waits for memory that later ones hold.
            let permits = (bytes / PERMIT_BYTES + 1) as u32;
            let share = room.acquire_many_owned(permits).await.map_err(|closed| {
                Error::new(ErrorKind::Unavailable, Operation::Get, key.as_ref(), backend.location(), closed)
            })?;
            let part = async move {
                match download(backend.as_ref(), &key, range).await {
                    // An object at fault, which the one who decodes it is to find; not a store that fails.
                    Err(error) if error.kind() == ErrorKind::Damaged => {
                        tracing::debug!(%error, "an object cannot be decrypted");
                        Ok(Part { pieces: Vec::new(), is_last, is_damaged: true, share })
                    }
                    pieces => Ok(Part { pieces: pieces?, is_last, is_damaged: false, share }),
                }
            };
            Ok(Running(tokio::spawn(part)))
        }
    });
    let done = fetched.map(|running: Result<Running>| async move { running?.done().await });
    Box::pin(done.buffered(parallelism.max(1)))
}

/// The ranges in which an object of so many bytes is fetched: range, bytes, and whether it is the last.
fn ranges(stored_bytes: u64) -> impl Iterator<Item = (ByteRange, u64, bool)> {
    let count = stored_bytes.div_ceil(PART_BYTES).max(1);
    (0..count).map(move |n| {
        if count == 1 {
            return (ByteRange::All, stored_bytes, true);
        }
        let start = n * PART_BYTES;
        let len = PART_BYTES.min(stored_bytes - start);
        (ByteRange::Slice { start, len }, len, n + 1 == count)
    })
}

/// A download on its way. It stops when nobody waits for it any more.
struct Running(JoinHandle<Result<Part>>);

impl Running {
    async fn done(mut self) -> Result<Part> {
        match (&mut self.0).await {
            Ok(part) => part,
            Err(stopped) => Err(Error::new(ErrorKind::Unavailable, Operation::Get, "", "the download", stopped)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The bytes of an arrival for a blocking reader.
#[derive(Debug)]
pub struct ArrivalReader {
    rest: Rest,
    piece: Bytes,
}

#[derive(Debug)]
enum Rest {
    Whole(std::vec::IntoIter<Bytes>, OwnedSemaphorePermit),
    Streamed(mpsc::Receiver<std::result::Result<Bytes, Broken>>),
}

impl ArrivalReader {
    /// Reads `body`; must not be used on an async thread.
    pub fn new(body: ArrivalBody) -> Self {
        let rest = match body {
            ArrivalBody::Whole { pieces, share } => Rest::Whole(pieces.into_iter(), share),
            ArrivalBody::Streamed(pieces) => Rest::Streamed(pieces),
        };
        Self { rest, piece: Bytes::new() }
    }

    fn next(&mut self) -> Option<std::result::Result<Bytes, Broken>> {
        match &mut self.rest {
            Rest::Whole(pieces, _share) => pieces.next().map(Ok),
            Rest::Streamed(pieces) => host::receive(pieces),
        }
    }
}

impl BufRead for ArrivalReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() {
            match self.next() {
                Some(piece) => self.piece = piece.map_err(io::Error::other)?,
                None => break,
            }
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, len: usize) {
        self.piece.advance(len);
    }
}

impl Read for ArrivalReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(out)?;
        self.consume(n);
        Ok(n)
    }
}
