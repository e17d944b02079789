//! Where in a history a byte stands: generation, index, offset.

use std::fmt;
use std::str::FromStr;

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

    /// The index before it; `None` before the first.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
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

/// The text is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no position; write GENERATION/INDEX:OFFSET, such as 0123456789abcdef/0000001a:4152")]
pub struct NotAPosition(String);

/// As [`Position`] is printed: generation and index in hex, the offset in decimal.
impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let (generation, rest) = text.split_once('/')?;
            let (index, offset) = rest.split_once(':')?;
            let digits = |text: &str, hex: bool| {
                let digit = |b: u8| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
                !text.is_empty() && text.bytes().all(digit)
            };
            let generation = generation.parse().ok()?;
            let index = u32::from_str_radix(index, 16).ok().filter(|_| digits(index, true)).and_then(Index::new)?;
            let offset = offset.parse().ok().filter(|_| digits(offset, false)).map(Offset)?;
            Some(Self { generation, index, offset })
        };
        parsed().ok_or_else(|| NotAPosition(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_printed() {
        let index = |n| Index::new(n).unwrap();
        for (number, offset) in [(0, 0), (0x1a, 4152), (0x7fff_ffff, u64::MAX)] {
            let position = Position { generation: Generation(7 << 60), index: index(number), offset: Offset(offset) };
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        let bad = ["", "7/1:2", "0123456789abcdef/1", "0123456789abcdef/1:", "0123456789abcdef/+1:2"];
        for text in bad.into_iter().chain(["0123456789abcdef/80000000:2", "0123456789abcdef/1:+2"]) {
            assert_eq!(text.parse::<Position>(), Err(NotAPosition(text.to_owned())));
        }
    }
}
