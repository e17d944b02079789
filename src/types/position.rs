//! Where in a history a byte stands: generation, index, offset.

use std::fmt;

use super::Generation;

/// Number of a WAL within a generation; one more each time the WAL begins anew.
///
/// Litestream 0.3 reads indexes up to 0x7FFF_FFFF only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Index(u32);

impl Index {
    /// The highest index that Litestream 0.3 reads.
    pub const MAX: Self = Self(0x7FFF_FFFF);

    /// `None` above [`Index::MAX`].
    #[must_use]
    pub fn new(index: u32) -> Option<Self> {
        (index <= Self::MAX.0).then_some(Self(index))
    }

    /// As a number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The following index; `None` after [`Index::MAX`].
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }
}

/// Byte offset within the WAL of one index, its 32-byte header included.
///
/// Litestream 0.3 names objects with eight hex digits, so an offset in a name is below 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

impl Offset {
    /// First offset that cannot stand in an object's name.
    pub const LIMIT: Self = Self(1 << 32);
}

/// A point of a history: everything before `offset` in `index`, and everything before `index`.
///
/// Positions of different generations do not compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The generation it belongs to.
    pub generation: Generation,
    /// The WAL within it.
    pub index: Index,
    /// The byte within that.
    pub offset: Offset,
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.generation, self.index, self.offset)
    }
}
