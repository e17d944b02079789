//! Objects on their way in: small ones are fetched ahead of time, several at once; big ones are streamed.
//!
//! Memory: whole objects wait in at most [`AHEAD_BYTES`], a streamed one in a few chunks of the store's choosing.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures::{StreamExt, stream};
use replica_backends::{Backend, ByteRange};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Progress;
use super::source::{collect, read_seal, sealing};
use crate::history::{PlannedObject, Sealing, plan_key};

/// Objects of up to this size are fetched whole, ahead of time.
const WHOLE_BYTES_MAX: u64 = 4 << 20;
/// All objects that wait to be applied, together.
const AHEAD_BYTES: u64 = 16 << 20;
/// Unit in which waiting bytes are counted.
const PERMIT_BYTES: u64 = 1 << 10;
/// Chunks of a streamed object that wait to be decoded.
const CHUNKS_AHEAD: usize = 4;

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
        /// The object.
        bytes: Bytes,
        /// Its share of the memory for waiting objects.
        _share: OwnedSemaphorePermit,
    },
    /// One chunk after the other.
    Streamed(mpsc::Receiver<replica_backends::Result<Bytes>>),
}

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
) -> replica_backends::Result<()> {
    let ahead = Ahead::new();
    let fetches = objects.into_iter().map(|object| fetch_one(Arc::clone(&backend), object, ahead.clone()));
    let mut fetches = stream::iter(fetches).buffered(parallelism.max(1));
    while let Some(fetched) = fetches.next().await {
        let (object, sealing, whole) = fetched?;
        let key = plan_key(&object.name);
        let arrival = |body| Arrival { object, sealing, body };
        if !deliver(backend.as_ref(), &key, whole, progress, &out, arrival).await? {
            return Ok(());
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
) -> replica_backends::Result<()> {
    let ahead = Ahead::new();
    let fetches = files.into_iter().map(|(key, stored_bytes)| {
        let (backend, ahead) = (Arc::clone(&backend), ahead.clone());
        async move {
            let whole = ahead.whole(backend.as_ref(), &key, stored_bytes).await?;
            Ok::<_, replica_backends::Error>((key, whole))
        }
    });
    let mut fetches = stream::iter(fetches).buffered(parallelism.max(1));
    while let Some(fetched) = fetches.next().await {
        let (key, whole) = fetched?;
        if !deliver(backend.as_ref(), &key, whole, progress, &out, |body| body).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends an object, whole if it is there and else chunk by chunk; false if nobody listens any more.
async fn deliver<T>(
    backend: &dyn Backend,
    key: &str,
    whole: Option<Whole>,
    progress: &dyn Progress,
    out: &mpsc::Sender<T>,
    arrival: impl FnOnce(ArrivalBody) -> T,
) -> replica_backends::Result<bool> {
    if let Some((bytes, permit)) = whole {
        progress.advance(bytes.len() as u64);
        return Ok(out.send(arrival(ArrivalBody::Whole { bytes, _share: permit })).await.is_ok());
    }
    let mut chunks = backend.get(key, ByteRange::All).await?;
    let (chunks_out, body) = mpsc::channel(CHUNKS_AHEAD);
    if out.send(arrival(ArrivalBody::Streamed(body))).await.is_err() {
        return Ok(false);
    }
    while let Some(chunk) = chunks.next().await {
        progress.advance(chunk.as_ref().map_or(0, Bytes::len) as u64);
        if chunks_out.send(chunk).await.is_err() {
            break;
        }
    }
    Ok(true)
}

type Whole = (Bytes, OwnedSemaphorePermit);

async fn fetch_one(
    backend: Arc<dyn Backend>,
    object: PlannedObject,
    ahead: Ahead,
) -> replica_backends::Result<(PlannedObject, Sealing, Option<Whole>)> {
    let key = plan_key(&object.name);
    let Some((bytes, permit)) = ahead.whole(backend.as_ref(), &key, object.stored_bytes).await? else {
        let sealing = match &object.seal {
            Some(seal) => Sealing::Sealed(seal.clone()),
            None => read_seal(backend.as_ref(), &object.name, object.stored_bytes).await?,
        };
        return Ok((object, sealing, None));
    };
    let sealing = sealing(&bytes, bytes.len() as u64).unwrap_or(Sealing::Unsealed);
    Ok((object, sealing, Some((bytes, permit))))
}

/// The memory for objects that wait.
#[derive(Debug, Clone)]
struct Ahead(Arc<Semaphore>);

impl Ahead {
    fn new() -> Self {
        Self(Arc::new(Semaphore::new((AHEAD_BYTES / PERMIT_BYTES) as usize)))
    }

    /// A small object; `None` for one that has to be streamed.
    async fn whole(
        &self,
        backend: &dyn Backend,
        key: &str,
        stored_bytes: u64,
    ) -> replica_backends::Result<Option<Whole>> {
        if stored_bytes > WHOLE_BYTES_MAX {
            return Ok(None);
        }
        let permits = (stored_bytes / PERMIT_BYTES + 1) as u32;
        // The semaphore is fair and the objects ask in their order, so the one that is applied next is never starved.
        let permit = Arc::clone(&self.0).acquire_many_owned(permits).await.map_err(|closed| {
            let kind = replica_backends::ErrorKind::Unavailable;
            replica_backends::Error::new(kind, replica_backends::Operation::Get, "", backend.location(), closed)
        })?;
        let bytes = collect(backend.get(key, ByteRange::All).await?).await?;
        Ok(Some((bytes, permit)))
    }
}

/// The bytes of an arrival for a blocking reader.
#[derive(Debug)]
pub struct ArrivalReader {
    body: ArrivalBody,
    chunk: Bytes,
}

impl ArrivalReader {
    /// Reads `body`; must not be used on an async thread.
    pub fn new(body: ArrivalBody) -> Self {
        let chunk = match &body {
            ArrivalBody::Whole { bytes, .. } => bytes.clone(),
            ArrivalBody::Streamed(_) => Bytes::new(),
        };
        Self { body, chunk }
    }
}

impl Read for ArrivalReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let ArrivalBody::Streamed(chunks) = &mut self.body else { return Ok(0) };
            match chunks.blocking_recv() {
                Some(chunk) => self.chunk = chunk.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let n = out.len().min(self.chunk.len());
        self.chunk.split_to(n).copy_to_slice(&mut out[..n]);
        Ok(n)
    }
}
