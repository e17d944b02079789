//! When LTX files were written. Only their headers are believed: the times of the store are those of the last copy.

use std::collections::BTreeMap;

use super::{LtxCatalog, LtxEntry};
use crate::history::Bounds;
use crate::types::{Timestamp, Txid};

/// The times that have been read so far, by key.
#[derive(Debug, Clone, Default)]
pub struct LtxTimes(BTreeMap<String, Timestamp>);

/// The headers of these files have to be read before an answer can be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedsTimes(pub Vec<LtxEntry>);

impl LtxTimes {
    /// Takes note of what the header of `entry` says; `None` if it cannot be read, and the store has to be believed.
    pub fn learn(&mut self, entry: &LtxEntry, time: Option<Timestamp>) {
        self.0.insert(entry.key.clone(), time.unwrap_or(entry.modified));
    }

    /// When the last transaction of `entry` was seen.
    ///
    /// # Errors
    /// If its header has not been read yet.
    pub fn of(&self, entry: &LtxEntry) -> Result<Timestamp, NeedsTimes> {
        self.0.get(&entry.key).copied().ok_or_else(|| NeedsTimes(vec![entry.clone()]))
    }

    /// The last transaction at or before `time`; `None` if all are later.
    ///
    /// The times of a level ascend, so a binary search reads few headers.
    pub(super) fn last_until(&self, catalog: &LtxCatalog, time: Timestamp) -> Result<Option<Txid>, NeedsTimes> {
        let mut needs = NeedsTimes(Vec::new());
        let mut last = None;
        for level in catalog.levels() {
            let (mut low, mut high) = (0, level.len());
            while low < high {
                let middle = usize::midpoint(low, high);
                match self.of(&level[middle]) {
                    Ok(seen) if seen <= time => low = middle + 1,
                    Ok(_) => high = middle,
                    Err(more) => {
                        needs.0.extend(more.0);
                        break;
                    }
                }
            }
            last = last.max(low.checked_sub(1).map(|i| level[i].name.max));
        }
        if needs.0.is_empty() { Ok(last) } else { Err(needs) }
    }
}

/// From when to when `catalog` reaches; `None` if it is empty.
///
/// # Errors
/// If the headers of its first and last file have not been read yet.
pub fn ltx_bounds(catalog: &LtxCatalog, times: &LtxTimes) -> Result<Option<Bounds>, NeedsTimes> {
    let Some(newest) = catalog.newest() else { return Ok(None) };
    let oldest = catalog.oldest_whole().unwrap_or(newest);
    match (times.of(oldest), times.of(newest)) {
        (Ok(begin), Ok(end)) => Ok(Some(Bounds { begin, end })),
        (begin, end) => {
            let needs = [begin, end].into_iter().filter_map(Result::err).flat_map(|needs| needs.0);
            Err(NeedsTimes(needs.collect()))
        }
    }
}
