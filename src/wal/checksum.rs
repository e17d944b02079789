//! The running checksum of a WAL.

use std::fmt;

/// In which byte order the checksum reads its input; the magic number of the header says.
///
/// Everything else in a WAL is big-endian, whatever the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// Magic 0x377f0682.
    Little,
    /// Magic 0x377f0683.
    Big,
}

/// Both halves of the running checksum after some header or frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Checksum {
    /// First half (`s1`, "checksum-1").
    pub first: u32,
    /// Second half (`s2`, "checksum-2").
    pub second: u32,
}

impl Checksum {
    /// Continues the checksum over `bytes`, whose length is a multiple of 8.
    #[must_use]
    pub fn update(self, order: ByteOrder, bytes: &[u8]) -> Self {
        debug_assert!(bytes.len().is_multiple_of(8));
        match order {
            ByteOrder::Little => self.fold(bytes, u32::from_le_bytes),
            ByteOrder::Big => self.fold(bytes, u32::from_be_bytes),
        }
    }

    #[inline(always)]
    fn fold(self, bytes: &[u8], word: fn([u8; 4]) -> u32) -> Self {
        let (pairs, _) = bytes.as_chunks::<8>();
        let mut sum = self;
        for &[a, b, c, d, e, f, g, h] in pairs {
            sum.first = sum.first.wrapping_add(word([a, b, c, d])).wrapping_add(sum.second);
            sum.second = sum.second.wrapping_add(word([e, f, g, h])).wrapping_add(sum.first);
        }
        sum
    }

    /// The eight bytes at the end of a header or of a frame header, always big-endian.
    #[must_use]
    pub fn from_be_bytes(bytes: [u8; 8]) -> Self {
        let both = u64::from_be_bytes(bytes);
        Self { first: (both >> 32) as u32, second: both as u32 }
    }

    /// As stored in a WAL.
    #[must_use]
    pub fn to_be_bytes(self) -> [u8; 8] {
        ((u64::from(self.first) << 32) | u64::from(self.second)).to_be_bytes()
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}{:08x}", self.first, self.second)
    }
}
