//! How coarse a merged range is.

use std::fmt;

/// A level of merged ranges: 1 is the finest, 3 the coarsest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// How many levels there are.
    pub const COUNT: usize = 3;
    /// All of them, the finest first.
    pub const ALL: [Self; Self::COUNT] = [Self(1), Self(2), Self(3)];

    /// `None` for a number that is no level.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.0 == number)
    }

    /// As a number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// Position in a list that starts with level 1.
    #[must_use]
    pub fn slot(self) -> usize {
        usize::from(self.0) - 1
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
