//! Names of LTX files, read here only. Litestream lays them out in two ways: `ltx/<level>/` in folders and most
//! stores, `<level as four hex digits>/` in S3.

use std::fmt;

use crate::types::Txid;

/// The folder of all levels, where it exists.
pub const LTX: &str = "ltx/";

/// How often a file has been merged: 0 is one sync a file, 9 is the whole database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LtxLevel(u8);

impl LtxLevel {
    /// The level of whole databases.
    pub const SNAPSHOT: Self = Self(9);

    /// `None` for levels above [`LtxLevel::SNAPSHOT`].
    #[must_use]
    pub fn new(level: u8) -> Option<Self> {
        (level <= Self::SNAPSHOT.0).then_some(Self(level))
    }

    /// As a number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// Reads the name of a folder: `9` or `0009`.
    fn parse(folder: &str) -> Option<Self> {
        let digits = folder.strip_prefix("000").unwrap_or(folder);
        let [digit @ b'0'..=b'9'] = digits.as_bytes() else { return None };
        Self::new(digit - b'0')
    }
}

impl fmt::Display for LtxLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An LTX file by what its name says: a level and the range of transactions in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LtxName {
    /// Its level.
    pub level: LtxLevel,
    /// The first transaction.
    pub min: Txid,
    /// The last transaction.
    pub max: Txid,
}

impl LtxName {
    /// The file that `key` names; `None` for every other.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let (folder, name) = key.strip_prefix(LTX).unwrap_or(key).split_once('/')?;
        let (min, max) = name.strip_suffix(".ltx")?.split_once('-')?;
        let lower = |text: &str| !text.bytes().any(|b| b.is_ascii_uppercase());
        let (min, max) = (min.parse().ok().filter(|_| lower(min))?, max.parse().ok().filter(|_| lower(max))?);
        (min <= max).then_some(Self { level: LtxLevel::parse(folder)?, min, max })
    }

    /// Whether it holds the whole database.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.min == Txid::FIRST
    }
}

/// Of the top folders of a replica those that may hold LTX files, each with a slash at its end.
pub fn ltx_folders(top: &[String]) -> impl Iterator<Item = String> {
    let holds = |name: &&String| format!("{name}/") == LTX || name.len() == 4 && LtxLevel::parse(name).is_some();
    top.iter().filter(holds).map(|name| format!("{name}/"))
}
