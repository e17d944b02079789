//! Objects in, database out: one thread decodes and verifies, a second one hashes and writes, a third one makes the
//! disk keep up.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use tokio::sync::mpsc;

use super::error::ApplyError;
use super::fetch::Arrival;
use super::image::{ImagePort, write_image};
use super::replay::{Replay, Replayed};
use super::snapshot::apply_snapshot;
use crate::history::RestorePlan;
use crate::host;
use crate::segment::PageHashes;

/// Batches on their way to the writing thread.
const BATCHES_AHEAD: usize = 8;

/// What to put together, and where.
#[derive(Debug)]
pub struct Job {
    /// Which objects, and where to stop.
    pub plan: RestorePlan,
    /// An empty file; `None` if only the page hashes are wanted.
    pub file: Option<File>,
    /// A file that may be created for a while.
    pub spill: PathBuf,
    /// No state of the database may need more.
    pub size_max_bytes: u64,
}

/// A database that has been put together and compared with the seals, but not published.
#[derive(Debug)]
pub struct Applied {
    /// Hash of every page.
    pub hashes: PageHashes,
    /// What was reached.
    pub replayed: Replayed,
}

/// Carries out `job`. Blocks; must not run on an async thread.
///
/// # Errors
/// Which object is at fault, or why the file cannot be written.
pub fn apply(job: &Job, arrivals: mpsc::Receiver<Arrival>) -> Result<Applied, ApplyError> {
    let (hashes, replayed) =
        put_together(job.file.as_ref(), !job.plan.steps.is_empty(), |port| decode(job, arrivals, port))?;
    Ok(Applied { hashes, replayed })
}

/// Has `decode` fill `file`, if there is one, through the port it is given, and returns the hash of every page beside
/// what it returns. `rewritten`: pages will be written more than once.
///
/// # Errors
/// Those of `decode`, or why the file cannot be written.
pub fn put_together<T>(
    file: Option<&File>,
    rewritten: bool,
    decode: impl FnOnce(ImagePort) -> Result<T, ApplyError>,
) -> Result<(PageHashes, T), ApplyError> {
    let (ops, ops_in) = sync_channel(BATCHES_AHEAD);
    let (spare_in, spare) = channel();
    let (flush, flush_in) = sync_channel(1);
    thread::scope(|scope| {
        let writer = scope.spawn(move || write_and_close(file, rewritten, &ops_in, &spare_in, flush));
        let flusher = scope.spawn(move || flush_when_told(file, &flush_in));
        let decoded = decode(ImagePort { ops, spare });
        let written = writer.join().unwrap_or(Err(ApplyError::WriterStopped));
        let flushed = flusher.join().unwrap_or_else(|_| Err(io::Error::other("the flushing thread panicked")));
        // The writer is behind the decoder, so its error is about an earlier byte.
        let hashes = written?;
        let decoded = decoded?;
        // A failed flush is final: the kernel may have dropped the pages, and reports it only once.
        flushed?;
        file.map_or(Ok(()), File::sync_all)?;
        Ok((hashes, decoded))
    })
}

fn write_and_close(
    file: Option<&File>,
    rewritten: bool,
    ops: &Receiver<super::image::Op>,
    spare: &std::sync::mpsc::Sender<super::image::Batch>,
    flush: SyncSender<()>,
) -> Result<PageHashes, ApplyError> {
    let written = write_image(file, rewritten, ops, spare, &flush);
    drop(flush);
    written
}

fn flush_when_told(file: Option<&File>, told: &Receiver<()>) -> io::Result<()> {
    for () in told {
        file.map_or(Ok(()), File::sync_data)?;
    }
    Ok(())
}

fn decode(job: &Job, mut arrivals: mpsc::Receiver<Arrival>, port: ImagePort) -> Result<Replayed, ApplyError> {
    let sealed = job.plan.is_sealed();
    let snapshot = host::receive(&mut arrivals).ok_or(ApplyError::Interrupted)?;
    let (image, size) = apply_snapshot(snapshot, sealed, port)?;
    let mut replay = Replay::new(&job.plan, image, size, job.size_max_bytes, &job.spill);
    for _ in &job.plan.steps {
        replay.segment(host::receive(&mut arrivals).ok_or(ApplyError::Interrupted)?)?;
    }
    replay.finish()
}
