//! The database being put together: its file, the hash of every page, and the thread that writes both.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError};

use fault_points::fault_point;
use rustix::fs::FallocateFlags;

use super::error::{ApplyError, ObjectFault};
use crate::history::ObjectName;
use crate::segment::{PageHashes, StateDigest, page_hash};
use crate::types::{PageCount, PageNo, PageSize};

/// Pages travel to the writer in batches of this many bytes: a multiple of every page size.
pub const BATCH_BYTES: usize = 512 << 10;
/// The kernel is told to write to disk each time this many bytes have been written, so that little is left for the end.
const FLUSH_BYTES: u64 = 32 << 20;
/// Only runs of this many bytes count. Flushing pages here and there costs more than it saves: each flush lays out and
/// writes other gaps between those of the one before, while at the end all of it is one run.
const FLUSH_RUN_BYTES: usize = 64 << 10;

/// Linux caches in one piece what is written at once, and ext4 goes through all blocks of a piece to replace one: after
/// long runs, replacing pages takes several times as long.
const REWRITTEN_RUN_BYTES: usize = 16 << 10;

/// Pages on their way to the file.
#[derive(Debug, Default)]
pub struct Batch {
    /// Which pages.
    pub pages: Vec<PageNo>,
    /// Their contents, in the same order.
    pub bytes: Vec<u8>,
}

/// What an object's seal says of the database before or after it.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// Whose seal.
    pub object: ObjectName,
    /// Before the object, or after it.
    pub edge: Edge,
    /// Size of the database then.
    pub size: PageCount,
    /// Digest of the database then.
    pub digest: StateDigest,
}

/// Which end of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Where it begins.
    Before,
    /// Where it ends.
    After,
}

/// What the decoding thread asks of the writing one. The first is always `Begin`.
#[derive(Debug)]
pub enum Op {
    /// An empty database with pages of this size.
    Begin(PageSize),
    /// Write these pages.
    Write(Batch),
    /// The database has this size now.
    Resize(PageCount),
    /// The database will have this size, and its pages come in any order.
    Reserve(PageCount),
    /// Hardly any page is missing: the disk can begin with what is there.
    Settle,
    /// Compare with a seal.
    Expect(Expected),
}

/// Carries out `ops` until their sender is gone, and returns the hashes of all pages. Used batches go to `spare`.
/// Without a file nothing is written: the hashes alone are wanted. `rewritten`: pages will be written more than once.
///
/// # Errors
/// If the file cannot be written, or the database is not what a seal says.
pub fn write_image(
    file: Option<&File>,
    rewritten: bool,
    ops: &Receiver<Op>,
    spare: &Sender<Batch>,
    flush: &SyncSender<()>,
) -> Result<PageHashes, ApplyError> {
    let Ok(Op::Begin(page_size)) = ops.recv() else { return Ok(PageHashes::new(PageSize::SMALLEST)) };
    let mut image = Image { file, page_size, rewritten, hashes: PageHashes::new(page_size), unflushed_bytes: 0 };
    for op in ops {
        match op {
            Op::Begin(_) => {}
            Op::Write(mut batch) => {
                image.write(&batch)?;
                fault_point!("restore-applying");
                image.start_flush(flush);
                batch.pages.clear();
                batch.bytes.clear();
                // Nobody waiting for spare batches any more is no fault.
                let _ = spare.send(batch);
            }
            Op::Resize(size) => image.resize(size)?,
            Op::Reserve(size) => image.reserve(size)?,
            Op::Settle => image.settle(flush),
            Op::Expect(expected) => image.expect(&expected)?,
        }
    }
    Ok(image.hashes)
}

struct Image<'f> {
    file: Option<&'f File>,
    page_size: PageSize,
    /// Pages are written more than once.
    rewritten: bool,
    hashes: PageHashes,
    unflushed_bytes: u64,
}

impl Image<'_> {
    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        let size = self.page_size.bytes();
        for (page, content) in batch.pages.iter().zip(batch.bytes.chunks_exact(size)) {
            self.hashes.set(*page, page_hash(*page, content));
        }
        let Some(file) = self.file else { return Ok(()) };
        let mut start = 0;
        for run in batch.pages.chunk_by(|a, b| a.slot() + 1 == b.slot()) {
            let end = start + run.len() * size;
            self.write_run(file, &batch.bytes[start..end], run[0].file_offset(self.page_size))?;
            if end - start >= FLUSH_RUN_BYTES {
                self.unflushed_bytes += (end - start) as u64;
            }
            start = end;
        }
        Ok(())
    }

    fn write_run(&self, file: &File, run: &[u8], offset: u64) -> io::Result<()> {
        if !self.rewritten {
            return file.write_all_at(run, offset);
        }
        let pieces = run.chunks(REWRITTEN_RUN_BYTES).zip((offset..).step_by(REWRITTEN_RUN_BYTES));
        pieces.into_iter().try_for_each(|(piece, offset)| file.write_all_at(piece, offset))
    }

    fn resize(&mut self, size: PageCount) -> io::Result<()> {
        self.hashes.resize(size);
        self.file.map_or(Ok(()), |file| file.set_len(size.bytes(self.page_size)))
    }

    fn reserve(&mut self, size: PageCount) -> io::Result<()> {
        // Laid out at once, the file has no gaps. Not every file system can do it, and none has to.
        if let (Some(file), true) = (self.file, size > PageCount(0)) {
            let _ = rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size.bytes(self.page_size));
        }
        self.resize(size)
    }

    fn expect(&self, expected: &Expected) -> Result<(), ApplyError> {
        let (size, digest) = (self.hashes.size(), self.hashes.digest());
        if (size, digest) == (expected.size, expected.digest) {
            return Ok(());
        }
        let fault = ObjectFault::State {
            edge: expected.edge,
            expected: (expected.size, expected.digest),
            found: (size, digest),
        };
        Err(ApplyError::Object(expected.object, Box::new(fault)))
    }

    fn start_flush(&mut self, flush: &SyncSender<()>) {
        if self.unflushed_bytes >= FLUSH_BYTES {
            self.settle(flush);
        }
    }

    fn settle(&mut self, flush: &SyncSender<()>) {
        if self.hashes.size().bytes(self.page_size) < FLUSH_BYTES {
            return;
        }
        // A flush that is still running will be followed by another one soon enough.
        if let Ok(()) | Err(TrySendError::Disconnected(())) = flush.try_send(()) {
            self.unflushed_bytes = 0;
        }
    }
}

/// The decoding thread's end, before the page size is known.
#[derive(Debug)]
pub struct ImagePort {
    /// To the writing thread.
    pub ops: SyncSender<Op>,
    /// From the writing thread.
    pub spare: Receiver<Batch>,
}

impl ImagePort {
    /// Begins a database with pages of `page_size`.
    pub fn begin(self, page_size: PageSize) -> Result<ImageWriter, WriterStopped> {
        self.ops.send(Op::Begin(page_size)).map_err(|_| WriterStopped)?;
        Ok(ImageWriter { ops: self.ops, spare: self.spare, batch: Batch::default(), page_size })
    }
}

/// The decoding thread's end: gathers pages into batches and sends them.
#[derive(Debug)]
pub struct ImageWriter {
    ops: SyncSender<Op>,
    spare: Receiver<Batch>,
    batch: Batch,
    page_size: PageSize,
}

/// The writing thread has stopped; its own result says why.
#[derive(Debug)]
pub struct WriterStopped;

impl ImageWriter {
    /// Page size of the database.
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Writes one page.
    pub fn page(&mut self, page: PageNo, content: &[u8]) -> Result<(), WriterStopped> {
        self.batch.pages.push(page);
        self.batch.bytes.extend_from_slice(content);
        if self.batch.bytes.len() >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes the part of `content` that still fits into the batch as (part of) consecutive pages; `written_bytes`
    /// of the database come before it. Returns how much was taken.
    pub fn run(&mut self, written_bytes: u64, content: &[u8]) -> Result<usize, WriterStopped> {
        let taken = content.len().min(BATCH_BYTES - self.batch.bytes.len());
        self.batch.bytes.extend_from_slice(&content[..taken]);
        let size = self.page_size.bytes();
        let whole_pages = (written_bytes + taken as u64) / size as u64;
        while self.batch.pages.len() < self.batch.bytes.len() / size {
            let before = self.batch.bytes.len() / size - self.batch.pages.len();
            let number = u32::try_from(whole_pages - before as u64 + 1).ok().and_then(PageNo::new);
            self.batch.pages.push(number.ok_or(WriterStopped)?);
        }
        if self.batch.bytes.len() == BATCH_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    /// The database has this size now.
    pub fn resize(&mut self, size: PageCount) -> Result<(), WriterStopped> {
        self.flush()?;
        self.send(Op::Resize(size))
    }

    /// The database will have this size; its pages may come in any order.
    pub fn reserve(&mut self, size: PageCount) -> Result<(), WriterStopped> {
        self.flush()?;
        self.send(Op::Reserve(size))
    }

    /// Hardly any page is missing: has the disk begin with what is there.
    pub fn settle(&mut self) -> Result<(), WriterStopped> {
        self.flush()?;
        self.send(Op::Settle)
    }

    /// Compares with a seal.
    pub fn expect(&mut self, expected: Expected) -> Result<(), WriterStopped> {
        self.flush()?;
        self.send(Op::Expect(expected))
    }

    /// Sends the pages gathered so far.
    pub fn flush(&mut self) -> Result<(), WriterStopped> {
        if self.batch.pages.is_empty() {
            return Ok(());
        }
        let empty = self.spare.try_recv().unwrap_or_default();
        let full = std::mem::replace(&mut self.batch, empty);
        self.send(Op::Write(full))
    }

    fn send(&self, op: Op) -> Result<(), WriterStopped> {
        self.ops.send(op).map_err(|_| WriterStopped)
    }
}
