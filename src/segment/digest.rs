//! Page hashes and the state digest: what proves that a restored database equals its source.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::types::{PageCount, PageNo, PageSize};

/// 64-bit hash of a page's number and content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageHash(pub u64);

/// XOR of the hashes of all pages of a database; the lock page is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct StateDigest(pub u64);

/// Hash of page `page` with content `content`: XXH3 (64 bits) seeded with the page number.
#[must_use]
pub fn page_hash(page: PageNo, content: &[u8]) -> PageHash {
    PageHash(xxh3_64_with_seed(content, u64::from(page.get())))
}

/// The hash of every page of one state of a database, and their digest. 8 bytes a page.
///
/// Invariant: `digest` is the XOR of all entries; the entry of the lock page is 0 always.
#[derive(Clone)]
pub struct PageHashes {
    page_size: PageSize,
    lock_page: PageNo,
    hashes: Vec<u64>,
    digest: u64,
}

impl PageHashes {
    /// Of an empty database.
    #[must_use]
    pub fn new(page_size: PageSize) -> Self {
        Self { page_size, lock_page: page_size.lock_page(), hashes: Vec::new(), digest: 0 }
    }

    /// Of a database with these entries, in the order of its pages.
    #[must_use]
    pub fn from_entries(page_size: PageSize, entries: Vec<u64>) -> Self {
        let mut all = Self { hashes: entries, ..Self::new(page_size) };
        if let Some(lock) = all.hashes.get_mut(all.lock_page.slot()) {
            *lock = 0;
        }
        all.digest = all.hashes.iter().fold(0, |digest, hash| digest ^ hash);
        all
    }

    /// The entries of all pages, in their order.
    #[must_use]
    pub fn entries(&self) -> &[u64] {
        &self.hashes
    }

    /// The pages whose content differs from that in `before`, in their order, for databases with the same page size.
    /// The lock page holds no content, and never differs.
    pub fn pages_that_differ(&self, before: &Self) -> impl Iterator<Item = (PageNo, PageHash)> {
        let lock_page = self.lock_page;
        let differ = |(slot, hash): &(usize, &u64)| before.hashes.get(*slot) != Some(*hash);
        let page = |(slot, hash): (usize, &u64)| {
            let number = u32::try_from(slot + 1).ok().and_then(PageNo::new)?;
            Some((number, PageHash(*hash)))
        };
        self.hashes.iter().enumerate().filter(differ).filter_map(page).filter(move |(page, _)| *page != lock_page)
    }

    /// Page size of the database.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Takes note that `page` now has `hash`. Pages between the end and `page` count as absent until they are set.
    pub fn set(&mut self, page: PageNo, hash: PageHash) {
        if page == self.lock_page {
            return;
        }
        if page.slot() >= self.hashes.len() {
            self.hashes.resize(page.slot() + 1, 0);
        }
        let entry = &mut self.hashes[page.slot()];
        self.digest ^= *entry ^ hash.0;
        *entry = hash.0;
    }

    /// Cuts the database to `size`, or lets it grow to it.
    pub fn resize(&mut self, size: PageCount) {
        let size = size.0 as usize;
        for hash in self.hashes.get(size..).unwrap_or_default() {
            self.digest ^= hash;
        }
        self.hashes.resize(size, 0);
    }

    /// XOR of the hashes of some of the pages.
    #[must_use]
    pub fn digest_of(&self, pages: impl IntoIterator<Item = PageNo>) -> StateDigest {
        let hashes = pages.into_iter().filter_map(|page| self.hashes.get(page.slot()));
        StateDigest(hashes.fold(0, |digest, hash| digest ^ hash))
    }

    /// Of the state as it stands.
    #[must_use]
    pub fn digest(&self) -> StateDigest {
        StateDigest(self.digest)
    }

    /// Size of the database.
    #[must_use]
    pub fn size(&self) -> PageCount {
        PageCount(u32::try_from(self.hashes.len()).unwrap_or(u32::MAX))
    }
}

impl fmt::Debug for PageHashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageHashes({} pages, digest {})", self.size(), self.digest())
    }
}

impl fmt::Display for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(page: u32, fill: u8) -> (PageNo, PageHash) {
        let page = PageNo::new(page).unwrap();
        (page, page_hash(page, &[fill; 512]))
    }

    #[test]
    fn the_digest_depends_on_the_state_not_on_the_way_there() {
        let size = PageSize::new(512).unwrap();
        let (mut straight, mut detour) = (PageHashes::new(size), PageHashes::new(size));
        for n in 1..=4 {
            let (page, h) = hash(n, 1);
            straight.set(page, h);
        }
        for n in [9, 3, 1, 2, 4, 7] {
            let (page, h) = hash(n, 2);
            detour.set(page, h);
        }
        detour.resize(PageCount(4));
        assert_ne!(straight.digest(), detour.digest());
        for n in [4, 2, 1, 3] {
            let (page, h) = hash(n, 1);
            detour.set(page, h);
        }
        assert_eq!(straight.digest(), detour.digest());
        assert_eq!(detour.size(), PageCount(4));
    }

    #[test]
    fn pages_that_differ_are_those_that_changed_or_came() {
        let size = PageSize::new(512).unwrap();
        let mut before = PageHashes::new(size);
        for n in 1..=4 {
            let (page, h) = hash(n, 1);
            before.set(page, h);
        }
        let mut after = before.clone();
        assert_eq!(after.pages_that_differ(&before).count(), 0);
        for (n, fill) in [(2, 9), (5, 1)] {
            let (page, h) = hash(n, fill);
            after.set(page, h);
        }
        let pages = |a: &PageHashes, b: &PageHashes| a.pages_that_differ(b).map(|(p, _)| p.get()).collect::<Vec<_>>();
        assert_eq!(pages(&after, &before), [2, 5]);
        after.resize(PageCount(1));
        assert_eq!(pages(&after, &before), [0; 0]);
        assert_eq!(PageHashes::from_entries(size, after.entries().to_vec()).digest(), after.digest());
    }

    #[test]
    fn the_same_content_on_another_page_is_another_state() {
        let size = PageSize::new(512).unwrap();
        let (mut a, mut b) = (PageHashes::new(size), PageHashes::new(size));
        a.set(hash(1, 1).0, hash(1, 1).1);
        a.set(hash(2, 2).0, hash(2, 2).1);
        b.set(hash(1, 2).0, hash(1, 2).1);
        b.set(hash(2, 1).0, hash(2, 1).1);
        assert_ne!(a.digest(), b.digest());
    }
}
