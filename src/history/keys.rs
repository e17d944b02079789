//! Names of objects, built and parsed here only (litestream 0.3's layout, see docs/format.md).

use std::cmp::Ordering;

use crate::types::{Generation, Index, Level, Offset, Timestamp};

/// The folder of all generations.
pub const GENERATIONS: &str = "generations/";
/// The folder of everything that Litestream does not read.
pub const OWN: &str = "lightship/";
/// The folder of all merged ranges.
pub const RANGES: &str = "lightship/ranges/";

/// The folder of all named points.
pub const POINTS: &str = "lightship/points/";
/// What retention has removed.
pub const RETENTION: &str = "lightship/retention.json";
/// The result of the last scheduled verification.
pub const VERIFY: &str = "lightship/verify.json";

/// Whether an object of this name is plain also where the others are encrypted: what Litestream 0.5 writes, which
/// knows no encryption, and what retention has removed, which says nothing that the names of objects do not.
#[must_use]
pub fn is_never_encrypted(key: &str) -> bool {
    key == RETENTION || key.ends_with(".ltx")
}

/// First time that does not fit into a range's name: twelve hex digits of milliseconds.
const TIME_LIMIT: Timestamp = Timestamp(1 << 48);

/// A snapshot, a segment or a merged range, by what its name says.
///
/// Ordered by generation, then by the position at which it begins; among objects that begin together: snapshot, range,
/// segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectName {
    /// The whole database at the beginning of an index.
    Snapshot(Generation, Index),
    /// WAL bytes of an index from an offset.
    Segment(Generation, Index, Offset),
    /// The last version of every page that changed over whole indexes.
    Range(Generation, RangeName),
}

/// What the name of a merged range says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeName {
    /// It begins at offset 0 of this index.
    pub from: Index,
    /// It ends at offset 0 of this later index.
    pub to: Index,
    /// When the state at its end was seen.
    pub time: Timestamp,
    /// How coarse it is.
    pub level: Level,
}

impl ObjectName {
    /// The key, relative to the root of the replica. `None` for what no name can say, such as an offset of 4 GiB or
    /// more: no reader finds it.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        match *self {
            Self::Snapshot(generation, index) => Some(format!("{}{index}.snapshot.lz4", snapshots(generation))),
            Self::Segment(_, _, offset) if offset >= Offset::LIMIT => None,
            Self::Segment(generation, index, offset) => {
                Some(format!("{}{index}_{:08x}.wal.lz4", segments(generation), offset.0))
            }
            Self::Range(_, range) if range.from >= range.to || range.time >= TIME_LIMIT => None,
            Self::Range(generation, RangeName { from, to, time, level }) => {
                Some(format!("{}{level}/{from}-{to}-{:012x}.range.lz4", ranges(generation), time.0))
            }
        }
    }

    /// The object that `key` names; `None` for every other file.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        if let Some(range) = key.strip_prefix(RANGES) {
            return parse_range(range);
        }
        let (generation, name) = key.strip_prefix(GENERATIONS)?.split_once('/')?;
        let generation = generation.parse().ok()?;
        if let Some(name) = name.strip_prefix("snapshots/") {
            return Some(Self::Snapshot(generation, index(name.strip_suffix(".snapshot.lz4")?)?));
        }
        let (at, offset) = name.strip_prefix("wal/")?.strip_suffix(".wal.lz4")?.split_once('_')?;
        Some(Self::Segment(generation, index(at)?, Offset(hex(offset, 8)?)))
    }

    /// The generation it belongs to.
    #[must_use]
    pub fn generation(&self) -> Generation {
        match *self {
            Self::Snapshot(generation, _) | Self::Segment(generation, ..) | Self::Range(generation, _) => generation,
        }
    }

    /// The index it belongs to, or in which it begins.
    #[must_use]
    pub fn index(&self) -> Index {
        match *self {
            Self::Snapshot(_, index) | Self::Segment(_, index, _) => index,
            Self::Range(_, range) => range.from,
        }
    }

    /// Where it begins within its index.
    #[must_use]
    pub fn offset(&self) -> Offset {
        match *self {
            Self::Snapshot(..) | Self::Range(..) => Offset(0),
            Self::Segment(_, _, offset) => offset,
        }
    }

    /// What its name says, if it is a merged range.
    #[must_use]
    pub fn range(&self) -> Option<RangeName> {
        if let Self::Range(_, range) = *self { Some(range) } else { None }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Snapshot(..) => 0,
            Self::Range(..) => 1,
            Self::Segment(..) => 2,
        }
    }
}

impl Ord for ObjectName {
    fn cmp(&self, other: &Self) -> Ordering {
        let place = |name: &Self| (name.generation(), name.index(), name.offset(), name.rank(), name.range());
        place(self).cmp(&place(other))
    }
}

impl PartialOrd for ObjectName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
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

/// The last key that a segment of `index` can have: later indexes are listed after it.
#[must_use]
pub fn last_segment(generation: Generation, index: Index) -> Option<String> {
    ObjectName::Segment(generation, index, Offset(Offset::LIMIT.0 - 1)).key()
}

/// The folder of its merged ranges.
#[must_use]
pub fn ranges(generation: Generation) -> String {
    format!("{RANGES}{generation}/")
}

/// The named point called `name`.
#[must_use]
pub fn point(name: &str) -> String {
    format!("{POINTS}{name}.json")
}

/// `<generation>/<level>/<from>-<to>-<time>.range.lz4`
fn parse_range(key: &str) -> Option<ObjectName> {
    let (generation, rest) = key.split_once('/')?;
    let (level, name) = rest.split_once('/')?;
    let level = Level::ALL.into_iter().find(|known| known.to_string() == level)?;
    let (from, rest) = name.strip_suffix(".range.lz4")?.split_once('-')?;
    let (to, time) = rest.split_once('-')?;
    let range = RangeName { from: index(from)?, to: index(to)?, time: Timestamp(hex(time, 12)?), level };
    (range.from < range.to).then_some(ObjectName::Range(generation.parse().ok()?, range))
}

fn index(text: &str) -> Option<Index> {
    Index::new(u32::try_from(hex(text, 8)?).ok()?)
}

/// Exactly so many lower-case hex digits.
fn hex(text: &str, len: usize) -> Option<u64> {
    let digits = text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests;
