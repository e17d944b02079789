//! Every state that was ever committed, as the digest of its pages.

use std::collections::{BTreeMap, HashMap};

use lightship::segment::{PageHashes, StateDigest, page_hash};
use lightship::types::{PageNo, PageSize};
use rusqlite::{Connection, ffi};

/// Where the header of a database says how it is written and read; both are 2 in WAL mode.
const VERSIONS: std::ops::Range<usize> = 18..20;

/// The whole of a database, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pages {
    pub digest: StateDigest,
    pub count: u32,
}

/// Of the database that `bytes` are the file of.
pub fn pages_of(bytes: &[u8]) -> Option<Pages> {
    let stored = u16::from_be_bytes([*bytes.get(16)?, *bytes.get(17)?]);
    let page_size = PageSize::new(if stored == 1 { 65536 } else { u32::from(stored) })?;
    let pages = (1..).zip(bytes.chunks_exact(page_size.bytes()));
    let hashes = pages.filter_map(|(number, content)| Some(page_hash(PageNo::new(number)?, content).0)).collect();
    let hashes = PageHashes::from_entries(page_size, hashes);
    Some(Pages { digest: hashes.digest(), count: hashes.size().0 })
}

/// The newest commit, as a new reader sees it through `connection`.
pub fn read(connection: &Connection) -> Option<Vec<u8>> {
    let mut size = 0;
    // SAFETY: the handle is open and used by this thread alone; the name is a C string; what is returned is memory of
    // so many bytes that is ours to free.
    let bytes = unsafe {
        let start = ffi::sqlite3_serialize(connection.handle(), c"main".as_ptr(), &raw mut size, 0);
        if start.is_null() {
            return None;
        }
        let bytes = std::slice::from_raw_parts(start, usize::try_from(size).unwrap()).to_vec();
        ffi::sqlite3_free(start.cast());
        bytes
    };
    Some(bytes)
}

/// What was committed, in this order.
#[derive(Debug, Default)]
pub struct Oracle {
    /// With the machine on which they were made.
    commits: Vec<(Pages, u32)>,
    numbers: HashMap<Pages, Vec<usize>>,
}

impl Oracle {
    /// Takes note of what is committed now on `machine`, and returns its number; the same if nothing has changed.
    pub fn note(&mut self, bytes: &[u8], machine: u32) -> usize {
        let mut as_wal = bytes.to_vec();
        // Whoever follows may switch it to WAL mode, which is no commit.
        as_wal[VERSIONS].fill(2);
        let pages = pages_of(&as_wal).expect("SQLite has written it");
        if self.commits.last().is_none_or(|last| last.0 != pages) {
            self.commits.push((pages, machine));
            self.numbers.entry(pages).or_default().push(self.commits.len() - 1);
        }
        self.commits.len() - 1
    }

    /// The number of the newest.
    pub fn newest(&self) -> Option<usize> {
        self.commits.len().checked_sub(1)
    }

    /// The first commit with these pages that has at least the number `least`.
    pub fn find(&self, pages: Pages, least: usize) -> Option<usize> {
        self.numbers.get(&pages)?.iter().copied().find(|number| *number >= least)
    }

    /// The first commit with these pages before which `seen` has none that was made on its machine later. Machines
    /// that have gone on with one disk have no common order: what one has is, for the other, a difference from its own.
    pub fn find_behind(&self, pages: Pages, seen: &mut BTreeMap<u32, usize>) -> Option<usize> {
        let is_behind = |number: &usize| seen.get(&self.commits[*number].1).is_none_or(|last| number >= last);
        let number = self.numbers.get(&pages)?.iter().copied().find(is_behind)?;
        seen.insert(self.commits[number].1, number);
        Some(number)
    }

    /// Whether it was ever committed.
    pub fn knows(&self, pages: Pages) -> bool {
        self.numbers.contains_key(&pages)
    }

    /// The last commit with these pages.
    pub fn last(&self, pages: Pages) -> Option<usize> {
        self.numbers.get(&pages)?.last().copied()
    }
}
