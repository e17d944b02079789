//! The 32 bytes at the beginning of a WAL.

use std::fmt;

use super::{ByteOrder, Checksum};
use crate::types::PageSize;

// Byte map; every field is a big-endian u32:
//   magic | format version | page size | checkpoint sequence | salt-1 | salt-2 | checksum-1 | checksum-2
const MAGIC: usize = 0;
const VERSION: usize = MAGIC + 4;
const PAGE_SIZE: usize = VERSION + 4;
const SEQUENCE: usize = PAGE_SIZE + 4;
const SALTS: usize = SEQUENCE + 4;
const CHECKSUM: usize = SALTS + 8;

/// Size of the header in bytes.
pub const WAL_HEADER_BYTES: usize = CHECKSUM + 8;

const MAGIC_LITTLE: u32 = 0x377f_0682;
const MAGIC_BIG: u32 = 0x377f_0683;
const FORMAT_VERSION: u32 = 3_007_000;

/// The two numbers that every frame of one WAL carries. When a writer begins the WAL anew the first goes up by one
/// and the second becomes random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Salts {
    /// Salt-1.
    pub first: u32,
    /// Salt-2.
    pub second: u32,
}

impl Salts {
    /// As stored in a WAL.
    #[must_use]
    pub fn to_be_bytes(self) -> [u8; 8] {
        ((u64::from(self.first) << 32) | u64::from(self.second)).to_be_bytes()
    }

    /// From the eight bytes of a WAL.
    #[must_use]
    pub fn from_be_bytes(bytes: [u8; 8]) -> Self {
        let both = u64::from_be_bytes(bytes);
        Self { first: (both >> 32) as u32, second: both as u32 }
    }

    /// Whether a WAL with these salts directly follows one with the salts `before`.
    #[must_use]
    pub fn follow(self, before: Self) -> bool {
        self.first == before.first.wrapping_add(1)
    }
}

/// A verified WAL header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalHeader {
    /// How the checksums of this WAL read their input.
    pub order: ByteOrder,
    /// Page size of the database.
    pub page_size: PageSize,
    /// Checkpoint sequence number.
    pub sequence: u32,
    /// What all its frames carry.
    pub salts: Salts,
    /// The running checksum after the header: where the first frame continues.
    pub checksum: Checksum,
}

/// Why 32 bytes are not a WAL header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// Fewer than 32 bytes.
    #[error("the WAL header is cut short: {0} of 32 bytes")]
    Short(usize),
    /// Not a WAL at all.
    #[error("{0:#010x} is not the magic number of a WAL")]
    Magic(u32),
    /// A format this program does not know.
    #[error("WAL format version {0} is not 3007000")]
    Version(u32),
    /// No page size of SQLite's.
    #[error("{0} is not a page size")]
    PageSize(u32),
    /// The header is damaged.
    #[error("the WAL header's checksum is {found}, but its bytes sum to {expected}")]
    Checksum {
        /// What the header says.
        found: Checksum,
        /// What its bytes sum to.
        expected: Checksum,
    },
}

impl WalHeader {
    /// A header of our own, with a correct checksum.
    #[must_use]
    pub fn synthetic(order: ByteOrder, page_size: PageSize, sequence: u32, salts: Salts) -> Self {
        let mut header = Self { order, page_size, sequence, salts, checksum: Checksum::default() };
        header.checksum = Checksum::default().update(order, &header.to_bytes()[..CHECKSUM]);
        header
    }

    /// Reads and verifies the first 32 bytes of `bytes`.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let bytes: &[u8; WAL_HEADER_BYTES] = bytes.first_chunk().ok_or(HeaderFault::Short(bytes.len()))?;
        let field = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let order = match field(MAGIC) {
            MAGIC_LITTLE => ByteOrder::Little,
            MAGIC_BIG => ByteOrder::Big,
            other => return Err(HeaderFault::Magic(other)),
        };
        if field(VERSION) != FORMAT_VERSION {
            return Err(HeaderFault::Version(field(VERSION)));
        }
        let page_size = PageSize::new(field(PAGE_SIZE)).ok_or(HeaderFault::PageSize(field(PAGE_SIZE)))?;
        let found = Checksum { first: field(CHECKSUM), second: field(CHECKSUM + 4) };
        let expected = Checksum::default().update(order, &bytes[..CHECKSUM]);
        if found != expected {
            return Err(HeaderFault::Checksum { found, expected });
        }
        let salts = Salts { first: field(SALTS), second: field(SALTS + 4) };
        Ok(Self { order, page_size, sequence: field(SEQUENCE), salts, checksum: expected })
    }

    /// As stored in a WAL.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; WAL_HEADER_BYTES] {
        let magic = match self.order {
            ByteOrder::Little => MAGIC_LITTLE,
            ByteOrder::Big => MAGIC_BIG,
        };
        let mut bytes = [0; WAL_HEADER_BYTES];
        bytes[MAGIC..VERSION].copy_from_slice(&magic.to_be_bytes());
        bytes[VERSION..PAGE_SIZE].copy_from_slice(&FORMAT_VERSION.to_be_bytes());
        bytes[PAGE_SIZE..SEQUENCE].copy_from_slice(&self.page_size.get().to_be_bytes());
        bytes[SEQUENCE..SALTS].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[SALTS..CHECKSUM].copy_from_slice(&self.salts.to_be_bytes());
        bytes[CHECKSUM..].copy_from_slice(&self.checksum.to_be_bytes());
        bytes
    }
}

impl fmt::Display for Salts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}{:08x}", self.first, self.second)
    }
}
