//! Frames, verified or written one after the other.

use super::{ByteOrder, Checksum, Salts, WalHeader};
use crate::types::{PageCount, PageNo, PageSize};

// Byte map of a frame header; every field is a big-endian u32:
//   page number | database size after a commit, else 0 | salt-1 | salt-2 | checksum-1 | checksum-2
const PAGE: usize = 0;
const COMMIT: usize = PAGE + 4;
const SALTS: usize = COMMIT + 4;
const CHECKSUM: usize = SALTS + 8;

/// Size of a frame header in bytes; the page follows it.
pub const FRAME_HEADER_BYTES: usize = CHECKSUM + 8;

/// Size of a frame, header and page, in bytes.
#[must_use]
pub fn frame_bytes(page_size: PageSize) -> usize {
    FRAME_HEADER_BYTES + page_size.bytes()
}

/// What a verified frame says of its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// The page it holds.
    pub page: PageNo,
    /// In the last frame of a transaction: the size of the database after it.
    pub commit: Option<PageCount>,
}

/// Why a frame does not continue the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// Not enough bytes for a frame.
    #[error("the frame is cut short")]
    Short,
    /// A frame of an earlier WAL, left over behind the end of this one.
    #[error("its salts are {found}, not {expected}")]
    Salts {
        /// Of the frame.
        found: Salts,
        /// Of the WAL.
        expected: Salts,
    },
    /// A frame that is damaged, or not completely written.
    #[error("its checksum is {found}, but the chain gives {expected}")]
    Checksum {
        /// Of the frame.
        found: Checksum,
        /// What the chain gives.
        expected: Checksum,
    },
    /// Page number 0.
    #[error("it is for page 0, which is no page")]
    PageZero,
}

/// The running state of a WAL between two frames: enough to verify the next frame, or to write it.
///
/// Invariant: `checksum` covers the header and every frame so far, so two chains over the same frames are equal
/// exactly if no bit of any of them differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// How the checksum reads its input.
    pub order: ByteOrder,
    /// Page size of every frame.
    pub page_size: PageSize,
    /// What every frame carries.
    pub salts: Salts,
    /// After the header and all frames so far.
    pub checksum: Checksum,
}

impl Chain {
    /// The chain before the first frame.
    #[must_use]
    pub fn begin(header: &WalHeader) -> Self {
        Self { order: header.order, page_size: header.page_size, salts: header.salts, checksum: header.checksum }
    }

    /// Verifies that `frame` comes next and moves past it. On a fault the chain stays where it is.
    ///
    /// # Errors
    /// The first thing that is wrong with the frame.
    pub fn verify(&mut self, frame: &[u8]) -> Result<FrameHeader, FrameFault> {
        let frame = frame.get(..frame_bytes(self.page_size)).ok_or(FrameFault::Short)?;
        let (head, page) = frame.split_at(FRAME_HEADER_BYTES);
        let found = Salts::from_be_bytes(eight(head, SALTS));
        if found != self.salts {
            return Err(FrameFault::Salts { found, expected: self.salts });
        }
        let expected = self.checksum.update(self.order, &head[..SALTS]).update(self.order, page);
        let found = Checksum::from_be_bytes(eight(head, CHECKSUM));
        if found != expected {
            return Err(FrameFault::Checksum { found, expected });
        }
        let header = frame_header(head)?;
        self.checksum = expected;
        Ok(header)
    }

    /// Rewrites the header of `frame` so that it comes next in this chain, and moves past it. The page number,
    /// the commit mark and the page stay what they are.
    ///
    /// # Errors
    /// If `frame` is too short.
    pub fn adopt(&mut self, frame: &mut [u8]) -> Result<(), FrameFault> {
        self.pass(frame)?;
        let head = &mut frame[..FRAME_HEADER_BYTES];
        head[SALTS..CHECKSUM].copy_from_slice(&self.salts.to_be_bytes());
        head[CHECKSUM..].copy_from_slice(&self.checksum.to_be_bytes());
        Ok(())
    }

    /// Makes the next frame of this chain in `frame`, with `content` as its page, and moves past it.
    ///
    /// # Errors
    /// If `content` is shorter than a page.
    pub fn write(&mut self, header: FrameHeader, content: &[u8], frame: &mut Vec<u8>) -> Result<(), FrameFault> {
        frame.clear();
        frame.resize(FRAME_HEADER_BYTES, 0);
        frame[PAGE..COMMIT].copy_from_slice(&header.page.get().to_be_bytes());
        frame[COMMIT..SALTS].copy_from_slice(&header.commit.map_or(0, |size| size.0).to_be_bytes());
        frame.extend_from_slice(content.get(..self.page_size.bytes()).ok_or(FrameFault::Short)?);
        self.adopt(frame)
    }

    /// Moves past `frame` as [`Chain::adopt`] does, without rewriting it.
    ///
    /// # Errors
    /// If `frame` is too short.
    pub fn pass(&mut self, frame: &[u8]) -> Result<(), FrameFault> {
        let frame = frame.get(..frame_bytes(self.page_size)).ok_or(FrameFault::Short)?;
        let (head, page) = frame.split_at(FRAME_HEADER_BYTES);
        self.checksum = self.checksum.update(self.order, &head[..SALTS]).update(self.order, page);
        Ok(())
    }

    /// The number of the page that `frame` claims to hold and the size of the database after it if it claims to be a
    /// commit, unverified; `None` if that cannot be.
    #[must_use]
    pub fn claimed_page(frame: &[u8]) -> Option<(PageNo, Option<PageCount>)> {
        let header = frame_header(frame.get(..FRAME_HEADER_BYTES)?).ok()?;
        Some((header.page, header.commit))
    }

    /// The checksum that `frame` claims to have, unverified.
    #[must_use]
    pub fn claimed(frame: &[u8]) -> Option<(Salts, Checksum)> {
        let head = frame.get(..FRAME_HEADER_BYTES)?;
        Some((Salts::from_be_bytes(eight(head, SALTS)), Checksum::from_be_bytes(eight(head, CHECKSUM))))
    }
}

fn eight(head: &[u8], at: usize) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&head[at..at + 8]);
    bytes
}

fn frame_header(head: &[u8]) -> Result<FrameHeader, FrameFault> {
    let field = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let page = PageNo::new(field(PAGE)).ok_or(FrameFault::PageZero)?;
    let commit = (field(COMMIT) > 0).then(|| PageCount(field(COMMIT)));
    Ok(FrameHeader { page, commit })
}
