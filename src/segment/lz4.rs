//! Reading LZ4 frames strictly: a frame that is cut anywhere, even between two blocks, is an error.
//!
//! The block codec is `lz4_flex`; the frame around it is read here, because a library reader takes the end of the
//! input for the end of the frame (github.com/lz4/lz4, doc/lz4_Frame_format.md).

use std::io::{self, BufRead, Read};

use xxhash_rust::xxh32::{Xxh32, xxh32};

use super::content::{ContentHash, ContentHasher};

pub(super) const FRAME_MAGIC: u32 = 0x184D_2204;
const SKIPPABLE_MAGIC: u32 = 0x184D_2A50;
const SKIPPABLE_MASK: u32 = 0xFFFF_FFF0;
pub(super) const STORED: u32 = 0x8000_0000;
/// How far back a block may refer to the ones before it.
const WINDOW_BYTES: usize = 64 << 10;
/// More than any seal needs; keeps a damaged length from asking for gigabytes.
const SKIPPABLE_BYTES_MAX: u32 = 256 << 20;

/// Why bytes are not a whole LZ4 frame.
#[derive(Debug, thiserror::Error)]
pub enum Lz4Fault {
    /// The bytes could not be read.
    #[error(transparent)]
    Read(io::Error),
    /// The object ends within the frame.
    #[error("it ends in the middle of its LZ4 frame")]
    Truncated,
    /// Not an LZ4 frame.
    #[error("it does not begin with an LZ4 frame (found {0:#010x}); is it encrypted?")]
    Magic(u32),
    /// A frame header or block that no encoder writes.
    #[error("its LZ4 frame is damaged ({0})")]
    Damaged(&'static str),
    /// The content does not have the checksum that the frame says.
    #[error("its LZ4 content checksum is {found:08x}, but the data gives {expected:08x}")]
    Checksum {
        /// Of the frame.
        found: u32,
        /// Of the data.
        expected: u32,
    },
}

/// What comes next in an object.
pub enum Part {
    /// Data is in [`FrameReader::block`].
    Block,
    /// A skippable frame with this magic and content.
    Skippable(u32, Vec<u8>),
    /// The end.
    End,
}

struct Descriptor {
    independent: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_bytes: Option<u64>,
    block_bytes_max: usize,
}

/// The buffers of a reader, which the next one can use again: making them costs more than reading a small object.
#[derive(Debug, Default)]
pub struct Scratch {
    packed: Vec<u8>,
    block: Vec<u8>,
    window: Vec<u8>,
}

/// Reads the frames of one object, block by block, in memory bounded by the block size.
pub struct FrameReader<R> {
    input: R,
    frame: Option<Descriptor>,
    /// `None`: content checksums are passed by.
    content: Option<Xxh32>,
    /// Of the data frames as they are stored; `None` as above.
    stored: Option<ContentHasher>,
    content_bytes: u64,
    scratch: Scratch,
    len: usize,
    frames: u32,
}

impl<R: BufRead> FrameReader<R> {
    pub fn new(input: R) -> Self {
        let (content, stored) = (Some(Xxh32::new(0)), Some(ContentHasher::new()));
        Self { input, frame: None, content, stored, content_bytes: 0, scratch: Scratch::default(), len: 0, frames: 0 }
    }

    /// The same, with used buffers, and without looking at checksums or hashing anything.
    pub fn unchecked(input: R, mut scratch: Scratch) -> Self {
        scratch.window.clear();
        Self { scratch, content: None, stored: None, ..Self::new(input) }
    }

    /// Its buffers, for the next one; and the hash of its data frames as they are stored, if it was made.
    pub fn into_parts(self) -> (Scratch, Option<ContentHash>) {
        (self.scratch, self.stored.map(ContentHasher::finish))
    }

    /// The data of the block that [`FrameReader::next`] announced.
    pub fn block(&self) -> &[u8] {
        &self.scratch.block[..self.len]
    }

    /// Moves to the next part of the object. Frames that follow one another are one run of data.
    pub fn next(&mut self) -> Result<Part, Lz4Fault> {
        loop {
            if let Some(frame) = self.frame.take() {
                if self.read_block(&frame)? {
                    self.frame = Some(frame);
                    return Ok(Part::Block);
                }
                continue;
            }
            let Some(magic) = self.read_magic()? else {
                return if self.frames > 0 { Ok(Part::End) } else { Err(Lz4Fault::Truncated) };
            };
            match magic {
                FRAME_MAGIC => {
                    self.note_stored(&FRAME_MAGIC.to_le_bytes());
                    self.begin_frame()?;
                }
                _ if magic & SKIPPABLE_MASK == SKIPPABLE_MAGIC => {
                    return Ok(Part::Skippable(magic, self.read_skippable()?));
                }
                // Litestream ignores what follows its frame.
                _ if self.frames > 0 => return Ok(Part::End),
                _ => return Err(Lz4Fault::Magic(magic)),
            }
        }
    }

    fn read_magic(&mut self) -> Result<Option<u32>, Lz4Fault> {
        let mut bytes = [0; 4];
        let mut have = 0;
        while have < 4 {
            match self.input.read(&mut bytes[have..]) {
                Ok(0) => return Ok(None),
                Ok(n) => have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Lz4Fault::Read(e)),
            }
        }
        Ok(Some(u32::from_le_bytes(bytes)))
    }

    fn begin_frame(&mut self) -> Result<(), Lz4Fault> {
        let [flags, block_field] = self.take_stored::<2>()?;
        let mut covered = vec![flags, block_field];
        if flags >> 6 != 1 || flags & 0x02 != 0 || block_field & 0x8F != 0 {
            return Err(Lz4Fault::Damaged("frame header"));
        }
        if flags & 0x01 != 0 {
            return Err(Lz4Fault::Damaged("it needs a dictionary"));
        }
        let content_bytes = if flags & 0x08 != 0 {
            let field = self.take_stored::<8>()?;
            covered.extend(field);
            Some(u64::from_le_bytes(field))
        } else {
            None
        };
        let [check] = self.take_stored::<1>()?;
        if check != (xxh32(&covered, 0) >> 8) as u8 {
            return Err(Lz4Fault::Damaged("frame header checksum"));
        }
        let block_bytes_max = match block_field >> 4 {
            4 => 64 << 10,
            5 => 256 << 10,
            6 => 1 << 20,
            7 => 4 << 20,
            _ => return Err(Lz4Fault::Damaged("block size")),
        };
        self.frame = Some(Descriptor {
            independent: flags & 0x20 != 0,
            block_checksums: flags & 0x10 != 0,
            content_checksum: flags & 0x04 != 0,
            content_bytes,
            block_bytes_max,
        });
        self.content = self.content.as_ref().map(|_| Xxh32::new(0));
        self.content_bytes = 0;
        self.scratch.window.clear();
        self.frames += 1;
        Ok(())
    }

    /// Reads a block; false at the end mark, whose checksum has then been verified.
    fn read_block(&mut self, frame: &Descriptor) -> Result<bool, Lz4Fault> {
        let field = u32::from_le_bytes(self.take_stored()?);
        if field == 0 {
            self.end_frame(frame)?;
            return Ok(false);
        }
        let len = (field & !STORED) as usize;
        if len > frame.block_bytes_max {
            return Err(Lz4Fault::Damaged("block length"));
        }
        // The usual block, without a checksum of its own, is used where it lies.
        let in_place = !frame.block_checksums && self.input.fill_buf().map_err(read_fault)?.len() >= len;
        if !in_place {
            self.take_packed(len, frame.block_checksums)?;
        }
        let Scratch { packed, block, window } = &mut self.scratch;
        let packed = if in_place { self.input.fill_buf().map_err(read_fault)? } else { packed };
        let packed = packed.get(..len).ok_or(Lz4Fault::Truncated)?;
        if let Some(stored) = self.stored.as_mut().filter(|_| in_place) {
            stored.update(packed);
        }
        if block.len() < frame.block_bytes_max {
            block.resize(frame.block_bytes_max, 0);
        }
        let out = &mut block[..frame.block_bytes_max];
        self.len = if field & STORED != 0 {
            out[..len].copy_from_slice(packed);
            len
        } else {
            let damaged = |_| Lz4Fault::Damaged("block");
            lz4_flex::block::decompress_into_with_dict(packed, out, window).map_err(damaged)?
        };
        if in_place {
            self.input.consume(len);
        }
        if !frame.independent {
            self.remember();
        }
        if let Some(content) = self.content.as_mut().filter(|_| frame.content_checksum) {
            content.update(&self.scratch.block[..self.len]);
        }
        self.content_bytes += self.len as u64;
        Ok(true)
    }

    /// Reads a block of `len` bytes, and the checksum behind it, into memory of our own.
    fn take_packed(&mut self, len: usize, has_checksum: bool) -> Result<(), Lz4Fault> {
        let Self { input, scratch: Scratch { packed, .. }, .. } = self;
        if packed.len() < len {
            packed.resize(len, 0);
        }
        input.read_exact(&mut packed[..len]).map_err(read_fault)?;
        if let Some(stored) = &mut self.stored {
            stored.update(&packed[..len]);
        }
        if has_checksum && xxh32(&self.scratch.packed[..len], 0) != u32::from_le_bytes(self.take_stored()?) {
            return Err(Lz4Fault::Damaged("block checksum"));
        }
        Ok(())
    }

    /// Keeps the last 64 KiB for the next block of a frame with linked blocks.
    fn remember(&mut self) {
        let Scratch { block, window, .. } = &mut self.scratch;
        window.extend_from_slice(&block[self.len.saturating_sub(WINDOW_BYTES)..self.len]);
        let surplus = window.len().saturating_sub(WINDOW_BYTES);
        window.drain(..surplus);
    }

    fn end_frame(&mut self, frame: &Descriptor) -> Result<(), Lz4Fault> {
        if frame.content_checksum {
            let found = u32::from_le_bytes(self.take_stored()?);
            match self.content.as_ref().map(Xxh32::digest) {
                Some(expected) if found != expected => return Err(Lz4Fault::Checksum { found, expected }),
                _ => {}
            }
        }
        match frame.content_bytes {
            Some(bytes) if bytes != self.content_bytes => Err(Lz4Fault::Damaged("content length")),
            _ => Ok(()),
        }
    }

    fn read_skippable(&mut self) -> Result<Vec<u8>, Lz4Fault> {
        let len = u32::from_le_bytes(self.take()?);
        if len > SKIPPABLE_BYTES_MAX {
            return Err(Lz4Fault::Damaged("skippable frame length"));
        }
        let mut content = Vec::new();
        let read = self.input.by_ref().take(u64::from(len)).read_to_end(&mut content).map_err(Lz4Fault::Read)?;
        if read < len as usize { Err(Lz4Fault::Truncated) } else { Ok(content) }
    }

    fn take_stored<const N: usize>(&mut self) -> Result<[u8; N], Lz4Fault> {
        let bytes = self.take()?;
        self.note_stored(&bytes);
        Ok(bytes)
    }

    fn note_stored(&mut self, bytes: &[u8]) {
        if let Some(stored) = &mut self.stored {
            stored.update(bytes);
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Lz4Fault> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(read_fault)?;
        Ok(bytes)
    }
}

fn read_fault(error: io::Error) -> Lz4Fault {
    if error.kind() == io::ErrorKind::UnexpectedEof { Lz4Fault::Truncated } else { Lz4Fault::Read(error) }
}

/// Decompresses one LZ4 block, without any frame around it, which must fill `out` exactly.
pub fn lz4_block(compressed: &[u8], out: &mut [u8]) -> Result<(), Lz4Fault> {
    match lz4_flex::block::decompress_into(compressed, out) {
        Ok(n) if n == out.len() => Ok(()),
        _ => Err(Lz4Fault::Damaged("block")),
    }
}

/// Reads exactly one LZ4 frame off the front of `input`, and nothing behind it. Its data must fill `out` exactly.
pub fn lz4_frame(input: impl BufRead, out: &mut [u8]) -> Result<(), Lz4Fault> {
    let mut frames = FrameReader::new(input);
    match frames.read_magic()? {
        Some(FRAME_MAGIC) => frames.begin_frame()?,
        Some(magic) => return Err(Lz4Fault::Magic(magic)),
        None => return Err(Lz4Fault::Truncated),
    }
    let Some(frame) = frames.frame.take() else { return Err(Lz4Fault::Truncated) };
    let mut filled = 0;
    while frames.read_block(&frame)? {
        let block = frames.block();
        let part = out.get_mut(filled..filled + block.len()).ok_or(Lz4Fault::Damaged("content length"))?;
        part.copy_from_slice(block);
        filled += block.len();
    }
    if filled == out.len() { Ok(()) } else { Err(Lz4Fault::Damaged("content length")) }
}
