//! The WAL file of the source. It carries no locks, so it may be opened and read freely.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Lost;
use super::snapshot::{CHUNK_BYTES, Overlay};
use crate::segment::page_hash;
use crate::sqlite::WalIndex;
use crate::types::sidecar;
use crate::wal::{Chain, Checksum, FRAME_HEADER_BYTES, FrameHeader, WAL_HEADER_BYTES, WalHeader, frame_bytes};

/// The open WAL of a database.
#[derive(Debug, Clone)]
pub struct WalFile {
    path: PathBuf,
    file: Arc<File>,
}

impl WalFile {
    /// The WAL beside the database at `database` (its real path, not a symbolic link to it).
    ///
    /// # Errors
    /// If there is none, or it may not be read.
    pub fn open(database: &Path) -> io::Result<Self> {
        let path = sidecar(database, "-wal");
        let file = Arc::new(File::open(&path)?);
        Ok(Self { path, file })
    }

    /// Its name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For readers of its bytes.
    #[must_use]
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Whether its name still means this file.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        let named = std::fs::metadata(&self.path).map(|m| (m.dev(), m.ino()));
        let open = self.file.metadata().map(|m| (m.dev(), m.ino()));
        matches!((named, open), (Ok(named), Ok(open)) if named == open)
    }

    /// Reads and verifies the header.
    ///
    /// # Errors
    /// If it cannot be read or is damaged.
    pub fn header(&self) -> Result<WalHeader, Lost> {
        let mut bytes = [0; WAL_HEADER_BYTES];
        self.file.read_exact_at(&mut bytes, 0).map_err(Lost::ReadWal)?;
        WalHeader::parse(&bytes).map_err(Lost::Header)
    }

    /// The checksum behind the frame that ends at `offset`, in a part of the WAL that has been verified.
    ///
    /// # Errors
    /// If no frame can end there.
    pub fn checksum_at(&self, offset: u64, header: &WalHeader) -> io::Result<Checksum> {
        let frame = frame_bytes(header.page_size) as u64;
        if offset == WAL_HEADER_BYTES as u64 {
            return Ok(header.checksum);
        }
        if offset < WAL_HEADER_BYTES as u64 + frame || !(offset - WAL_HEADER_BYTES as u64).is_multiple_of(frame) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut head = [0; FRAME_HEADER_BYTES];
        self.file.read_exact_at(&mut head, offset - frame)?;
        Chain::claimed(&head).map(|(_, checksum)| checksum).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Verifies the frames from `offset` to `end`, moving `chain` along, and hands each to `sink` with its offset.
    ///
    /// # Errors
    /// At the first frame that cannot be read or does not continue the chain.
    pub fn verify(
        &self,
        chain: &mut Chain,
        mut offset: u64,
        end: u64,
        buffer: &mut Vec<u8>,
        mut sink: impl FnMut(u64, FrameHeader, &[u8]),
    ) -> Result<(), Lost> {
        let frame = frame_bytes(chain.page_size);
        let run = (CHUNK_BYTES / frame).max(1) * frame;
        while offset < end {
            let len = run.min(usize::try_from(end - offset).unwrap_or(run));
            buffer.resize(len.max(buffer.len()), 0);
            let chunk = &mut buffer[..len];
            self.file.read_exact_at(chunk, offset).map_err(Lost::ReadWal)?;
            for bytes in chunk.chunks(frame) {
                let header = chain.verify(bytes).map_err(|fault| Lost::Frame { offset, fault })?;
                sink(offset, header, bytes);
                offset += bytes.len() as u64;
            }
        }
        Ok(())
    }

    /// Verifies the whole committed part, and returns its header, the chain at its end and where each page stands.
    ///
    /// # Errors
    /// If it is not the WAL that the wal-index describes, or damaged.
    pub fn scan(&self, index: &WalIndex) -> Result<Scan, Lost> {
        let header = self.header()?;
        if header.salts != index.salts {
            return Err(Lost::Salts { wal: header.salts, index: index.salts });
        }
        let (mut chain, mut overlay, mut first_pages) = (Chain::begin(&header), Overlay::new(), HashSet::new());
        let end = WAL_HEADER_BYTES as u64 + u64::from(index.frames) * frame_bytes(header.page_size) as u64;
        self.verify(&mut chain, WAL_HEADER_BYTES as u64, end, &mut Vec::new(), |offset, frame, bytes| {
            overlay.insert(frame.page.get(), offset);
            if frame.page.get() == 1 {
                first_pages.insert(page_hash(frame.page, &bytes[FRAME_HEADER_BYTES..]).0);
            }
        })?;
        if chain.checksum != index.checksum {
            return Err(Lost::Checksum);
        }
        Ok(Scan { header, chain, end, overlay, first_pages })
    }
}

/// The committed part of a WAL.
#[derive(Debug)]
pub struct Scan {
    /// Its header.
    pub header: WalHeader,
    /// The chain behind its last commit.
    pub chain: Chain,
    /// Offset behind its last commit.
    pub end: u64,
    /// Where the newest version of each page stands.
    pub overlay: Overlay,
    /// Hashes of all versions of page 1 in it.
    pub first_pages: HashSet<u64>,
}
