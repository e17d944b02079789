//! Named points: positions that somebody wants to come back to. Each is a small JSON object of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::retention::Pinned;
use crate::segment::StateDigest;
use crate::types::{Generation, Index, Offset, Position, Timestamp};

/// A state with a name. It copies nothing: retention keeps what it needs until the name is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Letters, digits, dots, dashes and underscores; see [`check_name`].
    pub name: String,
    /// The end of its last commit.
    pub position: Position,
    /// When that commit was seen.
    pub time: Timestamp,
    /// State of the database, where it is known.
    pub digest: Option<StateDigest>,
    /// When the name was given.
    pub created: Timestamp,
    /// What its author wanted to say of it.
    pub meta: BTreeMap<String, String>,
}

/// The text is no name of a point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name for a point: 1 to 64 letters, digits, dots, dashes and underscores, the first no dot")]
pub struct BadName(String);

/// Whether `name` can be the name of a point.
///
/// # Errors
/// If it is empty, too long, or has other characters.
pub fn check_name(name: &str) -> Result<(), BadName> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let fits = (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(good);
    if fits { Ok(()) } else { Err(BadName(name.to_owned())) }
}

/// As it is stored; numbers of 64 bits are hex, so that no reader of JSON rounds them.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    name: String,
    generation: String,
    index: u32,
    offset: u64,
    time_ms: u64,
    digest: Option<String>,
    created_ms: u64,
    #[serde(default)]
    meta: BTreeMap<String, String>,
}

const VERSION: u32 = 1;

impl Point {
    /// The object's bytes.
    #[must_use]
    pub fn to_json(&self) -> String {
        let stored = Stored {
            version: VERSION,
            name: self.name.clone(),
            generation: self.position.generation.to_string(),
            index: self.position.index.get(),
            offset: self.position.offset.0,
            time_ms: self.time.0,
            digest: self.digest.map(|digest| format!("{:016x}", digest.0)),
            created_ms: self.created.0,
            meta: self.meta.clone(),
        };
        serde_json::to_string_pretty(&stored).unwrap_or_default()
    }

    /// Reads an object; `None` if it is none of ours, or of a later version.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(bytes).ok().filter(|stored: &Stored| stored.version == VERSION)?;
        check_name(&stored.name).ok()?;
        let generation: Generation = stored.generation.parse().ok()?;
        let digest = match stored.digest {
            Some(text) => Some(StateDigest(u64::from_str_radix(&text, 16).ok()?)),
            None => None,
        };
        Some(Self {
            name: stored.name,
            position: Position { generation, index: Index::new(stored.index)?, offset: Offset(stored.offset) },
            time: Timestamp(stored.time_ms),
            digest,
            created: Timestamp(stored.created_ms),
            meta: stored.meta,
        })
    }

    /// What retention has to know of it.
    #[must_use]
    pub fn pinned(&self) -> Pinned {
        let Position { generation, index, offset } = self.position;
        Pinned { name: self.name.clone(), generation, at: (index, offset) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point() -> Point {
        let position = Position { generation: Generation(u64::MAX), index: Index::MAX, offset: Offset(u64::MAX) };
        let meta = BTreeMap::from([("release".to_owned(), "2.1 \"final\"".to_owned())]);
        let (time, created) = (Timestamp(1_700_000_000_123), Timestamp(2));
        Point { name: "before-2.1".to_owned(), position, time, digest: Some(StateDigest(1 << 63)), created, meta }
    }

    #[test]
    fn a_point_is_read_as_it_was_written() {
        assert_eq!(Point::from_json(point().to_json().as_bytes()), Some(point()));
        let none = Point { digest: None, ..point() };
        assert_eq!(Point::from_json(none.to_json().as_bytes()), Some(none));
    }

    #[test]
    fn what_is_no_point_is_not_read() {
        for (good, bad) in [("\"version\": 1", "\"version\": 2"), ("before-2.1", "../x"), ("ffffffffffffffff", "xyz")] {
            let text = point().to_json().replace(good, bad);
            assert_eq!(Point::from_json(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Point::from_json(b"{}"), None);
    }

    #[test]
    fn a_name_stays_in_its_folder() {
        for good in ["a", "v1.2", "before_the-migration", &"x".repeat(64)] {
            assert_eq!(check_name(good), Ok(()));
        }
        for bad in ["", ".", "..", ".a", "a/b", "a b", "\u{e4}", "a\0", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
