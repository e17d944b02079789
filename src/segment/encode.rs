//! Data in, object out: one LZ4 frame that Litestream reads, then the seal.

use std::io::{self, Write};

use super::Seal;
use super::frame_writer::FrameWriter;

/// Writes one object.
pub struct Encoder<W: Write> {
    frame: FrameWriter<W>,
    raw_bytes: u64,
}

impl<W: Write> Encoder<W> {
    /// An object whose bytes go to `out`. `expected_bytes` of data picks the size of its blocks.
    pub fn new(out: W, expected_bytes: u64) -> Self {
        Self { frame: FrameWriter::new(out, expected_bytes), raw_bytes: 0 }
    }

    /// Appends data; large pieces are cheapest.
    ///
    /// # Errors
    /// Those of the writer underneath.
    pub fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.raw_bytes += data.len() as u64;
        self.frame.write(data)
    }

    /// Ends the frame and appends `seal`, into which the length of the data and the hash of the frame are filled.
    ///
    /// # Errors
    /// Those of the writer underneath.
    pub fn finish(self, seal: Seal) -> io::Result<(W, Seal)> {
        let (mut out, content) = self.frame.finish()?;
        let seal = Seal { raw_bytes: self.raw_bytes, content, ..seal };
        out.write_all(&seal.to_frame())?;
        Ok((out, seal))
    }
}
