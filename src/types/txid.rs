//! Transaction numbers of Litestream 0.5.

use std::fmt;
use std::str::FromStr;

/// Number of a Litestream 0.5 transaction: one sync of its, from 1 on, written as 16 lower-case hex digits.
///
/// It is no SQLite transaction: a sync holds none, one or many of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Txid(u64);

impl Txid {
    /// The first.
    pub const FIRST: Self = Self(1);

    /// `None` for 0, which is none.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// As a number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The following one; the last follows itself.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The text is not a transaction number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a TXID: expected 16 hex digits, such as 000000000000002a")]
pub struct NotATxid(pub String);

impl FromStr for Txid {
    type Err = NotATxid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.and_then(Self::new).ok_or_else(|| NotATxid(text.to_owned()))
    }
}

impl fmt::Display for Txid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
