//! Writing LZ4 frames block by block, straight from the caller's bytes.
//!
//! The library's own writer copies everything into a buffer first, because it fills each block to the brim. A block may
//! be shorter (github.com/lz4/lz4, doc/lz4_Frame_format.md), so here a large piece is compressed from where it lies.

use std::io::{self, Write};

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use xxhash_rust::xxh32::{Xxh32, xxh32};

use super::content::{ContentHash, ContentHasher};
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
    /// Of everything that has gone out.
    stored: ContentHasher,
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
            stored: ContentHasher::new(),
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

    /// Ends the frame and returns the writer underneath, and the hash of the frame.
    pub(super) fn finish(mut self) -> io::Result<(W, ContentHash)> {
        self.flush()?;
        self.begin()?;
        self.put(&[0; 4])?;
        self.put(&self.content.digest().to_le_bytes())?;
        Ok((self.out, self.stored.finish()))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stored.update(bytes);
        self.out.write_all(bytes)
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
        self.put(&FRAME_MAGIC.to_le_bytes())?;
        self.put(&described)?;
        self.put(&[(xxh32(&described, 0) >> 8) as u8])
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
        self.stored.update(&field.to_le_bytes());
        self.stored.update(bytes);
        self.out.write_all(&field.to_le_bytes())?;
        self.out.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn frame(pieces: &[&[u8]], expected_bytes: u64) -> Vec<u8> {
        let mut writer = FrameWriter::new(Vec::new(), expected_bytes);
        pieces.iter().for_each(|piece| writer.write(piece).unwrap());
        writer.finish().unwrap().0
    }

    /// By the library, which knows nothing of this writer.
    fn decoded(frame: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        lz4_flex::frame::FrameDecoder::new(frame).read_to_end(&mut data).unwrap();
        data
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        (0..len).map(|_| random.u8(..)).collect()
    }

    #[test]
    fn a_frame_holds_the_data_however_it_was_cut() {
        let (noise, text): (Vec<u8>, Vec<u8>) = (noise(700_000), (0..700_000).map(|i| (i / 100 % 7) as u8).collect());
        for data in [noise, text] {
            for cut in [1, 32, 4119, LARGE_BYTES - 1, LARGE_BYTES, 65_536, 131_073, 262_144, 262_145, 700_000] {
                let data = if cut < 32 { &data[..70_000] } else { &data[..] };
                let pieces: Vec<&[u8]> = data.chunks(cut).collect();
                for expected_bytes in [0, 1 << 20] {
                    assert!(decoded(&frame(&pieces, expected_bytes)) == data, "pieces of {cut}, {expected_bytes}");
                }
            }
        }
    }

    #[test]
    fn small_and_large_pieces_keep_their_order() {
        let data = noise(200_000);
        let (pieces, large) = ([&data[..10], &data[10..100_000], &data[100_000..100_003], &data[100_003..]], 1 << 20);
        assert!(decoded(&frame(&pieces, large)) == data);
    }

    #[test]
    fn a_frame_without_data_is_a_frame() {
        assert!(decoded(&frame(&[], 0)).is_empty());
        assert!(decoded(&frame(&[&[], &[]], 1 << 20)).is_empty());
    }

    #[test]
    fn what_does_not_compress_is_stored_and_costs_four_bytes_a_block() {
        let data = noise(1 << 20);
        let header_and_end = 7 + 4 + 4;
        assert_eq!(frame(&[&data], 1 << 20).len(), data.len() + 4 * 4 + header_and_end);
    }
}
