//! Data in, object out: one LZ4 frame that Litestream reads, then the seal.

use std::io::{self, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::Seal;
use super::content::ContentHasher;

/// Writes one object.
///
/// The frame has a content checksum and no block checksums: Litestream 0.3.13 computes block checksums wrongly and
/// refuses them. Blocks are small, so that ten thousand databases do not need four megabytes each.
pub struct Encoder<W: Write> {
    frame: FrameEncoder<W>,
    content: ContentHasher,
    raw_bytes: u64,
}

impl<W: Write> Encoder<W> {
    /// An object whose bytes go to `out`. `expected_bytes` of data picks the block size.
    pub fn new(out: W, expected_bytes: u64) -> Self {
        let block = if expected_bytes <= 64 << 10 { BlockSize::Max64KB } else { BlockSize::Max256KB };
        let info = FrameInfo::new().block_size(block).block_mode(BlockMode::Independent).content_checksum(true);
        Self { frame: FrameEncoder::with_frame_info(info, out), content: ContentHasher::new(), raw_bytes: 0 }
    }

    /// Appends data.
    ///
    /// # Errors
    /// Those of the writer underneath.
    pub fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.content.update(data);
        self.raw_bytes += data.len() as u64;
        self.frame.write_all(data)
    }

    /// Ends the frame and appends `seal`, into which length and hash of the data are filled.
    ///
    /// # Errors
    /// Those of the writer underneath.
    pub fn finish(self, seal: Seal) -> io::Result<(W, Seal)> {
        let mut out = self.frame.finish().map_err(io::Error::other)?;
        let seal = Seal { raw_bytes: self.raw_bytes, content: self.content.finish(), ..seal };
        out.write_all(&seal.to_frame())?;
        Ok((out, seal))
    }
}
