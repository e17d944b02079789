//! The right to copy the database file, and the copy.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::segment::{SourceCursor, StateDigest};
use crate::sqlite::{self, Connection};
use crate::types::{Generation, Index, PageCount, PageNo, PageSet, PageSize, Timestamp};
use crate::wal::{ByteOrder, FRAME_HEADER_BYTES};

use super::log::Mark;
use super::ranges::RangePart;

/// How many bytes are read at once.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Where in the source's WAL the newest version of each page stands; pages that are not in it are in the database file.
pub type Overlay = HashMap<u32, u64>;

/// A snapshot that can be taken now, and merged ranges that can be written now: of exactly the state at offset 0 of
/// `index`.
///
/// While a ticket is alive the follower keeps the lock under which it was made, so neither the database file nor, for
/// an overlay, the WAL can change where the snapshot reads (see `follow/lease.rs`).
#[derive(Debug)]
pub struct SnapshotTicket {
    /// Path of the database.
    pub database: PathBuf,
    /// The generation it belongs to.
    pub generation: Generation,
    /// The index at whose beginning it stands.
    pub index: Index,
    /// Page size of the database.
    pub page_size: PageSize,
    /// Size of the database.
    pub size: PageCount,
    /// State of the database, from the page hashes: the copy must come to the same.
    pub digest: StateDigest,
    /// When the newest commit in it was seen.
    pub time: Timestamp,
    /// Where it lies in the source's own WAL.
    pub source: SourceCursor,
    /// Byte order of the source's WAL checksums.
    pub order: ByteOrder,
    /// Why it is taken.
    pub reason: String,
    /// For a snapshot taken beside a WAL that could not be copied back.
    pub overlay: Option<(Arc<File>, Overlay)>,
    /// Merged ranges that end here.
    pub ranges: Vec<RangePart>,
}

impl SnapshotTicket {
    /// Its position.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark {
            offset: crate::types::Offset(0),
            checksum: crate::wal::Checksum::default(),
            source: self.source,
            size: self.size,
            digest: Some(self.digest),
            time: self.time,
        }
    }

    /// Reads the pages, front to back, and hands them to `sink` in large runs.
    ///
    /// # Errors
    /// If the file cannot be read, or `sink` fails.
    pub fn copy(&self, sink: impl FnMut(PageNo, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let connection = Connection::open(&self.database).map_err(io::Error::other)?;
        let overlay = self.overlay.as_ref().map(|(wal, map)| (wal.as_ref(), map));
        read_pages(&connection, self.page_size, self.size, overlay, sink)
    }

    /// Reads the pages of `wanted`, ascending, and hands them to `sink` one by one.
    ///
    /// # Errors
    /// If the file cannot be read, or `sink` fails.
    pub fn copy_pages(
        &self,
        wanted: &PageSet,
        mut sink: impl FnMut(PageNo, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let connection = Connection::open(&self.database).map_err(io::Error::other)?;
        let mut content = vec![0; self.page_size.bytes()];
        for page in wanted.iter() {
            match self.overlay.as_ref().and_then(|(wal, map)| Some((wal, map.get(&page.get())?))) {
                Some((wal, frame)) => wal.read_exact_at(&mut content, frame + FRAME_HEADER_BYTES as u64)?,
                None => {
                    let at = page.file_offset(self.page_size);
                    connection.read_database(at, &mut content).map_err(sqlite_to_io)?;
                }
            }
            sink(page, &content)?;
        }
        Ok(())
    }
}

/// Reads all pages of a database of `size` pages, front to back, and hands them to `sink` in runs of whole pages.
///
/// # Errors
/// If the file or the WAL cannot be read, or `sink` fails.
pub fn read_pages(
    connection: &Connection,
    page_size: PageSize,
    size: PageCount,
    overlay: Option<(&File, &Overlay)>,
    mut sink: impl FnMut(PageNo, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let bytes = page_size.bytes();
    let run = (CHUNK_BYTES / bytes).max(1) as u32;
    let mut buffer = vec![0; run as usize * bytes];
    let mut next = 1;
    while next <= size.0 {
        let Some(first) = PageNo::new(next) else { break };
        let pages = run.min(size.0 - next + 1);
        let chunk = &mut buffer[..pages as usize * bytes];
        connection.read_database(first.file_offset(page_size), chunk).map_err(sqlite_to_io)?;
        if let Some((wal, map)) = overlay.filter(|(_, map)| !map.is_empty()) {
            for (page, content) in (next..).zip(chunk.chunks_exact_mut(bytes)) {
                if let Some(frame) = map.get(&page) {
                    wal.read_exact_at(content, frame + FRAME_HEADER_BYTES as u64)?;
                }
            }
        }
        sink(first, chunk)?;
        next += pages;
    }
    Ok(())
}

fn sqlite_to_io(error: sqlite::Error) -> io::Error {
    io::Error::other(error)
}
