//! Names of objects, built and parsed here only (litestream 0.3's layout, see docs/format.md).

use crate::types::{Generation, Index, Offset};

/// The folder of all generations.
pub const GENERATIONS: &str = "generations/";

/// A snapshot or a segment, by what its name says.
///
/// Ordered by generation, index, then snapshot before segments, then offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectName {
    /// The whole database at the beginning of an index.
    Snapshot(Generation, Index),
    /// WAL bytes of an index from an offset.
    Segment(Generation, Index, Offset),
}

impl ObjectName {
    /// The key, relative to the root of the replica. `None` for an offset of 4 GiB or more: no reader finds it.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        match *self {
            Self::Snapshot(generation, index) => Some(format!("{}{index}.snapshot.lz4", snapshots(generation))),
            Self::Segment(_, _, offset) if offset >= Offset::LIMIT => None,
            Self::Segment(generation, index, offset) => {
                Some(format!("{}{index}_{:08x}.wal.lz4", segments(generation), offset.0))
            }
        }
    }

    /// The object that `key` names; `None` for every other file.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let (generation, name) = key.strip_prefix(GENERATIONS)?.split_once('/')?;
        let generation = generation.parse().ok()?;
        if let Some(name) = name.strip_prefix("snapshots/") {
            return Some(Self::Snapshot(generation, Index::new(hex8(name.strip_suffix(".snapshot.lz4")?)?)?));
        }
        let (index, offset) = name.strip_prefix("wal/")?.strip_suffix(".wal.lz4")?.split_once('_')?;
        Some(Self::Segment(generation, Index::new(hex8(index)?)?, Offset(u64::from(hex8(offset)?))))
    }

    /// The generation it belongs to.
    #[must_use]
    pub fn generation(&self) -> Generation {
        match *self {
            Self::Snapshot(generation, _) | Self::Segment(generation, ..) => generation,
        }
    }

    /// The index it belongs to.
    #[must_use]
    pub fn index(&self) -> Index {
        match *self {
            Self::Snapshot(_, index) | Self::Segment(_, index, _) => index,
        }
    }

    /// Where it begins within its index.
    #[must_use]
    pub fn offset(&self) -> Offset {
        match *self {
            Self::Snapshot(..) => Offset(0),
            Self::Segment(_, _, offset) => offset,
        }
    }
}

/// The folder of one generation.
#[must_use]
pub fn generation_folder(generation: Generation) -> String {
    format!("{GENERATIONS}{generation}/")
}

/// The folder of its snapshots.
#[must_use]
pub fn snapshots(generation: Generation) -> String {
    format!("{GENERATIONS}{generation}/snapshots/")
}

/// The folder of its segments.
#[must_use]
pub fn segments(generation: Generation) -> String {
    format!("{GENERATIONS}{generation}/wal/")
}

/// Exactly eight lower-case hex digits.
fn hex8(text: &str) -> Option<u32> {
    let digits = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    digits.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests;
