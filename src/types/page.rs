//! Pages of a SQLite database file (sqlite.org/fileformat2.html).

use std::fmt;

/// The byte at which SQLite's locks live; the page that holds it never holds data.
const LOCK_BYTE: u64 = 0x4000_0000;

/// Size of a page in bytes: a power of two from 512 to 65,536.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageSize(u32);

impl PageSize {
    /// 512 bytes.
    pub const SMALLEST: Self = Self(512);

    /// Accepts only sizes that SQLite knows.
    #[must_use]
    pub fn new(bytes: u32) -> Option<Self> {
        (bytes.is_power_of_two() && (512..=65_536).contains(&bytes)).then_some(Self(bytes))
    }

    /// The page size field of a database header (offset 16, two bytes), in which 1 stands for 65,536.
    #[must_use]
    pub fn from_database_header(field: u16) -> Option<Self> {
        Self::new(if field == 1 { 65_536 } else { u32::from(field) })
    }

    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.0 as usize
    }

    /// In bytes.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The page that holds the lock byte.
    #[must_use]
    pub fn lock_page(self) -> PageNo {
        PageNo((LOCK_BYTE / u64::from(self.0)) as u32 + 1)
    }
}

/// Number of a page; the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageNo(u32);

impl PageNo {
    /// `None` for 0, which is no page.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// As a number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// Position in a list that starts with page 1.
    #[must_use]
    pub fn slot(self) -> usize {
        self.0 as usize - 1
    }

    /// Where the page begins in the database file, in bytes.
    #[must_use]
    pub fn file_offset(self, size: PageSize) -> u64 {
        (u64::from(self.0) - 1) * u64::from(size.0)
    }
}

/// Size of a database in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PageCount(pub u32);

impl PageCount {
    /// All page numbers of a database of this size.
    pub fn pages(self) -> impl Iterator<Item = PageNo> {
        (1..=self.0).map(PageNo)
    }

    /// Size of the file in bytes.
    #[must_use]
    pub fn bytes(self, size: PageSize) -> u64 {
        u64::from(self.0) * u64::from(size.0)
    }
}

impl fmt::Display for PageNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for PageCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_page_is_the_one_that_holds_the_lock_byte() {
        assert_eq!(PageSize::new(4096).unwrap().lock_page().get(), 262_145);
        assert_eq!(PageSize::new(512).unwrap().lock_page().get(), 2_097_153);
        assert_eq!(PageSize::new(65_536).unwrap().lock_page().get(), 16_385);
    }

    #[test]
    fn only_sizes_of_sqlite_are_accepted() {
        for bad in [0, 1, 256, 1000, 131_072] {
            assert_eq!(PageSize::new(bad), None, "{bad}");
        }
        assert_eq!(PageSize::from_database_header(1).map(PageSize::get), Some(65_536));
    }
}
