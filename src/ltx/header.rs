//! The first hundred bytes of an LTX file. All numbers are big-endian.

use super::LtxFault;
use crate::types::{PageCount, PageSize, Timestamp, Txid};

const MAGIC: usize = 0;
const FLAGS: usize = MAGIC + 4;
const PAGE_SIZE: usize = FLAGS + 4;
const COMMIT: usize = PAGE_SIZE + 4;
const MIN_TXID: usize = COMMIT + 4;
const MAX_TXID: usize = MIN_TXID + 8;
const TIME: usize = MAX_TXID + 8;
const PRE_APPLY: usize = TIME + 8;
const WAL_OFFSET: usize = PRE_APPLY + 8;
const WAL_SIZE: usize = WAL_OFFSET + 8;
const WAL_SALTS: usize = WAL_SIZE + 8;
const NODE: usize = WAL_SALTS + 8;
const RESERVED: usize = NODE + 8;

/// Size of the header in bytes.
pub const HEADER_BYTES: usize = RESERVED + 20;

/// The file keeps no checksums of the database; that of the file itself is always there.
const NO_CHECKSUM: u32 = 0x2;

/// What a file says of itself. Proved when the decoder has finished, not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LtxHeader {
    /// Of every page in it.
    pub page_size: PageSize,
    /// Size of the database after it.
    pub commit: PageCount,
    /// The first transaction in it. If that is [`Txid::FIRST`], the file holds the whole database.
    pub min: Txid,
    /// The last transaction in it.
    pub max: Txid,
    /// When the last one was seen.
    pub time: Timestamp,
    /// Rolling checksum of the database before it; `None` if the file keeps none.
    pub pre_apply: Option<u64>,
}

impl LtxHeader {
    /// Whether the file holds every page of the database.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.min == Txid::FIRST
    }

    /// Reads a header, which may be followed by anything.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, LtxFault> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(LtxFault::Truncated)?;
        let u32_at = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) << 32 | u64::from(u32_at(at + 4));
        if &bytes[..FLAGS] != b"LTX1" {
            return Err(LtxFault::Magic(u32_at(MAGIC)));
        }
        let flags = u32_at(FLAGS);
        if flags & !NO_CHECKSUM != 0 {
            return Err(LtxFault::Header("flags"));
        }
        let (min, max) = (Txid::new(u64_at(MIN_TXID)), Txid::new(u64_at(MAX_TXID)));
        let (Some(min), Some(max)) = (min, max) else { return Err(LtxFault::Header("TXIDs")) };
        if max < min {
            return Err(LtxFault::Header("TXIDs"));
        }
        let checksums = flags & NO_CHECKSUM == 0;
        let pre_apply = u64_at(PRE_APPLY);
        if (pre_apply == 0) != (!checksums || min == Txid::FIRST) {
            return Err(LtxFault::Header("checksum of the database before it"));
        }
        Ok(Self {
            page_size: PageSize::new(u32_at(PAGE_SIZE)).ok_or(LtxFault::Header("page size"))?,
            commit: PageCount(u32_at(COMMIT)),
            min,
            max,
            time: Timestamp(u64_at(TIME)),
            pre_apply: checksums.then_some(pre_apply),
        })
    }
}
