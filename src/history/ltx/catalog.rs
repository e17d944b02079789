//! What a listing says of LTX files.

use std::collections::BTreeMap;

use replica_backends::ObjectMeta;

use super::LtxName;
use crate::types::Timestamp;

/// A file, as the listing shows it. Nothing in it is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LtxEntry {
    /// What its name says.
    pub name: LtxName,
    /// Where it is.
    pub key: String,
    /// Size in the store, in bytes.
    pub stored_bytes: u64,
    /// When the store says it was written.
    pub modified: Timestamp,
}

/// All LTX files of a replica. Invariant: they ascend strictly by level, then TXIDs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LtxCatalog {
    entries: Vec<LtxEntry>,
}

impl LtxCatalog {
    /// Sorts a listing, whatever its order; other files are ignored.
    pub fn from_listing(listing: impl IntoIterator<Item = ObjectMeta>) -> Self {
        let known = |meta: ObjectMeta| {
            let name = LtxName::parse(&meta.key)?;
            Some((name, LtxEntry { name, key: meta.key, stored_bytes: meta.size, modified: meta.modified.into() }))
        };
        let entries: BTreeMap<LtxName, LtxEntry> = listing.into_iter().filter_map(known).collect();
        Self { entries: entries.into_values().collect() }
    }

    /// By level, then TXIDs.
    #[must_use]
    pub fn entries(&self) -> &[LtxEntry] {
        &self.entries
    }

    /// The files of each level, by TXIDs.
    pub fn levels(&self) -> impl Iterator<Item = &[LtxEntry]> {
        self.entries.chunk_by(|a, b| a.name.level == b.name.level)
    }

    /// Whether there is no file at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The file that reaches furthest.
    #[must_use]
    pub fn newest(&self) -> Option<&LtxEntry> {
        self.entries.iter().max_by_key(|e| e.name.max)
    }

    /// The whole database that reaches least far: the first state that can be restored.
    #[must_use]
    pub fn oldest_whole(&self) -> Option<&LtxEntry> {
        self.entries.iter().filter(|e| e.name.is_whole()).min_by_key(|e| e.name.max)
    }
}
