//! Writing LZ4 frames block by block, straight from the caller's bytes.
//!
//! The library's own writer copies everything into a buffer first, because it fills each block to the brim. A block may
//! be shorter (github.com/lz4/lz4, doc/lz4_Frame_format.md), so here a large piece is compressed from where it lies.

use std::io::{self, Write};

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use xxhash_rust::xxh32::{Xxh32, xxh32};

use super::lz4::{FRAME_MAGIC, STORED};

/// Version 1, independent blocks, content checksum; no block checksums: Litestream 0.3.13 computes them wrongly.
const FLAGS: u8 = 0x64;
/// Pieces from this size on are not gathered.
const LARGE_BYTES: usize = 32 << 10;

/// Writes one frame.
pub(super) struct FrameWriter<W> {
    out: W,
    block_bytes_max: usize,
    /// Small pieces, gathered until they fill a block.
    pending: Vec<u8>,
    packed: Vec<u8>,
    table: CompressTable,
    content: Xxh32,
    begun: bool,
    /// What the header says of the size of blocks.
    block_field: u8,
}

impl<W: Write> FrameWriter<W> {
    /// A frame whose bytes go to `out`. Blocks are small where little is expected: ten thousand databases do not need
    /// megabytes each.
    pub(super) fn new(out: W, expected_bytes: u64) -> Self {
        let (block_field, block_bytes_max) =
            if expected_bytes <= 64 << 10 { (4 << 4, 64 << 10) } else { (5 << 4, 256 << 10) };
        Self {
            out,
            block_bytes_max,
            pending: Vec::new(),
            packed: Vec::new(),
            table: CompressTable::small(),
            content: Xxh32::new(0),
            begun: false,
            block_field,
        }
    }

    /// Appends data.
    pub(super) fn write(&mut self, mut data: &[u8]) -> io::Result<()> {
        self.content.update(data);
        while !data.is_empty() {
            if self.pending.is_empty() && data.len() >= LARGE_BYTES {
                let (block, rest) = data.split_at(data.len().min(self.block_bytes_max));
                self.block(block)?;
                data = rest;
                continue;
            }
            let (now, later) = data.split_at(data.len().min(self.block_bytes_max - self.pending.len()));
            self.pending.extend_from_slice(now);
            data = later;
            if self.pending.len() == self.block_bytes_max {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Ends the frame and returns the writer underneath.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        self.begin()?;
        self.out.write_all(&[0; 4])?;
        self.out.write_all(&self.content.digest().to_le_bytes())?;
        Ok(self.out)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut pending = std::mem::take(&mut self.pending);
        self.block(&pending)?;
        pending.clear();
        self.pending = pending;
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let described = [FLAGS, self.block_field];
        self.out.write_all(&FRAME_MAGIC.to_le_bytes())?;
        self.out.write_all(&described)?;
        self.out.write_all(&[(xxh32(&described, 0) >> 8) as u8])
    }

    /// One block, stored as it is if compression does not make it shorter.
    fn block(&mut self, data: &[u8]) -> io::Result<()> {
        self.begin()?;
        let needed = get_maximum_output_size(data.len());
        if self.packed.len() < needed {
            self.packed.resize(needed, 0);
        }
        let len = compress_into_with_table(data, &mut self.packed, &mut self.table).map_err(io::Error::other)?;
        let (field, bytes) =
            if len < data.len() { (len as u32, &self.packed[..len]) } else { (data.len() as u32 | STORED, data) };
        self.out.write_all(&field.to_le_bytes())?;
        self.out.write_all(bytes)
    }
}
