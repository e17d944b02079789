//! The checksum of a whole database that LTX files may keep. Litestream keeps none; LiteFS does.

use super::Crc64;
use crate::types::{PageCount, PageNo, PageSize};

const STORED: u64 = 1 << 63;

/// XOR of the checksums of all pages but the lock page. 8 bytes a page.
///
/// Invariant: `sum` is the XOR of all entries.
#[derive(Debug)]
pub struct RollingChecksum {
    lock_page: PageNo,
    pages: Vec<u64>,
    sum: u64,
}

impl RollingChecksum {
    /// Of an empty database.
    #[must_use]
    pub fn new(page_size: PageSize) -> Self {
        Self { lock_page: page_size.lock_page(), pages: Vec::new(), sum: 0 }
    }

    /// `page` now has this content.
    pub fn set(&mut self, page: PageNo, content: &[u8]) {
        if page == self.lock_page {
            return;
        }
        let mut crc = Crc64::new();
        crc.update(&page.get().to_be_bytes());
        crc.update(content);
        if page.slot() >= self.pages.len() {
            self.pages.resize(page.slot() + 1, 0);
        }
        let entry = &mut self.pages[page.slot()];
        self.sum ^= *entry ^ crc.stored();
        *entry = crc.stored();
    }

    /// Cuts the database to `size`.
    pub fn cut(&mut self, size: PageCount) {
        for page in self.pages.drain((size.0 as usize).min(self.pages.len())..) {
            self.sum ^= page;
        }
    }

    /// As an LTX file stores it.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.sum | STORED
    }
}
