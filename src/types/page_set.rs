//! A set of pages: one bit a page.

use super::{PageCount, PageNo};

/// Some pages of a database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageSet {
    words: Vec<u64>,
}

impl PageSet {
    /// Adds `page`; false if it was there already.
    pub fn insert(&mut self, page: PageNo) -> bool {
        let (word, bit) = (page.slot() / 64, 1 << (page.slot() % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Whether `page` is in it.
    #[must_use]
    pub fn contains(&self, page: PageNo) -> bool {
        self.words.get(page.slot() / 64).is_some_and(|word| word & (1 << (page.slot() % 64)) != 0)
    }

    /// Adds every page of `other`.
    pub fn extend(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// Drops the pages behind the end of a database of `size`.
    pub fn truncate(&mut self, size: PageCount) {
        let size = size.0 as usize;
        self.words.truncate(size.div_ceil(64));
        if let Some(last) = self.words.get_mut(size / 64) {
            *last &= (1 << (size % 64)) - 1;
        }
    }

    /// How many pages there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether there is no page.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The pages, ascending.
    pub fn iter(&self) -> impl Iterator<Item = PageNo> {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                u32::try_from(at * 64).ok().and_then(|first| PageNo::new(first + bit + 1))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(first in prop::collection::btree_set(1..500_u32, 0..40),
                       second in prop::collection::btree_set(1..500_u32, 0..40), size in 0..500_u32) {
            let set = |pages: &BTreeSet<u32>| {
                let mut set = PageSet::default();
                pages.iter().for_each(|page| assert!(set.insert(PageNo::new(*page).unwrap())));
                set
            };
            let mut both = set(&first);
            both.extend(&set(&second));
            both.truncate(PageCount(size));
            let expected: Vec<u32> = first.union(&second).copied().filter(|page| *page <= size).collect();
            prop_assert_eq!(both.iter().map(PageNo::get).collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!((both.len() as usize, both.is_empty()), (expected.len(), expected.is_empty()));
            prop_assert!((1..500).all(|page| both.contains(PageNo::new(page).unwrap()) == expected.contains(&page)));
            prop_assert!(expected.iter().all(|page| !both.insert(PageNo::new(*page).unwrap())));
        }
    }
}
