//! Object in, data out, with everything that the object says of itself verified.

use std::io::BufRead;

use super::lz4::{FrameReader, Lz4Fault, Part, Scratch};
use super::{Seal, SealFault};

/// Why an object cannot be used. The caller adds the object's name.
#[derive(Debug, thiserror::Error)]
pub enum DecodeFault {
    /// The LZ4 frame is not whole.
    #[error(transparent)]
    Lz4(#[from] Lz4Fault),
    /// The seal is damaged.
    #[error(transparent)]
    Seal(#[from] SealFault),
    /// The data is not what the seal says.
    #[error("its data is not what its seal says ({0})")]
    Data(&'static str),
}

/// Reads one object, block by block.
///
/// Data handed out is not proved until [`Decoder::finish`] has returned: nothing made from it may be published before.
pub struct Decoder<R> {
    frames: FrameReader<R>,
    raw_bytes: u64,
    seal: Option<Seal>,
    ended: bool,
}

impl<R: BufRead> Decoder<R> {
    /// Reads the object that `input` yields.
    pub fn new(input: R) -> Self {
        Self { frames: FrameReader::new(input), raw_bytes: 0, seal: None, ended: false }
    }

    /// The same, but nothing is hashed: for data that something else proves, such as the digest of the database that
    /// is made of it. The buffers are used again.
    pub fn unproved(input: R, scratch: Scratch) -> Self {
        Self { frames: FrameReader::unchecked(input, scratch), raw_bytes: 0, seal: None, ended: false }
    }

    /// The next block of data; `None` after the last.
    ///
    /// # Errors
    /// If the object is cut short or damaged.
    pub fn next_block(&mut self) -> Result<Option<&[u8]>, DecodeFault> {
        while !self.ended {
            match self.frames.next()? {
                Part::Block => {
                    self.raw_bytes += self.frames.block().len() as u64;
                    return Ok(Some(self.frames.block()));
                }
                Part::Skippable(magic, content) => {
                    if let Some(seal) = Seal::from_skippable(magic, &content)? {
                        self.seal = Some(seal);
                    }
                }
                Part::End => self.ended = true,
            }
        }
        Ok(None)
    }

    /// Reads what is left, and returns the seal if the object has one; the data is then what the seal says.
    ///
    /// # Errors
    /// If the object is cut short or damaged, or its data is not what its seal says.
    pub fn finish(self) -> Result<Option<Seal>, DecodeFault> {
        self.finish_and_keep().map(|(seal, _)| seal)
    }

    /// The same, and the buffers for the next decoder.
    ///
    /// # Errors
    /// The same.
    pub fn finish_and_keep(mut self) -> Result<(Option<Seal>, Scratch), DecodeFault> {
        while self.next_block()?.is_some() {}
        let (scratch, stored) = self.frames.into_parts();
        let Some(seal) = self.seal else { return Ok((None, scratch)) };
        if seal.raw_bytes != self.raw_bytes {
            return Err(DecodeFault::Data("length"));
        }
        if stored.is_some_and(|stored| stored != seal.content) {
            return Err(DecodeFault::Data("content hash"));
        }
        Ok((Some(seal), scratch))
    }
}
